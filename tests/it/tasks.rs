//! Record tasks and rules end to end: when they begin and end, and which of them counts.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use chrono::Utc;
use liverec::media::tag::{Tag, TagKind};
use serde_json::{Value, json};

use crate::support::{
    ffmpeg::{Codecs, make_source},
    publisher::{LivePush, Pusher, is_header, is_keyframe, parse_tags, read_tags},
    pushing::in_track_1,
    receiver::{Receiver, SIGN_KEY},
    server::{BACKENDS, Backend, Server, eventually, fetch},
};

fn set_up(backend: Backend) -> (Server, Receiver) {
    set_up_with(backend, &[("hls.segment_duration", "1s")])
}

/// A server whose events arrive at a receiver; nothing is recorded but what a test asks for.
pub fn set_up_with(backend: Backend, settings: &[(&str, &str)]) -> (Server, Receiver) {
    let server = Server::start(backend, settings);
    let receiver = Receiver::start();
    server.call_back(&receiver.url(), SIGN_KEY);
    server.live("DeleteLiveRecordRule", json!({"DomainName": "live.local"}));
    (server, receiver)
}

fn source(server: &Server, seconds: u32) -> Vec<Tag> {
    let path = server.folder().join("source.flv");
    make_source(Codecs::H264Aac, seconds, &path);
    read_tags(&path)
}

/// A template that enables these formats.
pub fn template(server: &Server, formats: &[&str]) -> i64 {
    let mut template = json!({"TemplateName": "test"});
    for format in formats {
        template[format!("{format}Param")] = json!({"Enable": 1});
    }
    server.live("CreateLiveRecordTemplate", template)["TemplateId"].as_i64().unwrap()
}

/// A task for `live/<stream>` from now on.
fn task(server: &Server, stream: &str, template: i64) -> String {
    let end = Utc::now().timestamp() + 3600;
    let answer = server.live(
        "CreateRecordTask",
        json!({
            "DomainName": "live.local", "AppName": "live", "StreamName": stream,
            "EndTime": end, "TemplateId": template,
        }),
    );
    answer["TaskId"].as_str().unwrap().to_owned()
}

fn push(server: &Server, app: &str, stream: &str, tags: &[Tag]) {
    let tc_url = format!("rtmp://{}/{app}", server.rtmp);
    let mut pusher = Pusher::connect_to(server.rtmp, app, &tc_url, stream, 4096).accepted();
    pusher.send(tags);
    pusher.finish();
}

/// The events of a stream.
pub fn events(receiver: &Receiver, event_type: i64, stream: &str) -> Vec<Value> {
    let mut events = receiver.of_type(event_type);
    events.retain(|event| event["stream_id"] == stream);
    events
}

/// The events of a stream, once there are so many.
pub fn wait(receiver: &Receiver, event_type: i64, stream: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} events {event_type} of {stream}"), || {
        let events = events(receiver, event_type, stream);
        (events.len() >= count).then_some(events)
    })
}

/// The end of a push was told `pushes` times. A recording is announced before the end of its push,
/// so no recording of that push can be announced any more.
fn assert_not_recorded(receiver: &Receiver, stream: &str, pushes: usize, recordings: usize) {
    wait(receiver, 0, stream, pushes);
    assert_eq!(events(receiver, 332, stream).len(), 2 * recordings, "{stream}");
    assert_eq!(events(receiver, 100, stream).len(), recordings, "{stream}");
}

/// Audio and video tags of an FLV product.
pub fn product(event: &Value) -> Vec<Tag> {
    assert_eq!(event["file_format"], "flv", "{event}");
    media(&parse_tags(&fetch(event["video_url"].as_str().unwrap())))
}

fn media(tags: &[Tag]) -> Vec<Tag> {
    tags.iter().filter(|tag| tag.kind != TagKind::Script).cloned().collect()
}

