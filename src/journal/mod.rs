//! The journal: what an encoder pushed, as it came, on disk.
//!
//! One folder per publish session, `<root>/<session>/<number>.flv` with `<number>.idx` beside it.
//! A data file is a playable FLV file: a prefix (`prefix`: whose, from where on, headers in force)
//! and then the encoder's tags as they came, with private script tags (`private`) between them. The
//! index (`index`) has one record for every sample and can be made again from the data.
//!
//! A *logical position* counts the bytes of all tags of a session, without the prefixes. It names
//! a tag for ever: neither a new file nor a write error nor a deleted early file moves it.
//!
//! Reading order: `space` (room on the disk), `tracker` (from tags to records), `intake` (from tags to batches), `append` and
//! `sync` (the blocking work), `lane`, `sync_lane` and `writer` (when it is done), `reader` and
//! `samples`, `left` (what is there of one), `recover` (`salvage` and `rebuild` for heads, `mend` for tags, `repair` for the rest,
//! `lost_end` for what a disk lost), `release`. Nothing here knows the database or the products.

mod append;
mod batch;
mod checksum;
mod configs;
mod copies;
mod decided;
mod error;
mod file;
mod floor;
mod folder;
mod format;
mod gone;
mod index;
mod index_file;
mod intake;
mod lane;
mod left;
mod live;
mod lost_end;
mod mend;
mod pool;
mod prefix;
mod private;
mod progress;
mod reader;
mod rebuild;
mod recover;
mod release;
mod repair;
mod resync;
mod salvage;
mod samples;
mod space;
mod sync;
mod sync_lane;
#[cfg(test)]
mod tests;
mod tracker;
mod unproven;
mod walk;
mod writer;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use checksum::is_intact;
pub use error::JournalError;
pub use file::make_folder;
pub use lane::Stall;
pub use left::Left;
pub use progress::{Lead, Mark, Progress};
pub use reader::Reader;
pub use recover::Recovered;
pub use samples::Samples;
pub use space::{Level, SpaceSettings};
pub use writer::Writer;

use append::{Appender, Failure};
use decided::Decided;
use error::Result;
use file::{Disk, FileSystem};
use floor::Floors;
use folder::Folder;
use gone::Gone;
use intake::Intake;
use live::{LiveGuard, LiveSessions};
use pool::Pool;
use prefix::Opening;
use space::Space;
use tracker::State;
use unproven::Unproven;
use writer::MAX_TEXT_BYTES;

use crate::domain::ids::{RecordingId, SessionId};

/// Blocking calls at a time.
const WRITES: usize = 32;
const SYNCS: usize = 32;
const READS: usize = 16;

/// Blocking threads that all journals together use at most: the runtime should have more.
pub const BLOCKING_THREADS: usize = WRITES + SYNCS + READS;

/// How often the room on the disk is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pause before a refused write is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How journals are kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder with one folder per session.
    pub root: PathBuf,
    /// What was written is synced within this time.
    pub sync_interval: Duration,
    /// A file ends at the first key frame (any audio frame while there was no video) at or after
    /// so many bytes, and at any tag from twice as many on.
    pub roll_bytes: u64,
}

/// All journals of this node.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    disk: Arc<dyn Disk>,
    live: LiveSessions,
    unproven: Unproven,
    floors: Floors,
    decided: Decided,
    gone: Gone,
    writes: Pool,
    syncs: Pool,
    reads: Pool,
    space: Arc<Space>,
    retry: Duration,
}

impl Journal {
    /// Makes the root folder if there is none.
    ///
    /// # Errors
    /// The root cannot be made.
    pub fn open(settings: Settings) -> Result<Self> {
        Self::with_space(settings, SpaceSettings::default())
    }

