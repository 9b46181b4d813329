//! AMF0 (Action Message Format 0, the specification of 2007): the values of RTMP commands and FLV
//! script data.
//!
//! Every type is kept, in order, and strings as the bytes they are, so that an encoder's metadata
//! can be written again without a loss. AMF3 (marker 0x11) is not read: callers stop there.

mod decode;
mod encode;

use std::borrow::Cow;
use std::fmt;

pub use decode::{Limits, decode, decode_all, decode_all_within};
pub use encode::{encode, encode_all};

/// Type markers (AMF0 2.1).
mod marker {
    pub const NUMBER: u8 = 0x00;
    pub const BOOLEAN: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const OBJECT: u8 = 0x03;
    pub const MOVIE_CLIP: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const UNDEFINED: u8 = 0x06;
    pub const REFERENCE: u8 = 0x07;
    pub const ECMA_ARRAY: u8 = 0x08;
    pub const OBJECT_END: u8 = 0x09;
    pub const STRICT_ARRAY: u8 = 0x0a;
    pub const DATE: u8 = 0x0b;
    pub const LONG_STRING: u8 = 0x0c;
    pub const UNSUPPORTED: u8 = 0x0d;
    pub const RECORD_SET: u8 = 0x0e;
    pub const XML_DOCUMENT: u8 = 0x0f;
    pub const TYPED_OBJECT: u8 = 0x10;
    pub const AVM_PLUS: u8 = 0x11;
}

/// Text as it came over the wire: UTF-8 by specification, other bytes in practice.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Vec<u8>);

impl Text {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text with a replacement character for what is not UTF-8.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Text(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Text(bytes)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_str_lossy(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_str_lossy())
    }
}

/// The members of an object in their order; a name may occur twice.
pub type Members = Vec<(Text, Value)>;

/// One AMF0 value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A double, which is AMF0's only number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text; written as a long string if it has more than 65535 bytes.
    String(Text),
    /// An anonymous object.
    Object(Members),
    /// Reserved by the specification; nothing follows the marker.
    MovieClip,
    /// Null.
    Null,
    /// Undefined.
    Undefined,
    /// The n-th object sent before.
    Reference(u16),
    /// An associative array. The count that precedes it on the wire is a hint and not kept.
    EcmaArray(Members),
    /// An array by index.
    StrictArray(Vec<Value>),
    /// A point in time.
    Date {
        /// Milliseconds since 1970-01-01 UTC.
        ms: f64,
        /// Time zone; reserved, 0.
        zone: i16,
    },
    /// Text that was sent with a 32-bit length.
    LongString(Text),
    /// A value its sender could not write.
    Unsupported,
    /// Reserved by the specification; nothing follows the marker.
    RecordSet,
    /// An XML document.
    Xml(Text),
    /// An object with a class.
    TypedObject {
        /// Name of the class.
        class: Text,
        /// Members in their order.
        members: Members,
    },
}

impl Value {
    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }

    /// The text of a string, long string or XML document.
    pub fn as_text(&self) -> Option<&Text> {
        match self {
            Value::String(text) | Value::LongString(text) | Value::Xml(text) => Some(text),
            _ => None,
        }
    }

    /// The same, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_text()?.as_str()
    }

    /// The members of an object, associative array or typed object.
    pub fn members(&self) -> Option<&[(Text, Value)]> {
        match self {
            Value::Object(members)
            | Value::EcmaArray(members)
            | Value::TypedObject { members, .. } => Some(members),
            _ => None,
        }
    }

    /// The first member with this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members()?.iter().find_map(|(key, value)| (key == name).then_some(value))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Value::Boolean(boolean)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

/// Why bytes are no AMF0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Amf0Error {
    /// The value continues past the end.
    #[error("AMF0 {0} is cut short")]
    Truncated(&'static str),
    /// No type has this marker, or it stands where no value begins.
    #[error("AMF0 marker {0:#04x} is unknown or out of place")]
    Marker(u8),
    /// An AMF3 value begins here.
    #[error("AMF3 value inside AMF0")]
    Amf3,
    /// Values are nested more deeply than [`Limits::depth`].
    #[error("AMF0 values are nested more than {0} deep")]
    TooDeep(usize),
    /// There are more values than [`Limits::nodes`].
    #[error("more than {0} AMF0 values")]
    TooMany(usize),
}

#[cfg(test)]
mod tests;
