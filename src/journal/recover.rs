//! Makes a journal whole again after its writer died.
//!
//! What a data file holds is what can be walked from its first tag on; a torn tag, zeros or
//! anything else after that is cut off. An index is believed if it was sealed, which happens after
//! data and index were synced, and every record proves right; else it is made again. Every file
//! is read by itself: its prefix says all that its tags depend on. One that is spoilt is made again
//! first, from itself (`salvage`) or from what stands beside it (`rebuild`); so are tags (`mend`).

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom},
    path::Path,
};

use tracing::{error, info, warn};

use super::{
    error::{JournalError, Result},
    file::Disk,
    folder::Folder,
    index_file::IndexFile,
    lost_end::LostEnd,
    mend::{Mending, mend},
    prefix::{FOREIGN, Health, Prefix},
    progress::Progress,
    rebuild,
    repair::Repair,
    resync,
};

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
    /// Data files of which the head was spoilt, which were given a true one.
    pub mended: u32,
    /// Tags whose header or back pointer was spoilt and has been written anew.
    pub mended_tags: u32,
    /// Data files without a head that can be read and be true, nor one that could be made again,
    /// which were put aside.
    pub set_aside: u32,
    /// Tags behind the last one that is kept of which only an index still knew; of those that it does
    /// not know any more either, some may have been lost without being counted.
    pub lost_tags: u64,
}

