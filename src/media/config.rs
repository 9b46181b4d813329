//! Codec configuration records ("sequence headers"): what they say, when two of them say the same,
//! and all those of a session by ordinal.
//!
//! The record's own bytes are what goes into a container; the parsed form serves comparing,
//! sizes, and the start codes and ADTS headers of MPEG-TS.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::aac::AudioSpecificConfig;
use super::av1::Av1Config;
use super::avc::AvcConfig;
use super::flac::FlacConfig;
use super::hevc::HevcConfig;
use super::opus::{OUTPUT_RATE, OpusHead};
use super::picture_form::PictureForm;
use super::sample::{Codec, SampleKind, TagSample, Track};
use super::vp9::VpConfig;

/// Why a configuration record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It ends before its last field.
    #[error("{0} record is cut short")]
    Truncated(&'static str),
    /// Its version is not one that the specification knows.
    #[error("{record} record has unknown version {version}")]
    Version {
        /// Name of the record.
        record: &'static str,
        /// The version found.
        version: u8,
    },
    /// A field has a reserved value: name of the record, name of the field.
    #[error("{0} record has a reserved {1}")]
    Reserved(&'static str, &'static str),
}

/// A parsed configuration record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecConfig {
    /// avcC.
    Avc(AvcConfig),
    /// hvcC.
    Hevc(HevcConfig),
    /// av1C.
    Av1(Av1Config),
    /// vpcC, of VP9 or VP8.
    Vp(VpConfig),
    /// AudioSpecificConfig.
    Aac(AudioSpecificConfig),
    /// OpusHead.
    Opus(OpusHead),
    /// FLAC stream header.
    Flac(FlacConfig),
    /// The record of a codec that has none, or that is not known.
    Other {
        /// The codec it configures.
        codec: Codec,
        /// The record as it was received.
        record: Bytes,
    },
}

impl CodecConfig {
    /// Reads the record of a codec.
    ///
    /// # Errors
    /// The record of a codec with a type of its own here is damaged.
    pub fn parse(codec: Codec, record: &[u8]) -> Result<Self, ConfigError> {
        Ok(match codec {
            Codec::H264 => CodecConfig::Avc(AvcConfig::parse(record)?),
            Codec::Hevc => CodecConfig::Hevc(HevcConfig::parse(record)?),
            Codec::Av1 => CodecConfig::Av1(Av1Config::parse(record)?),
            Codec::Vp9 | Codec::Vp8 => CodecConfig::Vp(VpConfig::parse(record)?),
            Codec::Aac => CodecConfig::Aac(AudioSpecificConfig::parse(record)?),
            Codec::Opus => CodecConfig::Opus(OpusHead::parse(record)?),
            Codec::Flac => CodecConfig::Flac(FlacConfig::parse(record)?),
            Codec::Ac3
            | Codec::Eac3
            | Codec::Mp3
            | Codec::Legacy
            | Codec::None
            | Codec::Unknown => {
                CodecConfig::Other { codec, record: Bytes::copy_from_slice(record) }
            }
        })
    }

    /// True if a decoder set up with one needs no new set-up for the other.
    pub fn same_parameters(&self, other: &Self) -> bool {
        match (self, other) {
            (CodecConfig::Flac(ours), CodecConfig::Flac(theirs)) => ours.same_parameters(theirs),
            _ => self == other,
        }
    }

    /// Width and height in pixels of a video configuration, if it says them: where it does not,
    /// a key frame does ([`super::frame_head`]).
    pub fn dimensions(&self) -> Option<(u32, u32)> {
        let (width, height) = match self {
            CodecConfig::Avc(avc) => (avc.width, avc.height),
            CodecConfig::Hevc(hevc) => (hevc.width, hevc.height),
            CodecConfig::Av1(av1) => av1.sequence.as_ref().map(|s| (s.width, s.height))?,
            CodecConfig::Vp(_)
            | CodecConfig::Aac(_)
            | CodecConfig::Opus(_)
            | CodecConfig::Flac(_)
            | CodecConfig::Other { .. } => return None,
        };
        (width > 0 && height > 0).then_some((width, height))
    }

    /// What a video configuration says of the shape of pixels and of colours.
    pub fn form(&self) -> PictureForm {
        match self {
            CodecConfig::Avc(avc) => avc.form(),
            CodecConfig::Hevc(hevc) => hevc.form(),
            CodecConfig::Av1(av1) => av1.sequence.as_ref().map(|s| s.form()).unwrap_or_default(),
            CodecConfig::Vp(vp) => vp.form(),
            _ => PictureForm::default(),
        }
    }

