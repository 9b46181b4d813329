//! Script data (FLV v10.1 E.4.4): its name and values, and the encoder's onMetaData with our keys
//! merged in.
//!
//! RTMP wraps onMetaData in a data message `@setDataFrame`; the journal keeps that, and bodies of
//! FLV files too. Only the onMetaData of the head is written without.

use crate::media::amf0::{
    Amf0Error, Limits, Members, Text, Value, decode, decode_all_within, encode, encode_all,
};

/// The name of the data message that sets metadata.
const SET_DATA_FRAME: &str = "@setDataFrame";
/// The name of the metadata themselves.
pub const ON_META_DATA: &str = "onMetaData";
/// Type marker of an AMF0 string.
const STRING_MARKER: u8 = 2;
/// The longest onMetaData that is merged into a head. A longer one stays where it is.
pub const METADATA_MAX: usize = 1 << 20;

/// Decoded script data.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptData {
    /// The name: `onMetaData`, `onTextData`, `onCuePoint`, ...
    pub name: Text,
    /// What follows the name.
    pub values: Vec<Value>,
}

/// Reads a script payload, passing over a leading `@setDataFrame`.
///
/// # Errors
/// It is no AMF0, has more or deeper values than [`Limits::METADATA`], or does not begin with a
/// name.
pub fn decode_script(payload: &[u8]) -> Result<ScriptData, Amf0Error> {
    let mut rest = payload;
    let name = decode_name(&mut rest)?;
    Ok(ScriptData { name, values: decode_all_within(rest, Limits::METADATA)? })
}

/// The name at the beginning of `rest`, which is left behind it.
fn decode_name(rest: &mut &[u8]) -> Result<Text, Amf0Error> {
    loop {
        let marker = *rest.first().ok_or(Amf0Error::Truncated("name"))?;
        // Checked before, so that an object in the name's place is not read for nothing.
        if marker != STRING_MARKER {
            return Err(Amf0Error::Marker(marker));
        }
        match decode(rest, Limits::MESSAGE)? {
            Value::String(name) if name != SET_DATA_FRAME => return Ok(name),
            _ => {}
        }
    }
}

/// True if `payload` is an onMetaData that [`merge_metadata`] can take over: readable, and not
/// longer than [`METADATA_MAX`].
pub fn is_metadata(payload: &[u8]) -> bool {
    metadata(payload).is_some()
}

/// The values of an onMetaData.
fn metadata(payload: &[u8]) -> Option<Vec<Value>> {
    if payload.len() > METADATA_MAX {
        return None;
    }
    // Most script tags are something else: do not read them all for that.
    let mut rest = payload;
    if decode_name(&mut rest).ok()? != ON_META_DATA {
        return None;
    }
    decode_all_within(rest, Limits::METADATA).ok()
}

/// An onMetaData payload for the head of a file: every key of the encoder's in its order, ours in
/// their place where the encoder has them too, and behind where it has not. Anything behind the
/// encoder's keys is kept. An `original` that is no readable onMetaData adds nothing.
pub fn merge_metadata(original: Option<&[u8]>, additions: Vec<(&str, Value)>) -> Vec<u8> {
    let mut values = original.and_then(metadata).unwrap_or_default().into_iter();
    let (members, behind) = match values.next() {
        Some(
            Value::EcmaArray(members) | Value::Object(members) | Value::TypedObject { members, .. },
        ) => (members, None),
        // Metadata that are no keys: kept behind ours, where a player passes over them as before.
        other => (Members::new(), other),
    };
    let mut payload = encode_all([&Value::from(ON_META_DATA)]);
    encode(&Value::EcmaArray(merge_members(members, additions)), &mut payload);
    behind.iter().chain(values.as_slice()).for_each(|value| encode(value, &mut payload));
    payload
}

