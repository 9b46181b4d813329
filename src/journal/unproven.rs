//! Journals that an earlier process left and that this one has not recovered yet.
//!
//! Recovery takes its time and delivery begins at once. What a product is made of must not be
//! repaired while it is made, so whoever is first at such a journal recovers it.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Journal, error::Result};
use crate::domain::ids::SessionId;

/// Their sessions.
#[derive(Debug, Default)]
pub(super) struct Unproven(Mutex<HashSet<SessionId>>);

impl Unproven {
    /// This one has been looked through.
    pub fn remove(&self, session: SessionId) {
        self.lock().remove(&session);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        // A set is whole even if a thread died while it held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// These were left by an earlier process: what they hold is not to be relied on before
    /// [`Journal::recover`] has seen it.
    pub fn distrust(&self, sessions: &[SessionId]) {
        self.shared.unproven.lock().extend(sessions);
    }

    /// Recovers a journal that is [`Journal::distrust`]ed and was not recovered since, unless no file
    /// of it says any more whose it is: that takes one who knows. Blocking.
    ///
    /// # Errors
    /// As [`Journal::recover`].
    pub fn prove(&self, session: SessionId) -> Result<()> {
        let is_unproven = self.shared.unproven.lock().contains(&session);
        match is_unproven && self.head(session)?.is_some() {
            true => self.recover(session).map(drop),
            false => Ok(()),
        }
    }
}
