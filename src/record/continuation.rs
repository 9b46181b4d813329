//! A recording that goes on: found in the rows, brought to where its growing file stands, taken.
//!
//! Whether a recording that a new session attaches continues one that is suspended is decided once,
//! in one transaction, and read back from the rows whenever the session is followed again.

use tracing::{info, warn};

use crate::{
    db::{Db, DbError},
    domain::{
        callback::RecordEvent,
        ids::RecordingId,
        recording::{Attachment, GrowingFile, Recording, Span, Stretch, Suspended},
    },
    journal::{Journal, JournalError},
};

use super::{
    cut::Cutter,
    rows::{Rows, announce},
    tracker::Running,
};

/// A suspended recording that a session may continue.
pub struct Candidate {
    suspended: Suspended,
    file: GrowingFile,
}

impl Rows {
    /// What the rows say of the recordings that this session attaches.
    pub async fn attachments(&self) -> Vec<Attachment> {
        self.retry("read the recordings of a session", || {
            self.shared.db.attachments(self.session.id)
        })
        .await
    }

    /// Takes a suspended recording up again for `attached`, which begins at `from`; `None` if
    /// there is nothing to continue.
    pub async fn resume(&self, attached: &Recording, from: u64) -> Option<Running> {
        let Candidate { suspended, file } =
            self.retry("look for a suspended recording", || self.candidate(attached)).await?;
        let recording = suspended.recording.clone();
        let stretch = Stretch {
            span: Span { session: self.session.id, from, to: None },
            started_ms: self.session.started_ms,
            ended_ms: 0,
        };
        let mut going_on = file.clone();
        going_on.stretches.push(stretch);
        let running = running(&self.shared.journal, attached.id, recording, going_on).await;
        let running = match running {
            Ok(running) => running,
            Err(error) => {
                warn!(
                    recording.id = %suspended.recording.id, file.id = %file.id, %error,
                    "a suspended file cannot be read and is not continued"
                );
                return None;
            }
        };
        let is_ours = self
            .retry("resume a recording", || async {
                let mut tx = self.shared.db.begin().await?;
                let is_ours =
                    Db::resume_recording(&mut tx, &suspended, file.id, attached.id, &stretch.span)
                        .await?;
                if is_ours {
                    let path = &self.session.path;
                    announce(
                        &self.shared,
                        &mut tx,
                        path,
                        &suspended.recording,
                        RecordEvent::Resumed,
                    )
                    .await?;
                }
                self.shared.db.commit(tx, "continue a recording").await?;
                Ok(is_ours)
            })
            .await;
        if !is_ours {
            return None;
        }
        self.shared.db.outbox_changed().notify_one();
        info!(
            session.id = %self.session.id,
            stream.path = %self.session.path,
            recording.id = %suspended.recording.id,
            file.id = %file.id,
            away_ms = self.session.started_ms.saturating_sub(suspended.since_ms),
            "recording resumed"
        );
        Some(running)
    }

    /// The newest of the stream's suspended recordings that `attached` continues.
    async fn candidate(&self, attached: &Recording) -> Result<Option<Candidate>, DbError> {
        let (session, db) = (&self.session, &self.shared.db);
        let found = db.suspended_recordings(&session.node_id, Some(&session.path)).await?;
        let fitting = found.into_iter().rev().find(|suspended| {
            suspended.last_session < session.id
                && session.started_ms <= suspended.until_ms()
                && suspended.recording.is_continued_by(attached)
        });
        let Some(suspended) = fitting else { return Ok(None) };
        let file = db.growing_file(suspended.recording.id).await?;
        Ok(file.map(|file| Candidate { suspended, file }))
    }

    /// Ends what is suspended of this stream since before this session: it was not continued, and
    /// a later session must not jump over this one.
    pub(super) async fn end_left(
        &self,
        tx: &mut sqlx::Transaction<'static, sqlx::Any>,
    ) -> Result<(), DbError> {
        let session = &self.session;
        for suspended in Db::suspended_recordings_of(tx, &session.node_id, &session.path).await? {
            if suspended.last_session < session.id {
                end_suspended(&self.shared, tx, &suspended).await?;
            }
        }
        Ok(())
    }
}

/// Ends a suspended recording and announces it. False if it is not suspended as it was found.
pub(super) async fn end_suspended(
    shared: &super::follow::Shared,
    tx: &mut sqlx::Transaction<'static, sqlx::Any>,
    suspended: &Suspended,
) -> Result<bool, DbError> {
    let has_ended = Db::end_suspended_recording(tx, suspended, (shared.now_ms)()).await?;
    if has_ended {
        announce(shared, tx, &suspended.path, &suspended.recording, RecordEvent::Ended).await?;
    }
    Ok(has_ended)
}

/// A recording that was going on in the session when that was followed before. What the cutter
/// should have seen of earlier sessions is left out if it cannot be read.
pub async fn restored(
    journal: &Journal,
    attached: RecordingId,
    recording: Recording,
    file: GrowingFile,
) -> Running {
    match running(journal, attached, recording.clone(), file.clone()).await {
        Ok(running) => running,
        Err(error) => {
            warn!(
                recording.id = %recording.id, file.id = %file.id, %error,
                "the beginning of a file cannot be read; it goes on all the same"
            );
            Running {
                attached,
                cutter: Cutter::of(&recording, file.start_ms),
                recording: Box::new(recording),
                ordinal: file.ordinal,
                file_from: file.stretches.last().map_or(0, |stretch| stretch.span.from),
                is_continued: file.stretches.len() > 1,
            }
        }
    }
}

/// A recording in its growing file, the last stretch of which is in the session that is followed.
///
/// # Errors
/// A journal of an earlier stretch cannot be read.
async fn running(
    journal: &Journal,
    attached: RecordingId,
    recording: Recording,
    file: GrowingFile,
) -> Result<Running, JournalError> {
    let reading = journal.clone();
    let (ordinal, is_continued) = (file.ordinal, file.stretches.len() > 1);
    let (recording, cutter, file_from) = journal
        .run_read(move || {
            let (cutter, file_from) = replay(&reading, &recording, &file)?;
            Ok::<_, JournalError>((Box::new(recording), cutter, file_from))
        })
        .await?;
    Ok(Running { attached, recording, cutter, ordinal, file_from, is_continued })
}

/// Takes a new cutter through all stretches but the last, to the beginning of which it gives the
/// position too. Blocking.
fn replay(
    journal: &Journal,
    recording: &Recording,
    file: &GrowingFile,
) -> Result<(Cutter, u64), JournalError> {
    let mut cutter = Cutter::of(recording, file.start_ms);
    let mut before: Option<&Stretch> = None;
    let mut from = 0;
    for (nth, stretch) in file.stretches.iter().enumerate() {
        if let Some(before) = before {
            let gap_ms = stretch.started_ms.saturating_sub(before.ended_ms);
            cutter.begin_session(stretch.started_ms, gap_ms);
        }
        from = stretch.span.from;
        if nth + 1 == file.stretches.len() {
            break;
        }
        let mut reader = journal.reader(stretch.span.session)?;
        let to = match stretch.span.to {
            Some(to) => to,
            None => reader.end()?,
        };
        for sample in reader.samples(from, to)? {
            // Where a file is cut was decided when it was recorded.
            let _ = cutter.push(&sample?);
        }
        before = Some(stretch);
    }
    Ok((cutter, from))
}
