//! An index on disk, for reading. It may still be growing.

use std::{fs::File, io, os::unix::fs::FileExt, path::PathBuf};

use super::{
    error::{JournalError, Result},
    folder::Folder,
    index::{HEADER_BYTES, IndexHeader, RECORD_BYTES},
};
use crate::media::sample::Sample;

/// See the module.
#[derive(Debug)]
pub(super) struct IndexFile {
    pub header: IndexHeader,
    file: File,
    path: PathBuf,
}

impl IndexFile {
    /// Opens the index of file `number`.
    ///
    /// # Errors
    /// There is none, or its header is not that of this file.
    pub fn open(folder: &Folder, number: u32) -> Result<Self> {
        Self::open_at(folder.index(number), folder, number)
    }

    /// Opens the index of file `number` where it was put.
    ///
    /// # Errors
    /// As [`IndexFile::open`].
    pub fn open_at(path: PathBuf, folder: &Folder, number: u32) -> Result<Self> {
        let found = path.metadata().map_err(JournalError::io("look at", &path))?;
        // Of a pipe the opening alone would last for ever.
        if !found.is_file() {
            return Err(JournalError::damaged(&path, "it is no file"));
        }
        let file = File::open(&path).map_err(JournalError::io("open", &path))?;
        let mut header = [0; HEADER_BYTES];
        let header = match file.read_exact_at(&mut header, 0) {
            Ok(()) => IndexHeader::decode(&header),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(JournalError::io("read", &path)(error)),
        };
        let is_ours = |h: &IndexHeader| (h.session, h.number) == (folder.session, number);
        let Some(header) = header.filter(is_ours) else {
            return Err(JournalError::damaged(&path, "it has no header of this index"));
        };
        Ok(IndexFile { header, file, path })
    }

    /// Bytes of one record.
    pub fn record_bytes(&self) -> usize {
        self.header.layout.record_bytes()
    }

    /// Whole records that are there by now.
    pub fn count(&self) -> Result<u64> {
        Ok(self.header.layout.records_in(self.len()?))
    }

    /// Bytes that are there by now.
    pub fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(JournalError::io("look at", &self.path))?.len())
    }

    /// Replaces `out` by `records` records from number `nth` on.
    pub fn load(&self, nth: u64, records: u64, out: &mut Vec<u8>) -> Result<()> {
        out.resize(records as usize * self.record_bytes(), 0);
        self.file
            .read_exact_at(out, self.header.layout.record_offset(nth))
            .map_err(JournalError::io("read", &self.path))
    }

    /// The record that `bytes` begins with.
    pub fn decode(&self, bytes: &[u8]) -> Result<Sample> {
        let record = self.header.layout.decode_record(bytes);
        record.ok_or_else(|| JournalError::damaged(&self.path, "it has a bad record"))
    }

    /// At most `max` of the first samples, without records that are bad.
    pub fn first_samples(&self, max: u64) -> Result<Vec<Sample>> {
        let mut bytes = Vec::new();
        self.load(0, self.count()?.min(max), &mut bytes)?;
        let records = bytes.chunks(self.record_bytes());
        Ok(records.filter_map(|record| self.decode(record).ok()).collect())
    }

    /// One record.
    pub fn record(&self, nth: u64) -> Result<Sample> {
        let mut bytes = Vec::with_capacity(RECORD_BYTES);
        self.load(nth, 1, &mut bytes)?;
        self.decode(&bytes)
    }

    /// The first of `count` records at or after a logical position. The last ones may be just being
    /// written: what cannot be read counts as later.
    pub fn first_from(&self, position: u64, count: u64) -> Result<u64> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.record(middle) {
                Ok(sample) if sample.position < position => low = middle + 1,
                Ok(_) | Err(JournalError::Damaged { .. }) => high = middle,
                Err(error) => return Err(error),
            }
        }
        Ok(low)
    }

    /// Logical position after the last tag that can be read.
    pub fn end(&self) -> Result<u64> {
        for nth in (0..self.count()?).rev() {
            match self.record(nth) {
                // Only the first sample of a tag says how long it is.
                Ok(sample) if sample.tag_len > 0 => {
                    return Ok(sample.position.saturating_add(u64::from(sample.tag_len)));
                }
                Ok(_) | Err(JournalError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.header.base)
    }
}
