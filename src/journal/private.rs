//! The journal's own script tags among those of the encoder.
//!
//! The payload of each is the AMF0 string `liverec` followed by an AMF0 long string of JSON, so a
//! player passes over it and a person can read it:
//!
//! ```text
//! {"head":{...,"crc":"0123abcd"}}        first tag of every file, see [`Head`]
//! {"clock":1795344236000}                arrival wall time, unix milliseconds
//! {"note":"..."}                         text of the caller
//! {"next":{"time_ms":..,"literal":..}}   about the tag that follows, see [`Next`]
//! ```
//!
//! The `crc` of a head, of all JSON before it, stands last. Heads of earlier versions have none and
//! earlier versions pass over it, so it is no other format.

use serde::{Deserialize, Serialize};

use crate::domain::ids::SessionId;

/// The first bytes of the payload of a private tag.
pub(super) const MARKER: &[u8] = b"\x02\x00\x07liverec\x0c";

/// Version of the layout of the data files.
pub(super) const FORMAT: u32 = 1;

/// How the JSON of a head goes on behind what its checksum is of, and ends.
const CRC_KEY: &[u8] = b",\"crc\":\"";
const CRC_DIGITS: usize = 8;
const CLOSING: &[u8] = b"}}";

/// A private tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Private {
    /// Start of a file.
    Head(Box<Head>),
    /// Unix milliseconds at which the next tag arrived.
    Clock(i64),
    /// Text of the caller.
    Note(String),
    /// About the next tag.
    Next(Next),
}

/// What the bytes of the next tag cannot say themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Next {
    /// Its 64-bit time, where the nearest value to the clock with its low 32 bits is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<i64>,
    /// It is the encoder's, though it looks like a private tag.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub literal: bool,
}

/// Everything needed to read the tags of a file without the files before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose journal.
    pub session: SessionId,
    /// Number of the file, from 1.
    pub file: u32,
    /// Logical position of the first tag after the prefix.
    pub base: u64,
    /// The 64-bit clock: time of the last tag before this file, 0 in the first file.
    pub clock_ms: i64,
    /// Unix milliseconds when the first tag of the file arrived.
    pub wall_ms: i64,
    /// Ordinal for the next new configuration.
    pub next_config: u32,
    /// Notes in the files before this one.
    pub notes: u32,
    /// Tags after this one that only repeat what an earlier file holds.
    pub repeated: u32,
    /// True if the first of them is the encoder's onMetaData.
    pub metadata: bool,
    /// Which of them brought the configuration in force of which track.
    pub configs: Vec<HeadConfig>,
    /// What the repeated tags are; then this head stands once more behind them, and they once more
    /// behind it, which [`Head::repeated`] counts. Files of earlier versions have neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<Check>>,
    /// The caller's text about the session.
    pub head: String,
}

/// A configuration in force at the start of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeadConfig {
    /// Number of the track kind.
    pub track: u8,
    /// Enhanced RTMP track id.
    pub track_id: u8,
    /// Ordinal within the session, from 1.
    pub config: u32,
    /// Which of the repeated tags holds it, from 0.
    pub tag: u32,
}

/// How a repeated tag is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Check {
    /// Its length, header and back pointer included.
    pub len: u32,
    /// CRC-32 of all of it.
    pub crc: u32,
}

impl Check {
    /// Of the bytes of a tag.
    pub fn of(tag: &[u8]) -> Self {
        Check { len: tag.len() as u32, crc: crc32fast::hash(tag) }
    }
}

impl Private {
    /// The payload of the script tag.
    pub fn encode(&self) -> Vec<u8> {
        // Serializing can only fail for maps with odd keys, of which there are none.
        let mut json = serde_json::to_vec(self).unwrap_or_default();
        if matches!(self, Private::Head(head) if head.checks.is_some()) {
            json.truncate(json.len().saturating_sub(CLOSING.len()));
            let crc = crc32fast::hash(&json);
            json.extend_from_slice(CRC_KEY);
            json.extend_from_slice(format!("{crc:08x}\"").as_bytes());
            json.extend_from_slice(CLOSING);
        }
        let mut payload = Vec::with_capacity(MARKER.len() + 4 + json.len());
        payload.extend_from_slice(MARKER);
        payload.extend_from_slice(&(json.len() as u32).to_be_bytes());
        payload.extend_from_slice(&json);
        payload
    }

