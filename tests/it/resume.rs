//! Continuity: a push that comes back within the resume window goes on in the same files, whatever
//! ended it; one that comes later, or with other codecs, begins new ones. Nothing is lost either way.

mod ends;
mod flapping;
mod headers;
mod lost;

use std::collections::{BTreeMap, BTreeSet};

use liverec::{
    db::Db,
    domain::{ids::DecimalId, media_file::MediaFile},
    media::tag::Tag,
};
use serde_json::{Value, json};

use crate::{
    support::{
        ffmpeg::{Codecs, make_source},
        packets::Packets,
        publisher::{Pusher, is_header},
        pushing::{Source, assert_same_tags, frames, newest_frames, product_tags},
        receiver::{Receiver, SIGN_KEY},
        server::{BACKENDS, Backend, Server, eventually},
    },
    verbatim::{FORMATS, format_of},
};

/// Long enough for a second push on any machine.
const WINDOW_S: u32 = 15;

/// What event 332 says of a recording that was interrupted `gaps` times and then ended by its window.
fn story(gaps: usize) -> Vec<&'static str> {
    let mut story = vec!["record_start_succeeded"];
    for _ in 0..gaps {
        story.extend(["record_paused", "record_resumed"]);
    }
    story.extend(["record_paused", "record_ended"]);
    story
}

/// A server that records the stream `show` with a resume window in every format named.
fn recorder(
    backend: Backend,
    formats: &[&str],
    window_s: u32,
    settings: &[(&str, &str)],
) -> (Server, Receiver) {
    let window = format!("{window_s}s");
    let mut all = vec![("record.resume_window", window.as_str()), ("hls.segment_duration", "1s")];
    all.extend(settings);
    let server = Server::start(backend, &all);
    let receiver = Receiver::start();
    server.call_back(&receiver.url(), SIGN_KEY);
    let template = template(&server, formats, window_s);
    server.live(
        "CreateLiveRecordRule",
        json!({
            "DomainName": "live.local", "AppName": "live", "StreamName": "show",
            "TemplateId": template,
        }),
    );
    (server, receiver)
}

fn template(server: &Server, formats: &[&str], window_s: u32) -> i64 {
    let mut template = json!({
        "TemplateName": "resume", "HlsSpecialParam": {"FlowContinueDuration": window_s.min(1800)},
    });
    for format in formats {
        template[format!("{format}Param")] = json!({"Enable": 1, "RecordInterval": 7200});
    }
    server.live("CreateLiveRecordTemplate", template)["TemplateId"].as_i64().unwrap()
}

/// Publishes tags and waits until they are in the journal; the connection stays open.
fn push(server: &Server, tags: &[Tag]) -> Pusher {
    let mut pusher = Pusher::connect(server.rtmp, "show", 4096).accepted();
    pusher.send(tags);
    let expected = frames(tags);
    eventually("the journal of all that was sent", || {
        (newest_frames(server).len() >= expected.len()).then_some(())
    });
    assert_same_tags(&newest_frames(server), &expected, "the journal");
    pusher
}

/// Publishes tags and then breaks the connection; the `nth` push to end.
fn broken_push(server: &Server, receiver: &Receiver, tags: &[Tag], nth: usize) {
    drop(push(server, tags));
    receiver.wait_for(0, nth);
}

/// The rows of files that events 100 name, with their spans.
fn rows(server: &Server, files: &[Value]) -> Vec<MediaFile> {
    let url = server.database_url();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let db = Db::connect(&url).await.unwrap();
        let mut rows = Vec::new();
        for file in files {
            let id = DecimalId::parse(file["file_id"].as_str().unwrap()).unwrap();
            rows.push(db.media_file(id).await.unwrap().unwrap());
        }
        db.close().await;
        rows
    })
}

/// Events of one kind, each once: a message whose delivery a kill interrupted may come twice.
fn unique(receiver: &Receiver, event_type: i64, id: &str) -> Vec<Value> {
    let mut known = BTreeSet::new();
    let mut events = receiver.of_type(event_type);
    events.retain(|event| known.insert(event[id].to_string()));
    events
}

/// `record_event` of every 332 so far, in order, for each recording.
fn stories(receiver: &Receiver) -> BTreeMap<String, Vec<String>> {
    let mut stories: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in unique(receiver, 332, "seq") {
        let recording = format!("{} {}", event["session_id"], event["record_detail"]);
        let what = event["record_event"].as_str().unwrap().to_owned();
        stories.entry(recording).or_default().push(what);
    }
    stories
}

