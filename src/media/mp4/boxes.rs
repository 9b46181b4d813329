//! The boxes around the sample tables: `ftyp` and `moov` (ISO/IEC 14496-12 clauses 4 and 8); what is
//! said of each track is in [`super::track_head`].
//!
//! Boxes with fields are `mp4-atom`'s. The boxes that only contain others are opened and closed
//! here, because `mp4-atom` wants its children in memory all at once and writes them in an order
//! of its own, and old players expect the customary one (`edts` before `mdia`, `vmhd` first).

use std::sync::Arc;

use mp4_atom::{Edts, Elst, ElstEntry, Encode, FourCC, Ftyp};

use super::chunks::Chunks;
use super::headers::{MovieHeader, encode_mvhd};
use super::sample_entry::SampleEntry;
use super::sample_table::{Edit, SampleTable};
use super::track_head::TrackHead;
use super::{Error, Result};
use crate::media::lazy_bytes::LazyBytes;
use crate::media::sample::{Codec, Track};

/// Seconds from 1904-01-01, where the clock of ISO files starts, to 1970-01-01.
pub(super) const UNIX_EPOCH_S: u64 = 2_082_844_800;

/// What one `trak` is made of.
pub(super) struct TrackBox<'a> {
    pub track: Track,
    pub index: usize,
    pub table: Arc<SampleTable>,
    pub edit: Edit,
    /// In the order of their numbers.
    pub entries: Vec<&'a SampleEntry>,
}

/// What the `moov` of a file is made of.
pub(super) struct MovieBox<'a> {
    pub tracks: Vec<TrackBox<'a>>,
    pub chunks: Arc<Chunks>,
    pub creation_unix_s: u64,
}

/// Writes one box: `body` writes what is in it.
pub(super) fn nested(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    body: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    nested_before(out, kind, 0, body)
}

/// The same for a box whose last `behind` bytes are written later.
pub(super) fn nested_before(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    behind: u64,
    body: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    body(out)?;
    let size = (out.len() - start) as u64 + behind;
    let size = u32::try_from(size).map_err(|_| Error::TooLarge("mp4 box"))?;
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

/// A box that is one table (version and flags 0), whose entries are made when they are read. `fields`
/// stand before their count.
pub(super) fn table<const N: usize>(
    kind: &[u8; 4],
    fields: &[u8],
    count: u64,
    entries: impl Iterator<Item = [u8; N]> + Send + 'static,
) -> Result<LazyBytes> {
    let number = u32::try_from(count).map_err(|_| Error::TooLarge("mp4 table"))?;
    let mut head = Vec::with_capacity(fields.len() + 16);
    nested_before(&mut head, kind, count * N as u64, |out| {
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(fields);
        out.extend_from_slice(&number.to_be_bytes());
        Ok(())
    })?;
    let mut table = LazyBytes::from(head);
    table.push_entries(count, entries);
    Ok(table)
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
}

/// Writes `ftyp`.
pub(super) fn encode_ftyp(brands: &Brands, out: &mut Vec<u8>) -> Result<()> {
    let video = match brands.video {
        Some(Codec::H264) => Some(*b"avc1"),
        Some(Codec::Hevc) => Some(*b"hvc1"),
        Some(Codec::Av1) => Some(*b"av01"),
        _ => None,
    };
    let brands = [Some(*b"isom"), Some(*b"iso2"), video, Some(*b"mp41")];
    Ok(Ftyp {
        major_brand: FourCC::new(b"isom"),
        minor_version: 0x200,
        compatible_brands: brands.into_iter().flatten().map(|b| FourCC::new(&b)).collect(),
    }
    .encode(out)?)
}

impl MovieBox<'_> {
    /// Makes `moov`. `base` is the position in the file of the first byte of the body; `is_wide`
    /// gives chunk offsets 64 bits. The length depends on `is_wide`, never on `base`.
    pub fn moov(&self, base: u64, is_wide: bool) -> Result<LazyBytes> {
        let traks = self
            .tracks
            .iter()
            .zip(1..)
            .map(|(track, id)| self.trak(track, id, base, is_wide))
            .collect::<Result<Vec<_>>>()?;
        let header = MovieHeader {
            creation_time: self.creation_time(),
            duration_ms: self.duration_ms(),
            next_track_id: self.tracks.len() as u32 + 1,
        };
        let mut head = Vec::new();
        let behind = traks.iter().map(LazyBytes::len).sum();
        nested_before(&mut head, b"moov", behind, |out| encode_mvhd(&header, out))?;
        let mut moov = LazyBytes::from(head);
        traks.into_iter().for_each(|trak| moov.append(trak));
        Ok(moov)
    }

    /// Length of the movie in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.tracks.iter().map(|t| t.edit.end_ms()).max().unwrap_or(0)
    }

    fn creation_time(&self) -> u64 {
        self.creation_unix_s.saturating_add(UNIX_EPOCH_S)
    }

    fn trak(
        &self,
        track: &TrackBox<'_>,
        track_id: u32,
        base: u64,
        is_wide: bool,
    ) -> Result<LazyBytes> {
        let mut tables = SampleTable::boxes(&track.table)?;
        tables.append(Chunks::stsc(&self.chunks, track.index)?);
        tables.append(Chunks::offsets(&self.chunks, track.index, base, is_wide)?);
        let head = TrackHead {
            track: track.track,
            track_id,
            creation_time: self.creation_time(),
            duration_ms: track.edit.end_ms(),
            media_duration_ms: track.table.media_duration_ms(),
            edits: Some(edit_list(track.edit)),
            entries: &track.entries,
        };
        let mut bytes = Vec::new();
        head.encode(&mut bytes, tables.len())?;
        let mut trak = LazyBytes::from(bytes);
        trak.append(tables);
        Ok(trak)
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
