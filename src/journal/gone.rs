//! Journals of which it has been said that they are gone: each product that looks for one would say it
//! again.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use super::Journal;
use crate::domain::ids::SessionId;

/// Their sessions.
#[derive(Debug, Default)]
pub(super) struct Gone(Mutex<HashSet<SessionId>>);

impl Journal {
    /// True the first time that it is asked of a session in the life of the process.
    pub fn is_news_that_it_is_gone(&self, session: SessionId) -> bool {
        // A set is whole even if a thread died while it held the lock.
        self.shared.gone.0.lock().unwrap_or_else(PoisonError::into_inner).insert(session)
    }
}
