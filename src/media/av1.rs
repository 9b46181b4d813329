//! AV1: the av1C configuration record (AV1 Codec ISO Media File Format Binding 2.3) and the
//! sequence header OBU (AV1 bitstream specification 5.5), which is the only place where the picture
//! size stands.
//!
//! Only what a container has to know is read out of them; nothing is decoded and nothing rewritten.

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use super::avc::take_array;
use super::config::ConfigError;
use super::picture_form::{Color, PictureForm};

/// OBU type: sequence header.
const OBU_SEQUENCE_HEADER: u8 = 1;
/// Header of a sequence header OBU that says its size and has no extension.
const SEQUENCE_HEADER_WITH_SIZE: u8 = OBU_SEQUENCE_HEADER << 3 | 2;
/// Marker and version, the first byte of every av1C.
const MARKER_VERSION: u8 = 0x81;
/// `seq_force_screen_content_tools` and `seq_force_integer_mv`: chosen per frame.
const SELECT: u8 = 2;

/// What a decoder must be able to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    /// seq_profile, 0 to 7.
    pub profile: u8,
    /// seq_level_idx of the first operating point, 0 to 31.
    pub level: u8,
    /// seq_tier of the first operating point: true for the high tier.
    pub is_high_tier: bool,
    /// Bits per sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// True if there is no chroma.
    pub is_monochrome: bool,
    /// Whether chroma has half the width, and half the height.
    pub subsampling: (bool, bool),
    /// chroma_sample_position, 0 to 3.
    pub chroma_position: u8,
}

impl Parameters {
    /// Bytes 1 and 2 of av1C.
    fn encode(&self) -> [u8; 2] {
        let flags = [
            self.is_high_tier,
            self.bit_depth > 8,
            self.bit_depth > 10,
            self.is_monochrome,
            self.subsampling.0,
            self.subsampling.1,
        ];
        let flags = flags.into_iter().fold(0, |byte, flag| byte << 1 | u8::from(flag));
        [self.profile << 5 | self.level & 0x1f, flags << 2 | self.chroma_position & 3]
    }

    fn decode([first, second]: [u8; 2]) -> Self {
        let has = |bit: u8| second & bit != 0;
        Parameters {
            profile: first >> 5,
            level: first & 0x1f,
            is_high_tier: has(0x80),
            bit_depth: match (has(0x40), has(0x20)) {
                (false, _) => 8,
                (true, false) => 10,
                (true, true) => 12,
            },
            is_monochrome: has(0x10),
            subsampling: (has(8), has(4)),
            chroma_position: second & 3,
        }
    }
}

/// A parsed av1C record. Two equal values mean that a decoder sees no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Av1Config {
    /// What the record says of the stream.
    pub parameters: Parameters,
    /// The sequence header in it; none if there is none, or one that cannot be read.
    pub sequence: Option<SequenceHeader>,
    /// configOBUs: what follows the four fixed bytes.
    pub config_obus: Vec<u8>,
}

impl Av1Config {
    /// Reads a record.
    ///
    /// # Errors
    /// It is shorter than its fixed part, or its marker or version is unknown.
    pub fn parse(record: &[u8]) -> Result<Self, ConfigError> {
        let mut rest = record;
        let [version, first, second, _] =
            take_array(&mut rest).ok_or(ConfigError::Truncated("av1C"))?;
        if version != MARKER_VERSION {
            return Err(ConfigError::Version { record: "av1C", version });
        }
        Ok(Av1Config {
            parameters: Parameters::decode([first, second]),
            sequence: SequenceHeader::find(rest),
            config_obus: rest.to_vec(),
        })
    }
}

/// A sequence header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceHeader {
    /// What it says of the stream.
    pub parameters: Parameters,
    /// Largest width of a frame in pixels.
    pub width: u32,
    /// Largest height of a frame in pixels.
    pub height: u32,
    /// What it says of colours.
    pub color: Option<Color>,
    /// The payload of its OBU.
    pub payload: Vec<u8>,
}

