//! Tags on their way to the disk: payloads by reference, everything around them in one buffer.

use std::io::IoSlice;

use bytes::Bytes;

use super::{checksum, index::encode_record, prefix::Opening, progress::Progress};
use crate::media::{
    flv::header::{encode_tag_header, encode_tag_trailer, tag_len},
    sample::Sample,
    tag::TagKind,
};

/// Consecutive tags for one file, with their index records.
#[derive(Debug)]
pub(super) struct Batch {
    /// How to begin a file with this batch.
    pub opening: Opening,
    /// True if the file before it is complete and this batch begins the next.
    pub begins_file: bool,
    /// Bytes of data.
    pub bytes: u64,
    /// Index records.
    pub index: Vec<u8>,
    /// What followers are told when all this is on disk.
    pub progress: Progress,
    /// Header and trailer of every tag, without the payload between them.
    around: Vec<u8>,
    parts: Vec<Part>,
}

/// A payload and where in `around` it belongs.
#[derive(Debug)]
struct Part {
    header_end: usize,
    payload: Bytes,
}

impl Batch {
    /// An empty batch in the memory of `spare`.
    pub fn new(spare: Option<Batch>, opening: Opening, begins_file: bool) -> Self {
        let (index, around, parts) = match spare {
            Some(batch) => (batch.index, batch.around, batch.parts),
            None => Default::default(),
        };
        Batch {
            opening,
            begins_file,
            bytes: 0,
            index,
            progress: Progress::default(),
            around,
            parts,
        }
    }

    /// Lets go of everything but the memory.
    pub fn clear(&mut self) {
        self.bytes = 0;
        self.index.clear();
        self.around.clear();
        self.parts.clear();
    }

    /// Appends a tag and the records of its samples.
    pub fn push(&mut self, kind: TagKind, time_ms: i64, payload: Bytes, samples: &mut [Sample]) {
        let data_size = payload.len() as u32;
        let header = encode_tag_header(kind, data_size, time_ms);
        checksum::stamp(samples, &header, &payload);
        for sample in samples {
            encode_record(sample, &mut self.index);
        }
        self.bytes += tag_len(payload.len());
        self.around.extend_from_slice(&header);
        let header_end = self.around.len();
        self.around.extend_from_slice(&encode_tag_trailer(data_size));
        self.parts.push(Part { header_end, payload });
    }

    /// The data in the order of the file: two buffers for every tag.
    pub fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * self.parts.len() + 1);
        let mut around = self.around.as_slice();
        let mut taken = 0;
        for Part { header_end, payload } in &self.parts {
            let (before, after) = around.split_at(header_end - taken);
            slices.push(IoSlice::new(before));
            slices.push(IoSlice::new(payload));
            (around, taken) = (after, *header_end);
        }
        slices.push(IoSlice::new(around));
        slices
    }
}
