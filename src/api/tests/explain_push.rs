//! LiverecExplainRecord tells of a new push what would happen to that push, not to one that is live.

use serde_json::{Value, json};

use super::{
    client::*,
    explain::{EXPLAIN, kinds, push, with},
};
use crate::{
    db::Db,
    domain::{
        container::Container,
        ids::{DecimalId, RecordingId},
        plan::default_profile,
        publish_auth::Fallback,
        recording::{Origin, Recording, Span},
    },
};

const HOUR_MS: i64 = 3_600_000;

/// A domain with keys of its own and nothing that records.
async fn registered(server: &Server, domain: &str) {
    server.ok("AddLiveDomain", json!({ "DomainName": domain, "DomainType": 0 })).await;
    let keys = json!({
        "DomainName": domain, "Enable": 1, "MasterAuthKey": "abc123", "AuthDelta": 0,
    });
    server.ok("ModifyLivePushAuthKey", keys).await;
}

#[tokio::test]
async fn a_task_whose_template_enables_no_format_records_nothing() {
    for server in servers().await {
        registered(&server, "push.example.com").await;
        let none = server.ok("CreateLiveRecordTemplate", json!({ "TemplateName": "none" })).await;
        let none = &none["TemplateId"];
        let task =
            |template: &Value| with(json!({ "EndTime": NOW_S + 60, "TemplateId": template }));
        for _ in 0..3 {
            server.ok("CreateRecordTask", task(none)).await;
        }
        let told = server.ok(EXPLAIN, with(json!({}))).await;
        assert_eq!(told["WillRecord"], false, "{told}");
        assert_eq!(told["TaskList"][0]["Effect"], "no_format");
        assert!(told["TaskList"][0]["Reason"].as_str().unwrap().contains("enables no format"));
        for _ in 0..100 {
            server.ok("CreateRecordTask", task(none)).await;
        }
        // Nor do more of them than are told keep another from recording.
        let flv = json!({ "TemplateName": "flv", "FlvParam": { "Enable": 1 } });
        let flv = server.ok("CreateLiveRecordTemplate", flv).await["TemplateId"].clone();
        let id = server.ok("CreateRecordTask", task(&flv)).await["TaskId"].clone();
        let told = server.ok(EXPLAIN, with(json!({}))).await;
        assert_eq!(told["WillRecord"], true, "{told}");
        assert_eq!(told["WantedList"][0]["TaskId"], id);
        assert_eq!(told["TaskList"][0]["TaskId"], id);
        assert_eq!(told["TaskList"].as_array().unwrap().len(), 100);
    }
}

/// Unsigned pushes from this machine are let in where the domain has no keys of its own.
#[tokio::test]
async fn who_needs_no_signature_is_told() {
    for server in servers().await {
        registered(&server, "live.local").await;
        registered(&server, "own.example.com").await;
        server
            .ok("AddLiveDomain", json!({ "DomainName": "push.example.com", "DomainType": 0 }))
            .await;
        for (domain, is_trusted) in
            [("live.local", true), ("push.example.com", true), ("own.example.com", false)]
        {
            let domain = json!({ "DomainName": domain });
            let task = json!({ "EndTime": NOW_S + 60 });
            let mut task = with(task);
            task["DomainName"] = domain["DomainName"].clone();
            server.ok("CreateRecordTask", task).await;
            let told = server.ok(EXPLAIN, with(domain.clone())).await;
            let summary = told["Summary"].as_str().unwrap();
            assert_eq!(summary.contains("signed or comes over loopback"), is_trusted, "{told}");
            let mut unsigned = with(domain);
            unsigned["StreamParam"] = json!("a=b");
            let told = server.ok(EXPLAIN, unsigned).await;
            assert_eq!(kinds(&told), ["unsigned"]);
            let reason = told["ObstacleList"][0]["Reason"].as_str().unwrap();
            assert_eq!(reason.contains("loopback"), is_trusted, "{told}");
        }
    }
}

