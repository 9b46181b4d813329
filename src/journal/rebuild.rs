//! The head of a journal file, made again from what stands beside it.
//!
//! Where the file stands in its session, and where its tags begin, its index says, which has
//! checksums. What its tags depend on is what the file before it leaves behind, to the byte; where
//! that is gone, what the file after it still has in force, and what its own index and repeated tags
//! say. Nothing is guessed: what nothing says makes no head.

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

use super::{
    error::{JournalError, Result},
    file::Disk,
    folder::Folder,
    prefix::{self, Health, Opening, Prefix, Style},
    private::is_metadata,
    recover::known_index,
    resync,
    tracker::{ConfigInForce, InForce, State, Tracker},
};
use crate::media::{
    config::TrackConfig,
    demux::demux,
    flv::header::tag_len,
    sample::{Sample, SampleKind, TagSample},
};

/// Samples of its own index that are asked what a file depends on.
const SAMPLES: u64 = 1 << 16;

/// What a head must say, and where the tags behind it begin.
pub(super) struct Made {
    pub opening: Opening,
    pub body_at: u64,
}

/// Where a file stands in its session.
#[derive(Clone, Copy)]
struct Place {
    base: u64,
    body_at: u64,
    next_config: u32,
    notes: u32,
}

/// What a file leaves behind.
struct End {
    position: u64,
    state: State,
    /// Its last clock mark; when it began, if there is none.
    wall_ms: Option<i64>,
}

/// Finds what the head of a file must say. `own` is what it still says itself. None, too, where the
/// damage goes on in the tags: whoever walks them would cut off all that is behind it.
pub(super) fn make(folder: &Folder, number: u32, own: Option<&Prefix>) -> Result<Option<Made>> {
    let made = match own.filter(|own| own.health != Health::Lacking) {
        Some(own) => Some(Made { opening: own.opening(), body_at: own.len }),
        None => work_out(folder, number, own)?,
    };
    let Some(made) = made else { return Ok(None) };
    let path = folder.data(number);
    let mut walk = resync::walk_at(&path, made.body_at)?;
    let begins_well = walk.next().map_err(JournalError::io("read", &path))?.is_some();
    let len = fs::metadata(&path).map_err(JournalError::io("look at", &path))?.len();
    let is_empty = len <= made.body_at
        && match known_index(folder, number)? {
            Some(index) => index.count()? == 0,
            None => true,
        };
    Ok((begins_well || is_empty).then_some(made))
}

/// The same from all that is beside it.
fn work_out(folder: &Folder, number: u32, own: Option<&Prefix>) -> Result<Option<Made>> {
    let after = match number.checked_add(1) {
        Some(next) => neighbour(folder, next)?,
        None => None,
    };
    let place = match own {
        Some(Prefix { head, len, .. }) => Some(Place {
            base: head.base,
            body_at: *len,
            next_config: head.next_config,
            notes: head.notes,
        }),
        None => known_index(folder, number)?.map(|index| Place {
            base: index.header.base,
            body_at: index.header.prefix_len.into(),
            next_config: index.header.next_config,
            notes: index.header.notes,
        }),
    };
    let before = end_before(folder, number, place.map(|place| place.base))?;
    let path = folder.data(number);
    let place = match (place, &before) {
        (Some(place), _) => place,
        (None, Some(before)) => {
            let next = after.as_ref().map(|after| after.head.base);
            let Some(body_at) = resync::find_body(&path, before.position, next, &before.state)?
            else {
                return Ok(None);
            };
            let State { next_config, notes, .. } = before.state;
            Place { base: before.position, body_at, next_config, notes }
        }
        (None, None) => return Ok(None),
    };
    let is_next = |end: &End| {
        (end.position, end.state.next_config, end.state.notes)
            == (place.base, place.next_config, place.notes)
    };
    let before = before.filter(is_next);
    let wall_ms = match own {
        Some(own) => Some(own.head.wall_ms),
        // A file without a clock mark took less than a second.
        None => arrival(&path, &place, before.as_ref().and_then(|end| end.wall_ms))?
            .or(after.as_ref().map(|after| after.head.wall_ms)),
    };
    let state = match before {
        Some(end) => Some(end.state),
        None => state_of(folder, number, &place, own, after.as_ref())?,
    };
    let (Some(wall_ms), Some(state)) = (wall_ms, state) else { return Ok(None) };
    let opening = Opening { base: place.base, wall_ms, state };
    Ok(Some(Made { opening, body_at: place.body_at }))
}

/// Puts a head before the tags of a file: beside it first, so that there is a whole file at any time.
pub(super) fn write(
    folder: &Folder,
    number: u32,
    Made { opening, body_at }: &Made,
    text: &str,
    disk: &dyn Disk,
) -> Result<()> {
    let path = folder.data(number);
    let fresh = Folder::fresh(&path);
    let encode = |style| prefix::encode(folder.session, number, opening, text, style);
    // As long as it was if it can be: whoever has the file open goes by that.
    let is_as_long = |head: &Vec<u8>| head.len() as u64 == *body_at;
    let checked = encode(Style::Checked);
    let head = match is_as_long(&checked) {
        true => checked,
        false => Some(encode(Style::Plain)).filter(is_as_long).unwrap_or(checked),
    };
    let copy = || -> io::Result<()> {
        let mut from = File::open(&path)?;
        from.seek(SeekFrom::Start(*body_at))?;
        let mut to = File::create(&fresh)?;
        to.write_all(&head)?;
        io::copy(&mut from, &mut to)?;
        to.sync_data()?;
        fs::rename(&fresh, &path)
    };
    copy().map_err(JournalError::io("mend", &path))?;
    disk.sync_dir(&folder.path).map_err(JournalError::io("sync", &folder.path))
}