#[test]
fn a_task_waits_for_its_stream_and_records_every_push_in_its_window() {
    for backend in BACKENDS {
        let (server, receiver) = set_up(backend);
        let tags = source(&server, 2);
        let id = task(&server, "early", template(&server, &["Flv"]));
        for pushes in 1..=2 {
            push(&server, "live", "early", &tags);
            let files = wait(&receiver, 100, "early", pushes);
            assert!(files.iter().all(|file| file["task_id"] == id.as_str()), "{files:#?}");
            assert_eq!(
                product(files.last().unwrap()),
                media(&tags),
                "from the first tag to the last"
            );
        }
        // Once stopped it starts nothing, though its window is open.
        server.live("StopRecordTask", json!({"TaskId": id}));
        push(&server, "live", "early", &tags);
        assert_not_recorded(&receiver, "early", 3, 2);
    }
}

#[test]
fn a_task_on_a_live_stream_begins_at_the_last_key_frame_and_stops_at_once() {
    for backend in BACKENDS {
        let (server, receiver) = set_up(backend);
        let template = template(&server, &["Flv"]);
        let tags = source(&server, 4);
        let begun = Instant::now();
        let pusher = Pusher::connect(server.rtmp, "highlight", 4096).accepted();
        let push = LivePush::start(pusher, tags);
        sleep(Duration::from_millis(2500));
        let created_ms = i64::try_from(begun.elapsed().as_millis()).unwrap();
        let id = task(&server, "highlight", template);
        wait(&receiver, 332, "highlight", 1);
        sleep(Duration::from_millis(1500));
        server.live("StopRecordTask", json!({"TaskId": id}));
        let stopped_ms = i64::try_from(begun.elapsed().as_millis()).unwrap();
        let file = wait(&receiver, 100, "highlight", 1).remove(0);
        assert!(events(&receiver, 0, "highlight").is_empty(), "the push goes on");
        assert_eq!(file["task_id"], id.as_str());
        let found = product(&file);

        let sent = push.stop();
        wait(&receiver, 0, "highlight", 1);
        assert_eq!(events(&receiver, 100, "highlight").len(), 1, "nothing after the stop");
        assert_eq!(events(&receiver, 332, "highlight").len(), 2);

        // The headers in force, then what was sent from a key frame on, with none left out.
        let frames: Vec<&Tag> = found.iter().skip_while(|tag| is_header(tag)).collect();
        assert_eq!(found.len() - frames.len(), 2, "both sequence headers lead");
        let first = frames.first().unwrap();
        assert!(is_keyframe(first), "{first:?}");
        // The last key frame is at most one second old, as far as the journal has been written.
        assert!(
            (created_ms - 2000..=created_ms).contains(&first.time_ms),
            "{} {created_ms}",
            first.time_ms
        );
        let last = frames.last().unwrap();
        assert!(
            (stopped_ms - 1000..=stopped_ms + 2000).contains(&last.time_ms),
            "{} {stopped_ms}",
            last.time_ms
        );
        let sent: Vec<Tag> = media(&sent);
        let from = sent.iter().position(|tag| tag == *first).unwrap();
        let sent: Vec<&Tag> = sent.iter().skip(from).take(frames.len()).collect();
        assert_eq!(frames, sent);
    }
}

/// Neither a changed template nor one that is gone begins a recording in the middle of a push.
#[test]
fn a_task_without_a_format_stays_idle_until_the_next_push() {
    for backend in BACKENDS {
        let (server, receiver) = set_up(backend);
        let tags = source(&server, 4);
        let (changed, deleted) = (template(&server, &[]), template(&server, &[]));
        let id = task(&server, "idle", changed);
        task(&server, "idle", deleted);
        let push_now =
            LivePush::start(Pusher::connect(server.rtmp, "idle", 4096).accepted(), tags.clone());
        wait(&receiver, 1, "idle", 1);
        server.live(
            "ModifyLiveRecordTemplate",
            json!({"TemplateId": changed, "FlvParam": {"Enable": 1}}),
        );
        server.live("DeleteLiveRecordTemplate", json!({"TemplateId": deleted}));
        sleep(Duration::from_millis(1500));
        push_now.stop();
        assert_not_recorded(&receiver, "idle", 1, 0);
        push(&server, "live", "idle", &tags);
        let files = wait(&receiver, 100, "idle", 2);
        let flv = files.iter().find(|file| file["file_format"] == "flv").unwrap();
        assert_eq!(flv["task_id"], id.as_str());
        assert!(files.iter().any(|file| file["file_format"] == "hls"), "the default: {files:#?}");
    }
}

