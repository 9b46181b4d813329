//! What delivery remembers of files between two steps: how far each has come, which are due.
//!
//! Nothing here is needed for correctness: what is lost is found again from the journal and the rows
//! of the parts. One worker at a time has a file in hand, whoever else wants it waits for the step.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    db::media_file::GrowingMedia,
    domain::{
        container::Container,
        ids::{FileId, SessionId},
    },
    journal::Journal,
    storage::Upload,
};

use super::{
    buffers::Buffers,
    growing::{Growing, Place},
    hls_step::HlsUpload,
    layout::{Layout, PARTS_WAITING},
    part::Digests,
};

/// Memory that all files together may keep between steps, about.
const BUDGET_BYTES: usize = 64 << 20;
/// Pauses after a live step that failed grow from the first to the second.
const PAUSE_MS: (i64, i64) = (1_000, 60_000);
/// How often it is told that a file still cannot be stored.
const TOLD_AGAIN_MS: i64 = 3_600_000;

/// A file whose upload is under way, or may begin.
#[derive(Default)]
pub(super) struct FileUpload {
    /// Whether the row was asked for an upload of an earlier process.
    pub is_loaded: bool,
    /// The body so far; `None` is at its beginning.
    pub growing: Option<Growing>,
    /// An HLS file instead: its objects so far.
    pub hls: Option<Box<HlsUpload>>,
    /// The upload in parts.
    pub upload: Option<(Upload, Layout)>,
    /// Number of the next part.
    pub number: u32,
    /// The part that was made last, if the store has not taken it.
    pub unsent: Option<Unsent>,
    /// How many parts of [`Layout::padding`] the store has.
    pub padded: usize,
    /// Whether the tags of all parts were the MD5s of their bytes.
    pub has_md5_tags: bool,
    /// To be made in one go, at its end: the container cannot carry it, or an assumption failed.
    pub is_whole: bool,
    /// Uploads that were given up.
    pub broken: u32,
    /// A step is under way. Found at the beginning of another, it was broken off.
    is_in_hand: bool,
}

/// A part that can be made again.
pub(super) struct Unsent {
    /// Where it begins.
    pub place: Place,
    /// Of its bytes.
    pub sha256: String,
}

/// A growing file that may have a part waiting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// Which.
    pub id: FileId,
    /// Session of its last span, and up to where that was decided. Read before the row is.
    pub decided: Option<(SessionId, u64)>,
}

#[derive(Default)]
struct Slot {
    upload: Arc<tokio::sync::Mutex<FileUpload>>,
    memory_bytes: usize,
    /// Journal bytes from which on it is worth another look.
    look_at: u64,
    is_queued: bool,
    not_before_ms: i64,
    pause_ms: i64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Uploads {
    slots: Mutex<HashMap<FileId, Slot>>,
    due: Mutex<VecDeque<Due>>,
    /// When it was told that a file cannot be stored.
    told: Mutex<HashMap<FileId, i64>>,
    /// Length and digests of the part of zeros that was hashed last.
    zeros: Mutex<Option<(usize, Digests)>>,
    wake: Notify,
    /// What parts are made in.
    pub buffers: Arc<Buffers>,
}

impl Uploads {
    fn slots(&self) -> MutexGuard<'_, HashMap<FileId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self) -> MutexGuard<'_, VecDeque<Due>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of a file.
    pub fn of(&self, id: FileId) -> Arc<tokio::sync::Mutex<FileUpload>> {
        self.slots().entry(id).or_default().upload.clone()
    }

    /// The file is done.
    pub fn forget(&self, id: FileId) {
        self.slots().remove(&id);
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Whether an operator should hear of this failure of a file: the first one, then one an hour.
    pub fn is_news(&self, id: FileId, now_ms: i64) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known =
            told.get(&id).is_some_and(|at| now_ms.abs_diff(*at) < TOLD_AGAIN_MS.unsigned_abs());
        if !is_known {
            told.insert(id, now_ms);
        }
        !is_known
    }

    /// Digests of so many zeros, if they are known.
    pub fn zeros(&self, len: usize) -> Option<Digests> {
        let known = self.zeros.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(known, _)| *known == len).map(|(_, digests)| digests.clone())
    }

    /// They were hashed.
    pub fn set_zeros(&self, len: usize, digests: Digests) {
        *self.zeros.lock().unwrap_or_else(PoisonError::into_inner) = Some((len, digests));
    }

    /// Wakes a worker for what is due.
    pub fn woken(&self) -> &Notify {
        &self.wake
    }

    /// The next growing file that may have a part waiting.
    pub fn next(&self) -> Option<Due> {
        let due = self.due().pop_front()?;
        if let Some(slot) = self.slots().get_mut(&due.id) {
            slot.is_queued = false;
        }
        Some(due)
    }

