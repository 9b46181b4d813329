//! Syncing: one round at a time, beside the writing; nobody waits for it but the end.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use super::{
    append::{Appender, Handle, Retired},
    error::Result,
    file::Disk,
    folder::Folder,
    live::LiveGuard,
    pool::{Pool, lost},
    sync::{SyncDone, SyncWork},
};

/// Shortest and longest pause before a failed round is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A round that lasts so long is stuck.
const LATE: Duration = Duration::from_secs(10);
/// Pause before a round that is due while the one before it still runs.
const OVERDUE: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct SyncLane {
    disk: Arc<dyn Disk>,
    folder: Folder,
    live: Arc<LiveGuard>,
    pool: Pool,
    /// Time from the start of a round to the start of the next.
    period: Duration,
    rounds: JoinSet<Result<SyncDone>>,
    /// Folders with new names.
    dirs: Vec<PathBuf>,
    /// Complete files.
    retired: Vec<Retired>,
    /// The file that is being written.
    current: Option<Handle>,
    /// Written to since the last round began.
    is_dirty: bool,
    /// A file whose sync failed while the appender was away.
    bad_file: Option<u32>,
    next: Instant,
    /// When the last round began.
    begun: Instant,
    /// It has been said that it does not end.
    is_late: bool,
    /// Pause after the last failure, while there is no success.
    pause: Option<Duration>,
}

impl SyncLane {
    /// `root` is synced too, for the name of the session's folder.
    pub fn new(
        disk: Arc<dyn Disk>,
        root: PathBuf,
        folder: Folder,
        live: Arc<LiveGuard>,
        pool: Pool,
        sync_interval: Duration,
    ) -> Self {
        // A round must have ended within the interval, not begun. Where in its period a session
        // begins is left to chance, so that the disk is not asked by all of them at once.
        let period = (sync_interval / 4 * 3).max(Duration::from_millis(1));
        SyncLane {
            disk,
            folder,
            live,
            pool,
            period,
            rounds: JoinSet::new(),
            dirs: vec![root],
            retired: Vec::new(),
            current: None,
            is_dirty: true,
            bad_file: None,
            begun: Instant::now(),
            is_late: false,
            next: Instant::now() + period.mul_f64(rand::random()),
            pause: None,
        }
    }

    /// Something is being written.
    pub fn touch(&mut self) {
        self.is_dirty = true;
    }

    /// Looks at what the appender has, between two jobs.
    pub fn visit(&mut self, appender: &mut Appender) {
        if let Some(number) = self.bad_file.take() {
            appender.distrust(number);
            self.distrust(number);
        }
        self.retired.append(&mut appender.take_retired());
        self.current = appender.current();
        if appender.take_new_names() {
            self.dirs.push(self.folder.path.clone());
        }
    }

    /// When [`SyncLane::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        (self.has_work() || !self.rounds.is_empty()).then_some(self.next)
    }

    /// Takes back rounds that are over, without waiting.
    pub fn reap(&mut self, now: Instant) {
        while let Some(round) = self.rounds.try_join_next() {
            self.absorb(round, now);
        }
    }

    /// Begins a round if one is due. `is_writing`: what is on its way needs another one.
    pub fn tick(&mut self, now: Instant, is_writing: bool) {
        if now < self.next {
            return;
        }
        if !self.rounds.is_empty() {
            self.next = now + OVERDUE;
            let waiting = now.saturating_duration_since(self.begun);
            if waiting >= LATE && !std::mem::replace(&mut self.is_late, true) {
                warn!(
                    session.id = %self.folder.session, waiting_s = waiting.as_secs(),
                    "a sync of the journal hangs; a power loss now would lose what came since"
                );
            }
        } else if self.has_work() {
            self.begin(now, is_writing);
        }
    }

    /// Syncs what is left when all files are complete. False if that cannot be had in `tries`.
    pub async fn finish(&mut self, tries: u32) -> bool {
        self.drain().await;
        for nth in 0..tries {
            if self.retired.is_empty() && self.dirs.is_empty() {
                break;
            }
            if nth > 0 {
                sleep(PAUSE.0.min(self.period)).await;
            }
            self.begin(Instant::now(), false);
            self.drain().await;
        }
        self.retired.is_empty() && self.dirs.is_empty()
    }

    async fn drain(&mut self) {
        while let Some(round) = self.rounds.join_next().await {
            self.absorb(round, Instant::now());
        }
        if let Some(number) = self.bad_file.take() {
            self.distrust(number);
        }
    }

    fn has_work(&self) -> bool {
        self.is_dirty || !self.retired.is_empty() || !self.dirs.is_empty()
    }

    fn begin(&mut self, now: Instant, is_writing: bool) {
        let work = SyncWork {
            disk: self.disk.clone(),
            folder: self.folder.clone(),
            dirs: std::mem::take(&mut self.dirs),
            retired: std::mem::take(&mut self.retired),
            current: self.current.clone().filter(|_| self.is_dirty),
            live: self.live.clone(),
        };
        self.is_dirty = is_writing;
        (self.begun, self.is_late) = (now, false);
        self.next = now + self.period;
        let pool = self.pool.clone();
        self.rounds.spawn(async move { pool.run(|| work.run()).await });
    }

    fn distrust(&mut self, number: u32) {
        for file in self.retired.iter_mut().filter(|file| file.handle.header.number == number) {
            file.is_distrusted = true;
        }
    }

    fn absorb(&mut self, round: std::result::Result<Result<SyncDone>, JoinError>, now: Instant) {
        let session = self.folder.session;
        let SyncDone { dirs, retired, bad_file, error } =
            match round.unwrap_or_else(|error| Err(lost(error))) {
                Ok(done) => done,
                Err(error) => {
                    // Its files stay unsealed: recovery reads them at the next start.
                    error!(session.id = %session, %error, "a sync of the journal was lost");
                    return;
                }
            };
        self.dirs.extend(dirs);
        self.retired.splice(0..0, retired);
        self.bad_file = self.bad_file.or(bad_file);
        match error {
            Some((path, error)) => {
                let pause = self.pause.map_or(PAUSE.0, |last| (last * 2).min(PAUSE.1));
                if self.pause.replace(pause).is_none() {
                    error!(
                        session.id = %session, path = %path.display(), %error,
                        "the journal cannot be synced; a power loss now would lose what was \
                         written last; going on in a new file and copying the old one"
                    );
                }
                self.is_dirty = true;
                self.next = now + pause;
            }
            None if self.pause.take().is_some() => {
                info!(session.id = %session, "the journal is synced again");
            }
            None => {}
        }
    }
}
