//! Which sessions have a writer in this process, or somebody who repairs or deletes their journal.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::domain::ids::SessionId;

/// Who has the journal of a session to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// Its writer, for as long as it is live.
    Writer,
    /// A repair or a deletion: over soon, and worth waiting for.
    Upkeep,
}

/// The sessions that somebody has to himself.
#[derive(Debug, Clone, Default)]
pub(super) struct LiveSessions(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    holders: Mutex<HashMap<SessionId, Holder>>,
    left: Condvar,
}

impl LiveSessions {
    /// Enters a session as its writer until the guard is dropped; `None` if it is held already.
    pub fn enter(&self, session: SessionId) -> Option<LiveGuard> {
        self.take(&mut self.0.lock(), session, Holder::Writer)
    }

    /// Enters a session to repair or delete its journal, after whoever does so now; `None` if it has
    /// a writer. Blocking.
    pub fn enter_for_upkeep(&self, session: SessionId) -> Option<LiveGuard> {
        let mut holders = self.0.lock();
        while holders.get(&session) == Some(&Holder::Upkeep) {
            holders = self.0.left.wait(holders).unwrap_or_else(PoisonError::into_inner);
        }
        self.take(&mut holders, session, Holder::Upkeep)
    }

    fn take(
        &self,
        holders: &mut HashMap<SessionId, Holder>,
        session: SessionId,
        holder: Holder,
    ) -> Option<LiveGuard> {
        let Entry::Vacant(place) = holders.entry(session) else { return None };
        place.insert(holder);
        Some(LiveGuard { sessions: self.clone(), session })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Holder>> {
        // A map is whole even if a thread died while it held the lock.
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a session to its holder.
#[derive(Debug)]
pub(super) struct LiveGuard {
    sessions: LiveSessions,
    session: SessionId,
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        self.sessions.0.lock().remove(&self.session);
        self.sessions.0.left.notify_all();
    }
}
