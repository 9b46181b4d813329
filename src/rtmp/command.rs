//! Reads command messages (RTMP 1.0 section 7.2): name, transaction, object, arguments.

use crate::{
    media::amf0::{self, Amf0Error, Value},
    rtmp::enhanced,
};

/// Why a command cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The values are not AMF0.
    #[error("command: {0}")]
    Amf0(#[from] Amf0Error),
    /// The first value is no text.
    #[error("command without a name")]
    Name,
}

/// One command.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) name: String,
    /// 0 when no answer is expected.
    pub(super) transaction: f64,
    /// Everything after the transaction; the first is the command object.
    values: Vec<Value>,
}

impl Command {
    /// Decodes an AMF0 command body.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, CommandError> {
        let mut values = amf0::decode_all(payload)?.into_iter();
        let name = values.next().and_then(|name| name.as_str().map(str::to_owned));
        Ok(Self {
            name: name.ok_or(CommandError::Name)?,
            transaction: values.next().and_then(|value| value.as_number()).unwrap_or(0.0),
            values: values.collect(),
        })
    }

    /// The command object, if there is one.
    pub(super) fn object(&self) -> Option<&Value> {
        self.values.first()
    }

    /// The `index`-th argument after the command object.
    pub(super) fn argument(&self, index: usize) -> Option<&Value> {
        self.values.get(index + 1)
    }

    /// The same, as text.
    pub(super) fn text(&self, index: usize) -> Option<&str> {
        self.argument(index)?.as_str()
    }
}

/// What an encoder said of itself in `connect`.
#[derive(Debug, Clone, PartialEq)]
pub struct Connect {
    /// The whole command object, in order: `flashVer`, `fourCcList`, `capsEx` and the rest.
    pub object: Value,
    /// Application, with whatever query it came with.
    pub app: String,
    /// Address the encoder was told to connect to; empty if it did not say.
    pub tc_url: String,
}

impl Connect {
    /// `None` if no application is named.
    pub(super) fn from_command(command: &Command) -> Option<Self> {
        let object = command.object()?;
        let app = object.get("app")?.as_str()?.to_owned();
        let tc_url = object.get("tcUrl").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self { object: object.clone(), app, tc_url })
    }

    /// Name and version of the encoder; empty if it did not say.
    pub fn flash_ver(&self) -> &str {
        self.object.get("flashVer").and_then(Value::as_str).unwrap_or_default()
    }

    /// True when the encoder speaks enhanced RTMP.
    pub fn is_enhanced(&self) -> bool {
        enhanced::is_spoken_by(&self.object)
    }
}
