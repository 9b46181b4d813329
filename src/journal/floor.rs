//! What may still be needed of the journals of live sessions beyond what the rows say.
//!
//! Floor: a session that is followed holds its journal from its floor on: what was not read into
//! rows yet, and the last key frame for tasks to come. The janitor in `delivery` takes the minimum
//! of this and of the rows; without a floor only the rows count.
//!
//! Hold: a recording that is to begin at a place that has passed holds its journal from there on
//! until the floor says so, which is when its note was read. What was given up is never held, and
//! what is held is never given up: one lock decides both, at the moment of unlinking.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::ids::{RecordingId, SessionId};

#[derive(Debug, Default)]
struct Needs {
    floor: u64,
    holds: HashMap<RecordingId, u64>,
    /// Whatever lies below is gone, or will be at any moment.
    given_up: u64,
}

/// Lowest needed positions by session.
#[derive(Debug, Default)]
pub(super) struct Floors(Mutex<HashMap<SessionId, Needs>>);

impl Floors {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Needs>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing below `position` is needed outside the rows, but for what is held.
    pub fn set(&self, session: SessionId, position: u64) {
        self.lock().entry(session).or_default().floor = position;
    }

    /// The floor of a session that is followed.
    pub fn get(&self, session: SessionId) -> Option<u64> {
        self.lock().get(&session).map(|needs| needs.floor)
    }

    /// The rows say everything from here on.
    pub fn clear(&self, session: SessionId) {
        self.lock().remove(&session);
    }

    /// Holds a followed session from `position` on for a recording, in place of what it held
    /// before. False if that is given up already; then nothing has changed.
    pub fn hold(&self, session: SessionId, recording: RecordingId, position: u64) -> bool {
        let mut sessions = self.lock();
        let Some(needs) = sessions.get_mut(&session) else { return false };
        let is_there = position >= needs.given_up;
        if is_there {
            needs.holds.insert(recording, position);
        }
        is_there
    }

    /// The floor says what the recording needs.
    pub fn let_go(&self, session: SessionId, recording: RecordingId) {
        if let Some(needs) = self.lock().get_mut(&session) {
            needs.holds.remove(&recording);
        }
    }

    /// Whether what lies below `position` may go; from then on nothing can hold it.
    pub fn give_up(&self, session: SessionId, position: u64) -> bool {
        let mut sessions = self.lock();
        // Only the rows count for a session that is not followed.
        let Some(needs) = sessions.get_mut(&session) else { return true };
        let lowest = needs.holds.values().copied().fold(needs.floor, u64::min);
        let is_free = position <= lowest;
        if is_free {
            needs.given_up = needs.given_up.max(position);
        }
        is_free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_not_given_up_nor_the_other_way_round() {
        let (floors, session) = (Floors::default(), SessionId::new(0));
        let [one, other] = [(); 2].map(|()| RecordingId::new(0));
        assert!(!floors.hold(session, one, 5), "nobody follows it");
        assert!(floors.give_up(session, 100));
        floors.set(session, 50);
        // The floor may have been another one when somebody looked.
        assert!(!floors.give_up(session, 51));
        assert!(floors.hold(session, one, 20));
        assert!(!floors.give_up(session, 21));
        assert!(floors.give_up(session, 20));
        assert!(!floors.hold(session, other, 19), "it may be gone by now");
        assert!(floors.hold(session, other, 20));
        floors.let_go(session, one);
        assert!(!floors.give_up(session, 21));
        // It begins later than it was ready to.
        assert!(floors.hold(session, other, 40));
        assert!(floors.give_up(session, 40) && !floors.give_up(session, 41));
        floors.let_go(session, other);
        assert!(floors.give_up(session, 50) && !floors.give_up(session, 51));
        assert_eq!(floors.get(session), Some(50));
        floors.clear(session);
        assert_eq!(floors.get(session), None);
        assert!(floors.give_up(session, 1000));
    }
}