impl SequenceHeader {
    /// What it says of the form of pictures.
    pub fn form(&self) -> PictureForm {
        PictureForm { pixel_aspect: None, color: self.color }
    }

    /// The first sequence header among OBUs in the low overhead format, which is how a frame and
    /// configOBUs are written. What follows it may be cut off.
    pub fn find(obus: &[u8]) -> Option<Self> {
        let mut rest = obus;
        loop {
            let [header] = take_array(&mut rest)?;
            if header & 4 != 0 {
                take_array::<1>(&mut rest)?;
            }
            let size = match header & 2 {
                0 => rest.len(),
                _ => usize::try_from(leb128(&mut rest)?).ok()?,
            };
            let (payload, behind) = rest.split_at_checked(size)?;
            if header >> 3 & 0xf == OBU_SEQUENCE_HEADER {
                return Self::parse(payload).ok();
            }
            rest = behind;
        }
    }

    /// Reads the payload of a sequence header OBU as far as its chroma format.
    fn parse(payload: &[u8]) -> Result<Self, BitReaderError> {
        let mut bits = BitReader::new(payload);
        let profile = bits.read_var(3, "seq_profile")?;
        bits.skip(1, "still_picture")?;
        let is_reduced = bits.read_bit("reduced_still_picture_header")?;
        let (level, is_high_tier) = match is_reduced {
            true => (bits.read_var(5, "seq_level_idx")?, false),
            false => operating_points(&mut bits)?,
        };
        let width_bits = bits.read_var::<u32>(4, "frame_width_bits_minus_1")? + 1;
        let height_bits = bits.read_var::<u32>(4, "frame_height_bits_minus_1")? + 1;
        let width = bits.read_var::<u32>(width_bits, "max_frame_width_minus_1")? + 1;
        let height = bits.read_var::<u32>(height_bits, "max_frame_height_minus_1")? + 1;
        skip_tools(&mut bits, is_reduced)?;
        let mut parameters =
            Parameters { profile, level, is_high_tier, bit_depth: 8, ..Parameters::default() };
        let color = color_config(&mut bits, &mut parameters)?;
        Ok(SequenceHeader { parameters, width, height, color, payload: payload.to_vec() })
    }

    /// An av1C record for a stream that came without one.
    pub fn to_record(&self) -> Vec<u8> {
        let [first, second] = self.parameters.encode();
        let mut record = vec![MARKER_VERSION, first, second, 0, SEQUENCE_HEADER_WITH_SIZE];
        let mut size = self.payload.len();
        while size >= 0x80 {
            record.push(size as u8 | 0x80);
            size >>= 7;
        }
        record.push(size as u8);
        record.extend_from_slice(&self.payload);
        record
    }
}

