//! From journal samples and notes to row changes: what a session's rows should say.
//!
//! Pure and deterministic, so that following a live journal and reading one found after a crash
//! give the same rows. The only place that knows how notes, cuts and files fit together.
//!
//! What the rows have already is not made again: a recording that they know is taken up where its
//! growing file began ([`Tracker::restore`]), or not at all if it is over. So a journal whose
//! beginning is released can still be followed.

use std::collections::HashSet;

use crate::{
    domain::{
        ids::RecordingId,
        journal_note::{Note, StallCause, StoreFailure},
        recording::Recording,
        session::EndReason,
    },
    media::sample::{Sample, SampleKind},
};

use super::{
    cut::{CutReason, Cutter},
    watch::{Report, Watch},
};

/// One thing to be written to the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A recording began.
    Begin {
        /// The recording.
        recording: Box<Recording>,
        /// Position of its first tag.
        from: u64,
    },
    /// A file of a recording began.
    OpenFile {
        /// Of this recording.
        recording: Box<Recording>,
        /// 0, 1, 2, ...
        ordinal: i64,
        /// Position of its first tag.
        from: u64,
        /// Unix milliseconds at which that tag arrived, to the second.
        start_ms: i64,
        /// Why the file before it ended; `None` for the first.
        cause: Option<CutReason>,
    },
    /// A file of a recording is complete.
    CloseFile {
        /// Of this recording.
        recording: RecordingId,
        /// Which file.
        ordinal: i64,
        /// One past its last byte.
        to: u64,
        /// Unix milliseconds at which its last tag arrived, to the second.
        end_ms: i64,
    },
    /// The disk does not take the journal of a recording that runs, or did not to its end.
    Fail {
        /// The recording.
        recording: Box<Recording>,
        /// Its file that still grows.
        ordinal: i64,
        /// Why, and what it cost.
        failure: StoreFailure,
    },
    /// A recording ended.
    End {
        /// Which.
        recording: RecordingId,
        /// One past its last byte.
        to: u64,
        /// Unix milliseconds.
        ended_ms: i64,
    },
    /// The session is over, the recording waits for the next one of its stream.
    Suspend {
        /// Which.
        recording: RecordingId,
        /// Its file that still grows.
        ordinal: i64,
        /// One past its last byte in this session.
        to: u64,
        /// Unix milliseconds.
        ended_ms: i64,
    },
    /// A file that was to go on in this session does not: it is complete as it was before.
    LeaveFile {
        /// Of this recording.
        recording: RecordingId,
        /// Which file.
        ordinal: i64,
    },
    /// The stream is back: whatever is still suspended of it will not be continued.
    Settle,
    /// Something is irregular about the push.
    Tell {
        /// What.
        report: Box<Report>,
        /// The recordings that run.
        recordings: Vec<Recording>,
    },
}

/// A recording in its growing file.
#[derive(Debug)]
pub struct Running {
    /// The id by which this session's notes name it.
    pub attached: RecordingId,
    /// The recording.
    pub recording: Box<Recording>,
    /// Has seen what the file holds of earlier sessions.
    pub cutter: Cutter,
    /// Which file.
    pub ordinal: i64,
    /// Position at which the file began in this session.
    pub file_from: u64,
    /// Whether the file began in an earlier session.
    pub is_continued: bool,
}

/// The state of one session while its journal is read from the start.
#[derive(Debug)]
pub struct Tracker {
    running: Vec<Running>,
    /// Every recording that was attached, by the id in the notes.
    known: HashSet<RecordingId>,
    wall_ms: i64,
    is_settled: bool,
    watch: Watch,
    /// The end note, once seen.
    end: Option<(EndReason, i64)>,
    /// What the disk did not take.
    failure: Option<StoreFailure>,
}

