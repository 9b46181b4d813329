//! Values to bytes.

use super::{Text, Value, marker};

/// The longest name or short string, in bytes.
const SHORT_MAX: usize = u16::MAX as usize;

/// Appends `value`. What the wire has no room for is cut: names and classes at 65535 bytes, long
/// strings and counts at 32 bits. No value that was decoded is that long.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            out.push(marker::NUMBER);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(boolean) => out.extend_from_slice(&[marker::BOOLEAN, u8::from(*boolean)]),
        Value::String(text) if text.as_bytes().len() > SHORT_MAX => {
            encode_long_text(marker::LONG_STRING, text, out);
        }
        Value::String(text) => {
            out.push(marker::STRING);
            encode_text(text, out);
        }
        Value::Object(members) => {
            out.push(marker::OBJECT);
            encode_members(members, out);
        }
        Value::MovieClip => out.push(marker::MOVIE_CLIP),
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
        Value::Reference(index) => {
            out.push(marker::REFERENCE);
            out.extend_from_slice(&index.to_be_bytes());
        }
        Value::EcmaArray(members) => {
            out.push(marker::ECMA_ARRAY);
            out.extend_from_slice(&count(members.len()).to_be_bytes());
            encode_members(members, out);
        }
        Value::StrictArray(elements) => {
            out.push(marker::STRICT_ARRAY);
            let count = count(elements.len());
            out.extend_from_slice(&count.to_be_bytes());
            elements.iter().take(count as usize).for_each(|element| encode(element, out));
        }
        Value::Date { ms, zone } => {
            out.push(marker::DATE);
            out.extend_from_slice(&ms.to_be_bytes());
            out.extend_from_slice(&zone.to_be_bytes());
        }
        Value::LongString(text) => encode_long_text(marker::LONG_STRING, text, out),
        Value::Unsupported => out.push(marker::UNSUPPORTED),
        Value::RecordSet => out.push(marker::RECORD_SET),
        Value::Xml(text) => encode_long_text(marker::XML_DOCUMENT, text, out),
        Value::TypedObject { class, members } => {
            out.push(marker::TYPED_OBJECT);
            encode_text(class, out);
            encode_members(members, out);
        }
    }
}

/// The bytes of `values` one behind the other.
pub fn encode_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut out = Vec::new();
    values.into_iter().for_each(|value| encode(value, &mut out));
    out
}

fn encode_members(members: &[(Text, Value)], out: &mut Vec<u8>) {
    for (name, value) in members {
        encode_text(name, out);
        encode(value, out);
    }
    out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

fn encode_text(text: &Text, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..SHORT_MAX).unwrap_or(bytes);
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn encode_long_text(marker: u8, text: &Text, out: &mut Vec<u8>) {
    let length = count(text.as_bytes().len());
    out.push(marker);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(text.as_bytes().iter().take(length as usize));
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
