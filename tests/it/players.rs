//! Players that are not ours play what is recorded, to its end: headless Chromium whatever it has
//! a decoder for, ffmpeg everything. mediainfo reads what the MP4 files say of themselves.

mod browser;
mod info;
mod sources;

use std::{thread::sleep, time::Duration};

use serde_json::{Value, json};

use self::{
    info::{Expected, assert_info},
    sources::{Codec, Source, Start},
};
use crate::support::{
    ffmpeg::ffmpeg,
    publisher::Pusher,
    receiver::{Receiver, SIGN_KEY},
    server::{Backend, Server},
};

/// Long enough for a second push on any machine.
const RESUME_WINDOW_S: u32 = 12;

/// Between two pushes that make one file: a second longer than a source lasts, so that there is a
/// gap.
const RESUMED_AFTER: Duration = Duration::from_secs(5);

/// A stream, and the formats in which it is recorded.
struct Case {
    stream: &'static str,
    video: Option<Codec>,
    audio: Codec,
    start: Start,
    /// How often the source is pushed into the same files.
    pushes: usize,
    formats: &'static [&'static str],
}

const fn case(
    stream: &'static str,
    video: Option<Codec>,
    audio: Codec,
    formats: &'static [&'static str],
) -> Case {
    Case { stream, video, audio, start: Start::Together, pushes: 1, formats }
}

impl Case {
    /// Whether Debian's Chromium has the decoders: it has none for HEVC and AC-3.
    fn is_for_browser(&self) -> bool {
        self.video != Some(Codec::Hevc) && self.audio != Codec::Ac3
    }
}

/// A product of a case.
struct Product<'a> {
    case: &'a Case,
    pictures: usize,
    sounds: usize,
    format: String,
    url: String,
    /// From the row of the file.
    duration_ms: i64,
    /// Start of the recording, seconds since 1970-01-01.
    start_s: i64,
}

#[test]
fn mp4_aac_and_ts_segments() {
    const CASES: &[Case] = &[
        case("h264-aac", Some(Codec::H264), Codec::Aac, &["Mp4", "Hls", "Aac"]),
        case("hevc-aac", Some(Codec::Hevc), Codec::Aac, &["Mp4", "Hls"]),
        case("aac", None, Codec::Aac, &["Mp4", "Hls", "Aac"]),
        case("h264-opus", Some(Codec::H264), Codec::Opus, &["Mp4"]),
        case("opus", None, Codec::Opus, &["Mp4"]),
        case("av1-opus", Some(Codec::Av1), Codec::Opus, &["Mp4"]),
        case("vp9-opus", Some(Codec::Vp9), Codec::Opus, &["Mp4"]),
        case("h264-ac3", Some(Codec::H264), Codec::Ac3, &["Mp4"]),
        Case { start: Start::LateSound, ..case("late-sound", H264, Codec::Aac, &["Mp4", "Hls"]) },
        Case {
            start: Start::LatePictures,
            ..case("late-pictures", H264, Codec::Aac, &["Mp4", "Hls"])
        },
    ];
    play_all(CASES, &[]);
}

#[test]
fn fragmented_segments() {
    const CASES: &[Case] = &[
        case("h264-aac", Some(Codec::H264), Codec::Aac, &["Hls"]),
        case("hevc-aac", Some(Codec::Hevc), Codec::Aac, &["Hls"]),
        case("aac", None, Codec::Aac, &["Hls"]),
        case("opus", None, Codec::Opus, &["Hls"]),
        case("av1-opus", Some(Codec::Av1), Codec::Opus, &["Hls"]),
        case("vp9-opus", Some(Codec::Vp9), Codec::Opus, &["Hls"]),
        case("h264-ac3", Some(Codec::H264), Codec::Ac3, &["Hls"]),
        Case { start: Start::LateSound, ..case("late-sound", H264, Codec::Aac, &["Hls"]) },
        Case { start: Start::LatePictures, ..case("late-pictures", H264, Codec::Aac, &["Hls"]) },
    ];
    play_all(CASES, &[("hls.segment_type", "fmp4")]);
}

#[test]
fn resumed_mp4_and_ts_segments() {
    play_resumed(case("resumed", H264, Codec::Aac, &["Mp4", "Hls"]), "ts");
}

#[test]
fn resumed_fragmented_segments() {
    // Not of H.264 with B-frames: hls.js 1.7.4 puts the first picture behind a discontinuity later by
    // its composition offset, and never comes to the end where that hole is below its maxBufferHole
    // (0.1 s): it asks for one buffered range without a hole, and jumps over those it knows of only.
    play_resumed(case("resumed", Some(Codec::Av1), Codec::Opus, &["Hls"]), "fmp4");
}

const H264: Option<Codec> = Some(Codec::H264);

fn play_resumed(case: Case, segment_type: &str) {
    let window = format!("{RESUME_WINDOW_S}s");
    let settings = [("record.resume_window", window.as_str()), ("hls.segment_type", segment_type)];
    play_all(&[Case { pushes: 2, ..case }], &settings);
}

