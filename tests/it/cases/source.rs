//! Short encodings by ffmpeg, 160x90, as the messages of an FLV file or bare frames of an IVF file.

use std::path::PathBuf;

use bytes::Bytes;
use liverec::media::tag::{Tag, TagKind};
use tempfile::TempDir;

use super::tags::{Frame, Media};
use crate::support::{
    ffmpeg::{ffmpeg, ffmpeg7},
    publisher::read_tags,
    run,
};

/// Which ffmpeg makes a source.
#[derive(Debug, Clone, Copy)]
pub enum Program {
    /// Debian's.
    Debian,
    /// The newer one, which writes enhanced FLV.
    Newer,
}

/// Makes sources, in a folder that goes with it.
pub struct Sources {
    folder: TempDir,
}

/// Pictures of H.264 with B-frames, a key frame a second.
pub const H264: &str =
    "-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p -g 25 -sc_threshold 0";
/// Sound of 44.1 kHz, whose frames are 23 or 24 ms apart.
pub const AAC: &str = "-c:a aac -b:a 64k";

impl Sources {
    /// An empty folder.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn encode(&self, program: Program, arguments: &str, end: &str) -> PathBuf {
        let path = self.folder.path().join("source").with_extension(end);
        let mut command = match program {
            Program::Debian => ffmpeg(),
            Program::Newer => ffmpeg7(),
        };
        command.args(["-threads", "1"]).args(arguments.split_whitespace());
        run(command.args(["-map_metadata", "-1", "-f", end]).arg(&path));
        path
    }

    /// `seconds` of `picture` (options of the encoder) and `sound`, either of which may be empty.
    pub fn make(&self, program: Program, seconds: u32, picture: &str, sound: &str) -> Vec<Tag> {
        self.of_size(program, "160x90", 25, seconds, picture, sound)
    }

    /// The same in another size or at another rate.
    pub fn of_size(
        &self,
        program: Program,
        size: &str,
        rate: u32,
        seconds: u32,
        picture: &str,
        sound: &str,
    ) -> Vec<Tag> {
        let mut arguments = String::new();
        if !picture.is_empty() {
            arguments += &format!("-f lavfi -i testsrc2=size={size}:rate={rate} ");
        }
        if !sound.is_empty() {
            arguments += "-f lavfi -i sine=frequency=440:sample_rate=44100 ";
        }
        arguments += &format!("-t {seconds} {picture} {sound}");
        read_tags(&self.encode(program, &arguments, "flv"))
    }

    /// H.264 and AAC, which most cases are made of.
    pub fn usual(&self, seconds: u32) -> Vec<Tag> {
        self.make(Program::Debian, seconds, H264, AAC)
    }

    /// One track of pictures.
    pub fn video(&self, program: Program, seconds: u32, options: &str) -> Media {
        Media::of(&self.make(program, seconds, options, ""), TagKind::Video)
    }

    /// One track of sound.
    pub fn audio(&self, program: Program, seconds: u32, options: &str) -> Media {
        Media::of(&self.make(program, seconds, "", options), TagKind::Audio)
    }

    /// VP8, which no ffmpeg writes into FLV, out of an IVF file. Its configuration is that of
    /// "VP Codec ISO Media File Format Binding": profile 0, 8 bits, 4:2:0, colours not specified.
    pub fn vp8(&self, seconds: u32) -> Media {
        let arguments = format!(
            "-f lavfi -i testsrc2=size=160x90:rate=25 -t {seconds} -c:v libvpx -deadline realtime -g 25"
        );
        let file = std::fs::read(self.encode(Program::Newer, &arguments, "ivf")).unwrap();
        let mut rest = &file[32..];
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let size = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            let data = Bytes::copy_from_slice(&rest[12..12 + size]);
            let time_ms = 40 * i64::try_from(frames.len()).unwrap();
            // The first bit of a VP8 frame is 0 in a key frame.
            frames.push(Frame { time_ms, cts_ms: 0, is_key: data[0] & 1 == 0, data });
            rest = &rest[12 + size..];
        }
        let config = Bytes::from_static(&[1, 0, 0, 0, 0, 10, 0x82, 2, 2, 2, 0, 0]);
        Media { config, frames }
    }
}
