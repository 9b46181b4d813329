//! Filling a head up to a given length with something every player passes over.
//!
//! A script tag of its own would show up as a data stream, and players choke on long strings and
//! on types they rarely see; so the padding is one more key of onMetaData, an array of short
//! strings.

use crate::media::amf0::Value;

/// The key; underscores behind it make up a length that strings cannot.
const KEYS: [&str; 3] = ["padding", "padding_", "padding__"];
/// Bytes of the shortest padding: the key behind its length, and an empty array.
pub(super) const MIN_LEN: u64 = 2 + 7 + ARRAY_LEN;
/// Marker and count of an array.
const ARRAY_LEN: u64 = 1 + 4;
/// Marker and length of a string.
const STRING_LEN: u64 = 1 + 2;
/// ffmpeg reads strings into 256 bytes and gives up on all metadata when one is longer.
const TEXT_MAX: u64 = 250;

/// A member of onMetaData that takes `len` bytes, at least [`MIN_LEN`]; none for 0.
pub(super) fn member(len: u64) -> Option<(&'static str, Value)> {
    let mut content = len.checked_sub(MIN_LEN)?;
    let key = match content {
        1 | 2 => KEYS.get(std::mem::take(&mut content) as usize)?,
        _ => KEYS.first()?,
    };
    let mut strings = Vec::new();
    while content > 0 {
        let mut len = content.min(STRING_LEN + TEXT_MAX);
        // What is left must be nothing or a string.
        if (1..STRING_LEN).contains(&(content - len)) {
            len -= STRING_LEN;
        }
        content -= len;
        strings.push(Value::from(" ".repeat((len - STRING_LEN) as usize).as_str()));
    }
    Some((key, Value::StrictArray(strings)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::amf0::encode_all;

    #[test]
    fn has_any_length() {
        let end_marker = 3;
        let around = encode_all([&Value::Object(vec![])]).len() - end_marker;
        for len in (MIN_LEN..2000).chain([1 << 20]) {
            let (key, value) = member(len).unwrap();
            let longest = match &value {
                Value::StrictArray(strings) => {
                    strings.iter().filter_map(Value::as_str).map(str::len).max()
                }
                _ => None,
            };
            assert!(longest.unwrap_or(0) < 256);
            let bytes = encode_all([&Value::Object(vec![(key.into(), value)])]);
            assert_eq!(bytes.len() - around - end_marker, len as usize);
        }
        assert_eq!(member(0), None);
    }
}
