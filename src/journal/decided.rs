//! Up to where it is known which file a sample of a followed session belongs to, and the rows say so.
//! Delivery projects a growing file no further, so that it never runs past the end of the file.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::ids::SessionId;

/// A position for each session that is followed.
#[derive(Debug, Default)]
pub(super) struct Decided(Mutex<HashMap<SessionId, u64>>);

impl Decided {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything below `position` is in the rows.
    pub fn set(&self, session: SessionId, position: u64) {
        self.lock().insert(session, position);
    }

    /// Of a session that is followed.
    pub fn get(&self, session: SessionId) -> Option<u64> {
        self.lock().get(&session).copied()
    }

    /// The session is not followed any more.
    pub fn clear(&self, session: SessionId) {
        self.lock().remove(&session);
    }
}
