//! SIGTERM while a hundred streams are live: without a resume window all of them are finished and
//! stored, and their events are in the outbox, before the process ends.

use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    crash::{
        here,
        matrix::look::{assert_nothing_is_left, assert_rows, wait_until_done},
    },
    support::{
        ffmpeg::{Codecs, make_source},
        is_long_run,
        packets::Packets,
        publisher::{LivePush, Pusher, is_header, is_keyframe, read_tags},
        pushing::{as_in_product, assert_same_tags, frames, journaled_frames, product_tags},
        receiver::{Receiver, SIGN_KEY},
        server::{Backend, Server, eventually},
    },
    verbatim::format_of,
};

const STREAMS: usize = 100;
const FORMATS: [&str; 2] = ["Flv", "Mp4"];

/// More than twenty times as long as it takes on two cores. A server that needs longer says so with a WARN,
/// which fails the test.
const GRACE: Duration = Duration::from_secs(120);

#[test]
fn terminated_while_a_hundred_streams_are_live() {
    let grace = format!("{}s", GRACE.as_secs());
    let mut server = Server::start(Backend::Plain, &[("shutdown.grace", &grace)]);
    let receiver = Receiver::start();
    server.record("live", "", &FORMATS, 7200);
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
    // Asserts exit code 0, and that nothing was said of a grace period that is over.
    let begun = Instant::now();
    server.stop();
    let took = begun.elapsed();
    assert!(took < GRACE, "{took:?}");
    let sent: Vec<_> = pushes.into_iter().map(LivePush::stop).collect();

    // Before anything else runs over these data.
    let all = STREAMS * FORMATS.len();
    let count = |what: &str| {
        let found = server.sql(&format!("SELECT COUNT(*) AS n FROM {what}"));
        usize::try_from(found).unwrap()
    };
    assert_eq!(count("media_file"), all, "files begun");
    assert_eq!(count("media_file WHERE state = 'stored'"), all, "files stored by the exit");
    for (event_type, expected) in [(1, STREAMS), (0, STREAMS), (332, 2 * all), (100, all)] {
        let found = count(&format!("callback WHERE event_type = {event_type}"));
        assert_eq!(found, expected, "events {event_type} in the outbox");
    }
    let before = told(&receiver).len();

    server.launch();
    let files = eventually("every file", || {
        let files = told(&receiver);
        (files.len() >= all).then_some(files)
    });
    wait_until_done(&server);
    assert_rows(&server, &files);
    assert_nothing_is_left(&server, &files);
    let (mut kept, mut compared) = (0, 0);
    for (nth, sent) in sent.iter().enumerate() {
        let stream = format!("d{nth}");
        let of = |format: &str| {
            let mut files = files.values().filter(|file| file["stream_id"] == stream.as_str());
            let found = files.find(|file| format_of(file) == format);
            here(&server, found.unwrap_or_else(|| panic!("no {format} of {stream}")))
        };
        let flv = of("flv");
        let found = product_tags(&flv);
        assert_same_tags(&found, &as_in_product(sent)[..found.len()], &flv);
        kept += frames(&found).len();
        // Each takes two processes to read.
        if nth % 10 == 0 || is_long_run() {
            let whole = Packets::of(&flv);
            assert_eq!(whole.video.len() + whole.audio.len(), frames(&found).len(), "{flv}");
            let mp4 = of("mp4");
            Packets::of(&mp4).assert_payloads_and_times(&whole, &mp4);
            compared += frames(&found).len();
        }
    }
    assert!(kept >= journaled, "{kept} of {journaled} frames");
    println!(
        "SIGTERM with {STREAMS} live streams: exit code 0 after {took:?}, all {all} files stored by then ({before} events 100 out), {kept} packets of FLV and {compared} of MP4 compared ({journaled} journaled before the signal), 0 lost"
    );
}

/// Events 100 by file.
fn told(receiver: &Receiver) -> BTreeMap<String, Value> {
    let events = receiver.of_type(100).into_iter();
    events.map(|event| (event["file_id"].as_str().unwrap().to_owned(), event)).collect()
}
