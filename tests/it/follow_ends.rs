//! How uploads of growing files end when something comes between: a push that breaks off and comes
//! back, a head that outgrows its room, a store that answers other bytes than it was sent; and what
//! the API says of files on their way.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::{
    follow::{PARTS, heavy, live_parts, stored, wait_for_live_parts},
    support::{
        ffmpeg::ffmpeg,
        publisher::Pusher,
        pushing::{as_in_product, frames, journal_files, product_tags},
        run,
        s3::{Fault, Op},
        server::{BACKENDS, Backend, Server, eventually, fetch},
    },
    verbatim::{format_of, recorder},
};
use liverec::media::tag::{Tag, TagKind};

/// What the API says of all files, by container.
fn described(server: &Server, container: &str) -> Value {
    let answer = server.live("LiverecDescribeRecordings", json!({"StreamName": "show"}));
    let files = answer["FileList"].as_array().unwrap();
    let mut ours = files.iter().filter(|file| file["Container"] == container);
    let found = ours.next().unwrap_or_else(|| panic!("no {container} in {answer}")).clone();
    assert_eq!(ours.next(), None, "{answer}");
    found
}

fn file_of<'a>(files: &'a [Value], format: &str) -> &'a str {
    let file = files.iter().find(|file| format_of(file) == format).unwrap();
    file["video_url"].as_str().unwrap()
}

