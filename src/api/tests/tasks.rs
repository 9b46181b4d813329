//! Record tasks.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::*;

const DAY_S: i64 = 24 * 3600;

fn body(extra: Value) -> Value {
    let mut body = json!({ "StreamName": "s", "DomainName": "Push.example.com", "AppName": "live", "EndTime": NOW_S + 60 });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

fn window() -> Value {
    json!({ "StartTime": NOW_S - DAY_S, "EndTime": NOW_S + DAY_S })
}

#[tokio::test]
async fn a_task_from_creation_to_deletion() {
    for server in servers().await {
        let template = server.ok("CreateLiveRecordTemplate", json!({ "TemplateName": "t" })).await
            ["TemplateId"]
            .clone();
        let extra = json!({ "TemplateId": template, "StreamType": 0, "Extension": "" });
        let id =
            server.ok("CreateRecordTask", body(extra)).await["TaskId"].as_str().unwrap().to_owned();
        assert!(id.len() == 60 && id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
        let known = server.state.snapshot.load_full();
        assert!(known.record_tasks[0].is_wanted_at(NOW_S * 1000), "in force when answered");
        assert!(known.push_domains.keys().any(|d| d.as_str() == "push.example.com"));

        let answer = server.ok("DescribeRecordTask", window()).await;
        let mut task = json!({
            "TaskId": id, "DomainName": "push.example.com", "AppName": "live", "StreamName": "s",
            "StartTime": NOW_S, "EndTime": NOW_S + 60, "TemplateId": template, "Stopped": 0,
        });
        assert_eq!(answer["TaskList"], json!([task]));
        assert_eq!(answer["ScrollToken"], "");

        server.ok("StopRecordTask", json!({ "TaskId": id })).await;
        assert!(
            !server.state.snapshot.load().record_tasks[0].is_open_at(NOW_S * 1000),
            "stopped at once"
        );
        task["Stopped"] = json!(NOW_S);
        assert_eq!(server.ok("DescribeRecordTask", window()).await["TaskList"], json!([task]));
        server.ok("StopRecordTask", json!({ "TaskId": id })).await;
        server.ok("DeleteRecordTask", json!({ "TaskId": id })).await;
        assert_eq!(server.ok("DescribeRecordTask", window()).await["TaskList"], json!([]));
        for action in ["StopRecordTask", "DeleteRecordTask"] {
            assert_eq!(server.refused(action, json!({ "TaskId": id })).await, "InvalidParameter");
            assert_eq!(server.refused(action, json!({})).await, "MissingParameter");
        }
    }
}

#[tokio::test]
async fn a_deleted_task_is_known_while_it_may_run() {
    let server = servers().await.remove(0);
    let id = server.ok("CreateRecordTask", body(json!({}))).await["TaskId"].clone();
    server.ok("DeleteRecordTask", json!({ "TaskId": id })).await;
    let known = server.state.snapshot.load_full();
    assert!(
        known.record_tasks[0].is_open_at(NOW_S * 1000)
            && !known.record_tasks[0].is_wanted_at(NOW_S * 1000)
    );
}

#[tokio::test]
async fn windows_and_names_are_checked() {
    let server = servers().await.remove(0);
    for (extra, wanted) in [
        (json!({ "StreamName": "" }), "MissingParameter"),
        (json!({ "AppName": null }), "MissingParameter"),
        (json!({ "EndTime": "" }), "MissingParameter"),
        (json!({ "EndTime": "soon" }), "InvalidParameter"),
        (json!({ "EndTime": -1 }), "InvalidParameter"),
        (json!({ "EndTime": u64::MAX }), "InvalidParameter"),
        (json!({ "EndTime": NOW_S }), "InvalidParameter"),
        (json!({ "StartTime": NOW_S + 60 }), "InvalidParameter"),
        (json!({ "EndTime": NOW_S + DAY_S + 1 }), "InvalidParameter"),
        (
            json!({ "StartTime": NOW_S + 7 * DAY_S - 9, "EndTime": NOW_S + 7 * DAY_S }),
            "InvalidParameter",
        ),
        (json!({ "StreamType": 2 }), "InvalidParameter"),
        (json!({ "DomainName": "no domain" }), "InvalidParameter"),
        (json!({ "StreamName": "s".repeat(256) }), "InvalidParameter"),
        (json!({ "Format": "mp4" }), "UnknownParameter"),
    ] {
        assert_eq!(
            server.refused("CreateRecordTask", body(extra.clone())).await,
            wanted,
            "{extra}"
        );
    }
    for extra in [
        json!({ "EndTime": NOW_S + DAY_S }),
        json!({ "StartTime": 0 }),
        json!({ "StartTime": NOW_S - 60, "StreamType": 1 }),
        json!({ "StartTime": NOW_S + 7 * DAY_S - 9, "EndTime": NOW_S + 7 * DAY_S - 1 }),
        json!({ "TemplateId": 999 }),
        json!({ "TemplateId": u64::MAX }),
    ] {
        server.ok("CreateRecordTask", body(extra)).await;
    }
    let answer = server.ok("DescribeRecordTask", window()).await;
    let ids: Vec<&Value> =
        answer["TaskList"].as_array().unwrap().iter().map(|t| &t["TemplateId"]).collect();
    assert!(ids.iter().all(|id| **id == 0), "an unknown template is the default profile: {ids:?}");
}

#[tokio::test]
async fn describe_scrolls_and_filters() {
    for server in servers().await {
        for n in 0..205 {
            let stream = if n % 2 == 0 { "even" } else { "odd" };
            server
                .ok(
                    "CreateRecordTask",
                    body(json!({ "StreamName": stream, "EndTime": NOW_S + 60 + n })),
                )
                .await;
        }
        let (mut token, mut seen, mut pages) = (Value::Null, Vec::new(), 0);
        loop {
            let mut ask = window();
            ask["ScrollToken"] = token;
            let answer = server.ok("DescribeRecordTask", ask).await;
            seen.extend(
                answer["TaskList"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|t| t["TaskId"].as_str().unwrap().to_owned()),
            );
            token = answer["ScrollToken"].clone();
            pages += 1;
            if token == "" {
                break;
            }
        }
        assert_eq!((pages, seen.len()), (3, 205));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 205);

        let count = async |extra: Value| {
            let mut ask = window();
            ask.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let answer = server.ok("DescribeRecordTask", ask).await;
            answer["TaskList"].as_array().unwrap().len()
        };
        assert_eq!(count(json!({ "StreamName": "odd", "EndTime": NOW_S + 70 })).await, 5);
        assert_eq!(
            count(json!({ "DomainName": "PUSH.example.com:1935", "EndTime": NOW_S + 60 })).await,
            1
        );
        assert_eq!(count(json!({ "AppName": "other" })).await, 0);
    }
}

#[tokio::test]
async fn describe_checks_its_window() {
    let server = servers().await.remove(0);
    for (ask, wanted) in [
        (json!({ "StartTime": NOW_S }), "MissingParameter"),
        (json!({ "StartTime": NOW_S, "EndTime": NOW_S }), "InvalidParameter"),
        (
            json!({ "StartTime": NOW_S - 90 * DAY_S - 1, "EndTime": NOW_S - 89 * DAY_S }),
            "InvalidParameter",
        ),
        (json!({ "StartTime": NOW_S, "EndTime": NOW_S + 7 * DAY_S + 1 }), "InvalidParameter"),
        (
            json!({ "StartTime": NOW_S, "EndTime": NOW_S + 9, "ScrollToken": "!" }),
            "InvalidParameter",
        ),
        (
            json!({ "StartTime": NOW_S, "EndTime": NOW_S + 9, "ScrollToken": "MS5h" }),
            "InvalidParameter",
        ),
        (
            json!({ "StartTime": NOW_S, "EndTime": NOW_S + 9, "ScrollToken": "A".repeat(257) }),
            "InvalidParameter",
        ),
        (json!({ "StartTime": NOW_S - 90 * DAY_S, "EndTime": NOW_S - 83 * DAY_S }), "no error"),
    ] {
        assert_eq!(server.refused("DescribeRecordTask", ask.clone()).await, wanted, "{ask}");
    }
}

#[tokio::test]
async fn changes_elsewhere_are_noticed() {
    let server = servers().await.remove(0);
    let token = CancellationToken::new();
    let nudge = Arc::clone(&server.state.nudge);
    let mut reloads = JoinSet::new();
    reloads.spawn(server.state.clone().run_reloads(token.clone()));
    let other = server.state.clone();
    // Another node writes a row without touching this node's snapshot.
    let task = crate::domain::record_task::RecordTask {
        id: "x".repeat(60),
        path: crate::db::callback::testing::path("s"),
        start_s: NOW_S,
        end_s: NOW_S + 60,
        template_id: 0,
        stream_type: 0,
        profile: None,
        stopped_ms: 0,
        deleted_ms: 0,
        created_ms: NOW_S * 1000,
    };
    let created = other.db.create_record_task(&task, NOW_S * 1000).await.unwrap();
    assert_eq!(created, crate::db::record_task::TaskCreation::Created);
    other.db.configuration_changed().notify_one();
    nudge.notified().await;
    assert_eq!(server.state.snapshot.load().record_tasks, [task]);
    token.cancel();
    reloads.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_change_cut_short_asks_for_a_reload() {
    let server = servers().await.remove(0);
    let change = server.state.change(std::future::pending::<Result<(), ()>>());
    assert!(tokio::time::timeout(std::time::Duration::ZERO, change).await.is_err());
    server.state.db.configuration_changed().notified().await;
    // One that ran to its end has reloaded by itself.
    server.state.change(async { Ok::<(), ()>(()) }).await.unwrap();
    let asked = server.state.db.configuration_changed().notified();
    assert!(tokio::time::timeout(std::time::Duration::ZERO, asked).await.is_err());
}
