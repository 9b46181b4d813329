//! What mediainfo, an MP4 reader that shares no code with ffmpeg, says of an MP4.

use std::{path::Path, process::Command};

use serde_json::Value;

use super::sources::Codec;
use crate::support::run;

/// What an MP4 must say of itself.
pub struct Expected<'a> {
    pub video: Option<Codec>,
    pub audio: Codec,
    pub pictures: usize,
    pub sounds: usize,
    /// From the row of the file.
    pub duration_ms: i64,
    /// Start of the recording, seconds since 1970-01-01.
    pub start_s: i64,
    /// In messages.
    pub what: &'a str,
}

/// Reads the boxes of a file and compares what they say.
pub fn assert_info(path: &Path, expected: &Expected<'_>) {
    let output = run(Command::new("mediainfo").arg("--Output=JSON").arg(path));
    let info: Value = serde_json::from_slice(&output).unwrap();
    let track = |kind: &str| {
        let tracks = info["media"]["track"].as_array().unwrap();
        let mut found = tracks.iter().filter(|track| track["@type"] == kind);
        let track = found.next();
        assert!(found.next().is_none(), "{}: more than one {kind} track", expected.what);
        track.map(|fields| Track { fields, what: format!("{}: {kind}", expected.what) })
    };
    assert_sound_structure(&info, expected.what);

    let general = track("General").unwrap();
    general.has("Format", "MPEG-4");
    general.has("Format_Profile", "Base Media");
    general.has("CodecID", "isom");
    general.has("IsStreamable", "Yes");
    general.has("FileSize", &path.metadata().unwrap().len().to_string());
    general.lasts(expected.duration_ms);
    let start = chrono::DateTime::from_timestamp(expected.start_s, 0).unwrap();
    let start = start.format("%Y-%m-%d %H:%M:%S UTC").to_string();

    let video = track("Video");
    assert_eq!(video.is_some(), expected.video.is_some(), "{}: pictures", expected.what);
    if let (Some(video), Some(codec)) = (&video, expected.video) {
        let (format, id) = names(codec);
        video.has("Format", format);
        video.has("CodecID", id);
        if codec != Codec::Vp9 {
            // There is a brand of this name for the others.
            let brands = general.text("CodecID_Compatible");
            assert!(brands.split('/').any(|brand| brand == id), "{}: {brands}", expected.what);
        }
        video.has("Width", "320");
        video.has("Height", "180");
        video.has("PixelAspectRatio", "1.000");
        video.has("FrameRate_Mode", "CFR");
        video.has("FrameRate", "25.000");
        video.has("Encoded_Date", &start);
        video.has("Language", "");
        // mediainfo counts the time before the first picture as pictures, in every file.
        let delay = video.fields["extra"]["Source_Delay"].as_str().unwrap_or("0");
        let early = delay.parse::<f64>().unwrap() / 40.0;
        let count = video.number("FrameCount") - early;
        assert!(
            (count - expected.pictures as f64).abs() < 1.0,
            "{}: {count} pictures and not {}",
            expected.what,
            expected.pictures
        );
    }
    let audio = track("Audio").unwrap();
    let (format, id) = names(expected.audio);
    audio.has("Format", format);
    audio.has("CodecID", id);
    audio.has("SamplingRate", "48000");
    audio.has("Encoded_Date", &start);
    audio.has("Language", "");
    if expected.audio != Codec::Opus {
        audio.has("Channels", "2");
    }
    audio.has("FrameCount", &expected.sounds.to_string());
}

/// Format and sample entry, as mediainfo 23 names them: it has no names of its own for AV1 and VP9
/// in MP4.
fn names(codec: Codec) -> (&'static str, &'static str) {
    match codec {
        Codec::H264 => ("AVC", "avc1"),
        Codec::Hevc => ("HEVC", "hvc1"),
        Codec::Av1 => ("av01", "av01"),
        Codec::Vp9 => ("vp09", "vp09"),
        Codec::Aac => ("AAC", "mp4a-40-2"),
        Codec::Opus => ("Opus", "Opus"),
        Codec::Ac3 => ("AC-3", "ac-3"),
    }
}

/// Nothing is cut off and nothing breaks a rule that mediainfo checks.
fn assert_sound_structure(value: &Value, what: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_complaint = name.contains("IsTruncated") || name.contains("Conformance");
                assert!(!is_complaint, "{what}: {name} {value}");
                assert_sound_structure(value, what);
            }
        }
        Value::Array(values) => {
            values.iter().for_each(|value| assert_sound_structure(value, what));
        }
        _ => {}
    }
}

/// The fields of one track, all of them text.
struct Track<'a> {
    fields: &'a Value,
    what: String,
}

impl Track<'_> {
    /// A field; empty if it is not there.
    fn text(&self, name: &str) -> &str {
        self.fields[name].as_str().unwrap_or_default()
    }

    fn number(&self, name: &str) -> f64 {
        let text = self.text(name);
        text.parse().unwrap_or_else(|_| panic!("{} {name} {text:?}", self.what))
    }

    fn has(&self, name: &str, value: &str) {
        assert_eq!(self.text(name), value, "{} {name}\n{:#}", self.what, self.fields);
    }

    /// To the millisecond.
    fn lasts(&self, duration_ms: i64) {
        let found_ms = (self.number("Duration") * 1000.0).round() as i64;
        assert!((found_ms - duration_ms).abs() <= 1, "{} lasts {found_ms} ms", self.what);
    }
}
