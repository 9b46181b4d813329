//! `GET` and `HEAD /vod/<escaped key>`: media from either store, with byte ranges (RFC 9110 §14).
//!
//! The path is decoded once, from its raw form, and must be a key; nothing else of the store can be
//! named. Bodies flow in blocks and only as fast as the client reads; when it goes away the reading
//! ends. Not an access control: whoever knows a URL may play it, from any origin (CORS).

mod range;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use futures_util::TryStreamExt;
use tower_http::cors::{Any, CorsLayer};

use self::range::ByteRange;
use crate::storage::{ObjectBody, ObjectInfo, ObjectStore, StorageError, StorageKey};

/// Where keys begin in a URL path.
pub const PREFIX: &str = "/vod/";

/// What a client is told to wait when the store cannot be reached, in seconds.
const RETRY_AFTER_S: &str = "5";

/// What the handlers need. Cheap to clone.
#[derive(Clone)]
pub struct Playback {
    store: Arc<dyn ObjectStore>,
}

impl Playback {
    /// Plays from this store.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }
}

/// The route `/vod/…` with its own CORS rules, to be merged into the server's routes (not nested:
/// the handler reads the full path).
pub fn router<S: Clone + Send + Sync + 'static>(playback: Playback) -> Router<S> {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::OPTIONS])
        .allow_headers([header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH])
        .expose_headers([
            header::CONTENT_LENGTH,
            header::CONTENT_RANGE,
            header::ACCEPT_RANGES,
            header::ETAG,
        ])
        .max_age(std::time::Duration::from_secs(86_400));
    Router::new()
        .route("/vod/", any(serve))
        .route("/vod/{*key}", any(serve))
        .layer(cors)
        .with_state(playback)
}

async fn serve(State(playback): State<Playback>, request: Request) -> Response {
    let method = request.method();
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD, OPTIONS")])
            .into_response();
    }
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    let Ok(key) = StorageKey::parse_url_path(path) else { return not_found() };
    let answered = match *method {
        Method::HEAD => playback.head(&key, request.headers()).await,
        _ => playback.get(&key, request.headers()).await,
    };
    match answered {
        Ok(response) => response,
        Err(StorageError::NotFound { .. }) => not_found(),
        Err(StorageError::Range { size }) => out_of_range(size),
        Err(error) => {
            tracing::warn!(%key, %error, "an object cannot be played: the store failed");
            let headers = [(header::RETRY_AFTER, RETRY_AFTER_S)];
            (StatusCode::SERVICE_UNAVAILABLE, headers, "the storage cannot be reached\n")
                .into_response()
        }
    }
}

impl Playback {
    async fn head(&self, key: &StorageKey, headers: &HeaderMap) -> Result<Response, StorageError> {
        let info = self.info(key).await?;
        if is_unchanged(headers, &info) {
            return Ok(not_modified(key, &info));
        }
        Ok(respond(StatusCode::OK, key, &info, info.size, Body::empty()))
    }

    async fn get(&self, key: &StorageKey, headers: &HeaderMap) -> Result<Response, StorageError> {
        let wanted = headers.get(header::RANGE).and_then(ByteRange::parse);
        let if_range = headers.get(header::IF_RANGE).filter(|_| wanted.is_some());
        let has_conditions = if_range.is_some() || headers.contains_key(header::IF_NONE_MATCH);
        let range = match wanted {
            // The plain cases are one request to the store.
            None if !has_conditions => None,
            Some(ByteRange::From(range)) if !has_conditions => Some(range),
            wanted => {
                let info = self.info(key).await?;
                if is_unchanged(headers, &info) {
                    return Ok(not_modified(key, &info));
                }
                let is_same = if_range.is_none_or(|tag| names(tag, &info));
                wanted.filter(|_| is_same).map(|range| range.positions(info.size))
            }
        };
        let is_partial = range.is_some();
        let body = self.store.get(key, range).await?;
        Ok(stream(key, body, is_partial))
    }

    async fn info(&self, key: &StorageKey) -> Result<ObjectInfo, StorageError> {
        self.store.head(key).await?.ok_or_else(|| StorageError::NotFound { key: key.to_string() })
    }
}

/// A 200 or 206 with the bytes of `body`.
fn stream(key: &StorageKey, body: ObjectBody, is_partial: bool) -> Response {
    let ObjectBody { info, range, stream } = body;
    let name = key.clone();
    let stream = stream.inspect_err(move |error| {
        tracing::warn!(key = %name, %error, "playing an object broke off: the store failed");
    });
    let status = if is_partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let length = range.end - range.start;
    let mut response = respond(status, key, &info, length, Body::from_stream(stream));
    if is_partial {
        let text = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), info.size);
        set(&mut response, header::CONTENT_RANGE, &text);
    }
    response
}

/// The headers that every answer about an existing object has.
fn respond(
    status: StatusCode,
    key: &StorageKey,
    info: &ObjectInfo,
    length: u64,
    body: Body,
) -> Response {
    let mut response = (status, body).into_response();
    set(&mut response, header::CONTENT_TYPE, key.content_type());
    set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    describe(&mut response, key, info);
    response
}

fn describe(response: &mut Response, key: &StorageKey, info: &ObjectInfo) {
    set(response, header::ACCEPT_RANGES, "bytes");
    // Names come from publishers: nothing here may ever be taken for a page of this origin.
    set(response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if !info.etag.is_empty() {
        set(response, header::ETAG, &format!("\"{}\"", info.etag));
    }
    if key.as_str().ends_with(".m3u8") {
        // A playlist grows while its stream is live.
        set(response, header::CACHE_CONTROL, "no-cache");
    }
}

fn not_modified(key: &StorageKey, info: &ObjectInfo) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    describe(&mut response, key, info);
    response
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "no such object\n").into_response()
}

fn out_of_range(size: u64) -> Response {
    let mut response =
        (StatusCode::RANGE_NOT_SATISFIABLE, "the range is outside the object\n").into_response();
    set(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    response
}

/// Sets a header unless its value cannot be one (a store may send any tag).
fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// If-None-Match: a list of tags, weak or not, or `*`.
fn is_unchanged(headers: &HeaderMap, info: &ObjectInfo) -> bool {
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(
        |value| {
            let mut tags = value.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
            value.trim() == "*" || tags.any(|tag| is_tag(tag, info))
        },
    )
}

/// If-Range: one strong tag. A date is no tag of ours, so the whole object is sent.
fn names(tag: &HeaderValue, info: &ObjectInfo) -> bool {
    tag.to_str().is_ok_and(|tag| is_tag(tag.trim(), info))
}

fn is_tag(text: &str, info: &ObjectInfo) -> bool {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    !info.etag.is_empty() && inner == Some(info.etag.as_str())
}

#[cfg(test)]
mod tests;
