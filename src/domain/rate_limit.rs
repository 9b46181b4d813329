//! How often an action may be asked for, as `api.rate_limits` says it.

use std::str::FromStr;

/// One line of `api.rate_limits`: an action and its requests a second, 0 for no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Name of the action, or `*` for all that are not named.
    pub action: String,
    /// Requests a second of one key.
    pub per_second: u32,
}

impl FromStr for RateLimit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (action, per_second) = text.split_once('=').ok_or(())?;
        let action = action.trim();
        let is_name = action == "*"
            || (!action.is_empty() && action.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let per_second = per_second.trim().parse().map_err(|_| ())?;
        is_name.then(|| Self { action: action.to_owned(), per_second }).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_name_and_a_number() {
        let limit: RateLimit = "SearchMedia = 50".parse().unwrap();
        assert_eq!((limit.action.as_str(), limit.per_second), ("SearchMedia", 50));
        for odd in ["", "x", "=3", "a=-1", "a b=1", "a=4294967296"] {
            assert!(odd.parse::<RateLimit>().is_err(), "{odd}");
        }
    }
}
