//! `mvhd`, `tkhd` and `mdhd` (ISO/IEC 14496-12 clauses 8.2.2, 8.3.2 and 8.4.2), in the shortest
//! version that holds their numbers.
//!
//! Version 0, whose times have 32 bits, is what every reader knows; version 1 is written only for a
//! time after 2040-02-06 or a duration of more than 49 days. `mp4-atom` writes version 1 always.

use super::boxes::full;
use super::{Result, TIMESCALE};

/// Version 1, in front of the flags.
const WIDE: u32 = 1 << 24;
/// Flags of `tkhd`: enabled, in the movie, in the preview.
const TRACK_FLAGS: u32 = 7;
/// 1 as a number with 16 bits behind the point.
const ONE_16_16: u32 = 1 << 16;
/// 1 as a number with eight bits behind the point.
const ONE_8_8: u16 = 1 << 8;
/// 1 as a number with 30 bits behind the point.
const ONE_2_30: u32 = 1 << 30;
/// No rotation: the identity matrix.
const MATRIX: [u32; 9] = [ONE_16_16, 0, 0, 0, ONE_16_16, 0, 0, 0, ONE_2_30];
/// The language "und", five bits a letter.
const UNDETERMINED: u16 = 0x55c4;

/// What is said of the whole movie.
pub(super) struct MovieHeader {
    /// Seconds since 1904-01-01.
    pub creation_time: u64,
    pub duration_ms: u64,
    pub next_track_id: u32,
}

/// What is said of a track in the movie.
pub(super) struct TrackHeader {
    pub track_id: u32,
    /// Seconds since 1904-01-01.
    pub creation_time: u64,
    /// On the movie's timeline.
    pub duration_ms: u64,
    pub is_audio: bool,
    /// Size of the picture as it is to be shown, with 16 bits behind the point.
    pub width_16_16: u32,
    pub height_16_16: u32,
}

/// Writes the fields that have 32 or 64 bits: creation and modification time, what stands between,
/// duration.
struct Times {
    creation_time: u64,
    duration_ms: u64,
}

impl Times {
    /// All ones says that a duration is not known.
    fn is_wide(&self) -> bool {
        let fits = |number: u64| u32::try_from(number).is_ok_and(|number| number < u32::MAX);
        !(fits(self.creation_time) && fits(self.duration_ms))
    }

    fn version(&self) -> u32 {
        if self.is_wide() { WIDE } else { 0 }
    }

    fn encode(&self, between: &[u32], out: &mut Vec<u8>) {
        let number = |out: &mut Vec<u8>, number: u64| match self.is_wide() {
            true => out.extend_from_slice(&number.to_be_bytes()),
            false => out.extend_from_slice(&(number as u32).to_be_bytes()),
        };
        number(out, self.creation_time);
        number(out, self.creation_time);
        words(out, between);
        number(out, self.duration_ms);
    }
}

fn words(out: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
}

/// Writes `mvhd`.
pub(super) fn encode_mvhd(header: &MovieHeader, out: &mut Vec<u8>) -> Result<()> {
    let times = Times { creation_time: header.creation_time, duration_ms: header.duration_ms };
    full(out, b"mvhd", times.version(), |out| {
        times.encode(&[TIMESCALE], out);
        words(out, &[ONE_16_16]);
        out.extend_from_slice(&ONE_8_8.to_be_bytes());
        out.extend_from_slice(&[0; 10]);
        words(out, &MATRIX);
        words(out, &[0; 6]);
        words(out, &[header.next_track_id]);
        Ok(())
    })
}

/// Writes `tkhd`.
pub(super) fn encode_tkhd(header: &TrackHeader, out: &mut Vec<u8>) -> Result<()> {
    let times = Times { creation_time: header.creation_time, duration_ms: header.duration_ms };
    full(out, b"tkhd", times.version() | TRACK_FLAGS, |out| {
        times.encode(&[header.track_id, 0], out);
        words(out, &[0; 2]);
        // Layer and alternate group.
        words(out, &[0]);
        let volume = if header.is_audio { ONE_8_8 } else { 0 };
        out.extend_from_slice(&volume.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        words(out, &MATRIX);
        words(out, &[header.width_16_16, header.height_16_16]);
        Ok(())
    })
}

/// Writes `mdhd`.
pub(super) fn encode_mdhd(creation_time: u64, duration_ms: u64, out: &mut Vec<u8>) -> Result<()> {
    let times = Times { creation_time, duration_ms };
    full(out, b"mdhd", times.version(), |out| {
        times.encode(&[TIMESCALE], out);
        out.extend_from_slice(&UNDETERMINED.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        Ok(())
    })
}
