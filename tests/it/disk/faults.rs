//! Single calls that fail or do half of what they were asked: each costs its push a moment at most.

use std::time::Duration;

use super::{assert_holds, assert_nothing_left, files_of, gaps, live, rounds, shim};
use crate::support::{
    ffmpeg::Codecs,
    pushing::Source,
    receiver::{Receiver, SIGN_KEY},
    server::{Backend, Server, eventually},
};

/// Rules for one push, and the cause that its files give for the gap; none where nothing waited.
/// `@` is the folder of its journal.
const CASES: [(&str, Option<&str>); 9] = [
    ("write @/00000001.flv EIO 1 0", Some("disk_error")),
    ("write @/00000001.idx EIO 1 0", Some("disk_error")),
    ("write @/00000001.flv ENOSPC 1 1", Some("disk_full")),
    ("write @/00000001.flv SHORT 30 0\nwrite @/00000001.idx SHORT 30 0", None),
    ("sync @/00000001.flv EIO 1 0", None),
    ("sync @/00000001.flv EIO 3 0\nsync @/00000002.flv EIO 1 0", None),
    // No new file can be made for a while, then its name cannot be given.
    (
        "write @/00000001.flv EIO 1 2\nopen @/00000002.flv.new$ EIO 1 0\nrename @/00000002 EIO 1 0",
        Some("disk_error"),
    ),
    // What is half written cannot be cut off again.
    (
        "write @/00000001.flv SHORT 1 0\nwrite @/00000001.flv EIO 1 0\ntruncate @/00000001.flv EIO 2 0",
        Some("disk_error"),
    ),
    // Whatever seals an index, or makes a folder's names last: those of another file, as the first
    // may be safe before there are rules.
    ("sync @/00000001.flv EIO 1 0\nsync @/00000001.idx EIO 2 0\nsync @$ EIO 1 0", None),
];

#[test]
fn calls_that_fail_cost_nothing() {
    let shim = shim::Shim::build();
    let own = shim.settings();
    let mut server = Server::start(Backend::Plain, &shim::with(&own, &[]));
    for said in [
        "the journal cannot be written; its publisher is held",
        "the journal cannot be synced",
        "the disk is full: the reserve is given up",
    ] {
        server.expect(said);
    }
    let receiver = Receiver::start();
    server.record("live", "", &["Flv", "Mp4"], 7200);
    server.call_back(&receiver.url(), SIGN_KEY);
    let source = Source::make(&server, Codecs::H264Aac, 6);
    let (mut faults, mut compared) = (0, 0);
    for round in 0..rounds(1, 10) {
        let mut rules = Vec::new();
        let mut pushes = Vec::new();
        for (nth, (rule, cause)) in CASES.iter().enumerate() {
            let stream = format!("r{round}s{nth}");
            let (push, folder) = live(&server, &stream, &source.tags);
            let rule = rule.replace('@', folder.file_name().unwrap().to_str().unwrap());
            rules.extend(rule.lines().map(str::to_owned));
            pushes.push((stream, push, *cause));
        }
        let before = shim.faults();
        shim.set(&rules.join("\n"));
        // The rules about ends are met when the pushes are over.
        eventually("the faults of pushes that go on", || {
            let calls = shim.calls();
            let mut met = rules.iter().filter(|rule| !is_of_an_end(rule));
            met.all(|rule| shim::met(&calls, rule) > 0).then_some(())
        });
        std::thread::sleep(Duration::from_secs(3));
        for (stream, push, cause) in pushes {
            let sent = push.stop();
            let files = files_of(&receiver, &stream, 2);
            compared += assert_holds(&server, &files, &sent, None);
            for file in &files {
                let gaps = gaps(file);
                let causes: Vec<&str> = gaps.iter().map(|(cause, _)| cause.as_str()).collect();
                assert_eq!(causes, cause.into_iter().collect::<Vec<_>>(), "{stream}: {gaps:?}");
            }
        }
        let calls = shim.calls();
        for rule in &rules {
            assert!(shim::met(&calls, rule) > 0, "nothing met {rule:?}");
        }
        faults += shim.faults() - before;
        shim.set("");
    }
    assert_eq!(receiver.of_type(100).len(), CASES.len() * 2 * rounds(1, 10));
    assert_nothing_left(&server);
    println!("failing calls: {faults} faults, {compared} packets compared, losses 0");
}

/// What closes a journal.
fn is_of_an_end(rule: &str) -> bool {
    rule.starts_with("sync") && (rule.contains(".idx ") || rule.contains("$ "))
}
