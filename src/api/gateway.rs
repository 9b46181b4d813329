//! From an HTTP request to an action and back: bounds, signature, parameters, dispatch, envelope.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::{self, ConnectInfo, Request},
    http::{HeaderMap, header as names, request::Parts},
    response::Response,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    ACTIONS, Action, Product, audit,
    caller::{Caller, is_reading},
    client_ip::client_ip,
    decode, envelope,
    error::{ApiError, Result, shown},
    key_ring::Key,
    out_of_scope,
    params::{Fields, Params, Reading},
    sign::{self, tc3, v1},
    state::State,
    wire::{self, Verb, Wire, header},
};

/// A request waits this long for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// An action is given up after this long; a database that hangs must not take every turn with it.
const ACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// A request whose signature holds, and what it asks for.
struct Call {
    caller: Caller,
    action: String,
    is_named_by_path: bool,
    version: String,
    fields: Fields,
    has_json_text: bool,
}

/// Answers any request that no other route takes.
pub async fn serve(extract::State(state): extract::State<State>, request: Request) -> Response {
    let request_id = Uuid::new_v4().to_string();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| {
        client_ip(peer.0.ip(), request.headers(), &state.settings.trusted_proxies).to_string()
    });
    let peer = peer.as_deref().unwrap_or("");
    let asked = asked(&request);
    let mut action = "";
    let answer = carry_out(&state, request, (peer, &request_id), &mut action).await;
    let code = answer.as_ref().err().map_or("OK", ApiError::code);
    metrics::counter!("liverec_api_requests_total", "action" => action, "code" => code)
        .increment(1);
    match answer {
        Ok(fields) => {
            match is_reading(action) {
                true => tracing::debug!(action, peer, request_id, "answered an API request"),
                false => tracing::info!(action, peer, request_id, "carried out an API request"),
            }
            envelope::success(fields, &request_id)
        }
        Err(error) => {
            // Before a signature holds it is only what somebody says, and no label of a metric.
            let action = if action.is_empty() { asked.as_str() } else { action };
            if error.is_internal() {
                tracing::error!(action, peer, request_id, %error, "could not carry out an API request");
            } else {
                tracing::info!(action, peer, request_id, %error, "refused an API request");
            }
            envelope::failure(&error, &request_id)
        }
    }
}

/// `whence` is the client's address and the id of the request; `known` becomes the name of the action
/// as soon as it turns out to be one of ours.
async fn carry_out(
    state: &State,
    request: Request,
    whence: (&str, &str),
    known: &mut &'static str,
) -> Result<Value> {
    let (head, body) = request.into_parts();
    let (call, _body) = authenticate(state, &head, body).await?;
    let action = find_action(&call)?;
    *known = action.name;
    call.caller.may(action.product, action.name)?;
    state.rate_limiter.admit(&call.caller.secret_id, action.name)?;
    let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(&state.running).acquire_owned()).await;
    let _turn = turn.map_err(|_| wire::busy())?.map_err(|_| wire::busy())?;
    let reading = Reading {
        rejects_unknown: state.settings.rejects_unknown,
        has_json_text: call.has_json_text,
    };
    let done = async {
        let entry = match is_reading(action.name) {
            true => None,
            false => {
                Some(audit::begin(state, &call.caller, action.name, whence, &call.fields).await?)
            }
        };
        let params = Params::new(call.fields, reading, action.shape.parameters);
        let answer = (action.run)(state, &call.caller, params).await;
        if let Some(entry) = entry {
            audit::finish(state, entry, &answer).await;
        }
        answer
    };
    let answer = tokio::time::timeout(ACTION_TIMEOUT, done).await;
    let answer = answer.unwrap_or(Err(ApiError::TimedOut));
    if cfg!(debug_assertions)
        && let Ok(answer) = &answer
        && let Err(problem) = action.shape.check(answer)
    {
        tracing::error!(action = action.name, problem, "an answer is not as it is described");
    }
    answer
}