#[test]
fn a_task_begins_at_the_last_key_frame_of_another_track_where_there_is_no_default_one() {
    let (server, receiver) = set_up(Backend::Plain);
    let template = template(&server, &["Flv"]);
    let tags: Vec<Tag> = source(&server, 4).iter().map(in_track_1).collect();
    let begun = Instant::now();
    let pusher = Pusher::connect(server.rtmp, "other", 4096).accepted();
    let push = LivePush::start(pusher, tags);
    sleep(Duration::from_millis(2500));
    let created_ms = i64::try_from(begun.elapsed().as_millis()).unwrap();
    task(&server, "other", template);
    wait(&receiver, 332, "other", 1);
    sleep(Duration::from_millis(500));
    push.stop();
    let found = product(&wait(&receiver, 100, "other", 1).remove(0));
    // H.264 in enhanced RTMP: the packet type is in the second byte, behind it the codec and track.
    let is_frame = |tag: &&Tag| tag.payload[1] == 1;
    let first = found.iter().find(is_frame).unwrap();
    assert_eq!((first.kind, first.payload[0]), (TagKind::Video, 0x96), "{first:?}");
    assert!((created_ms - 2000..=created_ms).contains(&first.time_ms), "{first:?} {created_ms}");
}

#[test]
fn a_deleted_task_finishes_what_it_records_and_starts_nothing() {
    for backend in BACKENDS {
        let (server, receiver) = set_up(backend);
        let template = template(&server, &["Flv"]);
        let tags = source(&server, 2);
        let id = task(&server, "deleted", template);
        let pusher = Pusher::connect(server.rtmp, "deleted", 4096).accepted();
        let push_now = LivePush::start(pusher, tags.clone());
        wait(&receiver, 332, "deleted", 1);
        server.live("DeleteRecordTask", json!({"TaskId": id}));
        let now = Utc::now().timestamp();
        let listed = server
            .live("DescribeRecordTask", json!({"StartTime": now - 3600, "EndTime": now + 7200}));
        assert_eq!(listed["TaskList"], json!([]));
        sleep(Duration::from_millis(1500));
        assert!(events(&receiver, 100, "deleted").is_empty(), "it goes on");
        let sent = push_now.stop();
        let file = wait(&receiver, 100, "deleted", 1).remove(0);
        assert_eq!(product(&file), media(&sent), "to the end of the push");
        push(&server, "live", "deleted", &tags);
        assert_not_recorded(&receiver, "deleted", 2, 1);
        assert_eq!(
            server.live_error("StopRecordTask", json!({"TaskId": "z".repeat(60)})),
            "InvalidParameter"
        );
    }
}

#[test]
fn tasks_survive_a_restart() {
    for backend in BACKENDS {
        let (mut server, receiver) = set_up(backend);
        let tags = source(&server, 2);
        let id = task(&server, "kept", template(&server, &["Flv"]));
        let stopped = task(&server, "kept", template(&server, &["Flv"]));
        server.live("StopRecordTask", json!({"TaskId": stopped}));
        server.stop();
        server.launch();
        push(&server, "live", "kept", &tags);
        let file = wait(&receiver, 100, "kept", 1).remove(0);
        assert_eq!(file["task_id"], id.as_str());
        assert_not_recorded(&receiver, "kept", 1, 1);
        server.kill();
        server.launch();
        push(&server, "live", "kept", &tags);
        let files = wait(&receiver, 100, "kept", 2);
        assert!(files.iter().all(|file| file["task_id"] == id.as_str()), "{files:#?}");
    }
}

