//! Templates and rules of callbacks.

use serde_json::{Value, json};

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

/// A receiver that is never called is no receiver.
#[tokio::test]
async fn an_address_in_a_denied_network_is_refused() {
    for server in servers().await {
        let server = server.with(|state| {
            let mut settings = (*state.settings).clone();
            settings.deny_networks = vec!["127.0.0.0/8".parse().unwrap()];
            state.settings = settings.into();
        });
        let template = |url: &str| json!({ "TemplateName": "t", "RecordNotifyUrl": url });
        for url in [
            "http://127.0.0.1:9/x",
            "http://0x7f.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0/",
        ] {
            let code = server.refused("CreateLiveCallbackTemplate", template(url)).await;
            assert_eq!(code, "InvalidParameter.UrlNotSafe", "{url}");
        }
        let id = server.ok("CreateLiveCallbackTemplate", template("http://10.0.0.1/")).await;
        let id = id["TemplateId"].clone();
        let change = |extra: Value| {
            let mut body = json!({ "TemplateId": id });
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            body
        };
        let modify = "ModifyLiveCallbackTemplate";
        let denied = change(json!({ "StreamEndNotifyUrl": "https://127.1.2.3" }));
        assert_eq!(server.refused(modify, denied).await, "InvalidParameter.UrlNotSafe");
        server.ok(modify, change(json!({ "StreamEndNotifyUrl": "https://localhost/" }))).await;
        // One that was stored before its network was denied does not keep the rest from being changed.
        let server = server.with(|state| {
            let mut settings = (*state.settings).clone();
            settings.deny_networks.push("10.0.0.0/8".parse().unwrap());
            state.settings = settings.into();
        });
        server.ok(modify, change(json!({ "Description": "d" }))).await;
    }
}
