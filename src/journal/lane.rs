//! Writing: one blocking job at a time, tried again until the disk takes it.

use std::{collections::VecDeque, time::Duration};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};
use tracing::{error, info};

use super::{
    append::{Appender, Failure},
    batch::Batch,
    error::{JournalError, Result},
    intake::Intake,
    pool::{Pool, lost},
};
use crate::domain::ids::SessionId;

/// See the module. Every future may be dropped and called again: nothing is on its way in it.
pub(super) struct WriteLane {
    session: SessionId,
    pool: Pool,
    retry: Duration,
    /// Away in `job` while that runs.
    appender: Option<Box<Appender>>,
    job: Option<JoinHandle<Outcome>>,
    /// What a failed job brought back.
    rest: VecDeque<Batch>,
    /// Empty batches that come back from a job.
    written: Vec<Batch>,
    retry_at: Instant,
    is_failing: bool,
}

/// What a job brings back.
struct Outcome {
    appender: Box<Appender>,
    rest: VecDeque<Batch>,
    written: Vec<Batch>,
    failure: Option<Failure>,
}

impl WriteLane {
    pub fn new(session: SessionId, pool: Pool, retry: Duration, appender: Appender) -> Self {
        WriteLane {
            session,
            pool,
            retry,
            appender: Some(Box::new(appender)),
            job: None,
            rest: VecDeque::new(),
            written: Vec::new(),
            retry_at: Instant::now(),
            is_failing: false,
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

    async fn start(&mut self, intake: &mut Intake) -> Result<()> {
        let turn = self.pool.turn().await?;
        let gone = || JournalError::Task("an earlier one took the files with it".to_owned());
        let mut appender = self.appender.take().ok_or_else(gone)?;
        intake.recycle(&mut self.written);
        let mut written = std::mem::take(&mut self.written);
        let mut rest = std::mem::take(&mut self.rest);
        intake.take(&mut rest);
        self.job = Some(spawn_blocking(move || {
            let failure = appender.write(&mut rest, &mut written).err();
            drop(turn);
            Outcome { appender, rest, written, failure }
        }));
        Ok(())
    }

    async fn join(&mut self) -> Result<()> {
        let Some(job) = &mut self.job else { return Ok(()) };
        let outcome = job.await;
        self.job = None;
        let Outcome { appender, rest, written, failure } = outcome.map_err(lost)?;
        self.appender = Some(appender);
        (self.rest, self.written) = (rest, written);
        match failure {
            Some(Failure { action, path, error }) => {
                self.retry_at = Instant::now() + self.retry;
                if !self.is_failing {
                    self.is_failing = true;
                    error!(
                        session.id = %self.session, path = %path.display(), action, %error,
                        "the journal cannot be written; its publisher is held until it can"
                    );
                }
            }
            None if self.is_failing => {
                self.is_failing = false;
                info!(session.id = %self.session, "the journal can be written again; nothing was lost");
            }
            None => {}
        }
        Ok(())
    }
}
