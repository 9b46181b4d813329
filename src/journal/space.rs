//! The room on the disk of the journals: how much there is, when new publishes are refused, and the
//! reserve that lets open journals end when there is none.
//!
//! Two lines: below the first an operator is warned, below the second new publishes are refused
//! while the running ones go on. When a write finds the disk full all the same, the reserve (a file
//! of a few MiB) is given up and ordinary writing is held: what the reserve gave back is for the
//! ends of journals and for the database. Writing goes on when the reserve could be made again.
//!
//! Blocking, but for what is asked of memory. Who looks once a second is [`super::Journal`].

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use tracing::{info, warn};

use super::file::{Disk, FileSystem};

/// Size of the reserve where the disk is not small.
const RESERVE_BYTES: u64 = 8 << 20;
/// Part of the disk that the reserve takes at most.
const RESERVE_PART: u64 = 32;
/// Writing that was held goes on when so many times the reserve is free.
const RETURN_FACTOR: u64 = 3;
/// Default lines: a size, or on a small disk a part of it.
const WARN: (u64, u64) = (5 << 30, 10);
const REFUSE: (u64, u64) = (512 << 20, 50);
/// So much (an eighth) above a line counts as above it again.
const RETURN_SHIFT: u32 = 3;

/// What is kept free on the disk of the journals.
#[derive(Debug, Clone, Default)]
pub struct SpaceSettings {
    /// Warn below so many bytes; `None` is the lesser of 5 GiB and a tenth of the disk.
    pub warn_bytes: Option<u64>,
    /// Refuse new publishes below so many bytes; `None` is the lesser of 512 MiB and a fiftieth of
    /// the disk.
    pub refuse_bytes: Option<u64>,
    /// The reserve file; `None` for none.
    pub reserve: Option<PathBuf>,
}

impl SpaceSettings {
    /// The bytes that are free on the disk of `path`, and where that stands. Blocking.
    ///
    /// # Errors
    /// The disk does not say.
    pub fn look(&self, path: &Path) -> io::Result<(u64, Level)> {
        let Room { free, total } = FileSystem.room(path)?;
        let level = match total {
            0 => Level::Ample,
            total => Lines::of(self, total).level(Level::Ample, free),
        };
        Ok((free, level))
    }
}

/// Room of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// What this process may still take.
    pub free: u64,
    /// Size; 0 where the file system does not say.
    pub total: u64,
}

/// Where the free room stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Enough.
    Ample,
    /// Below the first line.
    Low,
    /// Below the second line.
    Refusing,
}

/// See the module.
pub(super) struct Space {
    settings: SpaceSettings,
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// A [`Level`].
    level: AtomicU8,
    /// The reserve was given up: only ends may be written.
    is_held: AtomicBool,
    /// Held over every change of the reserve file.
    reserve: Mutex<Reserve>,
}

#[derive(Debug, Default)]
struct Reserve {
    is_there: bool,
    has_complained: bool,
}

/// The lines for a disk of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lines {
    warn: u64,
    refuse: u64,
}

impl Lines {
    fn of(settings: &SpaceSettings, total: u64) -> Self {
        let least = |(size, part): (u64, u64)| size.min(total / part);
        Lines {
            warn: settings.warn_bytes.unwrap_or_else(|| least(WARN)),
            refuse: settings.refuse_bytes.unwrap_or_else(|| least(REFUSE)),
        }
    }

    /// Down at the line, up only a little above it: free room wavers.
    fn level(self, before: Level, free: u64) -> Level {
        let is_below = |line: u64, was_below: bool| match was_below {
            true => free < line.saturating_add(line >> RETURN_SHIFT),
            false => free < line,
        };
        if is_below(self.refuse, before == Level::Refusing) {
            Level::Refusing
        } else if is_below(self.warn, before >= Level::Low) {
            Level::Low
        } else {
            Level::Ample
        }
    }
}

impl Level {
    fn from_byte(byte: u8) -> Self {
        [Level::Ample, Level::Low, Level::Refusing]
            .into_iter()
            .find(|level| *level as u8 == byte)
            .unwrap_or(Level::Ample)
    }
}

