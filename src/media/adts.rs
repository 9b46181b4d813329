//! ADTS (ISO/IEC 14496-3 1.A.3): the AAC product, which is every AAC frame of the default audio
//! track behind a header of its own. It has no head and only grows.
//!
//! ADTS knows no time: what the frames' times say is lost, their bytes are not.

use std::collections::BTreeMap;

use super::aac::{ADTS_FRAME_MAX, ADTS_HEADER_LEN, AdtsError, AudioSpecificConfig};
use super::config::{ConfigError, Configs};
use super::sample::{Codec, Sample, Track};

/// The stream cannot become an AAC file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// ADTS is for AAC alone.
    #[error("aac file cannot carry {}", .0.as_str())]
    Unsupported(Codec),
    /// The first configuration of the audio track cannot be read.
    #[error("aac configuration cannot be read")]
    Config(#[from] ConfigError),
    /// A sample names a configuration that its session does not have.
    #[error("no aac configuration {0} in the session")]
    NoConfig(u32),
    /// Something about the stream or a frame does not fit into the header.
    #[error(transparent)]
    Header(#[from] AdtsError),
}

/// True for the samples whose data are in the file, each behind its header, in journal order.
pub fn takes(sample: &Sample) -> bool {
    sample.is_packet()
        && (sample.track, sample.codec) == (Track::Audio, Codec::Aac)
        && sample.config != 0
        && !is_too_long(sample)
}

/// True for an AAC frame that no header can be written for, whatever its configuration: the length
/// has 13 bits. No AAC encoder makes such frames; if one comes all the same, the others need not be
/// lost with it.
pub fn is_too_long(sample: &Sample) -> bool {
    let len = usize::try_from(sample.data_len).unwrap_or(usize::MAX);
    sample.codec == Codec::Aac && len > ADTS_FRAME_MAX - ADTS_HEADER_LEN
}

/// Bytes that a sample takes in the file, header included; 0 if it is not in it. The length of
/// the file is the sum over its samples.
pub fn frame_len(sample: &Sample) -> u64 {
    if takes(sample) { ADTS_HEADER_LEN as u64 + u64::from(sample.data_len) } else { 0 }
}

/// Why a recording of an audio track coded like this cannot become an AAC file; none if it can.
pub fn unsupported(audio_codecs: &[Codec]) -> Option<Error> {
    audio_codecs.iter().find(|codec| **codec != Codec::Aac).map(|codec| Error::Unsupported(*codec))
}

/// Makes the headers of one session's frames.
#[derive(Debug, Clone, Default)]
pub struct AdtsWriter {
    configs: BTreeMap<u32, Result<AudioSpecificConfig, ConfigError>>,
}

impl AdtsWriter {
    /// For samples that refer to `configs`.
    pub fn new(configs: &Configs) -> Self {
        let configs = configs
            .iter()
            .filter(|(_, config)| {
                (config.track, config.track_id, config.codec) == (Track::Audio, 0, Codec::Aac)
            })
            .map(|(ordinal, config)| (ordinal, AudioSpecificConfig::parse(config.record())))
            .collect();
        AdtsWriter { configs }
    }

    /// The header that goes before the data of a sample that [`takes`] takes. Where the sample's
    /// configuration cannot be read, the one before it stays in force.
    ///
    /// # Errors
    /// The codec is another one, there is no configuration that can be read, or ADTS has no room
    /// for what it says or for a frame of this length.
    pub fn header(&self, sample: &Sample) -> Result<[u8; ADTS_HEADER_LEN], Error> {
        if sample.codec != Codec::Aac {
            return Err(Error::Unsupported(sample.codec));
        }
        let mut error = Error::NoConfig(sample.config);
        for (_, config) in self.configs.range(..=sample.config).rev() {
            match config {
                Ok(config) => {
                    let len = usize::try_from(sample.data_len).unwrap_or(usize::MAX);
                    return Ok(config.adts_header(len)?);
                }
                Err(damage) => error = Error::Config(*damage),
            }
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sample::SampleKind;
    use crate::media::testing;

    fn frame(config: u32, data_len: u32) -> Sample {
        Sample {
            tag_len: data_len + 17,
            data_offset: 13,
            data_len,
            config,
            ..testing::frame(Track::Audio, 0)
        }
    }

    fn configs(records: &[(u32, &'static [u8])]) -> Configs {
        let mut configs = Configs::new();
        for (ordinal, record) in records {
            configs.insert(*ordinal, testing::config(Track::Audio, Codec::Aac, record));
        }
        configs
    }

    #[test]
    fn each_frame_has_the_header_of_its_configuration() {
        let writer = AdtsWriter::new(&configs(&[(1, b"\x12\x10"), (2, b"\x11\x88"), (3, b"\x12")]));
        assert_eq!(writer.header(&frame(1, 100)).unwrap(), *b"\xff\xf1\x50\x80\x0d\x7f\xfc");
        let mono = *b"\xff\xf1\x4c\x40\x0d\x7f\xfc";
        assert_eq!(writer.header(&frame(2, 100)).unwrap(), mono);
        assert_eq!(writer.header(&frame(3, 100)).unwrap(), mono, "a damaged one changes nothing");
        assert_eq!(frame_len(&frame(1, 100)), 107);
    }

    #[test]
    fn says_what_it_cannot_carry() {
        let writer = AdtsWriter::new(&configs(&[(2, b"\x12"), (3, b"\x12\x10")]));
        assert_eq!(writer.header(&frame(1, 9)), Err(Error::NoConfig(1)));
        let damaged = writer.header(&frame(2, 9)).unwrap_err();
        assert_eq!(damaged.to_string(), "aac configuration cannot be read");
        assert_eq!(writer.header(&frame(3, 9000)), Err(AdtsError::TooLong(9000).into()));
        let opus = Sample { codec: Codec::Opus, ..frame(3, 9) };
        assert_eq!(writer.header(&opus).unwrap_err().to_string(), "aac file cannot carry opus");
        assert_eq!(unsupported(&[Codec::Aac]), None);
        assert_eq!(unsupported(&[Codec::Aac, Codec::Mp3]), Some(Error::Unsupported(Codec::Mp3)));
    }

    #[test]
    fn takes_described_frames_of_the_default_track_only() {
        assert!(takes(&frame(1, 1)) && takes(&frame(1, 8184)));
        for other in [
            frame(0, 1),
            frame(1, 0),
            Sample { track_id: 1, ..frame(1, 1) },
            Sample { kind: SampleKind::Other, ..frame(1, 1) },
            Sample { codec: Codec::Mp3, ..frame(1, 1) },
            frame(1, 8185),
        ] {
            assert!(!takes(&other));
            assert_eq!(frame_len(&other), 0);
        }
    }
}
