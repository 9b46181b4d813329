//! What every journal file begins with, so that it can be read, and played, without the others.
//!
//! ```text
//! FLV header | private head tag | onMetaData in force | configurations in force | tags ...
//! '------------------------------ prefix --------------------------------------'
//! ```
//!
//! The head tag says how many tags after it only repeat what an earlier file holds. The prefix is
//! outside the logical positions of the session (a tag keeps its position whichever file it ends
//! up in, even when a write error forces a new file) and has no records in the index.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;

use super::{
    error::{JournalError, Result},
    index::MAX_POSITION,
    private::{FORMAT, Head, HeadConfig, Private},
    tracker::{ConfigInForce, InForce, State},
    walk::{Walk, file_header},
};
use crate::{
    domain::ids::SessionId,
    media::{
        config::TrackConfig,
        demux::demux,
        flv::header::encode_tag,
        sample::{SampleKind, Track},
        tag::TagKind,
    },
};

/// Repeated tags that are read at most: onMetaData and the tracks that the tracker remembers.
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

/// The bytes before the first tag.
pub(super) fn encode(session: SessionId, file: u32, opening: &Opening, head: &str) -> Vec<u8> {
    let InForce { metadata, configs } = &*opening.state.in_force;
    let mut repeated: Vec<(TagKind, &Bytes)> = Vec::with_capacity(configs.len() + 1);
    repeated.extend(metadata.as_ref().map(|payload| (TagKind::Script, payload)));
    let mut places = Vec::with_capacity(configs.len());
    for ConfigInForce { ordinal, config } in configs {
        let tag = (kind_of(config), config.tag_payload());
        // One multitrack tag may hold the configurations of several tracks.
        let at = repeated.iter().position(|known| *known == tag).unwrap_or(repeated.len());
        if at == repeated.len() {
            repeated.push(tag);
        }
        let (track, track_id) = (config.track as u8, config.track_id);
        places.push(HeadConfig { track, track_id, config: *ordinal, tag: at as u32 });
    }
    let head = Head {
        format: FORMAT,
        session,
        file,
        base: opening.base,
        clock_ms: opening.state.clock_ms,
        wall_ms: opening.wall_ms,
        next_config: opening.state.next_config,
        notes: opening.state.notes,
        repeated: repeated.len() as u32,
        metadata: metadata.is_some(),
        configs: places,
        head: head.to_owned(),
    };
    let mut out = file_header().to_vec();
    let time_ms = opening.state.clock_ms;
    encode_tag(TagKind::Script, time_ms, &Private::Head(Box::new(head)).encode(), &mut out);
    for (kind, payload) in repeated {
        // A player expects a description of the stream at the beginning of its time.
        let time_ms = if kind == TagKind::Script { 0 } else { time_ms };
        encode_tag(kind, time_ms, payload, &mut out);
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
}

impl Prefix {
    /// Reads the beginning of a journal file.
    ///
    /// # Errors
    /// The file cannot be read, or does not begin with a whole prefix of file `number` of
    /// `session`.
    pub fn load(path: &Path, session: SessionId, number: u32) -> Result<Self> {
        let (prefix, _) = Self::open(path, session, number)?;
        Ok(prefix)
    }

    /// The same; what follows can be read from the walk.
    pub fn open(
        path: &Path,
        session: SessionId,
        number: u32,
    ) -> Result<(Self, Walk<BufReader<File>>)> {
        let file = File::open(path).map_err(JournalError::io("open", path))?;
        let read = Self::read(BufReader::with_capacity(1 << 18, file));
        let (prefix, walk) = read
            .map_err(JournalError::io("read", path))?
            .ok_or_else(|| JournalError::damaged(path, "it has no whole head"))?;
        if (prefix.head.session, prefix.head.file) != (session, number) {
            return Err(JournalError::damaged(path, "its head names another file"));
        }
        Ok((prefix, walk))
    }

    fn read<R: Read>(input: R) -> io::Result<Option<(Self, Walk<R>)>> {
        let Some(mut walk) = Walk::open(input)? else { return Ok(None) };
        let head = match walk.next()? {
            Some(tag) if tag.kind == TagKind::Script => Private::decode(tag.payload),
            _ => None,
        };
        let Some(Private::Head(head)) = head else { return Ok(None) };
        if head.format != FORMAT || head.repeated > MAX_REPEATED || head.base > MAX_POSITION {
            return Ok(None);
        }
        let mut in_force = InForce::default();
        for nth in 0..head.repeated {
            let Some(tag) = walk.next()? else { return Ok(None) };
            if nth == 0 && head.metadata {
                in_force.metadata = Some(Bytes::copy_from_slice(tag.payload));
            } else {
                let places = head.configs.iter().filter(|place| place.tag == nth);
                restore(tag.kind, tag.payload, places, &mut in_force.configs);
            }
        }
        in_force.configs.sort_by_key(|known| known.ordinal);
        let state = State {
            clock_ms: head.clock_ms,
            next_config: head.next_config,
            notes: head.notes,
            in_force: Arc::new(in_force),
        };
        Ok(Some((Prefix { head: *head, len: walk.len(), state }, walk)))
    }
}

fn kind_of(config: &TrackConfig) -> TagKind {
    match config.track {
        Track::Audio => TagKind::Audio,
        Track::Video => TagKind::Video,
        Track::Script => TagKind::Script,
    }
}

/// Finds the configurations that `places` says are in this tag.
fn restore<'a>(
    kind: TagKind,
    payload: &[u8],
    places: impl Iterator<Item = &'a HeadConfig>,
    out: &mut Vec<ConfigInForce>,
) {
    let mut samples = Vec::new();
    demux(kind, payload, &mut samples);
    let payload = Bytes::copy_from_slice(payload);
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