fn verify(server: &Server, files: &[Value]) {
    for file in files {
        let id = file["file_id"].as_str().unwrap();
        let output = server.cli().args(["verify", id, "--json"]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn an_upload_goes_on_in_the_push_that_comes_back() {
    for backend in BACKENDS {
        let settings = [PARTS[0], ("record.resume_window", "20s")];
        let (server, receiver) = recorder(backend, &["Flv", "Mp4"], 1200, &settings);
        let source = heavy(&server, 12);
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(&source.tags);
        wait_for_live_parts(&server, 4);
        let before = described(&server, "mp4");
        assert_ne!(before["UploadId"], "", "{before}");
        drop(pusher);
        receiver.wait_for(0, 1);
        let suspended = described(&server, "mp4");
        assert_eq!(suspended["UploadId"], before["UploadId"], "{suspended}");
        assert_eq!(suspended["AnnouncedTime"], "", "{suspended}");

        let done = suspended["PartsDone"].as_u64().unwrap();
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(&source.tags);
        eventually("parts of the second push", || {
            (described(&server, "mp4")["PartsDone"].as_u64().unwrap() > done + 2).then_some(())
        });
        assert_eq!(described(&server, "mp4")["UploadId"], before["UploadId"]);
        pusher.finish();
        let files = stored(&receiver, 2);
        if let Some(s3) = &server.s3 {
            assert_eq!((s3.count(Op::Create), s3.count(Op::Complete)), (2, 2), "begun once");
        }
        verify(&server, &files);
        // Both pushes, one after the other.
        let payloads =
            |tags: &[Tag]| -> Vec<_> { frames(tags).into_iter().map(|tag| tag.payload).collect() };
        let once = payloads(&as_in_product(&source.tags));
        let found = payloads(&product_tags(file_of(&files, "flv")));
        assert_eq!(found.len(), 2 * once.len());
        assert!(found == [once.as_slice(), once.as_slice()].concat());
    }
}

/// Types of the boxes of a file, and where they end.
fn boxes(mut file: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some((head, _)) = file.split_first_chunk::<8>() {
        let [a, b, c, d, kind @ ..] = *head;
        let len = match u32::from_be_bytes([a, b, c, d]) {
            1 => u64::from_be_bytes(file[8..16].try_into().unwrap()) as usize,
            len => len as usize,
        };
        found.push(String::from_utf8_lossy(&kind).into_owned());
        file = &file[len..];
    }
    assert!(file.is_empty(), "{found:?}");
    found
}

/// Sound in far more pieces than an encoder sends, behind what was pushed.
fn dense_sound(pushed: &[Tag], pieces: i64) -> Vec<Tag> {
    let is_sound = |tag: &&Tag| tag.kind == TagKind::Audio && tag.payload.get(1) == Some(&1);
    let sounds = pushed.iter().filter(is_sound).cycle();
    let mut time_ms = pushed.iter().map(|tag| tag.time_ms).max().unwrap() + 40;
    let piece = |(number, sound): (i64, &Tag)| {
        time_ms += 1 + number % 2;
        Tag { time_ms, ..sound.clone() }
    };
    (0..pieces).zip(sounds).map(piece).collect()
}

#[test]
fn a_head_without_room_is_stored_behind_the_media() {
    for backend in BACKENDS {
        // Room is left for what a minute would need at this rate.
        let (server, receiver) = recorder(backend, &["Mp4"], 60, &PARTS);
        let source = heavy(&server, 10);
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(&source.tags);
        wait_for_live_parts(&server, 1);
        pusher.send(&dense_sound(&source.tags, 20_000));
        pusher.finish();
        let files = stored(&receiver, 1);
        verify(&server, &files);
        let url = file_of(&files, "mp4");
        let path = server.folder().join("product.mp4");
        fs::write(&path, fetch(url)).unwrap();
        let kinds = boxes(&fs::read(&path).unwrap());
        assert_eq!(kinds.last().map(String::as_str), Some("moov"), "{kinds:?}");
        assert_eq!(kinds.iter().filter(|kind| *kind == "moov").count(), 1, "{kinds:?}");
        let mut play = ffmpeg();
        play.args(["-v", "error", "-xerror", "-i"]).arg(&path);
        run(play.args(["-map", "0", "-c:a", "copy", "-f", "null", "-"]));
    }
}

/// Parts of the room for the head are stored while the stream is live, and only those that the head
/// reaches into are stored again.
#[test]
fn padding_is_stored_before_the_end() {
    for backend in BACKENDS {
        // Room for an hour of many small frames.
        let (server, receiver) = recorder(backend, &["Mp4"], 3600, &PARTS);
        let source = heavy(&server, 1);
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(&source.tags);
        pusher.send(&dense_sound(&source.tags, 200_000));
        wait_for_live_parts(&server, 4);
        let mut done = 0;
        eventually("all padding in the store", || {
            let before = std::mem::replace(&mut done, live_parts(&server));
            std::thread::sleep(std::time::Duration::from_secs(3));
            (before == done).then_some(())
        });
        pusher.finish();
        let files = stored(&receiver, 1);
        verify(&server, &files);
        if let Some(s3) = &server.s3 {
            // The first part, the one that the body begins in, the last, perhaps one of the body.
            let sent = s3.count(Op::UploadPart);
            println!("{done} parts before the end, {sent} in all");
            assert!(done >= 6 && (done + 2..=done + 4).contains(&sent));
        }
        let kinds = boxes(&fetch(file_of(&files, "mp4")));
        assert_eq!(kinds, ["ftyp", "moov", "free", "mdat"]);
    }
}

#[test]
fn a_store_that_answers_other_bytes_releases_nothing() {
    let (mut server, receiver) = recorder(Backend::Services, &["Flv", "Mp4"], 1200, &PARTS);
    let source = heavy(&server, 12);
    let s3 = server.s3.as_ref().unwrap();
    // Nothing but reading the objects back can prove them, and that is put off.
    s3.set_tags_opaque(true);
    s3.inject(Op::Get, 1, 1_000_000, Fault::Status(503));
    let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
    pusher.send(&source.tags);
    pusher.finish();
    let files = stored(&receiver, 2);
    let object = s3.object(&format!("rec/{}", key_of(file_of(&files, "mp4"))));
    let mut bad = fs::read(&object).unwrap();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(&object, &bad).unwrap();
    let state = described(&server, "mp4");
    assert_eq!((&state["State"], &state["VerifiedTime"]), (&json!("stored"), &json!("")));
    assert_ne!(state["AnnouncedTime"], "");
    assert!(!journal_files(&server).is_empty(), "kept until the objects are proven");

    server.expect("a stored file is not what was sent");
    server.s3.as_ref().unwrap().heal();
    server.logs.wait_for("a stored file is not what was sent");
    assert!(!journal_files(&server).is_empty(), "it is needed once more");
    eventually("the proof", || (described(&server, "mp4")["VerifiedTime"] != "").then_some(()));
    // Perhaps with another room for its head: `verify` compares every packet.
    assert!(fs::read(&object).unwrap() != bad, "made again from the journal");
    verify(&server, &files);
    eventually("the journal is released", || journal_files(&server).is_empty().then_some(()));
    assert_eq!(stored(&receiver, 2).len(), 2);
    assert_eq!(receiver.of_type(100).len(), 2, "announced once");
}

fn key_of(url: &str) -> &str {
    url.split_once("/vod/").unwrap().1
}

#[test]
fn files_on_their_way_are_described() {
    for backend in BACKENDS {
        let (mut server, receiver) = recorder(backend, &["Mp4"], 1200, &PARTS);
        let source = heavy(&server, 12);
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(&source.tags);
        wait_for_live_parts(&server, 2);
        let live = described(&server, "mp4");
        assert_eq!((&live["State"], &live["Progress"]), (&json!("recording"), &json!("uploading")));
        assert_ne!(live["UploadId"], "", "{live}");
        let (parts, size) =
            (live["PartsDone"].as_u64().unwrap(), live["PartSize"].as_u64().unwrap());
        assert!(parts >= 2 && size >= 5 << 20, "{live}");
        assert_eq!(live["UploadedBytes"], parts * size);
        for (name, value) in [("Attempts", json!(0)), ("LastError", json!(""))] {
            assert_eq!(live[name], value, "{live}");
        }
        for name in ["EndTime", "VerifiedTime", "AnnouncedTime"] {
            assert_eq!(live[name], "", "{live}");
        }
        let on_their_way = "liverec_delivery_files{progress=\"uploading\"}";
        eventually("it is counted", || (server.metric(on_their_way) == 1.0).then_some(()));
        let attempts = |server: &Server, outcome: &str| {
            server.metric(&format!("liverec_delivery_attempts_total{{outcome=\"{outcome}\"}}"))
        };
        assert_eq!(attempts(&server, "stored"), 0.0);
        if let Some(s3) = &server.s3 {
            s3.inject(Op::Complete, 1, 1_000_000, Fault::Status(503));
            server.expect("a media file could not be stored");
            pusher.finish();
            let failing = eventually("an attempt that failed", || {
                let file = described(&server, "mp4");
                (file["Attempts"].as_u64().unwrap() > 0).then_some(file)
            });
            assert_eq!(failing["State"], "ended", "{failing}");
            assert_ne!(failing["LastError"], "", "{failing}");
            assert_ne!(failing["NextTryTime"], "", "{failing}");
            assert_eq!(failing["UploadId"], live["UploadId"], "{failing}");
            assert!(attempts(&server, "postponed") >= 1.0);
            server.s3.as_ref().unwrap().heal();
        } else {
            pusher.finish();
        }
        stored(&receiver, 1);
        eventually("the attempt is counted", || (attempts(&server, "stored") == 1.0).then_some(()));
        assert!(server.metric("liverec_delivery_parts_total{when=\"ended\"}") >= 1.0);
        let done = described(&server, "mp4");
        assert_eq!((&done["State"], &done["Progress"]), (&json!("stored"), &json!("announced")));
        for name in ["EndTime", "VerifiedTime", "AnnouncedTime"] {
            assert_ne!(done[name], "", "{done}");
        }
    }
}

#[test]
fn a_small_file_does_not_wait_for_large_ones_that_are_slow_to_complete() {
    let settings = [PARTS[0], ("storage.s3.timeout", "2s")];
    let (mut server, receiver) = recorder(Backend::Services, &["Flv", "Mp4"], 1200, &settings);
    server.expect("a media file could not be stored");
    let source = heavy(&server, 12);
    let s3 = server.s3.as_ref().unwrap();
    // Ten times the time-out is what completing may take.
    s3.inject(Op::Complete, 1, 2, Fault::Delay(Duration::from_secs(30)));
    let push = |tags: &[Tag]| {
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(tags);
        pusher.finish();
    };
    push(&source.tags);
    eventually("both wait", || (s3.count(Op::Complete) == 2).then_some(()));
    push(&source.tags[..30]);
    let files = receiver.wait_for(100, 4);
    let sizes: Vec<u64> = files.iter().map(|file| file["file_size"].as_u64().unwrap()).collect();
    assert!(sizes[..2].iter().max() < sizes[2..].iter().min(), "{sizes:?}");
    verify(&server, &files);
}
