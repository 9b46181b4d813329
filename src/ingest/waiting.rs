//! Tasks that are to record a live session and wait for a key frame of it.
//!
//! Kept with the session: whoever explains it sees them, and the notes by which they begin are at
//! hand when the push ends before they have begun.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A task that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Unix milliseconds since when it is wanted.
    pub since_ms: i64,
    /// Unix milliseconds at which it begins without a key frame.
    pub until_ms: i64,
    /// Unix milliseconds at which the last key frame had arrived; `None` if there was none.
    pub keyframe_ms: Option<i64>,
    /// Begin its recordings with what is held for them (JSON).
    pub notes: Vec<String>,
}

/// The tasks that wait, by id.
#[derive(Debug, Default)]
pub struct WaitingTasks(Mutex<BTreeMap<String, Waiting>>);

impl WaitingTasks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Waiting>> {
        // Every change is one insertion or removal, so the map is whole even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task waits from now on.
    pub fn enter(&self, task: &str, waiting: Waiting) {
        self.lock().insert(task.to_owned(), waiting);
    }

    /// A task has begun: to be called after its notes are sent, so that they are here or there
    /// whenever the push ends. Both may be taken then; a recording begins once.
    pub fn leave(&self, task: &str) {
        self.lock().remove(task);
    }

    /// Those that wait.
    pub fn list(&self) -> Vec<(String, Waiting)> {
        self.lock().iter().map(|(task, waiting)| (task.clone(), waiting.clone())).collect()
    }

    /// The push ends: the notes of all that still wait.
    pub(super) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock()).into_values().flat_map(|waiting| waiting.notes).collect()
    }
}
