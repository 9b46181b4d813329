//! What is said about receivers that do not accept events: once, not once for every attempt.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Failed attempts in a row after which an operator should look.
const LASTING: u64 = 5;
/// Events given up are counted, and told again after this long.
const REMIND_MS: i64 = 3_600_000;
/// Receivers remembered; a forgotten one is only told about again.
const MAX_RECEIVERS: usize = 2000;

/// The receivers that did not accept the last event.
#[derive(Default)]
pub struct Outages(Mutex<HashMap<String, Outage>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Outage {
    failures: u64,
    given_up: u64,
    /// When it was last told that events are given up.
    told_ms: Option<i64>,
}

/// What to say after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Say {
    /// Nothing new.
    Nothing,
    /// The receiver has begun to fail.
    Begun,
    /// It still fails.
    Lasting,
    /// Events are given up: so many since it was last said.
    GivenUp(u64),
    /// It accepts again after so many failed attempts.
    Over(u64),
}

impl Outages {
    /// An attempt failed; `is_given_up` if the event is not tried again.
    pub fn failed(&self, url: &str, is_given_up: bool, now_ms: i64) -> Say {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_RECEIVERS {
            all.clear();
        }
        let outage = all.entry(url.to_owned()).or_default();
        outage.failures += 1;
        if is_given_up {
            outage.given_up += 1;
            if outage.told_ms.is_none_or(|told_ms| now_ms.saturating_sub(told_ms) >= REMIND_MS) {
                outage.told_ms = Some(now_ms);
                return Say::GivenUp(std::mem::take(&mut outage.given_up));
            }
        }
        match outage.failures {
            1 => Say::Begun,
            LASTING => Say::Lasting,
            _ => Say::Nothing,
        }
    }

    /// An attempt succeeded.
    pub fn accepted(&self, url: &str) -> Say {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.remove(url) {
            Some(outage) => Say::Over(outage.failures),
            None => Say::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_a_few_times_however_long_it_lasts() {
        let outages = Outages::default();
        assert_eq!(outages.accepted("u"), Say::Nothing);
        let said: Vec<Say> = (0..7).map(|n| outages.failed("u", n == 5, n)).collect();
        let nothing = Say::Nothing;
        let expected =
            [Say::Begun, nothing, nothing, nothing, Say::Lasting, Say::GivenUp(1), nothing];
        assert_eq!(said, expected);
        assert_eq!(outages.failed("u", true, 6), Say::Nothing);
        assert_eq!(outages.failed("u", true, 5 + REMIND_MS), Say::GivenUp(2));
        assert_eq!(outages.failed("v", false, 7), Say::Begun, "another");
        assert_eq!(outages.accepted("u"), Say::Over(9));
        assert_eq!(outages.accepted("u"), Say::Nothing);
    }
}
