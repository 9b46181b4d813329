//! From journal samples and notes to row changes: what a session's rows should say.
//!
//! Pure and deterministic, so that following a live journal and reading one found after a crash
//! give the same rows. The only place that knows how notes, cuts and files fit together.

use crate::{
    domain::{ids::RecordingId, journal_note::Note, recording::Recording, session::EndReason},
    media::sample::{Sample, SampleKind},
};

use super::cut::{CutReason, Cutter};

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
    /// A recording ended.
    End {
        /// Which.
        recording: RecordingId,
        /// One past its last byte.
        to: u64,
        /// Unix milliseconds.
        ended_ms: i64,
    },
}

#[derive(Debug)]
struct Running {
    recording: Box<Recording>,
    cutter: Cutter,
    ordinal: i64,
    /// Position at which its current file began.
    file_from: u64,
}

/// The state of one session while its journal is read from the start.
#[derive(Debug)]
pub struct Tracker {
    running: Vec<Running>,
    wall_ms: i64,
    /// The end note, once seen.
    end: Option<(EndReason, i64)>,
}

impl Tracker {
    /// For a session that began at `started_ms` (unix milliseconds).
    pub fn new(started_ms: i64) -> Self {
        Self { running: Vec::new(), wall_ms: started_ms, end: None }
    }

    /// Takes in the next sample of the journal.
    pub fn push(&mut self, sample: &Sample, changes: &mut Vec<Change>) {
        if sample.kind == SampleKind::Clock {
            self.wall_ms = sample.dts_ms;
        }
        for running in &mut self.running {
            running.push(sample, self.wall_ms, changes);
        }
    }

    /// Takes in a note that stands at `position`. An attachment that reaches back is followed by
    /// [`Tracker::replay`] of the samples from its `from` up to the note.
    pub fn note(&mut self, position: u64, note: Note, changes: &mut Vec<Change>) {
        match note {
            Note::Attach { recording, from } => self.attach(recording, from, changes),
            Note::Detach { recording, ended_ms } => {
                if let Some(at) = self.running.iter().position(|r| r.recording.id == recording) {
                    self.running.remove(at).end(position, ended_ms, self.wall_ms, changes);
                }
            }
            Note::End { reason, ended_ms } => self.end = Some((reason, ended_ms)),
        }
    }

    fn attach(&mut self, recording: Box<Recording>, from: u64, changes: &mut Vec<Change>) {
        if self.running.iter().any(|r| r.recording.id == recording.id) {
            return;
        }
        let interval_s = recording.template.param(recording.container).record_interval;
        changes.push(Change::Begin { recording: recording.clone(), from });
        changes.push(Change::OpenFile {
            recording: recording.clone(),
            ordinal: 0,
            from,
            start_ms: self.wall_ms,
            cause: None,
        });
        self.running.push(Running {
            cutter: Cutter::new(recording.container, interval_s, self.wall_ms),
            recording,
            ordinal: 0,
            file_from: from,
        });
    }

    /// Feeds one sample of the pre-roll to a recording that was just attached.
    pub fn replay(&mut self, recording: RecordingId, sample: &Sample, changes: &mut Vec<Change>) {
        if let Some(running) = self.running.iter_mut().find(|r| r.recording.id == recording) {
            running.push(sample, self.wall_ms, changes);
        }
    }

    /// The journal ends at `position`: everything still running ends there. Answers why and when
    /// the session ended; without an end note the process was killed.
    pub fn finish(&mut self, position: u64, changes: &mut Vec<Change>) -> (EndReason, i64) {
        let (reason, ended_ms) = self.end.unwrap_or((EndReason::Crashed, self.wall_ms));
        for running in self.running.drain(..) {
            running.end(position, ended_ms, self.wall_ms, changes);
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
        let Some(reason) = self.cutter.push(sample) else { return };
        changes.push(self.close(sample.position, wall_ms));
        self.ordinal += 1;
        self.file_from = sample.position;
        changes.push(Change::OpenFile {
            recording: self.recording.clone(),
            ordinal: self.ordinal,
            from: sample.position,
            start_ms: wall_ms,
            cause: Some(reason),
        });
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
mod tests {
    use super::*;
    use crate::{
        domain::{container::Container, ids::DecimalId, plan::default_profile, recording::Origin},
        media::sample::{Codec, Track},
    };

    fn recording(container: Container, interval_s: i64) -> Box<Recording> {
        let mut template = default_profile(container);
        template.flv.record_interval = interval_s;
        Box::new(Recording {
            id: RecordingId::new(0),
            session_id: DecimalId(1),
            origin: Origin::Rule,
            container,
            template,
            started_ms: 0,
        })
    }

    fn frame(position: u64, dts_ms: i64) -> Sample {
        Sample {
            position,
            tag_len: 10,
            data_offset: 11,
            data_len: 1,
            dts_ms,
            cts_ms: 0,
            config: 1,
            track: Track::Video,
            track_id: 0,
            kind: SampleKind::Frame,
            codec: Codec::H264,
            keyframe: true,
        }
    }

    #[test]
    fn files_of_a_recording_touch_without_gap_or_overlap() {
        let flv = recording(Container::Flv, 60);
        let id = flv.id;
        let mut tracker = Tracker::new(1_000);
        let mut changes = Vec::new();
        tracker.note(5, Note::Attach { recording: flv, from: 5 }, &mut changes);
        for i in 0..200u64 {
            tracker.push(&frame(100 + i * 10, i as i64 * 1000), &mut changes);
        }
        let (reason, _) = tracker.finish(2_100, &mut changes);
        assert_eq!(reason, EndReason::Crashed);
        let mut next_from = 5;
        let mut files = 0;
        for change in &changes {
            match change {
                Change::OpenFile { from, .. } => assert_eq!(*from, next_from),
                Change::CloseFile { to, .. } => {
                    next_from = *to;
                    files += 1;
                }
                _ => {}
            }
        }
        assert_eq!((files, next_from), (4, 2_100));
        assert!(matches!(changes.last(), Some(Change::End { recording, .. }) if *recording == id));
    }

    #[test]
    fn detach_ends_where_the_note_stands() {
        let hls = recording(Container::Hls, 60);
        let id = hls.id;
        let mut tracker = Tracker::new(0);
        let mut changes = Vec::new();
        tracker.note(0, Note::Attach { recording: hls, from: 0 }, &mut changes);
        tracker.push(&frame(10, 0), &mut changes);
        tracker.note(20, Note::Detach { recording: id, ended_ms: 7 }, &mut changes);
        tracker.push(&frame(30, 0), &mut changes);
        assert_eq!(tracker.oldest_needed(), None);
        assert!(changes.contains(&Change::End { recording: id, to: 20, ended_ms: 7 }));
        let before = changes.len();
        tracker.finish(40, &mut changes);
        assert_eq!(changes.len(), before);
    }
}
