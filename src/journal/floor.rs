//! What followers of sessions tell those who read the same journals: a position for each session.
//!
//! Floor: what a session may still need of its journal beyond what the rows say.
//! A session that is followed holds its journal from its floor on: what was not read into rows
//! yet, and the last key frame for tasks to come. The janitor in `delivery` takes the minimum of
//! this and of the rows; without a floor only the rows count.
//!
//! Decided: up to where it is known which file a sample belongs to, and the rows say so. Delivery
//! projects a growing file no further, so that it never runs past the end of the file.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::ids::SessionId;

/// Lowest needed position by session.
#[derive(Debug, Default)]
pub struct Floors(Mutex<HashMap<SessionId, u64>>);

impl Floors {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing below `position` is needed outside the rows.
    pub fn set(&self, session: SessionId, position: u64) {
        self.lock().insert(session, position);
    }

    /// The floor of a session that is followed.
    pub fn get(&self, session: SessionId) -> Option<u64> {
        self.lock().get(&session).copied()
    }

    /// The rows say everything from here on.
    pub fn clear(&self, session: SessionId) {
        self.lock().remove(&session);
    }
}
