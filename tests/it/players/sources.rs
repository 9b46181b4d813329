//! What is pushed: four seconds of every pair of codecs, also with a track that starts late.

use std::path::Path;

use liverec::media::tag::{Tag, TagKind};

use crate::support::{ffmpeg::ffmpeg7, publisher::read_tags, run};

/// Length of a source in seconds, and of a group of pictures in frames.
const SECONDS: &str = "4";
const GROUP: &str = "25";

/// How a track that starts late is behind the other one.
const LATE_MS: i64 = 1000;

/// The codec of a video track, or that of an audio track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// With B-frames.
    H264,
    /// With B-frames.
    Hevc,
    Av1,
    Vp9,
    Aac,
    Opus,
    Ac3,
}

impl Codec {
    /// What ffmpeg is told in order to encode it.
    fn arguments(self) -> &'static str {
        match self {
            Codec::H264 => "-c:v libx264 -preset ultrafast -bf 2 -sc_threshold 0",
            Codec::Hevc => {
                "-c:v libx265 -preset ultrafast -bf 2 -x265-params log-level=error:info=0"
            }
            Codec::Av1 => "-c:v libsvtav1 -preset 12",
            Codec::Vp9 => "-c:v libvpx-vp9 -deadline realtime -cpu-used 8",
            Codec::Aac => "-c:a aac -b:a 64k",
            Codec::Opus => "-c:a libopus -b:a 64k",
            Codec::Ac3 => "-c:a ac3",
        }
    }
}

/// What is pushed of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// All of it: both tracks begin together, but for what the encoders delay.
    Together,
    /// Sound from one second on.
    LateSound,
    /// Pictures from the first key frame after one second on.
    LatePictures,
}

/// Tags to push, and how many frames are among them.
pub struct Source {
    pub tags: Vec<Tag>,
    pub pictures: usize,
    pub sounds: usize,
}

impl Source {
    /// Encodes 320x180 at 25 frames a second, and a tone of 48 kHz in stereo.
    pub fn make(folder: &Path, video: Option<Codec>, audio: Codec, start: Start) -> Self {
        let path = folder.join(format!("{video:?}-{audio:?}.flv"));
        if !path.exists() {
            let mut command = ffmpeg7();
            // SVT-AV1 has a log of its own.
            command.env("SVT_LOG", "1");
            if video.is_some() {
                command.args(["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"]);
            }
            command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
            command.args(["-t", SECONDS, "-ac", "2"]);
            if let Some(video) = video {
                command.args(["-pix_fmt", "yuv420p", "-g", GROUP]);
                command.args(video.arguments().split(' '));
            }
            command.args(audio.arguments().split(' ')).args(["-f", "flv"]).arg(&path);
            run(&mut command);
        }
        let mut tags = read_tags(&path);
        match start {
            Start::Together => {}
            Start::LateSound => drop_beginning(&mut tags, TagKind::Audio),
            Start::LatePictures => drop_beginning(&mut tags, TagKind::Video),
        }
        let count = |kind| tags.iter().filter(|tag| tag.kind == kind && is_frame(tag)).count();
        let (pictures, sounds) = (count(TagKind::Video), count(TagKind::Audio));
        Self { tags, pictures, sounds }
    }
}

/// Leaves out the first second of one track, up to where decoding can begin.
fn drop_beginning(tags: &mut Vec<Tag>, kind: TagKind) {
    let first = tags.iter().position(|tag| {
        tag.kind == kind && is_frame(tag) && is_entrance(tag) && tag.time_ms >= LATE_MS
    });
    let first = first.expect("a track longer than a second");
    let mut index = 0;
    tags.retain(|tag| {
        index += 1;
        index > first || tag.kind != kind || !is_frame(tag)
    });
}

/// Whether a tag holds a frame, as FLV or as enhanced FLV.
fn is_frame(tag: &Tag) -> bool {
    let (first, second) = (tag.payload[0], tag.payload.get(1));
    match tag.kind {
        TagKind::Video if first & 0x80 != 0 => matches!(first & 0x0f, 1 | 3),
        TagKind::Audio if first >> 4 == 9 => first & 0x0f == 1,
        TagKind::Video | TagKind::Audio => second == Some(&1),
        TagKind::Script => false,
    }
}

/// Whether decoding can begin with this frame.
fn is_entrance(tag: &Tag) -> bool {
    tag.kind == TagKind::Audio || tag.payload[0] >> 4 & 7 == 1
}
