//! The `Range` header: one range of bytes (RFC 9110 §14.1.2).
//!
//! What is malformed, in another unit, or names several ranges is no range: the answer to it is the
//! whole object, as the RFC allows.

use std::ops::Range;

use axum::http::HeaderValue;

/// One range as it was asked for; whether it fits is known only to who knows the size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ByteRange {
    /// `first-` or `first-last`; may lie behind the object or end there.
    From(Range<u64>),
    /// `-n`: the last n bytes.
    Last(u64),
}

impl ByteRange {
    /// Parses the header's value.
    pub(super) fn parse(value: &HeaderValue) -> Option<Self> {
        let (unit, range) = value.to_str().ok()?.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = range.trim().split_once('-')?;
        let (first, last) = (first.trim(), last.trim());
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => position(last).map(Self::Last),
            (false, true) => Some(Self::From(position(first)?..u64::MAX)),
            (false, false) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then(|| Self::From(first..last.saturating_add(1)))
            }
        }
    }

    /// Positions in an object of `size` bytes. The last no bytes are a range behind the end.
    pub(super) fn positions(self, size: u64) -> Range<u64> {
        match self {
            Self::From(range) => range,
            Self::Last(count) => size.saturating_sub(count)..u64::MAX,
        }
    }
}

/// Digits; a number beyond 64 bits is behind every object.
fn position(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<ByteRange> {
        ByteRange::parse(&HeaderValue::from_str(text).unwrap())
    }

    #[test]
    fn one_range_is_read_and_everything_else_is_none() {
        let from = |first, end| Some(ByteRange::From(first..end));
        assert_eq!(parse("bytes=0-499"), from(0, 500));
        assert_eq!(parse("Bytes = 5-5"), from(5, 6));
        assert_eq!(parse("bytes=7-"), from(7, u64::MAX));
        assert_eq!(parse("bytes=-500"), Some(ByteRange::Last(500)));
        assert_eq!(parse("bytes=99999999999999999999-"), from(u64::MAX, u64::MAX));
        assert_eq!(parse("bytes=1-99999999999999999999"), from(1, u64::MAX));
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "items=0-1",
            "bytes=0-1,4-5",
            "bytes=+1-2",
            "bytes=a-b",
            "bytes=1-2-3",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_last_bytes_have_a_place() {
        assert_eq!(ByteRange::Last(3).positions(10), 7..u64::MAX);
        assert_eq!(ByteRange::Last(30).positions(10), 0..u64::MAX);
        assert_eq!(ByteRange::Last(0).positions(10), 10..u64::MAX);
        assert_eq!(ByteRange::From(2..30).positions(10), 2..30);
    }

    proptest! {
        #[test]
        fn no_header_is_too_strange(value: Vec<u8>, text in "bytes ?= ?[0-9-]{0,24}") {
            let _ = HeaderValue::from_bytes(&value).map(|value| ByteRange::parse(&value));
            if let Some(ByteRange::From(range)) = parse(&text) {
                prop_assert!(range.start <= range.end);
            }
        }
    }
}
