//! Writing: one blocking job at a time, tried again until the disk takes it.
//!
//! A disk that takes nothing is never waited for in silence: since when and why is known at any
//! moment ([`WriteLane::stalled`]), and when it is over there is something to note in the journal
//! ([`WriteLane::take_stall`]).

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};
use tracing::{error, info};

use super::{
    append::{Appender, Failure, is_lack_of_room},
    batch::Batch,
    error::{JournalError, Result},
    intake::Intake,
    pool::{Pool, lost},
    space::Space,
};
use crate::domain::{ids::SessionId, stall::StallCause};

/// A write that takes so long is worth a note in the journal, though it fails nowhere.
const LONG_WRITE: Duration = Duration::from_secs(3);

/// A time in which the disk took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// Why.
    pub cause: StallCause,
    /// How long.
    pub lasted: Duration,
}

/// See the module. Every future may be dropped and called again: nothing is on its way in it.
pub(super) struct WriteLane {
    session: SessionId,
    pool: Pool,
    space: Arc<Space>,
    retry: Duration,
    /// Away in `job` while that runs.
    appender: Option<Box<Appender>>,
    job: Option<JoinHandle<Outcome>>,
    /// What a failed job brought back.
    rest: VecDeque<Batch>,
    /// Empty batches that come back from a job.
    written: Vec<Batch>,
    retry_at: Instant,
    /// Since when something is to be written, while it is not.
    busy_since: Option<Instant>,
    /// Why the first job failed, until one succeeds.
    failing: Option<StallCause>,
    stall: Option<Stall>,
    /// What is written now is the end of the journal.
    is_ending: bool,
}

/// What a job brings back.
struct Outcome {
    appender: Box<Appender>,
    rest: VecDeque<Batch>,
    written: Vec<Batch>,
    failure: Option<Failure>,
}

impl WriteLane {
    pub fn new(
        session: SessionId,
        pool: Pool,
        space: Arc<Space>,
        retry: Duration,
        appender: Appender,
    ) -> Self {
        WriteLane {
            session,
            pool,
            space,
            retry,
            appender: Some(Box::new(appender)),
            job: None,
            rest: VecDeque::new(),
            written: Vec::new(),
            retry_at: Instant::now(),
            busy_since: None,
            failing: None,
            stall: None,
            is_ending: false,
        }
    }

    /// The appender, if no job has it.
    pub fn appender(&mut self) -> Option<&mut Appender> {
        self.appender.as_deref_mut()
    }

    /// True while a job runs or waits to be tried again.
    pub fn is_busy(&self) -> bool {
        self.job.is_some() || !self.rest.is_empty()
    }

    /// True if the last job failed and was not made good yet.
    pub fn has_failed(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Bytes that came back from a failed job.
    pub fn rest_bytes(&self) -> u64 {
        self.rest.iter().map(|batch| batch.bytes).sum()
    }

    /// Since when the disk takes nothing of what it was given, and why as far as it said.
    pub fn stalled(&self) -> Option<(Instant, StallCause)> {
        self.busy_since.map(|since| (since, self.failing.unwrap_or(StallCause::DiskStuck)))
    }

    /// What the disk did not take for a while and then did, once.
    pub fn take_stall(&mut self) -> Option<Stall> {
        self.stall.take()
    }

    /// From now on the end of the journal is written: for that there is the reserve.
    pub fn begin_end(&mut self) {
        self.is_ending = true;
        self.retry_at = Instant::now();
    }

    /// Gives up what failed.
    pub fn drop_rest(&mut self) {
        self.rest.clear();
        (self.busy_since, self.failing) = (None, None);
    }

    /// Takes back a job that is over, without waiting.
    pub async fn reap(&mut self) -> Result<()> {
        if self.job.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join().await?;
        }
        Ok(())
    }

    /// Waits until nothing is on its way, trying again whatever failed.
    pub async fn settle(&mut self, intake: &mut Intake) -> Result<()> {
        loop {
            self.join().await?;
            if self.rest.is_empty() {
                return Ok(());
            }
            sleep_until(self.retry_at).await;
            self.start(intake).await?;
        }
    }

    /// Hands over all that `intake` has, after what is on its way.
    pub async fn submit(&mut self, intake: &mut Intake) -> Result<()> {
        self.settle(intake).await?;
        if intake.is_empty() { Ok(()) } else { self.start(intake).await }
    }

    /// Waits for the call that is out, if one is. It says how it went; a call that is stuck does
    /// not, and what it holds is not lost before it has.
    pub async fn join(&mut self) -> Result<()> {
        let Some(job) = &mut self.job else { return Ok(()) };
        let outcome = job.await;
        self.job = None;
        let Outcome { appender, rest, written, failure } = outcome.map_err(lost)?;
        self.appender = Some(appender);
        (self.rest, self.written) = (rest, written);
        let now = Instant::now();
        match failure {
            Some(Failure { action, path, error }) => {
                self.retry_at = now + self.retry;
                let cause = match is_lack_of_room(&error) {
                    true => StallCause::DiskFull,
                    false => StallCause::DiskError,
                };
                // What it fails with later may be a consequence.
                if self.failing.is_none() {
                    self.failing = Some(cause);
                    error!(
                        session.id = %self.session, path = %path.display(), action, %error,
                        "the journal cannot be written; its publisher is held until it can"
                    );
                }
            }
            None => self.succeed(now),
        }
        Ok(())
    }

    fn succeed(&mut self, now: Instant) {
        let lasted = self.busy_since.take().map_or(Duration::ZERO, |since| now - since);
        let failed = self.failing.take();
        if failed.is_some() {
            info!(session.id = %self.session, "the journal can be written again; nothing was lost");
        } else if lasted >= LONG_WRITE {
            info!(
                session.id = %self.session, lasted_s = lasted.as_secs(),
                "the disk was stuck; the publisher was held, nothing was lost"
            );
        } else {
            return;
        }
        let lasted = lasted + self.stall.map_or(Duration::ZERO, |before| before.lasted);
        self.stall = Some(Stall { cause: failed.unwrap_or(StallCause::DiskStuck), lasted });
    }

    async fn start(&mut self, intake: &mut Intake) -> Result<()> {
        self.busy_since.get_or_insert_with(Instant::now);
        let turn = self.pool.turn().await?;
        let gone = || JournalError::Task("an earlier one took the files with it".to_owned());
        let mut appender = self.appender.take().ok_or_else(gone)?;
        intake.recycle(&mut self.written);
        let mut written = std::mem::take(&mut self.written);
        let mut rest = std::mem::take(&mut self.rest);
        intake.take(&mut rest);
        let (space, is_ending) = (self.space.clone(), self.is_ending);
        self.job = Some(spawn_blocking(move || {
            let failure = match is_ending || space.may_write() {
                true => appender.write(&mut rest, &mut written).err(),
                false => Some(held(&space)),
            };
            if failure.as_ref().is_some_and(|failure| is_lack_of_room(&failure.error)) {
                space.run_out();
            }
            drop(turn);
            Outcome { appender, rest, written, failure }
        }));
        Ok(())
    }
}

/// Nothing was tried: what room there is, is for ends.
fn held(space: &Space) -> Failure {
    let (action, path) = ("write", space.root().to_owned());
    Failure { action, path, error: io::ErrorKind::StorageFull.into() }
}
