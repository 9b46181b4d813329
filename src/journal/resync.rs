//! Finds whole tags in a file whose beginning cannot be read: where several follow one another, each
//! as long as its header and its back pointer say.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use bytes::Bytes;

use super::{
    error::{JournalError, Result},
    prefix::{Opening, Style, encode},
    private::MARKER,
    salvage::SALVAGED_BYTES,
    tracker::State,
    walk::Walk,
};
use crate::{
    domain::ids::SessionId,
    media::{flv::header::FILE_HEADER_LEN, tag::TagKind},
};

/// So many tags in a row are no accident.
const ENOUGH: usize = 4;

/// The tags of a file from some byte on.
pub(super) fn walk_at(path: &Path, at: u64) -> Result<Walk<BufReader<File>>> {
    let mut file = File::open(path).map_err(JournalError::io("open", path))?;
    file.seek(SeekFrom::Start(at)).map_err(JournalError::io("read", path))?;
    Ok(Walk::resume(BufReader::with_capacity(1 << 18, file), at))
}

/// The tags that end where the body of a file begins: of its prefix, as far as they are whole.
pub(super) fn tags_before(path: &Path, body_at: u64) -> Result<Vec<(TagKind, Bytes)>> {
    if body_at > SALVAGED_BYTES {
        return Ok(Vec::new());
    }
    let bytes = beginning(path, body_at)?;
    let runs = (FILE_HEADER_LEN..bytes.len()).map(|at| run(&bytes, at, usize::MAX));
    let mut whole = runs.filter(|run| run.end == body_at);
    Ok(whole.next().map(|run| run.tags).unwrap_or_default())
}

/// Where the body of a file begins of which only that is known at which position, and what was in
/// force there; `next` is the position at which the next file begins.
pub(super) fn find_body(
    path: &Path,
    base: u64,
    next: Option<u64>,
    state: &State,
) -> Result<Option<u64>> {
    let Some(next) = next else { return Ok(body_in(&beginning(path, SALVAGED_BYTES)?, state)) };
    let len = path.metadata().map_err(JournalError::io("look at", path))?.len();
    let Some(at) = next.checked_sub(base).and_then(|body| len.checked_sub(body)) else {
        return Ok(None);
    };
    let mut walk = walk_at(path, at)?;
    while walk.next().map_err(JournalError::io("read", path))?.is_some() {}
    Ok((walk.len() == len).then_some(at))
}

/// True if tags stand somewhere in what cannot be read from its beginning on.
pub(super) fn has_tags(bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|at| {
        let may_begin = bytes.get(at).is_some_and(|byte| TagKind::from_byte(*byte).is_some());
        may_begin && is_chain(bytes, at)
    })
}

/// The same of the first bytes of a last file: behind the tags that a prefix would repeat.
fn body_in(bytes: &[u8], state: &State) -> Option<u64> {
    let first = (FILE_HEADER_LEN..bytes.len()).find(|at| is_chain(bytes, *at))?;
    let opening = Opening { base: 0, wall_ms: 0, state: state.clone() };
    let like = encode(SessionId::new(0), 1, &opening, "", Style::Plain);
    let expected = run(&like, FILE_HEADER_LEN, usize::MAX).tags;
    let expected = expected.get(1..)?;
    let (mut at, mut is_at_start) = (first, first == FILE_HEADER_LEN);
    let mut is_behind = false;
    loop {
        let head = run(bytes, at, 1);
        let is_head = head.tags.first().is_some_and(|(_, payload)| is_head(payload));
        if is_head || is_at_start {
            at = usize::try_from(head.end).ok()?;
        } else if is_behind {
            return Some(at as u64);
        }
        is_at_start = false;
        let repeated = run(bytes, at, expected.len());
        if repeated.tags != expected {
            return None;
        }
        at = usize::try_from(repeated.end).ok()?;
        is_behind = true;
    }
}

/// True if tags begin here, many or up to the end.
fn is_chain(bytes: &[u8], at: usize) -> bool {
    let run = run(bytes, at, ENOUGH);
    run.tags.len() == ENOUGH || !run.tags.is_empty() && run.end == bytes.len() as u64
}

fn is_head(payload: &[u8]) -> bool {
    let json = payload.strip_prefix(MARKER).and_then(|rest| rest.get(4..));
    json.is_some_and(|json| json.starts_with(b"{\"head\":"))
}

/// Whole tags that follow one another, and where the last one ends.
struct Run {
    tags: Vec<(TagKind, Bytes)>,
    end: u64,
}

fn run(bytes: &[u8], at: usize, max: usize) -> Run {
    let mut walk = Walk::resume(bytes.get(at..).unwrap_or_default(), at as u64);
    let mut tags = Vec::new();
    while tags.len() < max {
        // Memory does not fail to be read.
        let Ok(Some(tag)) = walk.next() else { break };
        tags.push((tag.kind, Bytes::copy_from_slice(tag.payload)));
    }
    Run { tags, end: walk.len() }
}

fn beginning(path: &Path, max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(JournalError::io("open", path))?;
    file.take(max).read_to_end(&mut bytes).map_err(JournalError::io("read", path))?;
    Ok(bytes)
}