async fn authenticate(
    state: &State,
    head: &Parts,
    body: axum::body::Body,
) -> Result<(Call, wire::HeldBody)> {
    let verb = match Verb::parse(&head.method) {
        Ok(verb) => verb,
        Err(refused) => {
            wire::drain(body).await;
            return Err(refused);
        }
    };
    let query = head.uri.query().unwrap_or("");
    if verb == Verb::Get && query.len() > wire::MAX_QUERY_BYTES {
        let message = format!("The query is longer than {} bytes.", wire::MAX_QUERY_BYTES);
        return Err(ApiError::new("RequestSizeLimitExceeded", message));
    }
    // What the header alone can refuse is refused before the body is kept.
    let claim = match head.headers.contains_key(names::AUTHORIZATION) {
        true => match claim_of_header(state, &head.headers) {
            Ok(claim) => Some(claim),
            Err(refused) => {
                wire::drain(body).await;
                return Err(refused);
            }
        },
        false => None,
    };
    let held = match verb {
        Verb::Get => wire::HeldBody::empty(),
        Verb::Post => {
            let declared = header(&head.headers, "content-length").and_then(|len| len.parse().ok());
            let max = if claim.is_some() { wire::MAX_TC3_BYTES } else { wire::MAX_FORM_BYTES };
            wire::read_body(body, declared, max, &state.bodies).await?
        }
    };
    let wire =
        Wire { verb, path: head.uri.path(), query, headers: &head.headers, body: &held.bytes };
    let call = match claim {
        Some(claim) => tc3_call(state, &wire, &claim, held.bytes.clone()).await?,
        None => v1_call(state, &wire)?,
    };
    Ok((call, held))
}

/// The key pair of an id.
fn key_of(state: &State, secret_id: &str) -> Result<Arc<Key>> {
    state.keys.load().get(secret_id).ok_or_else(sign::unknown_secret_id)
}

fn check_time(state: &State, timestamp_s: i64) -> Result<()> {
    sign::check_time(timestamp_s, state.now_ms().div_euclid(1000), state.settings.clock_skew_s)
}

fn claim_of_header(state: &State, headers: &HeaderMap) -> Result<tc3::Claim> {
    let claim = tc3::Claim::parse(headers)?;
    key_of(state, &claim.secret_id)?;
    check_time(state, claim.timestamp_s)?;
    Ok(claim)
}

async fn tc3_call(state: &State, wire: &Wire<'_>, claim: &tc3::Claim, body: Bytes) -> Result<Call> {
    let key = key_of(state, &claim.secret_id)?;
    claim.verify(wire, &key.secret_key)?;
    let content_type = header(wire.headers, "content-type").unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let fields = match (wire.verb, media_type.as_str()) {
        (Verb::Get, _) => decode::unflatten(decode::form_pairs(wire.query)?)?,
        (Verb::Post, "application/json" | "text/json" | "") => decode::json_fields(&body)?,
        (Verb::Post, "multipart/form-data") => decode::multipart_fields(content_type, body).await?,
        (Verb::Post, "application/x-www-form-urlencoded") => decode::unflatten(form(&body)?)?,
        (Verb::Post, _) => {
            let message = format!("The Content-Type `{}` is not supported.", shown(content_type));
            return Err(ApiError::new("InvalidRequest", message));
        }
    };
    let (action, is_named_by_path) = action_of(header(wire.headers, "x-tc-action"), wire.path);
    Ok(Call {
        caller: key.caller.clone(),
        action,
        is_named_by_path,
        version: header(wire.headers, "x-tc-version").unwrap_or("").to_owned(),
        fields,
        has_json_text: media_type == "multipart/form-data",
    })
}

