//! A disk without room, on a real file system of a few MiB with everything a newcomer's server keeps.

use std::{fs, thread::sleep, time::Duration};

use serde_json::json;

use super::{
    assert_holds, assert_nothing_left, gaps, journaled_bytes, live,
    mounts::{SmallDisk, on_small_disk},
    sessions,
};
use crate::{
    crash::told,
    support::{
        ffmpeg::Codecs,
        publisher::Pusher,
        pushing::Source,
        receiver::Receiver,
        server::{Backend, Server, eventually, fetch},
    },
    verbatim::{FORMATS, recorder},
};

/// Left when the disk is filled: about a second of the stream, less than the line for new ones.
const LEFT_BYTES: u64 = 64 << 10;

/// Publishes that were refused for want of room.
const REFUSALS: &str = "liverec_refusals_total{reason=\"disk\"}";

/// A server on a small disk, and what it may say there.
fn start(disk: &SmallDisk, stall_timeout: &str) -> (Server, Receiver, Source) {
    let data_dir = disk.data_dir();
    let settings = [
        ("data_dir", data_dir.to_str().unwrap()),
        ("disk.warn_free", "16MiB"),
        ("disk.refuse_free", "8MiB"),
        ("journal.stall_timeout", stall_timeout),
    ];
    let (mut server, receiver) = recorder(Backend::Plain, &FORMATS, 7200, &settings);
    for said in [
        "disk space is below",
        "the disk is full: the reserve is given up",
        "the journal cannot be written; its publisher is held",
        "the journal cannot be synced",
        // With room for a few rows only, the database may wait as well.
        "the database refuses rows",
        // What is little for a server is all that there is.
        "check=\"data_dir.room\"",
    ] {
        server.expect(said);
    }
    let source = Source::make(&server, Codecs::H264Aac, 6);
    (server, receiver, source)
}

#[test]
fn a_full_disk_holds_the_publisher_until_there_is_room() {
    const NAME: &str = "disk::full::a_full_disk_holds_the_publisher_until_there_is_room";
    on_small_disk(NAME, 128, |disk| {
        let (server, receiver, source) = start(disk, "60s");
        let (push, folder) = live(&server, "show", &source.tags);
        let reserve = disk.data_dir().join("reserve");
        eventually("a second of the journal, and the reserve", || {
            (journaled_bytes(&folder) > 20_000 && reserve.exists()).then_some(())
        });
        let filler = disk.fill_but(LEFT_BYTES);
        server.logs.wait_for("its publisher is held");
        server.logs.wait_for("the reserve is given up");
        assert!(!reserve.exists());
        let held_at = journaled_bytes(&folder);
        // What the end of a journal needs is there, and nothing takes it.
        sleep(Duration::from_secs(2));
        assert_eq!(journaled_bytes(&folder), held_at, "the journal grows on a full disk");
        assert!(disk.free() > 1 << 20, "{} bytes are left of the reserve", disk.free());
        let (code, why) = Pusher::connect(server.rtmp, "other", 4096).refusal();
        assert_eq!(code, "NetStream.Publish.Denied");
        assert!(why.contains("low on disk space"), "{why}");
        assert!(server.metric(REFUSALS) >= 1.0);
        assert!(server.metric("liverec_disk_free_bytes") < 8e6);
        fetch(&format!("{}/readyz", server.base_url()));

        fs::remove_file(filler).unwrap();
        server.logs.wait_for("the journal can be written again");
        eventually("new publishes are accepted", || {
            let pusher = Pusher::connect(server.rtmp, "other", 4096);
            let is_accepted = *pusher.phase() == liverec::rtmp::publisher::Phase::Publishing;
            is_accepted.then(|| pusher.finish())
        });
        let goes_on = journaled_bytes(&folder);
        eventually("the journal grows", || (journaled_bytes(&folder) > goes_on).then_some(()));
        let sent = push.stop();
        // The stream `other` was published too, but nothing records it.
        let files = super::files_of(&receiver, "show", FORMATS.len());
        let compared = assert_holds(&server, &files, &sent, None);
        for file in &files {
            let gaps = gaps(file);
            let [(cause, wall_ms)] = &gaps[..] else { panic!("{gaps:?}") };
            assert_eq!(cause, "disk_full");
            assert!(*wall_ms >= 2000, "{gaps:?}");
        }
        assert_nothing_left(&server);
        assert!(reserve.exists(), "there is a reserve again");
        println!("disk full, then room: 1 fault, {compared} packets compared, losses 0");
    });
}

