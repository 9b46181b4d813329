//! What one track's samples look like: sizes, decode times, composition offsets, sync samples
//! (ISO/IEC 14496-12 clauses 8.6 and 8.7), kept packed while a file is walked and written as
//! `stts`, `ctts`, `stss` and `stsz` at its end. Times are milliseconds throughout.
//!
//! Not here: where the samples lie in the file ([`super::chunks`]).

use std::sync::Arc;

use super::boxes::table;
use super::packed::{Packed, runs, signed, values};
use super::{Error, Result};
use crate::media::lazy_bytes::LazyBytes;

/// The largest step between two decode times: readers take an `stts` entry for a signed number, and
/// what plays the file adds composition offsets to it.
const MAX_STEP_MS: i64 = i32::MAX as i64 - MAX_OFFSET_MS;

/// Composition offsets stay inside plus and minus this (37 hours): some readers drop all offsets of
/// a track with one of more than twice that, and [`SampleTable::lead_ms`] is added.
pub(in crate::media) const MAX_OFFSET_MS: i64 = (1 << 27) - 1;

/// A longer step to the next sample is a gap, not the duration of a sample.
const MAX_DURATION_MS: i64 = 10_000;

/// Duration of the only sample of a track, which no second one gives away.
const LONE_SAMPLE_MS: u32 = 40;

/// What happens to a decode time that lies before the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BackwardStep {
    /// The composition offset makes up for it: presentation times stay exact.
    Absorb,
    /// The sample is presented right after the one before it.
    Clamp,
}

/// The place of a track in the movie, as its edit list says it (14496-12 clause 8.6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edit {
    /// Nothing is presented for this long at first; 0 writes no empty edit.
    pub empty_ms: u64,
    /// Composition time at which the presentation starts.
    pub media_time_ms: u64,
    /// How long it lasts.
    pub duration_ms: u64,
}

impl Edit {
    /// End of the track in movie time.
    pub fn end_ms(&self) -> u64 {
        self.empty_ms + self.duration_ms
    }
}

/// Runs of equal values, counted as they come: of millions, it need not be done at the end.
#[derive(Debug, Clone, Default)]
struct Runs {
    count: u64,
    last: Option<i64>,
}

impl Runs {
    fn push(&mut self, value: i64) {
        self.count += u64::from(self.last.replace(value) != Some(value));
    }
}

/// One track's samples in decoding order.
#[derive(Debug, Clone)]
pub(super) struct SampleTable {
    policy: BackwardStep,
    count: u32,
    sync_count: u32,
    /// Size, and one bit for sync samples.
    sizes: Packed,
    /// Decode time to the next sample; one value short of `count` until the table is closed.
    deltas: Packed,
    delta_runs: Runs,
    /// Sum of the deltas.
    duration_ms: u64,
    /// Presentation time less decode time.
    offsets: Packed,
    offset_runs: Runs,
    min_offset_ms: i64,
    /// Decode time of the first sample and of the latest, on the sender's clock. They never fall.
    first_decode_ms: i64,
    decode_ms: i64,
    last_dts_ms: i64,
    last_pts_ms: i64,
    first_pts_ms: i64,
    first_sync_pts_ms: Option<i64>,
    min_pts_ms: i64,
    /// See [`SampleTable::show_all`].
    shows_all: bool,
    /// Presentation end of the samples whose duration is known.
    end_ms: i64,
    last_delta_ms: u32,
    /// Decode times that lay before the one before them.
    pub backward_steps: u64,
    /// Samples whose presentation time in the file is not the one that was sent.
    pub moved_samples: u64,
}

impl SampleTable {
    /// An empty table.
    pub fn new(policy: BackwardStep) -> Self {
        SampleTable {
            policy,
            count: 0,
            sync_count: 0,
            sizes: Packed::default(),
            deltas: Packed::default(),
            delta_runs: Runs::default(),
            duration_ms: 0,
            offsets: Packed::default(),
            offset_runs: Runs::default(),
            min_offset_ms: 0,
            first_decode_ms: 0,
            decode_ms: 0,
            last_dts_ms: 0,
            last_pts_ms: 0,
            first_pts_ms: 0,
            first_sync_pts_ms: None,
            min_pts_ms: i64::MAX,
            shows_all: false,
            end_ms: i64::MIN,
            last_delta_ms: 0,
            backward_steps: 0,
            moved_samples: 0,
        }
    }

