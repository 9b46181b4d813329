//! Shapes, signatures and errors that belong to no action.

use std::{fs, path::Path, sync::Arc};

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use super::{super::ACTIONS, client::*};

const FLAT: [(&str, &str); 5] = [
    ("TemplateName", "rec-1"),
    ("Description", "录制 a&b=c+d/~"),
    ("Mp4Param.Enable", "1"),
    ("Mp4Param.RecordInterval", "3600"),
    ("RemoveWatermark", "True"),
];

#[tokio::test]
async fn every_shape_and_signature_is_the_same_call() {
    let nested = json!({
        "TemplateName": "rec-1", "Description": "录制 a&b=c+d/~",
        "Mp4Param": { "Enable": "1", "RecordInterval": 3600 }, "RemoveWatermark": true,
    });
    let boundary = "multipart/form-data; boundary=XX";
    let part = |name: &str, value: &str| {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart = [
        part("TemplateName", "rec-1"),
        part("Description", "录制 a&b=c+d/~"),
        part("Mp4Param", r#"{"Enable":1,"RecordInterval":3600}"#),
        part("RemoveWatermark", "true"),
        "--XX--\r\n".to_owned(),
    ]
    .concat();
    for server in servers().await {
        let create = "CreateLiveRecordTemplate";
        let requests = [
            tc3_post(create, &nested.to_string()),
            tc3_get(create, &FLAT),
            v1("GET", "HmacSHA1", create, &FLAT),
            v1("POST", "HmacSHA1", create, &FLAT),
            v1("GET", "HmacSHA256", create, &FLAT),
            v1("POST", "HmacSHA256", create, &FLAT),
            tc3_raw("POST", "/", boundary, multipart.as_bytes())
                .header("X-TC-Action", create)
                .header("X-TC-Version", LIVE)
                .body(multipart.clone().into())
                .unwrap(),
        ];
        let mut seen = Vec::new();
        for request in requests {
            let answer = server.send(request).await;
            let id = answer["TemplateId"].as_i64().unwrap_or_else(|| panic!("{answer}"));
            let mut template = server
                .ok("DescribeLiveRecordTemplate", json!({ "TemplateId": id }))
                .await["Template"]
                .take();
            template["TemplateId"] = Value::Null;
            seen.push(template);
        }
        assert!(seen.iter().all(|t| *t == seen[0]), "{seen:#?}");
        assert_eq!(seen[0]["Description"], "录制 a&b=c+d/~");
        assert_eq!(seen[0]["RemoveWatermark"], true);
    }
}

#[tokio::test]
async fn captured_requests_reach_their_actions() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/captures/live");
    let server = servers().await.remove(0).with(|state| {
        // The captures were taken within an hour.
        let settings = Arc::make_mut(&mut state.settings);
        settings.clock_skew_s = 3600;
    });
    let (mut done, mut codes) = (0, std::collections::BTreeMap::new());
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let raw = fs::read(&path).unwrap();
        let split = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&raw[..split]).unwrap();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap().split(' ');
        let mut request =
            Request::builder().method(first.next().unwrap()).uri(first.next().unwrap());
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            request = request.header(name, value.trim());
        }
        let answer =
            server.send(request.body(Body::from(raw[split + 4..].to_vec())).unwrap()).await;
        *codes.entry(code(&answer)).or_insert(0) += 1;
        done += 1;
    }
    assert_eq!(done, 73);
    // One is unsigned; the tasks lie in the past; the rules to delete were never made.
    assert_eq!(codes.remove("AuthFailure.InvalidAuthorization"), Some(1));
    assert!(
        codes.keys().all(|c| !c.starts_with("AuthFailure") && c != "UnknownParameter"),
        "{codes:?}"
    );
    assert!(codes["no error"] > 30, "{codes:?}");
}

#[tokio::test]
async fn an_action_may_be_named_by_the_path() {
    let server = servers().await.remove(0);
    let body = br#"{"TemplateName":"a"}"#;
    for with_version in [true, false] {
        let mut request = tc3_raw("POST", "/CreateLiveRecordTemplate", "application/json", body);
        if with_version {
            request = request.header("X-TC-Version", LIVE);
        }
        let answer = server.send(request.body(Body::from(&body[..])).unwrap()).await;
        assert!(answer["TemplateId"].is_i64(), "{answer}");
    }
    let request =
        tc3_raw("POST", "/some/path", "application/json", body).header("X-TC-Version", LIVE);
    assert_eq!(
        code(&server.send(request.body(Body::from(&body[..])).unwrap()).await),
        "InvalidAction"
    );
    // A header wins over the path, wherever a client was pointed at.
    let request = tc3_raw("POST", "/some/path", "application/json", b"{}")
        .header("X-Tc-Action", "DescribeLiveRecordRules")
        .header("X-Tc-Version", LIVE);
    assert_eq!(server.send(request.body(Body::from("{}")).unwrap()).await["Rules"], json!([]));
}

