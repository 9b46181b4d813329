//! HEVC: the hvcC configuration record (ISO/IEC 14496-15 8.3.3).
//!
//! Only what a container has to know is read out of it; nothing is decoded and nothing rewritten.
//! Samples are split by [`nal_units`], which HEVC shares with H.264.

use std::num::NonZeroUsize;

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError, ByteReader};

pub use super::avc::nal_units;
use super::avc::{take_array, take_with_length};
use super::config::ConfigError;
use super::picture_form::PictureForm;

mod vui;

/// NAL unit type: first of the intra random access pictures (BLA_W_LP).
pub const NAL_IRAP_FIRST: u8 = 16;
/// NAL unit type: IDR picture with leading pictures.
pub const NAL_IDR_W_RADL: u8 = 19;
/// NAL unit type: IDR picture without leading pictures.
pub const NAL_IDR_N_LP: u8 = 20;
/// NAL unit type: clean random access picture.
pub const NAL_CRA: u8 = 21;
/// NAL unit type: last of the intra random access pictures (reserved).
pub const NAL_IRAP_LAST: u8 = 23;
/// NAL unit type: video parameter set.
pub const NAL_VPS: u8 = 32;
/// NAL unit type: sequence parameter set.
pub const NAL_SPS: u8 = 33;
/// NAL unit type: picture parameter set.
pub const NAL_PPS: u8 = 34;
/// NAL unit type: access unit delimiter.
pub const NAL_AUD: u8 = 35;
/// NAL unit type: end of sequence.
pub const NAL_END_OF_SEQUENCE: u8 = 36;
/// NAL unit type: end of bitstream.
pub const NAL_END_OF_BITSTREAM: u8 = 37;
/// NAL unit type: filler data.
pub const NAL_FILLER: u8 = 38;
/// NAL unit type: supplemental enhancement information before the picture.
pub const NAL_PREFIX_SEI: u8 = 39;
/// NAL unit type: supplemental enhancement information after the picture.
pub const NAL_SUFFIX_SEI: u8 = 40;

/// Bits of profile space, tier, profile, compatibility and constraint flags.
const PROFILE_BITS: u32 = 88;
/// Bits of a level.
const LEVEL_BITS: u32 = 8;
/// Length of an HEVC NAL unit header.
const NAL_HEADER: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// A parsed hvcC record. Two equal values mean that a decoder sees no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HevcConfig {
    /// general_profile_space, 0 to 3.
    pub profile_space: u8,
    /// general_tier_flag: true for the high tier.
    pub is_high_tier: bool,
    /// general_profile_idc.
    pub profile: u8,
    /// general_profile_compatibility_flags.
    pub compatibility: u32,
    /// general_constraint_indicator_flags, 48 bits in the order of the record.
    pub constraints: [u8; 6],
    /// general_level_idc.
    pub level: u8,
    /// chroma_format_idc: 0 monochrome, 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_format: u8,
    /// Bits per luma sample.
    pub luma_bits: u8,
    /// Bits per chroma sample.
    pub chroma_bits: u8,
    /// Bytes of the length before each NAL unit, 1 to 4.
    pub nal_length_size: u8,
    /// Video parameter sets, NAL units without start code or length.
    pub vps: Vec<Vec<u8>>,
    /// Sequence parameter sets, likewise.
    pub sps: Vec<Vec<u8>>,
    /// Picture parameter sets, likewise.
    pub pps: Vec<Vec<u8>>,
    /// NAL units of the record's other arrays (SEI), likewise.
    pub other: Vec<Vec<u8>>,
    /// Width in pixels after cropping; 0 if no SPS could be read.
    pub width: u32,
    /// Height in pixels after cropping; 0 if no SPS could be read.
    pub height: u32,
}

