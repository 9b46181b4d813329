//! A client of the vendor-compatible API: TC3-HMAC-SHA256 over plain HTTP, as the SDKs sign.

use std::{
    io::{Cursor, Read},
    net::SocketAddr,
};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::server::{SECRET_ID, SECRET_KEY, Server};

/// Version of the Live product.
pub const LIVE: &str = "2018-08-01";
/// Version of the VOD product.
pub const VOD: &str = "2018-07-17";

impl Server {
    /// Calls an action of the Live product; it must succeed.
    pub fn live(&self, action: &str, parameters: Value) -> Value {
        let answer = call(self, LIVE, action, &parameters);
        assert!(answer.get("Error").is_none(), "{action} {parameters}: {answer}");
        answer
    }

    /// Calls an action of the VOD product; it must succeed.
    pub fn vod(&self, action: &str, parameters: Value) -> Value {
        let answer = call(self, VOD, action, &parameters);
        assert!(answer.get("Error").is_none(), "{action} {parameters}: {answer}");
        answer
    }

    /// The error code that an action of the Live product answers.
    pub fn live_error(&self, action: &str, parameters: Value) -> String {
        let answer = call(self, LIVE, action, &parameters);
        answer["Error"]["Code"].as_str().unwrap_or_else(|| panic!("no error: {answer}")).to_owned()
    }

    /// Makes a template with these formats (`"Flv"`, `"Hls"`, `"Mp4"`, `"Aac"`) and a rule that binds it.
    pub fn record(&self, app: &str, stream: &str, formats: &[&str], interval_s: i64) -> i64 {
        let mut template = json!({"TemplateName": "test"});
        for format in formats {
            template[format!("{format}Param")] = json!({"Enable": 1, "RecordInterval": interval_s});
        }
        let answer = self.live("CreateLiveRecordTemplate", template);
        let id = answer["TemplateId"].as_i64().unwrap();
        self.live(
            "CreateLiveRecordRule",
            json!({"DomainName": "live.local", "AppName": app, "StreamName": stream, "TemplateId": id}),
        );
        id
    }

    /// Sends every event of the default domain to a receiver.
    pub fn call_back(&self, url: &str, key: &str) {
        let answer = self.live(
            "CreateLiveCallbackTemplate",
            json!({
                "TemplateName": "test", "CallbackKey": key,
                "StreamBeginNotifyUrl": url, "StreamEndNotifyUrl": url,
                "RecordNotifyUrl": url, "RecordStatusNotifyUrl": url,
                "PushExceptionNotifyUrl": url, "RecordExceptionNotifyUrl": url,
                "RecordExceptionLevels": ["error", "warning", "info"],
            }),
        );
        self.live(
            "CreateLiveCallbackRule",
            json!({"DomainName": "live.local", "AppName": "", "TemplateId": answer["TemplateId"]}),
        );
    }
}

/// A `GET`; the status must be 200.
pub fn get(url: &str) -> impl Read {
    let answer = block_on(async {
        let answer = client().get(url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{url}");
        answer.bytes().await.unwrap()
    });
    Cursor::new(answer)
}

/// The status of the answer to a GET.
pub fn status(url: &str) -> u16 {
    block_on(async { client().get(url).send().await.unwrap().status().as_u16() })
}

fn call(server: &Server, version: &str, action: &str, parameters: &Value) -> Value {
    let body = parameters.to_string();
    let pair = [SECRET_ID, SECRET_KEY];
    let text = signed(server.http, pair, version, action, "", &body);
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["Response"].take()
}

/// Sends a request signed with a key pair and gives the answer's body, which is that of a 200. A
/// query makes it a GET; else it is a POST of `body`, whatever that may be.
pub fn signed(
    http: SocketAddr,
    pair: [&str; 2],
    version: &str,
    action: &str,
    query: &str,
    body: &str,
) -> String {
    let now = chrono::Utc::now();
    let (timestamp, date) = (now.timestamp().to_string(), now.format("%Y-%m-%d").to_string());
    let (verb, content_type) = match query {
        "" => ("POST", "application/json"),
        _ => ("GET", "application/x-www-form-urlencoded"),
    };
    let sha256 = |text: &str| hex::encode(Sha256::digest(text.as_bytes()));
    let canonical = format!(
        "{verb}\n/\n{query}\ncontent-type:{content_type}\nhost:{http}\n\ncontent-type;host\n{}",
        sha256(body)
    );
    let scope = format!("{date}/live/tc3_request");
    let to_sign = format!("TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{}", sha256(&canonical));
    let [id, secret] = pair;
    let mut key = format!("TC3{secret}").into_bytes();
    for part in [date.as_str(), "live", "tc3_request", to_sign.as_str()] {
        key = hmac(&key, part);
    }
    let authorization = format!(
        "TC3-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders=content-type;host, Signature={}",
        hex::encode(key)
    );
    block_on(async {
        let url = format!("http://{http}/{}{query}", if query.is_empty() { "" } else { "?" });
        let answer = client()
            .request(verb.parse().unwrap(), url)
            .header("content-type", content_type)
            .header("x-tc-action", action)
            .header("x-tc-version", version)
            .header("x-tc-timestamp", timestamp)
            .header("authorization", authorization)
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        answer.text().await.unwrap()
    })
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