    /// The same with something to say about the room on the disk.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn with_space(settings: Settings, space: SpaceSettings) -> Result<Self> {
        Self::on_disk(settings, space, Arc::new(FileSystem), RETRY)
    }

    fn on_disk(
        settings: Settings,
        space: SpaceSettings,
        disk: Arc<dyn Disk>,
        retry: Duration,
    ) -> Result<Self> {
        make_folder(&settings.root).map_err(JournalError::io("create", &settings.root))?;
        let space = Arc::new(Space::new(space, settings.root.clone(), disk.clone()));
        let shared = Shared {
            settings,
            disk,
            live: LiveSessions::default(),
            unproven: Unproven::default(),
            floors: Floors::default(),
            decided: Decided::default(),
            gone: Gone::default(),
            writes: Pool::new(WRITES),
            syncs: Pool::new(SYNCS),
            reads: Pool::new(READS),
            space,
            retry,
        };
        Ok(Journal { shared: Arc::new(shared) })
    }

    /// Begins the journal of a session. `head` stands at the start of every file of it: enough to
    /// make its rows again, at most a MiB. `wall_ms` is the arrival of the publish.
    ///
    /// # Errors
    /// The session has a journal already, `head` is too long, or the disk refuses.
    pub async fn create(&self, session: SessionId, head: String, wall_ms: i64) -> Result<Writer> {
        if head.len() > MAX_TEXT_BYTES {
            let what = "the head of a session";
            return Err(JournalError::TooLarge { what, bytes: head.len(), max: MAX_TEXT_BYTES });
        }
        let folder = self.folder(session);
        let live = self.shared.live.enter(session).ok_or(JournalError::Exists(session))?;
        let live = Arc::new(live);
        let intake = Intake::new(self.shared.settings.roll_bytes, wall_ms);
        let progress = Arc::new(watch::Sender::new(intake.progress()));
        let make = {
            let disk = self.shared.disk.clone();
            let (folder, progress, live) = (folder.clone(), progress.clone(), live.clone());
            let opening = Opening { base: 0, wall_ms, state: State::default() };
            move || Appender::create(disk, folder, head, &opening, progress, live)
        };
        let appender = self.shared.writes.run(make).await?.map_err(|failure| match failure {
            Failure { error, .. } if error.kind() == io::ErrorKind::AlreadyExists => {
                JournalError::Exists(session)
            }
            Failure { action, path, error } => JournalError::Io { action, path, source: error },
        })?;
        Ok(Writer::new(&self.shared, folder, intake, appender, progress, live))
    }

    /// The sessions that have a folder, oldest first. Blocking.
    ///
    /// # Errors
    /// The root cannot be listed.
    pub fn sessions(&self) -> Result<Vec<SessionId>> {
        folder::sessions(&self.shared.settings.root)
    }

    /// Opens a journal for reading, live or not. Blocking, as all of [`Reader`] is: to be used
    /// inside [`Journal::run_read`].
    ///
    /// # Errors
    /// There is no such journal, or it was not closed and must be recovered first.
    pub fn reader(&self, session: SessionId) -> Result<Reader> {
        Reader::open(self.folder(session))
    }

    /// Repairs the journal of a session without a writer, after a crash or a power loss: cuts off
    /// what is not a whole tag, makes spoilt heads and missing or doubtful indexes again, syncs. Whole
    /// files that were closed properly are only looked at. Blocking, while another repairs it too;
    /// harmless when there is nothing to do.
    ///
    /// # Errors
    /// The session has a writer ([`JournalError::Live`]) or no folder, or the disk refuses.
    pub fn recover(&self, session: SessionId) -> Result<Recovered> {
        self.recover_as(session, None)
    }

    /// The same of a session whose files may not say any more what [`Journal::create`] was told of
    /// it: `head` is that, if something else still says it.
    ///
    /// # Errors
    /// As [`Journal::recover`].
    pub fn recover_as(&self, session: SessionId, head: Option<&str>) -> Result<Recovered> {
        let _guard = self.upkeep(session)?;
        let recovered = recover::recover(&self.folder(session), &*self.shared.disk, head);
        if !recovered.as_ref().is_err_and(JournalError::is_transient) {
            self.shared.unproven.remove(session);
        }
        recovered
    }

    /// Has the journal of a session without a writer to itself, after whoever has it now.
    fn upkeep(&self, session: SessionId) -> Result<LiveGuard> {
        self.shared.live.enter_for_upkeep(session).ok_or(JournalError::Live(session))
    }

    /// The text about a session that was given when it began, if a file of it still says it.
    /// Blocking.
    ///
    /// # Errors
    /// There is no such journal, or the disk refuses.
    pub fn head(&self, session: SessionId) -> Result<Option<String>> {
        recover::head(&self.folder(session))
    }

    /// Deletes what is not needed any more: the files that end at or below the logical position
    /// `keep_from`, or with `None` the whole session. The last file stays as long as anything
    /// is kept, and so does what is behind the floor or a hold of a followed session. Gives the bytes
    /// freed. Nothing else deletes journal data. Blocking.
    ///
    /// # Errors
    /// The whole of a session with a writer is asked for, or the disk refuses.
    pub fn release(&self, session: SessionId, keep_from: Option<u64>) -> Result<u64> {
        let folder = self.folder(session);
        match keep_from {
            Some(position) => {
                let give_up = |base| self.shared.floors.give_up(session, base);
                release::below(&folder, position, give_up)
            }
            None => {
                let guard = self.upkeep(session)?;
                let freed = release::all(&folder);
                drop(guard);
                freed
            }
        }
    }

    /// Whether the disk is too full for another publish.
    pub fn is_refusing(&self) -> bool {
        self.shared.space.is_refusing()
    }

    /// What is kept free on the disk.
    pub fn space_settings(&self) -> SpaceSettings {
        self.shared.space.settings().clone()
    }

    /// Watches the room on the disk until told to stop. A disk that does not answer is asked once.
    pub async fn watch_space(self, token: CancellationToken) {
        let mut has_complained = false;
        loop {
            let space = self.shared.space.clone();
            let look = spawn_blocking(move || space.look());
            let looked = tokio::select! {
                () = token.cancelled() => return,
                looked = look => looked,
            };
            match looked {
                Ok(Ok(())) => has_complained = false,
                Ok(Err(error)) if !has_complained => {
                    has_complained = true;
                    warn!(%error, "the disk of the journals does not say how much room it has");
                }
                _ => {}
            }
            tokio::select! {
                () = token.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Runs a blocking read on one of the threads that are set apart for that.
    ///
    /// # Errors
    /// Those of `f`; [`JournalError::Task`] if it panics or the process is stopping.
    pub async fn run_read<T, E>(
        &self,
        f: impl FnOnce() -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: From<JournalError> + Send + 'static,
    {
        self.shared.reads.run(f).await?
    }

    /// Nothing of a followed session below `position` is needed outside the rows.
    pub fn set_floor(&self, session: SessionId, position: u64) {
        self.shared.floors.set(session, position);
    }

    /// The floor of a session that is followed.
    pub fn floor(&self, session: SessionId) -> Option<u64> {
        self.shared.floors.get(session)
    }

    /// The session is not followed any more: the rows say everything.
    pub fn clear_floor(&self, session: SessionId) {
        self.shared.floors.clear(session);
    }

    /// Keeps a followed session from `position` on for a recording whose note is to come, until
    /// [`Journal::let_go`] or the end of the session; in place of what the recording held before.
    /// False if that is released already.
    pub fn hold(&self, session: SessionId, recording: RecordingId, position: u64) -> bool {
        self.shared.floors.hold(session, recording, position)
    }

    /// The floor says what the recording needs.
    pub fn let_go(&self, session: SessionId, recording: RecordingId) {
        self.shared.floors.let_go(session, recording);
    }

    /// Where the journal of a session is, or would be.
    pub fn path(&self, session: SessionId) -> PathBuf {
        self.folder(session).path
    }

    /// What lies below `position` of a followed session has been cut into files, and the rows say
    /// so. To be called after their commit.
    pub fn set_decided(&self, session: SessionId, position: u64) {
        self.shared.decided.set(session, position);
    }

    /// Up to where a followed session has been cut into files. To be asked before the rows are
    /// read: a file that grows in them has everything of its last span below this.
    pub fn decided(&self, session: SessionId) -> Option<u64> {
        self.shared.decided.get(session)
    }

    /// The session is not followed any more: its files do not grow in it.
    pub fn clear_decided(&self, session: SessionId) {
        self.shared.decided.clear(session);
    }

    fn folder(&self, session: SessionId) -> Folder {
        Folder::new(&self.shared.settings.root, session)
    }
}
