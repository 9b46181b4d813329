//! One RTMP connection as a server sees it: handshake, commands, media. Bytes and decisions go
//! in, [`Event`]s and answers come out.
//!
//! Who may publish is not decided here: a publish command stops the reading until
//! [`ServerSession::accept`] or [`ServerSession::refuse`], so media sent right behind it wait
//! where they are and none is lost. Payloads are handed on as they came.

mod commands;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};

use super::{
    aggregate::Aggregate,
    chunk::{ChunkError, ChunkReader, Limits, Message},
    clock::Clock,
    handshake::Handshake,
    reply::{Level, Replies},
    timing::says_the_time,
    type_id,
};
pub use super::{
    aggregate::CutShort,
    command::{CommandError, Connect},
    handshake::HandshakeError,
    reply::ReplyError,
};
use crate::media::tag::{Tag, TagKind};

/// Message streams of one connection.
pub const MAX_MESSAGE_STREAMS: usize = 8;
/// What a connection may make us hold before its first accepted publish, in bytes.
const STRANGER: Limits = Limits { message_bytes: 65536, partial_bytes: 65536 };
/// Room beside the largest message for what other chunk streams have begun, in bytes.
const PARTIAL_EXTRA: usize = 1 << 20;
/// A larger window than this is acknowledged as if it were this.
const MAX_WINDOW: u32 = 16 << 20;

/// Something that happened on the connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The peer wants to publish. Nothing more is read until the answer.
    Publish(PublishRequest),
    /// Audio, video or script data of an accepted publish.
    Tag {
        /// Message stream.
        stream: u32,
        /// The message.
        tag: Tag,
    },
    /// The peer ended a publish.
    Unpublished {
        /// Message stream.
        stream: u32,
    },
    /// The peer asked for something that is refused whoever asks; it has been told.
    Refused {
        /// Label for metrics.
        reason: &'static str,
        /// What was refused.
        description: String,
    },
}

/// What the peer wants to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishRequest {
    /// Message stream.
    pub stream: u32,
    /// The connection's `connect`.
    pub connect: Arc<Connect>,
    /// Stream key as received, with its parameters.
    pub key: String,
    /// `live`, `record`, `append` or whatever was sent; nothing depends on it.
    pub mode: String,
}

