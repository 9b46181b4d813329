//! Signatures of requests: TC3-HMAC-SHA256, HmacSHA256 and HmacSHA1 (spec live-api 3).
//!
//! Official clients disagree on the host and the path they sign, so every reasonable pair is tried
//! (spec live-api 3.4). The service in a credential is taken as it comes. Comparisons of signatures
//! take the same time wherever they differ.

pub mod tc3;
pub mod v1;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{
    error::{ApiError, Result},
    wire::{Wire, header},
};

/// Refuses a time stamp too far from the server's clock.
pub fn check_time(timestamp_s: i64, now_s: i64, skew_s: i64) -> Result<()> {
    if timestamp_s.saturating_sub(now_s).saturating_abs() > skew_s {
        return Err(ApiError::new(
            "AuthFailure.SignatureExpire",
            format!(
                "The request was signed more than {skew_s} seconds away from the server's time."
            ),
        ));
    }
    Ok(())
}

/// No key of that id is known.
pub fn unknown_secret_id() -> ApiError {
    ApiError::new(
        "AuthFailure.SecretIdNotFound",
        "The SecretId is not found, please ensure that your SecretId is correct.",
    )
}

fn failure() -> ApiError {
    ApiError::new(
        "AuthFailure.SignatureFailure",
        "The provided credentials could not be validated. Please check your signature is correct.",
    )
}

fn malformed(why: &str) -> ApiError {
    ApiError::new(
        "AuthFailure.InvalidAuthorization",
        format!("The Authorization header is not valid: {why}."),
    )
}

/// The texts a client may have signed as host: the header as sent, then without scheme, path, port.
fn hosts<'a>(wire: &Wire<'a>) -> Vec<&'a str> {
    let sent = header(wire.headers, "host").unwrap_or("");
    let bare =
        sent.strip_prefix("http://").or_else(|| sent.strip_prefix("https://")).unwrap_or(sent);
    let authority = bare.split('/').next().unwrap_or("");
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    let mut hosts = vec![sent, bare, authority, name];
    hosts.dedup();
    hosts
}

/// The texts a client may have signed as path.
fn paths<'a>(wire: &Wire<'a>) -> Vec<&'a str> {
    let mut paths = vec!["/", wire.path];
    paths.dedup();
    paths
}

/// Compares what was sent with what it should be, in constant time.
fn is_same(sent: &str, wanted: &str) -> bool {
    sent.as_bytes().ct_eq(wanted.as_bytes()).into()
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    hmac::<Hmac<Sha256>>(key, text).try_into().unwrap_or_default()
}

/// An HMAC of any hash; a key of any length is a key.
fn hmac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    M::new_from_slice(key)
        .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
