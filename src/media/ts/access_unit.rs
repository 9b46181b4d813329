//! From length-prefixed NAL units to Annex B, as MPEG-TS wants an access unit (ISO/IEC 13818-1
//! clauses 2.14 and 2.17): a delimiter first, and parameter sets where a decoder may start.
//!
//! The bytes of the sender's NAL units are never touched; only what stands between them is.

use crate::media::avc;
use crate::media::config::CodecConfig;
use crate::media::hevc;
use crate::media::sample::Codec;

const START_CODE: &[u8] = &[0, 0, 0, 1];
/// Access unit delimiters for any kind of slice.
const AVC_DELIMITER: &[u8] = &[0x09, 0xf0];
const HEVC_DELIMITER: &[u8] = &[0x46, 0x01, 0x50];

/// Length prefix of a stream whose configuration is not known: the one everybody uses.
const USUAL_NAL_LENGTH_SIZE: u8 = 4;

/// What a video configuration record means for the access units that follow it.
#[derive(Debug, Clone)]
pub(super) struct VideoParameters {
    is_hevc: bool,
    nal_length_size: u8,
    /// Parameter sets in the order in which decoders want them.
    sets: Vec<Vec<u8>>,
}

impl VideoParameters {
    /// For frames before any configuration that can be read.
    pub fn unknown(codec: Codec) -> Self {
        VideoParameters {
            is_hevc: codec == Codec::Hevc,
            nal_length_size: USUAL_NAL_LENGTH_SIZE,
            sets: Vec::new(),
        }
    }

    /// From a configuration record; none if it is not that of a video codec MPEG-TS takes.
    pub fn from_config(config: CodecConfig) -> Option<Self> {
        match config {
            CodecConfig::Avc(avc) => Some(VideoParameters {
                is_hevc: false,
                nal_length_size: avc.nal_length_size,
                sets: [avc.sps, avc.pps].concat(),
            }),
            CodecConfig::Hevc(hevc) => {
                // Of the other arrays only messages that hold for the whole sequence belong here.
                let messages = hevc.other.into_iter();
                let messages =
                    messages.filter(|nal| hevc::nal_type(nal) == Some(hevc::NAL_PREFIX_SEI));
                Some(VideoParameters {
                    is_hevc: true,
                    nal_length_size: hevc.nal_length_size,
                    sets: [hevc.vps, hevc.sps, hevc.pps, messages.collect()].concat(),
                })
            }
            _ => None,
        }
    }

    /// True if this is for frames of `codec`.
    pub fn is_for(&self, codec: Codec) -> bool {
        self.is_hevc == (codec == Codec::Hevc)
    }

    fn is_delimiter(&self, nal: &[u8]) -> bool {
        if self.is_hevc {
            hevc::nal_type(nal) == Some(hevc::NAL_AUD)
        } else {
            avc::nal_type(nal) == Some(avc::NAL_AUD)
        }
    }

    fn is_random_access(&self, nal: &[u8]) -> bool {
        if self.is_hevc {
            hevc::nal_type(nal).is_some_and(hevc::is_random_access)
        } else {
            avc::nal_type(nal) == Some(avc::NAL_IDR)
        }
    }

    /// Appends the access unit in `sample`, with the parameter sets it lacks if a decoder can start
    /// there or `with_sets` is set. Gives false if its NAL units could not be told apart and it was
    /// appended as it is.
    pub fn annex_b(&self, sample: &[u8], with_sets: bool, out: &mut Vec<u8>) -> bool {
        let nals = avc::nal_units(sample, self.nal_length_size);
        if nals.clone().any(|nal| nal.is_err()) {
            // Bytes that cannot be understood are not ours to drop. Some encoders send Annex B.
            if !sample.starts_with(&[0, 0, 1]) && !sample.starts_with(START_CODE) {
                out.extend_from_slice(START_CODE);
            }
            out.extend_from_slice(sample);
            return false;
        }
        let mut nals = nals.flatten().peekable();
        let delimiter = nals.next_if(|nal| self.is_delimiter(nal));
        let usual = if self.is_hevc { HEVC_DELIMITER } else { AVC_DELIMITER };
        push_nal(delimiter.unwrap_or(usual), out);

        let nals: Vec<&[u8]> = nals.collect();
        if with_sets || nals.iter().any(|nal| self.is_random_access(nal)) {
            let missing = self.sets.iter().filter(|set| !nals.contains(&set.as_slice()));
            missing.for_each(|set| push_nal(set, out));
        }
        nals.iter().for_each(|nal| push_nal(nal, out));
        true
    }
}