    /// Sampling rate in Hz that a player hears, of an audio configuration.
    pub fn sampling_rate(&self) -> Option<u32> {
        match self {
            CodecConfig::Aac(aac) => Some(aac.output_rate()),
            CodecConfig::Opus(_) => Some(OUTPUT_RATE),
            CodecConfig::Flac(flac) => Some(flac.sample_rate),
            _ => None,
        }
    }

    /// Channels that a player hears, of an audio configuration that says them.
    pub fn channels(&self) -> Option<u8> {
        let channels = match self {
            CodecConfig::Aac(aac) => aac.output_channels(),
            CodecConfig::Opus(head) => head.channels,
            CodecConfig::Flac(flac) => flac.channels,
            _ => return None,
        };
        (channels > 0).then_some(channels)
    }
}

/// A configuration as it was received: the whole tag payload, for FLV, and where the record lies in
/// it, for everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackConfig {
    /// The track it configures.
    pub track: Track,
    /// Enhanced RTMP track id.
    pub track_id: u8,
    /// The codec.
    pub codec: Codec,
    tag_payload: Bytes,
    record: Range<usize>,
}

impl TrackConfig {
    /// The configuration that `sample` found in `tag_payload`; none if `sample` is of another kind
    /// or does not lie inside. The payload is kept: a slice of a read buffer should be copied
    /// before, for it would hold the buffer for as long as the session lasts.
    pub fn new(tag_payload: Bytes, sample: &TagSample) -> Option<Self> {
        if sample.kind != SampleKind::Config {
            return None;
        }
        let start = usize::try_from(sample.data_offset).ok()?;
        let end = start.checked_add(usize::try_from(sample.data_len).ok()?)?;
        tag_payload.get(start..end)?;
        Some(TrackConfig {
            track: sample.track,
            track_id: sample.track_id,
            codec: sample.codec,
            tag_payload,
            record: start..end,
        })
    }

    /// The configuration record (avcC, hvcC, AudioSpecificConfig, ...).
    pub fn record(&self) -> &[u8] {
        self.tag_payload.get(self.record.clone()).unwrap_or_default()
    }

    /// The payload of the whole FLV tag that brought it.
    pub fn tag_payload(&self) -> &Bytes {
        &self.tag_payload
    }

    /// Reads the record; see [`CodecConfig::parse`].
    ///
    /// # Errors
    /// The record is damaged.
    pub fn parse(&self) -> Result<CodecConfig, ConfigError> {
        CodecConfig::parse(self.codec, self.record())
    }

    /// True if `other` is for the same track and changes nothing for a decoder. Damaged records
    /// are compared byte by byte.
    pub fn same_parameters(&self, other: &Self) -> bool {
        if (self.track, self.track_id, self.codec) != (other.track, other.track_id, other.codec) {
            return false;
        }
        self.record() == other.record()
            || match (self.parse(), other.parse()) {
                (Ok(ours), Ok(theirs)) => ours.same_parameters(&theirs),
                _ => false,
            }
    }
}

/// The configurations of one session by ordinal, as [`super::sample::Sample::config`] names them.
/// Who fills it decides how many it takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configs(BTreeMap<u32, TrackConfig>);

