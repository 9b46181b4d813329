//! The blocking half of a writer: one file after the other, batch after batch.
//!
//! Data first, then the index, then followers are told. After an error nothing that was handed
//! over is lost: both files are cut back to their last good end and the batch is tried again; if
//! they cannot be cut, or the disk itself failed, the next attempt begins a new file.

use std::{
    collections::VecDeque,
    fs, io,
    io::IoSlice,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::watch;

use super::{
    batch::Batch,
    file::{Disk, JournalFile, write_all},
    folder::Folder,
    index::{HEADER_BYTES, IndexHeader, Layout, Seal},
    live::LiveGuard,
    prefix::{self, Opening, Style},
    progress::Progress,
};

/// What could not be done.
#[derive(Debug)]
pub(super) struct Failure {
    pub action: &'static str,
    pub path: PathBuf,
    pub error: io::Error,
}

/// A file that is or was written.
#[derive(Clone)]
pub(super) struct Handle {
    pub header: IndexHeader,
    pub data: Arc<dyn JournalFile>,
    pub index: Arc<dyn JournalFile>,
}

/// A file that is not written to any more but may not be safe on disk yet.
pub(super) struct Retired {
    pub handle: Handle,
    /// What is good of it.
    pub seal: Seal,
    /// The system failed to write or sync it: its cached pages may never reach the disk.
    pub is_distrusted: bool,
}

/// See the module.
pub(super) struct Appender {
    disk: Arc<dyn Disk>,
    folder: Folder,
    /// The caller's text about the session.
    head: String,
    number: u32,
    current: Option<Open>,
    retired: Vec<Retired>,
    has_new_names: bool,
    progress: Arc<watch::Sender<Progress>>,
    /// Taken along into the blocking job, so that the session counts as live until that ends.
    _live: Arc<LiveGuard>,
}

struct Open {
    handle: Handle,
    body_len: u64,
    index_len: u64,
}

impl Appender {
    /// Makes the folder and the first file.
    pub fn create(
        disk: Arc<dyn Disk>,
        folder: Folder,
        head: String,
        opening: &Opening,
        progress: Arc<watch::Sender<Progress>>,
        live: Arc<LiveGuard>,
    ) -> Result<Self, Failure> {
        fs::create_dir(&folder.path).map_err(failure("create", &folder.path))?;
        let mut appender = Appender {
            disk,
            folder,
            head,
            number: 0,
            current: None,
            retired: Vec::new(),
            has_new_names: false,
            progress,
            _live: live,
        };
        if let Err(failure) = appender.open(opening) {
            // Nothing was stored; an empty folder left behind would be released at the next start.
            let _ = fs::remove_dir(&appender.folder.path);
            return Err(failure);
        }
        Ok(appender)
    }

    /// Writes the batches, in order; those that were written are moved to `written`.
    pub fn write(
        &mut self,
        batches: &mut VecDeque<Batch>,
        written: &mut Vec<Batch>,
    ) -> Result<(), Failure> {
        while let Some(batch) = batches.front_mut() {
            if std::mem::take(&mut batch.begins_file) {
                self.retire(false);
            }
            if self.current.is_none() {
                self.open(&batch.opening)?;
            }
            self.append(batch)?;
            // Whether the writer has given up is not for a batch to say.
            self.progress.send_modify(|now| {
                *now = Progress { failure: now.failure, ..batch.progress };
            });
            metrics::counter!("liverec_journal_bytes_total").increment(batch.bytes);
            written.extend(batches.pop_front().map(|mut batch| {
                batch.clear();
                batch
            }));
        }
        Ok(())
    }

    /// The file that is being written.
    pub fn current(&self) -> Option<Handle> {
        self.current.as_ref().map(|open| open.handle.clone())
    }

    /// No more is written to the current file.
    pub fn retire(&mut self, is_distrusted: bool) {
        if let Some(Open { handle, body_len, index_len }) = self.current.take() {
            let seal = Seal { body_len, records: handle.header.layout.records_in(index_len) };
            self.retired.push(Retired { handle, seal, is_distrusted });
        }
    }

    /// A sync of the file with this number failed: no more is written to it.
    pub fn distrust(&mut self, number: u32) {
        if self.current.as_ref().is_some_and(|open| open.handle.header.number == number) {
            self.retire(true);
        }
        for file in self.retired.iter_mut().filter(|file| file.handle.header.number == number) {
            file.is_distrusted = true;
        }
    }

    /// Hands over the files that wait to be synced for the last time.
    pub fn take_retired(&mut self) -> Vec<Retired> {
        std::mem::take(&mut self.retired)
    }

    /// True once after a file was made.
    pub fn take_new_names(&mut self) -> bool {
        std::mem::take(&mut self.has_new_names)
    }

    fn open(&mut self, opening: &Opening) -> Result<(), Failure> {
        let number = self.number.saturating_add(1);
        let (data_path, index_path) = (self.folder.data(number), self.folder.index(number));
        let fresh_path = Folder::fresh(&data_path);
        let made = self.try_open(number, opening, [&fresh_path, &data_path, &index_path]);
        match made {
            Ok(open) => {
                self.number = number;
                self.has_new_names = true;
                self.current = Some(open);
                Ok(())
            }
            Err(failure) => {
                // Nobody has seen them, and the next attempt uses the same number.
                let _ = fs::remove_file(&fresh_path);
                let _ = fs::remove_file(&index_path);
                Err(failure)
            }
        }
    }

    fn try_open(&self, number: u32, opening: &Opening, paths: [&Path; 3]) -> Result<Open, Failure> {
        let [fresh_path, data_path, index_path] = paths;
        let prefix =
            prefix::encode(self.folder.session, number, opening, &self.head, Style::Checked);
        let header = IndexHeader {
            layout: Layout::Current,
            session: self.folder.session,
            number,
            base: opening.base,
            prefix_len: prefix.len() as u32,
            next_config: opening.state.next_config,
            notes: opening.state.notes,
            seal: None,
        };
        // A reader that sees the data file may count on its prefix and on its index.
        let index = self.disk.create(index_path).map_err(failure("create", index_path))?;
        write_all(&*index, &mut [IoSlice::new(&header.encode())])
            .map_err(failure("write", index_path))?;
        let data = self.disk.create(fresh_path).map_err(failure("create", fresh_path))?;
        write_all(&*data, &mut [IoSlice::new(&prefix)]).map_err(failure("write", fresh_path))?;
        fs::rename(fresh_path, data_path).map_err(failure("rename", fresh_path))?;
        let handle = Handle { header, data, index };
        Ok(Open { handle, body_len: 0, index_len: HEADER_BYTES as u64 })
    }

    fn append(&mut self, batch: &Batch) -> Result<(), Failure> {
        let Some(open) = &mut self.current else { return Ok(()) };
        let Handle { header, data, index } = &open.handle;
        let (action, path, error) = match write_all(&**data, &mut batch.slices()) {
            Ok(()) => match write_all(&**index, &mut [IoSlice::new(&batch.index)]) {
                Ok(()) => {
                    open.body_len += batch.bytes;
                    open.index_len += batch.index.len() as u64;
                    return Ok(());
                }
                Err(error) => ("write", self.folder.index(header.number), error),
            },
            Err(error) => ("write", self.folder.data(header.number), error),
        };
        let data_len = u64::from(header.prefix_len) + open.body_len;
        // The index first: it must not know of tags that the data do not have.
        let is_whole = index.cut(open.index_len).and_then(|()| data.cut(data_len)).is_ok();
        // Nothing in a file without tags can have been lost.
        let is_trusted = is_lack_of_room(&error) || open.body_len == 0;
        if !(is_whole && is_trusted) {
            self.retire(true);
        }
        Err(Failure { action, path, error })
    }
}

/// True for errors after which the same file can go on growing once there is room again.
pub(super) fn is_lack_of_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull, WriteZero};
    matches!(error.kind(), StorageFull | QuotaExceeded | WriteZero)
}

fn failure(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure { action, path, error }
}