fn play_all(cases: &[Case], settings: &[(&str, &str)]) {
    let settings = [&[("hls.segment_duration", "2s")], settings].concat();
    let server = Server::start(Backend::Plain, &settings);
    let receiver = Receiver::start();
    server.call_back(&receiver.url(), SIGN_KEY);
    let sources: Vec<Source> =
        cases.iter().map(|c| Source::make(server.folder(), c.video, c.audio, c.start)).collect();
    for (case, source) in cases.iter().zip(&sources) {
        record(&server, case);
        push(&server, case, source);
    }
    let files = receiver.wait_for(100, cases.iter().map(|case| case.formats.len()).sum());
    let products: Vec<Product<'_>> =
        files.iter().map(|file| product(&server, cases, &sources, file)).collect();

    for product in &products {
        assert_decodes(product);
        // Of frames with a gap between them it says what it makes of the mean.
        if product.format == "mp4" && product.case.pushes == 1 {
            let expected = Expected {
                video: product.case.video,
                audio: product.case.audio,
                pictures: product.pictures,
                sounds: product.sounds,
                duration_ms: product.duration_ms,
                start_s: product.start_s,
                what: &product.url,
            };
            let key = product.url.split_once("/vod/").unwrap().1;
            assert_info(&server.data_dir().join("vod").join(key), &expected);
        }
    }
    let plays: Vec<&Product<'_>> = products.iter().filter(|p| p.case.is_for_browser()).collect();
    let urls = plays.iter().map(|p| (p.url.as_str(), p.pictures > 0 && p.format != "aac"));
    for (product, report) in plays.iter().zip(browser::play(urls)) {
        assert_eq!(product.url, report.url);
        assert_played(product, &report);
    }
}

/// Makes a rule for the stream of a case.
fn record(server: &Server, case: &Case) {
    let mut template = json!({"TemplateName": "test"});
    for format in case.formats {
        template[format!("{format}Param")] = json!({"Enable": 1, "RecordInterval": 7200});
    }
    if case.pushes > 1 {
        template["HlsSpecialParam"] = json!({"FlowContinueDuration": RESUME_WINDOW_S});
    }
    let answer = server.live("CreateLiveRecordTemplate", template);
    server.live(
        "CreateLiveRecordRule",
        json!({
            "DomainName": "live.local", "AppName": "live", "StreamName": case.stream,
            "TemplateId": answer["TemplateId"],
        }),
    );
}

/// Pushes a source as often as the case says.
fn push(server: &Server, case: &Case, source: &Source) {
    for push in 0..case.pushes {
        if push > 0 {
            sleep(RESUMED_AFTER);
        }
        let mut pusher = Pusher::connect(server.rtmp, case.stream, 4096).accepted();
        pusher.send(&source.tags);
        pusher.finish();
    }
}

fn product<'a>(
    server: &Server,
    cases: &'a [Case],
    sources: &[Source],
    file: &Value,
) -> Product<'a> {
    let index = cases.iter().position(|case| file["stream_id"] == case.stream).unwrap();
    let found = server.vod("DescribeMediaInfos", json!({"FileIds": [file["file_id"]]}));
    let url = file["video_url"].as_str().unwrap().to_owned();
    let seconds = found["MediaInfoSet"][0]["MetaData"]["Duration"].as_f64().unwrap();
    Product {
        case: &cases[index],
        pictures: sources[index].pictures * cases[index].pushes,
        sounds: sources[index].sounds * cases[index].pushes,
        format: file["file_format"].as_str().unwrap().to_owned(),
        url,
        duration_ms: (seconds * 1000.0).round() as i64,
        start_s: file["start_time"].as_i64().unwrap(),
    }
}

/// ffmpeg decodes every frame that was pushed and finds nothing to complain of.
fn assert_decodes(product: &Product<'_>) {
    let mut command = ffmpeg();
    command.args(["-xerror", "-i", &product.url, "-map", "0"]);
    // Behind a discontinuity ffmpeg takes the time of both tracks from one of them, so that sound may
    // begin before the sound ahead of it has ended: it is counted on here.
    command.args(["-af", "asetpts=N/SR/TB"]);
    // A line for each decoded frame.
    command.args(["-fps_mode", "passthrough", "-f", "framecrc", "-"]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{}: {errors}", product.url);
    let text = String::from_utf8(output.stdout).unwrap();
    let decoded = |kind: &str| {
        let streams = text.lines().filter_map(|line| line.strip_prefix("#media_type "));
        let number = streams.filter_map(|line| line.strip_suffix(kind)?.strip_suffix(": ")).next();
        let is_of = |line: &&str| number.is_some_and(|number| line.starts_with(number));
        text.lines().filter(is_of).count()
    };
    let pictures = if product.format == "aac" { 0 } else { product.pictures };
    assert_eq!(decoded("video"), pictures, "{}: decoded pictures", product.url);
    assert_eq!(decoded("audio"), product.sounds, "{}: decoded sound", product.url);
}

/// The browser played what was pushed, for as long as the row says.
fn assert_played(product: &Product<'_>, report: &browser::Report) {
    report.assert_played();
    let size = (report.width, report.height, report.frames);
    match product.format.as_str() {
        "aac" => assert_eq!(size, (0, 0, 0), "{report:#?}"),
        _ if product.pictures == 0 => assert_eq!(size, (0, 0, 0), "{report:#?}"),
        _ => assert_eq!(size, (320, 180, product.pictures), "{report:#?}"),
    }
    let row = product.duration_ms as f64 / 1000.0;
    let tolerance = match product.format.as_str() {
        "mp4" => 0.0015,
        // hls.js closes gaps.
        _ if product.case.pushes > 1 => RESUMED_AFTER.as_secs_f64(),
        // hls.js counts from the first decoding time, and the browser guesses from the bytes of AAC.
        _ => 0.2,
    };
    let found = report.duration.unwrap();
    assert!((found - row).abs() < tolerance, "{found} s and not {row} s: {report:#?}");
}
