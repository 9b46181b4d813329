//! `kill -9` and SIGTERM at bad moments: after the next start everything that was in the journal
//! is in the products, and the callbacks arrive, without anybody's help.

mod in_the_way;
mod lost;
pub mod lost_end;
pub mod matrix;
pub mod no_data;
mod remains;
mod restore;
mod spoilt;

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    time::Duration,
};

use liverec::media::tag::Tag;
use serde_json::{Value, json};

use crate::{
    follow::heavy,
    support::{
        ffmpeg::Codecs,
        packets::Packets,
        publisher::Pusher,
        pushing::{
            Source, as_in_product, assert_same_tags, frames, journal_files, journaled_frames,
            product_tags,
        },
        receiver::Receiver,
        s3::{Fault, Op},
        server::{BACKENDS, Backend, Server, eventually},
    },
    verbatim::{FORMATS, format_of, recorder},
};

/// `errcode` of event 0 when the server was the one that ended it.
const SERVER_STOPPED: i64 = 5;

#[test]
fn killed_during_a_push() {
    for backend in BACKENDS {
        let (mut server, receiver, source, sent) = half_pushed(backend, 700);
        server.kill();
        assert_eq!(receiver.of_type(100).len(), 0);
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        assert_holds(&server, &files, &source, &sent);
    }
}

#[test]
fn killed_again_and_again() {
    for backend in BACKENDS {
        let (mut server, receiver, source, sent) = half_pushed(backend, 700);
        server.kill();
        for _ in 0..4 {
            server.launch();
            server.kill();
        }
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        assert_holds(&server, &files, &source, &sent);
    }
}

#[test]
fn killed_during_a_push_of_ffmpeg() {
    for backend in BACKENDS {
        let (mut server, receiver) = recorder(backend, &FORMATS, 7200, &[]);
        let source = Source::make(&server, Codecs::H264Aac, 30);
        let mut encoder = source.pushing(&server.push_url("show"), &["-re"]).spawn().unwrap();
        let journaled = eventually("three seconds in the journal", || {
            let frames = journaled_frames(&server);
            frames.last().is_some_and(|last| last.time_ms >= 3000).then_some(frames)
        });
        server.kill();
        assert!(!encoder.wait().unwrap().success());
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        let flv = files.iter().find(|file| format_of(file) == "flv").unwrap();
        let found = frames(&product_tags(&here(&server, flv)));
        assert!(
            found.len() >= journaled.len(),
            "{} of {} journaled frames",
            found.len(),
            journaled.len()
        );
        let sent = upto_frame(&source.tags, found.len());
        assert_holds(&server, &files, &source, sent);
    }
}

/// The end of the journal as a power loss or a kill within a write leaves it.
#[test]
fn a_torn_tail_is_cut_at_a_tag() {
    type Tear = fn(&Path);
    let tears: [(Tear, usize); 3] = [
        // The last tag misses its end.
        (|file| shorten(file, 7), 1),
        // Nothing but the header of the last tag and a little of its payload.
        (|file| shorten_last_tag(file, 20), 1),
        // The beginning of a further tag.
        (|file| append(file, &[9, 0, 1, 0, 0, 0x20, 0, 0, 0, 0, 0, 0x27, 1, 0]), 0),
    ];
    for (backend, (tear, lost)) in
        BACKENDS.into_iter().flat_map(|backend| tears.map(|tear| (backend, tear)))
    {
        let (mut server, receiver, source, sent) = half_pushed(backend, 500);
        server.kill();
        tear(journal_files(&server).last().unwrap());
        server.expect("journal");
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        assert_holds(&server, &files, &source, &sent[..sent.len() - lost]);
        // The index knows of the tag that is torn, as it does where a disk lost the end of it; of one
        // that was just being written it does not.
        let expected = if lost > 0 { &["journal_lost"][..] } else { &[] };
        files.iter().for_each(|file| assert_eq!(lost_end::gaps(file), expected, "{file:#}"));
    }
}

#[test]
fn killed_during_delivery() {
    let moments = [
        (Op::UploadPart, 3, Fault::Delay(Duration::from_secs(600))),
        (Op::Complete, 1, Fault::LoseResponse),
    ];
    for (op, nth, fault) in moments {
        let settings = [("storage.s3.part_size", "5MiB")];
        let formats = ["Flv", "Mp4", "Hls"];
        let (mut server, receiver) = recorder(Backend::Services, &formats, 7200, &settings);
        let source = heavy(&server, 10);
        let s3 = server.s3.as_ref().unwrap();
        s3.inject(op, nth, 1000, fault);
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(&source.tags);
        pusher.finish();
        eventually("the moment", || (s3.count(op) >= nth).then_some(()));
        server.expect("a media file could not be stored");
        server.expect("the upload of a media file is given up");
        server.kill();
        server.s3.as_ref().unwrap().heal();
        server.launch();
        let files = told(&receiver, 1, formats.len());
        assert_holds(&server, &files, &source, &source.tags);
    }
}

