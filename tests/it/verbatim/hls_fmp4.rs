//! HLS products as fragmented MP4: every packet through the playlist and every segment on its own.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use super::{format_of, recorder};
use crate::support::{
    ffmpeg::{self, Codecs, ffmpeg7},
    packets::Packets,
    publisher::{Pusher, read_tags},
    pushing::Source,
    run,
    server::{BACKENDS, Backend, Server, eventually, fetch},
};

const SETTINGS: [(&str, &str); 2] = [("hls.segment_duration", "2s"), ("hls.segment_type", "fmp4")];

#[test]
fn h264_with_b_frames_and_aac() {
    for backend in BACKENDS {
        let (server, receiver) = recorder(backend, &["Hls"], 7200, &SETTINGS);
        let source = Source::make(&server, Codecs::H264Aac, 12);
        source.push(&server.push_url("show"));
        let files = receiver.wait_for(100, 1);
        let url = files[0]["video_url"].as_str().unwrap();

        let pushed = Packets::of(source.name());
        assert!(pushed.video.iter().any(|packet| packet.pts != packet.dts), "no B-frames");
        let found = Packets::of(url);
        let shift = found.assert_payloads_and_times(&pushed, url);
        assert_eq!(shift, 0, "nothing was negative");
        let keys = |packets: &Packets| packets.video.iter().map(|p| p.key).collect::<Vec<_>>();
        assert_eq!(keys(&found), keys(&pushed));

        let segments = assert_playlist(url);
        let joined = segments_alone(&server, url, &segments);
        joined.assert_payloads_and_times(&pushed, "the segments one by one");
        assert_players_say_nothing(url);
    }
}

#[test]
fn segments_longer_than_ffmpeg_probes_are_read_as_they_are() {
    let settings = [("hls.segment_duration", "12s"), ("hls.segment_type", "fmp4")];
    let (server, receiver) = recorder(Backend::Plain, &["Hls"], 7200, &settings);
    let source = Source::make(&server, Codecs::H264Aac, 30);
    source.push(&server.push_url("show"));
    let files = receiver.wait_for(100, 1);
    let url = files[0]["video_url"].as_str().unwrap();
    let pushed = Packets::of(source.name());
    Packets::of(url).assert_payloads_and_times(&pushed, url);
    assert_players_say_nothing(url);

    let (folder, _) = url.rsplit_once('/').unwrap();
    let init = fetch(&format!("{folder}/init-0.mp4"));
    let path = server.folder().join("segment.mp4");
    fs::write(&path, [init, fetch(&format!("{folder}/0.m4s"))].concat()).unwrap();
    let file = path.to_str().unwrap();
    let joined = Packets::of(file);
    assert_eq!((joined.video.len(), joined.video[0].key), (300, true));
    joined.assert_payloads_and_times(&pushed.first(300, joined.audio.len()), file);
    // Each track lies in pieces of a second, so that whoever reads it in order has both.
    let gaps = ffmpeg::probe(file, "packet=stream_index,pos");
    let mut order: Vec<(i64, i64)> = gaps["packets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|packet| {
            let pos = packet["pos"].as_str().unwrap().parse().unwrap();
            (pos, packet["stream_index"].as_i64().unwrap())
        })
        .collect();
    order.sort_unstable();
    let turns = order.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    assert!((22..=26).contains(&turns), "{turns} turns");
    for input in [url, file] {
        let entries = "stream=codec_name,width,height,pix_fmt,r_frame_rate,has_b_frames,sample_rate,channels,sample_fmt";
        let found = ffmpeg::probe(input, entries);
        let expected = json!([
            {"codec_name": "h264", "width": 320, "height": 180, "pix_fmt": "yuv420p",
             "r_frame_rate": "25/1", "has_b_frames": 2},
            {"codec_name": "aac", "sample_rate": "48000", "channels": 2, "sample_fmt": "fltp",
             "r_frame_rate": "0/0"},
        ]);
        assert_eq!(found["streams"], expected, "{input}");
        let mut decode = Command::new("ffmpeg");
        decode.args([
            "-nostdin",
            "-v",
            "error",
            "-i",
            input,
            "-map",
            "0:v",
            "-f",
            "framehash",
            "-",
        ]);
        let frames = String::from_utf8(run(&mut decode)).unwrap();
        let count = frames.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(count, if input == url { 750 } else { 300 }, "{input}");
    }
}

#[test]
fn av1_and_opus() {
    let (server, receiver) = recorder(Backend::Plain, &["Hls"], 7200, &SETTINGS);
    let path = server.folder().join("av1.flv");
    encode_av1(&path);
    let mut pusher = Pusher::connect(server.rtmp, "show", 4096).accepted();
    pusher.send(&read_tags(&path));
    pusher.finish();
    let files = receiver.wait_for(100, 1);
    let url = files[0]["video_url"].as_str().unwrap();

    let (pushed, found) = (tracks(path.to_str().unwrap()), tracks(url));
    assert!(pushed[0].len() == 125 && pushed[1].len() > 200);
    for (track, (found, pushed)) in found.iter().zip(&pushed).enumerate() {
        for (number, (found, pushed)) in found.iter().zip(pushed).enumerate() {
            assert_eq!(found, pushed, "track {track}, packet {number}");
        }
        assert_eq!(found.len(), pushed.len(), "track {track}");
    }
    assert_playlist(url);
    run(ffmpeg7().args(["-xerror", "-i", url, "-f", "null", "-"]));
}

