//! H.264: the avcC configuration record (ISO/IEC 14496-15 5.3.3) and length-prefixed NAL units.
//!
//! Only what a container has to know is read out of it; nothing is decoded and nothing rewritten.

use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal, RefNal};

use super::config::ConfigError;
use super::picture_form::{Color, PictureForm};

/// NAL unit type: coded slice of a picture that is not IDR.
pub const NAL_SLICE: u8 = 1;
/// NAL unit type: coded slice of an IDR picture.
pub const NAL_IDR: u8 = 5;
/// NAL unit type: supplemental enhancement information.
pub const NAL_SEI: u8 = 6;
/// NAL unit type: sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// NAL unit type: picture parameter set.
pub const NAL_PPS: u8 = 8;
/// NAL unit type: access unit delimiter.
pub const NAL_AUD: u8 = 9;
/// NAL unit type: end of sequence.
pub const NAL_END_OF_SEQUENCE: u8 = 10;
/// NAL unit type: end of stream.
pub const NAL_END_OF_STREAM: u8 = 11;
/// NAL unit type: filler data.
pub const NAL_FILLER: u8 = 12;

/// The highest level the SPS parser knows (6.2), whose picture size limit is the widest.
const WIDEST_LEVEL: u8 = 62;

/// A parsed avcC record. Two equal values mean that a decoder sees no difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvcConfig {
    /// AVCProfileIndication (`profile_idc`).
    pub profile: u8,
    /// Constraint flags, the byte between profile and level.
    pub compatibility: u8,
    /// AVCLevelIndication (`level_idc`).
    pub level: u8,
    /// Bytes of the length before each NAL unit, 1 to 4.
    pub nal_length_size: u8,
    /// Sequence parameter sets, NAL units without start code or length.
    pub sps: Vec<Vec<u8>>,
    /// Picture parameter sets, likewise.
    pub pps: Vec<Vec<u8>>,
    /// Width in pixels after cropping; 0 if no SPS could be read.
    pub width: u32,
    /// Height in pixels after cropping; 0 if no SPS could be read.
    pub height: u32,
}

impl AvcConfig {
    /// Reads a record. Reserved bits and whatever follows the parameter sets (the High profile's
    /// extension, or an encoder's padding) are not looked at.
    ///
    /// # Errors
    /// The version is not 1, or a parameter set reaches past the end.
    pub fn parse(record: &[u8]) -> Result<Self, ConfigError> {
        let mut rest = record;
        let [version, profile, compatibility, level, length_size, sps_count] =
            take_array(&mut rest).ok_or(ConfigError::Truncated("avcC"))?;
        if version != 1 {
            return Err(ConfigError::Version { record: "avcC", version });
        }
        let sps = parameter_sets(&mut rest, sps_count & 0x1f)?;
        let [pps_count] = take_array(&mut rest).ok_or(ConfigError::Truncated("avcC"))?;
        let pps = parameter_sets(&mut rest, pps_count)?;
        let (width, height) = sps.iter().find_map(|sps| dimensions(sps)).unwrap_or((0, 0));
        Ok(AvcConfig {
            profile,
            compatibility,
            level,
            nal_length_size: (length_size & 3) + 1,
            sps,
            pps,
            width,
            height,
        })
    }
}

impl AvcConfig {
    /// What the first sequence parameter set that can be read says of pixels and colours.
    pub fn form(&self) -> PictureForm {
        let parsed = self.sps.iter().find_map(|sps| parse_sps(sps));
        let Some(vui) = parsed.and_then(|sps| sps.vui_parameters) else {
            return PictureForm::default();
        };
        let signal = vui.video_signal_type;
        PictureForm {
            pixel_aspect: vui.aspect_ratio_info.and_then(|aspect| aspect.get()),
            color: signal.and_then(|signal| {
                let is_full_range = signal.video_full_range_flag;
                let codes = signal.colour_description.map_or([Color::UNSPECIFIED; 3], |codes| {
                    let (primaries, transfer) =
                        (codes.colour_primaries, codes.transfer_characteristics);
                    [primaries, transfer, codes.matrix_coefficients]
                });
                Color::new(codes, is_full_range)
            }),
        }
    }
}

