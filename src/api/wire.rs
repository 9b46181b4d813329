//! An HTTP request as it was received: what signature and parameters are computed from.
//!
//! Reads bodies within bounds of size, time and memory. Knows no actions.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method},
};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{ApiError, Result};

/// Longest query of a GET request, in bytes.
pub const MAX_QUERY_BYTES: usize = 32 * 1024;
/// Longest form body (HmacSHA1, HmacSHA256), in bytes.
pub const MAX_FORM_BYTES: usize = 1024 * 1024;
/// Longest body signed with TC3-HMAC-SHA256, in bytes.
pub const MAX_TC3_BYTES: usize = 10 * 1024 * 1024;

/// A body must have arrived within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a refused body is still read, so that the client gets to read the answer.
const MAX_DRAIN_BYTES: usize = 64 * 1024 * 1024;

/// The methods of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Parameters stand in the query.
    Get,
    /// Parameters stand in the body.
    Post,
}

impl Verb {
    /// Parses a method; the protocol has two.
    pub fn parse(method: &Method) -> Result<Self> {
        match *method {
            Method::GET => Ok(Verb::Get),
            Method::POST => Ok(Verb::Post),
            _ => Err(ApiError::new(
                "UnsupportedProtocol",
                "Only GET and POST requests are supported.",
            )),
        }
    }

    /// The text that is signed.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
        }
    }
}

/// A request as received; path and query still percent-encoded.
pub struct Wire<'a> {
    /// Method.
    pub verb: Verb,
    /// Path.
    pub path: &'a str,
    /// Query without `?`, possibly empty.
    pub query: &'a str,
    /// Header fields.
    pub headers: &'a HeaderMap,
    /// Body; empty for GET.
    pub body: &'a [u8],
}

/// A header value as text without white space at its ends; `None` if absent or not UTF-8.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| std::str::from_utf8(v.as_bytes()).ok()).map(str::trim)
}

/// A body and its share of the memory set aside for bodies.
pub struct HeldBody {
    /// The bytes.
    pub bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl HeldBody {
    /// No body.
    pub fn empty() -> Self {
        Self { bytes: Bytes::new(), _share: None }
    }
}

/// Reads a body of at most `max` bytes. `memory` has a permit for each KiB that bodies may hold
/// together; permits are taken as bytes arrive, so that idle clients hold none.
pub async fn read_body(
    mut body: Body,
    declared: Option<u64>,
    max: usize,
    memory: &Arc<Semaphore>,
) -> Result<HeldBody> {
    let too_large = || {
        ApiError::new(
            "RequestSizeLimitExceeded",
            format!("The request body is larger than {max} bytes."),
        )
    };
    if declared.is_some_and(|len| len > max as u64) {
        drain(body).await;
        return Err(too_large());
    }
    let read = async {
        let mut bytes = Vec::new();
        let mut share: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|_| ApiError::new("InvalidRequest", "The request body broke off."))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
            let held = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let missing = bytes.len().div_ceil(1024).saturating_sub(held);
            let missing = u32::try_from(missing).unwrap_or(u32::MAX);
            let more = Arc::clone(memory).try_acquire_many_owned(missing).map_err(|_| busy())?;
            match &mut share {
                Some(share) => share.merge(more),
                None => share = Some(more),
            }
        }
        Ok(HeldBody { bytes: bytes.into(), _share: share })
    };
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(held)) => Ok(held),
        Ok(Err(refused)) => {
            drain(body).await;
            Err(refused)
        }
        Err(_) => Err(ApiError::new("InvalidRequest", "The request body did not arrive in time.")),
    }
}

/// The server has too much to do at once.
pub fn busy() -> ApiError {
    ApiError::new(
        "RequestLimitExceeded",
        "The server is busy with other requests. Please try again later.",
    )
}

/// Reads what is left of a body that is refused, without keeping it: a client that is cut off while
/// it sends would not read the answer.
pub async fn drain(mut body: Body) {
    let read = async {
        let mut left = MAX_DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let len = frame.data_ref().map_or(0, Bytes::len);
            left = match left.checked_sub(len) {
                Some(left) => left,
                None => return,
            };
        }
    };
    // Too slow is as good as too long: the client is cut off.
    let _ = tokio::time::timeout(BODY_TIMEOUT, read).await;
}
