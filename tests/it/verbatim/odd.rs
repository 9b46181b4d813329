//! What ffmpeg does not send: script data in mid-stream, times beyond 24 and 32 bits, tiny chunks.

use bytes::Bytes;
use liverec::media::tag::{Tag, TagKind};

use super::{FORMATS, format_of, recorder};
use crate::support::{
    ffmpeg::Codecs,
    packets::Packets,
    publisher::Pusher,
    pushing::{Source, as_in_product, assert_same_tags, product_tags},
    server::BACKENDS,
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

/// A script message with one string.
fn script(name: &str, number: usize, time_ms: i64) -> Tag {
    let text = format!("number {number}");
    let mut payload = vec![2, 0, u8::try_from(name.len()).unwrap()];
    payload.extend_from_slice(name.as_bytes());
    payload.extend_from_slice(&[2, 0, u8::try_from(text.len()).unwrap()]);
    payload.extend_from_slice(text.as_bytes());
    Tag { kind: TagKind::Script, time_ms, payload: Bytes::from(payload) }
}