fn push_nal(nal: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(START_CODE);
    out.extend_from_slice(nal);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn avc() -> VideoParameters {
        VideoParameters {
            is_hevc: false,
            nal_length_size: 2,
            sets: vec![b"\x67sps".to_vec(), b"\x68pps".to_vec()],
        }
    }

    fn convert(parameters: &VideoParameters, sample: &[u8], with_sets: bool) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(parameters.annex_b(sample, with_sets, &mut out));
        out
    }

    #[test]
    fn a_delimiter_comes_first_and_only_once() {
        assert_eq!(convert(&avc(), b"\0\x02\x41a", false), b"\0\0\0\x01\x09\xf0\0\0\0\x01\x41a");
        let sent = b"\0\x02\x09\x10\0\x02\x41a";
        assert_eq!(convert(&avc(), sent, false), b"\0\0\0\x01\x09\x10\0\0\0\x01\x41a");
    }

    #[test]
    fn parameter_sets_that_are_missing_come_behind_it() {
        let expected = b"\0\0\0\x01\x09\xf0\0\0\0\x01\x67sps\0\0\0\x01\x68pps\0\0\0\x01\x65i";
        assert_eq!(convert(&avc(), b"\0\x02\x65i", false), expected);
        let own_sps = b"\0\x04\x67sps\0\x02\x65i";
        let order = b"\0\0\0\x01\x09\xf0\0\0\0\x01\x68pps\0\0\0\x01\x67sps\0\0\0\x01\x65i";
        assert_eq!(convert(&avc(), own_sps, false), order);
        // A recovery point is a keyframe without an IDR picture.
        assert!(convert(&avc(), b"\0\x02\x41i", true).windows(4).any(|w| w == b"\x67sps"));
    }

    #[test]
    fn hevc_has_its_own_types() {
        let parameters = VideoParameters {
            is_hevc: true,
            nal_length_size: 1,
            sets: vec![b"\x40\x01v".to_vec(), b"\x42\x01s".to_vec(), b"\x44\x01p".to_vec()],
        };
        let expected = b"\0\0\0\x01\x46\x01\x50\0\0\0\x01\x40\x01v\0\0\0\x01\x42\x01s\0\0\0\x01\
            \x44\x01p\0\0\0\x01\x2a\x01c";
        assert_eq!(convert(&parameters, b"\x03\x2a\x01c", false), expected);
        let trailing = b"\0\0\0\x01\x46\x01\x10\0\0\0\x01\x02\x01t";
        assert_eq!(convert(&parameters, b"\x03\x46\x01\x10\x03\x02\x01t", false), trailing);
    }

    #[test]
    fn what_cannot_be_split_is_kept_as_it_is() {
        let unknown = VideoParameters::unknown(Codec::H264);
        let mut out = Vec::new();
        assert!(!unknown.annex_b(b"\0\0\0\x01\x65annexb", true, &mut out));
        assert_eq!(out, b"\0\0\0\x01\x65annexb");
        out.clear();
        assert!(!unknown.annex_b(b"\0\0\0\x09\x65", true, &mut out));
        assert_eq!(out, b"\0\0\0\x01\0\0\0\x09\x65");
    }
}