fn v1_call(state: &State, wire: &Wire<'_>) -> Result<Call> {
    let content_type = header(wire.headers, "content-type").unwrap_or("").to_ascii_lowercase();
    if wire.verb == Verb::Post
        && (content_type.starts_with("application/json") || content_type.starts_with("multipart/"))
    {
        let message = "The request has no Authorization header.";
        return Err(ApiError::new("AuthFailure.InvalidAuthorization", message));
    }
    let pairs = match wire.verb {
        Verb::Get => decode::form_pairs(wire.query)?,
        Verb::Post => form(wire.body)?,
    };
    let (action, is_named_by_path) = action_of(v1::find(&pairs, "Action"), wire.path);
    if action.is_empty() {
        // Nothing was asked for; a missing signature would be a misleading answer.
        return Err(unknown_action(""));
    }
    let claim = v1::Claim::parse(&pairs)?;
    let key = key_of(state, &claim.secret_id)?;
    check_time(state, claim.timestamp_s)?;
    claim.verify(wire, &pairs, &key.secret_key)?;
    let version = v1::find(&pairs, "Version").unwrap_or("").to_owned();
    let own = pairs.into_iter().filter(|(name, _)| !v1::COMMON.contains(&name.as_str())).collect();
    Ok(Call {
        caller: key.caller.clone(),
        action,
        is_named_by_path,
        version,
        fields: decode::unflatten(own)?,
        has_json_text: false,
    })
}

fn form(body: &[u8]) -> Result<Vec<(String, String)>> {
    let text = std::str::from_utf8(body)
        .map_err(|_| ApiError::new("InvalidRequest", "The request body is not UTF-8 text."))?;
    decode::form_pairs(text)
}

/// The action that a request names in its header, query or path, for the log.
fn asked(request: &Request) -> String {
    let query = request.uri().query().unwrap_or("");
    let of_query = || query.split('&').find_map(|pair| pair.strip_prefix("Action="));
    let named = header(request.headers(), "x-tc-action").or_else(of_query);
    shown(&action_of(named, request.uri().path()).0)
}

/// The action a request names, and whether it does so by its path only: `POST /<Action>` is the same
/// call as one that names the action in a header or parameter.
fn action_of(named: Option<&str>, path: &str) -> (String, bool) {
    match named.filter(|name| !name.is_empty()) {
        Some(name) => (name.to_owned(), false),
        None => (path.trim_matches('/').to_owned(), true),
    }
}

fn find_action(call: &Call) -> Result<&'static Action> {
    let is_named = |action: &&Action| action.name == call.action;
    if call.action.is_empty() {
        return Err(unknown_action(""));
    }
    if call.version.is_empty() {
        if !call.is_named_by_path {
            return Err(ApiError::missing("Version"));
        }
        // The names of our actions are unambiguous.
        let is_known = |product| out_of_scope::is_known(product, &call.action);
        return ACTIONS.iter().find(is_named).ok_or_else(|| {
            match [Product::Live, Product::Vod].into_iter().any(is_known) {
                true => unsupported_action(&call.action),
                false => unknown_action(&call.action),
            }
        });
    }
    let product = Product::of_version(&call.version).ok_or_else(|| {
        let message = format!(
            "The Version `{}` is not one of 2018-08-01 and 2018-07-17.",
            shown(&call.version)
        );
        ApiError::new("NoSuchVersion", message)
    })?;
    let found = ACTIONS.iter().filter(|a| a.product == product).find(is_named);
    found.ok_or_else(|| match out_of_scope::is_known(product, &call.action) {
        true => unsupported_action(&call.action),
        false => unknown_action(&call.action),
    })
}

fn unsupported_action(name: &str) -> ApiError {
    ApiError::unsupported(format!("This server does not have the Action `{}`.", shown(name)))
}

fn unknown_action(name: &str) -> ApiError {
    let message = match name {
        "" => "The request names no Action.".to_owned(),
        name => format!("The Action `{}` is not known for this Version.", shown(name)),
    };
    ApiError::new("InvalidAction", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_asks_for_is_read_before_it_is_believed() {
        let asked_by = |uri: &str, header: Option<&str>| {
            let mut request = axum::http::Request::builder().uri(uri);
            if let Some(name) = header {
                request = request.header("X-TC-Action", name);
            }
            asked(&request.body(axum::body::Body::empty()).unwrap())
        };
        assert_eq!(asked_by("/", Some("DescribeMediaInfos")), "DescribeMediaInfos");
        assert_eq!(asked_by("/?Version=1&Action=DeleteMedia", None), "DeleteMedia");
        assert_eq!(asked_by("/LiverecDoctor", None), "LiverecDoctor");
        assert_eq!(asked_by("/", None), "");
        assert_eq!(asked_by("/", Some(&"x".repeat(1000))).len(), 83, "bounded");
    }
}