    /// Reads the payload of a script tag that begins with [`MARKER`].
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let rest = payload.strip_prefix(MARKER)?;
        let (len, json) = rest.split_first_chunk::<4>()?;
        if u32::from_be_bytes(*len) as usize != json.len() {
            return None;
        }
        let tag = serde_json::from_slice(json).ok()?;
        let must_have_crc = matches!(&tag, Private::Head(head) if head.checks.is_some());
        (has_true_crc(json).unwrap_or(!must_have_crc)).then_some(tag)
    }
}

/// Whether the JSON of a head is what its checksum says; `None` if it has none.
pub(super) fn has_true_crc(json: &[u8]) -> Option<bool> {
    let rest = json.strip_suffix(CLOSING)?.strip_suffix(b"\"")?;
    let (rest, digits) = rest.split_last_chunk::<CRC_DIGITS>()?;
    // Inside of a text there is a backslash before every quote.
    let checked = rest.strip_suffix(CRC_KEY)?;
    Some(format!("{:08x}", crc32fast::hash(checked)).as_bytes() == digits)
}

/// True if a script tag would be taken for a private one.
pub(super) fn is_private(payload: &[u8]) -> bool {
    payload.starts_with(MARKER)
}

/// True if the payload of a script tag is the encoder's description of its stream.
pub(super) fn is_metadata(payload: &[u8]) -> bool {
    let payload = payload.strip_prefix(b"\x02\x00\x0d@setDataFrame").unwrap_or(payload);
    payload.starts_with(b"\x02\x00\x0aonMetaData")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn private_tags_read_back() {
        let next = Next { time_ms: Some(-1), literal: true };
        for tag in [
            Private::Clock(i64::MIN),
            Private::Note("{\"a\":\"\u{1}\"}".into()),
            Private::Next(next),
        ] {
            let payload = tag.encode();
            assert!(is_private(&payload));
            assert_eq!(Private::decode(&payload), Some(tag));
            for cut in 0..payload.len() {
                assert_eq!(Private::decode(&payload[..cut]), None);
            }
        }
        insta::assert_snapshot!(Private::Clock(5).encode().escape_ascii(), @r#"\x02\x00\x07liverec\x0c\x00\x00\x00\x0b{\"clock\":5}"#);
        insta::assert_snapshot!(Private::Next(Next::default()).encode().escape_ascii(), @r#"\x02\x00\x07liverec\x0c\x00\x00\x00\x0b{\"next\":{}}"#);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            (clock, time_ms, literal) in any::<(i64, Option<i64>, bool)>(),
            text in any::<String>(),
            (base, numbers) in any::<(u64, [u32; 5])>(),
            places in prop::collection::vec(any::<(u8, u8, u32, u32)>(), 0..4),
        ) {
            let [format, file, next_config, notes, repeated] = numbers;
            let head = Head {
                format,
                session: SessionId::new(clock),
                file,
                base,
                clock_ms: clock,
                wall_ms: clock,
                next_config,
                notes,
                repeated,
                metadata: literal,
                configs: places
                    .into_iter()
                    .map(|(track, track_id, config, tag)| HeadConfig { track, track_id, config, tag })
                    .collect(),
                checks: literal.then(|| vec![Check { len: file, crc: notes }]),
                head: text.clone(),
            };
            for tag in [
                Private::Clock(clock),
                Private::Note(text),
                Private::Next(Next { time_ms, literal }),
                Private::Head(Box::new(head)),
            ] {
                prop_assert_eq!(Private::decode(&tag.encode()), Some(tag));
            }
        }

        #[test]
        fn any_text_is_survived(json in prop::collection::vec(any::<u8>(), 0..200)) {
            let length = (json.len() as u32).to_be_bytes();
            Private::decode(&[MARKER, &length, &json].concat());
        }
    }
}
