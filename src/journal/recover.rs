//! Makes a journal whole again after its writer died.
//!
//! What a data file holds is what can be walked from its first tag on; a torn tag, zeros or
//! anything else after that is cut off. An index is believed if it was sealed, which happens after
//! data and index were synced, and every record proves right; else it is made again. Every file
//! is read by itself: its prefix says all that its tags depend on.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufReader, BufWriter, Write},
    os::unix::fs::FileExt,
};

use tracing::{info, warn};

use super::{
    checksum,
    error::{JournalError, Result},
    file::Disk,
    folder::Folder,
    index::{IndexHeader, Layout, Seal, encode_record},
    index_file::IndexFile,
    prefix::Prefix,
    progress::Progress,
    tracker::Tracker,
    walk::Walk,
};
use crate::media::{
    flv::header::tag_len,
    sample::{Sample, SampleKind},
};

/// Index records read at a time.
const CHUNK: u64 = 4096;

/// What a journal holds after its recovery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The text about the session; none if not even that was stored, so that there is nothing to
    /// keep.
    pub head: Option<String>,
    /// Logical position of the first tag that is kept.
    pub start: u64,
    /// How far the journal reaches, as a closed one. Arrival times are those of the last clock
    /// mark before, so up to a second early.
    pub progress: Progress,
    /// Bytes after the last whole tag that were cut off.
    pub cut_bytes: u64,
    /// Indexes that were made again.
    pub rebuilt: u32,
    /// Data files without a head that can be read and be true, which were put aside.
    pub set_aside: u32,
}

pub(super) fn recover(folder: &Folder, disk: &dyn Disk) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut files = Vec::new();
    for number in folder.numbers()? {
        match Prefix::open(&folder.data(number), folder.session, number) {
            Ok((prefix, walk)) => files.push((number, prefix, walk)),
            Err(JournalError::Damaged { what, .. }) => {
                put_aside(folder, number, what)?;
                recovered.set_aside += 1;
            }
            Err(error) => return Err(error),
        }
    }
    let bases: Vec<u64> = files.iter().map(|(_, prefix, _)| prefix.head.base).collect();
    let mut is_in_order = in_order(&bases).into_iter();
    let mut kept = Vec::with_capacity(files.len());
    for file in files {
        if is_in_order.next() == Some(true) {
            kept.push(file);
        } else {
            put_aside(folder, file.0, "a position that its neighbours contradict")?;
            recovered.set_aside += 1;
        }
    }
    let files = kept;
    for stray in folder.strays(false)? {
        fs::remove_file(&stray).map_err(JournalError::io("remove", &stray))?;
    }
    let bases: Vec<u64> = files.iter().map(|(_, prefix, _)| prefix.head.base).collect();
    for (nth, (number, prefix, walk)) in files.into_iter().enumerate() {
        let limit = bases.get(nth + 1).map(|next| next.saturating_sub(prefix.head.base));
        if nth == 0 {
            recovered.head = Some(prefix.head.head.clone());
            recovered.start = prefix.head.base;
            recovered.progress.wall_ms = prefix.head.wall_ms;
        }
        let mut file = Repair { folder, number, prefix, progress: recovered.progress };
        if !file.is_sound(limit)? {
            file.progress = recovered.progress;
            recovered.cut_bytes += file.rebuild(walk, limit)?;
            recovered.rebuilt += 1;
        }
        recovered.progress = file.progress;
    }
    recovered.progress.closed = true;
    disk.sync_dir(&folder.path).map_err(JournalError::io("sync", &folder.path))?;
    if recovered.rebuilt > 0 {
        let Recovered { cut_bytes, rebuilt, .. } = recovered;
        info!(session.id = %folder.session, cut_bytes, rebuilt, "the journal of an interrupted session was repaired");
    }
    Ok(recovered)
}

/// Takes a file out of the journal without losing a byte of it.
fn put_aside(folder: &Folder, number: u32, what: &str) -> Result<()> {
    let path = folder.data(number);
    warn!(session.id = %folder.session, path = %path.display(), what, "a journal file is put aside");
    fs::rename(&path, Folder::aside(&path)).map_err(JournalError::io("rename", &path))
}