fn parameter_sets(rest: &mut &[u8], count: u8) -> Result<Vec<Vec<u8>>, ConfigError> {
    (0..count)
        .map(|_| take_with_length(rest).map(<[u8]>::to_vec).ok_or(ConfigError::Truncated("avcC")))
        .collect()
}

/// The next `N` bytes of `rest`, or none if there are fewer.
pub(super) fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// The next bytes of `rest` behind their 16-bit length.
pub(super) fn take_with_length<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u16::from_be_bytes(take_array(rest)?);
    let (head, tail) = rest.split_at_checked(usize::from(length))?;
    *rest = tail;
    Some(head)
}

/// Cropped width and height from an SPS NAL unit, or none if it cannot be read.
fn dimensions(sps: &[u8]) -> Option<(u32, u32)> {
    parse_sps(sps)?.pixel_dimensions().ok()
}

fn parse_sps(sps: &[u8]) -> Option<SeqParameterSet> {
    // Encoders that cut Annex B at three-byte start codes leave a zero behind.
    let end = sps.iter().rposition(|&byte| byte != 0)? + 1;
    let sps = sps.get(..end)?;
    parse_exactly(sps).or_else(|| {
        // The parser refuses a picture larger than the level permits. Encoders lie about the
        // level, and the size is right all the same.
        let mut widest = sps.to_vec();
        *widest.get_mut(3)? = WIDEST_LEVEL;
        parse_exactly(&widest)
    })
}

/// An SPS whose size in pixels makes sense.
fn parse_exactly(sps: &[u8]) -> Option<SeqParameterSet> {
    if nal_type(sps)? != NAL_SPS {
        return None;
    }
    let parsed = SeqParameterSet::from_bits(RefNal::new(sps, &[], true).rbsp_bits()).ok()?;
    parsed.pixel_dimensions().is_ok().then_some(parsed)
}

/// The type of an H.264 NAL unit; none for an empty one.
pub fn nal_type(nal: &[u8]) -> Option<u8> {
    nal.first().map(|header| header & 0x1f)
}

/// Why a sample could not be split into NAL units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NalError {
    /// A NAL unit is longer than what is left of the sample.
    #[error(
        "NAL unit of {length} bytes at offset {offset} reaches past the sample of {sample} bytes"
    )]
    Overrun {
        /// Offset of the length field within the sample.
        offset: usize,
        /// The length it announces.
        length: usize,
        /// Length of the whole sample.
        sample: usize,
    },
    /// The sample ends inside a length field.
    #[error("sample of {sample} bytes ends inside the NAL unit length at offset {offset}")]
    TruncatedLength {
        /// Offset of the length field within the sample.
        offset: usize,
        /// Length of the whole sample.
        sample: usize,
    },
}

/// The NAL units of a sample whose units stand behind a length of `length_size` bytes (1 to 4;
/// other values are taken for the nearest of these). Serves H.264 and HEVC alike. Empty units are
/// passed over; after an error the iterator ends.
pub fn nal_units(sample: &[u8], length_size: u8) -> NalUnits<'_> {
    NalUnits { sample, offset: 0, length_size: usize::from(length_size.clamp(1, 4)) }
}