    /// Number of samples.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Appends a sample.
    ///
    /// # Errors
    /// [`Error::TooLarge`] after 2^32 - 1 samples.
    pub fn push(&mut self, dts_ms: i64, cts_ms: i32, size: u32, is_sync: bool) -> Result<()> {
        self.count = self.count.checked_add(1).ok_or(Error::TooLarge("number of samples"))?;
        if self.count == 1 {
            self.first_decode_ms = dts_ms;
            self.decode_ms = dts_ms;
        } else {
            let step_ms = dts_ms.saturating_sub(self.decode_ms);
            let delta_ms = step_ms.clamp(0, MAX_STEP_MS);
            self.backward_steps += u64::from(dts_ms < self.last_dts_ms);
            self.add_delta(delta_ms as u32);
            self.decode_ms += delta_ms;
        }
        self.last_dts_ms = dts_ms;

        let sent_pts_ms = dts_ms.saturating_add(i64::from(cts_ms));
        let offset_ms = match self.policy {
            BackwardStep::Absorb => sent_pts_ms.saturating_sub(self.decode_ms),
            BackwardStep::Clamp => i64::from(cts_ms),
        }
        .clamp(-MAX_OFFSET_MS, MAX_OFFSET_MS);
        let pts_ms = self.decode_ms.saturating_add(offset_ms);
        self.moved_samples += u64::from(pts_ms != sent_pts_ms);
        self.offsets.push_signed(offset_ms);
        self.offset_runs.push(offset_ms);
        self.min_offset_ms = self.min_offset_ms.min(offset_ms);

        self.last_pts_ms = pts_ms;
        self.min_pts_ms = self.min_pts_ms.min(pts_ms);
        if self.count == 1 {
            self.first_pts_ms = pts_ms;
        }
        if is_sync {
            self.sync_count += 1;
            self.first_sync_pts_ms.get_or_insert(pts_ms);
        }
        self.sizes.push(u64::from(size) << 1 | u64::from(is_sync));
        Ok(())
    }

    /// Gives the last sample its duration, that of the one before it. To be called once, after
    /// the last [`SampleTable::push`] and before anything is asked of the table.
    pub fn close(&mut self) {
        if self.count > 0 {
            let lone_ms = if self.last_delta_ms == 0 { LONE_SAMPLE_MS } else { self.last_delta_ms };
            self.add_delta(lone_ms);
        }
    }

    fn add_delta(&mut self, delta_ms: u32) {
        self.deltas.push(u64::from(delta_ms));
        self.delta_runs.push(i64::from(delta_ms));
        self.duration_ms += u64::from(delta_ms);
        // Even a sample that gives way at once to the next in decoding order is shown.
        let shown_ms = i64::from(delta_ms.max(1));
        self.end_ms = self.end_ms.max(self.last_pts_ms.saturating_add(shown_ms));
        // An equal decode time says nothing about how long a sample lasts, nor does a gap.
        if (1..=MAX_DURATION_MS).contains(&i64::from(delta_ms)) {
            self.last_delta_ms = delta_ms;
        }
    }

    /// The track is shown from its first presentation time on, even if that cannot be decoded. To be
    /// called for tracks with several sample entries: what ffmpeg passes over because an edit list
    /// hides it, it forgets to count when it looks for the next sample entry (`mov_fix_index` of
    /// libavformat shortens the index, `mov_read_packet` counts `stsc` from its beginning), and would
    /// decode as many samples by the wrong one.
    pub fn show_all(&mut self) {
        self.shows_all = true;
    }

