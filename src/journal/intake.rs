//! The side of a writer that never waits: turns tags into batches and decides where files end.

use std::{collections::VecDeque, mem};

use bytes::Bytes;

use super::{
    batch::Batch,
    prefix::Opening,
    private::Private,
    progress::Progress,
    tracker::{State, Tracker},
};
use crate::media::{
    flv::header::tag_len,
    sample::{Sample, SampleKind, TagSample, Track},
    tag::{Tag, TagKind},
};

/// The arrival time is noted once in so many milliseconds.
const CLOCK_EVERY_MS: i64 = 1000;
/// Empty batches whose memory is kept.
const MAX_SPARE: usize = 2;
/// Ends of batches that are remembered: more than are ever on their way.
const MAX_ENDS: usize = 256;

/// See the module.
pub(super) struct Intake {
    tracker: Tracker,
    position: u64,
    progress: Progress,
    /// The batch that grows.
    open: Option<Batch>,
    /// Complete batches, before `open`.
    full: VecDeque<Batch>,
    spare: Vec<Batch>,
    records: Vec<Sample>,
    /// Tags of the encoder so far.
    tags: u64,
    /// Where the batches of late end, and how many tags of the encoder lie before that.
    ends: VecDeque<(u64, u64)>,
    roll_bytes: u64,
    /// Bytes since the last decision to begin a file.
    file_bytes: u64,
    begins_file: bool,
    clock_ms: Option<i64>,
    has_frames: bool,
    has_gop_ended: bool,
}

impl Intake {
    pub fn new(roll_bytes: u64, wall_ms: i64) -> Self {
        Intake {
            tracker: Tracker::new(State::default()),
            position: 0,
            progress: Progress { wall_ms, ..Progress::default() },
            open: None,
            full: VecDeque::new(),
            spare: Vec::new(),
            records: Vec::new(),
            tags: 0,
            ends: VecDeque::new(),
            roll_bytes,
            file_bytes: 0,
            begins_file: false,
            clock_ms: None,
            has_frames: false,
            has_gop_ended: false,
        }
    }

    /// Takes in a tag of the encoder, whose payload fits an FLV tag.
    pub fn push(&mut self, tag: &Tag, wall_ms: i64) {
        self.progress.wall_ms = wall_ms;
        self.tags += 1;
        let samples = self.tracker.examine(tag.kind, &tag.payload);
        let starts_gop = samples.iter().any(is_keyframe);
        let has_audio = samples.iter().any(is_audio_frame);
        let has_frames = samples.iter().any(|sample| sample.kind == SampleKind::Frame);
        let is_cut = starts_gop || (has_audio && !self.progress.has_video);
        let is_full = is_cut && self.file_bytes >= self.roll_bytes;
        if self.file_bytes > 0 && (is_full || self.file_bytes / 2 >= self.roll_bytes) {
            self.begin_file();
        }
        self.has_gop_ended |= starts_gop;

        // The first frame is what a file goes on with: when it came is noted for itself.
        let is_first = !self.has_frames && has_frames;
        self.has_frames |= has_frames;
        let every_ms = if is_first { 1 } else { CLOCK_EVERY_MS };
        let is_clock_due = |last: i64| !(last..last.saturating_add(every_ms)).contains(&wall_ms);
        if self.clock_ms.is_none_or(is_clock_due) {
            self.clock_ms = Some(wall_ms);
            self.push_private(&Private::Clock(wall_ms));
        }
        if let Some(next) = self.tracker.preamble(tag.kind, tag.time_ms, &tag.payload) {
            self.push_private(&Private::Next(next));
        }
        self.open_batch();
        let mut records = mem::take(&mut self.records);
        self.tracker.record(self.position, tag.time_ms, &tag.payload, &mut records);
        for sample in &records {
            self.progress.observe(sample, wall_ms);
        }
        self.append(tag.kind, tag.time_ms, tag.payload.clone(), records);
    }

