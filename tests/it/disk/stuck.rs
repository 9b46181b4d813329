//! A disk that hangs: only the push whose file it is waits, and not for ever.

use std::{
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use liverec::media::tag::Tag;
use rml_amf0::Amf0Value;

use super::{
    assert_holds, assert_nothing_left, files_of, gaps, journaled_bytes, live, sessions,
    shim::{self, Shim},
};
use crate::{
    crash::told,
    support::{
        ffmpeg::Codecs,
        pushing::Source,
        raw::Raw,
        receiver::{Receiver, SIGN_KEY},
        server::{Backend, Server, eventually},
    },
    verbatim::{FORMATS, recorder},
};

/// How long a call hangs.
const STALL: Duration = Duration::from_secs(5);
/// How long a sync hangs: more than the 10 s after which it is said.
const SYNC_STALL: Duration = Duration::from_secs(14);

/// Said when a sync does not end.
const LATE_SYNC: &str = "a sync of the journal hangs";
/// Said when a publish is given up.
const GIVEN_UP: &str =
    "a publisher is disconnected: its journal was not taken by the disk for journal.stall_timeout";

/// The longest time for which each of these journals did not grow, while `watched` lasted.
fn longest_pauses<const N: usize>(folders: [&PathBuf; N], watched: Duration) -> [Duration; N] {
    let begun = Instant::now();
    let mut seen = folders.map(|folder| (journaled_bytes(folder), begun));
    let mut longest = [Duration::ZERO; N];
    while begun.elapsed() < watched {
        sleep(Duration::from_millis(20));
        for nth in 0..N {
            let (bytes, now) = (journaled_bytes(folders[nth]), Instant::now());
            longest[nth] = longest[nth].max(now - seen[nth].1);
            if bytes != seen[nth].0 {
                seen[nth] = (bytes, now);
            }
        }
    }
    longest
}

#[test]
fn a_stuck_write_stalls_only_its_own_push() {
    let shim = Shim::build();
    let own = shim.settings();
    let mut server = Server::start(Backend::Plain, &shim::with(&own, &[]));
    server.expect(LATE_SYNC);
    let receiver = Receiver::start();
    server.record("live", "", &["Flv", "Mp4"], 7200);
    server.call_back(&receiver.url(), SIGN_KEY);
    let source = Source::make(&server, Codecs::H264Aac, 6);
    let (stuck, stuck_folder) = live(&server, "stuck", &source.tags);
    let (other, other_folder) = live(&server, "other", &source.tags);
    let (slow, slow_folder) = live(&server, "slow", &source.tags);
    let folders = [&stuck_folder, &other_folder, &slow_folder];
    let before = longest_pauses(folders, Duration::from_secs(3));
    let name = |folder: &PathBuf| folder.file_name().unwrap().to_str().unwrap().to_owned();
    shim.set(&format!(
        "write {}/00000001.flv STALL{} 1 0\nsync {}/00000001.flv STALL{} 1 0\n",
        name(&stuck_folder),
        STALL.as_millis(),
        name(&slow_folder),
        SYNC_STALL.as_millis(),
    ));
    let during = longest_pauses(folders, STALL + Duration::from_secs(3));
    println!(
        "longest pause of a journal: before {before:?}; one write hangs, one push is free, one sync hangs: {during:?}"
    );
    assert!(during[0] >= STALL * 9 / 10, "nothing hung: {during:?}");
    // Relative to the same run, so that a slow machine moves both.
    let bound = STALL / 2 + before[1];
    assert!(during[1] < bound, "the other push waited: {during:?}");
    assert!(during[2] < bound, "a sync that hangs held its push: {during:?}");
    // It holds nobody, but an operator should know.
    let said = server.logs.wait_for(LATE_SYNC);
    assert!(said.contains(&name(&slow_folder)), "{said}");
    assert_eq!(server.logs.count(LATE_SYNC), 1, "said once");
    let mut compared = 0;
    for (stream, push) in [("stuck", stuck), ("other", other), ("slow", slow)] {
        let sent = push.stop();
        let files = files_of(&receiver, stream, 2);
        compared += assert_holds(&server, &files, &sent, None);
        for file in &files {
            let has_gap = gaps(file).iter().any(|(cause, _)| cause == "disk_stuck");
            assert_eq!(has_gap, stream == "stuck", "{stream}: {:?}", gaps(file));
        }
    }
    assert_nothing_left(&server);
    println!("hanging calls: 2 faults, {compared} packets compared, losses 0");
}

#[test]
fn a_call_that_hangs_too_long_is_reported_before_it_returns() {
    let shim = Shim::build();
    let own = shim.settings();
    let settings = shim::with(&own, &[("journal.stall_timeout", "2s")]);
    let (mut server, receiver) = recorder(Backend::Plain, &FORMATS, 7200, &settings);
    server.expect(GIVEN_UP);
    let source = Source::make(&server, Codecs::H264Aac, 6);
    let (push, folder) = live(&server, "show", &source.tags);
    eventually("a second of the journal", || (journaled_bytes(&folder) > 20_000).then_some(()));
    let hangs_ms = 12_000;
    shim.set(&format!("write /00000001.flv STALL{hangs_ms} 1 0\n"));
    let errors = || {
        let events = receiver.of_type(332).into_iter();
        events.filter(|event| event["record_event"] == "record_error").count()
    };
    eventually("record_error", || (errors() == FORMATS.len()).then_some(()));
    // The push ends in the rows when its journal is closed, and that waits for the call.
    assert!(receiver.of_type(0).is_empty(), "reported only when the call was over");
    let sent = push.stop();
    let files = told(&receiver, 9, FORMATS.len());
    // All that was received is in the product: the call ended well.
    let compared = assert_holds(&server, &files, &sent, Some(2));
    assert_nothing_left(&server);
    assert_eq!(errors(), FORMATS.len(), "told once");
    println!(
        "a call that hangs beyond the time-out: 1 fault, {compared} packets compared, losses 0"
    );
}

#[test]
fn of_two_publishes_on_a_connection_only_the_stuck_one_ends() {
    let shim = Shim::build();
    let own = shim.settings();
    let settings = shim::with(&own, &[("journal.stall_timeout", "2s")]);
    let mut server = Server::start(Backend::Plain, &settings);
    server.expect(GIVEN_UP);
    let receiver = Receiver::start();
    server.record("live", "", &["Flv"], 7200);
    server.call_back(&receiver.url(), SIGN_KEY);
    let source = Source::make(&server, Codecs::H264Aac, 6);
    let (first, rest) = source.tags.split_at(source.tags.len() / 2);

    let mut raw = Raw::connect(&server);
    raw.connect_command(Some("live"));
    let ids = [raw.create_stream(2.0), raw.create_stream(3.0)];
    let folders = [(ids[0], "stuck"), (ids[1], "free")].map(|(id, name)| {
        let before = sessions(&server);
        raw.command(id, "publish", 0.0, Amf0Value::Null, &[name, "live"]);
        raw.send();
        raw.wait_for("NetStream.Publish.Start");
        sessions(&server).into_iter().find(|folder| !before.contains(folder)).unwrap()
    });
    let send = |raw: &mut Raw, id: u32, tags: &[Tag]| {
        tags.iter().for_each(|tag| raw.tag(id, tag));
        raw.send();
    };
    let is_journaled = |folder: &PathBuf| (journaled_bytes(folder) > 20_000).then_some(());
    for (id, folder) in ids.iter().zip(&folders) {
        send(&mut raw, *id, first);
        eventually("the first half in a journal", || is_journaled(folder));
    }
    let stuck = folders[0].file_name().unwrap().to_str().unwrap();
    shim.set(&format!("write {stuck}/00000001.flv STALL12000 1 0\n"));
    send(&mut raw, ids[0], rest);
    let said = server.logs.wait_for(GIVEN_UP);
    assert!(said.contains(stuck), "{said}");
    let before = journaled_bytes(&folders[1]);
    send(&mut raw, ids[1], rest);
    eventually("the other half", || (journaled_bytes(&folders[1]) > before).then_some(()));
    assert!(
        receiver.of_type(0).is_empty(),
        "the call that hangs holds the end of its journal only"
    );
    drop(raw);

    let mut compared = 0;
    for stream in ["free", "stuck"] {
        compared += assert_holds(&server, &files_of(&receiver, stream, 1), &source.tags, None);
    }
    for event in receiver.wait_for(0, 2) {
        let is_given_up = event["errcode"] == 9;
        assert_eq!(is_given_up, event["stream_id"] == "stuck", "{event}");
    }
    assert_nothing_left(&server);
    println!("two publishes on a connection: 1 fault, {compared} packets compared, losses 0");
}
