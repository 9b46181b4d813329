//! Templates and rules of callbacks.

use serde_json::json;

use super::client::*;

#[tokio::test]
async fn callback_templates() {
    for server in servers().await {
        let create = "CreateLiveCallbackTemplate";
        let body = json!({
            "TemplateName": "cb1", "Description": "two words", "RecordNotifyUrl": "http://127.0.0.1:9000/cb?x=1&y=2",
            "RecordStatusNotifyUrl": "https://a.example/332", "RecordExceptionLevels": ["error", "warning"],
            "CallbackKey": "k123", "StreamMixNotifyUrl": "http://a/mix",
        });
        let id = server.ok(create, body).await["TemplateId"].clone();
        let wanted = json!({
            "TemplateId": id, "TemplateName": "cb1", "Description": "two words", "StreamBeginNotifyUrl": "",
            "StreamEndNotifyUrl": "", "RecordNotifyUrl": "http://127.0.0.1:9000/cb?x=1&y=2",
            "RecordStatusNotifyUrl": "https://a.example/332", "SnapshotNotifyUrl": "", "PornCensorshipNotifyUrl": "",
            "PushExceptionNotifyUrl": "", "AudioAuditNotifyUrl": "", "RecordExceptionNotifyUrl": "",
            "RecordExceptionLevels": ["error", "warning"], "CallbackKey": "k123", "StreamMixNotifyUrl": "http://a/mix",
        });
        let answer = server.ok("DescribeLiveCallbackTemplate", json!({ "TemplateId": id })).await;
        assert_eq!(answer["Template"], wanted);

        for (body, wanted) in [
            (json!({ "TemplateName": "a" }), "InvalidParameter"),
            (
                json!({ "TemplateName": "a b", "RecordNotifyUrl": "http://a" }),
                "InvalidParameter.ArgsNotMatch",
            ),
            (
                json!({ "TemplateName": "a", "RecordNotifyUrl": "ftp://a" }),
                "InvalidParameter.UrlNotSafe",
            ),
            (
                json!({ "TemplateName": "a", "StreamEndNotifyUrl": "a.com" }),
                "InvalidParameter.UrlNotSafe",
            ),
            (
                json!({ "TemplateName": "a", "RecordNotifyUrl": "http://a", "RecordExceptionLevels": ["x"] }),
                "InvalidParameterValue",
            ),
            (
                json!({ "TemplateName": "a", "RecordNotifyUrl": "http://a", "RecordExceptionLevels": "error" }),
                "InvalidParameter",
            ),
            (json!({ "RecordNotifyUrl": "http://a" }), "MissingParameter"),
        ] {
            assert_eq!(server.refused(create, body.clone()).await, wanted, "{body}");
        }

        let modify = "ModifyLiveCallbackTemplate";
        server.ok(modify, json!({ "TemplateId": id, "CallbackKey": "other", "StreamEndNotifyUrl": "http://b" })).await;
        assert_eq!(
            server.refused(modify, json!({ "TemplateId": 999 })).await,
            "FailedOperation.NotFound"
        );
        assert_eq!(
            server
                .refused(modify, json!({ "TemplateId": id, "StreamMixNotifyUrl": "http://c" }))
                .await,
            "UnknownParameter"
        );
        let all = server.ok("DescribeLiveCallbackTemplates", json!({})).await["Templates"].clone();
        assert_eq!(all[0]["CallbackKey"], "other");
        assert_eq!(all[0]["RecordNotifyUrl"], "http://127.0.0.1:9000/cb?x=1&y=2");
        assert_eq!(all.as_array().unwrap().len(), 1);

        let rule = json!({ "DomainName": "d.com", "AppName": "live", "TemplateId": id });
        server.ok("CreateLiveCallbackRule", rule.clone()).await;
        assert_eq!(
            server.refused("CreateLiveCallbackRule", rule).await,
            "FailedOperation.RuleAlreadyExist"
        );
        server
            .ok("CreateLiveCallbackRule", json!({ "DomainName": "d.com", "TemplateId": id }))
            .await;
        let unknown = json!({ "DomainName": "d.com", "AppName": "x", "TemplateId": 999 });
        assert_eq!(
            server.refused("CreateLiveCallbackRule", unknown).await,
            "InvalidParameter.ConfNotFound"
        );
        let rules = server.ok("DescribeLiveCallbackRules", json!({})).await["Rules"].clone();
        assert_eq!(rules.as_array().unwrap().len(), 2);
        assert_eq!(rules[1]["AppName"], "live");
        assert_eq!(rules[1]["CreateTime"], "2026-11-22 18:43:56");
        assert!(rules[1].get("StreamName").is_none());
        assert_eq!(server.state.snapshot.load().callback_rules.len(), 2);
        assert_eq!(
            server.refused("DeleteLiveCallbackTemplate", json!({ "TemplateId": id })).await,
            "FailedOperation.ConfInUsed"
        );
        server.ok("DeleteLiveCallbackRule", json!({ "DomainName": "d.com" })).await;
        server
            .ok("DeleteLiveCallbackRule", json!({ "DomainName": "d.com", "AppName": "live" }))
            .await;
        assert_eq!(
            server.refused("DeleteLiveCallbackRule", json!({ "DomainName": "d.com" })).await,
            "FailedOperation.NotFound"
        );
        server.ok("DeleteLiveCallbackTemplate", json!({ "TemplateId": id })).await;
    }
}
