//! The boxes around the sample tables: `ftyp`, `moov` and everything down to `stbl`
//! (ISO/IEC 14496-12 clauses 4 and 8).
//!
//! Boxes with fields are `mp4-atom`'s. The boxes that only contain others are opened and closed
//! here, because `mp4-atom` wants its children in memory all at once and writes them in an order
//! of its own, and old players expect the customary one (`edts` before `mdia`, `vmhd` first).

use mp4_atom::{
    Dinf, Dref, Edts, Elst, ElstEntry, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mvhd, Smhd, Tkhd, Url,
    Vmhd,
};

use super::chunks::Chunks;
use super::sample_entry::SampleEntry;
use super::sample_table::{Edit, SampleTable};
use super::{Error, Result, TIMESCALE};
use crate::media::sample::{Codec, Track};

/// Seconds from 1904-01-01, where the clock of ISO files starts, to 1970-01-01.
pub(super) const UNIX_EPOCH_S: u64 = 2_082_844_800;

/// What one `trak` is made of.
pub(super) struct TrackBox<'a> {
    pub track: Track,
    pub index: usize,
    pub table: &'a SampleTable,
    pub edit: Edit,
    /// In the order of their numbers.
    pub entries: Vec<&'a SampleEntry>,
}

/// What the `moov` of a file is made of.
pub(super) struct MovieBox<'a> {
    pub tracks: Vec<TrackBox<'a>>,
    pub chunks: &'a Chunks,
    pub creation_unix_s: u64,
}

/// Writes one box: `body` writes what is in it.
pub(super) fn nested(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    body: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    body(out)?;
    let size = u32::try_from(out.len() - start).map_err(|_| Error::TooLarge("mp4 box"))?;
    overwrite(out, start, size);
    Ok(())
}

/// Writes one box that starts with a version and flags, both in `version_flags`.
pub(super) fn full(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    version_flags: u32,
    body: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    nested(out, kind, |out| {
        out.extend_from_slice(&version_flags.to_be_bytes());
        body(out)
    })
}

/// Writes a 32-bit count and then each item.
pub(super) fn counted<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut count = 0u64;
    for item in items {
        write(out, item);
        count += 1;
    }
    let count = u32::try_from(count).map_err(|_| Error::TooLarge("mp4 table"))?;
    overwrite(out, start, count);
    Ok(())
}

fn overwrite(out: &mut [u8], at: usize, value: u32) {
    if let Some(field) = out.get_mut(at..at + 4) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// What a player must know, as `ftyp` announces it.
pub(super) struct Brands {
    /// How the first pictures are coded.
    pub video: Option<Codec>,
    /// Composition offsets may be negative, which `iso4` brought.
    pub has_signed_offsets: bool,
}

/// Writes `ftyp`.
pub(super) fn encode_ftyp(brands: &Brands, out: &mut Vec<u8>) -> Result<()> {
    let video = match brands.video {
        Some(Codec::H264) => Some(*b"avc1"),
        Some(Codec::Hevc) => Some(*b"hvc1"),
        Some(Codec::Av1) => Some(*b"av01"),
        _ => None,
    };
    let signed = brands.has_signed_offsets.then_some(*b"iso4");
    let brands = [Some(*b"isom"), Some(*b"iso2"), signed, video, Some(*b"mp41")];
    Ok(Ftyp {
        major_brand: FourCC::new(b"isom"),
        minor_version: 0x200,
        compatible_brands: brands.into_iter().flatten().map(|b| FourCC::new(&b)).collect(),
    }
    .encode(out)?)
}

impl MovieBox<'_> {
    /// Writes `moov`. `base` is the position in the file of the first byte of the body; `is_wide`
    /// gives chunk offsets 64 bits. The length depends on `is_wide`, never on `base`.
    pub fn encode(&self, base: u64, is_wide: bool, out: &mut Vec<u8>) -> Result<()> {
        nested(out, b"moov", |out| {
            Mvhd {
                creation_time: self.creation_time(),
                modification_time: self.creation_time(),
                timescale: TIMESCALE,
                duration: self.duration_ms(),
                rate: 1.into(),
                volume: 1.into(),
                next_track_id: self.tracks.len() as u32 + 1,
                ..Mvhd::default()
            }
            .encode(out)?;
            for (track, id) in self.tracks.iter().zip(1..) {
                nested(out, b"trak", |out| self.encode_trak(track, id, base, is_wide, out))?;
            }
            Ok(())
        })
    }

    /// Length of the movie in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.tracks.iter().map(|t| t.edit.end_ms()).max().unwrap_or(0)
    }

    fn creation_time(&self) -> u64 {
        self.creation_unix_s.saturating_add(UNIX_EPOCH_S)
    }

    fn encode_trak(
        &self,
        track: &TrackBox<'_>,
        track_id: u32,
        base: u64,
        is_wide: bool,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let is_audio = track.track == Track::Audio;
        Tkhd {
            creation_time: self.creation_time(),
            modification_time: self.creation_time(),
            track_id,
            duration: track.edit.end_ms(),
            enabled: true,
            in_movie: true,
            volume: u8::from(is_audio).into(),
            width: track.entries.iter().map(|entry| entry.width).max().unwrap_or(0).into(),
            height: track.entries.iter().map(|entry| entry.height).max().unwrap_or(0).into(),
            ..Tkhd::default()
        }
        .encode(out)?;
        edit_list(track.edit).encode(out)?;
        nested(out, b"mdia", |out| {
            Mdhd {
                creation_time: self.creation_time(),
                modification_time: self.creation_time(),
                timescale: TIMESCALE,
                duration: track.table.media_duration_ms(),
                language: "und".into(),
            }
            .encode(out)?;
            let (handler, name) =
                if is_audio { (b"soun", "SoundHandler") } else { (b"vide", "VideoHandler") };
            Hdlr { handler: FourCC::new(handler), name: name.into() }.encode(out)?;
            nested(out, b"minf", |out| {
                if is_audio {
                    Smhd::default().encode(out)?;
                } else {
                    Vmhd::default().encode(out)?;
                }
                Dinf { dref: Dref { entries: vec![Url::default().into()] } }.encode(out)?;
                nested(out, b"stbl", |out| {
                    full(out, b"stsd", 0, |out| {
                        counted(out, track.entries.iter(), |out, entry| {
                            out.extend_from_slice(&entry.bytes)
                        })
                    })?;
                    track.table.encode(out)?;
                    self.chunks.encode_stsc(track.index, out)?;
                    self.chunks.encode_offsets(track.index, base, is_wide, out)
                })
            })
        })
    }
}

fn edit_list(edit: Edit) -> Edts {
    let empty = (edit.empty_ms > 0).then(|| ElstEntry {
        segment_duration: edit.empty_ms,
        media_time: None,
        media_rate: 1.into(),
    });
    let shown = ElstEntry {
        segment_duration: edit.duration_ms,
        media_time: Some(edit.media_time_ms),
        media_rate: 1.into(),
    };
    Edts { elst: Some(Elst { entries: empty.into_iter().chain([shown]).collect() }) }
}
