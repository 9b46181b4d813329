//! Callbacks end to end: what receivers are told, the delivery log through the vendor's SDK, replays.

use chrono::{Duration, FixedOffset, Utc};
use liverec::media::tag::Tag;
use serde_json::{Value, json};

use crate::{
    sdk::driver::{SIGNINGS, Sdk},
    support::{
        ffmpeg::{Codecs, make_source},
        publisher::{Pusher, read_tags},
        receiver::{Receiver, SIGN_KEY},
        server::{BACKENDS, Backend, Server, eventually},
    },
};

fn set_up(backend: Backend) -> (Server, Receiver) {
    let server = Server::start(backend, &[]);
    let receiver = Receiver::start();
    server.call_back(&receiver.url(), SIGN_KEY);
    (server, receiver)
}

fn source(server: &Server) -> Vec<Tag> {
    let path = server.folder().join("source.flv");
    make_source(Codecs::H264Aac, 4, &path);
    read_tags(&path)
}

fn push(server: &Server, stream: &str, tags: &[Tag]) {
    let tc_url = format!("rtmp://{}/live", server.rtmp);
    let mut pusher = Pusher::connect_to(server.rtmp, "live", &tc_url, stream, 4096).accepted();
    pusher.send(tags);
    pusher.finish();
}

fn of_stream(receiver: &Receiver, event_type: i64, stream: &str) -> Vec<Value> {
    let mut events = receiver.of_type(event_type);
    events.retain(|event| event["stream_id"] == stream);
    events
}

#[test]
fn every_attempt_is_in_the_log_and_what_is_over_can_be_sent_again() {
    for backend in BACKENDS {
        let (server, receiver) = set_up(backend);
        let tags = source(&server);
        receiver.refuse(2);
        push(&server, "logged", &tags);
        receiver.wait_for(100, 1);
        let order: Vec<i64> =
            receiver.events().iter().map(|e| e["event_type"].as_i64().unwrap()).collect();
        assert_eq!(order, [1, 332, 332, 0, 100], "in order, though the first was refused twice");
        let sdk = Sdk::start(&server, SIGNINGS[0]);
        let now = Utc::now();
        let utc = |time: chrono::DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let ask = |more: Value| {
            let mut asked = json!({
                "StartTime": utc(now - Duration::hours(1)), "EndTime": utc(now + Duration::minutes(5)),
                "StreamName": "logged", "PageNum": 1, "PageSize": 100,
            });
            for (name, value) in more.as_object().unwrap() {
                asked[name] = value.clone();
            }
            asked
        };
        let list = "DescribeCallbackRecordsList";
        let all = eventually("the whole log", || {
            let all = sdk.live(list, ask(json!({})));
            (all["TotalNum"] == 7).then_some(all)
        });
        assert_eq!((&all["PageNum"], &all["PageSize"]), (&json!(1), &json!(100)), "{all}");
        assert_eq!(all["TotalPage"], 1);
        let entries = all["DataInfoList"].as_array().unwrap();
        let codes: Vec<i64> = entries.iter().map(|e| e["ResultCode"].as_i64().unwrap()).collect();
        assert_eq!(codes, [0, 0, 0, 0, 0, 500, 500], "the newest first");
        let newest = &entries[0];
        assert_eq!((&newest["EventType"], &newest["StreamId"]), (&json!(100), &json!("logged")));
        let request: Value = serde_json::from_str(newest["Request"].as_str().unwrap()).unwrap();
        assert_eq!(request, receiver.of_type(100)[0], "what was sent, with t and sign");
        assert_eq!(newest["Response"], "");
        for name in ["EventTime", "ResponseTime"] {
            assert!(newest[name].as_str().unwrap().ends_with('Z'), "{newest}");
        }
        assert_eq!(sdk.live(list, ask(json!({"EventType": 1})))["TotalNum"], 3);
        assert_eq!(sdk.live(list, ask(json!({"ResultCode": 1})))["TotalNum"], 2);
        let second = sdk.live(list, ask(json!({"ResultCode": 0, "PageSize": 2, "PageNum": 3})));
        assert_eq!((&second["TotalNum"], &second["TotalPage"]), (&json!(5), &json!(3)));
        assert_eq!(second["DataInfoList"].as_array().unwrap().len(), 1);
        let beijing = FixedOffset::east_opt(8 * 3600).unwrap();
        let local = |time: chrono::DateTime<Utc>| {
            time.with_timezone(&beijing).format("%Y-%m-%d %H:%M:%S").to_string()
        };
        let times = json!({
            "StartTime": local(now - Duration::hours(1)),
            "EndTime": local(now + Duration::minutes(5)),
        });
        let answer = sdk.live(list, ask(times));
        assert_eq!(answer["TotalNum"], 7);
        let time = answer["DataInfoList"][0]["EventTime"].as_str().unwrap();
        assert!(time.contains(' ') && !time.ends_with('Z'), "{time}");
        for (more, code) in [
            (json!({"StartTime": utc(now - Duration::days(2))}), "InvalidParameterValue"),
            (json!({"StartTime": "yesterday"}), "InvalidParameterValue"),
            (json!({"PageSize": 101}), "InvalidParameterValue"),
            (json!({"PageNum": 0}), "InvalidParameterValue"),
            (json!({"StreamName": null}), "MissingParameter"),
        ] {
            sdk.refused("live", list, ask(more), code);
        }

        let events = sdk.live("LiverecDescribeCallbacks", json!({"StreamName": "logged"}));
        assert_eq!(events["TotalCount"], 5, "{events}");
        let first = &events["CallbackSet"][0];
        assert_eq!((&first["State"], &first["Attempts"]), (&json!("delivered"), &json!(3)));
        let id = first["CallbackId"].clone();
        let done = sdk.live("LiverecReplayCallback", json!({"CallbackId": id}));
        assert_eq!(done["ReplayedSet"], json!([id]), "{done}");
        let again = receiver.wait_for(1, 2);
        let bare = |event: &Value| {
            let mut event = event.clone();
            let fields = event.as_object_mut().unwrap();
            assert!(fields.remove("t").is_some() && fields.remove("sign").is_some());
            event
        };
        assert_eq!(bare(&again[0]), bare(&again[1]));
        let none = sdk.live("LiverecReplayCallback", json!({"StreamName": "logged"}));
        assert_eq!(none["TotalCount"], 0, "nothing failed: {none}");
        sdk.refused(
            "live",
            "LiverecReplayCallback",
            json!({"CallbackId": "none"}),
            "FailedOperation.NotFound",
        );
        sdk.refused("live", "LiverecReplayCallback", json!({}), "MissingParameter");
    }
}