#[test]
fn terminated_during_a_push() {
    for backend in BACKENDS {
        let (mut server, receiver, source, sent) = half_pushed(backend, 700);
        server.stop();
        if backend == Backend::Plain {
            let stored = files_under(&server.data_dir().join("vod"));
            for ending in ["f0.flv", "f0.mp4", "f0.aac", "playlist.m3u8"] {
                assert!(
                    stored.iter().any(|name| name.ends_with(ending)),
                    "{ending} is not in {stored:?}"
                );
            }
        }
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        assert_holds(&server, &files, &source, &sent);
    }
}

/// A push that goes on, with its first `count` tags in the journal.
fn half_pushed(backend: Backend, count: usize) -> (Server, Receiver, Source, Vec<Tag>) {
    half_pushed_as(&FORMATS, backend, count, &[])
}

/// The same in some formats, with further settings.
fn half_pushed_as(
    formats: &[&str],
    backend: Backend,
    count: usize,
    settings: &[(&str, &str)],
) -> (Server, Receiver, Source, Vec<Tag>) {
    let settings = [&[("hls.segment_duration", "2s")], settings].concat();
    let (server, receiver) = recorder(backend, formats, 7200, &settings);
    let source = Source::make(&server, Codecs::H264Aac, 12);
    let sent = source.tags[..count].to_vec();
    leave_pushed(&server, &sent);
    (server, receiver, source, sent)
}

/// Pushes until all of it is in the journal, and does not end.
fn leave_pushed(server: &Server, sent: &[Tag]) {
    let mut pusher = Pusher::connect(server.rtmp, "show", 4096).accepted();
    pusher.send(sent);
    let expected = frames(sent);
    eventually("the journal of all that was sent", || {
        (journaled_frames(server).len() >= expected.len()).then_some(())
    });
    assert_same_tags(&journaled_frames(server), &expected, "the journal");
    // The connection stays open until the server is gone.
    std::mem::forget(pusher);
}

/// Waits for what a receiver must hear of one push; gives the events of its files. A message whose
/// delivery a kill interrupted may come twice, so each is taken once.
pub fn told(receiver: &Receiver, end_code: i64, files: usize) -> Vec<Value> {
    let stored = eventually(&format!("events 100 of {files} files"), || {
        let events = receiver.of_type(100).into_iter();
        let unique: BTreeMap<String, Value> =
            events.map(|event| (event["file_id"].to_string(), event)).collect();
        (unique.len() >= files).then(|| unique.into_values().collect::<Vec<_>>())
    });
    assert_eq!(stored.len(), files);
    let ended = receiver.wait_for(0, 1);
    let begun = receiver.wait_for(1, 1);
    assert_eq!(ended[0]["errcode"], end_code, "{}", ended[0]);
    for event in ended.iter().chain(&begun) {
        assert_eq!(event["sequence"], begun[0]["sequence"], "one push");
    }
    let events = receiver.events();
    let first = |kind: i64| events.iter().position(|event| event["event_type"] == kind);
    assert!(first(1) < first(0), "{events:#?}");
    stored
}

/// The products hold these tags of the source and nothing else.
fn assert_holds(server: &Server, files: &[Value], source: &Source, sent: &[Tag]) {
    let flv = files.iter().find(|file| format_of(file) == "flv").unwrap();
    let flv_url = here(server, flv);
    assert_same_tags(&product_tags(&flv_url), &as_in_product(sent), &flv_url);
    let pushed = Packets::of(source.name());
    let whole = Packets::of(&flv_url);
    assert!(whole.video.len() > 20 && whole.audio.len() > 20);
    assert_eq!(whole.video.len() + whole.audio.len(), frames(sent).len());
    whole.assert_payloads_and_times(&pushed.first(whole.video.len(), whole.audio.len()), &flv_url);
    for file in files {
        let url = here(server, file);
        let found = Packets::of(&url);
        match format_of(file) {
            "aac" => found.assert_payloads(&whole.sound(), &url),
            _ => {
                found.assert_payloads_and_times(&whole, &url);
            }
        }
    }
    let found = server.vod("SearchMedia", json!({"StreamIds": ["show"]}));
    assert_eq!(found["TotalCount"], files.len(), "{found}");
}

/// A file's address on the port that the server has now.
pub fn here(server: &Server, file: &Value) -> String {
    let url = file["video_url"].as_str().unwrap();
    let (_, path) = url.split_once("/vod/").unwrap();
    format!("{}/vod/{path}", server.base_url())
}

/// The tags up to and with so many frames.
fn upto_frame(tags: &[Tag], count: usize) -> &[Tag] {
    let end = (0..=tags.len()).find(|end| frames(&tags[..*end]).len() == count);
    &tags[..end.unwrap()]
}

fn shorten(file: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(file).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

/// Leaves so many bytes of the last tag.
fn shorten_last_tag(file: &Path, rest: u64) {
    let bytes = fs::read(file).unwrap();
    let (_, trailer) = bytes.split_last_chunk::<4>().unwrap();
    shorten(file, u64::from(u32::from_be_bytes(*trailer)) + 4 - rest);
}

fn append(file: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(file).unwrap().write_all(bytes).unwrap();
}

/// The names of all files in a folder and below.
pub fn files_under(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(files_under(&path));
        } else {
            names.push(path.display().to_string());
        }
    }
    names
}