impl Tracker {
    /// For a journal whose first tag arrived at `wall_ms` (unix milliseconds).
    pub fn new(wall_ms: i64) -> Self {
        let watch = Watch::new(wall_ms);
        let (running, known) = (Vec::new(), HashSet::new());
        Self { running, known, wall_ms, is_settled: false, watch, end: None, failure: None }
    }

    /// What is irregular about the push.
    pub fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    fn tell(&self, report: Option<Report>, changes: &mut Vec<Change>) {
        if let Some(report) = report.map(Box::new) {
            let recordings = self.running.iter().map(|r| (*r.recording).clone()).collect();
            changes.push(Change::Tell { report, recordings });
        }
    }

    /// Takes up a recording that the rows know under this id; without `running` it is over.
    pub fn restore(&mut self, attached: RecordingId, running: Option<Running>) {
        self.known.insert(attached);
        self.running.extend(running);
    }

    /// Whether a recording attached now, with its first tag at `from`, begins with the session and
    /// is new, so that it may continue one that is suspended.
    pub fn may_continue(&self, attached: RecordingId, from: u64) -> bool {
        from == 0 && !self.is_settled && !self.known.contains(&attached)
    }

    /// Goes on with a recording that was suspended.
    pub fn resume(&mut self, running: Running) {
        self.known.insert(running.attached);
        self.running.push(running);
    }

    /// Whether the encoder has sent something.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Takes in the next sample of the journal.
    pub fn push(&mut self, sample: &Sample, changes: &mut Vec<Change>) {
        if sample.kind == SampleKind::Clock {
            self.wall_ms = sample.dts_ms;
        }
        let is_own =
            matches!(sample.kind, SampleKind::Private | SampleKind::Clock | SampleKind::Repeated);
        if !is_own && !self.is_settled {
            self.is_settled = true;
            changes.push(Change::Settle);
        }
        let report = self.watch.push(sample);
        self.tell(report, changes);
        for running in &mut self.running {
            running.push(sample, self.wall_ms, changes);
        }
    }

    /// Takes in a note that stands at `position`; an attachment that reaches back goes through
    /// [`Tracker::attach`]. Answers whether a recording began.
    pub fn note(&mut self, position: u64, note: Note, changes: &mut Vec<Change>) -> bool {
        match note {
            Note::Attach { recording, from } => {
                return self.attach(recording, from, self.wall_ms, changes);
            }
            Note::Detach { recording, ended_ms } => {
                if let Some(at) = self.running.iter().position(|r| r.attached == recording) {
                    self.running.remove(at).end(position, ended_ms, self.wall_ms, changes);
                }
            }
            // Said of the file when it is made.
            Note::Stall { .. } => {}
            Note::End { reason, ended_ms, .. } => self.end = Some((reason, ended_ms)),
        }
        false
    }

    /// Begins a recording with the tag at `from`, which arrived at `wall_ms` (unix milliseconds).
    /// [`Tracker::replay`] of the samples from there up to here follows. Answers whether it began:
    /// one that is known is nothing new.
    pub fn attach(
        &mut self,
        recording: Box<Recording>,
        from: u64,
        wall_ms: i64,
        changes: &mut Vec<Change>,
    ) -> bool {
        if !self.known.insert(recording.id) {
            return false;
        }
        changes.push(Change::Begin { recording: recording.clone(), from });
        changes.push(Change::OpenFile {
            recording: recording.clone(),
            ordinal: 0,
            from,
            start_ms: wall_ms,
            cause: None,
        });
        self.running.push(Running {
            attached: recording.id,
            cutter: Cutter::of(&recording, wall_ms),
            recording,
            ordinal: 0,
            file_from: from,
            is_continued: false,
        });
        true
    }

    /// Unix milliseconds of the last arrival, to the second.
    pub fn wall_ms(&self) -> i64 {
        self.wall_ms
    }

