//! How many rows of each kind there may be, at the same time and one after the other.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::client::*;
use crate::domain::limits::Limits;

fn limited(server: Server, limits: Limits) -> Server {
    server.with(|state| state.db = state.db.clone().with_limits(limits))
}

fn push(name: &str) -> Value {
    json!({ "DomainName": name, "DomainType": 0 })
}

fn task(extra: Value) -> Value {
    let mut body = json!({
        "DomainName": "a.example.com", "AppName": "live", "StreamName": "s", "EndTime": NOW_S + 60,
    });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

fn legacy(extra: Value) -> Value {
    let mut body = json!({
        "StreamName": "s", "StartTime": "2026-11-22 18:50:00", "EndTime": "2026-11-22 19:50:00",
    });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn domains_that_rules_and_tasks_name_count() {
    for server in servers().await {
        let server = limited(server, Limits { domains: 2, ..Limits::default() });
        let template = server.ok("CreateLiveRecordTemplate", json!({ "TemplateName": "t" })).await;
        let callbacks = json!({ "TemplateName": "cb", "RecordNotifyUrl": "http://example.com/" });
        let callbacks = server.ok("CreateLiveCallbackTemplate", callbacks).await;
        for name in ["a.example.com", "b.example.com"] {
            server.ok("AddLiveDomain", push(name)).await;
        }
        let more = push("c.example.com");
        assert_eq!(server.refused("AddLiveDomain", more).await, "FailedOperation.HostOutLimit");
        let naming = |name: &str| {
            [
                (
                    "CreateLiveRecordRule",
                    json!({ "DomainName": name, "TemplateId": template["TemplateId"] }),
                ),
                (
                    "CreateLiveCallbackRule",
                    json!({ "DomainName": name, "TemplateId": callbacks["TemplateId"] }),
                ),
                ("CreateRecordTask", task(json!({ "DomainName": name }))),
                ("CreateLiveRecord", legacy(json!({ "DomainName": name }))),
            ]
        };
        for (action, parameters) in naming("c.example.com") {
            assert_eq!(server.refused(action, parameters).await, "LimitExceeded", "{action}");
        }
        assert_eq!(server.state.snapshot.load().push_domains.len(), 2);
        for (action, parameters) in naming("a.example.com") {
            server.ok(action, parameters).await;
        }
        server.ok("DeleteLiveDomain", push("b.example.com")).await;
        for (action, parameters) in naming("c.example.com") {
            server.ok(action, parameters).await;
        }
    }
}

#[tokio::test]
async fn a_name_is_one_domain_however_many_add_it_at_once() {
    for server in servers().await {
        for nth in 0..10 {
            let name = format!("d{nth}.example.com");
            let add = |kind: u8| {
                server.call("AddLiveDomain", json!({ "DomainName": name, "DomainType": kind }))
            };
            let (one, other) = tokio::join!(add(0), add(1));
            let mut codes = [code(&one), code(&other)];
            codes.sort_unstable();
            assert_eq!(codes, ["FailedOperation.DomainAdded", "no error"], "{name}");
        }
        assert_eq!(server.ok("DescribeLiveDomains", json!({})).await["AllCount"], 10);
    }
}

#[tokio::test]
async fn nor_are_there_more_than_may_be() {
    for server in servers().await {
        let server = limited(server, Limits { domains: 5, ..Limits::default() });
        let adds = (0..12).map(|nth| {
            let domain =
                json!({ "DomainName": format!("d{nth}.example.com"), "DomainType": nth % 2 });
            server.call("AddLiveDomain", domain)
        });
        let codes: Vec<String> = join_all(adds).await.iter().map(code).collect();
        assert_eq!(codes.iter().filter(|code| *code == "no error").count(), 5, "{codes:?}");
        assert_eq!(server.ok("DescribeLiveDomains", json!({})).await["AllCount"], 5);
    }
}

#[tokio::test]
async fn a_playback_domain_is_not_pushed_to() {
    for server in servers().await {
        let play = json!({ "DomainName": "a.example.com", "DomainType": 1 });
        server.ok("AddLiveDomain", play.clone()).await;
        assert_eq!(server.refused("CreateRecordTask", task(json!({}))).await, "InvalidParameter");
        assert!(server.state.snapshot.load().push_domains.is_empty());
        server.ok("DeleteLiveDomain", play).await;
        server.ok("CreateRecordTask", task(json!({}))).await;
    }
}

#[tokio::test]
async fn tasks_of_the_two_apis_are_counted_apart() {
    for server in servers().await {
        let limits = Limits { tasks: 2, legacy_tasks: 2, ..Limits::default() };
        let server = limited(server, limits);
        for _ in 0..2 {
            server.ok("CreateLiveRecord", legacy(json!({}))).await;
        }
        let full = "LimitExceeded.MaximumRunningTask";
        assert_eq!(server.refused("CreateLiveRecord", legacy(json!({}))).await, full);
        for _ in 0..2 {
            server.ok("CreateRecordTask", task(json!({}))).await;
        }
        assert_eq!(server.refused("CreateRecordTask", task(json!({}))).await, full);
        let window = json!({ "StartTime": NOW_S - 10, "EndTime": NOW_S + 90_000 });
        let list = server.ok("DescribeRecordTask", window).await;
        let id = list["TaskList"][0]["TaskId"].clone();
        server.ok("StopRecordTask", json!({ "TaskId": id })).await;
        assert_eq!(server.refused("CreateLiveRecord", legacy(json!({}))).await, full);
        server.ok("CreateRecordTask", task(json!({}))).await;
    }
}

#[tokio::test]
async fn legacy_tasks_of_earlier_days_are_not_counted_as_todays() {
    for server in servers().await {
        let limits = Limits { legacy_tasks_per_day: 2, ..Limits::default() };
        let server = limited(server, limits);
        for _ in 0..2 {
            server.ok("CreateLiveRecord", legacy(json!({}))).await;
        }
        let refused = server.refused("CreateLiveRecord", legacy(json!({}))).await;
        assert_eq!(refused, "LimitExceeded.MaximumTask");
        // They were made yesterday and go on until today.
        let yesterday = "UPDATE record_task SET created_ms = created_ms - 86400000";
        sqlx::query(yesterday).execute(server.state.db.pool()).await.unwrap();
        for _ in 0..2 {
            server.ok("CreateLiveRecord", legacy(json!({}))).await;
        }
        let refused = server.refused("CreateLiveRecord", legacy(json!({}))).await;
        assert_eq!(refused, "LimitExceeded.MaximumTask");
        let bodies = (0..4).map(|_| server.call("CreateLiveRecord", legacy(json!({}))));
        assert!(join_all(bodies).await.iter().all(|answer| code(answer) != "no error"));
    }
}

#[tokio::test]
async fn legacy_tasks_made_at_once_are_no_more_than_may_be() {
    for server in servers().await {
        let server = limited(server, Limits { legacy_tasks: 3, ..Limits::default() });
        let calls = (0..8).map(|_| server.call("CreateLiveRecord", legacy(json!({}))));
        let codes: Vec<String> = join_all(calls).await.iter().map(code).collect();
        assert_eq!(codes.iter().filter(|code| *code == "no error").count(), 3, "{codes:?}");
    }
}

#[tokio::test]
async fn a_ban_can_be_changed_when_there_may_be_no_more() {
    for server in servers().await {
        let server = limited(server, Limits { bans: 1, ..Limits::default() });
        let ban = |stream: &str, until: &str| {
            json!({
                "DomainName": "a.example.com", "AppName": "live", "StreamName": stream,
                "ResumeTime": until,
            })
        };
        server.ok("ForbidLiveStream", ban("s", "2026-12-01T00:00:00Z")).await;
        let other = ban("t", "2026-12-01T00:00:00Z");
        assert_eq!(server.refused("ForbidLiveStream", other.clone()).await, "LimitExceeded");
        server.ok("ForbidLiveStream", ban("s", "2026-12-02T00:00:00Z")).await;
        let list = server.ok("DescribeLiveForbidStreamList", json!({})).await;
        assert_eq!(list["TotalNum"], 1);
        assert_eq!(list["ForbidStreamList"][0]["ExpireTime"], "2026-12-02T00:00:00Z");
        let named = json!({ "DomainName": "a.example.com", "AppName": "live", "StreamName": "s" });
        server.ok("ResumeLiveStream", named).await;
        server.ok("ForbidLiveStream", other).await;
    }
}

#[tokio::test]
async fn rules_and_bans_made_at_once_are_no_more_than_may_be() {
    for server in servers().await {
        let limits = Limits { rules: 3, bans: 3, ..Limits::default() };
        let server = limited(server, limits);
        let template = server.ok("CreateLiveRecordTemplate", json!({ "TemplateName": "t" })).await;
        let callbacks = json!({ "TemplateName": "cb", "RecordNotifyUrl": "http://example.com/" });
        let callbacks = server.ok("CreateLiveCallbackTemplate", callbacks).await;
        for (action, id) in [
            ("CreateLiveRecordRule", Some(&template["TemplateId"])),
            ("CreateLiveCallbackRule", Some(&callbacks["TemplateId"])),
            ("ForbidLiveStream", None),
        ] {
            let calls = (0..12).map(|nth| {
                let mut body =
                    json!({ "DomainName": "a.example.com", "AppName": format!("live{nth}") });
                match id {
                    Some(id) => body["TemplateId"] = id.clone(),
                    None => body["StreamName"] = json!("s"),
                }
                server.call(action, body)
            });
            let codes: Vec<String> = join_all(calls).await.iter().map(code).collect();
            let made = codes.iter().filter(|code| *code == "no error").count();
            assert_eq!(made, 3, "{action}: {codes:?}");
        }
    }
}
