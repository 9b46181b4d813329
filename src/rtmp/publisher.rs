//! A publishing RTMP client, as small as one can be: what the demonstration and the tests push
//! with. No sockets: the caller carries the bytes. It does not acknowledge, retry or drop.

use bytes::Bytes;
use rml_amf0::Amf0Value;
use rml_rtmp::{chunk_io::ChunkSerializer, messages::RtmpMessage, time::RtmpTimestamp};

use super::{
    chunk::{ChunkError, ChunkReader, Limits, MAX_CHUNK_SIZE, Message},
    command::{Command, CommandError},
    handshake::Handshake,
    session::{HandshakeError, ReplyError},
    type_id,
};
use crate::media::{
    amf0::Value,
    tag::{Tag, TagKind},
};

/// More than any answer needs, in bytes.
const ANSWER_LIMITS: Limits = Limits { message_bytes: 65536, partial_bytes: 131_072 };

/// Where to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Application.
    pub app: String,
    /// Address as it is put into `connect`, such as `rtmp://host/app`.
    pub tc_url: String,
    /// Stream name and its parameters.
    pub key: String,
}

/// How far a publisher has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Handshake.
    Greeting,
    /// Waiting for the answer to `connect`.
    Connecting,
    /// Waiting for a message stream.
    Creating,
    /// Waiting for the answer to `publish`.
    Asking,
    /// Tags may be sent.
    Publishing,
    /// The server does not want it, or ended it.
    Over {
        /// Such as `NetStream.Publish.Denied`.
        code: String,
        /// The server's words.
        description: String,
    },
}

/// Why publishing cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The server's chunks are malformed.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The server's answer cannot be read.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A message could not be built.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

/// One publish over one connection.
pub struct Publisher {
    target: Target,
    chunk_size: usize,
    phase: Phase,
    handshake: Handshake,
    reader: ChunkReader,
    serializer: ChunkSerializer,
    stream: u32,
    output: Vec<u8>,
}

impl Publisher {
    /// A publisher whose first bytes are ready to be sent. `chunk_size` is at least 1 and capped at
    /// 16777215.
    pub fn new(target: Target, chunk_size: usize) -> Result<Self, PublisherError> {
        let (handshake, output) = Handshake::client()?;
        Ok(Self {
            target,
            chunk_size: chunk_size.clamp(1, MAX_CHUNK_SIZE),
            phase: Phase::Greeting,
            handshake,
            reader: ChunkReader::new(ANSWER_LIMITS),
            serializer: ChunkSerializer::new(),
            stream: 1,
            output,
        })
    }

    /// How far it has come.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Takes what is to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Hands in what the server sent.
    pub fn receive(&mut self, mut bytes: Bytes) -> Result<(), PublisherError> {
        if self.phase == Phase::Greeting {
            if !self.handshake.read(&mut bytes, &mut self.output)? {
                return Ok(());
            }
            self.connect()?;
        }
        while let Some(message) = self.reader.read(&mut bytes)? {
            if message.type_id == type_id::COMMAND_AMF0 {
                self.answered(&message)?;
            }
        }
        Ok(())
    }

    /// Queues one tag. Only the low 32 bits of its time go over the wire.
    pub fn tag(&mut self, tag: &Tag) {
        // A chunk stream of its own per kind, apart from those of the serializer.
        let csid = match tag.kind {
            TagKind::Script => 10,
            TagKind::Audio => 11,
            TagKind::Video => 12,
        };
        // Truncation on purpose: the wire has 32 bits.
        let timestamp = tag.time_ms as u32;
        let [_, time @ ..] = timestamp.min(0xFF_FFFF).to_be_bytes();
        let [_, length @ ..] = (tag.payload.len() as u32).to_be_bytes();
        let extended = timestamp.to_be_bytes();
        let extended = if timestamp >= 0xFF_FFFF { &extended[..] } else { &[] };
        self.output.push(csid);
        self.output.extend_from_slice(&time);
        self.output.extend_from_slice(&length);
        self.output.push(tag.kind as u8);
        self.output.extend_from_slice(&self.stream.to_le_bytes());
        self.output.extend_from_slice(extended);
        for (index, chunk) in tag.payload.chunks(self.chunk_size).enumerate() {
            if index > 0 {
                self.output.push(0xC0 | csid);
                self.output.extend_from_slice(extended);
            }
            self.output.extend_from_slice(chunk);
        }
    }

