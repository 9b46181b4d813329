//! What ffmpeg does not send: script data in mid-stream, times beyond 24 and 32 bits, tiny chunks,
//! nothing in a default track.

use bytes::Bytes;
use liverec::media::tag::{Tag, TagKind};
use serde_json::Value;

use super::{FORMATS, format_of, recorder};
use crate::support::{
    ffmpeg::Codecs,
    packets::Packets,
    publisher::Pusher,
    pushing::{Source, as_in_product, assert_same_tags, in_track_1, journal_files, product_tags},
    run,
    server::{BACKENDS, Backend, Server, eventually},
};

#[test]
fn script_data_and_tiny_chunks() {
    for backend in BACKENDS {
        let (server, receiver) = recorder(backend, &["Flv"], 7200, &[]);
        let source = Source::make(&server, Codecs::H264Aac, 3);
        let mut tags = Vec::new();
        for (index, tag) in source.tags.iter().enumerate() {
            tags.push(tag.clone());
            if index % 20 == 19 {
                tags.push(script("onTextData", index, tag.time_ms));
            }
            if index == 100 {
                tags.push(script("onMetaData", index, tag.time_ms));
                tags.push(script("onCuePoint", index, tag.time_ms));
            }
        }
        let mut pusher = Pusher::connect(server.rtmp, "show", 7).accepted();
        pusher.send(&tags);
        pusher.finish();
        let files = receiver.wait_for(100, 1);
        let url = files[0]["video_url"].as_str().unwrap();
        assert_same_tags(&product_tags(url), &as_in_product(&tags), url);
    }
}

#[test]
fn the_clock_passes_24_and_32_bits() {
    let wraps = [(1 << 24) - 2000, (1 << 31) - 2000, (1 << 32) - 2000];
    for (backend, start_ms) in
        BACKENDS.into_iter().flat_map(|backend| wraps.map(|wrap| (backend, wrap)))
    {
        let (server, receiver) =
            recorder(backend, &FORMATS, 7200, &[("hls.segment_duration", "2s")]);
        let source = Source::make(&server, Codecs::H264Aac, 4);
        let mut tags = source.tags.clone();
        // The header goes over the wire at its own time, as it does when an encoder reconnects.
        for tag in &mut tags {
            tag.time_ms += start_ms;
        }
        let mut pusher = Pusher::connect(server.rtmp, "show", 4096).accepted();
        pusher.send(&tags);
        pusher.finish();
        let pushed = Packets::of(source.name());
        for file in receiver.wait_for(100, FORMATS.len()) {
            let url = file["video_url"].as_str().unwrap();
            match format_of(&file) {
                "flv" => assert_same_tags(&product_tags(url), &as_in_product(&tags), url),
                "aac" => Packets::of(url).assert_payloads(&pushed.sound(), url),
                _ => {
                    Packets::of(url).assert_payloads_and_times(&pushed, url);
                }
            }
        }
    }
}

#[test]
fn what_is_in_no_default_track_is_in_flv() {
    let (mut server, receiver) = recorder(Backend::Plain, &FORMATS, 7200, &[]);
    server.expect("no frame came in a default track");
    let source = Source::make(&server, Codecs::H264Aac, 3);
    let others: Vec<Tag> = source.tags.iter().map(in_track_1).collect();
    let texts = (0..50).map(|nth| script("onTextData", nth, nth as i64 * 40)).collect();
    let unknown = (0..50).map(|nth| Tag {
        kind: TagKind::Video,
        time_ms: nth * 40,
        payload: Bytes::from([&b"\x98avc1"[..], &[nth as u8; 90]].concat()),
    });
    for (nth, tags) in [others, texts, unknown.collect()].into_iter().enumerate() {
        let mut pusher = Pusher::connect(server.rtmp, "show", 4096).accepted();
        pusher.send(&tags);
        pusher.finish();
        let files = receiver.wait_for(100, nth + 1);
        let url = files[nth]["video_url"].as_str().unwrap();
        assert_eq!(format_of(&files[nth]), "flv");
        assert_same_tags(&product_tags(url), &as_in_product(&tags), url);
        run(server.cli().args(["verify", files[nth]["file_id"].as_str().unwrap()]));
        eventually("the other products fail", || {
            (files_in(&server, "failed") == 3 * (nth as i64 + 1)).then_some(())
        });
    }
}

