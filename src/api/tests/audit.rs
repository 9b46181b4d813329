//! The audit log.

use std::{net::SocketAddr, sync::Arc};

use axum::extract::ConnectInfo;
use serde_json::json;

use super::{super::ApiSettings, client::*};

const DESCRIBE: &str = "LiverecDescribeAudit";

#[tokio::test]
async fn the_client_behind_a_trusted_proxy_is_written_down() {
    for server in servers().await {
        let server = server.with(|state| {
            let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
            let settings = ApiSettings { trusted_proxies, ..(*state.settings).clone() };
            state.settings = Arc::new(settings);
        });
        for (peer, seen) in [("10.0.0.1:1", "203.0.113.7"), ("192.0.2.1:1", "192.0.2.1")] {
            let mut request = tc3_post("LiverecDoctor", "{}");
            let peer: SocketAddr = peer.parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(peer));
            request.headers_mut().insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
            server.send(request).await;
            let told = server.ok(DESCRIBE, json!({})).await;
            assert_eq!(told["AuditList"][0]["ClientIp"], seen);
        }
    }
}

#[tokio::test]
async fn changes_are_written_down_without_secrets() {
    for server in servers().await {
        let domain = json!({ "DomainName": "push.example.com" });
        let keys = json!({
            "DomainName": "push.example.com", "Enable": 1, "MasterAuthKey": "topsecret1", "AuthDelta": 60,
        });
        server
            .ok("AddLiveDomain", json!({ "DomainName": "push.example.com", "DomainType": 0 }))
            .await;
        server.ok("ModifyLivePushAuthKey", keys).await;
        let made = server.ok("CreateLiveRecordTemplate", json!({ "TemplateName": "t" })).await;
        assert_eq!(server.refused("DeleteLiveRecordTemplate", json!({})).await, "MissingParameter");
        server.ok("DescribeLiveDomain", domain).await;

        let told = server.ok(DESCRIBE, json!({})).await;
        assert_eq!(told["TotalNum"], 4, "what only reads is not written down: {told}");
        let list = told["AuditList"].as_array().unwrap();
        let seen: Vec<_> = list.iter().map(|row| (&row["ActionName"], &row["Outcome"])).collect();
        assert_eq!(
            seen,
            [
                (&json!("DeleteLiveRecordTemplate"), &json!("MissingParameter")),
                (&json!("CreateLiveRecordTemplate"), &json!("OK")),
                (&json!("ModifyLivePushAuthKey"), &json!("OK")),
                (&json!("AddLiveDomain"), &json!("OK")),
            ]
        );
        assert!(!told.to_string().contains("topsecret1"), "{told}");
        let answer = list[1]["Answer"].as_str().unwrap();
        assert!(answer.contains(&made["TemplateId"].to_string()), "{answer}");
        assert_eq!(list[1]["RequestId"], made["RequestId"]);
        assert_eq!((&list[1]["SecretId"], &list[1]["Role"]), (&json!(SECRET_ID), &json!("admin")));

        for (filter, found) in [
            (json!({ "ActionName": "AddLiveDomain" }), 1),
            (json!({ "Text": "push.example.com" }), 2),
            (json!({ "SecretId": "another" }), 0),
            (json!({ "EndTime": "2020-01-01T00:00:00Z" }), 0),
            (json!({ "StartTime": "2020-01-01T00:00:00Z", "PageSize": 1 }), 4),
        ] {
            assert_eq!(server.ok(DESCRIBE, filter.clone()).await["TotalNum"], found, "{filter}");
        }
        let reversed =
            json!({ "StartTime": "2020-01-02T00:00:00Z", "EndTime": "2020-01-01T00:00:00Z" });
        assert_eq!(server.refused(DESCRIBE, reversed).await, "InvalidParameterValue");

        let db = &server.state.db;
        assert_eq!(db.prune_audit(NOW_S * 1000).await.unwrap(), 0);
        let later_ms = NOW_S * 1000 + crate::domain::audit::KEPT_MS;
        assert_eq!(db.prune_audit(later_ms + 1).await.unwrap(), 4);
    }
}
