//! Which sessions have a writer in this process.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::domain::ids::SessionId;

/// The sessions with a writer.
#[derive(Debug, Clone, Default)]
pub(super) struct LiveSessions(Arc<Mutex<HashSet<SessionId>>>);

impl LiveSessions {
    /// Enters a session until the guard is dropped; `None` if it is there already.
    pub fn enter(&self, session: SessionId) -> Option<LiveGuard> {
        let is_new = self.lock(|sessions| sessions.insert(session));
        is_new.then(|| LiveGuard { sessions: self.clone(), session })
    }

    fn lock<T>(&self, f: impl FnOnce(&mut HashSet<SessionId>) -> T) -> T {
        // A set is whole even if a thread died while it held the lock.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps a session among the live ones.
#[derive(Debug)]
pub(super) struct LiveGuard {
    sessions: LiveSessions,
    session: SessionId,
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        self.sessions.lock(|sessions| sessions.remove(&self.session));
    }
}
