//! Splits an aggregate message (type 22, RTMP 1.0 section 7.1.6): FLV tags one behind the other,
//! whose times count from the first of them.

use bytes::{Buf, Bytes};

use super::chunk::Message;

const TAG_HEADER: usize = 11;
const BACK_POINTER: usize = 4;

/// The messages of an aggregate, slices of it. Gives an error once if it is cut short, then ends.
pub(super) struct Aggregate {
    rest: Bytes,
    stream_id: u32,
    timestamp: u32,
    /// Time of the first message as written inside the aggregate.
    first: Option<u32>,
}

/// The aggregate ends inside a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an aggregate message ends inside a message of type {type_id}")]
pub struct CutShort {
    type_id: u8,
}

impl Aggregate {
    pub(super) fn new(message: Message) -> Self {
        Self {
            rest: message.payload,
            stream_id: message.stream_id,
            timestamp: message.timestamp,
            first: None,
        }
    }
}

impl Iterator for Aggregate {
    type Item = Result<Message, CutShort>;

    fn next(&mut self) -> Option<Self::Item> {
        let type_id = *self.rest.first()?;
        let Some(&[_, l1, l2, l3, t1, t2, t3, t_high, ..]) = self.rest.first_chunk::<TAG_HEADER>()
        else {
            self.rest.clear();
            return Some(Err(CutShort { type_id }));
        };
        let length = u32::from_be_bytes([0, l1, l2, l3]) as usize;
        let timestamp = u32::from_be_bytes([t_high, t1, t2, t3]);
        self.rest.advance(TAG_HEADER);
        if self.rest.len() < length {
            self.rest.clear();
            return Some(Err(CutShort { type_id }));
        }
        let payload = self.rest.split_to(length);
        // The last back pointer is sometimes left out.
        self.rest.advance(BACK_POINTER.min(self.rest.len()));
        let first = *self.first.get_or_insert(timestamp);
        Some(Ok(Message {
            type_id,
            timestamp: self.timestamp.wrapping_add(timestamp.wrapping_sub(first)),
            // The stream id inside is always 0 and to be ignored.
            stream_id: self.stream_id,
            payload,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(type_id: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let [high, t @ ..] = timestamp.to_be_bytes();
        let [_, l @ ..] = (payload.len() as u32).to_be_bytes();
        let back = (payload.len() as u32 + 11).to_be_bytes();
        [&[type_id], &l[..], &t, &[high, 0, 0, 0], payload, &back].concat()
    }

    type Part = Result<(u8, u32, Vec<u8>), CutShort>;

    fn split(payload: Vec<u8>, timestamp: u32) -> Vec<Part> {
        let message = Message { type_id: 22, timestamp, stream_id: 1, payload: payload.into() };
        Aggregate::new(message)
            .map(|m| m.map(|m| (m.type_id, m.timestamp, m.payload.to_vec())))
            .collect()
    }

    #[test]
    fn times_count_from_the_first_message() {
        let payload =
            [tag(9, 0x1000_0000, b"a"), tag(8, 0x1000_0017, b""), tag(18, 0x0FFF_FFFF, b"xyz")]
                .concat();
        let expected = [
            Ok((9, 5000, b"a".to_vec())),
            Ok((8, 5023, b"".to_vec())),
            Ok((18, 4999, b"xyz".to_vec())),
        ];
        assert_eq!(split(payload.clone(), 5000), expected);
        assert_eq!(split(payload[..payload.len() - 4].to_vec(), 5000), expected);
        assert_eq!(split(payload, u32::MAX)[1], Ok((8, 22, vec![])));
    }

    #[test]
    fn a_cut_is_an_error_once() {
        let payload = [tag(9, 0, b"abc"), tag(8, 1, b"defg")].concat();
        for len in 19..payload.len() - 4 {
            let parts = split(payload[..len].to_vec(), 0);
            assert_eq!(parts.len(), 2, "{len}");
            assert_eq!(parts[1], Err(CutShort { type_id: 8 }));
        }
    }
}