    /// Takes in a note of the caller.
    pub fn note(&mut self, text: &str) {
        self.progress.notes += 1;
        self.push_private(&Private::Note(text.to_owned()));
    }

    /// Logical position at or before the next tag: at most private tags will lie between.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What followers will be told when all that was taken in is on disk.
    pub fn progress(&self) -> Progress {
        Progress { written: self.position, ..self.progress }
    }

    /// Bytes in the batch that grows; those that are complete do not wait for more.
    pub fn open_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |batch| batch.bytes)
    }

    /// Bytes that were not handed over yet.
    pub fn waiting_bytes(&self) -> u64 {
        self.full.iter().map(|batch| batch.bytes).sum::<u64>() + self.open_bytes()
    }

    /// Tags of the encoder behind `written`, where a batch ended.
    pub fn tags_behind(&self, written: u64) -> u64 {
        let before = self.ends.iter().rev().find(|(end, _)| *end <= written);
        self.tags - before.map_or(0, |(_, tags)| *tags)
    }

    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.full.is_empty()
    }

    /// True if a batch is complete because a file ends with it.
    pub fn has_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// True if a group of pictures became complete since the last batch was taken.
    pub fn has_gop_ended(&self) -> bool {
        self.has_gop_ended
    }

    /// Moves all there is to `out`.
    pub fn take(&mut self, out: &mut VecDeque<Batch>) {
        self.complete();
        self.has_gop_ended = false;
        out.append(&mut self.full);
    }

    /// Lets go of what was not handed over.
    pub fn drop_waiting(&mut self) {
        self.open = None;
        self.full.clear();
    }

    /// Takes back the memory of batches that were written.
    pub fn recycle(&mut self, batches: &mut Vec<Batch>) {
        self.spare.append(batches);
        self.spare.truncate(MAX_SPARE);
    }

    fn begin_file(&mut self) {
        self.complete();
        self.file_bytes = 0;
        self.begins_file = true;
    }

    fn complete(&mut self) {
        if let Some(mut batch) = self.open.take() {
            batch.progress = self.progress();
            // Those that end at or before `written` are as good as one; there are never many more.
            self.ends.push_back((self.position, self.tags));
            if self.ends.len() > MAX_ENDS {
                self.ends.pop_front();
            }
            self.full.push_back(batch);
        }
    }

    /// Must come before the tracker learns of a tag: a batch remembers what it was before.
    fn open_batch(&mut self) -> &mut Batch {
        self.open.get_or_insert_with(|| {
            let opening = Opening {
                base: self.position,
                wall_ms: self.progress.wall_ms,
                state: self.tracker.state().clone(),
            };
            let begins_file = mem::take(&mut self.begins_file);
            Batch::new(self.spare.pop(), opening, begins_file)
        })
    }

    fn push_private(&mut self, tag: &Private) {
        let payload = tag.encode();
        let time_ms = self.tracker.state().clock_ms;
        self.open_batch();
        let mut records = mem::take(&mut self.records);
        self.tracker.record_private(self.position, &payload, tag, &mut records);
        self.append(TagKind::Script, time_ms, payload.into(), records);
    }

    fn append(&mut self, kind: TagKind, time_ms: i64, payload: Bytes, mut records: Vec<Sample>) {
        let tag_bytes = tag_len(payload.len());
        let batch = self.open_batch();
        batch.push(kind, time_ms, payload, &mut records);
        records.clear();
        self.records = records;
        self.position += tag_bytes;
        self.file_bytes += tag_bytes;
    }
}

fn is_keyframe(sample: &TagSample) -> bool {
    is_frame_of(sample, Track::Video) && sample.keyframe
}

fn is_audio_frame(sample: &TagSample) -> bool {
    is_frame_of(sample, Track::Audio)
}

fn is_frame_of(sample: &TagSample, track: Track) -> bool {
    sample.kind == SampleKind::Frame && sample.track == track && sample.track_id == 0
}
