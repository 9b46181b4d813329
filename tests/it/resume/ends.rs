//! What closes a window: its time, the end of the task, a push that does not continue.

use std::time::{Duration, Instant};

use chrono::Utc;
use liverec::domain::media_file::MediaFileState;
use serde_json::json;

use super::{
    WINDOW_S, assert_one_file_each, broken_push, push, recorder, rows, source, stored, stories,
    story, template,
};
use crate::{
    support::{
        ffmpeg::Codecs,
        publisher::Pusher,
        pushing::frames,
        receiver::Receiver,
        server::{BACKENDS, Backend, Server, eventually},
    },
    verbatim::FORMATS,
};

/// So long that nothing but what the test does can close it.
const LONG_S: u32 = 1800;

#[test]
fn nobody_comes_back() {
    for backend in BACKENDS {
        let window_s = 3;
        let (server, receiver) = recorder(backend, &FORMATS, window_s, &[]);
        let source = source(&server, Codecs::H264Aac, 3);
        broken_push(&server, &receiver, &source.tags, 1);
        let ended = Instant::now();
        assert_one_file_each(&server, &receiver, &source, &FORMATS, &[&source.tags]);
        assert!(ended.elapsed() >= Duration::from_secs(1), "the window was not waited for");
        let pushed = receiver.of_type(0).remove(0);
        for file in receiver.of_type(100) {
            assert!(file["end_time"].as_i64() <= pushed["event_time"].as_i64(), "{file} {pushed}");
        }
    }
}

/// The window is over before the server is up again.
#[test]
fn the_window_ends_while_the_server_is_down() {
    let (mut server, receiver) = recorder(Backend::Plain, &["Mp4"], 1, &[]);
    let source = source(&server, Codecs::H264Aac, 3);
    let pusher = push(&server, &source.tags);
    server.kill();
    drop(pusher);
    std::thread::sleep(Duration::from_secs(3));
    server.launch();
    assert_one_file_each(&server, &receiver, &source, &["Mp4"], &[&source.tags]);
}

fn task(server: &Server, formats: &[&str]) -> String {
    server.live(
        "DeleteLiveRecordRule",
        json!({"DomainName": "live.local", "AppName": "live", "StreamName": "show"}),
    );
    server.live("DeleteLiveRecordRule", json!({"DomainName": "live.local"}));
    let answer = server.live(
        "CreateRecordTask",
        json!({
            "DomainName": "live.local", "AppName": "live", "StreamName": "show",
            "EndTime": Utc::now().timestamp() + 3600,
            "TemplateId": template(server, formats, LONG_S),
        }),
    );
    answer["TaskId"].as_str().unwrap().to_owned()
}

fn paused(receiver: &Receiver, recordings: usize) {
    eventually("the pause of every recording", || {
        let stories = stories(receiver);
        let is_paused = |story: &Vec<String>| story.last().is_some_and(|e| e == "record_paused");
        (stories.len() == recordings && stories.values().all(is_paused)).then_some(())
    });
}

#[test]
fn a_task_that_is_stopped_or_deleted_closes_its_window() {
    for backend in BACKENDS {
        for action in ["StopRecordTask", "DeleteRecordTask"] {
            let (server, receiver) = recorder(backend, &[], LONG_S, &[]);
            let id = task(&server, &FORMATS);
            let source = source(&server, Codecs::H264Aac, 3);
            let first = &source.tags[..100];
            broken_push(&server, &receiver, first, 1);
            paused(&receiver, FORMATS.len());
            broken_push(&server, &receiver, &source.tags, 2);
            paused(&receiver, FORMATS.len());
            assert!(receiver.of_type(100).is_empty());
            server.live(action, json!({"TaskId": id}));
            let files = stored(&receiver, FORMATS.len());
            for (file, row) in files.iter().zip(rows(&server, &files)) {
                assert_eq!(file["task_id"], id.as_str());
                assert_eq!(row.spans.len(), 2);
            }
            for told in stories(&receiver).values() {
                assert_eq!(*told, story(1));
            }
        }
    }
}