#[test]
fn nothing_is_left_of_an_expired_file() {
    for backend in BACKENDS {
        let (server, receiver) = recorder(backend, &[], 7200, &SETTINGS);
        let hls = json!({"Enable": 1, "StorageTime": 1});
        let template = json!({"TemplateName": "brief", "HlsParam": hls});
        let template = server.live("CreateLiveRecordTemplate", template)["TemplateId"].clone();
        let rule = json!({
            "DomainName": "live.local", "AppName": "live", "StreamName": "brief",
            "TemplateId": template,
        });
        server.live("CreateLiveRecordRule", rule);
        let source = Source::make(&server, Codecs::H264Aac, 5);
        source.push(&server.push_url("brief"));
        let files = receiver.wait_for(100, 1);
        let key = format!("live.local/live/brief/{}", files[0]["file_id"].as_str().unwrap());
        let url = files[0]["video_url"].as_str().unwrap();
        assert!(url.ends_with(&format!("/vod/{key}/playlist.m3u8")), "{url}");
        let folder = match &server.s3 {
            Some(s3) => s3.object(&format!("rec/{key}")),
            None => server.data_dir().join("vod").join(key),
        };
        eventually("nothing left of an expired file", || {
            let left = fs::read_dir(&folder).map_or(0, |files| files.count());
            (left == 0).then_some(())
        });
    }
}

#[test]
fn what_ts_cannot_carry_names_the_option() {
    let (mut server, receiver) = recorder(Backend::Plain, &["Flv", "Hls"], 7200, &[]);
    server.expect("a media file cannot be made; its journal is kept");
    let path = server.folder().join("av1.flv");
    encode_av1(&path);
    let mut pusher = Pusher::connect(server.rtmp, "show", 4096).accepted();
    pusher.send(&read_tags(&path));
    pusher.finish();
    let files = receiver.wait_for(100, 1);
    assert_eq!(format_of(&files[0]), "flv");
    server.logs.wait_for("av1 needs hls.segment_type = ");
}

/// The packets of pictures and of sound, of which there are more: demuxers number tracks as they
/// turn up. That of FLV makes empty packets of headers.
fn tracks(input: &str) -> [Vec<ffmpeg::Packet>; 2] {
    let mut tracks = [Vec::new(), Vec::new()];
    for packet in ffmpeg::packets(input).into_iter().filter(|packet| packet.size > 0) {
        tracks[packet.stream as usize].push(ffmpeg::Packet { stream: 0, ..packet });
    }
    tracks.sort_by_key(Vec::len);
    tracks
}

/// Five seconds of AV1 and Opus as enhanced FLV.
fn encode_av1(path: &Path) {
    let mut command = ffmpeg7();
    command.args(["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"]);
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "5"]);
    command.args(["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-g", "25"]);
    command.args(["-c:a", "libopus", "-f", "flv"]);
    run(command.arg(path));
}

/// The playlist is what RFC 8216 wants of one with `EXT-X-MAP`. The names of its segments.
fn assert_playlist(url: &str) -> Vec<String> {
    let playlist = String::from_utf8(fetch(url)).unwrap();
    let head = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:2\n";
    assert!(playlist.starts_with(head), "{playlist}");
    let maps: Vec<&str> = playlist.lines().filter(|line| line.contains("EXT-X-MAP")).collect();
    assert_eq!(maps, ["#EXT-X-MAP:URI=\"init-0.mp4\""]);
    assert!(!playlist.contains("DISCONTINUITY") && playlist.ends_with("#EXT-X-ENDLIST\n"));
    let names = playlist.lines().filter(|line| !line.starts_with('#')).map(str::to_owned);
    let names: Vec<String> = names.collect();
    assert!(names.len() >= 2 && names[1] == "1.m4s", "{playlist}");
    names
}

/// The packets of all segments, each read behind its initialisation segment and nothing else.
fn segments_alone(server: &Server, url: &str, names: &[String]) -> Packets {
    let (folder, _) = url.rsplit_once('/').unwrap();
    let init = fetch(&format!("{folder}/init-0.mp4"));
    let mut joined = Packets::default();
    for name in names {
        let path = server.folder().join("segment.mp4");
        fs::write(&path, [&init[..], &fetch(&format!("{folder}/{name}"))].concat()).unwrap();
        let segment = Packets::of(path.to_str().unwrap());
        assert!(segment.video[0].key, "{name} begins within a group of pictures");
        joined.video.extend(segment.video);
        joined.audio.extend(segment.audio);
    }
    joined
}

/// ffprobe has nothing to remark, and everything decodes.
fn assert_players_say_nothing(url: &str) {
    let output = Command::new("ffprobe").args(["-v", "warning", url]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "ffprobe says {said}");
    let mut decode = Command::new("ffmpeg");
    decode.args(["-nostdin", "-v", "warning", "-xerror", "-i", url, "-f", "null", "-"]);
    let output = decode.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "ffmpeg says {said}");
}