/// Iterator of [`nal_units`].
#[derive(Debug, Clone)]
pub struct NalUnits<'a> {
    sample: &'a [u8],
    offset: usize,
    length_size: usize,
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Result<&'a [u8], NalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (offset, sample) = (self.offset, self.sample.len());
            let rest = self.sample.get(offset..).filter(|rest| !rest.is_empty())?;
            let Some((field, units)) = rest.split_at_checked(self.length_size) else {
                self.offset = sample;
                return Some(Err(NalError::TruncatedLength { offset, sample }));
            };
            let length = field.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
            let Some(unit) = units.get(..length) else {
                self.offset = sample;
                return Some(Err(NalError::Overrun { offset, length, sample }));
            };
            self.offset = offset + self.length_size + length;
            if !unit.is_empty() {
                return Some(Ok(unit));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 640x360 High, as x264 writes it, with the High profile's four extension bytes.
    const RECORD: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\
        \xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\
        \xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";

    #[test]
    fn reads_a_record() {
        let config = AvcConfig::parse(RECORD).unwrap();
        assert_eq!((config.profile, config.compatibility, config.level), (100, 0, 30));
        assert_eq!(config.nal_length_size, 4);
        assert_eq!((config.sps.len(), config.pps.len()), (1, 1));
        assert_eq!(config.pps[0], b"\x68\xeb\xe3\xcb\x22\xc0");
        assert_eq!((config.width, config.height), (640, 360));
    }

    #[test]
    fn reserved_bits_and_trailing_bytes_make_no_difference() {
        let mut odd = RECORD.to_vec();
        odd[4] &= 3;
        odd[5] &= 0x1f;
        odd.extend_from_slice(b"padding");
        assert_eq!(AvcConfig::parse(&odd), AvcConfig::parse(RECORD));
        assert_eq!(AvcConfig::parse(&RECORD[..RECORD.len() - 4]), AvcConfig::parse(RECORD));
    }

    #[test]
    fn an_sps_with_a_wrong_level_or_a_stray_zero_still_has_its_size() {
        let mut sps = AvcConfig::parse(RECORD).unwrap().sps.remove(0);
        sps[3] = 10;
        assert_eq!(dimensions(&sps), Some((640, 360)));
        sps.extend_from_slice(&[0, 0]);
        assert_eq!(dimensions(&sps), Some((640, 360)));
    }

    #[test]
    fn an_unreadable_sps_is_no_error_of_the_record() {
        let record = b"\x01\x64\x00\x1e\xff\xe1\x00\x02\x67\x64\x01\x00\x01\x68";
        let config = AvcConfig::parse(record).unwrap();
        assert_eq!((config.width, config.height), (0, 0));
        assert_eq!(config.sps, [b"\x67\x64"]);
        assert_eq!(AvcConfig::parse(b"\x01\x64\x00\x1e\xff\xe0\x00").unwrap().sps.len(), 0);
    }

    #[test]
    fn refuses_what_is_cut_short_or_of_another_version() {
        for end in 0..RECORD.len() - 4 {
            assert_eq!(AvcConfig::parse(&RECORD[..end]), Err(ConfigError::Truncated("avcC")));
        }
        let mut annex_b = RECORD.to_vec();
        annex_b[0] = 0;
        let version = ConfigError::Version { record: "avcC", version: 0 };
        assert_eq!(AvcConfig::parse(&annex_b), Err(version));
    }

    #[test]
    fn splits_samples_and_says_where_it_fails() {
        let units: Vec<_> = nal_units(b"\x00\x02\x09\xf0\x00\x00\x00\x01\x65", 2).collect();
        assert_eq!(units, [Ok(&b"\x09\xf0"[..]), Ok(&b"\x65"[..])]);
        let units: Vec<_> = nal_units(b"\x01\x65\x05\x41", 1).collect();
        let overrun = NalError::Overrun { offset: 2, length: 5, sample: 4 };
        assert_eq!(units, [Ok(&b"\x65"[..]), Err(overrun)]);
        let units: Vec<_> = nal_units(b"\x00\x00\x01", 4).collect();
        assert_eq!(units, [Err(NalError::TruncatedLength { offset: 0, sample: 3 })]);
    }

    proptest! {
        #[test]
        fn a_damaged_record_never_panics(
            at in 0..RECORD.len(),
            bytes in prop::collection::vec(any::<u8>(), 0..24),
        ) {
            let mut record = RECORD.to_vec();
            record.splice(at..record.len().min(at + bytes.len()), bytes);
            let _ = AvcConfig::parse(&record);
            let _ = dimensions(&record[8.min(record.len())..]);
        }

        #[test]
        fn every_byte_of_a_sample_is_in_a_unit(
            units in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            length_size in 1u8..=4,
        ) {
            let mut sample = Vec::new();
            for unit in &units {
                let length = (unit.len() as u32).to_be_bytes();
                sample.extend_from_slice(&length[4 - usize::from(length_size)..]);
                sample.extend_from_slice(unit);
            }
            let split: Result<Vec<_>, _> = nal_units(&sample, length_size).collect();
            prop_assert_eq!(split.unwrap(), units);
        }
    }
}
