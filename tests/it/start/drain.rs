//! SIGTERM while a hundred streams are live.

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use serde_json::Value;

use crate::{
    support::{
        ffmpeg::{Codecs, make_source},
        publisher::{LivePush, Pusher, is_header, is_keyframe, read_tags},
        pushing::{
            as_in_product, assert_same_tags, frames, journal_files, journaled_frames, product_tags,
        },
        receiver::{Receiver, SIGN_KEY},
        server::{Backend, Server, eventually, fetch},
    },
    verbatim::format_of,
};

const STREAMS: usize = 100;

#[test]
fn terminated_while_a_hundred_streams_are_live() {
    let mut server = Server::start(Backend::Plain, &[("shutdown.grace", "120s")]);
    let receiver = Receiver::start();
    server.record("live", "", &["Flv", "Mp4"], 7200);
    server.call_back(&receiver.url(), SIGN_KEY);
    let path = server.folder().join("source.flv");
    make_source(Codecs::H264Aac, 2, &path);
    // A few tags a second each: what is tested is the end of many streams, not their bytes.
    let mut nth = 0;
    let mut tags = read_tags(&path);
    tags.retain(|tag| {
        nth += 1;
        is_header(tag) || is_keyframe(tag) || (nth % 8 == 0 && tag.kind as u8 == 8)
    });
    let pushes: Vec<LivePush> = (0..STREAMS)
        .map(|nth| {
            let pusher = Pusher::connect(server.rtmp, &format!("d{nth}"), 4096).accepted();
            LivePush::start(pusher, tags.clone())
        })
        .collect();
    sleep(Duration::from_secs(4));
    let journaled = journaled_frames(&server).len();
    assert!(journaled > 10 * STREAMS, "{journaled} frames in the journals");
    // Asserts exit code 0.
    let took = {
        let begun = std::time::Instant::now();
        server.stop();
        begun.elapsed()
    };
    let sent: Vec<_> = pushes.into_iter().map(LivePush::stop).collect();
    let before = told(&receiver).len();
    server.launch();
    let files = eventually("every file", || {
        let files = told(&receiver);
        (files.len() >= 2 * STREAMS).then_some(files)
    });
    assert_eq!(files.len(), 2 * STREAMS);
    let mut kept = 0;
    for file in files.values().filter(|file| format_of(file) == "flv") {
        let stream = file["stream_id"].as_str().unwrap();
        let sent = &sent[stream.trim_start_matches('d').parse::<usize>().unwrap()];
        let url = here(&server, file);
        let found = product_tags(&url);
        assert_same_tags(&found, &as_in_product(sent)[..found.len()], &url);
        kept += frames(&found).len();
    }
    assert!(kept >= journaled, "{kept} of {journaled} frames");
    for file in files.values().filter(|file| format_of(file) == "mp4") {
        assert!(fetch(&here(&server, file)).len() > 1000);
    }
    eventually("the release of every journal", || journal_files(&server).is_empty().then_some(()));
    println!(
        "SIGTERM with {STREAMS} live streams: exit code 0 after {took:?}; {before} of {} events 100 were out by then, {kept} frames compared ({journaled} journaled before the signal), 0 lost",
        2 * STREAMS
    );
}

/// Events 100 by file.
fn told(receiver: &Receiver) -> BTreeMap<String, Value> {
    let events = receiver.of_type(100).into_iter();
    events.map(|event| (event["file_id"].to_string(), event)).collect()
}

fn here(server: &Server, file: &Value) -> String {
    let url = file["video_url"].as_str().unwrap();
    let (_, path) = url.split_once("/vod/").unwrap();
    format!("{}/vod/{path}", server.base_url())
}