    /// Queues a file behind those that wait.
    pub fn again(&self, due: Due) {
        if let Some(slot) = self.slots().get_mut(&due.id)
            && !std::mem::replace(&mut slot.is_queued, true)
        {
            self.due().push_back(due);
            self.wake.notify_waiters();
        }
    }

    /// Queues what has grown enough of these files.
    pub fn look(&self, files: &[GrowingMedia], journal: &Journal, part_size: u64, now_ms: i64) {
        for file in files {
            let Some(last) = file.spans.last() else { continue };
            let decided = match last.to {
                Some(_) => None,
                None => match journal.decided(last.session) {
                    Some(decided) => Some((last.session, decided)),
                    None => continue,
                },
            };
            let to = |span: &crate::domain::recording::Span| {
                span.to.or(decided.map(|(_, to)| to)).unwrap_or(span.from)
            };
            let stretch: u64 =
                file.spans.iter().map(|span| to(span).saturating_sub(span.from)).sum();
            let is_hls = file.container == Container::Hls;
            if !is_hls && stretch < PARTS_WAITING.saturating_mul(part_size) {
                continue;
            }
            let is_due = {
                let mut slots = self.slots();
                let slot = slots.entry(file.id).or_default();
                // A pause that is longer than any is of a clock that was ahead.
                let pause_ms = slot.not_before_ms.saturating_sub(now_ms);
                stretch >= slot.look_at && !(1..=PAUSE_MS.1).contains(&pause_ms)
            };
            if is_due {
                self.again(Due { id: file.id, decided });
            }
        }
    }

    /// A step is over: the file keeps so much memory, and is worth another look at `look_at` bytes
    /// of its journal.
    pub fn settle(&self, id: FileId, memory_bytes: usize, look_at: u64) {
        if let Some(slot) = self.slots().get_mut(&id) {
            (slot.memory_bytes, slot.look_at, slot.pause_ms) = (memory_bytes, look_at, 0);
        }
        self.keep_in_budget();
    }

    /// A step failed. True for the first time in a row.
    pub fn pause(&self, id: FileId, now_ms: i64) -> bool {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&id) else { return false };
        let is_first = slot.pause_ms == 0;
        slot.pause_ms = slot.pause_ms.saturating_mul(2).clamp(PAUSE_MS.0, PAUSE_MS.1);
        slot.not_before_ms = now_ms.saturating_add(slot.pause_ms);
        is_first
    }

    /// Lets go of what the largest files keep.
    fn keep_in_budget(&self) {
        let mut slots = self.slots();
        let mut total: usize = slots.values().map(|slot| slot.memory_bytes).sum();
        if total <= BUDGET_BYTES {
            return;
        }
        let mut largest: Vec<&mut Slot> = slots.values_mut().collect();
        largest.sort_by_key(|slot| std::cmp::Reverse(slot.memory_bytes));
        for slot in largest {
            if total <= BUDGET_BYTES {
                return;
            }
            // One that is in hand is asked again when its step is over.
            let Ok(mut upload) = slot.upload.try_lock() else { continue };
            let left = upload.shed();
            drop(upload);
            total = total.saturating_sub(slot.memory_bytes.saturating_sub(left));
            slot.memory_bytes = left;
        }
    }
}

impl FileUpload {
    /// Bytes of memory kept.
    pub fn memory_bytes(&self) -> usize {
        let hls = self.hls.as_ref().map_or(0, |hls| hls.memory_bytes());
        self.growing.as_ref().map_or(hls, Growing::memory_bytes)
    }

    /// Lets go of the head's tables or, if there are none, of everything. Answers what is left.
    fn shed(&mut self) -> usize {
        if self.growing.as_mut().is_some_and(Growing::shed) {
            return self.memory_bytes();
        }
        self.rewind();
        0
    }

    /// A step begins.
    pub fn begin_step(&mut self) {
        if std::mem::replace(&mut self.is_in_hand, true) {
            self.rewind();
            // Of an upload that it may have begun only the row knows.
            self.is_loaded &= self.upload.is_some();
        }
    }

    /// It is over, well or not.
    pub fn end_step(&mut self) {
        self.is_in_hand = false;
    }

    /// Begins at the beginning of the body.
    pub fn rewind(&mut self) {
        (self.growing, self.unsent, self.hls) = (None, None, None);
    }

    /// Begins anew, without an upload.
    pub fn reset(&mut self) {
        *self = Self {
            is_loaded: true,
            is_in_hand: true,
            is_whole: self.is_whole,
            broken: self.broken,
            ..Self::default()
        };
    }
}
