//! The verification summary of a file says what is in the stored product: hashes of its objects, and
//! of its packets as a reader that is not ours finds them.

mod mp4;

use liverec::{
    db::Db,
    domain::{
        ids::DecimalId,
        verification::{ObjectEvidence, TrackEvidence, Verification},
    },
    media::tag::TagKind,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{FORMATS, format_of, make_heavy_source, recorder};
use crate::support::{
    ffmpeg::Codecs,
    publisher::parse_tags,
    pushing::Source,
    server::{BACKENDS, Backend, Server, fetch},
};

/// A packet as the test's own readers find it, in the units of its container.
pub struct Found {
    pub pts: i64,
    /// As it is hashed: in MP4 from the first packet of the track.
    pub dts: i64,
    /// DTS on the timeline that both tracks share.
    pub shared_dts: i64,
    pub payload: Vec<u8>,
}

#[test]
fn summaries_say_what_is_stored() {
    for backend in BACKENDS {
        let settings = [("storage.s3.part_size", "5MiB"), ("hls.segment_duration", "2s")];
        let (server, receiver) = recorder(backend, &FORMATS, 7200, &settings);
        let path = server.folder().join("source.flv");
        make_heavy_source(&path, 5);
        let source = Source::of(Codecs::H264Aac, path);
        source.push(&server.push_url("show"));
        let sent = [125, source.tags.iter().filter(|tag| is_frame_of(tag, TagKind::Audio)).count()];
        for file in receiver.wait_for(100, FORMATS.len()) {
            let summary = summary_of(&server, &file);
            let url = file["video_url"].as_str().unwrap();
            check_objects(&summary, url);
            let is_small = url.ends_with(".aac");
            assert!(is_small || summary.objects.len() >= 3, "{url} was to be stored in parts");
            assert_eq!(summary.version, 5);
            let irregular: Vec<_> =
                summary.irregularities.iter().map(|i| i.kind.as_str()).collect();
            // What ends the pictures is nothing to a file without any.
            let expected = if is_small { vec![] } else { vec!["end_of_sequence"] };
            assert_eq!((irregular, summary.gaps.len()), (expected, 0), "{url}");
            let [session] = summary.sessions.as_slice() else { panic!("{url}: not one push") };
            let found = match format_of(&file) {
                "flv" => {
                    assert_eq!(session.shift_ms, 0);
                    flv_tracks(&fetch(url))
                }
                "mp4" => mp4::tracks(&fetch(url)),
                "aac" => [Vec::new(), adts_frames(&fetch(url))],
                _ => {
                    let packets: Vec<_> =
                        summary.tracks.iter().map(|t| t.packets as usize).collect();
                    assert_eq!((packets, session.shift_ms), (sent.to_vec(), 10_000));
                    continue;
                }
            };
            assert_eq!(found[1].len(), sent[1], "{url}");
            check_tracks(&summary, &found, url);
        }
    }
}

#[test]
fn a_resumed_file_has_one_clock_and_says_its_gap() {
    let settings = [("record.resume_window", "12s")];
    let (server, receiver) = recorder(Backend::Plain, &["Flv", "Mp4"], 7200, &settings);
    let source = Source::make(&server, Codecs::H264Aac, 2);
    for nth in 1..=2 {
        source.push(&server.push_url("show"));
        receiver.wait_for(0, nth);
        if nth == 1 {
            // More than the stream's own length, from which a push faster than real time differs.
            std::thread::sleep(std::time::Duration::from_secs(5));
        }
    }
    for file in receiver.wait_for(100, 2) {
        let summary = summary_of(&server, &file);
        let url = file["video_url"].as_str().unwrap();
        check_objects(&summary, url);
        let [first, second] = summary.sessions.as_slice() else { panic!("{url}: not two pushes") };
        let found = match format_of(&file) {
            "flv" => {
                assert_eq!(first.shift_ms, 0);
                flv_tracks(&fetch(url))
            }
            _ => mp4::tracks(&fetch(url)),
        };
        check_tracks(&summary, &found, url);
        let [gap] = summary.gaps.as_slice() else { panic!("{url}: {:?}", summary.gaps) };
        assert_eq!((gap.cause.as_str(), gap.wall_ms), ("unpublished", gap.media_ms), "{url}");
        assert!((2_500..60_000).contains(&gap.media_ms), "{url}: {gap:?}");

        // The step over the gap, and the same times before and behind it.
        let [video, audio] = &found;
        for track in [video, audio] {
            let all: Vec<i64> = track.iter().map(|packet| packet.pts).collect();
            let (before, behind) = all.split_at(all.len() / 2);
            let moved = second.shift_ms - first.shift_ms;
            let expected: Vec<i64> = before.iter().map(|pts| pts + moved).collect();
            assert_eq!(behind, expected, "{url}");
        }
        let dts = |all: &[Found], nth: usize| all.get(nth).map(|packet| packet.shared_dts);
        let latest = [dts(video, video.len() / 2 - 1), dts(audio, audio.len() / 2 - 1)];
        let next = [dts(video, video.len() / 2), dts(audio, audio.len() / 2)];
        let step = next.iter().flatten().min().unwrap() - latest.iter().flatten().max().unwrap();
        assert_eq!(step, gap.media_ms, "{url}");
    }
}

fn check_tracks(summary: &Verification, [video, audio]: &[Vec<Found>; 2], url: &str) {
    let names = [("video", "h264", video), ("audio", "aac", audio)];
    let used: Vec<_> = names.iter().filter(|(_, _, found)| !found.is_empty()).collect();
    assert_eq!(summary.tracks.len(), used.len(), "{url}");
    for (track, (name, codec, found)) in summary.tracks.iter().zip(used) {
        assert_eq!((track.track.as_str(), track.codec.as_str()), (*name, *codec));
        check_track(track, found, url);
    }
}

/// The summary in the row, which event 100 carries too.
fn summary_of(server: &Server, file: &Value) -> Verification {
    let id = DecimalId::parse(file["file_id"].as_str().unwrap()).unwrap();
    let row = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(
        async {
            let db = Db::connect(&server.database_url()).await.unwrap();
            db.media_file_verification(id).await.unwrap().unwrap()
        },
    );
    let ext: Value = serde_json::from_str(file["callback_ext"].as_str().unwrap()).unwrap();
    let event: Verification = serde_json::from_value(ext["liverec"].clone()).unwrap();
    assert_eq!(event, row);
    row
}

/// Every stored byte is in one part of one object, and hashes to what the summary says.
fn check_objects(summary: &Verification, url: &str) {
    let mut names: Vec<&str> = summary.objects.iter().map(|o| o.object.as_str()).collect();
    names.dedup();
    for name in names {
        let (folder, _) = url.rsplit_once('/').unwrap();
        let bytes = match name {
            "main" => fetch(url),
            number => fetch(&format!("{folder}/{number}.ts")),
        };
        let mut rest = bytes.as_slice();
        let parts = summary.objects.iter().filter(|object| object.object == name);
        for (number, ObjectEvidence { part, size_bytes, sha256, .. }) in (1..).zip(parts) {
            let (bytes, behind) = rest.split_at(*size_bytes as usize);
            rest = behind;
            assert_eq!((*part, sha256.as_str()), (number, hash(bytes).as_str()), "{url}: {name}");
        }
        assert!(rest.is_empty(), "{url}: {} bytes of {name} are in no part", rest.len());
    }
    let lines: String = summary
        .objects
        .iter()
        .map(|o| format!("{}/{} {} {}\n", o.object, o.part, o.size_bytes, o.sha256))
        .collect();
    assert_eq!(summary.objects_sha256, hash(lines.as_bytes()));
    let is_hls = url.ends_with(".m3u8");
    assert_eq!(summary.objects.iter().filter(|object| object.object == "0").count() > 0, is_hls);
}

fn check_track(track: &TrackEvidence, found: &[Found], url: &str) {
    assert_eq!(track.packets, found.len() as u64, "{url}: {}", track.track);
    assert_eq!(track.bytes, found.iter().map(|packet| packet.payload.len() as u64).sum::<u64>());
    let blocks: Vec<String> = found
        .chunks(1024)
        .map(|block| {
            let mut bytes = Vec::new();
            for packet in block {
                bytes.extend_from_slice(&(packet.payload.len() as u32).to_be_bytes());
                bytes.extend_from_slice(&packet.pts.to_be_bytes());
                bytes.extend_from_slice(&packet.dts.to_be_bytes());
                bytes.extend_from_slice(&packet.payload);
            }
            hash(&bytes)
        })
        .collect();
    assert_eq!(track.blocks, blocks, "{url}: {}", track.track);
    let lines: String = blocks.iter().map(|block| format!("{block}\n")).collect();
    assert_eq!(track.blocks_sha256, hash(lines.as_bytes()));
}

/// Frames of AVC and AAC in tags, as FLV v10.1 E.4 has them.
fn flv_tracks(file: &[u8]) -> [Vec<Found>; 2] {
    let tags = parse_tags(file);
    [TagKind::Video, TagKind::Audio].map(|kind| {
        let frames = tags.iter().filter(|tag| is_frame_of(tag, kind));
        frames
            .map(|tag| {
                let head = if kind == TagKind::Video { 5 } else { 2 };
                let cts = match kind {
                    // 24 bits, signed.
                    TagKind::Video => {
                        let [_, _, c0, c1, c2] = tag.payload[..5] else { panic!("short tag") };
                        i64::from(i32::from_be_bytes([c0, c1, c2, 0]) >> 8)
                    }
                    _ => 0,
                };
                let payload = tag.payload[head..].to_vec();
                Found { pts: tag.time_ms + cts, dts: tag.time_ms, shared_dts: tag.time_ms, payload }
            })
            .collect()
    })
}

fn is_frame_of(tag: &liverec::media::tag::Tag, kind: TagKind) -> bool {
    let is_codec = match kind {
        TagKind::Video => tag.payload[0] & 0xf == 7,
        TagKind::Audio => tag.payload[0] >> 4 == 10,
        TagKind::Script => false,
    };
    tag.kind == kind && is_codec && tag.payload[1] == 1
}

/// What stands behind the headers of seven bytes.
fn adts_frames(mut file: &[u8]) -> Vec<Found> {
    let mut frames = Vec::new();
    while let [0xff, 0xf1, _, l0, l1, l2, _, ..] = *file {
        let len = usize::from(l0 & 3) << 11 | usize::from(l1) << 3 | usize::from(l2) >> 5;
        frames.push(Found { pts: 0, dts: 0, shared_dts: 0, payload: file[7..len].to_vec() });
        file = &file[len..];
    }
    assert!(file.is_empty(), "no ADTS header");
    frames
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
