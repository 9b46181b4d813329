//! The samples between two logical positions, one file after the other.

use std::sync::Arc;

use super::{error::Result, index_file::IndexFile, reader::Reader};
use crate::media::sample::Sample;

/// Records read at a time.
const CHUNK: u64 = 1024;

/// Iterates over samples; made by [`Reader::samples`]. Ends after the first error.
pub struct Samples<'a> {
    reader: &'a mut Reader,
    to: u64,
    /// The file that is being read; none at the end.
    file: Option<Open>,
    chunk: Vec<u8>,
    /// Bytes of `chunk` that were given out.
    at: usize,
    /// Logical position after the last tag that was given out.
    end: u64,
}

struct Open {
    nth: usize,
    index: Arc<IndexFile>,
    /// The next record to load, and the one not to.
    next: u64,
    count: u64,
    /// Where the next file begins.
    limit: Option<u64>,
}

impl<'a> Samples<'a> {
    pub(super) fn open(reader: &'a mut Reader, from: u64, to: u64) -> Result<Self> {
        let mut samples = Samples { reader, to, file: None, chunk: Vec::new(), at: 0, end: 0 };
        if from < to {
            let nth = samples.reader.locate(from)?;
            samples.enter(nth, from)?;
        }
        Ok(samples)
    }

    fn enter(&mut self, nth: usize, from: u64) -> Result<()> {
        let index = self.reader.index(nth)?;
        let limit = self.reader.limit(nth)?;
        let count = index.count()?;
        let next = index.first_from(from, count)?;
        self.file = Some(Open { nth, index, next, count, limit });
        self.at = 0;
        self.chunk.clear();
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Sample>> {
        while let Some(open) = &mut self.file {
            if let Some(record) = self.chunk.get(self.at..).filter(|rest| !rest.is_empty()) {
                let sample = match open.index.decode(record) {
                    // Beyond what was asked for, a record may be just being written.
                    Err(_) if self.end >= self.to => {
                        self.file = None;
                        continue;
                    }
                    sample => sample?,
                };
                self.at += open.index.record_bytes();
                if sample.position >= self.to {
                    self.file = None;
                } else if open.limit.is_none_or(|limit| sample.position < limit) {
                    self.end =
                        self.end.max(sample.position.saturating_add(u64::from(sample.tag_len)));
                    return Ok(Some(sample));
                } else {
                    self.advance()?;
                }
            } else if open.next < open.count {
                let records = CHUNK.min(open.count - open.next);
                open.index.load(open.next, records, &mut self.chunk)?;
                open.next += records;
                self.at = 0;
            } else {
                self.advance()?;
            }
        }
        Ok(None)
    }

    /// Goes on to the next file, if it has something of what is wanted.
    fn advance(&mut self) -> Result<()> {
        match self.file.take() {
            Some(Open { nth, limit: Some(limit), .. }) if limit < self.to => {
                self.enter(nth + 1, limit)
            }
            _ => Ok(()),
        }
    }
}

impl Iterator for Samples<'_> {
    type Item = Result<Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.file = None;
        }
        step.transpose()
    }
}
