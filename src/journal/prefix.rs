//! What every journal file begins with, so that it can be read, and played, without the others.
//!
//! ```text
//! FLV header | private head tag | onMetaData in force | configurations in force | once more | tags ...
//! '--------------------------------- prefix -------------------------------------------'
//! ```
//!
//! The head tag says how many tags after it only repeat what an earlier file holds, and has a
//! checksum of itself and one of each of them. All but the FLV header stands there twice, so that
//! a byte that rots costs nothing (`salvage`). The prefix is outside the logical positions of the
//! session (a tag keeps its position whichever file it ends up in, even when a write error forces a
//! new file) and has no records in the index.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;

use super::{
    error::{JournalError, Result},
    index::MAX_POSITION,
    private::{Check, FORMAT, Head, HeadConfig, Private},
    salvage::{SALVAGED_BYTES, salvage},
    tracker::{ConfigInForce, InForce, State},
    walk::{Walk, file_header},
};
use crate::{
    domain::ids::SessionId,
    media::{
        config::TrackConfig, demux::demux, flv::header::encode_tag, sample::SampleKind,
        tag::TagKind,
    },
};

/// Repeated tags that are read at most: onMetaData and the tracks that the tracker remembers, twice,
/// and the second head.
const MAX_REPEATED: u32 = 64;

/// What the writer knows when it begins a file.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    /// Logical position of the first tag.
    pub base: u64,
    /// Unix milliseconds of its arrival.
    pub wall_ms: i64,
    /// What its meaning depends on.
    pub state: State,
}

/// How a prefix is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// With checksums, and everything twice.
    Checked,
    /// As earlier versions did, for files of theirs.
    Plain,
}

/// What is wrong with a file whose head is true and that stands in the folder of another session.
pub(super) const FOREIGN: &str = "its head is that of another session";

/// The bytes before the first tag.
pub(super) fn encode(
    session: SessionId,
    file: u32,
    opening: &Opening,
    head: &str,
    style: Style,
) -> Vec<u8> {
    let InForce { metadata, configs } = &*opening.state.in_force;
    let mut repeated: Vec<(TagKind, &Bytes)> = Vec::with_capacity(configs.len() + 1);
    repeated.extend(metadata.as_ref().map(|payload| (TagKind::Script, payload)));
    let mut places = Vec::with_capacity(configs.len());
    for ConfigInForce { ordinal, config } in configs {
        let tag = (config.track.tag_kind(), config.tag_payload());
        // One multitrack tag may hold the configurations of several tracks.
        let at = repeated.iter().position(|known| *known == tag).unwrap_or(repeated.len());
        if at == repeated.len() {
            repeated.push(tag);
        }
        let (track, track_id) = (config.track as u8, config.track_id);
        places.push(HeadConfig { track, track_id, config: *ordinal, tag: at as u32 });
    }
    let time_ms = opening.state.clock_ms;
    let (mut tags, mut checks) = (Vec::new(), Vec::with_capacity(repeated.len()));
    for (kind, payload) in &repeated {
        let start = tags.len();
        // A player expects a description of the stream at the beginning of its time.
        let time_ms = if *kind == TagKind::Script { 0 } else { time_ms };
        encode_tag(*kind, time_ms, payload, &mut tags);
        checks.extend(tags.get(start..).map(Check::of));
    }
    let once = repeated.len() as u32;
    let head = Head {
        format: FORMAT,
        session,
        file,
        base: opening.base,
        clock_ms: opening.state.clock_ms,
        wall_ms: opening.wall_ms,
        next_config: opening.state.next_config,
        notes: opening.state.notes,
        repeated: if style == Style::Checked { 2 * once + 1 } else { once },
        metadata: metadata.is_some(),
        configs: places,
        checks: (style == Style::Checked).then_some(checks),
        head: head.to_owned(),
    };
    let mut out = file_header().to_vec();
    for _ in 0..if head.checks.is_some() { 2 } else { 1 } {
        encode_tag(
            TagKind::Script,
            time_ms,
            &Private::Head(Box::new(head.clone())).encode(),
            &mut out,
        );
        out.extend_from_slice(&tags);
    }
    out
}

/// A prefix read back.
pub(super) struct Prefix {
    /// The head tag.
    pub head: Head,
    /// Bytes before the first tag.
    pub len: u64,
    /// The tracker's state before the first tag.
    pub state: State,
    /// How much of it there is.
    pub health: Health,
}

/// How much of a prefix there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// As it was written.
    Whole,
    /// Some of it is spoilt, but it says all that it said.
    Spoilt,
    /// A repeated tag is spoilt wherever it stands, so that the state is not all there.
    Lacking,
}