/// Waits for `count` files.
fn stored(receiver: &Receiver, count: usize) -> Vec<Value> {
    eventually(&format!("{count} files"), || {
        let files = unique(receiver, 100, "file_id");
        assert!(files.len() <= count, "more than {count} files: {files:#?}");
        (files.len() == count).then_some(files)
    })
}

/// A file's address on the port that the server has now.
fn here(server: &Server, file: &Value) -> String {
    let url = file["video_url"].as_str().unwrap();
    let (_, path) = url.split_once("/vod/").unwrap();
    format!("{}/vod/{path}", server.base_url())
}

/// One file for each format with a span for each push, which holds all payloads of all of them.
fn assert_one_file_each(
    server: &Server,
    receiver: &Receiver,
    source: &Source,
    formats: &[&str],
    pushes: &[&[Tag]],
) {
    let files = stored(receiver, formats.len());
    let [begun, ended] = [1, 0].map(|kind| {
        eventually("the beginning and end of every push", || {
            let events = unique(receiver, kind, "sequence");
            (events.len() >= pushes.len()).then_some(events)
        })
    });
    assert_eq!((begun.len(), ended.len()), (pushes.len(), pushes.len()));
    let stories = eventually("the end of every recording", || {
        let stories = stories(receiver);
        let are_over = |all: &BTreeMap<String, Vec<String>>| {
            all.values().all(|story| story.last().is_some_and(|last| last == "record_ended"))
        };
        (stories.len() == formats.len() && are_over(&stories)).then_some(stories)
    });
    for story in stories.values() {
        assert_eq!(*story, self::story(pushes.len() - 1), "{stories:#?}");
    }

    let rows = rows(server, &files);
    for (file, row) in files.iter().zip(&rows) {
        assert_eq!(file["task_id"], begun[0]["sequence"], "the id of the first push: {file}");
        assert_eq!(row.spans.len(), pushes.len(), "{row:#?}");
        for (nth, span) in row.spans.iter().enumerate() {
            assert_eq!(span.from, 0, "from the first byte of push {nth}");
            assert!(span.to.is_some_and(|to| to > 0), "{row:#?}");
            assert_eq!(span.session, rows[0].spans[nth].session, "the same pushes in every file");
        }
        assert!(row.spans.is_sorted_by_key(|span| span.session), "{row:#?}");
        assert_eq!(row.error, "");
        assert_payloads(server, file, source, pushes);
    }
    let found = server.vod("SearchMedia", json!({"StreamIds": ["show"]}));
    assert_eq!(found["TotalCount"], formats.len(), "{found}");
}

/// A file holds every payload of these stretches of the source once and in order.
fn assert_payloads(server: &Server, file: &Value, source: &Source, pushes: &[&[Tag]]) {
    let url = here(server, file);
    if format_of(file) == "flv" {
        let payloads = |tags: &[Tag]| -> Vec<Tag> {
            // Times are moved where a stream comes back with another clock.
            frames(tags).into_iter().map(|tag| Tag { time_ms: 0, ..tag }).collect()
        };
        let expected: Vec<Tag> = pushes.iter().flat_map(|push| payloads(push)).collect();
        assert_same_tags(&payloads(&product_tags(&url)), &expected, &url);
    }
    let pushed = Packets::of(source.name());
    let mut expected = Packets::default();
    for push in pushes {
        let part = match push.len() {
            all if all == source.tags.len() => pushed.clone(),
            _ => {
                let (video, audio) = counts(push);
                pushed.first(video, audio)
            }
        };
        expected.video.extend(part.video);
        expected.audio.extend(part.audio);
    }
    let expected = if format_of(file) == "aac" { expected.sound() } else { expected };
    let found = Packets::of(&url);
    if format_of(file) == "mp4" {
        // A reader orders what is in an MP4 by its times.
        by_payload(found).assert_payloads(&by_payload(expected), &url);
    } else {
        found.assert_payloads(&expected, &url);
    }
}

fn by_payload(mut packets: Packets) -> Packets {
    packets.video.sort_by(|a, b| a.hash.cmp(&b.hash));
    packets.audio.sort_by(|a, b| a.hash.cmp(&b.hash));
    packets
}

/// Pictures and frames of sound.
fn counts(tags: &[Tag]) -> (usize, usize) {
    use liverec::media::tag::TagKind;
    let count = |kind| tags.iter().filter(|tag| tag.kind == kind && !is_header(tag)).count();
    (count(TagKind::Video), count(TagKind::Audio))
}

fn source(server: &Server, codecs: Codecs, seconds: u32) -> Source {
    let path = server.folder().join(format!("{codecs:?}.flv"));
    make_source(codecs, seconds, &path);
    Source::of(codecs, path)
}

