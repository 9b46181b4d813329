//! How often a key may ask for an action (spec live-api 15.4): the vendor's numbers, unless
//! `api.rate_limits` says otherwise.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::{
    ACTIONS,
    error::{ApiError, Result},
};
use crate::domain::rate_limit::RateLimit;

/// Requests a second of actions that no table names.
const OTHERS: u32 = 200;
/// The vendor's requests a second, by what the names begin with; the first that fits counts.
const VENDOR: &[(&str, u32)] = &[
    ("CreateRecordTask", 20),
    ("StopRecordTask", 20),
    ("DeleteRecordTask", 20),
    ("DescribeRecordTask", 20),
    ("CreateLiveRecordTemplate", 200),
    ("CreateLiveRecordRule", 200),
    ("CreateLiveRecord", 500),
    ("DescribeLiveRecord", 500),
    ("DescribeLiveCallback", 500),
    ("DescribeLivePushAuthKey", 500),
    ("DescribeLiveStreamOnlineList", 100),
    ("DescribeLiveStream", 300),
    ("DropLiveStream", 100),
    ("ResumeLiveStream", 100),
    ("DescribeLiveForbidStreamList", 100),
];

/// The first of some limits that names no action of this server.
pub fn unknown_action(limits: &[RateLimit]) -> Option<&str> {
    let is_known = |name: &str| name == "*" || ACTIONS.iter().any(|action| action.name == name);
    limits.iter().map(|limit| limit.action.as_str()).find(|name| !is_known(name))
}

/// A second since the beginning, and requests in it.
type Window = (u64, u32);

/// Counts requests by key and action.
pub struct RateLimiter {
    /// `None` limits nothing.
    limits: Option<HashMap<String, u32>>,
    begun: Instant,
    windows: Mutex<HashMap<(String, &'static str), Window>>,
}

impl RateLimiter {
    /// The vendor's limits with these changes.
    pub fn new(changes: &[RateLimit]) -> Self {
        let limits = changes.iter().map(|limit| (limit.action.clone(), limit.per_second));
        Self { limits: Some(limits.collect()), ..Self::unlimited() }
    }

    /// No limits.
    pub fn unlimited() -> Self {
        Self { limits: None, begun: Instant::now(), windows: Mutex::default() }
    }

    /// Requests a second of an action; 0 for no limit.
    fn per_second(&self, action: &str) -> u32 {
        let Some(limits) = &self.limits else { return 0 };
        let vendor = || VENDOR.iter().find(|(name, _)| action.starts_with(name));
        let named = limits.get(action).or_else(|| limits.get("*")).copied();
        named.unwrap_or_else(|| vendor().map_or(OTHERS, |(_, limit)| *limit))
    }

    /// Counts a request of a key in force; refuses one too many in this second.
    pub fn admit(&self, secret_id: &str, action: &'static str) -> Result<()> {
        self.admit_at(self.begun.elapsed().as_secs(), secret_id, action)
    }

    fn admit_at(&self, second: u64, secret_id: &str, action: &'static str) -> Result<()> {
        let limit = self.per_second(action);
        if limit == 0 {
            return Ok(());
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        // Keys in force times actions: small, and every entry is a pair of numbers.
        let window = windows.entry((secret_id.to_owned(), action)).or_insert((second, 0));
        if window.0 != second {
            *window = (second, 0);
        }
        if window.1 >= limit {
            let message = format!("{action} was asked for more than {limit} times in a second.");
            return Err(ApiError::new("RequestLimitExceeded", message));
        }
        window.1 += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(limiter: &RateLimiter, second: u64, key: &str, action: &'static str) -> usize {
        (0..2_000).filter(|_| limiter.admit_at(second, key, action).is_ok()).count()
    }

    #[test]
    fn every_key_and_action_has_its_own_seconds() {
        let limiter = RateLimiter::new(&[]);
        assert_eq!(admitted(&limiter, 0, "a", "CreateRecordTask"), 20);
        assert_eq!(admitted(&limiter, 0, "b", "CreateRecordTask"), 20);
        assert_eq!(admitted(&limiter, 0, "a", "StopRecordTask"), 20);
        assert_eq!(admitted(&limiter, 1, "a", "CreateRecordTask"), 20);
        assert_eq!(admitted(&limiter, 0, "a", "CreateLiveRecordTemplate"), 200);
        assert_eq!(admitted(&limiter, 0, "a", "CreateLiveRecord"), 500);
        assert_eq!(admitted(&limiter, 0, "a", "SearchMedia"), 200);
        let refused = limiter.admit_at(1, "a", "CreateRecordTask").unwrap_err();
        assert_eq!(refused.code(), "RequestLimitExceeded");
    }

    #[test]
    fn a_limit_of_no_action_is_found() {
        let unknown = |text: &str| {
            let limits: Vec<RateLimit> = text.split(',').map(|l| l.parse().unwrap()).collect();
            unknown_action(&limits).map(str::to_owned)
        };
        assert_eq!(unknown("*=1,SearchMedia=2,CreateRecordTask=3"), None);
        assert_eq!(
            unknown("SearchMedia=2,createRecordTask=3").as_deref(),
            Some("createRecordTask")
        );
        // The vendor has it, this server does not.
        assert_eq!(unknown("CreateScreenshotTask=3").as_deref(), Some("CreateScreenshotTask"));
    }

    #[test]
    fn limits_can_be_changed_and_lifted() {
        let limits =
            ["CreateRecordTask=3", "SearchMedia = 0", "*=7"].map(|text| text.parse().unwrap());
        let limiter = RateLimiter::new(&limits);
        assert_eq!(admitted(&limiter, 0, "a", "CreateRecordTask"), 3);
        assert_eq!(admitted(&limiter, 0, "a", "SearchMedia"), 2_000);
        assert_eq!(admitted(&limiter, 0, "a", "DescribeLiveDomains"), 7);
        assert_eq!(admitted(&RateLimiter::unlimited(), 0, "a", "CreateRecordTask"), 2_000);
    }
}