impl Prefix {
    /// Reads the beginning of a journal file. What is spoilt of the prefix is made up for by the rest
    /// of it, as far as that goes.
    ///
    /// # Errors
    /// The file cannot be read, or does not begin with the prefix of file `number` of `session`.
    pub fn load(path: &Path, session: SessionId, number: u32) -> Result<Self> {
        let file = File::open(path).map_err(JournalError::io("open", path))?;
        let io = || JournalError::io("read", path);
        let read = Self::read(BufReader::with_capacity(1 << 18, &file)).map_err(io())?;
        let prefix = match read {
            Some(prefix) => prefix,
            None => {
                let mut bytes = Vec::new();
                (&file).seek(SeekFrom::Start(0)).map_err(io())?;
                (&file).take(SALVAGED_BYTES).read_to_end(&mut bytes).map_err(io())?;
                salvage(&bytes, session, number)
                    .ok_or_else(|| JournalError::damaged(path, "it has no whole head"))?
            }
        };
        if prefix.head.session != session && prefix.head.checks.is_some() {
            return Err(JournalError::damaged(path, FOREIGN));
        }
        if (prefix.head.session, prefix.head.file) != (session, number) {
            return Err(JournalError::damaged(path, "its head names another file"));
        }
        Ok(prefix)
    }

    /// A prefix that is as it was written.
    fn read(input: impl Read) -> io::Result<Option<Self>> {
        let Some(mut walk) = Walk::open(input)? else { return Ok(None) };
        let (first, head) = match walk.next()? {
            Some(tag) if tag.kind == TagKind::Script => (tag.bytes(), Private::decode(tag.payload)),
            _ => return Ok(None),
        };
        let Some(Private::Head(head)) = head else { return Ok(None) };
        if !is_possible(&head) {
            return Ok(None);
        }
        let mut tags = Vec::new();
        for nth in 0..head.repeated as usize {
            let Some(tag) = walk.next()? else { return Ok(None) };
            let Some(checks) = &head.checks else {
                tags.push(Some((tag.kind, Bytes::copy_from_slice(tag.payload))));
                continue;
            };
            let is_true = match nth.checked_sub(checks.len()) {
                Some(0) => tag.bytes() == first,
                Some(again) => checks.get(again - 1) == Some(&Check::of(&tag.bytes())),
                None => checks.get(nth) == Some(&Check::of(&tag.bytes())),
            };
            if !is_true {
                return Ok(None);
            }
            if nth < checks.len() {
                tags.push(Some((tag.kind, Bytes::copy_from_slice(tag.payload))));
            }
        }
        Ok(Some(Self::new(*head, walk.len(), &tags, Health::Whole)))
    }

    /// Of a head and those of the tags it repeats that are known.
    pub fn new(head: Head, len: u64, tags: &[Option<(TagKind, Bytes)>], health: Health) -> Self {
        let mut in_force = InForce::default();
        for (nth, tag) in tags.iter().enumerate() {
            let Some((kind, payload)) = tag else { continue };
            if nth == 0 && head.metadata {
                in_force.metadata = Some(payload.clone());
            } else {
                let places = head.configs.iter().filter(|place| place.tag as usize == nth);
                restore(*kind, payload, places, &mut in_force.configs);
            }
        }
        in_force.configs.sort_by_key(|known| known.ordinal);
        let state = State {
            clock_ms: head.clock_ms,
            next_config: head.next_config,
            notes: head.notes,
            in_force: Arc::new(in_force),
        };
        Prefix { head, len, state, health }
    }

    /// What its writer knew.
    pub fn opening(&self) -> Opening {
        let Head { base, wall_ms, .. } = self.head;
        Opening { base, wall_ms, state: self.state.clone() }
    }
}

/// True for a head that this program may have written.
pub(super) fn is_possible(head: &Head) -> bool {
    let is_twice = |checks: &Vec<Check>| head.repeated as usize == 2 * checks.len() + 1;
    head.format == FORMAT
        && head.repeated <= MAX_REPEATED
        && head.base <= MAX_POSITION
        && head.checks.as_ref().is_none_or(is_twice)
}

/// Finds the configurations that `places` says are in this tag.
fn restore<'a>(
    kind: TagKind,
    payload: &Bytes,
    places: impl Iterator<Item = &'a HeadConfig>,
    out: &mut Vec<ConfigInForce>,
) {
    let mut samples = Vec::new();
    demux(kind, payload, &mut samples);
    for place in places {
        let is_here = |(track, id): (u8, u8)| (track, id) == (place.track, place.track_id);
        // The last one of the tag is the one that was left in force.
        let found = samples.iter().rev().find(|sample| {
            sample.kind == SampleKind::Config && is_here((sample.track as u8, sample.track_id))
        });
        let config = found.and_then(|sample| TrackConfig::new(payload.clone(), sample));
        out.extend(config.map(|config| ConfigInForce { ordinal: place.config, config }));
    }
}
