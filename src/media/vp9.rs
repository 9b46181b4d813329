//! VP9: the vpcC configuration record, which VP8 shares (VP Codec ISO Media File Format Binding),
//! and the uncompressed header of a key frame (VP9 bitstream specification 6.2), which is the only
//! place where the picture size stands.

use h264_reader::rbsp::{BitRead, BitReader};

use super::config::ConfigError;
use super::picture_form::{Color, PictureForm};

/// Version and flags of the vpcC box. RTMP carries the record without them, some encoders send
/// them all the same; as a record they would mean level 0 with a bit depth of 0.
const BOX_HEADER: [u8; 4] = [1, 0, 0, 0];
/// Colour description: unspecified.
const UNSPECIFIED: u8 = 2;
/// Chroma format of vpcC: 4:2:0 with chroma in place of the left top luma sample.
const CHROMA_420: u8 = 1;
/// The largest number of luma samples in a picture of each level (VP9 levels 1 to 6.2), and the
/// level in tenths.
const LEVELS: [(u64, u8); 9] = [
    (36_864, 10),
    (73_728, 11),
    (122_880, 20),
    (245_760, 21),
    (552_960, 30),
    (983_040, 31),
    (2_228_224, 40),
    (8_912_896, 50),
    (35_651_584, 60),
];
/// The highest level there is.
const LEVEL_MAX: u8 = 62;

/// A parsed vpcC record. Two equal values mean that a decoder sees no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpConfig {
    /// Profile, 0 to 3.
    pub profile: u8,
    /// Level in tenths; 0 if the encoder does not know.
    pub level: u8,
    /// Bits per sample.
    pub bit_depth: u8,
    /// chromaSubsampling, 0 to 7.
    pub chroma: u8,
    /// videoFullRangeFlag.
    pub is_full_range: bool,
    /// colourPrimaries, transferCharacteristics, matrixCoefficients of ISO/IEC 23091-2.
    pub color: [u8; 3],
}

impl VpConfig {
    /// Reads a record, with or without the version and flags of its box. What follows the colour
    /// description, which is empty for VP8 and VP9, is not looked at.
    ///
    /// # Errors
    /// It is shorter than that.
    pub fn parse(record: &[u8]) -> Result<Self, ConfigError> {
        let &[profile, level, packed, primaries, transfer, matrix] =
            Self::without_box_header(record).first_chunk().ok_or(ConfigError::Truncated("vpcC"))?;
        Ok(VpConfig {
            profile,
            level,
            bit_depth: packed >> 4,
            chroma: packed >> 1 & 7,
            is_full_range: packed & 1 == 1,
            color: [primaries, transfer, matrix],
        })
    }

    /// The record as such.
    pub fn without_box_header(record: &[u8]) -> &[u8] {
        record.strip_prefix(&BOX_HEADER).unwrap_or(record)
    }

    /// What it says of colours.
    pub fn form(&self) -> PictureForm {
        PictureForm { pixel_aspect: None, color: Color::new(self.color, self.is_full_range) }
    }

    /// A record for a stream that came without one.
    pub fn to_record(&self) -> Vec<u8> {
        let packed = self.bit_depth << 4 | self.chroma << 1 | u8::from(self.is_full_range);
        let [primaries, transfer, matrix] = self.color;
        vec![self.profile, self.level, packed, primaries, transfer, matrix, 0, 0]
    }
}

/// The lowest level that permits pictures of this size, whatever their rate.
pub(super) fn level_of(width: u32, height: u32) -> u8 {
    let samples = u64::from(width) * u64::from(height);
    LEVELS.iter().find(|(most, _)| samples <= *most).map_or(LEVEL_MAX, |(_, level)| *level)
}