    /// Presentation time, on the sender's clock, from which the track is shown: its first sync
    /// sample's, because what comes before that cannot be decoded.
    pub fn start_ms(&self) -> i64 {
        match self.first_sync_pts_ms {
            Some(_) if self.shows_all => self.min_pts_ms,
            Some(sync_ms) => sync_ms,
            None => self.first_pts_ms,
        }
    }

    /// Samples that the edit list hides.
    pub fn hidden_samples(&self) -> u64 {
        let start_ms = self.start_ms();
        if self.min_pts_ms >= start_ms {
            return 0;
        }
        self.presentation_times().filter(|pts_ms| *pts_ms < start_ms).count() as u64
    }

    /// The track's place in a movie whose time 0 is `movie_start_ms` on the sender's clock.
    pub fn edit(&self, movie_start_ms: i64) -> Edit {
        let start_ms = self.start_ms();
        let media_time_ms = start_ms.saturating_sub(self.first_decode_ms) + self.lead_ms();
        Edit {
            empty_ms: u64::try_from(start_ms.saturating_sub(movie_start_ms)).unwrap_or(0),
            media_time_ms: u64::try_from(media_time_ms).unwrap_or(0),
            duration_ms: u64::try_from(self.end_ms.saturating_sub(start_ms)).unwrap_or(0),
        }
    }

    /// Sum of all decode time deltas.
    pub fn media_duration_ms(&self) -> u64 {
        self.duration_ms
    }

    /// How much earlier than they were sent all samples are decoded in the file: as much as makes
    /// no sample be presented before it is decoded. Added to every composition offset and taken out
    /// again by the edit list, so that presentation times and the steps between decoding times stay.
    pub fn lead_ms(&self) -> i64 {
        self.min_offset_ms.saturating_neg().max(0)
    }

    /// Presentation times of all samples on the sender's clock, as the file gives them.
    fn presentation_times(&self) -> impl Iterator<Item = i64> + '_ {
        let mut decode_ms = self.first_decode_ms;
        self.offsets.iter_signed().zip(self.deltas.iter()).map(move |(offset_ms, delta_ms)| {
            let pts_ms = decode_ms.saturating_add(offset_ms);
            decode_ms = decode_ms.saturating_add(delta_ms as i64);
            pts_ms
        })
    }

    /// Makes `stts`, `ctts` and `stss` where they say something, and `stsz`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when a box does not fit in 32 bits.
    pub fn boxes(self: &Arc<Self>) -> Result<LazyBytes> {
        let pairs = |(count, value): (u32, u32)| {
            let [a, b, c, d] = count.to_be_bytes();
            let [e, f, g, h] = value.to_be_bytes();
            [a, b, c, d, e, f, g, h]
        };
        let deltas = runs(values(self, |table| &table.deltas).map(|delta| delta as u32));
        let mut boxes = table(b"stts", &[], self.delta_runs.count, deltas.map(pairs))?;
        let lead_ms = self.lead_ms();
        let is_no_0 = |last: i64| last + lead_ms != 0;
        if self.offset_runs.count > 1 || self.offset_runs.last.is_some_and(is_no_0) {
            let offsets = values(self, |table| &table.offsets);
            let offsets = runs(offsets.map(move |offset| (signed(offset) + lead_ms) as u32));
            boxes.append(table(b"ctts", &[], self.offset_runs.count, offsets.map(pairs))?);
        }
        if self.sync_count < self.count {
            let sync = (1u32..).zip(values(self, |table| &table.sizes));
            let sync = sync.filter(|(_, size)| size & 1 == 1);
            let numbers = sync.map(|(number, _)| number.to_be_bytes());
            boxes.append(table(b"stss", &[], u64::from(self.sync_count), numbers)?);
        }
        let sizes =
            values(self, |table| &table.sizes).map(|size| ((size >> 1) as u32).to_be_bytes());
        // Not all of one size.
        boxes.append(table(b"stsz", &[0; 4], u64::from(self.count), sizes)?);
        Ok(boxes)
    }

    /// Bytes of memory that the samples take.
    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.sizes.memory_bytes() + self.deltas.memory_bytes() + self.offsets.memory_bytes()
    }
}
