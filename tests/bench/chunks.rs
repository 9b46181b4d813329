//! An FLV file as RTMP chunks, made once for all connections.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

struct Tag {
    kind: u8,
    time_ms: u32,
    body: Vec<u8>,
}

/// Chunks of the whole file, and after which byte each message is complete.
#[derive(Default)]
pub struct Pass {
    /// What goes over the wire.
    pub bytes: Vec<u8>,
    /// When each message is due, in ms since the begin of the pass, and where it ends.
    pub messages: Vec<(u32, usize)>,
}

pub struct Media {
    /// Begins with absolute times and holds the headers.
    pub first: Pass,
    /// Every further round: frames only.
    pub again: Pass,
    /// Media time of one round.
    pub round_ms: u32,
}

fn be24(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn read_flv(path: &Path) -> Result<Vec<Tag>> {
    let file = fs::read(path).with_context(|| path.display().to_string())?;
    ensure!(file.starts_with(b"FLV"), "not an FLV file");
    let mut rest = file.get(13..).context("an empty FLV file")?;
    let mut tags = Vec::new();
    while let Some((head, after)) = rest.split_at_checked(11) {
        let length = be24(&head[1..4]);
        let Some((body, after)) = after.split_at_checked(length) else {
            break;
        };
        let time_ms = u32::try_from(be24(&head[4..7]))? | u32::from(head[7]) << 24;
        tags.push(Tag { kind: head[0], time_ms, body: body.to_vec() });
        rest = after.get(4..).unwrap_or_default();
    }
    Ok(tags)
}

impl Tag {
    fn is_header(&self) -> bool {
        match self.kind {
            8 => self.body.get(1) == Some(&0),
            9 => {
                self.body.get(1) == Some(&0) || self.body.first().is_some_and(|b| b & 0x8f == 0x80)
            }
            _ => true,
        }
    }

    fn chunk_stream(&self) -> u8 {
        match self.kind {
            8 => 4,
            9 => 6,
            _ => 5,
        }
    }
}

fn put24(to: &mut Vec<u8>, number: usize) {
    to.extend_from_slice(&(number as u32).to_be_bytes()[1..]);
}

/// One message in chunks. `stream` is Some for a header with an absolute time.
pub fn message(
    to: &mut Vec<u8>,
    id: u8,
    stream: Option<u32>,
    time: u32,
    kind: u8,
    body: &[u8],
    chunk: usize,
) {
    to.push(if stream.is_some() { id } else { 0x40 | id });
    put24(to, time as usize);
    put24(to, body.len());
    to.push(kind);
    if let Some(stream) = stream {
        to.extend_from_slice(&stream.to_le_bytes());
    }
    for (number, part) in body.chunks(chunk).enumerate() {
        if number > 0 {
            to.push(0xc0 | id);
        }
        to.extend_from_slice(part);
    }
}

/// Reads an FLV file and turns it into chunks of at most `chunk` bytes.
pub fn prepare(path: &Path, chunk: usize) -> Result<Media> {
    let tags = read_flv(path)?;
    let is_frame = |tag: &&Tag| !tag.is_header();
    let start = tags.iter().filter(is_frame).map(|tag| tag.time_ms).min().context("no frames")?;
    let end = tags.iter().filter(is_frame).map(|tag| tag.time_ms).max().context("no frames")?;
    ensure!(end < 0xff_ffff, "the file is too long");
    let round_ms = end - start + 33;
    let mut last = [None::<u32>; 8]; // by chunk stream
    let mut first = Pass::default();
    for tag in &tags {
        let id = tag.chunk_stream();
        let mut body = Vec::new();
        if tag.kind == 18 {
            body.extend_from_slice(b"\x02\x00\x0d@setDataFrame");
        }
        body.extend_from_slice(&tag.body);
        let previous = last[usize::from(id)].replace(tag.time_ms);
        let (stream, time) = match previous {
            None => (Some(1), tag.time_ms),
            Some(previous) => (None, tag.time_ms.saturating_sub(previous)),
        };
        message(&mut first.bytes, id, stream, time, tag.kind, &body, chunk);
        first.messages.push((tag.time_ms.saturating_sub(start), first.bytes.len()));
    }
    let mut again = Pass::default();
    for tag in tags.iter().filter(is_frame) {
        let id = tag.chunk_stream();
        // the first of a round follows the last of the round before
        let previous = last[usize::from(id)].replace(tag.time_ms).unwrap_or(start);
        let time = (i64::from(tag.time_ms) - i64::from(previous)).rem_euclid(i64::from(round_ms));
        message(&mut again.bytes, id, None, u32::try_from(time)?, tag.kind, &tag.body, chunk);
        again.messages.push((tag.time_ms - start, again.bytes.len()));
    }
    Ok(Media { first, again, round_ms })
}