impl Configs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers `config` under `ordinal`, in place of what was there.
    pub fn insert(&mut self, ordinal: u32, config: TrackConfig) {
        self.0.insert(ordinal, config);
    }

    /// The configuration with this ordinal.
    pub fn get(&self, ordinal: u32) -> Option<&TrackConfig> {
        self.0.get(&ordinal)
    }

    /// All of them in the order of their ordinals.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &TrackConfig)> {
        self.0.iter().map(|(ordinal, config)| (*ordinal, config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(track: Track, track_id: u8, codec: Codec, payload: &'static [u8]) -> TrackConfig {
        let sample = TagSample {
            track,
            track_id,
            kind: SampleKind::Config,
            codec,
            keyframe: false,
            has_nanos: false,
            cts_ms: 0,
            data_offset: 2,
            data_len: payload.len() as u32 - 2,
        };
        TrackConfig::new(Bytes::from_static(payload), &sample).unwrap()
    }

    #[test]
    fn an_identical_header_repeated_is_nothing() {
        let lc = config(Track::Audio, 0, Codec::Aac, b"\xaf\x00\x12\x10");
        let same = config(Track::Audio, 0, Codec::Aac, b"\xaf\x00\x12\x10\x56\xe5\x00");
        assert!(lc.same_parameters(&lc) && lc.same_parameters(&same));
        let mono = config(Track::Audio, 0, Codec::Aac, b"\xaf\x00\x12\x08");
        let elsewhere = config(Track::Audio, 1, Codec::Aac, b"\xaf\x00\x12\x10");
        assert!(!lc.same_parameters(&mono) && !lc.same_parameters(&elsewhere));
    }

    #[test]
    fn configurations_by_ordinal() {
        let lc = config(Track::Audio, 0, Codec::Aac, b"\xaf\x00\x12\x10");
        let mono = config(Track::Audio, 0, Codec::Aac, b"\xaf\x00\x12\x08");
        let mut configs = Configs::new();
        configs.insert(7, mono.clone());
        configs.insert(2, mono.clone());
        configs.insert(2, lc.clone());
        assert_eq!((configs.get(2), configs.get(3)), (Some(&lc), None));
        assert!(configs.iter().eq([(2, &lc), (7, &mono)]));
    }

    #[test]
    fn damaged_and_foreign_records_are_compared_by_their_bytes() {
        let damaged = config(Track::Video, 0, Codec::H264, b"\x17\x00\x01\x64");
        assert!(damaged.parse().is_err());
        assert!(damaged.same_parameters(&damaged));
        assert!(!damaged.same_parameters(&config(
            Track::Video,
            0,
            Codec::H264,
            b"\x17\x00\x01\x65"
        )));
        let vp9 = config(Track::Video, 0, Codec::Vp9, b"\x17\x00\x01\x64");
        assert!(!damaged.same_parameters(&vp9));
        assert!(vp9.parse().is_err());
        assert!(!vp9.same_parameters(&config(Track::Video, 0, Codec::Vp9, b"\x17\x00\x01")));
        let mp3 = config(Track::Audio, 0, Codec::Mp3, b"..anything");
        let other = config(Track::Audio, 0, Codec::Mp3, b"..something");
        assert!(mp3.parse().is_ok() && !mp3.same_parameters(&other));
    }

    #[test]
    fn what_records_say_of_size_and_sound() {
        let facts = |codec, record: &[u8]| {
            let parsed = CodecConfig::parse(codec, record).unwrap();
            (parsed.dimensions(), parsed.sampling_rate(), parsed.channels())
        };
        let av1c = b"\x81\x00\x0c\x00\x0a\x0b\x00\x00\x00\x04\x3c\xfe\xcc\xda\xf9\x00\x40";
        assert_eq!(facts(Codec::Av1, av1c), (Some((320, 180)), None, None));
        assert_eq!(facts(Codec::Av1, &av1c[..4]), (None, None, None));
        assert_eq!(facts(Codec::Vp9, b"\0\x0b\x82\x02\x02\x02\0\0"), (None, None, None));
        assert_eq!(facts(Codec::Aac, b"\x12\x10"), (None, Some(44_100), Some(2)));
        let head = b"OpusHead\x01\x01\x38\x01\x44\xac\0\0\0\0\0";
        assert_eq!(facts(Codec::Opus, head), (None, Some(48_000), Some(1)));
        let mut info = [0; 34];
        info[10..14].copy_from_slice(&(96_000u32 << 12 | 5 << 9 | 23 << 4).to_be_bytes());
        assert_eq!(facts(Codec::Flac, &info), (None, Some(96_000), Some(6)));
        // An estimate that the encoder corrects is no other stream.
        let mut corrected = info;
        corrected[20] = 9;
        let flac = |info: &[u8]| CodecConfig::parse(Codec::Flac, info).unwrap();
        assert!(flac(&info).same_parameters(&flac(&corrected)));
    }

    #[test]
    fn only_a_config_that_lies_inside_its_tag_is_one() {
        let lc = config(Track::Audio, 0, Codec::Aac, b"\xaf\x00\x12\x10");
        assert_eq!(
            (lc.record(), &lc.tag_payload()[..]),
            (&b"\x12\x10"[..], &b"\xaf\x00\x12\x10"[..])
        );
        let mut sample = TagSample {
            track: Track::Audio,
            track_id: 0,
            kind: SampleKind::Config,
            codec: Codec::Aac,
            keyframe: false,
            has_nanos: false,
            cts_ms: 0,
            data_offset: 2,
            data_len: u32::MAX,
        };
        assert_eq!(TrackConfig::new(Bytes::from_static(b"\xaf\x00\x12\x10"), &sample), None);
        (sample.data_len, sample.kind) = (2, SampleKind::Frame);
        assert_eq!(TrackConfig::new(Bytes::from_static(b"\xaf\x00\x12\x10"), &sample), None);
    }
}
