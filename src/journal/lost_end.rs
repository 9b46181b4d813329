//! What an index knows of the end of its session that the data do not hold any more.
//!
//! A record is made of a tag that was received, and it reaches the index only after all of the tag
//! was written to the data file (`append`); where a write is taken back, the index is cut first, and
//! what was taken back is written again at the same position. So a process that is killed leaves no
//! record without its data: the tag that it was writing stands in no index, and nobody is told of it.
//! A record of a tag that is not there says that the disk has lost what it had taken, be it that a
//! power loss came before the next sync or that the file was damaged since; even where an index could
//! not be cut it is a tag that was received and is nowhere. Each record has a checksum, and so has the
//! header, which says where the file begins: one that is whole can be believed by itself, sealed or
//! not.
//!
//! Such an index is put aside when another one, or none, takes its place. It stands for the loss
//! from then on ([`Folder::is_cut_short`]), however often the journal is recovered, and goes with it.
//! What a file lacks behind which another one is left needs none of this: the positions show it.

use std::{
    fs::{self, File},
    io,
};

use tracing::error;

use super::{
    error::{JournalError, Result},
    file::Disk,
    folder::Folder,
    index_file::IndexFile,
    recover::known_index,
};
use crate::media::sample::SampleKind;

/// Index records read at a time.
const CHUNK: u64 = 4096;

/// What is lost behind the last tag that a journal holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LostEnd {
    /// Up to here everything is there or counted; none before anything was looked at.
    at: Option<u64>,
    /// Where it begins.
    from: u64,
    /// Tags of the encoder that are known to be lost.
    pub tags: u64,
    /// Whether anything is lost; of what no record is left the number is not known.
    is_lost: bool,
    /// Numbers of the indexes that say so.
    numbers: Vec<u32>,
}

impl LostEnd {
    /// Of a journal that ends at `written`.
    pub fn behind(written: u64) -> Self {
        LostEnd { at: Some(written), from: written, ..LostEnd::default() }
    }

    /// Keeps a copy of the index of the last file if that knows of more than the file holds. To be
    /// called before the index is made again.
    pub fn keep(&mut self, folder: &Folder, number: u32, disk: &dyn Disk) -> Result<()> {
        if !self.take(folder, number)? {
            return Ok(());
        }
        let path = folder.index(number);
        let aside = Folder::aside(&path);
        let copy = || -> io::Result<()> {
            fs::copy(&path, &aside)?;
            File::open(&aside)?.sync_all()
        };
        copy().map_err(JournalError::io("keep", &aside))?;
        disk.sync_dir(&folder.path).map_err(JournalError::io("sync", &folder.path))
    }

    /// Puts an index aside whose data file is gone, or removes it if it knows of nothing more. To be
    /// called from the lowest number on.
    pub fn settle(&mut self, folder: &Folder, number: u32) -> Result<()> {
        let path = folder.index(number);
        match self.take(folder, number) {
            Ok(true) => {
                fs::rename(&path, Folder::aside(&path)).map_err(JournalError::io("rename", &path))
            }
            Ok(false) => fs::remove_file(&path).map_err(JournalError::io("remove", &path)),
            // What is there is not kept back by what is not.
            Err(error) => {
                error!(session.id = %folder.session, %error, "an index whose data file is gone cannot be read; it is left as it is");
                Ok(())
            }
        }
    }

    /// Removes the indexes that were put aside once all that they know of is there: somebody brought it
    /// back. The journal ends at `written`.
    pub fn reconsider(folder: &Folder, written: u64) -> Result<()> {
        for number in folder.indexes_aside()? {
            let path = Folder::aside(&folder.index(number));
            let known = IndexFile::open_at(path.clone(), folder, number)
                .and_then(|index| LostEnd::behind(written).count(&index));
            // One that cannot be read any more stands for what it stood for.
            if known.is_ok_and(|is_lost| !is_lost) {
                // What was found in the place of the data is worth nothing beside them.
                let data = Folder::aside(&folder.data(number));
                if data.exists() {
                    fs::remove_file(&data).map_err(JournalError::io("remove", &data))?;
                }
                fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Says once what is lost.
    pub fn tell(&self, folder: &Folder) {
        let (true, Some(to), Some(number)) = (self.is_lost, self.at, self.numbers.first()) else {
            return;
        };
        error!(
            session.id = %folder.session,
            path = %folder.data(*number).display(),
            lost_tags = self.tags,
            lost_bytes = to.saturating_sub(self.from),
            position = self.from,
            "the end of a journal is lost, though its index knows of it; what is made of it will end earlier and say so"
        );
    }

    /// Counts what an index knows beyond what is there. True if anything is lost.
    fn count(&mut self, index: &IndexFile) -> Result<bool> {
        let base = index.header.base;
        if self.at.is_none() {
            self.from = base;
        }
        let from = *self.at.get_or_insert(base);
        let (mut end, mut tags, mut own_bytes) = (from.max(base), 0, 0);
        let (count, mut chunk) = (index.count()?, Vec::new());
        for nth in (0..count).step_by(CHUNK as usize) {
            index.load(nth, CHUNK.min(count - nth), &mut chunk)?;
            for record in chunk.chunks(index.record_bytes()) {
                let Ok(sample) = index.decode(record) else { continue };
                // Only the first sample of a tag has its length.
                if sample.tag_len == 0 || sample.position < from {
                    continue;
                }
                let len = u64::from(sample.tag_len);
                end = end.max(sample.position.saturating_add(len));
                match is_own(sample.kind) {
                    true => own_bytes += len,
                    false => tags += 1,
                }
            }
        }
        // What no record tells of was of the encoder as well as not.
        let is_lost = end.saturating_sub(from) > own_bytes;
        self.at = Some(end);
        if is_lost {
            self.is_lost = true;
            self.tags += tags;
            self.numbers.push(index.header.number);
        }
        Ok(is_lost)
    }

    /// The same for the index of a file, whether or not there is one.
    fn take(&mut self, folder: &Folder, number: u32) -> Result<bool> {
        match known_index(folder, number)? {
            Some(index) => self.count(&index),
            None => Ok(false),
        }
    }
}

/// Marks of the clock and notes are the journal's own: without them no product lacks anything.
fn is_own(kind: SampleKind) -> bool {
    matches!(kind, SampleKind::Private | SampleKind::Clock)
}
