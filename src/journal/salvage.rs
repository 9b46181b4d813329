//! A prefix of which something is spoilt, read all the same.
//!
//! Head and repeated tags stand there twice and have checksums: what is true of them is found
//! wherever it is, and where all of it must be follows from the lengths that either head says. Of a
//! prefix without checksums nothing can be told to be true.

use std::iter::successors;

use bytes::Bytes;

use super::{
    prefix::{Health, Prefix, is_possible},
    private::{Check, Head, MARKER, Private},
};
use crate::{
    domain::ids::SessionId,
    media::{
        flv::header::{FILE_HEADER_LEN, TAG_HEADER_LEN, TAG_TRAILER_LEN, tag_len},
        tag::TagKind,
    },
};

/// Bytes of a file in which a head is looked for: more than a prefix has, but for one that is odd.
pub(super) const SALVAGED_BYTES: u64 = 8 << 20;

/// What the first bytes of file `number` of `session` still say.
pub(super) fn salvage(bytes: &[u8], session: SessionId, number: u32) -> Option<Prefix> {
    let (head, payload_len) = marks(bytes).find_map(|at| {
        let (head, payload_len) = head_at(bytes, at)?;
        let is_ours = (head.session, head.file) == (session, number) && is_possible(&head);
        is_ours.then_some((head, payload_len))
    })?;
    let checks = head.checks.clone()?;
    let head_len = tag_len(payload_len);
    let tags_len: u64 = checks.iter().map(|check| u64::from(check.len)).sum();
    let mut at = FILE_HEADER_LEN as u64 + head_len;
    let mut tags = Vec::with_capacity(checks.len());
    for check in &checks {
        tags.push([at, at + tags_len + head_len].iter().find_map(|at| tag_at(bytes, *at, *check)));
        at += u64::from(check.len);
    }
    let len = FILE_HEADER_LEN as u64 + 2 * (head_len + tags_len);
    let is_all_there = tags.iter().all(Option::is_some);
    let health = if is_all_there { Health::Spoilt } else { Health::Lacking };
    Some(Prefix::new(head, len, &tags, health))
}

/// Where private tags may begin.
fn marks(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let find = move |from: usize| {
        let rest = bytes.get(from..)?;
        let at = rest.windows(MARKER.len()).position(|window| window == MARKER)?;
        Some(from + at)
    };
    successors(find(0), move |at| find(at + 1))
}

/// The head whose payload begins here, with the length of that; none that has no checksum.
fn head_at(bytes: &[u8], at: usize) -> Option<(Head, usize)> {
    let rest = bytes.get(at..)?;
    let json = rest.get(MARKER.len()..)?.first_chunk::<4>()?;
    let len = MARKER.len() + json.len() + u32::from_be_bytes(*json) as usize;
    match Private::decode(rest.get(..len)?)? {
        Private::Head(head) if head.checks.is_some() => Some((*head, len)),
        _ => None,
    }
}

/// The tag here, if it is the one that is meant.
fn tag_at(bytes: &[u8], at: u64, check: Check) -> Option<(TagKind, Bytes)> {
    let tag = bytes.get(usize::try_from(at).ok()?..)?.get(..check.len as usize)?;
    if Check::of(tag) != check {
        return None;
    }
    let kind = TagKind::from_byte(*tag.first()?)?;
    let payload = tag.get(TAG_HEADER_LEN..tag.len().checked_sub(TAG_TRAILER_LEN)?)?;
    Some((kind, Bytes::copy_from_slice(payload)))
}
