//! Bytes to values, within limits: nesting is bounded because the decoder recurses, the number of
//! values because one byte can make a value of forty. Strings are bounded by the input.

use super::{Amf0Error, Members, Text, Value, marker};

/// How much a sender may ask of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Containers inside one another; a value outside of any has depth 0.
    pub depth: usize,
    /// Values in all, members of containers included.
    pub nodes: usize,
}

impl Limits {
    /// Enough for any command or message an encoder sends.
    pub const MESSAGE: Limits = Limits { depth: 16, nodes: 4096 };
    /// Enough for the key frame index in the metadata of a file that is pushed as a stream.
    pub const METADATA: Limits = Limits { depth: 16, nodes: 65536 };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::MESSAGE
    }
}

/// Reads one value and leaves `input` behind it.
///
/// # Errors
/// The bytes are no AMF0 value, or more of it than `limits` permits; `input` is then unspecified.
pub fn decode(input: &mut &[u8], limits: Limits) -> Result<Value, Amf0Error> {
    let mut decoder = Decoder { input, limits, nodes: 0 };
    let value = decoder.value(0)?;
    *input = decoder.input;
    Ok(value)
}

/// Reads values up to the end of `input`, under [`Limits::MESSAGE`] for all of them together.
///
/// # Errors
/// As [`decode`].
pub fn decode_all(input: &[u8]) -> Result<Vec<Value>, Amf0Error> {
    decode_all_within(input, Limits::MESSAGE)
}

/// Reads values up to the end of `input`, under `limits` for all of them together.
///
/// # Errors
/// As [`decode`].
pub fn decode_all_within(input: &[u8], limits: Limits) -> Result<Vec<Value>, Amf0Error> {
    let mut decoder = Decoder { input, limits, nodes: 0 };
    let mut values = Vec::new();
    while !decoder.input.is_empty() {
        values.push(decoder.value(0)?);
    }
    Ok(values)
}

struct Decoder<'a> {
    input: &'a [u8],
    limits: Limits,
    nodes: usize,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(Amf0Error::TooMany(self.limits.nodes));
        }
        let [found] = self.array("value")?;
        let is_container = matches!(
            found,
            marker::OBJECT | marker::ECMA_ARRAY | marker::STRICT_ARRAY | marker::TYPED_OBJECT
        );
        if is_container && depth >= self.limits.depth {
            return Err(Amf0Error::TooDeep(self.limits.depth));
        }
        Ok(match found {
            marker::NUMBER => Value::Number(f64::from_be_bytes(self.array("number")?)),
            marker::BOOLEAN => Value::Boolean(self.array("boolean")? != [0]),
            marker::STRING => Value::String(self.text("string")?),
            marker::OBJECT => Value::Object(self.members(depth)?),
            marker::MOVIE_CLIP => Value::MovieClip,
            marker::NULL => Value::Null,
            marker::UNDEFINED => Value::Undefined,
            marker::REFERENCE => Value::Reference(u16::from_be_bytes(self.array("reference")?)),
            marker::ECMA_ARRAY => {
                // Encoders write counts that are too small, too large or 0: the end marker counts.
                let _count: [u8; 4] = self.array("associative array")?;
                Value::EcmaArray(self.members(depth)?)
            }
            marker::STRICT_ARRAY => Value::StrictArray(self.elements(depth)?),
            marker::DATE => Value::Date {
                ms: f64::from_be_bytes(self.array("date")?),
                zone: i16::from_be_bytes(self.array("date")?),
            },
            marker::LONG_STRING => Value::LongString(self.long_text("long string")?),
            marker::UNSUPPORTED => Value::Unsupported,
            marker::RECORD_SET => Value::RecordSet,
            marker::XML_DOCUMENT => Value::Xml(self.long_text("XML document")?),
            marker::TYPED_OBJECT => Value::TypedObject {
                class: self.text("class name")?,
                members: self.members(depth)?,
            },
            marker::AVM_PLUS => return Err(Amf0Error::Amf3),
            other => return Err(Amf0Error::Marker(other)),
        })
    }

    /// Members up to the end marker. Encoders are known to leave the marker out at the end of a
    /// message, so the end of the input is an end as well, but only where a name would begin.
    fn members(&mut self, depth: usize) -> Result<Members, Amf0Error> {
        let mut members = Vec::new();
        while !self.input.is_empty() {
            let name = self.text("member name")?;
            if name.as_bytes().is_empty() && self.input.first() == Some(&marker::OBJECT_END) {
                let _end: [u8; 1] = self.array("end marker")?;
                break;
            }
            members.push((name, self.value(depth + 1)?));
        }
        Ok(members)
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Value>, Amf0Error> {
        let count = u32::from_be_bytes(self.array("array")?);
        // Nothing is reserved ahead: the count is the sender's word.
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(self.value(depth + 1)?);
        }
        Ok(elements)
    }

    fn text(&mut self, what: &'static str) -> Result<Text, Amf0Error> {
        let length = u16::from_be_bytes(self.array(what)?);
        self.bytes(usize::from(length), what)
    }

    fn long_text(&mut self, what: &'static str) -> Result<Text, Amf0Error> {
        let length = u32::from_be_bytes(self.array(what)?);
        self.bytes(usize::try_from(length).unwrap_or(usize::MAX), what)
    }

    fn bytes(&mut self, length: usize, what: &'static str) -> Result<Text, Amf0Error> {
        let cut = Amf0Error::Truncated(what);
        let (bytes, rest) = self.input.split_at_checked(length).ok_or(cut)?;
        self.input = rest;
        Ok(bytes.into())
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Amf0Error> {
        let cut = Amf0Error::Truncated(what);
        let (bytes, rest) = self.input.split_first_chunk::<N>().ok_or(cut)?;
        self.input = rest;
        Ok(*bytes)
    }
}