    /// Feeds one sample of the pre-roll, which arrived at `wall_ms`, to a recording that was just
    /// attached.
    pub fn replay(
        &mut self,
        recording: RecordingId,
        sample: &Sample,
        wall_ms: i64,
        changes: &mut Vec<Change>,
    ) {
        if let Some(running) = self.running.iter_mut().find(|r| r.attached == recording) {
            running.push(sample, wall_ms, changes);
        }
    }

    /// The disk does not take the journal any more: said of everything that runs, now and again at
    /// the end, when it is known what it cost.
    pub fn fail(&mut self, failure: StoreFailure, changes: &mut Vec<Change>) {
        self.failure = Some(failure);
        changes.extend(self.running.iter().map(|running| running.fail(failure)));
    }

    /// The journal ends at `position`: everything still running ends there, or is suspended if it
    /// has a resume window and `may_suspend`. Answers why and when the session ended; without an
    /// end note the process was killed.
    pub fn finish(
        &mut self,
        position: u64,
        may_suspend: bool,
        changes: &mut Vec<Change>,
    ) -> (EndReason, i64) {
        let unnoted = match self.failure {
            Some(_) => EndReason::Journal,
            None => EndReason::Crashed,
        };
        let (reason, ended_ms) = self.end.unwrap_or((unnoted, self.wall_ms));
        let report = self.watch.finish(position);
        self.tell(report, changes);
        // Found at start, the journal says no more than that its disk had been given up.
        let cause = StallCause::DiskError;
        let unknown = StoreFailure { cause, lost_tags: 0, lost_bytes: 0 };
        let failure = self.failure.or((reason == EndReason::Journal).then_some(unknown));
        if let Some(failure) = failure {
            changes.extend(self.running.iter().map(|running| running.fail(failure)));
        }
        for running in self.running.drain(..) {
            if may_suspend && running.recording.resume_window_s > 0 {
                changes.push(running.suspend(position, ended_ms));
            } else {
                running.end(position, ended_ms, self.wall_ms, changes);
            }
        }
        (reason, ended_ms)
    }

    /// Lowest position that a recording still running may need, if any runs.
    pub fn oldest_needed(&self) -> Option<u64> {
        self.running.iter().map(|r| r.file_from).min()
    }
}

impl Running {
    fn push(&mut self, sample: &Sample, wall_ms: i64, changes: &mut Vec<Change>) {
        // One that was taken up again has been through what is before its file.
        if sample.position < self.file_from && sample.kind != SampleKind::Clock {
            return;
        }
        let has_frames = self.cutter.has_frames_of_session() && sample.position > self.file_from;
        let has_begun = !self.is_continued || has_frames;
        let Some(reason) = self.cutter.push(sample) else { return };
        if has_begun {
            changes.push(self.close(sample.position, wall_ms));
            self.file_from = sample.position;
        } else {
            let (recording, ordinal) = (self.recording.id, self.ordinal);
            changes.push(Change::LeaveFile { recording, ordinal });
        }
        self.is_continued = false;
        self.ordinal += 1;
        changes.push(Change::OpenFile {
            recording: self.recording.clone(),
            ordinal: self.ordinal,
            from: self.file_from,
            start_ms: wall_ms,
            cause: Some(reason),
        });
    }

    fn suspend(&self, to: u64, ended_ms: i64) -> Change {
        Change::Suspend { recording: self.recording.id, ordinal: self.ordinal, to, ended_ms }
    }

    fn fail(&self, failure: StoreFailure) -> Change {
        let (recording, ordinal) = (self.recording.clone(), self.ordinal);
        Change::Fail { recording, ordinal, failure }
    }

    fn close(&self, to: u64, end_ms: i64) -> Change {
        Change::CloseFile { recording: self.recording.id, ordinal: self.ordinal, to, end_ms }
    }

    fn end(self, position: u64, ended_ms: i64, wall_ms: i64, changes: &mut Vec<Change>) {
        changes.push(self.close(position, wall_ms.max(ended_ms)));
        changes.push(Change::End { recording: self.recording.id, to: position, ended_ms });
    }
}

#[cfg(test)]
mod tests;
