//! The data directory: is it there, can it be written and synced, how much room is left, who holds it.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{advice, report::Finding};
use crate::journal::{Level, SpaceSettings};

/// A sync that takes longer is a warning.
const SLOW_SYNC: Duration = Duration::from_millis(500);
/// File times that differ more from the clock are a warning, in milliseconds.
const OTHER_CLOCK_MS: i64 = 5_000;

/// Looks at the directory, and at the journals' if that is on another disk. Blocks.
pub(super) fn look(directory: &Path, space: &SpaceSettings, is_server: bool) -> Vec<Finding> {
    let disk_of = |path: &Path| fs::metadata(path).map(|meta| meta.dev());
    let own = match disk_of(directory) {
        Ok(own) => own,
        Err(error) => return vec![unreachable(directory, &error)],
    };
    let mut findings = vec![room(directory, space)];
    let journals = directory.join("journal");
    if disk_of(&journals).is_ok_and(|disk| disk != own) {
        findings.push(room(&journals, space));
    }
    if !is_server {
        findings.push(holder(directory));
    }
    findings
}

/// By the lines at which the server warns and refuses.
fn room(directory: &Path, space: &SpaceSettings) -> Finding {
    const CHECK: &str = "data_dir.room";
    let (free, level) = match space.look(directory) {
        Ok(looked) => looked,
        Err(error) => return unreachable(directory, &error),
    };
    let found = format!("{} has {} left", directory.display(), mebibytes(free));
    let advice = "make room: journals stay here until their files are stored";
    match level {
        Level::Ample => Finding::ok(CHECK, found),
        Level::Low => Finding::warn(CHECK, format!("{found}, less than disk.warn_free"), advice),
        Level::Refusing => {
            let found = format!("{found}, less than disk.refuse_free: new publishes are refused");
            Finding::fail(CHECK, found, advice)
        }
    }
}

fn unreachable(directory: &Path, error: &io::Error) -> Finding {
    let found = format!("{}: {error}", directory.display());
    Finding::fail("data_dir", found, advice::for_disk(&error.to_string()))
}

/// Writes, syncs and removes a file. Blocks.
pub(super) fn probe(directory: &Path, now_ms: i64) -> Vec<Finding> {
    let path = directory.join(format!("doctor-{}.probe", Uuid::now_v7()));
    let begun = Instant::now();
    let probed = write(&path);
    let removed = fs::remove_file(&path);
    let took = begun.elapsed();
    let modified_ms = match probed.and_then(|modified_ms| removed.map(|()| modified_ms)) {
        Ok(modified_ms) => modified_ms,
        Err(error) => {
            let found = format!("{}: {error}", directory.display());
            let advice = advice::for_disk(&error.to_string());
            return vec![Finding::fail("data_dir.write", found, advice)];
        }
    };
    let found = format!("a file was written, synced and removed in {} ms", took.as_millis());
    let advice = "the disk is slow: every journal is synced within journal.sync_interval";
    let write = match took > SLOW_SYNC {
        true => Finding::warn("data_dir.write", found, advice),
        false => Finding::ok("data_dir.write", found),
    };
    let ahead_ms = modified_ms.saturating_sub(now_ms);
    let clock = match ahead_ms.abs() > OTHER_CLOCK_MS {
        true => Finding::warn(
            "clock.files",
            format!("times of files in data_dir differ by {} s from the clock", ahead_ms / 1000),
            "data_dir is on another machine's disk: set both clocks (NTP)",
        ),
        false => Finding::ok("clock.files", "times of files agree with the clock"),
    };
    vec![write, clock]
}

/// The file's time of modification, unix milliseconds.
fn write(path: &Path) -> io::Result<i64> {
    let mut file = File::create_new(path)?;
    file.write_all(&[0x5A; 4096])?;
    file.sync_all()?;
    if let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    let meta = file.metadata()?;
    Ok(meta.mtime().saturating_mul(1000).saturating_add(meta.mtime_nsec() / 1_000_000))
}

/// Who holds the directory. The lock is only looked at: taking it, even for a moment, could make a
/// server fail that starts just now.
fn holder(directory: &Path) -> Finding {
    let path = directory.join("lock");
    let Ok(meta) = fs::metadata(&path) else {
        return Finding::ok("data_dir.lock", "no server has used it yet");
    };
    let Ok(locks) = fs::read_to_string("/proc/locks") else {
        return Finding::ok("data_dir.lock", "whether a server holds it cannot be seen here");
    };
    let inode = format!(":{}", meta.ino());
    let is_held = locks.lines().any(|line| {
        line.contains("FLOCK") && line.split_whitespace().any(|word| word.ends_with(&inode))
    });
    if !is_held {
        return Finding::ok("data_dir.lock", "no running server holds it");
    }
    let mut holder = String::new();
    let read = File::open(&path).and_then(|file| file.take(64).read_to_string(&mut holder));
    let holder = if read.is_ok() { holder.trim() } else { "a process" };
    Finding::ok("data_dir.lock", format!("a running server holds it ({holder})"))
}

/// Bytes for a person.
pub(super) fn mebibytes(bytes: u64) -> String {
    match bytes {
        0..=0xF_FFFF => format!("{bytes} bytes"),
        _ if bytes >> 30 >= 10 => format!("{} GiB", bytes >> 30),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::Status;

    #[test]
    fn a_good_directory_and_none() {
        let dir = tempfile::tempdir().unwrap();
        let now_ms = chrono::Utc::now().timestamp_millis();
        let probed = probe(dir.path(), now_ms);
        assert!(probed.iter().all(|finding| finding.status != Status::Fail), "{probed:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
        let far = probe(dir.path(), now_ms - 60_000);
        assert_eq!(far[1].status, Status::Warn, "{far:?}");
        assert_eq!(holder(dir.path()).status, Status::Ok);
        let none = dir.path().join("none");
        assert_eq!(look(&none, &SpaceSettings::default(), false)[0].status, Status::Fail);
        assert_eq!(probe(&none, now_ms)[0].status, Status::Fail);
    }

    /// What the server refuses is not fine.
    #[test]
    fn room_is_judged_by_the_lines_of_the_server() {
        let dir = tempfile::tempdir().unwrap();
        for (warn, refuse, expected) in
            [(0, 0, Status::Ok), (u64::MAX, 0, Status::Warn), (u64::MAX, u64::MAX, Status::Fail)]
        {
            let (warn_bytes, refuse_bytes) = (Some(warn), Some(refuse));
            let space = SpaceSettings { warn_bytes, refuse_bytes, reserve: None };
            assert_eq!(look(dir.path(), &space, true)[0].status, expected);
        }
    }

    #[test]
    fn bytes_are_shown_short() {
        assert_eq!(mebibytes(7), "7 bytes");
        assert_eq!(mebibytes(5 << 20), "5 MiB");
        assert_eq!(mebibytes(50 << 30), "50 GiB");
    }
}
