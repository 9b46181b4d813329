//! Opus: the OpusHead identification header (RFC 7845 clause 5.1), which enhanced RTMP sends as the
//! sequence header.

use super::avc::take_array;
use super::config::ConfigError;

/// Sampling rate of every decoder, in Hz.
pub const OUTPUT_RATE: u32 = 48_000;

/// A parsed OpusHead. Two equal values mean that a decoder sees no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusHead {
    /// Output channels, 1 to 255.
    pub channels: u8,
    /// Samples of 48 kHz that a decoder throws away at the start of the stream.
    pub pre_skip: u16,
    /// Sampling rate of what was encoded in Hz; 0 if it is not known.
    pub input_rate: u32,
    /// Output gain in 1/256 dB.
    pub gain: i16,
    /// Channel mapping family.
    pub family: u8,
    /// Stream count, coupled count and one byte a channel; empty for family 0.
    pub mapping: Vec<u8>,
}

impl OpusHead {
    /// Reads a header. What follows the channel mapping is not looked at.
    ///
    /// # Errors
    /// The magic or the channels are missing, the version is not 0.x or 1, or it is cut short.
    pub fn parse(record: &[u8]) -> Result<Self, ConfigError> {
        let truncated = ConfigError::Truncated("OpusHead");
        let mut rest =
            record.strip_prefix(b"OpusHead").ok_or(ConfigError::Reserved("OpusHead", "magic"))?;
        let [version, channels] = take_array(&mut rest).ok_or(truncated)?;
        if version >> 4 != 0 {
            return Err(ConfigError::Version { record: "OpusHead", version });
        }
        if channels == 0 {
            return Err(ConfigError::Reserved("OpusHead", "channel count"));
        }
        let pre_skip = u16::from_le_bytes(take_array(&mut rest).ok_or(truncated)?);
        let input_rate = u32::from_le_bytes(take_array(&mut rest).ok_or(truncated)?);
        let gain = i16::from_le_bytes(take_array(&mut rest).ok_or(truncated)?);
        let [family] = take_array(&mut rest).ok_or(truncated)?;
        let mapping_len = if family == 0 { 0 } else { 2 + usize::from(channels) };
        let mapping = rest.get(..mapping_len).ok_or(truncated)?.to_vec();
        Ok(OpusHead { channels, pre_skip, input_rate, gain, family, mapping })
    }

    /// Body of the dOps box (Encapsulation of Opus in ISO Base Media File Format 4.3.2): the same
    /// fields, big-endian, behind a version of 0.
    pub fn to_specific_box(&self) -> Vec<u8> {
        let mut body = vec![0, self.channels];
        body.extend_from_slice(&self.pre_skip.to_be_bytes());
        body.extend_from_slice(&self.input_rate.to_be_bytes());
        body.extend_from_slice(&self.gain.to_be_bytes());
        body.push(self.family);
        body.extend_from_slice(&self.mapping);
        body
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_change_their_byte_order() {
        let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
        let parsed = OpusHead::parse(head).unwrap();
        assert_eq!((parsed.channels, parsed.pre_skip, parsed.input_rate), (2, 312, 48_000));
        assert_eq!(parsed.to_specific_box(), b"\x00\x02\x01\x38\x00\x00\xbb\x80\x00\x00\x00");
        let surround = b"OpusHead\x01\x03\x38\x01\x80\xbb\x00\x00\xff\xff\x01\x02\x01\x00\x02\x01";
        let parsed = OpusHead::parse(surround).unwrap();
        assert_eq!((parsed.gain, parsed.family), (-1, 1));
        assert_eq!(parsed.to_specific_box()[10..], surround[18..]);
    }

    #[test]
    fn what_is_no_header() {
        let head = *b"OpusHead\x01\x03\x38\x01\x80\xbb\x00\x00\x00\x00\x01\x02\x01\x00\x02\x01";
        for len in 8..head.len() {
            let truncated = Err(ConfigError::Truncated("OpusHead"));
            assert_eq!(OpusHead::parse(&head[..len]), truncated, "{len}");
        }
        assert!(OpusHead::parse(b"OpusTags").is_err());
        let (mut version, mut silent) = (head, head);
        (version[8], silent[9]) = (0x11, 0);
        let unknown = ConfigError::Version { record: "OpusHead", version: 0x11 };
        assert_eq!(OpusHead::parse(&version), Err(unknown));
        let reserved = ConfigError::Reserved("OpusHead", "channel count");
        assert_eq!(OpusHead::parse(&silent), Err(reserved));
    }

    proptest! {
        #[test]
        fn no_record_panics(rest in prop::collection::vec(any::<u8>(), 0..40)) {
            let record = [&b"OpusHead\x01"[..], &rest].concat();
            let _ = OpusHead::parse(&record).map(|head| head.to_specific_box());
        }
    }
}