/// Which files to keep so that positions never run backwards, as many as possible: a head that is
/// wrong should cost only its own file.
fn in_order(bases: &[u64]) -> Vec<bool> {
    // For every length, the file with the lowest base that ends a row of so many; and for every
    // file, the one before it in the longest row that it ends.
    let (mut ends, mut before) = (Vec::<usize>::new(), vec![None; bases.len()]);
    for (nth, base) in bases.iter().enumerate() {
        let length = ends.partition_point(|end| bases.get(*end).is_some_and(|end| end <= base));
        if let Some(before) = before.get_mut(nth) {
            *before = length.checked_sub(1).and_then(|shorter| ends.get(shorter).copied());
        }
        match ends.get_mut(length) {
            Some(end) => *end = nth,
            None => ends.push(nth),
        }
    }
    let mut kept = vec![false; bases.len()];
    let mut next = ends.last().copied();
    while let Some(nth) = next {
        if let Some(kept) = kept.get_mut(nth) {
            *kept = true;
        }
        next = before.get(nth).copied().flatten();
    }
    kept
}

/// One file.
struct Repair<'a> {
    folder: &'a Folder,
    number: u32,
    prefix: Prefix,
    progress: Progress,
}

impl Repair<'_> {
    /// True if the index was sealed, fits the data and has no bad record.
    fn is_sound(&mut self, limit: Option<u64>) -> Result<bool> {
        let index = match IndexFile::open(self.folder, self.number) {
            Ok(index) => index,
            Err(JournalError::Damaged { .. }) => return Ok(false),
            Err(JournalError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let Some(seal) = index.header.seal else { return Ok(false) };
        let path = self.folder.data(self.number);
        let data_len = fs::metadata(&path).map_err(JournalError::io("look at", &path))?.len();
        let layout = index.header.layout;
        let is_fit = index.header == self.header(layout, Some(seal))
            && self.prefix.len.checked_add(seal.body_len) == Some(data_len)
            && limit.is_none_or(|limit| seal.body_len <= limit)
            && index.len()? == layout.record_offset(seal.records);
        if !is_fit {
            return Ok(false);
        }
        let count = seal.records;
        let mut chunk = Vec::new();
        let mut tag = (self.prefix.head.base, self.prefix.head.base);
        for nth in (0..count).step_by(CHUNK as usize) {
            index.load(nth, CHUNK.min(count - nth), &mut chunk)?;
            for record in chunk.chunks(index.record_bytes()) {
                let Ok(sample) = index.decode(record) else { return Ok(false) };
                if sample.tag_len > 0 {
                    tag = (tag.1, tag.1.saturating_add(u64::from(sample.tag_len)));
                }
                if sample.position != tag.0 {
                    return Ok(false);
                }
                self.observe(&sample);
            }
        }
        self.progress.written = tag.1;
        Ok(Some(tag.1) == self.prefix.head.base.checked_add(seal.body_len))
    }

    /// Makes the index from the data and cuts both where the last whole tag ends. Gives the bytes
    /// cut off.
    fn rebuild(&mut self, mut walk: Walk<BufReader<File>>, limit: Option<u64>) -> Result<u64> {
        let path = self.folder.index(self.number);
        let fresh = Folder::fresh(&path);
        let file = File::create(&fresh).map_err(JournalError::io("create", &fresh))?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        let seal = self.index(&mut walk, limit, &mut out)?;
        let file = out
            .into_inner()
            .map_err(|error| JournalError::io("write", &fresh)(error.into_error()))?;
        let cut_bytes = self.cut(self.prefix.len + seal.body_len)?;
        // As when a writer ends a file: first everything, then the seal, then the name.
        file.sync_data().map_err(JournalError::io("sync", &fresh))?;
        let sealed = self.header(Layout::Current, Some(seal)).encode();
        file.write_all_at(&sealed, 0).map_err(JournalError::io("write", &fresh))?;
        file.sync_data().map_err(JournalError::io("sync", &fresh))?;
        fs::rename(&fresh, &path).map_err(JournalError::io("rename", &fresh))?;
        Ok(cut_bytes)
    }

    /// Writes header and records.
    fn index(
        &mut self,
        walk: &mut Walk<BufReader<File>>,
        limit: Option<u64>,
        out: &mut impl Write,
    ) -> Result<Seal> {
        let data_path = self.folder.data(self.number);
        let index_path = self.folder.index(self.number);
        let mut known = KnownChecksums::open(self.folder, self.number);
        let mut tracker = Tracker::new(self.prefix.state.clone());
        let (mut samples, mut bytes) =
            (Vec::new(), self.header(Layout::Current, None).encode().to_vec());
        let Seal { mut body_len, mut records } = Seal { body_len: 0, records: 0 };
        loop {
            out.write_all(&bytes).map_err(JournalError::io("write", &index_path))?;
            bytes.clear();
            let Some(tag) = walk.next().map_err(JournalError::io("read", &data_path))? else {
                break;
            };
            let after = body_len + tag_len(tag.payload.len());
            if limit.is_some_and(|limit| after > limit) {
                break;
            }
            let position = self.prefix.head.base + body_len;
            tracker.replay(position, tag.kind, tag.time, tag.payload, &mut samples);
            checksum::stamp(&mut samples, &tag.header, tag.payload);
            known.keep(&mut samples);
            records += samples.len() as u64;
            for sample in samples.drain(..) {
                encode_record(&sample, &mut bytes);
                self.observe(&sample);
            }
            body_len = after;
        }
        self.progress.written = self.prefix.head.base + body_len;
        Ok(Seal { body_len, records })
    }

    /// Shortens the data file and syncs it.
    fn cut(&self, len: u64) -> Result<u64> {
        let path = self.folder.data(self.number);
        let file =
            OpenOptions::new().write(true).open(&path).map_err(JournalError::io("open", &path))?;
        let before = file.metadata().map_err(JournalError::io("look at", &path))?.len();
        if before > len {
            file.set_len(len).map_err(JournalError::io("cut", &path))?;
        }
        file.sync_data().map_err(JournalError::io("sync", &path))?;
        Ok(before.saturating_sub(len))
    }

    fn observe(&mut self, sample: &Sample) {
        if sample.kind == SampleKind::Clock {
            self.progress.wall_ms = sample.dts_ms;
        }
        self.progress.observe(sample, self.progress.wall_ms);
    }

    fn header(&self, layout: Layout, seal: Option<Seal>) -> IndexHeader {
        IndexHeader {
            layout,
            session: self.folder.session,
            number: self.number,
            base: self.prefix.head.base,
            prefix_len: self.prefix.len as u32,
            next_config: self.prefix.state.next_config,
            notes: self.prefix.state.notes,
            seal,
        }
    }
}

/// The checksums of an index that is made again, as far as its records are whole. They were made of
/// what came, so they tell of damage that the data have suffered since; new ones would hide it.
struct KnownChecksums {
    index: Option<IndexFile>,
    next: u64,
    count: u64,
    chunk: Vec<u8>,
    /// Bytes of `chunk` that were looked at.
    at: usize,
}

impl KnownChecksums {
    fn open(folder: &Folder, number: u32) -> Self {
        let index = IndexFile::open(folder, number).ok();
        let count = index.as_ref().and_then(|index| index.count().ok()).unwrap_or(0);
        KnownChecksums { index, next: 0, count, chunk: Vec::new(), at: 0 }
    }

    /// Gives the samples of the next tag the checksums that are known of them.
    fn keep(&mut self, samples: &mut [Sample]) {
        for sample in samples {
            while let Some(known) = self.peek() {
                let place = |sample: &Sample| (sample.position, sample.data_offset);
                if known.is_some_and(|known| place(&known) > place(sample)) {
                    break;
                }
                self.advance();
                // A position is that of one tag for ever.
                let extent = |sample: &Sample| (place(sample).0, sample.tag_len);
                let is_same = |known: &Sample| match sample.tag_len {
                    0 => (place(known), known.data_len) == (place(sample), sample.data_len),
                    _ => extent(known) == extent(sample),
                };
                if let Some(crc @ Some(_)) = known.filter(is_same).map(|known| known.crc) {
                    sample.crc = crc;
                    break;
                }
            }
        }
    }

    /// The next record, none of it if it is no whole one; `None` at the end.
    fn peek(&mut self) -> Option<Option<Sample>> {
        let index = self.index.as_ref()?;
        if self.at >= self.chunk.len() {
            let records = CHUNK.min(self.count - self.next);
            if records == 0 || index.load(self.next, records, &mut self.chunk).is_err() {
                self.index = None;
                return None;
            }
            self.next += records;
            self.at = 0;
        }
        Some(self.chunk.get(self.at..).and_then(|record| index.decode(record).ok()))
    }

    fn advance(&mut self) {
        self.at += self.index.as_ref().map_or(0, IndexFile::record_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::in_order;

    #[test]
    fn one_wrong_position_costs_one_file() {
        assert!(in_order(&[]).is_empty());
        assert_eq!(in_order(&[0, 5, 5, 9]), [true; 4]);
        assert_eq!(in_order(&[0, 900, 20, 30, 40]), [true, false, true, true, true]);
        assert_eq!(in_order(&[10, 20, 30, 3, 40]), [true, true, true, false, true]);
        assert_eq!(in_order(&[900, 10, 20]), [false, true, true]);
        assert_eq!(in_order(&[10, 20, 3]), [true, true, false]);
    }
}
