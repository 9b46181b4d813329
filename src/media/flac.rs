//! FLAC: the stream header (RFC 9639 clause 8), which enhanced RTMP sends as the sequence header.

use super::avc::take_array;
use super::config::ConfigError;

/// Length of a STREAMINFO block.
const STREAM_INFO_LEN: usize = 34;
/// Marks the last metadata block.
const LAST_BLOCK: u8 = 0x80;

/// A parsed stream header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlacConfig {
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// Channels, 1 to 8.
    pub channels: u8,
    /// Bits per sample, 4 to 32.
    pub bits: u8,
    /// Smallest and largest number of samples in a block.
    pub block_samples: (u16, u16),
    /// All metadata blocks with their headers, STREAMINFO first, the last of them marked so.
    pub blocks: Vec<u8>,
}

impl FlacConfig {
    /// Reads a stream header with or without the `fLaC` marker, or a bare STREAMINFO block. Bytes
    /// behind the last whole metadata block are left out.
    ///
    /// # Errors
    /// There is no whole STREAMINFO block in front.
    pub fn parse(record: &[u8]) -> Result<Self, ConfigError> {
        let truncated = ConfigError::Truncated("STREAMINFO");
        let blocks = match record.strip_prefix(b"fLaC") {
            Some(blocks) => whole_blocks(blocks),
            None if record.len() == STREAM_INFO_LEN => {
                [&[LAST_BLOCK, 0, 0, STREAM_INFO_LEN as u8], record].concat()
            }
            None => whole_blocks(record),
        };
        let mut rest = blocks.as_slice();
        let [kind, 0, 0, 34] = take_array(&mut rest).ok_or(truncated)? else {
            return Err(ConfigError::Reserved("STREAMINFO", "length"));
        };
        if kind & !LAST_BLOCK != 0 {
            return Err(ConfigError::Reserved("STREAMINFO", "block type"));
        }
        let smallest = u16::from_be_bytes(take_array(&mut rest).ok_or(truncated)?);
        let largest = u16::from_be_bytes(take_array(&mut rest).ok_or(truncated)?);
        let [_, _, _, _, _, _] = take_array(&mut rest).ok_or(truncated)?;
        let packed = u32::from_be_bytes(take_array(&mut rest).ok_or(truncated)?);
        Ok(FlacConfig {
            sample_rate: packed >> 12,
            channels: (packed >> 9 & 7) as u8 + 1,
            bits: (packed >> 4 & 0x1f) as u8 + 1,
            block_samples: (smallest, largest),
            blocks,
        })
    }

    /// True if a decoder sees no difference. Frame sizes, length and checksum are estimates of an
    /// encoder that has not finished.
    pub fn same_parameters(&self, other: &Self) -> bool {
        let key = |c: &Self| (c.sample_rate, c.channels, c.bits, c.block_samples);
        key(self) == key(other)
    }
}

/// The metadata blocks that are all there, the last of them marked as such.
fn whole_blocks(record: &[u8]) -> Vec<u8> {
    let mut rest = record;
    let (mut end, mut last) = (0, None);
    while let Some([kind, a, b, c]) = take_array(&mut rest) {
        let size = u32::from_be_bytes([0, a, b, c]) as usize;
        let Some((_, behind)) = rest.split_at_checked(size) else { break };
        last = Some(end);
        end += 4 + size;
        rest = behind;
        if kind & LAST_BLOCK != 0 {
            break;
        }
    }
    let mut blocks = record.get(..end).unwrap_or_default().to_vec();
    if let Some(kind) = last.and_then(|last| blocks.get_mut(last)) {
        *kind |= LAST_BLOCK;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 44100 Hz, 2 channels, 16 bits, blocks of 4096.
    fn stream_info() -> Vec<u8> {
        let mut info = vec![0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0];
        info.extend_from_slice(&(44_100u32 << 12 | 1 << 9 | 15 << 4).to_be_bytes());
        info.resize(STREAM_INFO_LEN, 0);
        info
    }

    #[test]
    fn with_and_without_marker_and_block_header() {
        let info = stream_info();
        let block = [b"\x80\x00\x00\x22", info.as_slice()].concat();
        let unmarked = [b"\x00\x00\x00\x22", info.as_slice()].concat();
        let marked = [b"fLaC", block.as_slice()].concat();
        for record in [&info, &block, &unmarked, &marked] {
            let flac = FlacConfig::parse(record).unwrap();
            assert_eq!((flac.channels, flac.bits, flac.sample_rate), (2, 16, 44_100));
            assert_eq!(flac.block_samples, (4096, 4096));
            assert_eq!(flac.blocks, block);
        }
        // With a comment behind, and half a block behind that.
        let more = [&unmarked, &b"\x04\0\0\x02ab"[..], b"\x02\0\0\x09x"].concat();
        let flac = FlacConfig::parse(&more).unwrap();
        assert_eq!(flac.blocks, [&unmarked, &b"\x84\0\0\x02ab"[..]].concat());
        assert!(flac.same_parameters(&FlacConfig::parse(&info).unwrap()));
    }

    #[test]
    fn what_is_no_header() {
        let marked = [b"fLaC\x80\x00\x00\x22", stream_info().as_slice()].concat();
        for len in 0..marked.len() {
            assert!(FlacConfig::parse(&marked[..len]).is_err(), "{len}");
        }
        let comment_first = b"fLaC\x04\0\0\x02ab";
        let reserved = ConfigError::Reserved("STREAMINFO", "length");
        assert_eq!(FlacConfig::parse(comment_first), Err(reserved));
    }

    proptest! {
        #[test]
        fn no_record_panics(rest in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = FlacConfig::parse(&rest);
            let _ = FlacConfig::parse(&[b"fLaC\x80\x00\x00\x22", rest.as_slice()].concat());
        }
    }
}
