//! The samples and bytes of one media file, read from the journals it lies in.
//!
//! A file is an ordered list of journal spans; a source walks them one after the other, any number
//! of times, holding a bounded number of samples and one read-ahead window in memory.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    domain::recording::Span,
    journal::{Journal, JournalError, Reader},
    media::{config::Configs, sample::Sample},
};

/// Samples taken from the index at a time.
const BATCH: usize = 4096;
/// Journal bytes read at a time.
const WINDOW_BYTES: u64 = 512 << 10;

/// One span, opened.
struct OpenSpan {
    reader: Reader,
    from: u64,
    to: u64,
}

/// The samples of a file in order, and their bytes.
pub struct Source {
    spans: Vec<OpenSpan>,
    /// Span being walked and position of the next sample in it.
    at: (usize, u64),
    queue: VecDeque<Sample>,
    window: Window,
    is_final: bool,
}

/// A stretch of one span's journal held in memory.
#[derive(Default)]
struct Window {
    span: usize,
    from: u64,
    bytes: Vec<u8>,
}

impl Source {
    /// Opens the journals of all spans of a file that is complete.
    pub fn open(journal: &Journal, spans: &[Span]) -> Result<Self, JournalError> {
        Self::open_spans(journal, spans, true)
    }

    /// Opens the journals of a file that may still grow. A last span without an end is read up to
    /// `decided`, a position of its session up to which it is known what belongs to the file.
    pub fn open_growing(
        journal: &Journal,
        spans: &[Span],
        decided: u64,
    ) -> Result<Self, JournalError> {
        let mut spans = spans.to_vec();
        if let Some(last) = spans.last_mut() {
            last.to.get_or_insert(decided.max(last.from));
        }
        Self::open_spans(journal, &spans, false)
    }

    /// Whether the file is complete: without a next sample now there will be none later.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    fn open_spans(journal: &Journal, spans: &[Span], is_final: bool) -> Result<Self, JournalError> {
        let spans = spans
            .iter()
            .map(|span| {
                let mut reader = journal.reader(span.session)?;
                let end = reader.end()?;
                Ok(OpenSpan { from: span.from, to: span.to.unwrap_or(end).min(end), reader })
            })
            .collect::<Result<Vec<_>, JournalError>>()?;
        let (queue, window) = (VecDeque::new(), Window::default());
        let mut source = Self { spans, at: (0, 0), queue, window, is_final };
        source.rewind();
        Ok(source)
    }

    /// The configurations that samples of one span refer to.
    pub fn configs(&mut self, span: usize) -> Result<Configs, JournalError> {
        match self.spans.get_mut(span) {
            Some(open) => open.reader.configs(open.from, open.to),
            None => Ok(Configs::new()),
        }
    }

    /// The encoder's metadata in force where the file begins.
    pub fn metadata(&mut self) -> Result<Option<Bytes>, JournalError> {
        match self.spans.first_mut() {
            Some(open) => open.reader.metadata(open.from),
            None => Ok(None),
        }
    }

    /// The payload of the tag that a sample was found in.
    pub fn payload(&mut self, span: usize, sample: &Sample) -> Result<Bytes, JournalError> {
        match self.spans.get_mut(span) {
            Some(open) => open.reader.payload(sample),
            None => Ok(Bytes::new()),
        }
    }

    /// The first samples of a span, private ones too, at most `max`.
    pub fn first_samples(&mut self, span: usize, max: usize) -> Result<Vec<Sample>, JournalError> {
        match self.spans.get_mut(span) {
            Some(open) if open.from < open.to => {
                open.reader.samples(open.from, open.to)?.take(max).collect()
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Begins the walk again.
    pub fn rewind(&mut self) {
        self.queue.clear();
        self.at = (0, self.spans.first().map_or(0, |span| span.from));
    }

    /// The next sample and the span it is of.
    pub fn next_sample(&mut self) -> Result<Option<(usize, Sample)>, JournalError> {
        while self.queue.is_empty() {
            let (index, position) = self.at;
            let Some(span) = self.spans.get_mut(index) else { return Ok(None) };
            let mut next = span.to;
            if position < span.to {
                for sample in span.reader.samples(position, span.to)? {
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
        Ok(self.queue.pop_front().map(|sample| (index, sample)))
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

    /// Reads ahead from `position`, at least `len` bytes.
    fn load(&mut self, span: usize, position: u64, len: usize) -> Result<(), JournalError> {
        let Some(open) = self.spans.get_mut(span) else { return Ok(()) };
        let available = open.to.saturating_sub(position);
        let ahead = usize::try_from(available.min(WINDOW_BYTES)).unwrap_or(0).max(len);
        self.window.bytes.resize(ahead, 0);
        self.window.span = span;
        self.window.from = position;
        let read = open.reader.read(position, &mut self.window.bytes);
        if read.is_err() {
            self.window.bytes.clear();
        }
        read
    }
}

impl Window {
    fn slice(&self, span: usize, position: u64, len: usize) -> Option<&[u8]> {
        if span != self.span {
            return None;
        }
        let start = usize::try_from(position.checked_sub(self.from)?).ok()?;
        self.bytes.get(start..start.checked_add(len)?)
    }
}