/// Why the connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The chunks are malformed or too large.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command cannot be read.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// An aggregate message is malformed.
    #[error(transparent)]
    Aggregate(#[from] CutShort),
    /// An answer could not be built.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

impl SessionError {
    /// True when a limit on sizes was exceeded.
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            SessionError::Chunk(
                ChunkError::MessageTooLarge { .. } | ChunkError::PartialTooLarge { .. }
            )
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Created, or unpublished.
    Idle,
    /// Published, and not decided yet.
    Asked,
    /// Accepted.
    Publishing,
}

struct MessageStream {
    id: u32,
    state: State,
    key: String,
    clock: Clock,
}

/// The server's end of one connection.
pub struct ServerSession {
    handshake: Option<Box<Handshake>>,
    reader: ChunkReader,
    replies: Replies,
    input: Bytes,
    received: u64,
    acknowledged: u64,
    /// What the peer wants acknowledged; until it says so nothing is.
    window: Option<u32>,
    max_message_bytes: usize,
    connect: Option<Arc<Connect>>,
    streams: Vec<MessageStream>,
    aggregate: Option<Aggregate>,
    events: VecDeque<Event>,
    stray_messages: u64,
}

impl ServerSession {
    /// A connection just accepted. `max_message_bytes` holds from the first accepted publish on.
    pub fn new(max_message_bytes: usize) -> Self {
        Self {
            handshake: Some(Box::new(Handshake::server())),
            reader: ChunkReader::new(STRANGER),
            replies: Replies::new(),
            input: Bytes::new(),
            received: 0,
            acknowledged: 0,
            window: None,
            max_message_bytes,
            connect: None,
            streams: Vec::new(),
            aggregate: None,
            events: VecDeque::new(),
            stray_messages: 0,
        }
    }

    /// Hands in what was received. Call [`Self::next_event`] until it gives none afterwards.
    pub fn receive(&mut self, bytes: Bytes) -> Result<(), SessionError> {
        self.received += bytes.len() as u64;
        if self.input.is_empty() {
            self.input = bytes;
        } else {
            let mut joined = BytesMut::with_capacity(self.input.len() + bytes.len());
            joined.extend_from_slice(&self.input);
            joined.extend_from_slice(&bytes);
            self.input = joined.freeze();
        }
        Ok(())
    }

    /// Acknowledges what was received, if the peer wants that and it is half a window or more. To
    /// be called when nothing has come for a moment, as from a peer that waits for it: a byte that
    /// reaches an encoder which has closed its socket makes its system throw away what it has not
    /// sent yet.
    pub fn acknowledge(&mut self) -> Result<(), SessionError> {
        let since = self.received - self.acknowledged;
        let is_due = self.window.is_some_and(|window| since >= u64::from(window).div_ceil(2));
        if is_due && self.handshake.is_none() {
            self.acknowledged = self.received;
            self.replies.acknowledge(self.received)?;
        }
        Ok(())
    }

    /// The next thing that happened; `None` when more bytes or a decision are needed.
    pub fn next_event(&mut self) -> Result<Option<Event>, SessionError> {
        if let Some(handshake) = &mut self.handshake {
            if !handshake.read(&mut self.input, &mut self.replies.output)? {
                return Ok(None);
            }
            self.handshake = None;
        }
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.is_waiting() {
                return Ok(None);
            }
            let message = match &mut self.aggregate {
                Some(parts) => match parts.next() {
                    Some(message) => message?,
                    None => {
                        self.aggregate = None;
                        continue;
                    }
                },
                None => match self.reader.read(&mut self.input)? {
                    Some(message) => message,
                    None => return Ok(None),
                },
            };
            if let Some(event) = self.handle(message)? {
                return Ok(Some(event));
            }
        }
    }

    /// The peer has closed the connection, with all that it had to say. What that settles is handed out
    /// by [`Self::next_event`]:
    /// a last message of which it could not be told whether it was complete.
    pub fn finish(&mut self) -> Result<(), SessionError> {
        let is_read = self.handshake.is_none() && self.aggregate.is_none() && !self.is_waiting();
        if is_read
            && self.input.is_empty()
            && let Some(message) = self.reader.finish()
            && let Some(event) = self.handle(message)?
        {
            self.events.push_back(event);
        }
        Ok(())
    }

    /// True between [`Event::Publish`] and the decision.
    pub fn is_waiting(&self) -> bool {
        self.streams.iter().any(|stream| stream.state == State::Asked)
    }

    /// Accepts the publish asked for on `stream`.
    pub fn accept(&mut self, stream: u32) -> Result<(), SessionError> {
        let Some(entry) = self.stream_mut(stream).filter(|entry| entry.state == State::Asked)
        else {
            return Ok(());
        };
        entry.state = State::Publishing;
        entry.clock = Clock::default();
        self.reader.set_limits(Limits {
            message_bytes: self.max_message_bytes,
            partial_bytes: self.max_message_bytes.saturating_add(PARTIAL_EXTRA),
        });
        self.replies.stream_begin(stream)?;
        self.replies.on_status(stream, Level::Status, "NetStream.Publish.Start", "publishing")?;
        Ok(())
    }

    /// Refuses the publish asked for on `stream`. `code` is a `NetStream.Publish` code.
    pub fn refuse(
        &mut self,
        stream: u32,
        code: &str,
        description: &str,
    ) -> Result<(), SessionError> {
        if let Some(entry) = self.stream_mut(stream) {
            entry.state = State::Idle;
            self.replies.on_status(stream, Level::Error, code, description)?;
        }
        Ok(())
    }

    /// Ends an accepted publish from our side and says why.
    pub fn end(&mut self, stream: u32, description: &str) -> Result<(), SessionError> {
        if let Some(entry) = self.stream_mut(stream) {
            entry.state = State::Idle;
            self.replies.stream_eof(stream)?;
            self.replies.on_status(
                stream,
                Level::Status,
                "NetStream.Unpublish.Success",
                description,
            )?;
        }
        Ok(())
    }

    /// Takes what is to be sent; empty most of the time.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.replies.output)
    }

    /// Memory held for incomplete messages, in bytes.
    pub fn partial_bytes(&self) -> usize {
        self.reader.partial_bytes()
    }

    /// Audio, video and script messages that belonged to no publish.
    pub fn stray_messages(&self) -> u64 {
        self.stray_messages
    }

    fn stream_mut(&mut self, id: u32) -> Option<&mut MessageStream> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }

    fn handle(&mut self, mut message: Message) -> Result<Option<Event>, SessionError> {
        let kind = match message.type_id {
            type_id::AUDIO => TagKind::Audio,
            type_id::VIDEO => TagKind::Video,
            type_id::DATA_AMF0 => TagKind::Script,
            type_id::DATA_AMF3 => {
                skip_format_selector(&mut message.payload);
                TagKind::Script
            }
            other => {
                self.control(other, message)?;
                return Ok(None);
            }
        };
        let event = self.tag(kind, message);
        self.stray_messages += u64::from(event.is_none());
        Ok(event)
    }

    fn tag(&mut self, kind: TagKind, message: Message) -> Option<Event> {
        let stream = self.publishing_stream(message.stream_id)?;
        let time_ms = match says_the_time(kind, &message.payload) {
            true => stream.clock.frame(message.timestamp),
            false => stream.clock.mark(message.timestamp),
        };
        let tag = Tag { kind, time_ms, payload: message.payload };
        Some(Event::Tag { stream: stream.id, tag })
    }

    /// The publish that a media message belongs to. Some encoders send media on message stream 0;
    /// that is clear as long as there is one publish.
    fn publishing_stream(&mut self, id: u32) -> Option<&mut MessageStream> {
        let is_publishing = |stream: &MessageStream| stream.state == State::Publishing;
        if let Some(index) = self.streams.iter().position(|s| s.id == id && is_publishing(s)) {
            return self.streams.get_mut(index);
        }
        let mut publishing = self.streams.iter_mut().filter(|stream| is_publishing(stream));
        publishing.next().filter(|_| id == 0 && publishing.next().is_none())
    }

    fn control(&mut self, type_id: u8, mut message: Message) -> Result<(), SessionError> {
        match type_id {
            type_id::WINDOW_ACK_SIZE => {
                if let Some(window) = message.payload.first_chunk::<4>() {
                    self.window = match u32::from_be_bytes(*window) {
                        0 => None,
                        window => Some(window.min(MAX_WINDOW)),
                    };
                }
            }
            type_id::USER_CONTROL => {
                if let Some(&[0, 6, a, b, c, d]) = message.payload.first_chunk::<6>() {
                    self.replies.pong(u32::from_be_bytes([a, b, c, d]))?;
                }
            }
            // An aggregate inside an aggregate is not defined.
            type_id::AGGREGATE if self.aggregate.is_none() => {
                self.aggregate = Some(Aggregate::new(message));
            }
            type_id::COMMAND_AMF0 => self.command(&message)?,
            type_id::COMMAND_AMF3 => {
                skip_format_selector(&mut message.payload);
                self.command(&message)?;
            }
            // Acknowledgements, shared objects and what is not defined need no answer.
            _ => {}
        }
        Ok(())
    }
}

/// AMF3 messages begin with 0 when AMF0 follows, which is always.
fn skip_format_selector(payload: &mut Bytes) {
    if payload.first() == Some(&0) {
        payload.advance(1);
    }
}
