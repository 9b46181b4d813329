//! The two kinds of media segment (RFC 8216 clause 3), and which codecs each carries.

use serde::{Deserialize, Serialize};

use crate::media::mp4;
use crate::media::sample::{Codec, Sample, Track};
use crate::media::ts;

/// What the media segments of a recording are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentType {
    /// MPEG transport stream: what every player takes, for H.264, HEVC, AAC and MP3.
    #[default]
    Ts,
    /// Fragmented MP4 with initialisation segments: for every codec that MP4 takes.
    Fmp4,
}

/// A recording cannot be made into segments of a type.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other type would do.
    #[error("{} needs hls.segment_type = \"fmp4\"", .0.as_str())]
    NeedsFmp4(Codec),
    /// MPEG-TS cannot carry it, and neither can MP4.
    #[error(transparent)]
    Ts(#[from] ts::Error),
    /// MP4 cannot carry it.
    #[error(transparent)]
    Mp4(#[from] mp4::Error),
}

impl SegmentType {
    /// Both types.
    pub const ALL: [SegmentType; 2] = [SegmentType::Ts, SegmentType::Fmp4];

    /// The text in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            SegmentType::Ts => "ts",
            SegmentType::Fmp4 => "fmp4",
        }
    }

    /// File name extension of a media segment.
    pub fn extension(self) -> &'static str {
        match self {
            SegmentType::Ts => "ts",
            SegmentType::Fmp4 => "m4s",
        }
    }

    /// Steps back of a track's decoding time up to this need no discontinuity.
    pub fn absorbed_step_back_ms(self, track: Track) -> i64 {
        match (self, track) {
            // What decoding times cannot say, composition offsets do.
            (_, Track::Video | Track::Script) => 10_000,
            // Jitter, which each PES packet says by itself.
            (SegmentType::Ts, Track::Audio) => 1_000,
            // Sound has no composition offsets: it would be presented later than it was sent.
            (SegmentType::Fmp4, Track::Audio) => 0,
        }
    }

    /// True for the samples whose data are in the segments.
    pub fn takes(self, sample: &Sample) -> bool {
        match self {
            SegmentType::Ts => ts::takes(sample),
            SegmentType::Fmp4 => mp4::fragment::takes(sample),
        }
    }

    /// Why these codecs cannot go into segments of this type; none if they can.
    pub fn unsupported(self, codecs: &[Codec]) -> Option<Error> {
        codecs.iter().find_map(|&codec| match self {
            SegmentType::Ts => {
                let refusal = ts::unsupported(&[codec])?;
                Some(match mp4::unsupported(&[codec]) {
                    None => Error::NeedsFmp4(codec),
                    Some(_) => Error::Ts(refusal),
                })
            }
            SegmentType::Fmp4 => mp4::unsupported(&[codec]).map(Error::Mp4),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(segment_type: SegmentType, codec: Codec) -> Option<String> {
        segment_type.unsupported(&[Codec::H264, codec]).map(|error| error.to_string())
    }

    #[test]
    fn a_refusal_names_the_option_where_it_would_help() {
        for codec in [Codec::Av1, Codec::Vp9, Codec::Opus, Codec::Flac, Codec::Ac3, Codec::Eac3] {
            let help = format!("{} needs hls.segment_type = \"fmp4\"", codec.as_str());
            assert_eq!(reason(SegmentType::Ts, codec), Some(help));
            assert_eq!(reason(SegmentType::Fmp4, codec), None);
        }
        for codec in [Codec::Hevc, Codec::Aac] {
            assert_eq!(reason(SegmentType::Ts, codec), None);
            assert_eq!(reason(SegmentType::Fmp4, codec), None);
        }
        let legacy = reason(SegmentType::Ts, Codec::Legacy).unwrap();
        assert!(legacy.starts_with("mpeg-ts cannot carry legacy"), "{legacy}");
        let legacy = reason(SegmentType::Fmp4, Codec::Legacy).unwrap();
        assert!(legacy.starts_with("mp4 cannot carry legacy"), "{legacy}");
    }
}
