//! One journal file after its writer died: its index is believed or made again from the data.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufReader, BufWriter, Write},
    os::unix::fs::FileExt,
};

use super::{
    checksum,
    error::{JournalError, Result},
    file::Disk,
    folder::Folder,
    index::{IndexHeader, Layout, Seal, encode_record},
    index_file::IndexFile,
    lost_end::LostEnd,
    prefix::Prefix,
    progress::Progress,
    recover::known_index,
    tracker::Tracker,
    walk::Walk,
};
use crate::media::{
    flv::header::{TAG_HEADER_LEN, tag_len},
    sample::{Sample, SampleKind},
};

/// Index records read at a time.
const CHUNK: u64 = 4096;

/// One file.
pub(super) struct Repair<'a> {
    pub folder: &'a Folder,
    pub number: u32,
    pub prefix: Prefix,
    pub progress: Progress,
}

impl Repair<'_> {
    /// True if the index was sealed, fits the data and has no bad record.
    pub fn is_sound(&mut self, limit: Option<u64>) -> Result<bool> {
        let Some(index) = known_index(self.folder, self.number)? else { return Ok(false) };
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
    /// cut off, and what the index knew of behind.
    pub fn rebuild(
        &mut self,
        mut walk: Walk<BufReader<File>>,
        limit: Option<u64>,
        disk: &dyn Disk,
    ) -> Result<(u64, LostEnd)> {
        let path = self.folder.index(self.number);
        let fresh = Folder::fresh(&path);
        let file = File::create(&fresh).map_err(JournalError::io("create", &fresh))?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        let seal = self.index(&mut walk, limit, &mut out)?;
        let file = out
            .into_inner()
            .map_err(|error| JournalError::io("write", &fresh)(error.into_error()))?;
        let cut_bytes = self.cut(self.prefix.len + seal.body_len)?;
        let mut lost = LostEnd::behind(self.progress.written);
        // What another file lacks is seen by where the next one begins.
        if limit.is_none() {
            lost.keep(self.folder, self.number, disk)?;
        }
        // As when a writer ends a file: first everything, then the seal, then the name.
        file.sync_data().map_err(JournalError::io("sync", &fresh))?;
        let sealed = self.header(Layout::Current, Some(seal)).encode();
        file.write_all_at(&sealed, 0).map_err(JournalError::io("write", &fresh))?;
        file.sync_data().map_err(JournalError::io("sync", &fresh))?;
        fs::rename(&fresh, &path).map_err(JournalError::io("rename", &fresh))?;
        Ok((cut_bytes, lost))
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
        let mut known = KnownSamples::open(self.folder, self.number);
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
            let frames = known.rotted_frames(position, &tag.header, tag.payload);
            if let Some(frames) = frames {
                tracker.pass(frames);
                samples.extend_from_slice(frames);
            } else {
                tracker.replay(position, tag.kind, tag.time, tag.payload, &mut samples);
                checksum::stamp(&mut samples, &tag.header, tag.payload);
                known.keep(&mut samples);
            }
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

/// The records of an index that is made again, as far as they are whole. They were made of what
/// came, so they tell of damage that the data have suffered since; new ones would hide it.
struct KnownSamples {
    index: Option<IndexFile>,
    next: u64,
    count: u64,
    chunk: Vec<u8>,
    /// Bytes of `chunk` that were looked at.
    at: usize,
    /// Those of the tag that is being looked at.
    of_tag: Vec<Sample>,
}

impl KnownSamples {
    fn open(folder: &Folder, number: u32) -> Self {
        let index = IndexFile::open(folder, number).ok();
        let count = index.as_ref().and_then(|index| index.count().ok()).unwrap_or(0);
        KnownSamples { index, next: 0, count, chunk: Vec::new(), at: 0, of_tag: Vec::new() }
    }

    /// The frames of the tag at `position`, if its bytes are not those that came and all that is known
    /// of it are frames. Positions must grow from call to call.
    fn rotted_frames(
        &mut self,
        position: u64,
        header: &[u8; TAG_HEADER_LEN],
        payload: &[u8],
    ) -> Option<&[Sample]> {
        let is_whole = self.find(position);
        let &Sample { tag_len: len, crc: Some(crc), .. } = self.of_tag.first()? else {
            return None;
        };
        let is_rotted = u64::from(len) == tag_len(payload.len())
            && crc != checksum::of_tag(header, payload)
            && self.of_tag.iter().all(|sample| sample.kind == SampleKind::Frame);
        (is_whole && is_rotted).then_some(&self.of_tag)
    }

    /// Gives the samples of the tag that was asked for last the checksums that are known of them.
    fn keep(&self, samples: &mut [Sample]) {
        for sample in samples {
            // A position is that of one tag for ever.
            let is_same = |known: &&Sample| match sample.tag_len {
                0 => {
                    (known.tag_len, known.data_offset, known.data_len)
                        == (0, sample.data_offset, sample.data_len)
                }
                len => known.tag_len == len,
            };
            if let Some(crc @ Some(_)) = self.of_tag.iter().find(is_same).map(|known| known.crc) {
                sample.crc = crc;
            }
        }
    }

    /// Finds the records of the tag at `position`. True if none is missing.
    fn find(&mut self, position: u64) -> bool {
        self.of_tag.clear();
        loop {
            match self.peek() {
                Some(Some(known)) if known.position > position => return true,
                Some(Some(known)) if known.position == position => self.of_tag.push(known),
                Some(Some(_)) => {}
                // It may have been one of them.
                Some(None) if !self.of_tag.is_empty() => return false,
                Some(None) => {}
                None => return true,
            }
            self.advance();
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
