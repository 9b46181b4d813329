//! A small client that signs as the official ones do, and a server without sockets.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::Body,
    http::{Request, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::Notify;
use tower::ServiceExt;

use super::super::{ApiSettings, State, router};
use crate::{
    db::callback::testing::{TestDb, databases},
    domain::{forbidden_stream::ForbidScope, snapshot::Snapshot, stream::DomainName},
    storage::LocalStore,
};

pub const SECRET_ID: &str = "AKIDEXAMPLE";
pub const SECRET_KEY: &str = "SECRETEXAMPLE";
/// The moment of most captured requests; the server's clock stands still there.
pub const NOW_S: i64 = 1_795_344_236;
pub const LIVE: &str = "2018-08-01";

pub struct Server {
    pub state: State,
    pub router: Router,
    dir: TempDir,
    _db: TestDb,
}

/// A server on each database that can be tested here.
pub async fn servers() -> Vec<Server> {
    let mut all = Vec::new();
    for db in databases().await {
        let dir = TempDir::new().unwrap();
        let settings = ApiSettings {
            secret_id: SECRET_ID.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            app_id: 1_250_000_000,
            default_domain: DomainName::parse("live.local").unwrap(),
            trust_loopback: true,
            default_task_format: crate::domain::container::Container::Hls,
            forbid_scope: ForbidScope::Name,
            publish_auth: None,
            clock_skew_s: 300,
            rejects_unknown: true,
            utc_offset: chrono::FixedOffset::east_opt(8 * 3600).unwrap(),
            deny_networks: Vec::new(),
            trusted_proxies: Vec::new(),
            public_url: "http://127.0.0.1:8080".to_owned(),
        };
        let mut state = State::new(
            db.db.clone(),
            Arc::new(LocalStore::open(dir.path()).unwrap()),
            settings,
            Arc::new(ArcSwap::from_pointee(Snapshot::default())),
            Arc::new(Notify::new()),
            PrometheusBuilder::new().build_recorder().handle(),
        );
        state.clock = || NOW_S * 1000;
        all.push(Server { router: router(state.clone()), state, dir, _db: db });
    }
    all
}

impl Server {
    /// The same server with something changed.
    pub fn with(mut self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state);
        Self { router: router(self.state.clone()), ..self }
    }

    /// Where the store lives.
    pub fn store_dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Sends a request and checks what holds for every answer.
    pub async fn send(&self, request: Request<Body>) -> Value {
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&body).unwrap();
        let answer = value["Response"].clone();
        assert_eq!(answer["RequestId"].as_str().unwrap().len(), 36, "{value}");
        answer
    }

    /// An action signed with TC3 over JSON.
    pub async fn call(&self, action: &str, body: Value) -> Value {
        self.send(tc3_post(action, &body.to_string())).await
    }

    /// An action that must succeed.
    pub async fn ok(&self, action: &str, body: Value) -> Value {
        let answer = self.call(action, body).await;
        assert!(answer.get("Error").is_none(), "{action}: {answer}");
        answer
    }

    /// The error code of an action that must fail.
    pub async fn refused(&self, action: &str, body: Value) -> String {
        let answer = self.call(action, body).await;
        code(&answer)
    }
}

/// The error code of an answer.
pub fn code(answer: &Value) -> String {
    answer["Error"]["Code"].as_str().unwrap_or("no error").to_owned()
}

fn mac<M: Mac + KeyInit>(key: &[u8], text: &str) -> Vec<u8> {
    <M as KeyInit>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes().to_vec()
}

fn authorization(verb: &str, query: &str, content_type: &str, body: &[u8], at_s: i64) -> String {
    let day = chrono::DateTime::from_timestamp(at_s, 0).unwrap().format("%Y-%m-%d").to_string();
    let hash = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let request = format!(
        "{verb}\n/\n{query}\ncontent-type:{content_type}\nhost:server\n\ncontent-type;host\n{}",
        hash(body)
    );
    let text =
        format!("TC3-HMAC-SHA256\n{at_s}\n{day}/live/tc3_request\n{}", hash(request.as_bytes()));
    let key = mac::<Hmac<Sha256>>(format!("TC3{SECRET_KEY}").as_bytes(), &day);
    let key = mac::<Hmac<Sha256>>(&mac::<Hmac<Sha256>>(&key, "live"), "tc3_request");
    let signature = hex::encode(mac::<Hmac<Sha256>>(&key, &text));
    format!(
        "TC3-HMAC-SHA256 Credential={SECRET_ID}/{day}/live/tc3_request, SignedHeaders=content-type;host, \
         Signature={signature}"
    )
}

/// A request signed with TC3, without the headers that name action and version.
pub fn tc3_raw(
    verb: &str,
    target: &str,
    content_type: &str,
    body: &[u8],
) -> axum::http::request::Builder {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    Request::builder()
        .method(verb)
        .uri(target)
        .header("Host", "server")
        .header("Content-Type", content_type)
        .header("X-TC-Timestamp", NOW_S)
        .header("Authorization", authorization(verb, query, content_type, body, NOW_S))
}

pub fn tc3_post(action: &str, body: &str) -> Request<Body> {
    let request = tc3_raw("POST", "/", "application/json", body.as_bytes());
    request
        .header("X-TC-Action", action)
        .header("X-TC-Version", LIVE)
        .body(body.to_owned().into())
        .unwrap()
}

pub fn tc3_get(action: &str, pairs: &[(&str, &str)]) -> Request<Body> {
    let target = format!("/?{}", encoded(pairs));
    let request = tc3_raw("GET", &target, "application/x-www-form-urlencoded", b"");
    request.header("X-TC-Action", action).header("X-TC-Version", LIVE).body(Body::empty()).unwrap()
}

/// A request whose signature is a parameter; `method` is HmacSHA1 or HmacSHA256.
pub fn v1(verb: &str, method: &str, action: &str, pairs: &[(&str, &str)]) -> Request<Body> {
    let now = NOW_S.to_string();
    let mut all = vec![
        ("Action", action),
        ("Version", LIVE),
        ("Timestamp", now.as_str()),
        ("Nonce", "7"),
        ("SecretId", SECRET_ID),
        ("SignatureMethod", method),
        ("Region", ""),
    ];
    all.extend_from_slice(pairs);
    let mut sorted = all.clone();
    sorted.sort_unstable();
    let joined: Vec<String> =
        sorted.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let text = format!("{verb}server/?{}", joined.join("&"));
    let digest = match method {
        "HmacSHA1" => mac::<Hmac<Sha1>>(SECRET_KEY.as_bytes(), &text),
        _ => mac::<Hmac<Sha256>>(SECRET_KEY.as_bytes(), &text),
    };
    let signature = STANDARD.encode(digest);
    all.push(("Signature", &signature));
    let form = encoded(&all);
    let request = Request::builder().method(verb).header("Host", "server");
    match verb {
        "GET" => request.uri(format!("/?{form}")).body(Body::empty()),
        _ => request
            .uri("/")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.into()),
    }
    .unwrap()
}

pub fn encoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
