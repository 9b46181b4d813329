//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1) and the ADTS header made from it
//! (ISO/IEC 14496-3 1.A.3.2).
//!
//! Only what a container has to know is read out of it. A stream that hides SBR (implicit
//! signalling) looks like plain AAC-LC here, as it does to any container.

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use super::config::ConfigError;

/// Sampling frequencies by index (ISO/IEC 14496-3 table 1.18), in Hz.
const SAMPLE_RATES: [u32; 13] =
    [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
/// Channels by channel configuration (table 1.19); 0 is reserved, or written out in the stream.
const CHANNELS: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0];

/// Audio object type: AAC low complexity.
pub const AAC_LC: u8 = 2;
const SBR: u8 = 5;
const ER_BSAC: u8 = 22;
const PS: u8 = 29;
const ESCAPE: u32 = 31;
/// syncExtensionType before a backward compatible SBR extension.
const SYNC_SBR: u32 = 0x2b7;
/// syncExtensionType before a backward compatible PS extension.
const SYNC_PS: u32 = 0x548;

/// Length of an ADTS header without CRC.
pub const ADTS_HEADER_LEN: usize = 7;
/// The longest frame, header included, that ADTS can carry.
pub const ADTS_FRAME_MAX: usize = 0x1fff;

/// A parsed AudioSpecificConfig. Two equal values mean that a decoder sees no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// Audio object type of the core coder: 2 (LC) also for HE-AAC.
    pub object_type: u8,
    /// Sampling rate of the core coder in Hz.
    pub sample_rate: u32,
    /// channelConfiguration, 0 to 15; 0 means that the stream writes its channels out.
    pub channel_config: u8,
    /// Channels of the core coder; 0 if they are not known.
    pub channels: u8,
    /// Samples per channel and frame of the core coder: 1024, or the rare 960.
    pub frame_length: u16,
    /// Sampling rate after spectral band replication in Hz, if the record signals that.
    pub extension_rate: Option<u32>,
    /// True if the record signals parametric stereo (HE-AAC v2).
    pub has_ps: bool,
}

/// Why ADTS cannot carry a stream or a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdtsError {
    /// ADTS has two bits for the object type.
    #[error("ADTS cannot carry AAC object type {0}")]
    ObjectType(u8),
    /// Only the rates of the table have an index.
    #[error("ADTS cannot carry a sampling rate of {0} Hz")]
    SampleRate(u32),
    /// ADTS has three bits for the channels, and 0 would need a program config in every frame.
    #[error("ADTS cannot carry channel configuration {0}")]
    Channels(u8),
    /// ADTS decoders take every frame for 1024 samples.
    #[error("ADTS cannot carry frames of {0} samples")]
    FrameLength(u16),
    /// The length field has 13 bits.
    #[error("ADTS cannot carry a frame of {0} bytes")]
    TooLong(usize),
}

impl AudioSpecificConfig {
    /// Reads a record. A record cut short after its first fields (object type, rate, channels) is
    /// read as far as it goes, as decoders do.
    ///
    /// # Errors
    /// The first fields are not all there, or the rate is a reserved index or zero.
    pub fn parse(record: &[u8]) -> Result<Self, ConfigError> {
        let mut bits = BitReader::new(record);
        let mut config = Self::parse_core(&mut bits)?;
        // What follows is optional: the end of the record ends it without harm.
        let _ = config.parse_specific(&mut bits);
        Ok(config)
    }

    fn parse_core(bits: &mut impl BitRead) -> Result<Self, ConfigError> {
        let truncated = |_| ConfigError::Truncated("AudioSpecificConfig");
        let reserved = ConfigError::Reserved("AudioSpecificConfig", "sampling frequency");
        let mut object_type = object_type(bits).map_err(truncated)?;
        let sample_rate = sample_rate(bits).map_err(truncated)?.ok_or(reserved)?;
        let channel_config: u8 = bits.read_var(4, "channelConfiguration").map_err(truncated)?;
        let has_ps = object_type == PS;
        let mut extension_rate = None;
        if matches!(object_type, SBR | PS) {
            extension_rate = Some(self::sample_rate(bits).map_err(truncated)?.ok_or(reserved)?);
            object_type = self::object_type(bits).map_err(truncated)?;
            if object_type == ER_BSAC {
                bits.skip(4, "extensionChannelConfiguration").map_err(truncated)?;
            }
        }
        Ok(AudioSpecificConfig {
            object_type,
            sample_rate,
            channel_config,
            channels: CHANNELS.get(usize::from(channel_config)).copied().unwrap_or(0),
            frame_length: 1024,
            extension_rate,
            has_ps,
        })
    }

