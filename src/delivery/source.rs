//! The samples and bytes of one media file, read from the journals it lies in.
//!
//! A file is an ordered list of journal spans; a source walks them one after the other, any number
//! of times, holding a bounded number of samples and one read-ahead window in memory.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    domain::{container::Container, recording::Span},
    journal::{self, Journal, JournalError, Reader},
    media::{
        config::{Configs, TrackConfig},
        sample::Sample,
    },
};

use super::{
    damage::{self, Damage},
    window::Window,
};

/// Samples taken from the index at a time.
const BATCH: usize = 4096;
/// Journal bytes read at a time.
const WINDOW_BYTES: u64 = 512 << 10;

/// A push that goes on with a file while it grows shows so far how it begins, or when it ends.
const GROWING_SAMPLES: usize = 1 << 18;

/// One span, opened.
struct OpenSpan {
    /// None if its journal is gone.
    reader: Option<Reader>,
    from: u64,
    to: u64,
    /// One past what should be there.
    wanted_to: u64,
}

/// The samples of a file in order, and their bytes.
pub struct Source {
    spans: Vec<OpenSpan>,
    /// Span being walked and position of the next sample in it.
    at: (usize, u64),
    queue: VecDeque<Sample>,
    window: Window,
    is_final: bool,
    damage: Damage,
    /// The sample that was looked at last.
    checked: Option<(usize, u64, u32)>,
    /// Stands for which samples were given out since the beginning, and in which order.
    pub(super) trail: u64,
}

impl Source {
    /// Opens the journals of all spans of a file that is complete.
    pub fn open(journal: &Journal, spans: &[Span]) -> Result<Self, JournalError> {
        Self::open_spans(spans, true, |span| journal.reader(span.session).map(Some))
    }

    /// The same, without the spans whose journals are gone for good.
    ///
    /// # Errors
    /// Nothing is left ([`JournalError::Missing`]), or what is there cannot be read.
    pub fn open_remaining(journal: &Journal, spans: &[Span]) -> Result<Self, JournalError> {
        let source = Self::open_spans(spans, true, |span| damage::open_remaining(journal, span))?;
        match (spans.first(), source.spans.iter().any(|span| span.reader.is_some())) {
            (Some(first), false) => Err(JournalError::Missing(first.session)),
            _ => Ok(source),
        }
    }

    /// Opens the journals of a file that may still grow. A last span without an end is read up to
    /// `decided`, a position of its session up to which it is known what belongs to the file.
    ///
    /// A further span is left out as long as it has not shown how it opens: its place on the file's
    /// timeline is not known then, nor, before its first frame, whether the file goes on at all.
    pub fn open_growing(
        journal: &Journal,
        container: Container,
        spans: &[Span],
        decided: u64,
    ) -> Result<Self, JournalError> {
        let mut spans = spans.to_vec();
        let mut grows = false;
        if let Some(last) = spans.last_mut() {
            grows = last.to.is_none();
            last.to.get_or_insert(decided.max(last.from));
        }
        let open = |span: &Span| journal.reader(span.session).map(Some);
        let mut source = Self::open_spans(&spans, false, open)?;
        if grows && let Some(last @ 1..) = spans.len().checked_sub(1) {
            let of_all = container == Container::Flv;
            // Of frames of other tracks alone only FLV is made.
            if !source.opening(last, of_all, GROWING_SAMPLES)?.is_over() {
                source.spans.truncate(last);
            }
        }
        Ok(source)
    }

    /// How many spans there are.
    pub fn spans(&self) -> usize {
        self.spans.len()
    }

    /// Where a span begins; 0 if there is none.
    pub fn start_of(&self, span: usize) -> u64 {
        self.spans.get(span).map_or(0, |span| span.from)
    }

