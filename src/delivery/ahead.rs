//! Uploads ahead of the end: parts of files that still grow.
//!
//! A scout looks once a second which files have grown by a part; the workers take them one part at a
//! time, in turn, so that none waits for another's backlog. No lease is taken: the files of this
//! node are in the hands of this process, and one worker at a time has each.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    domain::{container::Container, media_file::MediaFileState},
    journal::JournalError,
};

use super::{
    DeliverError, Delivery,
    hls_step::{self, HlsStep},
    layout::PARTS_WAITING,
    project::ProjectError,
    step::Step,
    uploads::{Due, FileUpload},
    view::View,
};

/// Pause between two looks at the files that grow.
const PACE: Duration = Duration::from_secs(1);
/// Uploads of one growing file that may fail before it is left to its end.
const MAX_BROKEN: u32 = 3;

/// Where a file stands after a step.
struct Standing {
    /// Whether another part may be waiting by now.
    has_more: bool,
    /// Journal bytes from which on it is worth another look.
    look_at: u64,
}

impl Delivery {
    /// Queues what has grown, until stopped.
    pub(super) async fn scout(self, token: CancellationToken) {
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = sleep(PACE) => {}
            }
            // While the database is away nothing is uploaded ahead; the workers say so.
            if let Ok(files) = self.db.growing_media_files(&self.settings.node_id).await {
                let now_ms = (self.now_ms)();
                self.uploads.look(&files, &self.journal, self.settings.part_size, now_ms);
            }
        }
    }

    /// Makes one part of a growing file.
    pub(super) async fn go_ahead(&self, due: Due) {
        let slot = self.uploads.of(due.id);
        let mut state = slot.lock().await;
        state.begin_step();
        let outcome = self.step_ahead(due, &mut state).await;
        state.end_step();
        let memory_bytes = state.memory_bytes();
        drop(state);
        match outcome {
            Ok(Standing { has_more, look_at }) => {
                self.uploads.settle(due.id, memory_bytes, look_at);
                if has_more {
                    self.uploads.again(due);
                }
            }
            Err(error) if self.uploads.pause(due.id, (self.now_ms)()) => {
                warn!(%error, "a media file could not be stored as it grows; its journal is kept and it is tried again");
            }
            Err(error) => info!(%error, "a media file still cannot be stored as it grows"),
        }
    }

    async fn step_ahead(&self, due: Due, state: &mut FileUpload) -> Result<Standing, DeliverError> {
        let nothing = Standing { has_more: false, look_at: 0 };
        let never = Standing { has_more: false, look_at: u64::MAX };
        let Some(file) = self.db.media_file(due.id).await? else { return Ok(never) };
        if file.state != MediaFileState::Recording {
            return Ok(nothing);
        }
        if file.waits_for_its_end() {
            return Ok(never);
        }
        if !state.is_loaded {
            match self.spare_what_is_stored(&file).await {
                Err(DeliverError::Spared) => return Ok(never),
                checked => checked?,
            }
        }
        // The last span must be closed, or the one of which it is known how far it is decided.
        let Some(last) = file.spans.last() else { return Ok(nothing) };
        let decided = match (last.to, due.decided) {
            (Some(to), _) => to,
            (None, Some((session, decided))) if session == last.session => decided,
            (None, _) => return Ok(nothing),
        };
        let causes = self.causes(&file.spans).await?;
        let view = View { file, causes, decided: Some(decided) };
        if view.file.container != Container::Hls {
            self.load_upload(&view.file, state).await?;
        }
        if state.is_whole || state.broken >= MAX_BROKEN {
            return Ok(never);
        }
        match self.advance(&view, state).await {
            Err(DeliverError::Project(ProjectError::Unsupported { reason, .. })) => {
                info!(reason, "a growing media file is left to its end");
                if state.upload.is_some() {
                    self.give_up_upload(&view.file, state).await?;
                }
                state.is_whole = true;
                Ok(never)
            }
            // At its end it is made of what is left of that by then.
            Err(DeliverError::Project(ProjectError::Journal(JournalError::Missing(session))))
                if view.file.spans.last().is_some_and(|last| last.session != session) =>
            {
                warn!(session.id = %session, "an earlier push of a growing media file is gone; nothing more is stored before its end");
                Ok(never)
            }
            Err(DeliverError::Project(ProjectError::Empty)) => {
                Ok(Standing { has_more: false, look_at: view.stretch().saturating_mul(2) })
            }
            Err(error) => match self.is_begun_anew(&view.file, state, &error).await? {
                true => Ok(nothing),
                false => Err(error),
            },
            standing => standing,
        }
    }

    /// Begins the upload of a file that is long enough, or makes the next part of it.
    async fn advance(&self, view: &View, state: &mut FileUpload) -> Result<Standing, DeliverError> {
        let stretch = view.stretch();
        if view.file.container == Container::Hls {
            let has_more = self.hls_step(view, state).await? == HlsStep::More;
            return Ok(Standing { has_more, look_at: hls_step::look_at(state, stretch) });
        }
        if state.upload.is_none() {
            let (measured, _) = self.measure(view).await?;
            let needed = self.settings.part_size.saturating_mul(PARTS_WAITING);
            if measured.body_len < needed {
                let look_at = foresee(0, stretch, measured.body_len, needed);
                return Ok(Standing { has_more: false, look_at });
            }
            self.begin_upload(view, measured, state).await?;
        }
        let part_size = state.upload.as_ref().map_or(u64::MAX, |(_, layout)| layout.part_size);
        let step = self.step(view, state).await?;
        let growing = state.growing.as_ref();
        let passed = growing.map_or(0, |growing| growing.place().passed(&view.file.spans));
        Ok(match step {
            Step::Part => {
                let look_at = passed.saturating_add(part_size);
                Standing { has_more: stretch >= look_at, look_at }
            }
            // While nothing else is to be done.
            Step::Starved(_) if self.pad(view, state).await? => {
                Standing { has_more: true, look_at: 0 }
            }
            Step::Starved(waiting) => {
                let look_at = foresee(passed, stretch, waiting, part_size);
                Standing { has_more: false, look_at }
            }
            Step::Rest(bytes) => {
                if let Some(growing) = &mut state.growing {
                    growing.give_back(&bytes);
                }
                Standing { has_more: false, look_at: 0 }
            }
        })
    }
}

/// Journal bytes at which there may be `needed` bytes of the body, where those from `passed` to
/// `stretch` have given `found`.
fn foresee(passed: u64, stretch: u64, found: u64, needed: u64) -> u64 {
    let grown = u128::from(stretch.saturating_sub(passed).max(1));
    let missing = u128::from(needed.saturating_sub(found));
    // A little early rather than late.
    let more = grown * missing / u128::from(found.max(1)) * 9 / 10;
    let more = u64::try_from(more).unwrap_or(u64::MAX).min(stretch.max(needed));
    stretch.saturating_add(more.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_a_part_of_the_journal_is_looked_at_when_it_may_be_long_enough() {
        // A tenth of the journal is sound: of 8,000 bytes 800, which is 200 too few.
        assert_eq!(foresee(0, 8_000, 800, 1_000), 8_000 + 1_800);
        assert_eq!(foresee(5_000, 8_000, 300, 1_000), 8_000 + 6_300);
        assert_eq!(foresee(0, 8_000, 0, 1_000), 16_000, "doubled where there is nothing");
        assert_eq!(foresee(0, 8_000, 999, 1_000), 8_007);
    }
}