    /// GASpecificConfig and the backward compatible extensions.
    fn parse_specific(&mut self, bits: &mut impl BitRead) -> Result<(), BitReaderError> {
        if !matches!(self.object_type, 1..=4 | 6 | 7 | 17 | 19..=23) {
            return Ok(());
        }
        if bits.read_bit("frameLengthFlag")? {
            self.frame_length = 960;
        }
        if bits.read_bit("dependsOnCoreCoder")? {
            bits.skip(14, "coreCoderDelay")?;
        }
        let has_extension = bits.read_bit("extensionFlag")?;
        if self.channel_config == 0 {
            self.channels = program_config(bits)?;
        }
        if matches!(self.object_type, 6 | 20) {
            bits.skip(3, "layerNr")?;
        }
        if has_extension {
            match self.object_type {
                ER_BSAC => bits.skip(16, "numOfSubFrame, layer_length")?,
                17 | 19 | 20 | 23 => bits.skip(3, "resilience flags")?,
                _ => {}
            }
            bits.skip(1, "extensionFlag3")?;
        }
        // Error resilient types have an epConfig here, and no extension that could follow it.
        if self.extension_rate.is_some() || self.object_type >= 17 {
            return Ok(());
        }
        if bits.read_var::<u32>(11, "syncExtensionType")? != SYNC_SBR
            || object_type(bits)? != SBR
            || !bits.read_bit("sbrPresentFlag")?
        {
            return Ok(());
        }
        self.extension_rate = sample_rate(bits)?;
        if bits.read_var::<u32>(11, "syncExtensionType")? == SYNC_PS {
            self.has_ps = bits.read_bit("psPresentFlag")?;
        }
        Ok(())
    }

    /// The sampling rate a player hears, in Hz: that of the SBR extension if there is one.
    pub fn output_rate(&self) -> u32 {
        self.extension_rate.unwrap_or(self.sample_rate)
    }

    /// The channels a player hears: parametric stereo makes two of one. 0 if they are not known.
    pub fn output_channels(&self) -> u8 {
        if self.has_ps && self.channels == 1 { 2 } else { self.channels }
    }

    /// The header before a raw AAC frame of `payload_len` bytes. HE-AAC is announced as its core
    /// (LC at the core rate), which is how ADTS carries it.
    ///
    /// # Errors
    /// Something about the stream or the frame does not fit into ADTS.
    pub fn adts_header(&self, payload_len: usize) -> Result<[u8; ADTS_HEADER_LEN], AdtsError> {
        let profile = match self.object_type {
            object_type @ 1..=4 => object_type - 1,
            other => return Err(AdtsError::ObjectType(other)),
        };
        let rate = (0u8..)
            .zip(SAMPLE_RATES)
            .find_map(|(index, rate)| (rate == self.sample_rate).then_some(index))
            .ok_or(AdtsError::SampleRate(self.sample_rate))?;
        let channels = match self.channel_config {
            config @ 1..=7 => config,
            other => return Err(AdtsError::Channels(other)),
        };
        if self.frame_length != 1024 {
            return Err(AdtsError::FrameLength(self.frame_length));
        }
        let length = payload_len.saturating_add(ADTS_HEADER_LEN);
        if length > ADTS_FRAME_MAX {
            return Err(AdtsError::TooLong(payload_len));
        }
        let [.., high, low] = (length as u32).to_be_bytes();
        Ok([
            0xff,
            0xf1,
            profile << 6 | rate << 2 | channels >> 2,
            (channels & 3) << 6 | high >> 3,
            high << 5 | low >> 3,
            low << 5 | 0x1f,
            0xfc,
        ])
    }
}

/// GetAudioObjectType().
fn object_type(bits: &mut impl BitRead) -> Result<u8, BitReaderError> {
    let object_type: u32 = bits.read_var(5, "audioObjectType")?;
    if object_type != ESCAPE {
        return Ok(object_type as u8);
    }
    Ok(32 + bits.read_var::<u8>(6, "audioObjectTypeExt")?)
}

/// A sampling rate in Hz by index or written out; none for a reserved index or 0.
fn sample_rate(bits: &mut impl BitRead) -> Result<Option<u32>, BitReaderError> {
    let index: u32 = bits.read_var(4, "samplingFrequencyIndex")?;
    if index == 15 {
        let rate = bits.read_var(24, "samplingFrequency")?;
        return Ok((rate > 0).then_some(rate));
    }
    Ok(SAMPLE_RATES.get(index as usize).copied())
}