#[test]
fn what_is_wrong_with_a_push_is_told_once() {
    for backend in BACKENDS {
        let (server, receiver) = set_up(backend);
        let mut tags = source(&server);
        for tag in tags.iter_mut().filter(|tag| tag.time_ms >= 2000) {
            tag.time_ms += 5000;
        }
        push(&server, "broken", &tags);
        receiver.wait_for(100, 1);
        let push = of_stream(&receiver, 321, "broken");
        assert_eq!(push.len(), 1, "{push:#?}");
        let started = &of_stream(&receiver, 1, "broken")[0];
        for name in ["sequence", "user_ip", "stream_param", "appid"] {
            assert_eq!(push[0][name], started[name]);
        }
        let kinds: Vec<(i64, i64)> = push[0]["abnormal_event"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| (e["type"].as_i64().unwrap(), e["count"].as_i64().unwrap()))
            .collect();
        assert_eq!(kinds, [(3, 1), (4, 1)], "{push:#?}");
        let record = of_stream(&receiver, 341, "broken");
        let kinds: Vec<i64> =
            record.iter().map(|e| e["exception"]["type"].as_i64().unwrap()).collect();
        assert_eq!(kinds, [-8, -9], "{record:#?}");
        let started = &of_stream(&receiver, 332, "broken")[0];
        for event in &record {
            assert_eq!(event["session_id"], started["session_id"]);
            assert_eq!(event["file_format"], "mp4");
            assert_eq!(event["exception_level"], "warning");
        }
    }
}
