//! What the beginning of a coded frame says of its stream, for the codecs whose configuration
//! record does not say it (AV1 without configOBUs, VP8, VP9) or that have none (AC-3, Enhanced
//! AC-3, MP3).
//!
//! Not here: the configuration records themselves ([`super::config`]).

use std::mem::discriminant;

use super::ac3::{Ac3Frame, Eac3Frame};
use super::av1::SequenceHeader;
use super::config::{CodecConfig, TrackConfig};
use super::mp3::Mp3Header;
use super::picture_form::PictureForm;
use super::sample::{Codec, Sample};
use super::vp8::Vp8KeyFrame;
use super::vp9::Vp9KeyFrame;

/// As much of a frame as [`FrameHead::parse`] may need: two sync frames of Enhanced AC-3 at their
/// largest, and a little. A frame may be shorter.
pub const FRAME_HEAD_BYTES: usize = 9 << 10;

/// So many changes that sound tells in band are followed in one recording: what goes on changing is
/// garbage, and must not become a segment and a sample entry for every frame.
pub const IN_BAND_CHANGES_MAX: usize = 256;

/// True if the frames of this codec say themselves how they are coded, so that they need no
/// configuration record.
pub fn describes_itself(codec: Codec) -> bool {
    matches!(codec, Codec::Av1 | Codec::Vp9 | Codec::Vp8 | Codec::Ac3 | Codec::Eac3 | Codec::Mp3)
}

/// True for sound of which every frame says how it is coded: what another one says may be another
/// thing, and no configuration tells of it.
pub fn is_described_in_band(sample: &Sample) -> bool {
    sample.is_audio_frame() && describes_itself(sample.codec)
}

/// What a frame of sound says of itself that the one before it did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherSound {
    /// It is of another codec.
    Codec,
    /// It is coded otherwise.
    Parameters,
}

/// Follows what frames of sound say of themselves.
#[derive(Debug, Clone, Default)]
pub struct SoundHeads {
    latest: Option<FrameHead>,
}

impl SoundHeads {
    /// Looks at the beginning of a frame. `None` if it is as the one before, is the first one, or says
    /// nothing of the kind.
    pub fn push(&mut self, sample: &Sample, head: &[u8]) -> Option<OtherSound> {
        if !is_described_in_band(sample) {
            return None;
        }
        let head = FrameHead::parse(sample.codec, head)?;
        let other = match &self.latest {
            Some(before) if discriminant(before) != discriminant(&head) => Some(OtherSound::Codec),
            Some(before) if !before.same_parameters(&head) => Some(OtherSound::Parameters),
            _ => None,
        };
        self.latest = Some(head);
        other
    }
}

/// The header in front of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameHead {
    /// AV1: of a key frame.
    Av1(SequenceHeader),
    /// VP9: of a key frame.
    Vp9(Vp9KeyFrame),
    /// VP8: of a key frame.
    Vp8(Vp8KeyFrame),
    /// AC-3.
    Ac3(Ac3Frame),
    /// Enhanced AC-3.
    Eac3(Eac3Frame),
    /// MPEG audio.
    Mp3(Mp3Header),
}

impl FrameHead {
    /// Reads the beginning of a frame, at most [`FRAME_HEAD_BYTES`] of it. None if the frame does
    /// not say how it is coded: an inter frame of video, a damaged one, another codec.
    pub fn parse(codec: Codec, frame: &[u8]) -> Option<Self> {
        match codec {
            Codec::Av1 => SequenceHeader::find(frame).map(FrameHead::Av1),
            Codec::Vp9 => Vp9KeyFrame::parse(frame).map(FrameHead::Vp9),
            Codec::Vp8 => Vp8KeyFrame::parse(frame).map(FrameHead::Vp8),
            Codec::Ac3 => Ac3Frame::parse(frame).map(FrameHead::Ac3),
            Codec::Eac3 => Eac3Frame::parse(frame).map(FrameHead::Eac3),
            Codec::Mp3 => Mp3Header::parse(frame).map(FrameHead::Mp3),
            Codec::H264
            | Codec::Hevc
            | Codec::Aac
            | Codec::Opus
            | Codec::Flac
            | Codec::Legacy
            | Codec::None
            | Codec::Unknown => None,
        }
    }

