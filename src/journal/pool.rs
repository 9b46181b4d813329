//! Bounded use of the runtime's blocking threads.
//!
//! Writing, syncing and reading each have their own bound, so that a disk that is slow in one of
//! them cannot take the threads of the others.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, spawn_blocking},
};

use super::error::{JournalError, Result};

/// So many blocking calls at a time.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Semaphore>);

impl Pool {
    pub fn new(calls: usize) -> Self {
        Pool(Arc::new(Semaphore::new(calls)))
    }

    /// Waits for a turn.
    pub async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let turn = self.0.clone().acquire_owned().await;
        turn.map_err(|_| JournalError::Task("the journal is closed".to_owned()))
    }

    /// Waits for a turn and runs `f` on a blocking thread.
    pub async fn run<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let turn = self.turn().await?;
        let task = spawn_blocking(move || {
            let result = f();
            drop(turn);
            result
        });
        task.await.map_err(lost)
    }
}

/// The blocking task panicked, or the runtime is shutting down.
pub(super) fn lost(error: JoinError) -> JournalError {
    JournalError::Task(error.to_string())
}