impl Space {
    pub fn new(settings: SpaceSettings, root: PathBuf, disk: Arc<dyn Disk>) -> Self {
        // An earlier process may have left its reserve, and there may be no room for another.
        let is_there = settings.reserve.as_ref().is_some_and(|path| path.is_file());
        let reserve = Mutex::new(Reserve { is_there, has_complained: false });
        Space {
            settings,
            root,
            disk,
            level: AtomicU8::new(Level::Ample as u8),
            is_held: AtomicBool::new(false),
            reserve,
        }
    }

    /// What is kept free.
    pub fn settings(&self) -> &SpaceSettings {
        &self.settings
    }

    /// The folder whose disk this is about.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether new publishes are to be refused.
    pub fn is_refusing(&self) -> bool {
        self.level() == Level::Refusing || self.is_held()
    }

    /// Whether only the ends of journals may be written.
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    fn level(&self) -> Level {
        Level::from_byte(self.level.load(Ordering::Relaxed))
    }

    /// Looks at the disk: says when a line is crossed, and makes the reserve if there is room for it.
    ///
    /// # Errors
    /// The disk does not say how much room it has.
    pub fn look(&self) -> io::Result<()> {
        let room = self.disk.room(&self.root)?;
        metrics::gauge!("liverec_disk_free_bytes").set(room.free as f64);
        self.keep_reserve(room);
        // A file system that does not know its size does not know what is free either.
        if room.total == 0 {
            return Ok(());
        }
        let lines = Lines::of(&self.settings, room.total);
        let before = self.level();
        let level = lines.level(before, room.free);
        self.level.store(level as u8, Ordering::Relaxed);
        let Room { free: free_bytes, total: total_bytes } = room;
        match level {
            _ if level == before => {}
            Level::Refusing => warn!(
                free_bytes,
                total_bytes,
                line_bytes = lines.refuse,
                "disk space is below disk.refuse_free: new publishes are refused, running ones go on"
            ),
            Level::Low if before == Level::Refusing => {
                info!(free_bytes, total_bytes, "disk space is back: new publishes are accepted");
            }
            Level::Low => warn!(
                free_bytes,
                total_bytes,
                line_bytes = lines.warn,
                "disk space is below disk.warn_free: free some, or journals will stop growing"
            ),
            Level::Ample => info!(free_bytes, total_bytes, "disk space is ample again"),
        }
        Ok(())
    }

    /// A write found no room: gives the reserve up and holds what is no end.
    pub fn run_out(&self) {
        let Some(path) = &self.settings.reserve else { return };
        let mut reserve = self.lock();
        if !reserve.is_there {
            return;
        }
        match self.disk.remove(path) {
            Ok(()) => {
                reserve.is_there = false;
                self.is_held.store(true, Ordering::Relaxed);
                warn!(
                    path = %path.display(),
                    "the disk is full: the reserve is given up so that journals can end; publishers are held until there is room"
                );
            }
            Err(error) => warn!(path = %path.display(), %error, "the reserve cannot be given up"),
        }
    }

    /// Whether an ordinary write may be tried. Looks for room if there was none.
    pub fn may_write(&self) -> bool {
        if !self.is_held() {
            return true;
        }
        if let Ok(room) = self.disk.room(&self.root) {
            self.keep_reserve(room);
        }
        !self.is_held()
    }

    /// Makes the reserve if it is not there and there is room enough beside it.
    fn keep_reserve(&self, room: Room) {
        let Some(path) = &self.settings.reserve else { return };
        let mut reserve = self.lock();
        let bytes = match room.total {
            0 => RESERVE_BYTES,
            total => RESERVE_BYTES.min(total / RESERVE_PART),
        };
        // What says nothing of its size is believed when the reserve could be made.
        let has_room = room.total == 0 || room.free >= bytes.saturating_mul(RETURN_FACTOR);
        if reserve.is_there || !has_room {
            return;
        }
        match self.disk.allocate(path, bytes) {
            Ok(()) => {
                *reserve = Reserve { is_there: true, has_complained: false };
                if self.is_held.swap(false, Ordering::Relaxed) {
                    info!(free_bytes = room.free, "the disk has room again: journals go on");
                }
            }
            Err(error) => {
                let _ = self.disk.remove(path);
                if !std::mem::replace(&mut reserve.has_complained, true) {
                    warn!(path = %path.display(), %error, "the reserve cannot be made: on a full disk journals may not end cleanly");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reserve> {
        // Two flags that are set after the deed: true enough even after a panic.
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
