//! Reads RTMP chunks into messages (RTMP 1.0 section 5.3), with every limit that keeps a hostile
//! peer small. Protocol control that concerns chunks alone, Set Chunk Size and Abort, is handled
//! here; what a message means is [`super::session`]'s business. Nothing is sent from here.
//!
//! A message that lies inside one chunk inside the bytes handed in is a slice of them, unless it
//! is very small; any other is assembled in a buffer of its own.

mod header;
mod stream;
#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes, BytesMut};

use self::{
    header::{Header, MAX_HEADER},
    stream::ChunkStream,
};

/// Largest chunk size there is: no message is longer (RTMP 1.0 section 5.4.1).
pub const MAX_CHUNK_SIZE: usize = 16_777_215;
/// Chunk size of both directions until Set Chunk Size.
pub const INITIAL_CHUNK_SIZE: usize = 128;
/// Chunk streams remembered for one connection.
pub const MAX_CHUNK_STREAMS: usize = 64;

const SET_CHUNK_SIZE: u8 = 1;
const ABORT: u8 = 2;

/// Messages up to this size are copied out of the read buffer. From an encoder with small chunks
/// these are the sound frames, everything else is assembled anyway, and slices for them alone would
/// keep whole read buffers waiting: measured, four times the memory and no less time.
const COPY_BYTES: usize = 512;

/// What one connection may make us hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest message, in bytes.
    pub message_bytes: usize,
    /// Memory for messages that are not complete yet, over all chunk streams, in bytes.
    pub partial_bytes: usize,
}

/// One complete RTMP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Message type id.
    pub type_id: u8,
    /// The sender's clock in milliseconds, modulo 2^32.
    pub timestamp: u32,
    /// Message stream id.
    pub stream_id: u32,
    /// Body.
    pub payload: Bytes,
}