#[tokio::test]
async fn what_is_not_asked_properly_is_refused() {
    let server = servers().await.remove(0);
    let plain = |verb: &str, target: &str| {
        Request::builder()
            .method(verb)
            .uri(target)
            .header("Host", "server")
            .body(Body::empty())
            .unwrap()
    };
    for verb in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(code(&server.send(plain(verb, "/")).await), "UnsupportedProtocol", "{verb}");
    }
    assert_eq!(code(&server.send(plain("GET", "/")).await), "InvalidAction");
    let unsigned =
        server.send(plain("GET", "/?Action=DescribeLiveRecordRules&Version=2018-08-01")).await;
    assert_eq!(
        unsigned["Error"]["Message"],
        "The request is missing a required parameter `Signature`."
    );
    let answer = server.send(plain("GET", "/?Action")).await;
    assert_eq!(answer["Error"]["Message"], "Url key and value should be splited by `=`.");

    let tc3 = |action: &str, version: &str| {
        let request = tc3_raw("POST", "/", "application/json", b"{}").header("X-TC-Action", action);
        request.header("X-TC-Version", version).body(Body::from("{}")).unwrap()
    };
    assert_eq!(code(&server.send(tc3("NoSuchAction", LIVE)).await), "InvalidAction");
    let unsupported = server.send(tc3("AddDelayLiveStream", LIVE)).await;
    assert_eq!(code(&unsupported), "UnsupportedOperation");
    assert!(unsupported["Error"]["Message"].as_str().unwrap().contains("AddDelayLiveStream"));
    assert_eq!(code(&server.send(tc3("SearchMedia", LIVE)).await), "InvalidAction");
    assert_eq!(
        code(&server.send(tc3("DescribeLiveRecordRules", "2018-07-17")).await),
        "InvalidAction"
    );
    assert_eq!(
        code(&server.send(tc3("DescribeLiveRecordRules", "2020-01-01")).await),
        "NoSuchVersion"
    );
    assert_eq!(code(&server.send(tc3("DescribeLiveRecordRules", "")).await), "MissingParameter");
    assert_eq!(code(&server.send(tc3("SearchMedia", "2018-07-17")).await), "no error");

    let unsigned =
        Request::post("/").header("Host", "server").header("Content-Type", "application/json");
    let unsigned =
        unsigned.header("X-TC-Action", "DescribeLiveRecordRules").body(Body::from("{}")).unwrap();
    assert_eq!(code(&server.send(unsigned).await), "AuthFailure.InvalidAuthorization");
    let odd = tc3_raw("POST", "/", "application/xml", b"<a/>")
        .header("X-TC-Action", "DescribeLiveRecordRules");
    assert_eq!(code(&server.send(odd.body(Body::from("<a/>")).unwrap()).await), "InvalidRequest");
    assert_eq!(
        code(&server.send(tc3_post("DescribeLiveRecordRules", "{")).await),
        "InvalidRequest"
    );
    assert_eq!(
        code(&server.send(tc3_post("DescribeLiveRecordRules", "[]")).await),
        "InvalidRequest"
    );

    let answer = server.call("DescribeLiveRecordRules", json!({ "Foo": 1 })).await;
    assert_eq!(
        answer["Error"],
        json!({ "Code": "UnknownParameter", "Message": "The parameter `Foo` is not recognized." })
    );
    let answer = server
        .call("CreateLiveRecordTemplate", json!({ "TemplateName": "a", "Mp4Param": { "Foo": 1 } }))
        .await;
    assert_eq!(answer["Error"]["Message"], "The parameter `Mp4Param.Foo` is not recognized.");
    let answer = server.call("CreateLiveRecordTemplate", json!({ "TemplateName": "" })).await;
    assert_eq!(
        answer["Error"]["Message"],
        "The request is missing a required parameter `TemplateName`."
    );
    assert_eq!(
        server.refused("CreateLiveRecordTemplate", json!({ "TemplateName": ["a"] })).await,
        "InvalidParameter"
    );
}

#[tokio::test]
async fn unknown_parameters_may_be_ignored() {
    let server = servers().await.remove(0).with(|state| {
        Arc::make_mut(&mut state.settings).rejects_unknown = false;
    });
    server.ok("DescribeLiveRecordRules", json!({ "Foo": 1 })).await;
    let body = json!({ "TemplateName": "a", "Mp4Param": { "Enable": 1, "New": {} }, "Newer": [] });
    server.ok("CreateLiveRecordTemplate", body).await;
}

#[tokio::test]
async fn keys_and_clocks_are_checked() {
    let server = servers().await.remove(0);
    let mut other = tc3_post("DescribeLiveRecordRules", "{}");
    let sent = other.headers()["authorization"].to_str().unwrap().replace(SECRET_ID, "AKIDOTHER");
    other.headers_mut().insert("authorization", sent.parse().unwrap());
    let answer = server.send(other).await;
    assert_eq!(code(&answer), "AuthFailure.SecretIdNotFound");
    let mut forged = tc3_post("DescribeLiveRecordRules", "{}");
    *forged.body_mut() = Body::from("{ }");
    assert_eq!(code(&server.send(forged).await), "AuthFailure.SignatureFailure");
    let late = server.with(|state| state.clock = || (NOW_S + 301) * 1000);
    assert_eq!(
        late.refused("DescribeLiveRecordRules", json!({})).await,
        "AuthFailure.SignatureExpire"
    );
    for method in ["HmacSHA1", "HmacSHA256"] {
        let answer = late.send(v1("GET", method, "DescribeLiveRecordRules", &[])).await;
        assert_eq!(code(&answer), "AuthFailure.SignatureExpire");
    }
    let early = late.with(|state| state.clock = || (NOW_S - 300) * 1000);
    early.ok("DescribeLiveRecordRules", json!({})).await;
}

#[tokio::test]
async fn actions_have_unambiguous_names() {
    let mut names: Vec<&str> = ACTIONS.iter().map(|a| a.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ACTIONS.len());
}
