//! Seeing, dropping and forbidding streams while they are pushed.

use serde_json::json;

use crate::support::{
    ffmpeg::{Codecs, make_source},
    publisher::{LivePush, Pusher, read_tags},
    server::{BACKENDS, Server, eventually},
};

#[test]
fn a_stream_is_seen_dropped_forbidden_and_resumed() {
    for backend in BACKENDS {
        let server = Server::start(backend, &[]);
        let path = server.folder().join("source.flv");
        make_source(Codecs::H264Aac, 4, &path);
        let tags = read_tags(&path);
        let connect = || Pusher::connect(server.rtmp, "s", 4096);
        let stream = json!({ "DomainName": "live.local", "AppName": "live", "StreamName": "s" });
        let state =
            || server.live("DescribeLiveStreamState", stream.clone())["StreamState"].clone();
        let online = || server.live("DescribeLiveStreamOnlineList", json!({ "StreamName": "s" }));
        assert_eq!(state(), "inactive");

        let push = LivePush::start(connect().accepted(), tags.clone());
        eventually("the stream is active", || (state() == "active").then_some(()));
        let list = online();
        assert_eq!((&list["TotalNum"], &list["TotalPage"]), (&json!(1), &json!(1)));
        assert_eq!(list["OnlineInfo"][0]["DomainName"], "live.local");
        let refused = server
            .live_error("DeleteLiveDomain", json!({ "DomainName": "live.local", "DomainType": 0 }));
        assert_eq!(refused, "FailedOperation.DeleteDomainInLockedTime");
        server.live("DropLiveStream", stream.clone());
        eventually("the stream is dropped", || (state() == "inactive").then_some(()));
        drop(push);

        let push = LivePush::start(connect().accepted(), tags.clone());
        eventually("it may come back at once", || (state() == "active").then_some(()));
        server.live("ForbidLiveStream", stream.clone());
        assert_eq!(state(), "forbid");
        eventually("the push has ended", || (online()["TotalNum"] == 0).then_some(()));
        drop(push);
        let (code, text) = connect().refusal();
        assert_eq!(code, "NetStream.Publish.Denied");
        assert!(text.contains("may not be pushed"), "{text}");
        server.live("ResumeLiveStream", stream.clone());
        let push = LivePush::start(connect().accepted(), tags.clone());
        eventually("it may be pushed again", || (state() == "active").then_some(()));
        push.stop();

        let now = chrono::Utc::now();
        let time =
            |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let window = json!({
            "DomainName": "live.local", "StreamName": "s",
            "StartTime": time(now - chrono::Duration::hours(1)),
            "EndTime": time(now + chrono::Duration::minutes(1)),
        });
        let events = eventually("three pushes are over", || {
            let events = server.live("DescribeLiveStreamEventList", window.clone());
            (events["TotalNum"] == 3).then_some(events)
        });
        let reasons: Vec<_> = events["EventList"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["StopReason"].clone())
            .collect();
        assert_eq!(reasons, ["unpublished", "dropped", "dropped"]);
        assert_eq!(events["EventList"][0]["ClientIp"], "-");
    }
}

/// What LiverecExplainRecord says of a push while it is live, and afterwards.
#[test]
fn a_recorded_push_is_explained() {
    for backend in BACKENDS {
        let server = Server::start(backend, &[]);
        let path = server.folder().join("source.flv");
        make_source(Codecs::H264Aac, 4, &path);
        let stream = json!({ "DomainName": "live.local", "AppName": "live", "StreamName": "s" });
        let explain = |extra: serde_json::Value| {
            let mut body = stream.clone();
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            server.live("LiverecExplainRecord", body)
        };
        let push =
            LivePush::start(Pusher::connect(server.rtmp, "s", 4096).accepted(), read_tags(&path));
        let live = eventually("the push is live", || {
            let told = explain(json!({}));
            (told["Phase"] == "live").then_some(told)
        });
        assert_eq!(live["WillRecord"], true, "{live}");
        let recording = &live["SessionList"][0]["RecordingList"][0];
        assert_eq!((&recording["Origin"], &recording["Format"]), (&json!("rule"), &json!("mp4")));
        assert_eq!(recording["EndTime"], "");
        let began = live["Time"].clone();

        // A rule made now counts from the next push on, and says so.
        let off = json!({ "TemplateName": "nothing" });
        let template = server.live("CreateLiveRecordTemplate", off)["TemplateId"].clone();
        let rule = json!({ "DomainName": "live.local", "StreamName": "s", "TemplateId": template });
        server.live("CreateLiveRecordRule", rule);
        let told = explain(json!({}));
        assert_eq!(told["WillRecord"], false);
        let reason = told["RuleList"][0]["Reason"].as_str().unwrap();
        assert!(reason.contains("nothing is recorded") && reason.contains("next push"), "{reason}");
        assert_eq!(told["SessionList"][0]["RecordingList"][0]["EndTime"], "");
        push.stop();

        let past = eventually("the file is stored", || {
            let told = explain(json!({ "Time": began }));
            let recording = &told["SessionList"][0]["RecordingList"][0];
            (recording["StoredFiles"] == 1 && told["Phase"] == "past").then_some(told)
        });
        assert!(past["Summary"].as_str().unwrap().contains("it has 1 recordings"), "{past}");
        assert_eq!(past["SessionList"][0]["EndReason"], "unpublished");
    }
}
