//! Names in parameters: with which code one that cannot be is refused, and which no push can have.

use serde_json::{Value, json};

use super::client::*;
use crate::domain::forbidden_stream::ForbidScope;

fn with(domain: &str, extra: Value) -> Value {
    let mut body = json!({ "DomainName": domain });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// Only some actions list DomainFormatError (spec live-api 15.3).
#[tokio::test]
async fn a_domain_that_is_none_is_refused_with_the_code_of_the_action() {
    let server = servers().await.remove(0);
    let stream = json!({ "AppName": "live", "StreamName": "s" });
    let task = json!({ "AppName": "live", "StreamName": "s", "EndTime": NOW_S + 60 });
    let legacy = json!({
        "StreamName": "s", "StartTime": "2026-11-22 18:50:00", "EndTime": "2026-11-22 19:50:00",
    });
    let kind = json!({ "DomainType": 0 });
    let (template, none) = (json!({ "TemplateId": 1, "AppName": "live" }), json!({}));
    let (format, other) = ("InvalidParameter.DomainFormatError", "InvalidParameter");
    for (action, extra, code) in [
        ("AddLiveDomain", &kind, format),
        ("DeleteLiveDomain", &kind, format),
        ("EnableLiveDomain", &none, format),
        ("ForbidLiveDomain", &none, other),
        ("DescribeLiveDomain", &none, other),
        ("CreateLiveRecordRule", &template, format),
        ("DeleteLiveRecordRule", &none, format),
        ("CreateLiveCallbackRule", &template, other),
        ("DeleteLiveCallbackRule", &none, other),
        ("CreateRecordTask", &task, other),
        ("CreateLiveRecord", &legacy, other),
        ("ModifyLivePushAuthKey", &none, other),
        ("DescribeLivePushAuthKey", &none, other),
        ("DescribeLiveStreamState", &stream, other),
        ("DropLiveStream", &stream, other),
        ("ForbidLiveStream", &stream, other),
        ("ResumeLiveStream", &stream, other),
        ("LiverecExplainRecord", &stream, other),
        ("LiverecModifyDomainLimits", &none, other),
    ] {
        let refused = server.refused(action, with("a b", extra.clone())).await;
        assert_eq!(refused, code, "{action}");
    }
}

/// A rule, a task or a ban for such a name would be without effect and say nothing.
#[tokio::test]
async fn nothing_is_stored_for_a_name_that_no_push_can_have() {
    for server in servers().await {
        let template = server.ok("CreateLiveRecordTemplate", json!({ "TemplateName": "t" })).await;
        let callbacks = json!({ "TemplateName": "cb", "RecordNotifyUrl": "http://example.com/" });
        let callbacks = server.ok("CreateLiveCallbackTemplate", callbacks).await;
        for (app, stream) in [("live/", "s"), ("a?b", "s"), ("/", "s"), ("live", "a?b")] {
            let named = |extra: Value| {
                let mut body = with("push.example.com", extra);
                body["AppName"] = json!(app);
                body["StreamName"] = json!(stream);
                body
            };
            let mut calls = vec![
                ("CreateLiveRecordRule", named(json!({ "TemplateId": template["TemplateId"] }))),
                ("CreateRecordTask", named(json!({ "EndTime": NOW_S + 60 }))),
            ];
            // A ban looks at the stream name alone.
            if stream != "s" {
                calls.push(("ForbidLiveStream", named(json!({}))));
            }
            let window =
                json!({ "StartTime": "2026-11-22 18:50:00", "EndTime": "2026-11-22 19:50:00" });
            calls.push(("CreateLiveRecord", named(window)));
            if stream == "s" {
                let mut rule = named(json!({ "TemplateId": callbacks["TemplateId"] }));
                rule.as_object_mut().unwrap().remove("StreamName");
                calls.push(("CreateLiveCallbackRule", rule));
            }
            for (action, parameters) in calls {
                let refused = server.refused(action, parameters).await;
                assert_eq!(refused, "InvalidParameter", "{action} {app} {stream}");
            }
        }
        assert!(server.state.snapshot.load().push_domains.is_empty());
    }
}

/// A ban is refused only for the names that it looks at: with `publish.forbid_scope = "name"` it works
/// whatever the application is called.
#[tokio::test]
async fn a_ban_is_held_to_the_names_it_looks_at() {
    for server in servers().await {
        let ban =
            |app: &str| with("push.example.com", json!({ "AppName": app, "StreamName": "s" }));
        server.ok("ForbidLiveStream", ban("live/")).await;
        let state = server.ok("DescribeLiveStreamState", ban("live")).await;
        assert_eq!(state["StreamState"], "forbid");
        let server = server.with(|state| {
            let mut settings = (*state.settings).clone();
            settings.forbid_scope = ForbidScope::Path;
            state.settings = settings.into();
        });
        assert_eq!(server.refused("ForbidLiveStream", ban("a/")).await, "InvalidParameter");
    }
}

/// What an earlier version stored can be seen and taken away.
#[tokio::test]
async fn what_has_such_a_name_already_can_go() {
    for server in servers().await {
        let template = server.ok("CreateLiveRecordTemplate", json!({ "TemplateName": "t" })).await;
        let rule = with("push.example.com", json!({ "TemplateId": template["TemplateId"] }));
        server.ok("CreateLiveRecordRule", rule).await;
        let ban = json!({ "AppName": "live", "StreamName": "s" });
        server.ok("ForbidLiveStream", with("push.example.com", ban)).await;
        for edit in [
            "UPDATE record_rule SET app = 'live/', stream = 'a?b'",
            "UPDATE forbidden_stream SET app = 'live/', stream = 'a?b'",
        ] {
            sqlx::query(edit).execute(server.state.db.pool()).await.unwrap();
        }
        server.state.reload().await.unwrap();
        let odd = with("push.example.com", json!({ "AppName": "live/", "StreamName": "a?b" }));
        server.ok("DescribeLiveStreamState", odd.clone()).await;
        server.ok("DropLiveStream", odd.clone()).await;
        server.ok("ResumeLiveStream", odd.clone()).await;
        assert_eq!(server.ok("DescribeLiveForbidStreamList", json!({})).await["TotalNum"], 0);
        server.ok("DeleteLiveRecordRule", odd).await;
        assert_eq!(server.ok("DescribeLiveRecordRules", json!({})).await["Rules"], json!([]));
    }
}

/// Without it nobody can push by address, and domains without keys of their own have none.
#[tokio::test]
async fn the_default_domain_stays() {
    for server in servers().await {
        let domain = with("live.local", json!({ "DomainType": 0 }));
        server.ok("AddLiveDomain", domain.clone()).await;
        assert_eq!(server.refused("DeleteLiveDomain", domain.clone()).await, "FailedOperation");
        let play = with("live.local", json!({ "DomainType": 1 }));
        let refused = server.refused("DeleteLiveDomain", play).await;
        assert_eq!(refused, "ResourceNotFound.DomainNotExist");
        let server = server.with(|state| {
            let mut settings = (*state.settings).clone();
            settings.default_domain =
                crate::domain::stream::DomainName::parse("other.local").unwrap();
            state.settings = settings.into();
        });
        server.ok("DeleteLiveDomain", domain).await;
    }
}