#[test]
fn a_frame_of_sound_that_adts_cannot_say_costs_that_frame_alone() {
    let settings = [("journal.retention", "1h")];
    let (mut server, receiver) = recorder(Backend::Plain, &FORMATS, 7200, &settings);
    server.expect("AAC frames longer than their header can say");
    let source = Source::make(&server, Codecs::H264Aac, 3);
    let mut tags = source.tags.clone();
    // The largest that fits, and the smallest that does not.
    let sound = |tag: &&mut Tag| tag.kind == TagKind::Audio && tag.payload[1] == 1;
    for (tag, len) in tags.iter_mut().filter(sound).skip(50).zip([8184, 8185]) {
        tag.payload = [&b"\xaf\x01"[..], &vec![7; len]].concat().into();
    }
    let mut pusher = Pusher::connect(server.rtmp, "show", 4096).accepted();
    pusher.send(&tags);
    pusher.finish();
    let sent = tags.iter().filter(|tag| tag.kind == TagKind::Audio && tag.payload[1] == 1).count();
    for file in receiver.wait_for(100, FORMATS.len()) {
        run(server.cli().args(["verify", file["file_id"].as_str().unwrap()]));
        let extension: Value =
            serde_json::from_str(file["callback_ext"].as_str().unwrap()).unwrap();
        let summary = &extension["liverec"];
        let is_short = matches!(format_of(&file), "aac" | "hls");
        let tracks = summary["tracks"].as_array().unwrap();
        let packets = &tracks.iter().find(|track| track["track"] == "audio").unwrap()["packets"];
        assert_eq!(packets, sent - usize::from(is_short), "{file:#}");
        let seen = summary["irregularities"].as_array().unwrap().iter();
        let seen: Vec<_> = seen.filter(|seen| seen["kind"] == "oversized_frames").collect();
        assert_eq!(seen.len(), usize::from(is_short), "{file:#}");
        assert!(seen.iter().all(|seen| seen["count"] == 1), "{file:#}");
    }
    let told = receiver.wait_for(341, 2);
    let mut formats: Vec<_> = told.iter().map(|event| event["file_format"].as_str()).collect();
    formats.sort();
    assert_eq!(formats, [Some("aac"), Some("ts")]);
    assert!(told.iter().all(|event| event["exception"]["type"] == -104), "{told:#?}");
}

#[test]
fn a_journal_of_which_nothing_is_stored_is_kept() {
    let (mut server, receiver) = recorder(Backend::Plain, &["Mp4"], 7200, &[]);
    server.expect("no frame came in a default track");
    let source = Source::make(&server, Codecs::H264Aac, 2);
    let mut pusher = Pusher::connect(server.rtmp, "show", 4096).accepted();
    pusher.send(&source.tags.iter().map(in_track_1).collect::<Vec<_>>());
    pusher.finish();
    eventually("the product fails", || (files_in(&server, "failed") == 1).then_some(()));
    // Another push is done with and its journal released meanwhile.
    source.push(&server.push_url("show"));
    receiver.wait_for(100, 1);
    eventually("the other journal is released", || {
        (journal_files(&server).len() == 1).then_some(())
    });
}

fn files_in(server: &Server, state: &str) -> i64 {
    server.sql(&format!("SELECT count(*) AS n FROM media_file WHERE state = '{state}'"))
}

/// A script message with one string.
fn script(name: &str, number: usize, time_ms: i64) -> Tag {
    let text = format!("number {number}");
    let mut payload = vec![2, 0, u8::try_from(name.len()).unwrap()];
    payload.extend_from_slice(name.as_bytes());
    payload.extend_from_slice(&[2, 0, u8::try_from(text.len()).unwrap()]);
    payload.extend_from_slice(text.as_bytes());
    Tag { kind: TagKind::Script, time_ms, payload: Bytes::from(payload) }
}
