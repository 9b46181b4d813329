//! Checks `txSecret` and `txTime` of a stream key (spec live-api 12).

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{PushKeys, resolve::parameters};
use crate::domain::push_url::tx_secret;

/// What is wrong with a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Neither `txSecret` nor `txTime`, or only the latter.
    #[error("the stream key is not signed: txSecret is missing")]
    Missing,
    /// `txSecret` alone.
    #[error("txTime is missing")]
    MissingTime,
    /// `txTime` is no hexadecimal number of seconds.
    #[error("txTime {0:?} is not hexadecimal unix seconds")]
    MalformedTime(String),
    /// The time has passed.
    #[error("txTime has passed {ago_s} s ago")]
    Expired {
        /// Seconds since it passed, the grace of the domain not counted.
        ago_s: i64,
    },
    /// No key of the domain gives this digest.
    #[error("txSecret does not match")]
    Mismatch,
}

/// The outcome of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A signature is there and right.
    Valid,
    /// A signature is there and wrong.
    Invalid(SignatureError),
    /// There is none.
    Absent,
    /// There is one and nothing to check it with.
    NoKey,
}

/// Checks the parameters of a stream key.
pub(super) fn verify(keys: Option<&PushKeys>, stream: &str, query: &str, now_s: i64) -> Verdict {
    let find =
        |wanted: &str| parameters(query).find(|(name, _)| *name == wanted).map(|(_, value)| value);
    let Some(secret) = find("txSecret") else { return Verdict::Absent };
    let Some(keys) = keys else { return Verdict::NoKey };
    match check(keys, stream, secret, find("txTime"), now_s) {
        Ok(()) => Verdict::Valid,
        Err(error) => Verdict::Invalid(error),
    }
}

fn check(
    keys: &PushKeys,
    stream: &str,
    secret: &str,
    time: Option<&str>,
    now_s: i64,
) -> Result<(), SignatureError> {
    let time = time.ok_or(SignatureError::MissingTime)?;
    let expires_s = i64::from_str_radix(time, 16)
        .ok()
        .filter(|_| time.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or_else(|| SignatureError::MalformedTime(time.chars().take(32).collect()))?;
    let secret = secret.to_ascii_lowercase();
    // Both keys are always tried, so that the time taken says nothing about either.
    let mut is_valid = false;
    for key in [&keys.master, &keys.backup] {
        let is_match = digest_of_length(secret.len(), [key, stream, time])
            .is_some_and(|digest| bool::from(digest.as_bytes().ct_eq(secret.as_bytes())));
        is_valid |= is_match && !key.is_empty();
    }
    if !is_valid {
        return Err(SignatureError::Mismatch);
    }
    let ago_s = now_s.saturating_sub(expires_s);
    if ago_s > keys.delta_s.max(0) {
        return Err(SignatureError::Expired { ago_s });
    }
    Ok(())
}

/// The digest whose hexadecimal text has this length: MD5, or SHA-256, which the vendor's console
/// offers beside it.
fn digest_of_length(length: usize, parts: [&str; 3]) -> Option<String> {
    let [key, stream, time] = parts;
    match length {
        32 => Some(tx_secret(key, stream, time)),
        64 => Some(hex::encode(Sha256::digest(parts.concat()))),
        _ => None,
    }
}
