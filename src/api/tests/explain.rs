//! LiverecExplainRecord over rules, tasks, bans and domains.

use serde_json::{Value, json};

use super::client::*;
use crate::{
    db::Db,
    domain::{
        ids::{DecimalId, SessionId},
        session::{EndReason, Session},
        stream::{AppName, DomainName, StreamName, StreamPath},
    },
};

pub const EXPLAIN: &str = "LiverecExplainRecord";

fn stream() -> Value {
    json!({ "DomainName": "push.example.com", "AppName": "live", "StreamName": "s" })
}

/// Parameters that name the stream `s`, and more.
pub fn with(extra: Value) -> Value {
    let mut body = stream();
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// The kinds of all obstacles.
pub fn kinds(answer: &Value) -> Vec<&str> {
    answer["ObstacleList"].as_array().unwrap().iter().map(|o| o["Kind"].as_str().unwrap()).collect()
}

/// Writes the rows of a push that is over, or live if `ended_ms` is 0.
pub async fn push(server: &Server, stream: &str, started_ms: i64, ended_ms: i64) -> SessionId {
    let session = Session {
        id: SessionId::new(started_ms),
        node_id: "n".to_owned(),
        sequence: DecimalId::next(started_ms),
        path: StreamPath {
            domain: DomainName::parse("push.example.com").unwrap(),
            app: AppName::parse("live").unwrap(),
            stream: StreamName::parse(stream).unwrap(),
        },
        stream_param: String::new(),
        user_ip: String::new(),
        node_ip: String::new(),
        started_ms,
        signed: false,
    };
    let mut tx = server.state.db.begin().await.unwrap();
    Db::insert_session(&mut tx, &session).await.unwrap();
    if ended_ms > 0 {
        Db::end_session(&mut tx, session.id, ended_ms, EndReason::Closed, (0, 0)).await.unwrap();
    }
    tx.commit().await.unwrap();
    server.state.reload().await.unwrap();
    session.id
}

#[tokio::test]
async fn a_push_is_explained_by_the_rows_there_are() {
    for server in servers().await {
        let told = server.ok(EXPLAIN, stream()).await;
        assert_eq!((&told["Phase"], &told["WillRecord"]), (&json!("idle"), &json!(false)));
        assert_eq!(kinds(&told), ["unknown_domain"]);
        assert_eq!(told["PushKeys"], "none");

        let mp4 = json!({ "TemplateName": "one", "Mp4Param": { "Enable": 1 } });
        let mp4 = server.ok("CreateLiveRecordTemplate", mp4).await["TemplateId"].clone();
        let flv = json!({ "TemplateName": "two", "FlvParam": { "Enable": 1 } });
        let flv = server.ok("CreateLiveRecordTemplate", flv).await["TemplateId"].clone();
        for (app, template) in [("", &mp4), ("live", &flv), ("other", &mp4)] {
            let rule =
                json!({ "DomainName": "push.example.com", "AppName": app, "TemplateId": template });
            server.ok("CreateLiveRecordRule", rule).await;
        }
        let keys = json!({
            "DomainName": "push.example.com", "Enable": 1, "MasterAuthKey": "abc123", "AuthDelta": 0,
        });
        server.ok("ModifyLivePushAuthKey", keys).await;
        let told = server.ok(EXPLAIN, stream()).await;
        assert_eq!(told["WillRecord"], true, "{told}");
        let effects: Vec<_> = told["RuleList"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| (rule["AppName"].clone(), rule["Effect"].clone()))
            .collect();
        assert_eq!(effects, [(json!("live"), json!("applies")), (json!(""), json!("shadowed"))]);
        assert!(
            told["RuleList"][1]["Reason"].as_str().unwrap().contains("push.example.com/live/*")
        );
        assert_eq!(told["WantedList"][0]["FormatList"], json!(["flv"]));
        assert_eq!(told["PushKeys"], "own");

        // The signature is looked at when one is given.
        let told = server.ok(EXPLAIN, with(json!({ "StreamParam": "txTime=70000000" }))).await;
        assert_eq!((kinds(&told), &told["WillRecord"]), (vec!["unsigned"], &json!(false)));
        let secret = crate::domain::push_url::tx_secret("abc123", "s", "70000000");
        let signed = format!("txSecret={secret}&txTime=70000000");
        let told = server.ok(EXPLAIN, with(json!({ "StreamParam": signed }))).await;
        assert_eq!((kinds(&told), &told["WillRecord"]), (Vec::new(), &json!(true)));
        let late = with(json!({ "StreamParam": signed, "Time": "2050-01-01T00:00:00Z" }));
        assert_eq!(kinds(&server.ok(EXPLAIN, late).await), ["expired"]);
    }
}

#[tokio::test]
async fn a_month_whose_hours_are_used_up_is_explained() {
    for server in servers().await {
        let named = json!({ "DomainName": "push.example.com", "DomainType": 0 });
        server.ok("AddLiveDomain", named).await;
        let limits = json!({ "DomainName": "push.example.com", "MaxHours": 2 });
        server.ok("LiverecModifyDomainLimits", limits).await;
        // A push of 90 minutes that is over, one before this month, and one that is live for half an hour.
        let (now_ms, minute_ms) = (NOW_S * 1000, 60_000);
        let october_ms = 1_793_491_200_000 - 100 * minute_ms;
        for (started_ms, ended_ms) in [
            (now_ms - 300 * minute_ms, now_ms - 210 * minute_ms),
            (october_ms, october_ms + 90 * minute_ms),
            (now_ms - 30 * minute_ms, 0),
        ] {
            assert!(!kinds(&server.ok(EXPLAIN, stream()).await).contains(&"domain_hours"));
            push(&server, "other", started_ms, ended_ms).await;
        }
        let told = server.ok(EXPLAIN, stream()).await;
        assert!(kinds(&told).contains(&"domain_hours"), "{told}");
        let told = server.ok("LiverecDescribeDomainLimits", json!({})).await;
        assert_eq!(told["DomainLimitList"][0]["MinutesUsed"], 120);
    }
}

/// An open task is not lost behind those that are to come.
#[tokio::test]
async fn many_later_tasks_hide_no_open_one() {
    for server in servers().await {
        let now_s = server.state.now_ms() / 1000;
        let keys = json!({
            "DomainName": "push.example.com", "Enable": 1, "MasterAuthKey": "abc123", "AuthDelta": 0,
        });
        let domain = json!({ "DomainName": "push.example.com", "DomainType": 0 });
        server.ok("AddLiveDomain", domain).await;
        server.ok("ModifyLivePushAuthKey", keys).await;
        let open = server.ok("CreateRecordTask", with(json!({ "EndTime": now_s + 600 }))).await;
        for nth in 0..120 {
            let start_s = now_s + 86_400 + nth * 100;
            let later = json!({ "StartTime": start_s, "EndTime": start_s + 60 });
            server.ok("CreateRecordTask", with(later)).await;
        }
        let told = server.ok(EXPLAIN, stream()).await;
        assert_eq!(told["WillRecord"], true, "{}", told["Summary"]);
        assert_eq!(told["TaskList"][0]["TaskId"], open["TaskId"]);
    }
}

#[tokio::test]
async fn tasks_bans_and_times_are_explained() {
    for server in servers().await {
        let task = with(json!({ "StartTime": NOW_S + 100, "EndTime": NOW_S + 200 }));
        let id = server.ok("CreateRecordTask", task).await["TaskId"].clone();
        let told = server.ok(EXPLAIN, stream()).await;
        assert_eq!(told["TaskList"][0]["TaskId"], id);
        assert_eq!(told["TaskList"][0]["Effect"], "not_yet");
        let time = chrono::DateTime::from_timestamp(NOW_S + 150, 0).unwrap();
        let then = with(json!({ "Time": time.format("%Y-%m-%dT%H:%M:%SZ").to_string() }));
        let told = server.ok(EXPLAIN, then.clone()).await;
        assert_eq!(
            (&told["Phase"], &told["TaskList"][0]["Effect"]),
            (&json!("future"), &json!("applies"))
        );
        assert_eq!(told["WantedList"][0]["TaskId"], id);
        assert_eq!(told["WantedList"][0]["FormatList"], json!(["hls"]));
        server.ok("StopRecordTask", json!({ "TaskId": id })).await;
        assert_eq!(server.ok(EXPLAIN, then).await["TaskList"][0]["Effect"], "stopped");

        server.ok("ForbidLiveStream", with(json!({ "Reason": "a quarrel" }))).await;
        let told = server.ok(EXPLAIN, stream()).await;
        assert!(kinds(&told).contains(&"forbidden"), "{told}");
        assert!(told["ObstacleList"].to_string().contains("a quarrel"));
        server.ok("ForbidLiveDomain", json!({ "DomainName": "push.example.com" })).await;
        assert!(kinds(&server.ok(EXPLAIN, stream()).await).contains(&"disabled_domain"));

        for odd in [json!({ "Time": "yesterday" }), json!({ "Time": "9999-01-01T00:00:00Z" })] {
            assert_eq!(server.refused(EXPLAIN, with(odd)).await, "InvalidParameterValue");
        }
        assert_eq!(server.refused(EXPLAIN, json!({ "AppName": "a" })).await, "MissingParameter");
    }
}

#[tokio::test]
async fn limits_that_change_at_the_same_time_do_not_undo_each_other() {
    for server in servers().await {
        let name = "push.example.com";
        server.ok("AddLiveDomain", json!({ "DomainName": name, "DomainType": 0 })).await;
        for round in 1..=10 {
            let change = |what: &str| {
                let mut change = json!({ "DomainName": name });
                change[what] = json!(round);
                server.ok("LiverecModifyDomainLimits", change)
            };
            tokio::join!(change("MaxStreams"), change("MaxBitrate"), change("MaxHours"));
            let told =
                server.ok("LiverecDescribeDomainLimits", json!({ "DomainName": name })).await;
            let limits = &told["DomainLimitList"][0];
            for what in ["MaxStreams", "MaxBitrate", "MaxHours"] {
                assert_eq!(limits[what], round, "{what}: {told}");
            }
        }
    }
}