/// Why the bytes cannot be read any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A header announces a message above the limit.
    #[error("a message of {length} bytes is announced, at most {limit} are allowed")]
    MessageTooLarge {
        /// Bytes announced.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Too much is begun and not finished.
    #[error("unfinished messages need {bytes} bytes, at most {limit} are allowed")]
    PartialTooLarge {
        /// Bytes needed.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// More chunk streams than are remembered.
    #[error("more than {MAX_CHUNK_STREAMS} chunk streams")]
    TooManyChunkStreams,
    /// A compressed header on a chunk stream that has nothing to refer to.
    #[error("chunk stream {csid} begins with a type {format} header")]
    NoPreviousHeader {
        /// Chunk stream id.
        csid: u32,
        /// Header type.
        format: u8,
    },
    /// A new message begins before the one before it on the same chunk stream is complete.
    #[error("a message on chunk stream {csid} is interrupted after {received} of {length} bytes")]
    Interrupted {
        /// Chunk stream id.
        csid: u32,
        /// Bytes of the interrupted message.
        received: usize,
        /// Its announced length.
        length: usize,
    },
    /// Set Chunk Size with 0, with the top bit, or without a number.
    #[error("Set Chunk Size with {0:#x} is not allowed")]
    ChunkSize(u32),
    /// A protocol control message that is too short to be one.
    #[error("a protocol control message of type {type_id} is only {bytes} bytes long")]
    ShortControl {
        /// Message type id.
        type_id: u8,
        /// Its length.
        bytes: usize,
    },
}

/// The rest of the chunk being read.
struct Body {
    slot: usize,
    left: usize,
    /// What was taken for a repeated extended timestamp before this sender was known to repeat it,
    /// and how many bytes of the message came before.
    doubtful: Option<([u8; 4], usize)>,
}

/// Turns bytes into messages. One per connection and direction.
pub struct ChunkReader {
    limits: Limits,
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    /// Whether the peer repeats the extended timestamp on type 3 chunks, as some chunk stream has
    /// shown: what another one has not shown itself is taken from here.
    repeats: Option<bool>,
    /// Start of a header whose end has not arrived; shorter than a header.
    header: Vec<u8>,
    body: Option<Body>,
    /// Capacity of all `partial` buffers together.
    partial_bytes: usize,
}

impl ChunkReader {
    /// A reader at the start of the chunk stream, after the handshake.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            chunk_size: INITIAL_CHUNK_SIZE,
            streams: Vec::new(),
            repeats: None,
            header: Vec::new(),
            body: None,
            partial_bytes: 0,
        }
    }

    /// Changes the limits for what comes next.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Memory held for incomplete messages, in bytes.
    pub fn partial_bytes(&self) -> usize {
        self.partial_bytes
    }

    /// Takes the next message from the front of `input`. `None` means that all of `input` was
    /// taken and more is needed.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<Message>, ChunkError> {
        loop {
            if self.body.is_none() && !self.read_header(input)? {
                return Ok(None);
            }
            match self.read_body(input)? {
                Some(message) if message.type_id == SET_CHUNK_SIZE => {
                    self.set_chunk_size(&message)?
                }
                Some(message) if message.type_id == ABORT => self.abort(&message)?,
                Some(message) => return Ok(Some(message)),
                None if input.is_empty() => return Ok(None),
                None => {}
            }
        }
    }

    /// The message that is complete because nothing comes any more; call it when the peer has closed
    /// the connection, and only then: one that broke may have been cut anywhere.
    ///
    /// Whether a type 3 header is followed by the extended timestamp is told from the bytes behind
    /// it. Where a body is like it, or begins like it and ends there, only the end of everything
    /// shows that it was a body: then it completes its message to the byte. From a peer that has
    /// repeated the field, on whichever chunk stream, it was the field, and the message is cut short.
    pub fn finish(&mut self) -> Option<Message> {
        let message = match self.body.take() {
            Some(body) => self.take_back(body),
            None => self.take_rest(),
        };
        message.filter(|message| !matches!(message.type_id, SET_CHUNK_SIZE | ABORT))
    }

    /// The header that was held, for want of what tells its end, and what lies behind it as body.
    fn take_rest(&mut self) -> Option<Message> {
        let held = Bytes::from(std::mem::take(&mut self.header));
        let header = Header::decode_last(&held, &self.streams, self.repeats)?;
        let mut rest = held.slice(header.size..);
        self.begin_chunk(header, None).ok()?;
        self.read_body(&mut rest).ok().flatten()
    }

    /// The four bytes that were taken for an extended timestamp, as body, if just they are missing.
    fn take_back(&mut self, body: Body) -> Option<Message> {
        let (bytes, at) = body.doubtful.filter(|(bytes, _)| body.left == bytes.len())?;
        let stream = self.streams.get_mut(body.slot)?;
        let (before, behind) = stream.partial.split_at_checked(at)?;
        if stream.partial.len() + bytes.len() != stream.length {
            return None;
        }
        let payload = Bytes::from([before, &bytes, behind].concat());
        self.partial_bytes -= stream.partial.capacity();
        stream.partial = Vec::new();
        Some(stream.message(payload))
    }

    /// Reads one chunk header; false if its end has not arrived.
    fn read_header(&mut self, input: &mut Bytes) -> Result<bool, ChunkError> {
        if self.header.is_empty() {
            if let Some(header) = Header::decode(input, &self.streams, self.repeats)? {
                let last = last_four(input, header.size);
                input.advance(header.size);
                self.begin_chunk(header, last)?;
                return Ok(true);
            }
            self.header.extend_from_slice(input);
            input.clear();
            return Ok(false);
        }
        let held = self.header.len();
        let more = input.get(..input.len().min(MAX_HEADER)).unwrap_or_default();
        self.header.extend_from_slice(more);
        let Some(header) = Header::decode(&self.header, &self.streams, self.repeats)? else {
            input.clear();
            return Ok(false);
        };
        match header.size.checked_sub(held) {
            Some(taken) => input.advance(taken),
            None => {
                // Held bytes that might have been an extended timestamp turned out to be body.
                let body = self.header.get(header.size..held).unwrap_or_default();
                let mut joined = BytesMut::with_capacity(body.len() + input.len());
                joined.extend_from_slice(body);
                joined.extend_from_slice(input);
                *input = joined.freeze();
            }
        }
        let last = last_four(&self.header, header.size);
        self.header.clear();
        self.begin_chunk(header, last)?;
        Ok(true)
    }

    /// Makes a decoded header the current chunk. `last` is what it ends with.
    fn begin_chunk(&mut self, header: Header, last: Option<[u8; 4]>) -> Result<(), ChunkError> {
        let slot = match header.slot {
            Some(slot) => slot,
            None if self.streams.len() >= MAX_CHUNK_STREAMS => {
                return Err(ChunkError::TooManyChunkStreams);
            }
            None => {
                self.streams.push(ChunkStream::new(header.csid));
                self.streams.len() - 1
            }
        };
        let Some(stream) = self.streams.get_mut(slot) else {
            return Err(ChunkError::TooManyChunkStreams);
        };
        if stream.partial.is_empty() {
            if header.length > self.limits.message_bytes {
                let limit = self.limits.message_bytes;
                return Err(ChunkError::MessageTooLarge { length: header.length, limit });
            }
            stream.timestamp = match header.format {
                0 => header.time_field,
                _ => stream.timestamp.wrapping_add(header.time_field),
            };
            stream.time_field = header.time_field;
            stream.is_extended = header.is_extended;
            stream.length = header.length;
            stream.type_id = header.type_id;
            stream.stream_id = header.stream_id;
        } else if header.format != 3 && !stream.is_same_message(&header) {
            return Err(ChunkError::Interrupted {
                csid: header.csid,
                received: stream.partial.len(),
                length: stream.length,
            });
        }
        let known = stream.repeats.or(self.repeats);
        let is_doubtful = header.repeats == Some(true) && known != Some(true);
        let doubtful = last.filter(|_| is_doubtful).map(|last| (last, stream.partial.len()));
        // Where a message begins, a field that is not there shows nothing: librtmp writes a step of 0
        // as a bare type 3 header, whatever the header before it had.
        if header.repeats == Some(true) || header.repeats.is_some() && !stream.partial.is_empty() {
            stream.repeats = header.repeats;
            self.repeats = header.repeats;
        }
        let left = (stream.length - stream.partial.len()).min(self.chunk_size);
        self.body = Some(Body { slot, left, doubtful });
        Ok(())
    }

    /// Takes what is there of the current chunk's body; a message if it is complete with it.
    fn read_body(&mut self, input: &mut Bytes) -> Result<Option<Message>, ChunkError> {
        let Some(body) = &mut self.body else { return Ok(None) };
        let Some(stream) = self.streams.get_mut(body.slot) else { return Ok(None) };
        let payload = if body.left == stream.length && input.len() >= stream.length {
            // `left` is the whole message only when nothing of it has been assembled yet.
            take(input, stream.length)
        } else {
            let here = input.split_to(body.left.min(input.len()));
            stream.assemble(&here, self.limits.partial_bytes, &mut self.partial_bytes)?;
            body.left -= here.len();
            if body.left > 0 {
                return Ok(None);
            }
            if stream.partial.len() < stream.length {
                self.body = None;
                return Ok(None);
            }
            self.partial_bytes -= stream.partial.capacity();
            Bytes::from(std::mem::take(&mut stream.partial))
        };
        let message = stream.message(payload);
        self.body = None;
        Ok(Some(message))
    }

    fn set_chunk_size(&mut self, message: &Message) -> Result<(), ChunkError> {
        let size = control_number(message)?;
        if size == 0 || size & 0x8000_0000 != 0 {
            return Err(ChunkError::ChunkSize(size));
        }
        self.chunk_size = (size as usize).min(MAX_CHUNK_SIZE);
        Ok(())
    }

    fn abort(&mut self, message: &Message) -> Result<(), ChunkError> {
        let csid = control_number(message)?;
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.csid == csid) {
            self.partial_bytes -= stream.partial.capacity();
            stream.partial = Vec::new();
        }
        Ok(())
    }
}

/// The last four bytes of a header of this size.
fn last_four(bytes: &[u8], size: usize) -> Option<[u8; 4]> {
    bytes.get(..size)?.last_chunk().copied()
}

fn take(input: &mut Bytes, length: usize) -> Bytes {
    let slice = input.split_to(length);
    if length <= COPY_BYTES { Bytes::copy_from_slice(&slice) } else { slice }
}

/// The number that a protocol control message begins with.
fn control_number(message: &Message) -> Result<u32, ChunkError> {
    match message.payload.first_chunk::<4>() {
        Some(number) => Ok(u32::from_be_bytes(*number)),
        None => {
            Err(ChunkError::ShortControl { type_id: message.type_id, bytes: message.payload.len() })
        }
    }
}