/// What the header of a key frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vp9KeyFrame {
    /// The configuration it needs.
    pub config: VpConfig,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Vp9KeyFrame {
    /// Reads the header of a frame; none if it is no key frame of VP9.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        const RGB: u8 = 7;
        let mut bits = BitReader::new(frame);
        if bits.read_var::<u8>(2, "frame_marker").ok()? != 2 {
            return None;
        }
        let low = bits.read_var::<u8>(1, "profile_low_bit").ok()?;
        let profile = bits.read_var::<u8>(1, "profile_high_bit").ok()? << 1 | low;
        if profile == 3 && bits.read_bit("reserved_zero").ok()? {
            return None;
        }
        if bits.read_bit("show_existing_frame").ok()? || bits.read_bit("frame_type").ok()? {
            return None;
        }
        bits.skip(2, "show_frame, error_resilient_mode").ok()?;
        if bits.read_var::<u32>(24, "frame_sync_code").ok()? != 0x49_83_42 {
            return None;
        }
        let bit_depth = match profile >= 2 {
            false => 8,
            true if bits.read_bit("ten_or_twelve_bit").ok()? => 12,
            true => 10,
        };
        let color_space = bits.read_var::<u8>(3, "color_space").ok()?;
        let has_format = profile & 1 == 1;
        let (is_full_range, subsampling) = if color_space == RGB {
            if has_format {
                bits.skip(1, "reserved_zero").ok()?;
            }
            (true, (false, false))
        } else {
            let is_full_range = bits.read_bit("color_range").ok()?;
            let mut subsampling = (true, true);
            if has_format {
                subsampling =
                    (bits.read_bit("subsampling_x").ok()?, bits.read_bit("subsampling_y").ok()?);
                bits.skip(1, "reserved_zero").ok()?;
            }
            (is_full_range, subsampling)
        };
        let width = bits.read_var::<u32>(16, "frame_width_minus_1").ok()? + 1;
        let height = bits.read_var::<u32>(16, "frame_height_minus_1").ok()? + 1;
        let config = VpConfig {
            profile,
            level: level_of(width, height),
            bit_depth,
            // 4:4:0 has no number.
            chroma: match subsampling {
                (true, false) => 2,
                (false, false) => 3,
                _ => CHROMA_420,
            },
            is_full_range,
            color: match color_space {
                2 => [1, 1, 1],
                5 => [9, 14, 9],
                RGB => [1, 13, 0],
                _ => [UNSPECIFIED; 3],
            },
        };
        Some(Vp9KeyFrame { config, width, height })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Beginning of key frames of libvpx: 320x180 in 8 bits 4:2:0, and in 10 bits 4:4:4.
    const PROFILE_0: &[u8] = b"\x82\x49\x83\x42\x00\x13\xf0\x0b\x36";
    const PROFILE_3: &[u8] = b"\xb1\x24\xc1\xa1\x00\x00\x9f\x80\x59\xb0";

    #[test]
    fn headers_of_key_frames() {
        let key = Vp9KeyFrame::parse(PROFILE_0).unwrap();
        assert_eq!((key.width, key.height), (320, 180));
        assert_eq!(key.config.to_record(), [0, 11, 0x82, 2, 2, 2, 0, 0]);
        let key = Vp9KeyFrame::parse(PROFILE_3).unwrap();
        assert_eq!((key.width, key.height), (320, 180));
        assert_eq!(key.config.to_record(), [3, 11, 0xa6, 2, 2, 2, 0, 0]);
    }

    #[test]
    fn other_frames() {
        let mut inter = PROFILE_0.to_vec();
        inter[0] |= 4;
        let mut shown_again = PROFILE_0.to_vec();
        shown_again[0] |= 8;
        let mut foreign = PROFILE_0.to_vec();
        foreign[2] = 0;
        for frame in [&inter, &shown_again, &foreign, &vec![], &PROFILE_0[..7].to_vec()] {
            assert_eq!(Vp9KeyFrame::parse(frame), None, "{frame:x?}");
        }
    }

    #[test]
    fn records_with_and_without_box_header() {
        let record = [1, 31, 0x95, 9, 16, 9, 0, 0];
        let config = VpConfig::parse(&record).unwrap();
        assert_eq!((config.profile, config.level, config.bit_depth), (1, 31, 9));
        assert_eq!((config.chroma, config.is_full_range, config.color), (2, true, [9, 16, 9]));
        assert_eq!(config.to_record(), record);
        assert_eq!(VpConfig::parse(&[&BOX_HEADER[..], &record].concat()), Ok(config));
        assert!(VpConfig::parse(&record[..5]).is_err());
        assert!(VpConfig::parse(&BOX_HEADER).is_err());
        assert_eq!(
            [level_of(3840, 2160), level_of(1920, 1080), level_of(65536, 65536)],
            [50, 40, 62]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = VpConfig::parse(&bytes);
            let _ = Vp9KeyFrame::parse(&bytes);
            let _ = Vp9KeyFrame::parse(&[b"\x82\x49\x83\x42", bytes.as_slice()].concat());
        }
    }
}
