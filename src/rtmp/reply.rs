//! Everything a server says, built by `rml_rtmp`. The bytes pile up until they are taken.

use std::collections::HashMap;

use rml_amf0::Amf0Value;
use rml_rtmp::{
    chunk_io::{ChunkSerializationError, ChunkSerializer},
    messages::{
        MessageSerializationError, PeerBandwidthLimitType, RtmpMessage, UserControlEventType,
    },
    time::RtmpTimestamp,
};

use super::{chunk::INITIAL_CHUNK_SIZE, enhanced};

/// Our chunk size. Encoders take it over for their own direction, and most messages then arrive
/// in one chunk, which needs no copy.
pub(super) const CHUNK_SIZE: u32 = 65536;
/// Window that we announce for both directions, in bytes.
const WINDOW_BYTES: u32 = 2_500_000;
/// Descriptions can carry names from outside; no client needs more of them.
const MAX_DESCRIPTION: usize = 1024;

/// An answer could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// A message could not be encoded.
    #[error("encode an answer: {0}")]
    Message(#[from] MessageSerializationError),
    /// A message could not be cut into chunks.
    #[error("cut an answer into chunks: {0}")]
    Chunk(#[from] ChunkSerializationError),
}

type Result<T> = std::result::Result<T, ReplyError>;

/// `level` of a status object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Status,
    Error,
}

/// Builds answers.
pub(super) struct Replies {
    serializer: ChunkSerializer,
    pub(super) output: Vec<u8>,
}

impl Replies {
    pub(super) fn new() -> Self {
        Self { serializer: ChunkSerializer::new(), output: Vec::new() }
    }

    /// What goes before the answer to `connect`: window, bandwidth and chunk size.
    pub(super) fn introduce(&mut self) -> Result<()> {
        self.send(RtmpMessage::WindowAcknowledgement { size: WINDOW_BYTES }, 0)?;
        let limit_type = PeerBandwidthLimitType::Dynamic;
        self.send(RtmpMessage::SetPeerBandwidth { size: WINDOW_BYTES, limit_type }, 0)?;
        let packet = self.serializer.set_max_chunk_size(CHUNK_SIZE, RtmpTimestamp::new(0))?;
        self.output.extend_from_slice(&packet.bytes);
        Ok(())
    }

    /// `_result` of `connect`. Object encoding 0 whatever was asked for: AMF0 is what we read.
    /// `is_enhanced` if the peer speaks enhanced RTMP.
    pub(super) fn connected(&mut self, transaction: f64, is_enhanced: bool) -> Result<()> {
        let mut properties = HashMap::from([
            ("fmsVer".to_owned(), text("FMS/3,0,1,123")),
            ("capabilities".to_owned(), Amf0Value::Number(31.0)),
        ]);
        let mut info =
            status(Level::Status, "NetConnection.Connect.Success", "connection succeeded");
        info.insert("objectEncoding".to_owned(), Amf0Value::Number(0.0));
        if is_enhanced {
            // "An object as one of the parameters": encoders look in one place or in the other.
            properties.extend(enhanced::members());
            info.extend(enhanced::members());
        }
        let properties = Amf0Value::Object(properties);
        self.command(0, "_result", transaction, properties, vec![Amf0Value::Object(info)])
    }

    /// `_result` with one value.
    pub(super) fn result(&mut self, transaction: f64, value: Amf0Value) -> Result<()> {
        self.command(0, "_result", transaction, Amf0Value::Null, vec![value])
    }

    /// `_error` with a status object.
    pub(super) fn error(&mut self, transaction: f64, code: &str, description: &str) -> Result<()> {
        let info = Amf0Value::Object(status(Level::Error, code, description));
        self.command(0, "_error", transaction, Amf0Value::Null, vec![info])
    }

    /// `onStatus` on a message stream.
    pub(super) fn on_status(
        &mut self,
        stream: u32,
        level: Level,
        code: &str,
        description: &str,
    ) -> Result<()> {
        self.notify(stream, "onStatus", level, code, description)
    }

    /// `onFCPublish`, `onFCUnpublish`: a status object under another name.
    pub(super) fn notify(
        &mut self,
        stream: u32,
        name: &str,
        level: Level,
        code: &str,
        description: &str,
    ) -> Result<()> {
        let info = Amf0Value::Object(status(level, code, description));
        self.command(stream, name, 0.0, Amf0Value::Null, vec![info])
    }

    /// Running total of the bytes received, modulo 2^32.
    pub(super) fn acknowledge(&mut self, total: u64) -> Result<()> {
        // Truncation on purpose: the sequence number wraps.
        self.send(RtmpMessage::Acknowledgement { sequence_number: total as u32 }, 0)
    }

    /// Answer to a ping.
    pub(super) fn pong(&mut self, timestamp: u32) -> Result<()> {
        let timestamp = Some(RtmpTimestamp::new(timestamp));
        self.user_control(UserControlEventType::PingResponse, None, timestamp)
    }

    /// A message stream begins to work.
    pub(super) fn stream_begin(&mut self, stream: u32) -> Result<()> {
        self.user_control(UserControlEventType::StreamBegin, Some(stream), None)
    }

    /// A message stream is over.
    pub(super) fn stream_eof(&mut self, stream: u32) -> Result<()> {
        self.user_control(UserControlEventType::StreamEof, Some(stream), None)
    }

    fn user_control(
        &mut self,
        event_type: UserControlEventType,
        stream_id: Option<u32>,
        timestamp: Option<RtmpTimestamp>,
    ) -> Result<()> {
        let message =
            RtmpMessage::UserControl { event_type, stream_id, buffer_length: None, timestamp };
        self.send(message, 0)
    }

    fn command(
        &mut self,
        stream: u32,
        name: &str,
        transaction_id: f64,
        command_object: Amf0Value,
        additional_arguments: Vec<Amf0Value>,
    ) -> Result<()> {
        let command_name = name.to_owned();
        let message = RtmpMessage::Amf0Command {
            command_name,
            transaction_id,
            command_object,
            additional_arguments,
        };
        self.send(message, stream)
    }

    fn send(&mut self, message: RtmpMessage, stream: u32) -> Result<()> {
        let payload = message.into_message_payload(RtmpTimestamp::new(0), stream)?;
        // Full headers where possible: some encoders read nothing else at first. The serializer
        // would repeat them on every chunk, so only for what is one chunk at any chunk size.
        let is_one_chunk = payload.data.len() <= INITIAL_CHUNK_SIZE;
        let packet = self.serializer.serialize(&payload, is_one_chunk, false)?;
        self.output.extend_from_slice(&packet.bytes);
        Ok(())
    }
}

fn text(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.to_owned())
}

fn status(level: Level, code: &str, description: &str) -> HashMap<String, Amf0Value> {
    let level = match level {
        Level::Status => "status",
        Level::Error => "error",
    };
    let end = description.floor_char_boundary(MAX_DESCRIPTION);
    let description = description.get(..end).unwrap_or_default();
    HashMap::from([
        ("level".to_owned(), text(level)),
        ("code".to_owned(), text(code)),
        ("description".to_owned(), text(description)),
    ])
}
