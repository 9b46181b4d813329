//! Seeing, dropping and forbidding streams while they are pushed.

use serde_json::json;

use crate::support::{
    ffmpeg::{Codecs, make_source},
    publisher::{LivePush, Pusher, parse_tags, read_tags},
    pushing::{as_in_product, assert_same_tags},
    receiver::{Receiver, SIGN_KEY},
    server::{BACKENDS, Server, eventually, fetch},
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
        let refused = server
            .live_error("DeleteLiveDomain", json!({ "DomainName": "live.local", "DomainType": 0 }));
        assert_eq!(refused, "FailedOperation", "it is the default domain");

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
        assert_eq!(reasons, ["unpublished", "forbidden", "dropped"]);
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
        let live = eventually("the push is live and recorded", || {
            let told = explain(json!({}));
            let recordings = &told["SessionList"][0]["RecordingList"];
            // Rows of recordings follow that of the push.
            (told["Phase"] == "live" && recordings[0].is_object()).then_some(told)
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
        assert!(past["Summary"].as_str().unwrap().contains("1 recording of it"), "{past}");
        assert_eq!(past["SessionList"][0]["EndReason"], "unpublished");
    }
}

/// LiverecModifyDomainLimits: streams at a time and bit rate; hours are tested where the clock can be set.
#[test]
fn a_domain_takes_no_more_than_it_may() {
    for backend in BACKENDS {
        let server = Server::start(backend, &[]);
        let receiver = Receiver::start();
        server.record("live", "", &["Flv"], 3600);
        server.call_back(&receiver.url(), SIGN_KEY);
        let limits = |limits: serde_json::Value| {
            let mut body = json!({ "DomainName": "live.local" });
            body.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
            server.live("LiverecModifyDomainLimits", body);
        };
        limits(json!({ "MaxStreams": 1, "MaxBitrate": 1 }));
        let path = server.folder().join("source.flv");
        make_source(Codecs::H264Aac, 4, &path);
        let tags = read_tags(&path);
        let push = LivePush::start(Pusher::connect(server.rtmp, "a", 4096).accepted(), tags);
        let (code, text) = Pusher::connect(server.rtmp, "b", 4096).refusal();
        assert_eq!(code, "NetStream.Publish.Denied");
        assert!(text.contains("as many as it may"), "{text}");
        assert_eq!(server.metric("liverec_refusals_total{reason=\"domain_streams\"}"), 1.0);
        for (stream, is_crowded) in [("a", false), ("b", true)] {
            let named =
                json!({ "DomainName": "live.local", "AppName": "live", "StreamName": stream });
            let told = server.live("LiverecExplainRecord", named);
            assert_eq!(told["WillRecord"], !is_crowded, "{told}");
            assert_eq!(told["ObstacleList"].to_string().contains("domain_streams"), is_crowded);
        }
        let told = server.live("LiverecDescribeDomainLimits", json!({}));
        let row = json!({
            "DomainName": "live.local", "MaxStreams": 1, "MaxBitrate": 1, "MaxHours": 0,
            "Streams": 1, "MinutesUsed": 0,
        });
        assert_eq!(told["DomainLimitList"], json!([row]));

        // Three stretches of ten seconds above the bit rate end the push; what came is kept.
        let ended = receiver.wait_for(0, 1).remove(0);
        assert_eq!(ended["errcode"], 21, "{ended}");
        assert!(ended["errmsg"].as_str().unwrap().contains("bit rate"), "{ended}");
        let lasted: i64 = ended["push_duration"].as_str().unwrap().parse().unwrap();
        assert!(lasted >= 30_000, "{ended}");
        let sent = push.stop();
        let file = receiver.wait_for(100, 1).remove(0);
        let mut kept = parse_tags(&fetch(file["video_url"].as_str().unwrap()));
        kept.remove(0);
        let sent = as_in_product(&sent);
        assert!(kept.len() > 100, "{}", kept.len());
        assert_same_tags(&kept, &sent[..kept.len()], "kept until the end");

        limits(json!({ "MaxStreams": 0, "MaxBitrate": 0 }));
        let both = ["a", "b"].map(|stream| Pusher::connect(server.rtmp, stream, 4096).accepted());
        both.into_iter().for_each(Pusher::finish);
    }
}
