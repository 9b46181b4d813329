//! The promise "verbatim": every payload and every time that an encoder sent is in the product,
//! seen by demuxers that are not ours.

mod cuts;
mod evidence;
mod gstreamer;
mod hls_fmp4;
mod odd;
mod parts;
mod takeover;

use serde_json::Value;

pub use parts::make_heavy_source;

use crate::support::{
    ffmpeg::Codecs,
    packets::Packets,
    pushing::{Source, as_in_product, assert_same_tags, product_tags},
    receiver::{Receiver, SIGN_KEY},
    server::{BACKENDS, Backend, Server, fetch},
};

/// Every format there is.
pub const FORMATS: [&str; 4] = ["Flv", "Hls", "Mp4", "Aac"];

#[test]
fn h264_with_b_frames_and_aac() {
    for backend in BACKENDS {
        products_hold_what_was_pushed(backend, Codecs::H264Aac);
    }
}

#[test]
fn hevc_with_b_frames_and_aac() {
    for backend in BACKENDS {
        products_hold_what_was_pushed(backend, Codecs::HevcAac);
    }
}

#[test]
fn sound_alone() {
    for backend in BACKENDS {
        products_hold_what_was_pushed(backend, Codecs::Aac);
    }
}

fn products_hold_what_was_pushed(backend: Backend, codecs: Codecs) {
    let (server, receiver) = recorder(backend, &FORMATS, 7200, &[("hls.segment_duration", "2s")]);
    let source = Source::make(&server, codecs, 12);
    source.push(&server.push_url("show"));
    let files = receiver.wait_for(100, FORMATS.len());

    let pushed = Packets::of(source.name());
    assert!(pushed.audio.len() > 500);
    if !matches!(codecs, Codecs::Aac) {
        assert_eq!(pushed.video.len(), 300);
        assert!(pushed.video.iter().any(|packet| packet.pts != packet.dts), "no B-frames");
    }
    assert_products(&files, &source, &pushed);
}

/// A server that records the stream `show` and tells a receiver of it.
pub fn recorder(
    backend: Backend,
    formats: &[&str],
    interval_s: i64,
    settings: &[(&str, &str)],
) -> (Server, Receiver) {
    let server = Server::start(backend, settings);
    let receiver = Receiver::start();
    server.record("live", "show", formats, interval_s);
    server.call_back(&receiver.url(), SIGN_KEY);
    (server, receiver)
}

/// Each of these files (events 100) holds all that was pushed.
pub fn assert_products(files: &[Value], source: &Source, pushed: &Packets) {
    for file in files {
        let url = file["video_url"].as_str().unwrap();
        let found = Packets::of(url);
        match format_of(file) {
            "aac" => found.assert_payloads(&pushed.sound(), url),
            "flv" => {
                found.assert_payloads_and_times(pushed, url);
                assert_same_tags(&product_tags(url), &as_in_product(&source.tags), url);
            }
            "mp4" => {
                let shift = found.assert_payloads_and_times(pushed, url);
                let first =
                    pushed.video.iter().chain(&pushed.audio).filter_map(|packet| packet.pts).min();
                assert_eq!(
                    shift,
                    -first.unwrap(),
                    "{url}: movie time 0 is the first presentation time"
                );
            }
            "hls" => {
                found.assert_payloads_and_times(pushed, url);
                assert_segments(url, pushed);
            }
            other => panic!("a file of format {other}"),
        }
    }
}

/// `file_format` of an event 100.
pub fn format_of(file: &Value) -> &str {
    file["file_format"].as_str().unwrap()
}

/// The segments follow the playlist's rules and begin with key frames.
fn assert_segments(url: &str, pushed: &Packets) {
    let playlist = String::from_utf8(fetch(url)).unwrap();
    assert!(playlist.ends_with("#EXT-X-ENDLIST\n"), "{playlist}");
    let value = |line: &str, name: &str| {
        line.strip_prefix(name).map(|v| v.trim_end_matches(',').parse::<f64>().unwrap())
    };
    let target = playlist.lines().find_map(|line| value(line, "#EXT-X-TARGETDURATION:")).unwrap();
    let durations: Vec<f64> = playlist.lines().filter_map(|line| value(line, "#EXTINF:")).collect();
    let names: Vec<&str> = playlist.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(names.len() >= 5, "{playlist}");
    assert_eq!(durations.len(), names.len());
    assert!(durations.iter().all(|duration| duration.round() <= target), "{playlist}");
    let all = pushed.video.iter().chain(&pushed.audio);
    let (first, last) = all.fold((i64::MAX, 0), |(first, last), packet| {
        let time = packet.pts.unwrap();
        (first.min(time), last.max(time))
    });
    let length = (last - first) as f64 / 90_000.0;
    let sum: f64 = durations.iter().sum();
    assert!((sum - length).abs() < 0.5, "segments of {sum} s for {length} s");

    let (folder, _) = url.rsplit_once('/').unwrap();
    let (mut video, mut audio) = (0, 0);
    for name in names {
        let segment = Packets::of(&format!("{folder}/{name}"));
        assert!(
            segment.video.first().is_none_or(|first| first.key),
            "{name} begins within a group of pictures"
        );
        video += segment.video.len();
        audio += segment.audio.len();
    }
    assert_eq!((video, audio), (pushed.video.len(), pushed.audio.len()));
}
