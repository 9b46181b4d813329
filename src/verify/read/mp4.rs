//! Plain MP4 (ISO/IEC 14496-12): the samples of all tracks in the order of the file.
//!
//! First the `moov` is found, wherever it is, by the headers of the boxes beside it; then the file
//! is read once from its beginning to its end.

use std::ops::Range;

use crate::verify::packet::{Packet, ReadError, Result, Sink};

use super::{
    input::Input,
    mp4_tables::{Sample, Track, tracks},
};

/// Largest `moov`, in bytes: that of a recording of days.
pub const MOOV_MAX_BYTES: u64 = 512 << 20;

/// Boxes that a file may have side by side.
const BOXES_MAX: usize = 64;

/// Reads a range of an object of `size` bytes.
pub type Fetch<'a> = dyn FnMut(Range<u64>) -> std::io::Result<Vec<u8>> + 'a;

/// The tracks of a file.
pub fn movie(size: u64, fetch: &mut Fetch<'_>) -> Result<Vec<Track>> {
    let mut at = 0;
    for nth in 0..BOXES_MAX {
        if at >= size {
            return Err(ReadError::malformed(at, "the file ends without a moov box"));
        }
        let header = fetch(at..size.min(at.saturating_add(16)))?;
        let (kind, len) = box_header(&header, size - at)
            .ok_or_else(|| ReadError::malformed(at, "this is no box"))?;
        if nth == 0 && kind != *b"ftyp" {
            return Err(ReadError::malformed(0, "the file does not begin with an ftyp box"));
        }
        if len > size - at {
            let name = String::from_utf8_lossy(&kind).into_owned();
            let what = format!("the {name} box is cut short: {} of its {len} bytes", size - at);
            return Err(ReadError::malformed(at, what));
        }
        if kind == *b"moov" {
            if len > MOOV_MAX_BYTES {
                let what = format!("moov has {len} bytes, at most {MOOV_MAX_BYTES} are read");
                return Err(ReadError::malformed(at, what));
            }
            let moov = fetch(at..at + len)?;
            return tracks(&moov).map_err(|what| ReadError::malformed(at, what));
        }
        at += len;
    }
    Err(ReadError::malformed(at, format!("no moov among the first {BOXES_MAX} boxes")))
}

/// Kind and length of the box that begins like this, where `left` bytes follow.
pub fn box_header(bytes: &[u8], left: u64) -> Option<([u8; 4], u64)> {
    let ([l0, l1, l2, l3, kind @ ..], behind) = bytes.split_first_chunk::<8>()?;
    let (len, least) = match u32::from_be_bytes([*l0, *l1, *l2, *l3]) {
        0 => (left, 8),
        1 => (u64::from_be_bytes(*behind.first_chunk()?), 16),
        len => (len.into(), 8),
    };
    (len >= least).then_some((*kind, len))
}

/// Gives the samples of a whole file, in the order in which they lie in it.
pub fn read(input: &mut Input<'_>, tracks: &[Track], sink: &mut Sink<'_>) -> Result<()> {
    let mut lanes = Vec::new();
    for track in tracks {
        let mut samples = track.samples();
        let next = next(&mut samples)?;
        lanes.push((track.lane, samples, next));
    }
    let mut data = Vec::new();
    loop {
        let first = lanes
            .iter_mut()
            .filter_map(|(lane, samples, next)| next.map(|sample| (*lane, samples, next, sample)))
            .min_by_key(|(_, _, _, sample)| sample.offset);
        let Some((lane, samples, following, sample)) = first else { return Ok(()) };
        *following = next(samples)?;
        let what = format!("a sample of the {} track", lane.as_str());
        input.skip_to(sample.offset, &what)?;
        input.exactly(sample.len.into(), &what, &mut data)?;
        sink(Packet::frame(lane, sample.pts_ms, sample.dts_ms, &data));
    }
}

fn next(
    samples: &mut impl Iterator<Item = std::result::Result<Sample, String>>,
) -> Result<Option<Sample>> {
    samples.next().transpose().map_err(|what| ReadError::malformed(0, what))
}
