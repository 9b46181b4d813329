//! ffmpeg as encoder and as judge: sources, pushes, and what players find in a product.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{needed, run};

/// Debian's ffmpeg; it knows no HEVC in FLV.
pub fn ffmpeg() -> Command {
    quiet("ffmpeg".into())
}

/// A newer ffmpeg that knows enhanced RTMP.
pub fn ffmpeg7() -> Command {
    quiet(needed("LIVEREC_TEST_FFMPEG7").into())
}

fn quiet(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    command.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y"]);
    command
}

/// What a source is made of.
#[derive(Debug, Clone, Copy)]
pub enum Codecs {
    /// H.264 with B-frames and AAC.
    H264Aac,
    /// HEVC with B-frames and AAC, as enhanced FLV.
    HevcAac,
    /// AAC alone.
    Aac,
}

/// Makes an FLV file of `seconds`, 320x180 at 25 frames a second with a key frame every second.
pub fn make_source(codecs: Codecs, seconds: u32, path: &Path) {
    let length = seconds.to_string();
    let (mut command, video): (Command, &[&str]) = match codecs {
        Codecs::H264Aac => (
            ffmpeg(),
            &["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p"],
        ),
        Codecs::HevcAac => (
            ffmpeg7(),
            &[
                "-c:v",
                "libx265",
                "-preset",
                "ultrafast",
                "-bf",
                "2",
                "-x265-params",
                "log-level=error:info=0",
            ],
        ),
        Codecs::Aac => (ffmpeg(), &[]),
    };
    if !video.is_empty() {
        command.args(["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"]);
    }
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
    command.args(["-t", &length]).args(video);
    if !video.is_empty() {
        command.args(["-g", "25", "-sc_threshold", "0"]);
    }
    command.args(["-c:a", "aac", "-b:a", "64k", "-ac", "2", "-f", "flv"]).arg(path);
    run(&mut command);
}

/// One packet as a demuxer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Stream number.
    pub stream: u32,
    /// Decoding time in units of the stream's time base.
    pub dts: i64,
    /// Presentation time in the same units.
    pub pts: i64,
    /// Payload bytes.
    pub size: u64,
    /// Hash of the payload.
    pub hash: String,
}

/// The packets of a file or URL, copied and not decoded, with the times it holds.
pub fn packets(input: &str) -> Vec<Packet> {
    let mut command = ffmpeg7();
    command.args(["-copyts", "-i", input, "-map", "0", "-c", "copy"]);
    command.args(["-f", "framehash", "-hash", "sha256", "-"]);
    let text = String::from_utf8(run(&mut command)).expect("framehash writes text");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(packet).collect()
}

fn packet(line: &str) -> Packet {
    let mut fields = line.split(',').map(str::trim);
    let mut next = || fields.next().unwrap_or_else(|| panic!("framehash line {line:?}"));
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("framehash line {line:?}"));
    let (stream, dts, pts, _duration, size) = (next(), next(), next(), next(), next());
    Packet {
        stream: u32::try_from(number(stream)).expect("a stream number"),
        dts: number(dts),
        pts: number(pts),
        size: u64::try_from(number(size)).expect("a size"),
        hash: next().to_owned(),
    }
}

/// `ffprobe -show_entries ENTRIES` of a file or URL, as JSON.
pub fn probe(input: &str, entries: &str) -> serde_json::Value {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "json", "-show_entries", entries, input]);
    serde_json::from_slice(&run(&mut command)).expect("ffprobe writes JSON")
}
