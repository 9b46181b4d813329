//! RecordInterval: consecutive files hold every packet once, in order.

use serde_json::Value;

use super::{format_of, recorder};
use crate::support::{
    ffmpeg::Codecs,
    packets::{Packets, TICKS_PER_MS},
    pushing::{Source, as_in_product, assert_same_tags, frames, product_tags},
    server::BACKENDS,
};

#[test]
fn consecutive_files_hold_every_packet_once() {
    for backend in BACKENDS {
        let (server, receiver) = recorder(backend, &["Flv", "Mp4", "Aac"], 60, &[]);
        let source = Source::make(&server, Codecs::H264Aac, 200);
        source.push(&server.push_url("show"));
        let files = receiver.wait_for(100, 12);
        receiver.wait_for(0, 1);
        let pushed = Packets::of(source.name());
        assert_eq!(pushed.video.len(), 5000);

        for format in ["flv", "mp4", "aac"] {
            let files = in_order(&files, format);
            assert_eq!(files.len(), 4, "{format}");
            for file in &files {
                let id = file["file_id"].as_str().unwrap();
                let key = format!("live.local/live/show/{id}/f0.{format}");
                assert_eq!(file["video_url"], format!("{}/vod/{key}", server.base_url()));
                let object = match &server.s3 {
                    Some(s3) => s3.object(&format!("rec/{key}")),
                    None => server.data_dir().join("vod").join(&key),
                };
                assert_eq!(object.metadata().unwrap().len(), file["file_size"].as_u64().unwrap());
            }
            let mut tags = Vec::new();
            let (mut video, mut audio) = (0, 0);
            for (ordinal, file) in files.iter().enumerate() {
                let url = file["video_url"].as_str().unwrap();
                let found = Packets::of(url);
                let rest = Packets {
                    video: pushed.video[video..].to_vec(),
                    audio: pushed.audio[audio..].to_vec(),
                };
                if format == "aac" {
                    found.assert_payloads(&rest.sound().first(0, found.audio.len()), url);
                } else {
                    let part = rest.first(found.video.len(), found.audio.len());
                    let shift = found.assert_payloads_and_times(&part, url);
                    assert_cut(ordinal, &part);
                    if format == "flv" {
                        assert_eq!(shift, 0, "{url} keeps the encoder's clock");
                        tags.extend(frames(&product_tags(url)));
                    }
                }
                video += found.video.len();
                audio += found.audio.len();
            }
            assert_eq!(audio, pushed.audio.len(), "{format}");
            if format != "aac" {
                assert_eq!(video, pushed.video.len(), "{format}");
            }
            if format == "flv" {
                assert_same_tags(&tags, &frames(&as_in_product(&source.tags)), "all FLV files");
            }
        }
        assert_eq!(receiver.of_type(100).len(), 12);
    }
}

/// A file begins with the first key frame that is a whole interval behind the one before.
fn assert_cut(ordinal: usize, part: &Packets) {
    let (first, last) = (part.video.first().unwrap(), part.video.last().unwrap());
    assert!(first.key, "file {ordinal} begins within a group of pictures");
    let length = (last.dts.unwrap() - first.dts.unwrap()) / TICKS_PER_MS;
    if ordinal < 3 {
        // A key frame comes every second.
        assert!((59_960..61_000).contains(&length), "file {ordinal} has {length} ms");
    }
}

/// The files of a format; ids are ordered by time.
fn in_order<'a>(files: &'a [Value], format: &str) -> Vec<&'a Value> {
    let mut files: Vec<&Value> = files.iter().filter(|file| format_of(file) == format).collect();
    files.sort_by_key(|file| file["file_id"].as_str().unwrap().parse::<u64>().unwrap());
    files
}