    /// True if a decoder set up for one needs no new set-up for the other.
    pub fn same_parameters(&self, other: &Self) -> bool {
        match (self, other) {
            (FrameHead::Eac3(ours), FrameHead::Eac3(theirs)) => ours.same_parameters(theirs),
            // The bit rate may vary.
            (FrameHead::Ac3(ours), FrameHead::Ac3(theirs)) => ours.header == theirs.header,
            _ => self == other,
        }
    }

    /// What a configuration record says the key frames begin with, if it does.
    pub fn of_config(config: &TrackConfig) -> Option<Self> {
        match config.parse().ok()? {
            CodecConfig::Av1(av1) => av1.sequence.map(FrameHead::Av1),
            _ => None,
        }
    }

    /// True if the pictures behind two key frames have the same size and form.
    pub fn same_picture(&self, other: &Self) -> bool {
        match (self, other) {
            (FrameHead::Av1(ours), FrameHead::Av1(theirs)) => {
                let of = |head: &SequenceHeader| (head.width, head.height);
                of(ours) == of(theirs) && ours.parameters == theirs.parameters
            }
            _ => self.same_parameters(other),
        }
    }

    /// Width and height in pixels of a picture.
    pub fn dimensions(&self) -> Option<(u32, u32)> {
        match self {
            FrameHead::Av1(head) => Some((head.width, head.height)),
            FrameHead::Vp9(head) => Some((head.width, head.height)),
            FrameHead::Vp8(head) => Some((head.width, head.height)),
            FrameHead::Ac3(_) | FrameHead::Eac3(_) | FrameHead::Mp3(_) => None,
        }
    }

    /// What a key frame says of the shape of pixels and of colours; none if it says nothing of either.
    pub fn form(&self) -> Option<PictureForm> {
        let form = match self {
            FrameHead::Av1(head) => head.form(),
            FrameHead::Vp9(head) => head.config.form(),
            _ => PictureForm::default(),
        };
        (form != PictureForm::default()).then_some(form)
    }

    /// Sampling rate in Hz of sound.
    pub fn sampling_rate(&self) -> Option<u32> {
        match self {
            FrameHead::Ac3(frame) => Some(frame.header.sample_rate),
            FrameHead::Eac3(frame) => Some(frame.sample_rate()),
            FrameHead::Mp3(header) => Some(header.sample_rate),
            FrameHead::Av1(_) | FrameHead::Vp9(_) | FrameHead::Vp8(_) => None,
        }
    }

    /// Channels of sound.
    pub fn channels(&self) -> Option<u8> {
        match self {
            FrameHead::Ac3(frame) => Some(frame.header.channels()),
            FrameHead::Eac3(frame) => Some(frame.channels()),
            FrameHead::Mp3(header) => Some(header.channels),
            FrameHead::Av1(_) | FrameHead::Vp9(_) | FrameHead::Vp8(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_that_describes_itself() {
        let heads: [(Codec, &[u8]); 6] = [
            (Codec::Av1, b"\x0a\x0b\x00\x00\x00\x04\x3c\xfe\xcc\xda\xf9\x00\x40\x32"),
            (Codec::Vp9, b"\x82\x49\x83\x42\x00\x13\xf0\x0b\x36"),
            (Codec::Vp8, b"\x10\x62\x00\x9d\x01\x2a\x40\x01\xb4\x00\x00\x07"),
            (Codec::Ac3, b"\x0b\x77\x1e\x8b\x1c\x40\xeb\xf8\x40\x3e"),
            (Codec::Eac3, b"\x0b\x77\x01\xa0\x74\x87\xc0\x00\x20\x84"),
            (Codec::Mp3, b"\xff\xfb\x90\x64"),
        ];
        for (codec, bytes) in heads {
            assert!(describes_itself(codec));
            let head = FrameHead::parse(codec, bytes).unwrap();
            assert!(head.same_parameters(&head));
            let is_picture = head.dimensions() == Some((320, 180));
            assert_ne!(is_picture, head.sampling_rate().zip(head.channels()).is_some());
            assert_eq!(FrameHead::parse(codec, b"\0\0\0\0\0\0\0\0\0\0\0\0"), None, "{codec:?}");
        }
        assert!(!describes_itself(Codec::H264));
        assert_eq!(FrameHead::parse(Codec::Aac, heads[5].1), None);
    }
}