#[tokio::test]
async fn a_task_without_a_template_is_not_said_to_have_lost_one() {
    for server in servers().await {
        registered(&server, "push.example.com").await;
        for (template, reason) in [(0, "it names no template"), (99, "does not exist")] {
            let task = with(json!({ "EndTime": NOW_S + 60, "TemplateId": template }));
            let id = server.ok("CreateRecordTask", task).await["TaskId"].clone();
            let told = server.ok(EXPLAIN, with(json!({}))).await;
            let told = told["TaskList"].as_array().unwrap().iter().find(|t| t["TaskId"] == id);
            assert!(told.unwrap()["Reason"].as_str().unwrap().contains(reason), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_task_that_was_deleted_while_it_records_applies_to_no_new_push() {
    for server in servers().await {
        registered(&server, "push.example.com").await;
        let task = with(json!({ "EndTime": NOW_S + 60 }));
        let id = server.ok("CreateRecordTask", task).await["TaskId"].clone();
        let session = push(&server, "s", NOW_S * 1000 - 60_000, 0).await;
        let started_ms = NOW_S * 1000 - 60_000;
        let recording = Recording {
            id: RecordingId::new(started_ms),
            session_id: DecimalId::next(started_ms),
            origin: Origin::Task { task_id: id.as_str().unwrap().to_owned() },
            container: Container::Hls,
            template: default_profile(Container::Hls),
            started_ms,
            resume_window_s: 0,
        };
        let span = Span { session, from: 0, to: None };
        let mut tx = server.state.db.begin().await.unwrap();
        Db::insert_recording(&mut tx, &recording, "n", &span).await.unwrap();
        tx.commit().await.unwrap();
        let told = server.ok(EXPLAIN, with(json!({}))).await;
        assert_eq!((&told["Phase"], &told["WillRecord"]), (&json!("live"), &json!(true)));

        server.ok("DeleteRecordTask", json!({ "TaskId": id })).await;
        let told = server.ok(EXPLAIN, with(json!({}))).await;
        assert_eq!((&told["Phase"], &told["WillRecord"]), (&json!("live"), &json!(false)));
        assert_eq!(told["TaskList"][0]["Effect"], "deleted");
        let reason = told["TaskList"][0]["Reason"].as_str().unwrap();
        assert!(reason.contains("the push that is live"), "{reason}");
    }
}

/// The parameters behind a stream key choose the domain, whatever name the encoder connected to.
#[tokio::test]
async fn a_stream_key_that_names_another_domain_belongs_there() {
    for server in servers().await {
        for domain in ["push.example.com", "other.example.com"] {
            registered(&server, domain).await;
        }
        server.ok("CreateRecordTask", with(json!({ "EndTime": NOW_S + 60 }))).await;
        let secret = crate::domain::push_url::tx_secret("abc123", "s", "70000000");
        for (extra, wanted) in [
            ("", vec![]),
            ("&vhost=push.example.com", vec![]),
            ("&vhost=", vec![]),
            ("&vhost=other.example.com", vec!["other_domain"]),
            ("&domain=OTHER.example.com", vec!["other_domain"]),
            ("&vhost=nobody.example.com", vec!["unknown_domain"]),
            ("&vhost=a%20b", vec!["unknown_domain"]),
            ("&vhost=push.example.com&domain=other.example.com", vec!["conflicting_domains"]),
        ] {
            let param = format!("txSecret={secret}&txTime=70000000{extra}");
            let told = server.ok(EXPLAIN, with(json!({ "StreamParam": param }))).await;
            assert_eq!(kinds(&told), wanted, "{extra}");
            assert_eq!(told["WillRecord"], wanted.is_empty(), "{extra}");
            let is_elsewhere =
                told["Summary"].as_str().unwrap().contains("would not be of this stream");
            assert_eq!(is_elsewhere, wanted == ["other_domain"], "{told}");
        }
    }
}

/// Hosts fall back, names behind the stream key do not.
#[tokio::test]
async fn where_the_push_of_an_unregistered_domain_goes_is_told() {
    for server in servers().await {
        let told = server.ok(EXPLAIN, with(json!({}))).await;
        assert_eq!(kinds(&told), ["unknown_domain"]);
        assert!(told["ObstacleList"][0]["Reason"].as_str().unwrap().contains("live.local"));
        registered(&server, "push.example.com").await;
        let named = with(json!({ "StreamParam": "vhost=nobody.example.com" }));
        let told = server.ok(EXPLAIN, named).await;
        assert_eq!(kinds(&told), ["unknown_domain"]);
        assert!(!told["ObstacleList"][0]["Reason"].as_str().unwrap().contains("live.local"));
    }
}

#[tokio::test]
async fn hours_count_in_the_month_that_is_asked_about() {
    for server in servers().await {
        registered(&server, "push.example.com").await;
        let limits = json!({ "DomainName": "push.example.com", "MaxHours": 2 });
        server.ok("LiverecModifyDomainLimits", limits).await;
        // Two hours on the 20th of November and three on the 10th of October 2026.
        let day =
            |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
        let november_ms = day("2026-11-20T00:00:00Z");
        push(&server, "s", november_ms, november_ms + 2 * HOUR_MS).await;
        let october_ms = day("2026-10-10T00:00:00Z");
        push(&server, "s", october_ms, october_ms + 3 * HOUR_MS).await;
        for (time, is_used_up) in [
            (None, true),
            (Some("2026-11-30T23:59:59Z"), true),
            (Some("2026-12-01T00:00:00Z"), false),
            (Some("2027-11-20T00:00:00Z"), false),
            (Some("2026-11-20T01:59:59Z"), false),
            (Some("2026-11-20T02:00:00Z"), true),
            (Some("2026-10-10T01:00:00Z"), false),
            (Some("2026-10-31T00:00:00Z"), true),
            (Some("2026-09-30T00:00:00Z"), false),
        ] {
            let told = server.ok(EXPLAIN, with(json!({ "Time": time }))).await;
            assert_eq!(kinds(&told).contains(&"domain_hours"), is_used_up, "{time:?}: {told}");
        }
    }
}

#[tokio::test]
async fn whoever_is_asked_before_a_publish_is_named() {
    for (fallback, word) in [(Fallback::Open, "open"), (Fallback::Closed, "closed")] {
        let server = servers().await.remove(0);
        registered(&server, "push.example.com").await;
        server.ok("CreateRecordTask", with(json!({ "EndTime": NOW_S + 60 }))).await;
        let told = server.ok(EXPLAIN, with(json!({}))).await;
        assert!(kinds(&told).is_empty(), "{told}");
        let server = server.with(|state| {
            let mut settings = (*state.settings).clone();
            settings.publish_auth = Some(fallback);
            state.settings = settings.into();
        });
        let told = server.ok(EXPLAIN, with(json!({}))).await;
        assert_eq!((kinds(&told), &told["WillRecord"]), (vec!["publish_auth"], &json!(true)));
        assert_eq!(told["ObstacleList"][0]["Prevents"], false);
        let reason = told["ObstacleList"][0]["Reason"].as_str().unwrap();
        assert!(reason.contains(&format!("publish.auth_fail is {word}")), "{reason}");
        assert!(told["Summary"].as_str().unwrap().contains("publish.auth_url"), "{told}");
    }
}

#[tokio::test]
async fn names_that_no_push_can_have_are_told() {
    for server in servers().await {
        registered(&server, "push.example.com").await;
        let mp4 = json!({ "TemplateName": "one", "Mp4Param": { "Enable": 1 } });
        let mp4 = server.ok("CreateLiveRecordTemplate", mp4).await["TemplateId"].clone();
        let rule = json!({ "DomainName": "push.example.com", "TemplateId": mp4 });
        server.ok("CreateLiveRecordRule", rule).await;
        for odd in [
            json!({ "StreamName": "a?b" }),
            json!({ "StreamName": "?" }),
            json!({ "AppName": "live/" }),
            json!({ "AppName": "a?b" }),
            json!({ "AppName": "/" }),
        ] {
            let told = server.ok(EXPLAIN, with(odd.clone())).await;
            assert_eq!(kinds(&told), ["invalid_name"], "{odd}");
            assert_eq!(told["WillRecord"], false, "{odd}");
        }
        for fine in [json!({ "AppName": "a/b" }), json!({ "StreamName": "a/" })] {
            assert_eq!(server.ok(EXPLAIN, with(fine.clone())).await["WillRecord"], true, "{fine}");
        }
    }
}

/// However many are open, those that record are told.
#[tokio::test]
async fn of_many_open_tasks_those_are_told_that_record() {
    for server in servers().await {
        registered(&server, "push.example.com").await;
        for nth in 0..120 {
            let task = with(json!({ "StartTime": NOW_S - 60, "EndTime": NOW_S + 600 + nth }));
            server.ok("CreateRecordTask", task).await;
        }
        let first = with(json!({ "StartTime": NOW_S - 90, "EndTime": NOW_S + 60 }));
        let first = server.ok("CreateRecordTask", first).await["TaskId"].clone();
        let told = server.ok(EXPLAIN, with(json!({}))).await;
        assert_eq!(told["WantedList"][0]["TaskId"], first);
        assert_eq!(told["TaskList"][0]["TaskId"], first);
        assert_eq!(told["WantedList"].as_array().unwrap().len(), 3);
    }
}
