//! H.264 and HEVC pictures in the one form that every container shares, for hashing them: NAL units
//! each behind its length, without those kinds that MPEG-TS adds, moves and repeats.
//!
//! A picture from a length-prefixed container ([`canonical_nal_units`]) and the same picture from
//! Annex B ([`canonical_annex_b`]) come out equal, byte for byte. That is all this is for: nothing
//! here is ever written into a product. Annex B cannot tell zero bytes behind a NAL unit from what
//! stands between two (ITU-T H.264 B.1.1), so zero bytes at the end of a unit do not count; and a
//! start code inside a unit, which no encoder may write, begins another one.

use memchr::memmem;

use super::sample::Codec;
use super::{avc, hevc};

/// Every start code ends like this.
const START_CODE: &[u8] = &[0, 0, 1];

/// True for the kinds of NAL units that are left out: access unit delimiters and parameter sets,
/// in HEVC also prefix messages, because a configuration record may bring some that belong in front
/// of every picture where decoding can begin.
pub fn is_left_out(codec: Codec, nal: &[u8]) -> bool {
    let kind = nal.first().copied().unwrap_or(0);
    if codec == Codec::Hevc {
        // VPS, SPS, PPS, delimiter, prefix SEI (ITU-T H.265 table 7-1).
        matches!((kind >> 1) & 0x3f, 32..=35 | hevc::NAL_PREFIX_SEI)
    } else {
        // SPS, PPS, delimiter, SPS extension, subset SPS (ITU-T H.264 table 7-1).
        matches!(kind & 0x1f, 7..=9 | 13 | 15)
    }
}

/// Appends the canonical form of a picture of length-prefixed NAL units. False if the units cannot
/// be told apart: the bytes are then taken for Annex B, as which MPEG-TS gets them.
pub fn canonical_nal_units(
    codec: Codec,
    sample: &[u8],
    nal_length_size: u8,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    for nal in avc::nal_units(sample, nal_length_size) {
        match nal {
            Ok(nal) => canonical_annex_b(codec, nal, out),
            Err(_) => {
                out.truncate(start);
                canonical_annex_b(codec, sample, out);
                return false;
            }
        }
    }
    true
}

/// Appends the canonical form of a picture in Annex B. Bytes before the first start code are a unit
/// as well.
pub fn canonical_annex_b(codec: Codec, bytes: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for at in memmem::find_iter(bytes, START_CODE).chain([bytes.len()]) {
        let unit = bytes.get(from..at).unwrap_or_default();
        let len = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let unit = unit.get(..len).unwrap_or_default();
        if !unit.is_empty() && !is_left_out(codec, unit) {
            let len = u32::try_from(unit.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(unit);
        }
        from = at + START_CODE.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from_lengths(codec: Codec, nals: &[Vec<u8>]) -> Vec<u8> {
        let mut sample = Vec::new();
        for nal in nals {
            sample.extend_from_slice(&(nal.len() as u32).to_be_bytes());
            sample.extend_from_slice(nal);
        }
        let mut out = Vec::new();
        assert!(canonical_nal_units(codec, &sample, 4, &mut out));
        out
    }

    fn from_annex_b(codec: Codec, nals: &[Vec<u8>]) -> Vec<u8> {
        let stream: Vec<u8> =
            nals.iter().flat_map(|nal| [&[0, 0, 0, 1], nal.as_slice()].concat()).collect();
        let mut out = Vec::new();
        canonical_annex_b(codec, &stream, &mut out);
        out
    }

    #[test]
    fn delimiters_and_parameter_sets_are_left_out() {
        let nals =
            [b"\x09\xf0".to_vec(), b"\x67s".to_vec(), b"\x68p".to_vec(), b"\x65i\0".to_vec()];
        assert_eq!(from_lengths(Codec::H264, &nals), b"\0\0\0\x02\x65i");
        assert_eq!(from_annex_b(Codec::H264, &nals), b"\0\0\0\x02\x65i");
        let nals = [b"\x46\x01".to_vec(), b"\x40\x01".to_vec(), b"\x4e\x01".to_vec()];
        assert_eq!(from_lengths(Codec::Hevc, &nals), b"");
        assert_eq!(from_lengths(Codec::Hevc, &[b"\x02\x01t".to_vec()]), b"\0\0\0\x03\x02\x01t");
    }

    #[test]
    fn what_cannot_be_split_is_taken_for_annex_b() {
        let mut out = Vec::new();
        assert!(!canonical_nal_units(Codec::H264, b"\0\0\0\x01\x65ab\0\0\x01\x41c", 4, &mut out));
        assert_eq!(out, b"\0\0\0\x03\x65ab\0\0\0\x02\x41c");
    }

    proptest! {
        #[test]
        fn both_forms_are_one(
            nals in prop::collection::vec(
                // Few values, so that start codes turn up inside, at the ends and across them.
                prop::collection::vec(prop::sample::select(vec![0u8, 1, 0x65, 0x41, 0x09]), 0..12),
                0..6,
            ),
        ) {
            for codec in [Codec::H264, Codec::Hevc] {
                prop_assert_eq!(from_lengths(codec, &nals), from_annex_b(codec, &nals));
            }
        }

        #[test]
        fn any_bytes_are_a_picture(bytes: Vec<u8>, size in 0u8..6) {
            canonical_nal_units(Codec::H264, &bytes, size, &mut Vec::new());
        }
    }
}