/// program_config_element() (ISO/IEC 14496-3 4.4.1.1): the number of channels in it.
fn program_config(bits: &mut impl BitRead) -> Result<u8, BitReaderError> {
    bits.skip(4 + 2 + 4, "element_instance_tag, object_type, sampling_frequency_index")?;
    let mut count = |width, name| bits.read_var::<u32>(width, name);
    let full = count(4, "num_front_channel_elements")?
        + count(4, "num_side_channel_elements")?
        + count(4, "num_back_channel_elements")?;
    let low_frequency = count(2, "num_lfe_channel_elements")?;
    let data = count(3, "num_assoc_data_elements")?;
    let coupling = count(4, "num_valid_cc_elements")?;
    for width in [4, 4, 3] {
        if bits.read_bit("mixdown_present")? {
            bits.skip(width, "mixdown")?;
        }
    }
    // 45 elements of two channels and 3 of one: a byte holds them.
    let mut channels = low_frequency as u8;
    for _ in 0..full {
        channels += if bits.read_bit("element_is_cpe")? { 2 } else { 1 };
        bits.skip(4, "element_tag_select")?;
    }
    bits.skip(4 * low_frequency + 4 * data + 5 * coupling, "element_tag_select")?;
    while !bits.byte_aligned() {
        bits.skip(1, "byte_alignment")?;
    }
    let comment: u32 = bits.read_var(8, "comment_field_bytes")?;
    bits.skip(8 * comment, "comment_field_data")?;
    Ok(channels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(record: &[u8]) -> AudioSpecificConfig {
        AudioSpecificConfig::parse(record).unwrap()
    }

    fn core(config: &AudioSpecificConfig) -> (u8, u32, u8) {
        (config.object_type, config.sample_rate, config.channels)
    }

    #[test]
    fn plain_lc() {
        let config = parse(b"\x12\x10");
        assert_eq!(core(&config), (2, 44100, 2));
        assert_eq!(
            (config.frame_length, config.extension_rate, config.has_ps),
            (1024, None, false)
        );
        // With the explicit "no SBR" that some encoders append.
        assert_eq!(parse(b"\x12\x10\x56\xe5\x00"), config);
        assert_eq!(parse(b"\x12\x14").frame_length, 960);
    }

    #[test]
    fn he_aac_signalled_before_and_behind() {
        // AOT 5, 24 kHz, stereo, extension 48 kHz, AOT 2.
        let config = parse(b"\x2b\x11\x88\x00");
        assert_eq!(core(&config), (2, 24000, 2));
        assert_eq!((config.output_rate(), config.has_ps), (48000, false));
        // AOT 29, 22.05 kHz, mono, extension 44.1 kHz, AOT 2.
        let config = parse(b"\xeb\x8a\x08\x00");
        assert_eq!(core(&config), (2, 22050, 1));
        assert_eq!((config.output_rate(), config.output_channels()), (44100, 2));
        // AOT 2, 22.05 kHz, mono, then the SBR and PS extensions.
        let config = parse(b"\x13\x88\x56\xe5\xa5\x48\x80");
        assert_eq!(core(&config), (2, 22050, 1));
        assert_eq!((config.output_rate(), config.output_channels()), (44100, 2));
    }

    #[test]
    fn escapes_and_a_program_config() {
        // AOT 2 with a rate written out: 12345 Hz, one channel.
        assert_eq!(core(&parse(b"\x17\x80\x18\x1c\x88")), (2, 12345, 1));
        // AOT 42 (escape 31, 10), 48 kHz, stereo.
        assert_eq!(core(&parse(b"\xf9\x46\x40")), (42, 48000, 2));
        // 48 kHz, channels by program config: front cpe and sce, back cpe, one LFE.
        let record = b"\x11\x80\x04\xc8\x05\x00\x01\x08\x80\x02aa";
        assert_eq!(parse(record).channel_config, 0);
        assert_eq!(parse(record).channels, 6);
    }

    #[test]
    fn refuses_records_without_the_first_fields() {
        let truncated = ConfigError::Truncated("AudioSpecificConfig");
        assert_eq!(AudioSpecificConfig::parse(b""), Err(truncated));
        assert_eq!(AudioSpecificConfig::parse(b"\x12"), Err(truncated));
        let reserved = ConfigError::Reserved("AudioSpecificConfig", "sampling frequency");
        assert_eq!(AudioSpecificConfig::parse(b"\x16\x90"), Err(reserved));
    }

    #[test]
    fn adts_headers() {
        let lc = parse(b"\x12\x10");
        assert_eq!(lc.adts_header(100), Ok([0xff, 0xf1, 0x50, 0x80, 0x0d, 0x7f, 0xfc]));
        let he = parse(b"\x2b\x11\x88\x00");
        assert_eq!(he.adts_header(0), Ok([0xff, 0xf1, 0x58, 0x80, 0x00, 0xff, 0xfc]));
        // An explicit rate that is in the table has an index all the same: 44100 Hz.
        let explicit = parse(b"\x17\x80\x56\x22\x10");
        assert_eq!(explicit.adts_header(100).unwrap()[..3], [0xff, 0xf1, 0x50]);
        assert!(lc.adts_header(8191 - 7).is_ok());
        assert_eq!(lc.adts_header(8191 - 6), Err(AdtsError::TooLong(8185)));
        assert_eq!(lc.adts_header(usize::MAX), Err(AdtsError::TooLong(usize::MAX)));
        assert_eq!(parse(b"\x12\x14").adts_header(1), Err(AdtsError::FrameLength(960)));
        assert_eq!(parse(b"\x12\x00").adts_header(1), Err(AdtsError::Channels(0)));
        assert_eq!(parse(b"\xf9\x46\x40").adts_header(1), Err(AdtsError::ObjectType(42)));
        let rate = parse(b"\x17\x80\x18\x1c\x88").adts_header(1);
        assert_eq!(rate, Err(AdtsError::SampleRate(12345)));
    }

    proptest! {
        #[test]
        fn no_record_panics(record in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(config) = AudioSpecificConfig::parse(&record) {
                prop_assert!(config.sample_rate > 0);
                let _ = config.adts_header(record.len());
            }
        }
    }
}
