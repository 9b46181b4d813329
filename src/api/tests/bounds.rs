//! Bounds of size and memory, and the probes.

use std::{fs, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use super::client::*;

#[tokio::test]
async fn sizes_are_bounded() {
    let server = servers().await.remove(0);
    let rules = "DescribeLiveRecordRules";
    let limit = "RequestSizeLimitExceeded";
    let long = "x".repeat(33 * 1024);
    assert_eq!(code(&server.send(tc3_get(rules, &[("A", &long)])).await), limit);
    let long = "x".repeat(1024 * 1024);
    assert_eq!(code(&server.send(v1("POST", "HmacSHA1", rules, &[("A", &long)])).await), limit);
    assert_eq!(
        code(&server.send(tc3_post(rules, &format!("{{\"A\":\"{long}\"}}"))).await),
        "UnknownParameter"
    );
    let long = "x".repeat(10 * 1024 * 1024 + 1);
    assert_eq!(code(&server.send(tc3_post(rules, &long)).await), limit);
    let mut declared = tc3_post(rules, &long);
    declared.headers_mut().insert("content-length", (10 * 1024 * 1024 + 1).into());
    assert_eq!(code(&server.send(declared).await), limit);
}

#[tokio::test]
async fn memory_for_bodies_is_shared_and_given_back() {
    let server =
        servers().await.remove(0).with(|state| state.bodies = Arc::new(Semaphore::new(100)));
    let large = format!("{{{}}}", " ".repeat(101 * 1024));
    for _ in 0..2 {
        let answer = server.send(tc3_post("DescribeLiveRecordRules", &large)).await;
        assert_eq!(code(&answer), "RequestLimitExceeded");
        assert_eq!(server.state.bodies.available_permits(), 100);
    }
    server.ok("DescribeLiveRecordRules", json!({})).await;
    assert_eq!(server.state.bodies.available_permits(), 100);
    assert_eq!(server.state.running.available_permits(), 64);
}

#[tokio::test]
async fn health_and_metrics() {
    for server in servers().await {
        let get = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = server.router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        assert_eq!(get("/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
        assert_eq!(get("/readyz").await, (StatusCode::OK, "ready\n".to_owned()));
        assert_eq!(get("/metrics").await.0, StatusCode::OK);
        assert_eq!(get("/vod/none").await.0, StatusCode::NOT_FOUND);
        server.state.db.close().await;
        fs::remove_dir_all(server.store_dir()).unwrap();
        // What was found holds for a second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let (status, faults) = get("/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(faults.contains("database cannot be used"), "{faults}");
        assert_eq!(get("/healthz").await.0, StatusCode::OK);
        let answer = server.call("DescribeLiveRecordRules", json!({})).await;
        assert_eq!(code(&answer), "InternalError");
    }
}
