//! What is remembered of one chunk stream between its chunks: the header that later ones refer to
//! and the message that is being assembled.

use bytes::Bytes;

use super::{ChunkError, Message, header::Header};

/// What is remembered of a chunk stream.
pub(super) struct ChunkStream {
    pub(super) csid: u32,
    /// Absolute time of the message begun last.
    pub(super) timestamp: u32,
    /// Time field of the last header that had one: absolute in type 0, a delta in types 1 and 2.
    /// A type 3 header that begins a message adds it either way (RTMP 1.0 section 5.3.1.2.4).
    pub(super) time_field: u32,
    /// That header had an extended timestamp.
    pub(super) is_extended: bool,
    pub(super) length: usize,
    pub(super) type_id: u8,
    pub(super) stream_id: u32,
    /// Whether type 3 chunks of this chunk stream repeat the extended timestamp, as they have shown.
    pub(super) repeats: Option<bool>,
    /// What has arrived of a message spread over several chunks or reads.
    pub(super) partial: Vec<u8>,
}

impl ChunkStream {
    pub(super) fn new(csid: u32) -> Self {
        Self {
            csid,
            timestamp: 0,
            time_field: 0,
            is_extended: false,
            length: 0,
            type_id: 0,
            stream_id: 0,
            repeats: None,
            partial: Vec::new(),
        }
    }

    /// The message begun last, with its body.
    pub(super) fn message(&self, payload: Bytes) -> Message {
        Message {
            type_id: self.type_id,
            timestamp: self.timestamp,
            stream_id: self.stream_id,
            payload,
        }
    }

    /// Whether a type 3 header is followed by the extended timestamp again; `None` if `bytes` are
    /// too few to tell.
    ///
    /// The specification repeats it, ffmpeg and librtmp do, other encoders do not, and nobody
    /// says so. So the four bytes are compared with what a repetition would be: the field of the
    /// last header, or, from encoders that write absolute time there, the message's time. A body
    /// that happens to begin with the same four bytes is one in 2^32, and only without repetition.
    /// So a message that goes on is not even compared once its sender has left the field out;
    /// `repeats` is what its other chunk streams have shown. One that begins is: there some senders
    /// write it that leave it out later.
    pub(super) fn repeats_extended(&self, bytes: &[u8], repeats: Option<bool>) -> Option<bool> {
        if !self.partial.is_empty() && self.repeats.or(repeats) == Some(false) {
            return Some(false);
        }
        let absolute = match self.partial.is_empty() {
            true => self.timestamp.wrapping_add(self.time_field),
            false => self.timestamp,
        };
        let mut is_undecided = false;
        for candidate in [self.time_field.to_be_bytes(), absolute.to_be_bytes()] {
            if bytes.starts_with(&candidate) {
                return Some(true);
            }
            is_undecided |= candidate.starts_with(bytes);
        }
        (!is_undecided).then_some(false)
    }

    /// Some muxers repeat the full header on every chunk of a message; anything else than an
    /// exact repetition is a new message.
    pub(super) fn is_same_message(&self, header: &Header) -> bool {
        header.format == 0
            && header.time_field == self.timestamp
            && header.length == self.length
            && header.type_id == self.type_id
            && header.stream_id == self.stream_id
    }

    /// Adds bytes to an incomplete message. `held` is the memory of all of them together.
    pub(super) fn assemble(
        &mut self,
        bytes: &[u8],
        limit: usize,
        held: &mut usize,
    ) -> Result<(), ChunkError> {
        let before = self.partial.capacity();
        let needed = self.partial.len() + bytes.len();
        if needed > before {
            // An announced length is not believed at once unless it is small beside the limit.
            let eager = self.length.min(limit / 32);
            let wanted = needed.max(before * 2).max(eager).min(self.length);
            let others = *held - before;
            let capacity = if others + wanted <= limit { wanted } else { needed };
            if others + capacity > limit {
                return Err(ChunkError::PartialTooLarge { bytes: others + capacity, limit });
            }
            self.partial.reserve_exact(capacity - self.partial.len());
            *held = others + self.partial.capacity();
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}