    /// Queues the end of the publish.
    pub fn finish(&mut self) -> Result<(), PublisherError> {
        let name = vec![Amf0Value::Utf8String(self.target.key.clone())];
        self.command(0, "FCUnpublish", 6.0, Amf0Value::Null, name)?;
        let stream = vec![Amf0Value::Number(f64::from(self.stream))];
        self.command(0, "deleteStream", 7.0, Amf0Value::Null, stream)
    }

    fn connect(&mut self) -> Result<(), PublisherError> {
        self.phase = Phase::Connecting;
        let size = self.chunk_size as u32;
        let packet = self.serializer.set_max_chunk_size(size, RtmpTimestamp::new(0));
        self.output.extend_from_slice(&packet.map_err(ReplyError::from)?.bytes);
        let object = [
            ("app", self.target.app.as_str()),
            ("type", "nonprivate"),
            ("flashVer", "FMLE/3.0 (compatible; liverec)"),
            ("tcUrl", self.target.tc_url.as_str()),
        ];
        let object =
            object.map(|(name, text)| (name.to_owned(), Amf0Value::Utf8String(text.to_owned())));
        self.command(0, "connect", 1.0, Amf0Value::Object(object.into()), Vec::new())
    }

    /// What the server's answer makes us do next.
    fn answered(&mut self, message: &Message) -> Result<(), PublisherError> {
        let answer = Command::decode(&message.payload)?;
        let info = answer.argument(0);
        let word =
            |name| info.and_then(|info| info.get(name)).and_then(Value::as_str).unwrap_or_default();
        let is_error = answer.name == "_error" || word("level") == "error";
        match (answer.name.as_str(), &self.phase) {
            _ if is_error => {
                let (code, description) = (word("code").to_owned(), word("description").to_owned());
                self.phase = Phase::Over { code, description };
            }
            ("_result", Phase::Connecting) if answer.transaction == 1.0 => {
                self.phase = Phase::Creating;
                let key = || vec![Amf0Value::Utf8String(self.target.key.clone())];
                let (release, publish) = (key(), key());
                self.command(0, "releaseStream", 2.0, Amf0Value::Null, release)?;
                self.command(0, "FCPublish", 3.0, Amf0Value::Null, publish)?;
                self.command(0, "createStream", 4.0, Amf0Value::Null, Vec::new())?;
            }
            ("_result", Phase::Creating) if answer.transaction == 4.0 => {
                self.phase = Phase::Asking;
                // Saturating on purpose: the number comes from the other side.
                self.stream = info.and_then(Value::as_number).map_or(1, |id| id as u32);
                let key = Amf0Value::Utf8String(self.target.key.clone());
                let mode = Amf0Value::Utf8String("live".to_owned());
                self.command(self.stream, "publish", 5.0, Amf0Value::Null, vec![key, mode])?;
            }
            ("onStatus", Phase::Asking) if word("code") == "NetStream.Publish.Start" => {
                self.phase = Phase::Publishing;
            }
            ("onStatus", Phase::Publishing) if word("code").starts_with("NetStream.Unpublish") => {
                let (code, description) = (word("code").to_owned(), word("description").to_owned());
                self.phase = Phase::Over { code, description };
            }
            _ => {}
        }
        Ok(())
    }

    fn command(
        &mut self,
        stream: u32,
        name: &str,
        transaction_id: f64,
        command_object: Amf0Value,
        additional_arguments: Vec<Amf0Value>,
    ) -> Result<(), PublisherError> {
        let command_name = name.to_owned();
        let message = RtmpMessage::Amf0Command {
            command_name,
            transaction_id,
            command_object,
            additional_arguments,
        };
        let payload = message
            .into_message_payload(RtmpTimestamp::new(0), stream)
            .map_err(ReplyError::from)?;
        let packet = self.serializer.serialize(&payload, false, false).map_err(ReplyError::from)?;
        self.output.extend_from_slice(&packet.bytes);
        Ok(())
    }
}