fn merge_members(original: Members, additions: Vec<(&str, Value)>) -> Members {
    let names: Vec<&str> = additions.iter().map(|(name, _)| *name).collect();
    let mut pending: Vec<Option<Value>> = additions.into_iter().map(|(_, v)| Some(v)).collect();
    let mut merged = Members::with_capacity(original.len() + names.len());
    for (key, value) in original {
        match names.iter().position(|name| key == *name).and_then(|at| pending.get_mut(at)) {
            None => merged.push((key, value)),
            // A key of ours that the encoder has twice is written once: readers differ in which
            // of the two they take.
            Some(ours) => merged.extend(ours.take().map(|ours| (key, ours))),
        }
    }
    let rest = names.iter().zip(pending);
    merged.extend(rest.filter_map(|(name, ours)| Some((Text::from(*name), ours?))));
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata_payload(prefix: &[&str], value: Value) -> Vec<u8> {
        let mut values: Vec<Value> = prefix.iter().map(|name| Value::from(*name)).collect();
        values.push(value);
        encode_all(&values)
    }

    fn keys(pairs: &[(&str, f64)]) -> Value {
        Value::EcmaArray(pairs.iter().map(|(key, n)| ((*key).into(), (*n).into())).collect())
    }

    #[test]
    fn names() {
        for prefix in [&["onMetaData"][..], &["@setDataFrame", "onMetaData"]] {
            let payload = metadata_payload(prefix, keys(&[("width", 1.0)]));
            let script = decode_script(&payload).unwrap();
            assert_eq!(
                (script.name, script.values),
                ("onMetaData".into(), vec![keys(&[("width", 1.0)])])
            );
            assert!(is_metadata(&payload));
        }
        let text = metadata_payload(&["onTextData"], Value::Null);
        assert_eq!(decode_script(&text).unwrap().name, "onTextData");
        assert!(!is_metadata(&text));
        assert_eq!(decode_script(b"\x05"), Err(Amf0Error::Marker(5)));
        assert_eq!(decode_script(b""), Err(Amf0Error::Truncated("name")));
        assert_eq!(decode_script(b"\x02\0\x0d@setDataFrame"), Err(Amf0Error::Truncated("name")));
    }

    #[test]
    fn metadata_that_cannot_be_merged_stay_where_they_are() {
        assert!(is_metadata(b"\x02\0\x0aonMetaData"));
        assert!(!is_metadata(b"\x02\0\x0aonMetaData\x11\x0a"));
        assert!(!is_metadata(b"\x02\0\x0aonMetaData\x08\0\0\0\x01\0"));
        let padding = "x".repeat(METADATA_MAX);
        assert!(!is_metadata(&metadata_payload(&["onMetaData"], padding.as_str().into())));
        assert_eq!(merge_metadata(Some(b"\x11"), vec![]), merge_metadata(None, vec![]));
    }

    #[test]
    fn merging_keeps_what_is_not_ours() {
        let original = keys(&[("b", 1.0), ("duration", 0.0), ("a", 2.0), ("duration", 3.0)]);
        let payload = metadata_payload(&["@setDataFrame", "onMetaData"], original);
        let additions = vec![("filesize", 9.0.into()), ("duration", 4.0.into())];
        let merged = merge_metadata(Some(&payload), additions);
        let expected = keys(&[("b", 1.0), ("duration", 4.0), ("a", 2.0), ("filesize", 9.0)]);
        assert_eq!(merged, metadata_payload(&["onMetaData"], expected));
    }

    #[test]
    fn odd_metadata_are_kept_as_well() {
        let object = Value::Object(vec![(b"\xe9"[..].into(), Value::Date { ms: 1.0, zone: 0 })]);
        let members = object.members().unwrap().to_vec();
        let payload = encode_all(&["onMetaData".into(), object, "behind".into()]);
        let expected =
            encode_all(&["onMetaData".into(), Value::EcmaArray(members), "behind".into()]);
        assert_eq!(merge_metadata(Some(&payload), vec![]), expected);
        let null = metadata_payload(&["onMetaData"], Value::Null);
        let expected = encode_all(&["onMetaData".into(), keys(&[("a", 1.0)]), Value::Null]);
        assert_eq!(merge_metadata(Some(&null), vec![("a", 1.0.into())]), expected);
        assert_eq!(
            merge_metadata(None, vec![("a", 1.0.into())]),
            metadata_payload(&["onMetaData"], keys(&[("a", 1.0)]))
        );
    }
}