/// leb128() of AV1 4.10.5: at most eight bytes.
fn leb128(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..8 {
        let [byte] = take_array(rest)?;
        value |= u64::from(byte & 0x7f) << (7 * shift);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Timing, decoder model and operating points: level and tier of the first of these.
fn operating_points(bits: &mut impl BitRead) -> Result<(u8, bool), BitReaderError> {
    let mut delay_bits = None;
    if bits.read_bit("timing_info_present_flag")? {
        bits.skip(32 + 32, "num_units_in_display_tick, time_scale")?;
        if bits.read_bit("equal_picture_interval")? {
            // uvlc() has the layout of an Exp-Golomb code.
            bits.read_ue("num_ticks_per_picture_minus_1")?;
        }
        if bits.read_bit("decoder_model_info_present_flag")? {
            delay_bits = Some(bits.read_var::<u32>(5, "buffer_delay_length_minus_1")? + 1);
            bits.skip(32 + 5 + 5, "decoder model")?;
        }
    }
    let has_display_delay = bits.read_bit("initial_display_delay_present_flag")?;
    let count = bits.read_var::<u32>(5, "operating_points_cnt_minus_1")? + 1;
    let mut first = None;
    for _ in 0..count {
        bits.skip(12, "operating_point_idc")?;
        let level = bits.read_var(5, "seq_level_idx")?;
        let is_high_tier = level > 7 && bits.read_bit("seq_tier")?;
        first.get_or_insert((level, is_high_tier));
        if let Some(delay_bits) = delay_bits
            && bits.read_bit("decoder_model_present_for_this_op")?
        {
            bits.skip(2 * delay_bits + 1, "decoder_buffer_delay, encoder_buffer_delay, low_delay")?;
        }
        if has_display_delay && bits.read_bit("initial_display_delay_present_for_this_op")? {
            bits.skip(4, "initial_display_delay_minus_1")?;
        }
    }
    Ok(first.unwrap_or_default())
}

/// From frame ids to loop restoration.
fn skip_tools(bits: &mut impl BitRead, is_reduced: bool) -> Result<(), BitReaderError> {
    if !is_reduced && bits.read_bit("frame_id_numbers_present_flag")? {
        bits.skip(4 + 3, "frame id lengths")?;
    }
    bits.skip(3, "use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter")?;
    if !is_reduced {
        bits.skip(4, "inter tools")?;
        let has_order_hint = bits.read_bit("enable_order_hint")?;
        if has_order_hint {
            bits.skip(2, "enable_jnt_comp, enable_ref_frame_mvs")?;
        }
        let screen_content = match bits.read_bit("seq_choose_screen_content_tools")? {
            true => SELECT,
            false => bits.read_var(1, "seq_force_screen_content_tools")?,
        };
        if screen_content > 0 && !bits.read_bit("seq_choose_integer_mv")? {
            bits.skip(1, "seq_force_integer_mv")?;
        }
        if has_order_hint {
            bits.skip(3, "order_hint_bits_minus_1")?;
        }
    }
    bits.skip(3, "enable_superres, enable_cdef, enable_restoration")
}

/// color_config() of AV1 5.5.2.
fn color_config(
    bits: &mut impl BitRead,
    seen: &mut Parameters,
) -> Result<Option<Color>, BitReaderError> {
    const SRGB: [u8; 3] = [1, 13, 0];
    let is_high = bits.read_bit("high_bitdepth")?;
    let is_twelve = seen.profile == 2 && is_high && bits.read_bit("twelve_bit")?;
    seen.bit_depth = match (is_high, is_twelve) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    seen.is_monochrome = seen.profile != 1 && bits.read_bit("mono_chrome")?;
    let mut description = None;
    if bits.read_bit("color_description_present_flag")? {
        description = Some([
            bits.read_var(8, "color_primaries")?,
            bits.read_var(8, "transfer_characteristics")?,
            bits.read_var(8, "matrix_coefficients")?,
        ]);
    }
    if !seen.is_monochrome && description == Some(SRGB) {
        return Ok(Color::new(SRGB, true));
    }
    let is_full_range = bits.read_bit("color_range")?;
    seen.subsampling = match seen.profile {
        _ if seen.is_monochrome => (true, true),
        0 => (true, true),
        1 => (false, false),
        _ if is_twelve => {
            let across = bits.read_bit("subsampling_x")?;
            (across, across && bits.read_bit("subsampling_y")?)
        }
        _ => (true, false),
    };
    if !seen.is_monochrome && seen.subsampling == (true, true) {
        seen.chroma_position = bits.read_var(2, "chroma_sample_position")?;
    }
    Ok(Color::new(description.unwrap_or([Color::UNSPECIFIED; 3]), is_full_range))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// av1C of libaom: 320x180, 8 bits.
    const LIBAOM: &[u8] = b"\x81\x00\x0c\x00\x0a\x0b\x00\x00\x00\x04\x3c\xfe\xcc\xda\xf9\x00\x40";
    /// Beginning of a temporal unit of SVT-AV1: 10 bits.
    const SVT_FRAME: &[u8] =
        b"\x0a\x0b\x00\x00\x00\x04\x3d\x06\xd4\xfb\xf9\x40\x40\x32\xf1\x1c\x14\x00";

    #[test]
    fn the_record_of_an_encoder() {
        let config = Av1Config::parse(LIBAOM).unwrap();
        let sequence = config.sequence.unwrap();
        assert_eq!((sequence.width, sequence.height), (320, 180));
        assert_eq!(sequence.parameters, config.parameters);
        assert_eq!(config.parameters.bit_depth, 8);
        assert_eq!(config.parameters.subsampling, (true, true));
        assert_eq!(sequence.to_record(), LIBAOM);
        let bare = Av1Config::parse(&LIBAOM[..4]).unwrap();
        assert_eq!((bare.sequence, bare.parameters), (None, config.parameters));
        let truncated = ConfigError::Truncated("av1C");
        assert_eq!(Av1Config::parse(b"\x81\0\0"), Err(truncated));
        assert!(Av1Config::parse(b"\x01\0\0\0").is_err());
    }

    #[test]
    fn a_sequence_header_in_a_frame_that_is_cut_off() {
        let found = SequenceHeader::find(SVT_FRAME).unwrap();
        assert_eq!((found.width, found.height), (322, 182));
        assert_eq!(found.parameters.bit_depth, 10);
        // Behind a temporal delimiter and an OBU with an extension.
        let behind = [b"\x12\x00\x2e\x08\x02ab", SVT_FRAME].concat();
        assert_eq!(SequenceHeader::find(&behind).as_ref(), Some(&found));
        // The last OBU of a frame needs no size.
        let unsized_obu = [b"\x08", &SVT_FRAME[2..13]].concat();
        assert_eq!(SequenceHeader::find(&unsized_obu).as_ref(), Some(&found));
        assert_eq!(SequenceHeader::find(&SVT_FRAME[..12]), None);
        assert_eq!(SequenceHeader::find(&SVT_FRAME[13..]), None);
        let record = Av1Config::parse(&found.to_record()).unwrap();
        assert_eq!(
            (&record.parameters, record.sequence.as_ref()),
            (&found.parameters, Some(&found))
        );
    }

    #[test]
    fn timing_and_operating_points() {
        // Written field by field: timing, decoder model, two operating points (6.0 high tier with
        // all that is optional, 2.0), 4:4:4 with 10 bits, sRGB.
        let mut bits = String::from("001 0 0 1");
        bits += &format!("{:032b}{:032b} 1 010 1 01001 {:032b} 00110 00111", 1, 50, 9);
        bits += " 1 00001";
        bits += &format!("{:012b} 10000 1 1 {:010b}{:010b} 0 1 1001", 1, 5, 6);
        bits += &format!("{:012b} 00000 0 0", 2);
        bits += &format!("1011 1010 {:012b} {:011b}", 3839, 1999);
        bits += "1 0011 010 000 0000 1 11 0 0 101 000";
        bits += &format!("1 1 {:08b}{:08b}{:08b}", 1, 13, 0);
        let bits: Vec<u8> = bits.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
        let payload: Vec<u8> = bits
            .chunks(8)
            .map(|chunk| (0..8).fold(0, |byte, at| byte << 1 | chunk.get(at).unwrap_or(&0)))
            .collect();
        let sequence = SequenceHeader::parse(&payload).unwrap();
        assert_eq!((sequence.width, sequence.height), (3840, 2000));
        let expected = Parameters {
            profile: 1,
            level: 16,
            is_high_tier: true,
            bit_depth: 10,
            ..Parameters::default()
        };
        assert_eq!(sequence.parameters, expected);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(rest in prop::collection::vec(any::<u8>(), 0..60)) {
            let record = [&b"\x81\x00\x0c\x00\x0a"[..], &rest].concat();
            let _ = Av1Config::parse(&rest);
            if let Some(sequence) = Av1Config::parse(&record).unwrap().sequence {
                let again = Av1Config::parse(&sequence.to_record()).unwrap();
                prop_assert_eq!(&again.parameters, &sequence.parameters);
                prop_assert_eq!(again.sequence, Some(sequence));
            }
        }

        #[test]
        fn parameters_come_back(first: u8, second: u8) {
            // Twelve bits without "more than eight" means nothing.
            prop_assume!(second & 0x60 != 0x20);
            prop_assert_eq!(Parameters::decode([first, second]).encode(), [first, second]);
        }
    }
}