impl HevcConfig {
    /// Reads a record. Reserved bits, frame rate, segmentation hints and whatever follows the
    /// arrays are not looked at.
    ///
    /// # Errors
    /// The version is not 1 (or the 0 of encoders that followed the draft), or a NAL unit reaches
    /// past the end.
    pub fn parse(record: &[u8]) -> Result<Self, ConfigError> {
        let truncated = ConfigError::Truncated("hvcC");
        let mut rest = record;
        let [version, profile] = take_array(&mut rest).ok_or(truncated)?;
        // Annex B in place of a record begins with a version of 0 as well.
        if version > 1 || record.starts_with(&[0, 0, 1]) || record.starts_with(&[0, 0, 0, 1]) {
            return Err(ConfigError::Version { record: "hvcC", version });
        }
        let compatibility = u32::from_be_bytes(take_array(&mut rest).ok_or(truncated)?);
        let constraints = take_array(&mut rest).ok_or(truncated)?;
        let [level, _, _, _, chroma_format, luma, chroma, _, _, length_size, arrays] =
            take_array(&mut rest).ok_or(truncated)?;
        let mut config = HevcConfig {
            profile_space: profile >> 6,
            is_high_tier: profile & 0x20 != 0,
            profile: profile & 0x1f,
            compatibility,
            constraints,
            level,
            chroma_format: chroma_format & 3,
            luma_bits: (luma & 7) + 8,
            chroma_bits: (chroma & 7) + 8,
            nal_length_size: (length_size & 3) + 1,
            vps: Vec::new(),
            sps: Vec::new(),
            pps: Vec::new(),
            other: Vec::new(),
            width: 0,
            height: 0,
        };
        for _ in 0..arrays {
            let [array_type] = take_array(&mut rest).ok_or(truncated)?;
            let count = u16::from_be_bytes(take_array(&mut rest).ok_or(truncated)?);
            let list = match array_type & 0x3f {
                NAL_VPS => &mut config.vps,
                NAL_SPS => &mut config.sps,
                NAL_PPS => &mut config.pps,
                _ => &mut config.other,
            };
            for _ in 0..count {
                list.push(take_with_length(&mut rest).ok_or(truncated)?.to_vec());
            }
        }
        let size = config.sps.iter().find_map(|sps| dimensions(sps).ok().flatten());
        (config.width, config.height) = size.unwrap_or((0, 0));
        Ok(config)
    }
}

impl HevcConfig {
    /// What the first sequence parameter set that can be read says of pixels and colours.
    pub fn form(&self) -> PictureForm {
        let form = self.sps.iter().find_map(|sps| vui::form(sps));
        form.unwrap_or_default()
    }
}

/// The type of an HEVC NAL unit; none for an empty one.
pub fn nal_type(nal: &[u8]) -> Option<u8> {
    nal.first().map(|header| header >> 1 & 0x3f)
}

/// True for the NAL unit types a decoder can start at.
pub fn is_random_access(nal_type: u8) -> bool {
    (NAL_IRAP_FIRST..=NAL_IRAP_LAST).contains(&nal_type)
}

/// Cropped width and height from an SPS NAL unit (ITU-T H.265 7.3.2.2), which is read no further
/// than the conformance window: what follows is long, and wrong in some encoders.
fn dimensions(sps: &[u8]) -> Result<Option<(u32, u32)>, BitReaderError> {
    let Some(mut bits) = open_sps(sps) else { return Ok(None) };
    Ok(read_size(&mut bits)?.1)
}

/// The bits of the SPS of a base layer.
fn open_sps(sps: &[u8]) -> Option<impl BitRead + '_> {
    let layer = match sps {
        [first, second, ..] => (first & 1) << 5 | second >> 3,
        _ => return None,
    };
    // The SPS of an enhancement layer has another layout.
    if layer != 0 || nal_type(sps) != Some(NAL_SPS) {
        return None;
    }
    Some(BitReader::new(ByteReader::skipping_bytes(sps, NAL_HEADER)))
}

/// Reads as far as the conformance window. Gives sps_max_sub_layers_minus1 and the cropped size.
fn read_size(bits: &mut impl BitRead) -> Result<(u32, Option<(u32, u32)>), BitReaderError> {
    bits.skip(4, "sps_video_parameter_set_id")?;
    let sub_layers: u32 = bits.read_var(3, "sps_max_sub_layers_minus1")?;
    bits.skip(1, "sps_temporal_id_nesting_flag")?;
    skip_profile_tier_level(bits, sub_layers)?;
    bits.read_ue("sps_seq_parameter_set_id")?;
    let chroma_format = bits.read_ue("chroma_format_idc")?;
    if chroma_format == 3 {
        bits.skip(1, "separate_colour_plane_flag")?;
    }
    let width = bits.read_ue("pic_width_in_luma_samples")?;
    let height = bits.read_ue("pic_height_in_luma_samples")?;
    if !bits.read_bit("conformance_window_flag")? {
        return Ok((sub_layers, Some((width, height))));
    }
    let [left, right, top, bottom] = [
        bits.read_ue("conf_win_left_offset")?,
        bits.read_ue("conf_win_right_offset")?,
        bits.read_ue("conf_win_top_offset")?,
        bits.read_ue("conf_win_bottom_offset")?,
    ]
    .map(u64::from);
    // Offsets count chroma samples.
    let (across, down) = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let size = cropped(width, (left + right) * across).zip(cropped(height, (top + bottom) * down));
    Ok((sub_layers, size))
}

fn cropped(size: u32, by: u64) -> Option<u32> {
    u64::from(size).checked_sub(by).and_then(|size| u32::try_from(size).ok())
}