#[test]
fn a_window_that_is_over_records_nothing_and_one_that_closes_ends_its_recording() {
    let (server, receiver) = set_up(Backend::Plain);
    let template = template(&server, &["Flv"]);
    let tags = source(&server, 2);
    let now = Utc::now().timestamp();
    let window = json!({
        "DomainName": "live.local", "AppName": "live", "StreamName": "window",
        "StartTime": now - 60, "EndTime": now + 3, "TemplateId": template,
    });
    let id = server.live("CreateRecordTask", window)["TaskId"].as_str().unwrap().to_owned();
    let push_now =
        LivePush::start(Pusher::connect(server.rtmp, "window", 128).accepted(), tags.clone());
    let file = wait(&receiver, 100, "window", 1).remove(0);
    assert_eq!(file["task_id"], id.as_str());
    assert!(events(&receiver, 0, "window").is_empty(), "the push goes on");
    push_now.stop();
    push(&server, "live", "window", &tags);
    assert_not_recorded(&receiver, "window", 2, 1);
}

#[test]
fn a_rule_and_a_task_record_the_same_push_each() {
    for backend in BACKENDS {
        let (server, receiver) = set_up(backend);
        let tags = source(&server, 2);
        server.record("live", "both", &["Flv"], 3600);
        let id = task(&server, "both", template(&server, &["Flv"]));
        push(&server, "live", "both", &tags);
        let files = wait(&receiver, 100, "both", 2);
        assert_eq!(
            files.iter().filter(|file| file["task_id"] == id.as_str()).count(),
            1,
            "{files:#?}"
        );
        assert_ne!(files[0]["file_id"], files[1]["file_id"]);
        for file in &files {
            assert_eq!(product(file), media(&tags));
        }
        assert_eq!(wait(&receiver, 332, "both", 4).len(), 4);
    }
}

#[test]
fn the_most_specific_rule_counts_and_one_without_formats_excludes() {
    for backend in BACKENDS {
        let (server, receiver) = set_up(backend);
        let tags = source(&server, 2);
        server.record("", "", &["Flv"], 3600);
        server.record("live", "", &["Hls"], 3600);
        server.record("", "special", &["Mp4"], 3600);
        server.record("live", "special", &["Aac"], 3600);
        server.record("live", "secret", &[], 3600);
        let pushes = [
            ("other", "plain", "flv"),
            ("live", "common", "hls"),
            ("other", "special", "mp4"),
            ("live", "special", "aac"),
        ];
        for (app, stream, _) in pushes {
            push(&server, app, stream, &tags);
        }
        push(&server, "live", "secret", &tags);
        let files = receiver.wait_for(100, pushes.len());
        for (app, stream, format) in pushes {
            let ours: Vec<&Value> =
                files.iter().filter(|f| f["appname"] == app && f["stream_id"] == stream).collect();
            assert_eq!(ours.len(), 1, "{app}/{stream} {files:#?}");
            assert_eq!(ours[0]["file_format"], format, "{app}/{stream}");
        }
        assert_not_recorded(&receiver, "secret", 1, 0);
        // Rules are looked at when a push starts: a new one leaves a running push alone.
        let push_now =
            LivePush::start(Pusher::connect(server.rtmp, "secret", 4096).accepted(), tags.clone());
        wait(&receiver, 1, "secret", 2);
        server.live(
            "DeleteLiveRecordRule",
            json!({"DomainName": "live.local", "AppName": "live", "StreamName": "secret"}),
        );
        sleep(Duration::from_millis(500));
        push_now.stop();
        assert_not_recorded(&receiver, "secret", 2, 0);
        push(&server, "live", "secret", &tags);
        let file = wait(&receiver, 100, "secret", 1).remove(0);
        assert_eq!(file["file_format"], "hls", "the rule of the application counts now");
    }
}