/// A task that ends during a push ends its recording there: nothing waits.
#[test]
fn a_task_that_is_stopped_during_a_push_that_came_back() {
    let (server, receiver) = recorder(Backend::Plain, &[], LONG_S, &[]);
    let id = task(&server, &["Flv"]);
    let source = source(&server, Codecs::H264Aac, 3);
    broken_push(&server, &receiver, &source.tags[..100], 1);
    let pusher = push(&server, &source.tags);
    eventually("the recording goes on", || {
        stories(&receiver).values().any(|s| s.last().unwrap() == "record_resumed").then_some(())
    });
    server.live("StopRecordTask", json!({"TaskId": id}));
    let files = stored(&receiver, 1);
    assert_eq!(receiver.of_type(0).len(), 1, "the push goes on");
    assert_eq!(rows(&server, &files)[0].spans.len(), 2);
    let told = stories(&receiver).into_values().next().unwrap();
    let all = ["record_start_succeeded", "record_paused", "record_resumed", "record_ended"];
    assert_eq!(told, all);
    pusher.finish();
}

#[test]
fn a_stop_of_the_server_does_not_wait_for_a_window() {
    for backend in BACKENDS {
        let (mut server, receiver) = recorder(backend, &[], LONG_S, &[]);
        let id = task(&server, &FORMATS);
        let source = source(&server, Codecs::H264Aac, 3);
        broken_push(&server, &receiver, &source.tags, 1);
        paused(&receiver, FORMATS.len());
        let asked = Instant::now();
        server.stop();
        assert!(asked.elapsed() < Duration::from_secs(25), "most of the grace period went by");
        server.launch();
        assert!(receiver.of_type(100).is_empty());
        server.live("StopRecordTask", json!({"TaskId": id}));
        let files = stored(&receiver, FORMATS.len());
        for row in rows(&server, &files) {
            assert_eq!((row.state, row.spans.len()), (MediaFileState::Stored, 1));
        }
    }
}

/// The stream is back, but nothing asks for the recording any more.
#[test]
fn a_rule_that_is_gone_ends_its_recording_when_the_stream_is_back() {
    let (server, receiver) = recorder(Backend::Plain, &["Flv", "Mp4"], LONG_S, &[]);
    server.live("DeleteLiveRecordRule", json!({"DomainName": "live.local"}));
    let source = source(&server, Codecs::H264Aac, 3);
    broken_push(&server, &receiver, &source.tags, 1);
    paused(&receiver, 2);
    server.live(
        "DeleteLiveRecordRule",
        json!({"DomainName": "live.local", "AppName": "live", "StreamName": "show"}),
    );
    assert!(receiver.of_type(100).is_empty(), "rules are looked at when a push starts");
    let pusher = push(&server, &source.tags);
    assert_one_file_each_of_first(&server, &receiver);
    pusher.finish();
    receiver.wait_for(0, 2);
    assert_eq!(receiver.of_type(100).len(), 2);
}

fn assert_one_file_each_of_first(server: &Server, receiver: &Receiver) {
    let files = stored(receiver, 2);
    for row in rows(server, &files) {
        assert_eq!(row.spans.len(), 1, "{row:#?}");
    }
    for told in stories(receiver).values() {
        assert_eq!(*told, story(0));
    }
}

/// A push that ends before it has sent anything changes nothing of what waits.
#[test]
fn a_push_without_a_frame_is_no_end() {
    let (server, receiver) = recorder(Backend::Plain, &["Flv", "Mp4"], WINDOW_S, &[]);
    let source = source(&server, Codecs::H264Aac, 3);
    broken_push(&server, &receiver, &source.tags[..100], 1);
    drop(Pusher::connect(server.rtmp, "show", 4096).accepted());
    receiver.wait_for(0, 2);
    push(&server, &source.tags).finish();
    let files = stored(&receiver, 2);
    let pushes = [&source.tags[..100], &source.tags[..]];
    for (file, row) in files.iter().zip(rows(&server, &files)) {
        assert_eq!(row.spans.len(), 3);
        super::assert_payloads(&server, file, &source, &pushes);
    }
    assert!(frames(&source.tags).len() > 100);
}