/// profile_tier_level(1, sub_layers) of ITU-T H.265 7.3.3.
fn skip_profile_tier_level(bits: &mut impl BitRead, sub_layers: u32) -> Result<(), BitReaderError> {
    bits.skip(PROFILE_BITS + LEVEL_BITS, "general_profile_tier_level")?;
    let mut skipped = 0;
    for _ in 0..sub_layers {
        if bits.read_bit("sub_layer_profile_present_flag")? {
            skipped += PROFILE_BITS;
        }
        if bits.read_bit("sub_layer_level_present_flag")? {
            skipped += LEVEL_BITS;
        }
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers), "reserved_zero_2bits")?;
    }
    bits.skip(skipped, "sub_layer_profile_tier_level")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1920x1080 Main (coded as 1920x1088 and cropped), as x265 writes it, without its SEI array.
    const RECORD: &[u8] = b"\x01\x01\x60\x00\x00\x00\x90\x00\x00\x00\x00\x00\x78\xf0\x00\xfc\
        \xfd\xf8\xf8\x00\x00\x0f\x03\x20\x00\x01\x00\x18\x40\x01\x0c\x01\xff\xff\x01\x60\x00\x00\
        \x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x78\x95\x98\x09\xa1\x00\x01\x00\x2a\x42\x01\x01\
        \x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x78\xa0\x03\xc0\x80\x10\xe5\x96\
        \x56\x69\x24\xca\xf0\x16\x80\x80\x00\x00\x03\x00\x80\x00\x00\x0c\x84\xa2\x00\x01\x00\x07\
        \x44\x01\xc1\x72\xb4\x62\x40";

    #[test]
    fn reads_a_record() {
        let config = HevcConfig::parse(RECORD).unwrap();
        assert_eq!((config.profile_space, config.is_high_tier, config.profile), (0, false, 1));
        assert_eq!((config.compatibility, config.level), (0x6000_0000, 120));
        assert_eq!(config.constraints, [0x90, 0, 0, 0, 0, 0]);
        assert_eq!((config.chroma_format, config.luma_bits, config.chroma_bits), (1, 8, 8));
        assert_eq!(config.nal_length_size, 4);
        assert_eq!((config.vps.len(), config.sps.len(), config.other.len()), (1, 1, 0));
        assert_eq!(config.pps, [b"\x44\x01\xc1\x72\xb4\x62\x40"]);
        assert_eq!((config.width, config.height), (1920, 1080));
    }

    #[test]
    fn the_size_is_what_a_full_parser_finds() {
        let sps = HevcConfig::parse(RECORD).unwrap().sps.remove(0);
        let full = scuffle_h265::SpsNALUnit::parse(&sps[..]).unwrap().rbsp;
        let size = (full.cropped_width() as u32, full.cropped_height() as u32);
        assert_eq!(dimensions(&sps).unwrap(), Some(size));
    }

    #[test]
    fn reads_past_sub_layers() {
        // Three sub-layers: one with profile and level, one with level alone.
        let mut bits = String::from("0000 010 1");
        bits += &"0".repeat(96);
        bits += "11 01";
        bits += &"00".repeat(6);
        bits += &"10".repeat(52);
        // SPS 0, 4:2:2, 16x8, cropped by 1, 0, 2, 1.
        bits += "1 011 000010001 0001001 1 010 1 011 010";
        let bits: Vec<u8> = bits.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
        // A one in every byte keeps emulation prevention out of the way.
        let mut sps = vec![0x42, 0x01];
        for byte in bits.chunks(8) {
            let value = byte.iter().enumerate().fold(0, |all, (i, bit)| all | bit << (7 - i));
            if value <= 3 && sps.ends_with(&[0, 0]) {
                sps.push(3);
            }
            sps.push(value);
        }
        assert_eq!(dimensions(&sps).unwrap(), Some((14, 5)));
        sps[1] |= 1 << 3;
        assert_eq!(dimensions(&sps).unwrap(), None);
    }

    #[test]
    fn an_unreadable_sps_is_no_error_of_the_record() {
        let mut record = RECORD[..23].to_vec();
        record[22] = 1;
        record.extend_from_slice(b"\x21\x00\x01\x00\x02\x42\x01");
        let config = HevcConfig::parse(&record).unwrap();
        assert_eq!((config.sps.len(), config.width, config.height), (1, 0, 0));
    }

    #[test]
    fn refuses_what_is_cut_short_or_no_record() {
        for end in 0..RECORD.len() {
            assert_eq!(HevcConfig::parse(&RECORD[..end]), Err(ConfigError::Truncated("hvcC")));
        }
        let version = ConfigError::Version { record: "hvcC", version: 0 };
        assert_eq!(HevcConfig::parse(b"\0\0\0\x01\x40\x01\x0c"), Err(version));
    }

    proptest! {
        #[test]
        fn a_damaged_record_never_panics(
            at in 0..RECORD.len(),
            bytes in prop::collection::vec(any::<u8>(), 0..24),
        ) {
            let mut record = RECORD.to_vec();
            record.splice(at..record.len().min(at + bytes.len()), bytes);
            let _ = HevcConfig::parse(&record);
        }
    }
}