    /// Whether the file is complete: without a next sample now there will be none later.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    fn open_spans(
        spans: &[Span],
        is_final: bool,
        open: impl Fn(&Span) -> Result<Option<Reader>, JournalError>,
    ) -> Result<Self, JournalError> {
        let open = |span: &Span| {
            let Some(mut reader) = open(span)? else {
                let wanted_to = span.to.unwrap_or(u64::MAX);
                return Ok(OpenSpan { reader: None, from: span.from, to: span.from, wanted_to });
            };
            let end = reader.end()?;
            let mut wanted_to = span.end_in(end);
            let (from, to) = (span.from, wanted_to.min(end));
            if wanted_to == end && reader.is_cut_short()? {
                // By how much, nothing says.
                wanted_to = end.saturating_add(1);
            }
            Ok(OpenSpan { reader: Some(reader), from, to, wanted_to })
        };
        let spans = spans.iter().map(open).collect::<Result<Vec<_>, JournalError>>()?;
        let (queue, window) = (VecDeque::new(), Window::default());
        let (damage, checked, at, trail) = (Damage::default(), None, (0, 0), 0);
        let mut source = Self { spans, at, queue, window, is_final, damage, checked, trail };
        source.rewind();
        Ok(source)
    }

    /// The configurations that samples of one span refer to.
    pub fn configs(&mut self, span: usize) -> Result<Configs, JournalError> {
        match self.reader(span) {
            Some((reader, from, to)) => reader.configs(from.max(reader.start()), to),
            None => Ok(Configs::new()),
        }
    }

    /// The configuration that a sample of a span is; none if it is something else.
    pub fn config(
        &mut self,
        span: usize,
        sample: &Sample,
    ) -> Result<Option<TrackConfig>, JournalError> {
        match self.spans.get_mut(span) {
            Some(OpenSpan { reader: Some(reader), .. }) => reader.config(sample),
            _ => Ok(None),
        }
    }

    /// The encoder's metadata in force where the file begins.
    pub fn metadata(&mut self) -> Result<Option<Bytes>, JournalError> {
        match self.reader(0) {
            Some((reader, from, _)) => reader.metadata(from.max(reader.start())),
            None => Ok(None),
        }
    }

    /// The payload of the tag that a sample was found in.
    pub fn payload(&mut self, span: usize, sample: &Sample) -> Result<Bytes, JournalError> {
        match self.reader(span) {
            Some((reader, ..)) => reader.payload(sample),
            None => Ok(Bytes::new()),
        }
    }

    /// The note of the caller that a sample was found in, if it is one.
    pub fn note(&mut self, span: usize, sample: &Sample) -> Result<Option<String>, JournalError> {
        match self.reader(span) {
            Some((reader, ..)) => reader.note(sample),
            None => Ok(None),
        }
    }

    /// First position of a span and one past its last, as they should be; `None` behind the last
    /// span. What its journal still holds may be less.
    pub fn extent(&self, span: usize) -> Option<(u64, u64)> {
        self.spans.get(span).map(|open| (open.from, open.wanted_to))
    }

    /// Goes on counting where another source of the same file ended, or hands the count over.
    pub fn swap_damage(&mut self, damage: &mut Damage) {
        std::mem::swap(&mut self.damage, damage);
    }

    /// The tags that were not what came, of those that were looked at.
    pub fn into_damage(self) -> Damage {
        self.damage
    }

    /// What a span is read with, and from where to where.
    pub(super) fn reader(&mut self, span: usize) -> Option<(&mut Reader, u64, u64)> {
        let open = self.spans.get_mut(span)?;
        Some((open.reader.as_mut()?, open.from, open.to))
    }

    /// Begins the walk again.
    pub fn rewind(&mut self) {
        self.trail = 0;
        self.queue.clear();
        self.at = (0, self.spans.first().map_or(0, |span| span.from));
    }

    /// Goes on with the first sample of the tag at a position of a span.
    pub fn seek(&mut self, span: usize, position: u64) {
        // Only the first sample of a tag has a length.
        let is_here = |next: &Sample| next.position == position && next.tag_len > 0;
        if self.at.0 == span && self.queue.front().is_some_and(is_here) {
            return;
        }
        self.queue.clear();
        self.at = (span, position);
    }

    /// The next sample and the span it is of.
    pub fn next_sample(&mut self) -> Result<Option<(usize, Sample)>, JournalError> {
        while self.queue.is_empty() {
            let (index, position) = self.at;
            let Some(span) = self.spans.get_mut(index) else { return Ok(None) };
            let mut next = span.to;
            if let Some(reader) = span.reader.as_mut().filter(|_| position < span.to) {
                let position = position.max(reader.start()).min(span.to);
                for sample in reader.samples(position, span.to)? {
                    let sample = sample?;
                    // A batch ends only where a tag does: its further samples have no length.
                    if self.queue.len() >= BATCH && sample.tag_len > 0 {
                        next = sample.position;
                        break;
                    }
                    self.queue.push_back(sample);
                }
            }
            if next < span.to {
                self.at = (index, next);
            } else if !self.queue.is_empty() {
                self.at = (index, span.to);
            } else {
                let from = self.spans.get(index + 1).map_or(0, |span| span.from);
                self.at = (index + 1, from);
            }
        }
        let index = self.at.0;
        let sample = self.queue.pop_front();
        if let Some(sample) = &sample {
            // FNV's multiplier spreads the bits.
            self.trail = (self.trail ^ sample.position).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(sample.map(|sample| (index, sample)))
    }

    /// The further samples of the tag that the last sample was the first one of.
    pub fn rest_of_tag(&self) -> impl Iterator<Item = &Sample> {
        self.queue.iter().take_while(|sample| sample.tag_len == 0)
    }

    /// The data of a sample, as they came from the journal (times and all). Its tag is compared with
    /// what the index knows of it.
    pub fn packet(&mut self, span: usize, sample: &Sample) -> Result<&[u8], JournalError> {
        self.check(span, sample)?;
        self.bytes(span, sample.data_position(), sample.data_len)
    }

    /// Compares the tag of a sample with what the index knows of it. One that stands elsewhere too is
    /// read from there, if it rotted here.
    pub fn check(&mut self, span: usize, sample: &Sample) -> Result<(), JournalError> {
        let checked = Some((span, sample.position, sample.data_offset));
        if self.checked == checked {
            return Ok(());
        }
        self.checked = checked;
        let (from, len) = match sample.tag_len {
            0 => (sample.data_position(), sample.data_len),
            len => (sample.position, len),
        };
        self.bytes(span, from, len)?;
        let reader = self.spans.get_mut(span).and_then(|open| open.reader.as_mut());
        if let (Some(reader), Some(bytes)) = (reader, self.window.slice(span, from, len as usize))
            && let Some(tag) = self.damage.look(reader, sample, bytes)?
        {
            self.window.put(span, from, &tag);
        }
        Ok(())
    }

    /// The same for one that is looked at out of turn: nothing is read ahead.
    pub fn check_apart(&mut self, span: usize, sample: &Sample) -> Result<(), JournalError> {
        let Some(reader) = self.spans.get_mut(span).and_then(|open| open.reader.as_mut()) else {
            return Ok(());
        };
        if sample.tag_len > 0 {
            let mut tag = vec![0; sample.tag_len as usize];
            reader.read(sample.position, &mut tag)?;
            self.damage.look(reader, sample, &tag)?;
        }
        Ok(())
    }

    /// Puts the whole tag of a sample into `out`: as it came, if it rotted and stands elsewhere too.
    pub fn tag(
        &mut self,
        span: usize,
        sample: &Sample,
        out: &mut Vec<u8>,
    ) -> Result<(), JournalError> {
        out.clear();
        self.read(span, sample.position, sample.tag_len, out)?;
        let reader = self.spans.get_mut(span).and_then(|open| open.reader.as_mut());
        if let Some(reader) = reader.filter(|_| !journal::is_intact(sample, out))
            && let Some(tag) = reader.copy_of_tag(sample)?
        {
            *out = tag;
        }
        Ok(())
    }

    /// `len` journal bytes from `position` of a span, where they lie in memory. Empty if there is no
    /// such span.
    pub fn bytes(&mut self, span: usize, position: u64, len: u32) -> Result<&[u8], JournalError> {
        let len = len as usize;
        if self.window.slice(span, position, len).is_none() {
            self.load(span, position, len)?;
        }
        Ok(self.window.slice(span, position, len).unwrap_or_default())
    }

    /// Appends `len` journal bytes from `position` of a span to `out`.
    pub fn read(
        &mut self,
        span: usize,
        position: u64,
        len: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), JournalError> {
        out.extend_from_slice(self.bytes(span, position, len)?);
        Ok(())
    }

    /// The same, for a few bytes whose surroundings are not wanted: nothing is read ahead.
    pub fn peek(
        &mut self,
        span: usize,
        position: u64,
        len: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), JournalError> {
        if let Some(known) = self.window.slice(span, position, len as usize) {
            out.extend_from_slice(known);
            return Ok(());
        }
        let Some(reader) = self.spans.get_mut(span).and_then(|open| open.reader.as_mut()) else {
            return Ok(());
        };
        let start = out.len();
        out.resize(start + len as usize, 0);
        match out.get_mut(start..) {
            Some(bytes) => reader.read(position, bytes),
            None => Ok(()),
        }
    }

    /// Reads ahead from `position`, at least `len` bytes. What is missing further on is no matter yet.
    fn load(&mut self, span: usize, position: u64, len: usize) -> Result<(), JournalError> {
        let Some(open) = self.spans.get_mut(span) else { return Ok(()) };
        let Some(reader) = &mut open.reader else { return Ok(()) };
        let available = open.to.saturating_sub(position);
        let ahead = usize::try_from(available.min(WINDOW_BYTES)).unwrap_or(0).max(len);
        let read = reader.read_ahead(position, self.window.begin(span, position, ahead));
        self.window.bytes.truncate(*read.as_ref().unwrap_or(&0));
        let read = read?;
        if read < len {
            let position = position.saturating_add(read as u64);
            return Err(JournalError::Position { session: reader.session(), position });
        }
        Ok(())
    }
}
