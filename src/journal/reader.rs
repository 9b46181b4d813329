//! Reads a journal, live or not, by logical positions. Blocking.
//!
//! Holds two open files at most and looks only into the files it is asked about: opening a
//! journal of ten hours costs no more than one of ten seconds.

use std::{collections::HashMap, fs::File, io, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use super::{
    error::{JournalError, Result},
    folder::Folder,
    index::IndexHeader,
    index_file::IndexFile,
    prefix::Prefix,
    private::Private,
    samples::Samples,
};
use crate::{
    domain::ids::SessionId,
    media::sample::{Sample, SampleKind},
};

/// Samples that [`Reader::each`] holds.
const EACH: usize = 4096;
/// How often the opening is tried while early files are being released.
const OPENINGS: usize = 3;

/// See the module.
pub struct Reader {
    pub(super) folder: Folder,
    /// Numbers of the files, lowest first; never empty.
    numbers: Vec<u32>,
    headers: HashMap<u32, IndexHeader>,
    index: Option<Arc<IndexFile>>,
    data: Option<(u32, File)>,
    head: String,
    wall_ms: i64,
    start: u64,
}

impl Reader {
    pub(super) fn open(folder: Folder) -> Result<Self> {
        let is_gone = |error: &JournalError| matches!(error, JournalError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
        for _ in 1..OPENINGS {
            match Self::try_open(folder.clone()) {
                Err(error) if is_gone(&error) => {}
                opened => return opened,
            }
        }
        Self::try_open(folder)
    }

    fn try_open(folder: Folder) -> Result<Self> {
        let numbers = folder.numbers()?;
        let first = *numbers.first().ok_or(JournalError::Missing(folder.session))?;
        let prefix = Prefix::load(&folder.data(first), folder.session, first)?;
        let Prefix { head, .. } = prefix;
        Ok(Reader {
            folder,
            numbers,
            headers: HashMap::new(),
            index: None,
            data: None,
            head: head.head,
            wall_ms: head.wall_ms,
            start: head.base,
        })
    }

    /// Whose journal.
    pub fn session(&self) -> SessionId {
        self.folder.session
    }

    /// The text about the session that was given when it began.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Unix milliseconds when the first tag that is kept arrived; of the first file, when the
    /// session began.
    pub fn wall_ms(&self) -> i64 {
        self.wall_ms
    }

    /// Logical position of the first tag that was kept when the journal was opened.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The data file that holds a logical position, as far as is known without reading more.
    pub fn file_of(&self, position: u64) -> Option<PathBuf> {
        let begins_before =
            |number: &&u32| self.headers.get(*number).is_some_and(|header| header.base <= position);
        let number = self.numbers.iter().rev().find(begins_before)?;
        Some(self.folder.data(*number))
    }

    /// Logical position after the last tag that can be read by now.
    ///
    /// # Errors
    /// The last index cannot be read.
    pub fn end(&mut self) -> Result<u64> {
        self.grow();
        let last = self.number(self.files().saturating_sub(1))?;
        IndexFile::open(&self.folder, last)?.end()
    }

    /// Whether the journal went on behind [`Reader::end`], and recovery had to put that aside.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn is_cut_short(&self) -> Result<bool> {
        self.folder.is_cut_short(self.number(self.files().saturating_sub(1))?)
    }

    /// The samples of all tags from `from` (inclusive) to `to` (exclusive), private ones too, in the
    /// order of arrival. A follower asks again and again, each time from where it ended.
    ///
    /// # Errors
    /// `from` is before what is kept, or an index cannot be read.
    pub fn samples(&mut self, from: u64, to: u64) -> Result<Samples<'_>> {
        self.grow();
        Samples::open(self, from, to)
    }

    /// Fills `buf` with the bytes of the journal's tags from a logical position on: headers,
    /// payloads and back pointers as they would stand in one FLV file.
    ///
    /// # Errors
    /// Not all of it is there, or the disk refuses.
    pub fn read(&mut self, position: u64, buf: &mut [u8]) -> Result<()> {
        match self.read_ahead(position, buf)? {
            read if read == buf.len() => Ok(()),
            read => {
                let position = position.saturating_add(read as u64);
                Err(JournalError::Position { session: self.folder.session, position })
            }
        }
    }

    /// The same up to where something is missing: a file that is gone, the end. Gives how many bytes
    /// there are.
    ///
    /// # Errors
    /// `position` is before what is kept, or the disk refuses.
    pub fn read_ahead(&mut self, position: u64, buf: &mut [u8]) -> Result<usize> {
        let mut read = 0;
        while read < buf.len() {
            let position = position.saturating_add(read as u64);
            let nth = self.locate(position)?;
            let limit = self.limit(nth)?.unwrap_or(u64::MAX);
            let here = usize::try_from(limit.saturating_sub(position)).unwrap_or(usize::MAX);
            let header = self.header(nth)?;
            let at = u64::from(header.prefix_len) + position.saturating_sub(header.base);
            let number = header.number;
            let path = self.folder.data(number);
            let end = read.saturating_add(here).min(buf.len());
            let part = buf.get_mut(read..end).unwrap_or_default();
            let got = read_up_to(self.data(number)?, part, at);
            let got = got.map_err(JournalError::io("read", &path))?;
            read += got;
            if got == 0 || read < end {
                break;
            }
        }
        Ok(read)
    }

    /// The text of a note; none if the sample is anything else.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn note(&mut self, sample: &Sample) -> Result<Option<String>> {
        if sample.kind != SampleKind::Private {
            return Ok(None);
        }
        let mut payload = vec![0; sample.data_len as usize];
        self.read(sample.data_position(), &mut payload)?;
        Ok(match Private::decode(&payload) {
            Some(Private::Note(text)) => Some(text),
            _ => None,
        })
    }

    /// The notes from a logical position on, each with its own position.
    ///
    /// # Errors
    /// As [`Reader::samples`] and [`Reader::read`].
    pub fn notes(&mut self, from: u64) -> Result<Vec<(u64, String)>> {
        self.grow();
        let mut found = Vec::new();
        for nth in self.locate(from)?..self.files() {
            let IndexHeader { base, notes, .. } = *self.header(nth)?;
            let limit = self.limit(nth)?;
            if limit.is_some() && self.header(nth + 1)?.notes == notes {
                continue;
            }
            let is_private = |sample: &Sample| sample.kind == SampleKind::Private;
            self.each(from.max(base), limit.unwrap_or(u64::MAX), is_private, |reader, sample| {
                found.extend(reader.note(sample)?.map(|text| (sample.position, text)));
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Unix milliseconds of the last arrival that is noted before a logical position, in the file that
    /// holds it: what is known of it does not change when earlier files go.
    ///
    /// # Errors
    /// As [`Reader::samples`].
    pub fn mark_before(&mut self, position: u64) -> Result<i64> {
        let nth = self.locate(position)?;
        let IndexHeader { base, number, .. } = *self.header(nth)?;
        let mut last = None;
        for sample in self.samples(base, position)? {
            let sample = sample?;
            if sample.kind == SampleKind::Clock {
                last = Some(sample.dts_ms);
            }
        }
        if let Some(last) = last {
            return Ok(last);
        }
        let prefix = Prefix::load(&self.folder.data(number), self.folder.session, number)?;
        Ok(prefix.head.wall_ms)
    }

    /// Calls `f` for the samples between two positions that `is_wanted`. Holds a bounded number of
    /// them, however many there are.
    pub(super) fn each(
        &mut self,
        mut from: u64,
        to: u64,
        is_wanted: impl Fn(&Sample) -> bool,
        mut f: impl FnMut(&mut Self, &Sample) -> Result<()>,
    ) -> Result<()> {
        let mut wanted = Vec::new();
        while from < to {
            let mut next = to;
            for sample in self.samples(from, to)? {
                let sample = sample?;
                // Not between two samples of one tag.
                if wanted.len() >= EACH && sample.tag_len > 0 {
                    next = sample.position;
                    break;
                }
                if is_wanted(&sample) {
                    wanted.push(sample);
                }
            }
            for sample in wanted.drain(..) {
                f(self, &sample)?;
            }
            from = next;
        }
        Ok(())
    }

    /// How many files there are.
    pub(super) fn files(&self) -> usize {
        self.numbers.len()
    }

    /// Which file holds a logical position: the last one that begins at or before it.
    pub(super) fn locate(&mut self, position: u64) -> Result<usize> {
        let (mut low, mut high) = (0, self.numbers.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.header(middle)?.base <= position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1).ok_or(JournalError::Position { session: self.folder.session, position })
    }

    /// Where the next file begins; what a file holds from there on does not count.
    pub(super) fn limit(&mut self, nth: usize) -> Result<Option<u64>> {
        if nth + 1 < self.numbers.len() { Ok(Some(self.header(nth + 1)?.base)) } else { Ok(None) }
    }

    pub(super) fn number(&self, nth: usize) -> Result<u32> {
        self.numbers.get(nth).copied().ok_or(JournalError::Missing(self.folder.session))
    }

    pub(super) fn header(&mut self, nth: usize) -> Result<&IndexHeader> {
        let number = self.number(nth)?;
        if !self.headers.contains_key(&number) {
            let index = IndexFile::open(&self.folder, number)?;
            self.headers.insert(number, index.header);
        }
        self.headers.get(&number).ok_or(JournalError::Missing(self.folder.session))
    }

    /// The index of a file; the last one asked for stays open.
    pub(super) fn index(&mut self, nth: usize) -> Result<Arc<IndexFile>> {
        let number = self.number(nth)?;
        if let Some(open) = self.index.as_ref().filter(|open| open.header.number == number) {
            return Ok(open.clone());
        }
        let index = Arc::new(IndexFile::open(&self.folder, number)?);
        self.index = Some(index.clone());
        Ok(index)
    }

    /// The data file; the last one asked for stays open.
    fn data(&mut self, number: u32) -> Result<&File> {
        let open = match self.data.take() {
            Some(open) if open.0 == number => open,
            _ => {
                let path = self.folder.data(number);
                (number, File::open(&path).map_err(JournalError::io("open", &path))?)
            }
        };
        Ok(&self.data.insert(open).1)
    }

    /// Looks for files that were begun since.
    pub(super) fn grow(&mut self) {
        while let Some(next) = self.numbers.last().and_then(|last| last.checked_add(1))
            && self.folder.has_file(next)
        {
            self.numbers.push(next);
        }
    }
}

/// Fills `buf` from `at` on as far as the file goes. Gives how far that is.
fn read_up_to(file: &File, buf: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = buf.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at.saturating_add(read as u64)) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
