//! The audit log.

use serde_json::json;

use super::client::*;

const DESCRIBE: &str = "LiverecDescribeAudit";

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