/// Room goes and comes back in steps, far from the lines and from the end of the disk.
#[test]
fn new_publishes_are_refused_below_the_line_and_running_ones_go_on() {
    const NAME: &str =
        "disk::full::new_publishes_are_refused_below_the_line_and_running_ones_go_on";
    const WARNED: &str = "disk space is below disk.warn_free";
    const REFUSED: &str = "disk space is below disk.refuse_free";
    on_small_disk(NAME, 160, |disk| {
        let data_dir = disk.data_dir();
        let settings = [
            ("data_dir", data_dir.to_str().unwrap()),
            ("disk.warn_free", "80MiB"),
            ("disk.refuse_free", "40MiB"),
        ];
        let (mut server, receiver) = recorder(Backend::Plain, &FORMATS, 7200, &settings);
        for said in [WARNED, REFUSED, "check=\"data_dir.room\""] {
            server.expect(said);
        }
        let source = Source::make(&server, Codecs::H264Aac, 6);
        let (push, folder) = live(&server, "show", &source.tags);
        let grows = |when: &str| {
            let before = journaled_bytes(&folder);
            eventually(&format!("the journal grows {when}"), || {
                (journaled_bytes(&folder) > before + 20_000).then_some(())
            });
        };
        let publish = || Pusher::connect(server.rtmp, "other", 4096);
        grows("with room");
        assert_eq!(server.logs.count("disk space is"), 0, "{} bytes are free", disk.free());

        disk.fill_but(60 << 20);
        assert!(server.logs.wait_for(WARNED).contains(" WARN "));
        publish().accepted().finish();
        assert_eq!(server.metric(REFUSALS), 0.0);
        grows("between the lines");

        disk.fill_but(20 << 20);
        assert!(server.logs.wait_for(REFUSED).contains(" WARN "));
        let (code, why) = publish().refusal();
        assert_eq!(code, "NetStream.Publish.Denied");
        assert!(why.contains("low on disk space"), "{why}");
        assert_eq!(server.metric(REFUSALS), 1.0);
        grows("below the line for new ones");

        // An eighth above a line counts as above it again.
        let filler = disk.fill_but(60 << 20);
        server.logs.wait_for("disk space is back: new publishes are accepted");
        publish().accepted().finish();
        fs::remove_file(filler).unwrap();
        server.logs.wait_for("disk space is ample again");
        publish().accepted().finish();
        grows("with room again");

        assert_eq!(server.logs.count(WARNED), 1);
        assert_eq!(server.logs.count(REFUSED), 1);
        assert_eq!(server.metric(REFUSALS), 1.0);
        let sent = push.stop();
        let files = super::files_of(&receiver, "show", FORMATS.len());
        let compared = assert_holds(&server, &files, &sent, None);
        files.iter().for_each(|file| assert_eq!(gaps(file), [], "nothing waited"));
        assert_nothing_left(&server);
        println!("lines of the disk: crossed 4 times, {compared} packets compared, losses 0");
    });
}

#[test]
fn a_disk_that_stays_full_is_a_reported_failure() {
    const NAME: &str = "disk::full::a_disk_that_stays_full_is_a_reported_failure";
    on_small_disk(NAME, 128, |disk| {
        let (mut server, receiver, source) = start(disk, "2s");
        server.expect("a publisher is disconnected: its journal was not taken by the disk");
        server.expect("a media file could not be stored");
        server.expect("not ready");
        let templates = server.live("DescribeLiveCallbackTemplates", json!({}));
        let id = &templates["Templates"][0]["TemplateId"];
        let url = receiver.url();
        server.live(
            "ModifyLiveCallbackTemplate",
            json!({"TemplateId": id, "RecordExceptionNotifyUrl": url}),
        );
        let (push, folder) = live(&server, "show", &source.tags);
        eventually("a second of the journal", || {
            (journaled_bytes(&folder) > 20_000 && disk.data_dir().join("reserve").exists())
                .then_some(())
        });
        let filler = disk.fill_but(LEFT_BYTES);
        server.logs.wait_for("its journal was not taken by the disk");
        // While the disk is still full: whoever waits for the recording knows.
        let exceptions = receiver.wait_for(341, FORMATS.len());
        for event in &exceptions {
            assert_eq!(event["exception"]["type"], -104, "{event}");
            assert_eq!(event["exception"]["desc"], "disk_full", "{event}");
        }
        let of_event = |what: &str| {
            let events = receiver.of_type(332).into_iter();
            events.filter(|event| event["record_event"] == what).count()
        };
        eventually("record_error and record_ended", || {
            let counts = (of_event("record_error"), of_event("record_ended"));
            (counts == (FORMATS.len(), FORMATS.len())).then_some(())
        });
        let sent = push.stop();
        let journaled = crate::support::pushing::journaled_frames(&server).len();
        assert!(disk.free() < 8 << 20, "the disk is still full");

        fs::remove_file(filler).unwrap();
        let files = told(&receiver, 9, FORMATS.len());
        let compared = assert_holds(&server, &files, &sent, Some(journaled));
        assert_nothing_left(&server);
        assert_eq!(sessions(&server).len(), 0);
        println!("disk full to the end: 1 fault, {compared} packets compared, losses 0");
    });
}