/// The text about a session that the files still have.
pub(super) fn head(folder: &Folder) -> Result<Option<String>> {
    for number in folder.numbers()? {
        match Prefix::load(&folder.data(number), folder.session, number) {
            Ok(prefix) => return Ok(Some(prefix.head.head)),
            Err(JournalError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// `text` is what the caller knows of the session, for the case that no file says it any more.
pub(super) fn recover(folder: &Folder, disk: &dyn Disk, text: Option<&str>) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    let text = head(folder)?.or_else(|| text.map(str::to_owned));
    let mut files = Vec::new();
    // In order: what is known of a file may depend on the one before.
    for number in folder.numbers()? {
        let path = folder.data(number);
        clear(folder, number)?;
        let found = match Prefix::load(&path, folder.session, number) {
            Ok(prefix) if is_contradicted(folder, number, &prefix)? => None,
            Ok(prefix) if prefix.health == Health::Whole => {
                files.push((number, prefix));
                continue;
            }
            Ok(prefix) => Some(prefix),
            // Nobody's rows are to get what another has sent.
            Err(JournalError::Damaged { what: FOREIGN, .. }) => {
                put_aside(folder, number, FOREIGN)?;
                recovered.set_aside += 1;
                continue;
            }
            Err(JournalError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let made = rebuild::make(folder, number, found.as_ref())?;
        let (Some(made), Some(text)) = (made, &text) else {
            put_aside(
                folder,
                number,
                "it has no whole head, and nothing else says what that said",
            )?;
            recovered.set_aside += 1;
            continue;
        };
        rebuild::write(folder, number, &made, text, disk)?;
        warn!(session.id = %folder.session, path = %path.display(), "the head of a journal file was spoilt and has been made again");
        recovered.mended += 1;
        let prefix = Prefix::load(&path, folder.session, number)?;
        files.push((number, prefix));
    }
    let bases: Vec<u64> = files.iter().map(|(_, prefix)| prefix.head.base).collect();
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
    let last = files.last().map(|(number, _)| *number);
    // One before what is left is what a release leaves that was broken off, or the positions show
    // what it knows.
    let mut lone = folder.lone_indexes()?;
    lone.retain(|number| last.is_none_or(|last| *number > last));
    for stray in folder.strays(false)? {
        if lone.iter().any(|number| stray == folder.index(*number)) {
            continue;
        }
        fs::remove_file(&stray).map_err(JournalError::io("remove", &stray))?;
    }
    let bases: Vec<u64> = files.iter().map(|(_, prefix)| prefix.head.base).collect();
    let mut lost = LostEnd::default();
    for (nth, (number, prefix)) in files.into_iter().enumerate() {
        let limit = bases.get(nth + 1).map(|base| base.saturating_sub(prefix.head.base));
        if nth == 0 {
            recovered.head = Some(prefix.head.head.clone());
            recovered.start = prefix.head.base;
            recovered.progress.wall_ms = prefix.head.wall_ms;
        }
        let mut file = Repair { folder, number, prefix, progress: recovered.progress };
        if file.is_sound(limit)? {
            lost = LostEnd::behind(file.progress.written);
        } else {
            file.progress = recovered.progress;
            let Mending { tags, lost_from } = mend(folder, number, &file.prefix, limit, disk)?;
            let path = folder.data(number);
            if tags > 0 {
                warn!(session.id = %folder.session, path = %path.display(), tags, "tags of a journal file were spoilt and have been made again");
                recovered.mended_tags += tags;
            }
            if let Some(from) = lost_from {
                let aside = Folder::aside(&path);
                let kept_bytes =
                    keep(&path, from, &aside).map_err(JournalError::io("keep", &aside))?;
                // Before it is cut.
                disk.sync_dir(&folder.path).map_err(JournalError::io("sync", &folder.path))?;
                error!(session.id = %folder.session, path = %path.display(), kept_bytes, "a journal file is spoilt in the middle and nothing says how it goes on; what is behind is put aside");
            }
            // What was made again is another file.
            let walk = resync::walk_at(&path, file.prefix.len)?;
            let cut_bytes;
            (cut_bytes, lost) = file.rebuild(walk, limit, disk)?;
            recovered.cut_bytes += cut_bytes;
            recovered.rebuilt += 1;
        }
        recovered.progress = file.progress;
    }
    recovered.progress.closed = true;
    if last.is_some() {
        LostEnd::reconsider(folder, recovered.progress.written)?;
    }
    let settled = lone.into_iter().try_for_each(|number| lost.settle(folder, number));
    // Another attempt would find nothing to tell in what has been put aside by now.
    lost.tell(folder);
    settled?;
    recovered.lost_tags = lost.tags;
    disk.sync_dir(&folder.path).map_err(JournalError::io("sync", &folder.path))?;
    if recovered.rebuilt > 0 {
        let Recovered { cut_bytes, rebuilt, .. } = recovered;
        info!(session.id = %folder.session, cut_bytes, rebuilt, "the journal of an interrupted session was repaired");
    }
    Ok(recovered)
}

/// True if a head without a checksum is not what the index says of it, whose header has one.
fn is_contradicted(folder: &Folder, number: u32, prefix: &Prefix) -> Result<bool> {
    if prefix.head.checks.is_some() {
        return Ok(false);
    }
    let Some(index) = known_index(folder, number)? else { return Ok(false) };
    let (head, index) = (&prefix.head, &index.header);
    Ok((head.base, head.next_config, head.notes, prefix.len)
        != (index.base, index.next_config, index.notes, index.prefix_len.into()))
}

/// The index of a file, if it has a header that can be believed.
pub(super) fn known_index(folder: &Folder, number: u32) -> Result<Option<IndexFile>> {
    match IndexFile::open(folder, number) {
        Ok(index) => Ok(Some(index)),
        Err(JournalError::Damaged { .. }) => Ok(None),
        Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Moves away what is no file and stands where one of ours is to be written.
fn clear(folder: &Folder, number: u32) -> Result<()> {
    let (data, index) = (folder.data(number), folder.index(number));
    let written = [Folder::fresh(&data), Folder::aside(&data), Folder::fresh(&index), index];
    let is_other = |path: &Path| path.symlink_metadata().is_ok_and(|found| !found.is_file());
    for path in written.iter().filter(|path| is_other(path)) {
        let mut names = (0u32..).map(|nth| path.with_added_extension(format!("foreign{nth}")));
        let free = names.find(|away| away.symlink_metadata().is_err());
        let away = free.ok_or_else(|| JournalError::damaged(path, "it is no file"))?;
        fs::rename(path, &away).map_err(JournalError::io("rename", path))?;
        warn!(session.id = %folder.session, path = %path.display(), away = %away.display(), "what is no file stood in the place of a journal file; it is moved away");
    }
    Ok(())
}

/// Takes a file out of the journal without losing a byte of it.
fn put_aside(folder: &Folder, number: u32, what: &str) -> Result<()> {
    let path = folder.data(number);
    let bytes = fs::metadata(&path).map_err(JournalError::io("look at", &path))?.len();
    if bytes == 0 {
        warn!(session.id = %folder.session, path = %path.display(), "a journal file is put aside: it is empty");
    } else {
        error!(session.id = %folder.session, path = %path.display(), bytes, what, "a journal file is put aside; what it holds will be missing");
    }
    fs::rename(&path, Folder::aside(&path)).map_err(JournalError::io("rename", &path))
}

/// Keeps what will be cut off a file behind what was put aside of it before: a process that was
/// killed in between does so twice, which is better than not at all.
fn keep(path: &Path, from: u64, aside: &Path) -> io::Result<u64> {
    let mut rest = File::open(path)?;
    rest.seek(SeekFrom::Start(from))?;
    let mut to = File::options().create(true).append(true).open(aside)?;
    let bytes = io::copy(&mut rest, &mut to)?;
    to.sync_all()?;
    Ok(bytes)
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
