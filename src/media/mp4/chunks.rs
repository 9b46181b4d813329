//! Where the samples lie in the body: consecutive samples of one track are one chunk
//! (ISO/IEC 14496-12 clauses 8.7.4 and 8.7.5), written as `stsc` and `stco` or `co64`.
//!
//! The body holds the samples of all tracks back to back in journal order, so a chunk's place is
//! the sum of all bytes before it and only the runs have to be remembered.

use std::sync::Arc;

use super::boxes::table;
use super::packed::{Packed, values};
use super::{Error, Result};
use crate::media::lazy_bytes::LazyBytes;

/// Chunks end here even when the other track has nothing to say, so that a player of an audio
/// recording need not add up the sizes of all samples to find one.
const MAX_SAMPLES_PER_CHUNK: u32 = 64;

/// The chunks of a file with at most two tracks.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunks {
    /// For each closed chunk: samples, and one bit for the track; then its bytes.
    closed: Packed,
    open: Option<Chunk>,
    tracks: [TrackChunks; 2],
    total_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    track: usize,
    slot: usize,
    samples: u32,
    bytes: u64,
}

#[derive(Debug, Clone, Default)]
struct TrackChunks {
    count: u32,
    /// From which chunk on (counted from 0) which slot holds.
    slots: Vec<(u32, usize)>,
    /// The same with sample entries (counted from 1), once they are known.
    entries: Vec<(u32, u32)>,
}

impl Chunks {
    /// Bytes of all samples so far: the length of the body.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Appends a sample of `size` bytes of track 0 or 1, described by what is in `slot` (see
    /// [`super::entries`]).
    pub fn push(&mut self, track: usize, slot: usize, size: u32) {
        self.total_bytes += u64::from(size);
        if let Some(open) = &mut self.open
            && (open.track, open.slot) == (track, slot)
            && open.samples < MAX_SAMPLES_PER_CHUNK
        {
            open.samples += 1;
            open.bytes += u64::from(size);
            return;
        }
        self.close();
        self.open = Some(Chunk { track, slot, samples: 1, bytes: u64::from(size) });
    }

    /// Ends the last chunk. To be called once, after the last [`Chunks::push`].
    pub fn close(&mut self) {
        let Some(chunk) = self.open.take() else { return };
        self.closed.push(u64::from(chunk.samples) << 1 | chunk.track as u64 & 1);
        self.closed.push(chunk.bytes);
        if let Some(track) = self.tracks.get_mut(chunk.track) {
            if track.slots.last().is_none_or(|(_, slot)| *slot != chunk.slot) {
                track.slots.push((track.count, chunk.slot));
            }
            track.count += 1;
        }
    }

    /// Says which sample entry (counted from 1) describes each slot of a track. To be called once,
    /// after [`Chunks::close`] and before anything is written.
    pub fn number(&mut self, track: usize, numbers: &[u32]) {
        let Some(track) = self.tracks.get_mut(track) else { return };
        for (first, slot) in &track.slots {
            let entry = numbers.get(*slot).copied().unwrap_or(1);
            if track.entries.last().is_none_or(|(_, last)| *last != entry) {
                track.entries.push((*first, entry));
            }
        }
    }

    /// How often a sample of a track is described by another sample entry than the one before it.
    pub fn entry_changes(&self, track: usize) -> u64 {
        let entries = self.tracks.get(track).map_or(0, |track| track.entries.len());
        entries.saturating_sub(1) as u64
    }

    /// Samples and place in the body of each chunk of one track.
    fn of_track(
        self: &Arc<Self>,
        track: usize,
    ) -> impl Iterator<Item = (u32, u64)> + Clone + Send + 'static {
        let mut values = values(self, |chunks| &chunks.closed);
        let mut offset = 0;
        std::iter::from_fn(move || {
            loop {
                let (head, bytes) = (values.next()?, values.next()?);
                let start = offset;
                offset += bytes;
                if (head & 1) as usize == track {
                    return Some(((head >> 1) as u32, start));
                }
            }
        })
    }

    /// Makes `stsc` of one track.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the box does not fit in 32 bits.
    pub fn stsc(self: &Arc<Self>, track: usize) -> Result<LazyBytes> {
        let entries = self.tracks.get(track).map_or_else(Vec::new, |track| track.entries.clone());
        let mut entries = entries.into_iter().peekable();
        let mut entry = 0;
        let described = (0u32..).zip(self.of_track(track)).map(move |(index, (samples, _))| {
            if let Some((_, next)) = entries.next_if(|(first, _)| *first <= index) {
                entry = next;
            }
            (index, samples, entry)
        });
        let mut before = None;
        let changes = described.filter(move |(_, samples, entry)| {
            before.replace((*samples, *entry)) != Some((*samples, *entry))
        });
        let count = changes.clone().count() as u64;
        let triples = changes.map(|(index, samples, entry)| {
            let [a, b, c, d] = (index + 1).to_be_bytes();
            let [e, f, g, h] = samples.to_be_bytes();
            let [i, j, k, l] = entry.to_be_bytes();
            [a, b, c, d, e, f, g, h, i, j, k, l]
        });
        table(b"stsc", &[], count, triples)
    }

    /// Makes `stco`, or `co64` when `is_wide`, of one track. `base` is the position in the file
    /// of the first byte of the body.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the body ends beyond 4 GiB and `is_wide` is false.
    pub fn offsets(self: &Arc<Self>, track: usize, base: u64, is_wide: bool) -> Result<LazyBytes> {
        let count = self.tracks.get(track).map_or(0, |track| u64::from(track.count));
        let places = self.of_track(track).map(move |(_, start)| base + start);
        if is_wide {
            return table(b"co64", &[], count, places.map(u64::to_be_bytes));
        }
        if u32::try_from(base + self.total_bytes).is_err() {
            return Err(Error::TooLarge("chunk offset"));
        }
        table(b"stco", &[], count, places.map(|place| (place as u32).to_be_bytes()))
    }

    /// Bytes of memory that the chunks take.
    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.closed.memory_bytes()
    }
}