/// Another file of the session, if there is one that can be read.
fn neighbour(folder: &Folder, number: u32) -> Result<Option<Prefix>> {
    match Prefix::load(&folder.data(number), folder.session, number) {
        Ok(prefix) => Ok(Some(prefix)),
        Err(JournalError::Damaged { .. }) => Ok(None),
        Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What the file before this one leaves behind at `base`, or where it ends if that is not known.
fn end_before(folder: &Folder, number: u32, base: Option<u64>) -> Result<Option<End>> {
    if number <= 1 {
        return Ok(Some(End { position: 0, state: State::default(), wall_ms: None }));
    }
    let number = number - 1;
    let Some(prefix) = neighbour(folder, number)? else { return Ok(None) };
    // A file that was given up may hold more than counts; its seal says how much does.
    let sealed = || -> Result<Option<u64>> {
        let seal = known_index(folder, number)?.and_then(|index| index.header.seal);
        Ok(seal.map(|seal| prefix.head.base.saturating_add(seal.body_len)))
    };
    let limit = match base {
        Some(base) => base,
        None => match sealed()? {
            Some(end) => end,
            None => return Ok(None),
        },
    };
    let path = folder.data(number);
    let mut walk = resync::walk_at(&path, prefix.len)?;
    let mut tracker = Tracker::new(prefix.state.clone());
    let (mut position, mut samples) = (prefix.head.base, Vec::new());
    let mut wall_ms = Some(prefix.head.wall_ms);
    while position < limit
        && let Some(tag) = walk.next().map_err(JournalError::io("read", &path))?
    {
        tracker.replay(position, tag.kind, tag.time, tag.payload, &mut samples);
        wall_ms = samples.drain(..).find_map(|sample| clock_of(&sample)).or(wall_ms);
        position += tag_len(tag.payload.len());
    }
    let end = End { position, state: tracker.state().clone(), wall_ms };
    Ok((position == limit).then_some(end))
}

fn clock_of(sample: &Sample) -> Option<i64> {
    (sample.kind == SampleKind::Clock).then_some(sample.dts_ms)
}

/// When the first tag of a file arrived: its clock mark says it if it begins with one, else the last
/// one before it, up to a second early.
fn arrival(path: &Path, place: &Place, before: Option<i64>) -> Result<Option<i64>> {
    let mut walk = resync::walk_at(path, place.body_at)?;
    let mut tracker = Tracker::new(State::default());
    let (mut is_first, mut samples) = (true, Vec::new());
    while let Some(tag) = walk.next().map_err(JournalError::io("read", path))? {
        tracker.replay(0, tag.kind, tag.time, tag.payload, &mut samples);
        if let Some(wall_ms) = samples.drain(..).find_map(|sample| clock_of(&sample)) {
            return Ok(Some(if is_first { wall_ms } else { before.unwrap_or(wall_ms) }));
        }
        is_first = false;
    }
    Ok(before)
}

/// What the tags of a file depend on, without the file before it.
fn state_of(
    folder: &Folder,
    number: u32,
    place: &Place,
    own: Option<&Prefix>,
    after: Option<&Prefix>,
) -> Result<Option<State>> {
    let index = known_index(folder, number)?;
    let samples = match &index {
        Some(index) => index.first_samples(SAMPLES)?,
        None => Vec::new(),
    };
    // The time of a clock mark is that of the wall, and ffmpeg ends a sequence at 0.
    let has_time = |s: &&Sample| !matches!(s.kind, SampleKind::Clock | SampleKind::EndOfSequence);
    let first_ms = samples.iter().find(has_time).map(|sample| sample.dts_ms);
    let Some(clock_ms) = own.map(|own| own.head.clock_ms).or(first_ms) else { return Ok(None) };
    let mut in_force = own.map(|own| (*own.state.in_force).clone()).unwrap_or_default();
    // A track that changes has another ordinal, so that the same one has been in force throughout.
    let later = after.map(|after| after.state.in_force.configs.as_slice()).unwrap_or_default();
    let known = later.iter().filter(|known| known.ordinal < place.next_config);
    for known in known {
        add(&mut in_force, known.clone());
    }
    if own.is_none() {
        let path = folder.data(number);
        for (kind, payload) in resync::tags_before(&path, place.body_at)? {
            if is_metadata(&payload) {
                in_force.metadata = Some(payload.clone());
            }
            let mut found = Vec::new();
            demux(kind, &payload, &mut found);
            for found in &found {
                let config = TrackConfig::new(payload.clone(), found);
                let ordinal = ordinal_of(found, &samples, place.next_config);
                if let (Some(config), Some(ordinal)) = (config, ordinal) {
                    add(&mut in_force, ConfigInForce { ordinal, config });
                }
            }
        }
    }
    in_force.configs.sort_by_key(|known| known.ordinal);
    let Place { next_config, notes, .. } = *place;
    Ok(Some(State { clock_ms, next_config, notes, in_force: Arc::new(in_force) }))
}

fn add(in_force: &mut InForce, config: ConfigInForce) {
    if in_force.get(config.config.track, config.config.track_id).is_none() {
        in_force.configs.push(config);
    }
}

/// The ordinal by which the frames of a file name a configuration that came before it.
fn ordinal_of(found: &TagSample, samples: &[Sample], next_config: u32) -> Option<u32> {
    let is_of = |sample: &&Sample| {
        (sample.track, sample.track_id, sample.codec) == (found.track, found.track_id, found.codec)
            && (1..next_config).contains(&sample.config)
    };
    samples.iter().find(is_of).map(|sample| sample.config)
}
