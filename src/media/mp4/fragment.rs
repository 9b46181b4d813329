//! Fragmented MP4 (ISO/IEC 14496-12 clause 8.8): an initialisation segment, and media segments of
//! one `moof` and one `mdat`, as HLS plays them (RFC 8216 clause 3.3).
//!
//! Everything about a sample stands in its segment, so a writer remembers nothing of a segment
//! that is done. Times are milliseconds and exact; the composition offset is signed, so that no
//! edit list is needed. Which samples make a segment, and what their times become, is decided in
//! [`crate::media::hls`].

mod init;

#[cfg(test)]
mod tests;

use mp4_atom::{Encode, FourCC, Mfhd, Styp, Tfdt, Tfhd};

use super::boxes::{full, nested};
use super::{Error, Result};
use crate::media::frame_head::describes_itself;
use crate::media::sample::{Sample, Track};

pub use self::init::Descriptions;

/// True for the samples that a segment can have: what [`super::takes`] takes, if its configuration
/// has been seen or it needs none. An initialisation segment is written before what follows it.
pub fn takes(sample: &Sample) -> bool {
    super::takes(sample) && (sample.config != 0 || describes_itself(sample.codec))
}

/// `trun` version 1 (signed offsets) with data offset and, per sample, duration, size, flags and
/// composition offset.
const TRUN_VERSION_FLAGS: u32 = 0x0100_0f01;
/// Sample flags (clause 8.8.3.1) of a sample that depends on no other.
const IS_SYNC: u32 = 0x0200_0000;
/// Those of a sample that depends on others and is no sync sample.
const IS_NO_SYNC: u32 = 0x0101_0000;
/// Length of the header of an `mdat` that is smaller than 4 GiB.
const MDAT_HEADER: u64 = 8;

/// One sample of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentSample {
    /// Time to the next sample in decoding order, milliseconds.
    pub duration_ms: u32,
    /// Presentation time less decoding time, milliseconds.
    pub offset_ms: i32,
    /// Bytes.
    pub size: u32,
    /// Decoding may begin here.
    pub is_sync: bool,
}

/// The samples of one track in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentTrack {
    /// Which track.
    pub track: Track,
    /// Decoding time of the first sample, milliseconds.
    pub decode_ms: u64,
    /// In decoding order, at least one.
    pub samples: Vec<FragmentSample>,
    /// How many samples lie together each time that it is the track's turn; 0 where it has none then.
    /// All samples together.
    pub runs: Vec<usize>,
}

impl FragmentTrack {
    fn bytes(&self) -> u64 {
        bytes_of(&self.samples)
    }

    /// The samples of each turn.
    fn turns(&self) -> impl Iterator<Item = &[FragmentSample]> {
        let mut rest = self.samples.as_slice();
        self.runs.iter().map(move |run| {
            let (turn, behind) = rest.split_at_checked(*run).unwrap_or((rest, &[]));
            rest = behind;
            turn
        })
    }
}

fn bytes_of(samples: &[FragmentSample]) -> u64 {
    samples.iter().map(|sample| u64::from(sample.size)).sum()
}

/// Everything of a media segment that comes before the data: `styp`, `moof` and the header of
/// `mdat`. The data of all samples follow, turn after turn, in each turn in the order of `tracks`.
/// `number` counts the segments from 0.
///
/// A small track should come first, and a segment of more than 2 GiB should be one turn: where a run
/// begins is a signed 32-bit number.
///
/// # Errors
/// [`Error::TooLarge`] if a place or a count does not fit into its field.
pub fn encode_head(number: u64, tracks: &[FragmentTrack]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    Styp {
        major_brand: FourCC::new(b"msdh"),
        minor_version: 0,
        compatible_brands: vec![FourCC::new(b"msdh"), FourCC::new(b"iso6")],
    }
    .encode(&mut out)?;
    let moof_at = out.len();
    let data_bytes: u64 = tracks.iter().map(FragmentTrack::bytes).sum();
    let is_wide = u32::try_from(data_bytes + MDAT_HEADER).is_err();
    let mdat_header = if is_wide { 2 * MDAT_HEADER } else { MDAT_HEADER };
    // The places of the data depend on the length of the moof they are in: once to measure it.
    encode_moof(number, tracks, 0, &mut out)?;
    let data_at = (out.len() - moof_at) as u64 + mdat_header;
    out.truncate(moof_at);
    encode_moof(number, tracks, data_at, &mut out)?;
    let size = data_bytes + mdat_header;
    // A size of 1 says that the real one follows the kind.
    let short = u32::try_from(size).ok().filter(|_| !is_wide).unwrap_or(1);
    out.extend_from_slice(&short.to_be_bytes());
    out.extend_from_slice(b"mdat");
    if is_wide {
        out.extend_from_slice(&size.to_be_bytes());
    }
    Ok(out)
}

fn encode_moof(
    number: u64,
    tracks: &[FragmentTrack],
    data_at: u64,
    out: &mut Vec<u8>,
) -> Result<()> {
    let places = places(tracks, data_at);
    nested(out, b"moof", |out| {
        // Only its growth means something: after 2^32 segments it may start again.
        Mfhd { sequence_number: (number as u32).wrapping_add(1) }.encode(out)?;
        for (track, places) in tracks.iter().zip(&places) {
            nested(out, b"traf", |out| encode_traf(track, places, out))?;
        }
        Ok(())
    })
}

/// Where the data of each track's turns begin.
fn places(tracks: &[FragmentTrack], data_at: u64) -> Vec<Vec<u64>> {
    let mut places: Vec<Vec<u64>> = vec![Vec::new(); tracks.len()];
    let mut turns: Vec<_> = tracks.iter().map(FragmentTrack::turns).collect();
    let most = tracks.iter().map(|track| track.runs.len()).max().unwrap_or(0);
    let mut at = data_at;
    for _ in 0..most {
        for (turns, places) in turns.iter_mut().zip(&mut places) {
            if let Some(turn) = turns.next() {
                places.push(at);
                at += bytes_of(turn);
            }
        }
    }
    places
}

fn encode_traf(track: &FragmentTrack, places: &[u64], out: &mut Vec<u8>) -> Result<()> {
    Tfhd { track_id: track_id(track.track), default_base_is_moof: true, ..Tfhd::default() }
        .encode(out)?;
    Tfdt { base_media_decode_time: track.decode_ms }.encode(out)?;
    let turns = track.turns().zip(places).filter(|(turn, _)| !turn.is_empty());
    for (turn, place) in turns {
        encode_trun(turn, *place, out)?;
    }
    Ok(())
}

/// Samples whose data lie together, from `data_at` on.
fn encode_trun(samples: &[FragmentSample], data_at: u64, out: &mut Vec<u8>) -> Result<()> {
    let data_at = i32::try_from(data_at).map_err(|_| Error::TooLarge("media segment"))?;
    let count = u32::try_from(samples.len()).map_err(|_| Error::TooLarge("number of samples"))?;
    full(out, b"trun", TRUN_VERSION_FLAGS, |out| {
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&data_at.to_be_bytes());
        for sample in samples {
            let flags = if sample.is_sync { IS_SYNC } else { IS_NO_SYNC };
            for field in [sample.duration_ms, sample.size, flags, sample.offset_ms as u32] {
                out.extend_from_slice(&field.to_be_bytes());
            }
        }
        Ok(())
    })
}

/// The number of a track, the same in every segment.
fn track_id(track: Track) -> u32 {
    match track {
        Track::Audio => 2,
        Track::Video | Track::Script => 1,
    }
}
