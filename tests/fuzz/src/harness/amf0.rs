//! `media::amf0`: what can be read can be written, and is the same when it is read again.

use crate::media::amf0::{Limits, decode_all_within, encode_all};

/// The data are AMF0 values.
pub fn run(data: &[u8]) {
    for limits in [Limits::MESSAGE, Limits::METADATA] {
        let Ok(values) = decode_all_within(data, limits) else { continue };
        let bytes = encode_all(&values);
        let again = decode_all_within(&bytes, limits).unwrap();
        // As bytes: a number may be no number, which is not equal to itself.
        assert_eq!(encode_all(&again), bytes);
    }
}