#[test]
fn a_reconnect_goes_on_in_the_same_files() {
    for backend in BACKENDS {
        let (server, receiver) = recorder(backend, &FORMATS, WINDOW_S, &[]);
        let source = source(&server, Codecs::H264Aac, 6);
        let first = &source.tags[..200];
        broken_push(&server, &receiver, first, 1);
        push(&server, &source.tags).finish();
        receiver.wait_for(0, 2);
        assert!(receiver.of_type(100).is_empty(), "the window is open");
        assert_one_file_each(&server, &receiver, &source, &FORMATS, &[first, &source.tags]);
    }
}

#[test]
fn a_takeover_goes_on_in_the_same_files() {
    for backend in BACKENDS {
        let (server, receiver) = recorder(backend, &FORMATS, WINDOW_S, &[]);
        let source = source(&server, Codecs::H264Aac, 6);
        let first = &source.tags[..200];
        let older = push(&server, first);
        push(&server, &source.tags).finish();
        assert_eq!(receiver.wait_for(0, 2)[0]["errcode"], 21);
        drop(older);
        assert_one_file_each(&server, &receiver, &source, &FORMATS, &[first, &source.tags]);
        let pushes: Vec<Value> = receiver
            .events()
            .into_iter()
            .map(|event| event["event_type"].clone())
            .filter(|kind| *kind == 0 || *kind == 1)
            .collect();
        assert_eq!(json!(pushes), json!([1, 0, 1, 0]));
    }
}

#[test]
fn a_reconnect_after_a_stop_of_the_server() {
    for backend in BACKENDS {
        let (mut server, receiver) = recorder(backend, &FORMATS, WINDOW_S, &[]);
        let source = source(&server, Codecs::H264Aac, 6);
        let first = &source.tags[..200];
        let older = push(&server, first);
        server.stop();
        drop(older);
        assert!(receiver.of_type(100).is_empty(), "suspended, not finished");
        server.launch();
        push(&server, &source.tags).finish();
        assert_one_file_each(&server, &receiver, &source, &FORMATS, &[first, &source.tags]);
    }
}

/// The server is killed while it records, before and after the stream came back.
#[test]
fn reconnects_after_kills_of_the_server() {
    for backend in BACKENDS {
        let (mut server, receiver) = recorder(backend, &FORMATS, 2 * WINDOW_S, &[]);
        let source = source(&server, Codecs::H264Aac, 6);
        let pushes: [&[Tag]; 4] =
            [&source.tags[..200], &source.tags[..100], &source.tags[..300], &source.tags];
        for (nth, tags) in pushes.iter().enumerate() {
            let pusher = push(&server, tags);
            if nth + 1 < pushes.len() {
                server.kill();
                drop(pusher);
                server.launch();
            } else {
                pusher.finish();
            }
        }
        assert_one_file_each(&server, &receiver, &source, &FORMATS, &pushes);
    }
}

#[test]
fn another_codec_begins_new_files_of_the_same_recording() {
    for backend in BACKENDS {
        let formats = ["Flv", "Hls", "Mp4"];
        let (server, receiver) = recorder(backend, &formats, WINDOW_S, &[]);
        let first = source(&server, Codecs::H264Aac, 4);
        let second = source(&server, Codecs::HevcAac, 4);
        broken_push(&server, &receiver, &first.tags, 1);
        drop(push(&server, &second.tags));
        let begun = receiver.wait_for(1, 2);
        let files = stored(&receiver, 2 * formats.len());
        let rows = rows(&server, &files);
        for format in formats {
            let format = format.to_lowercase();
            let mut ours: Vec<(&Value, &MediaFile)> =
                files.iter().zip(&rows).filter(|(file, _)| format_of(file) == format).collect();
            ours.sort_by_key(|(_, row)| row.ordinal);
            let [(older, older_row), (newer, newer_row)] = ours[..] else { panic!("{ours:#?}") };
            assert_eq!(older_row.recording, newer_row.recording);
            assert_eq!((older_row.spans.len(), newer_row.spans.len()), (1, 1));
            assert_eq!(older["task_id"], begun[0]["sequence"]);
            assert_eq!(newer["task_id"], begun[0]["sequence"]);
            let remark = "begins where the stream came back with another codec";
            assert!(newer_row.facts.irregularities.iter().any(|line| line == remark));
            assert_payloads(&server, older, &first, &[&first.tags]);
            assert_payloads(&server, newer, &second, &[&second.tags]);
        }
        for (_, story) in stories(&receiver) {
            assert_eq!(story[..3], self::story(1)[..3]);
        }
    }
}
