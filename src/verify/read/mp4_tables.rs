//! The sample tables of an MP4 track (ISO/IEC 14496-12 clauses 8.6 and 8.7), walked from the first
//! sample to the last.
//!
//! `shiguredo_mp4` decodes the boxes. Only those that say where samples lie and when they are shown
//! are looked at; how they are coded does not matter here.

use shiguredo_mp4::{
    BoxHeader, BoxType, Decode,
    boxes::{
        Co64Box, CttsBox, ElstBox, HdlrBox, MdhdBox, MvhdBox, StcoBox, StscBox, StszBox, SttsBox,
        TkhdBox,
    },
};

use crate::verify::packet::Lane;

use super::input::PACKET_MAX;

/// What is wrong, in words.
type Result<T> = std::result::Result<T, String>;

/// One sample of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// First byte in the file.
    pub offset: u64,
    /// Bytes.
    pub len: u32,
    /// Decoding time, milliseconds from that of the track's first sample; see [`Track::is_of_version_1`].
    pub dts_ms: i64,
    /// Presentation time on the movie's timeline, milliseconds.
    pub pts_ms: i64,
}

/// One track.
#[derive(Debug)]
pub struct Track {
    /// Pictures or sound.
    pub lane: Lane,
    /// Its number in the file.
    pub id: u32,
    /// Decoding times are to be those of summaries of version 1: on the movie's timeline, but 0 for the
    /// first sample.
    pub is_of_version_1: bool,
    timescale: i64,
    /// Added to times of the track, milliseconds: the edit list.
    edit_ms: i64,
    tables: Tables,
}

/// Where the samples lie and when they are shown; boxes that are not there are empty.
#[derive(Debug, Default)]
struct Tables {
    durations: Vec<(u32, u32)>,
    offsets: Vec<(u32, i64)>,
    /// First chunk of a run, counted from 1, and the samples in each.
    chunk_runs: Vec<(u32, u32)>,
    chunks: Vec<u64>,
    sizes: Option<StszBox>,
}

/// The tracks of a `moov`, given whole.
pub fn tracks(moov: &[u8]) -> Result<Vec<Track>> {
    let (mut found, mut movie_scale) = (Vec::<Track>::new(), 0);
    for (kind, bytes) in children(moov)? {
        match &kind {
            b"mvhd" => movie_scale = decode::<MvhdBox>(bytes, "mvhd")?.timescale.get(),
            b"trak" => {
                let track = track(bytes, movie_scale)?;
                if found.iter().any(|other| other.lane == track.lane || other.id == track.id) {
                    return Err(format!("there are two {} tracks", track.lane.as_str()));
                }
                found.push(track);
            }
            _ => {}
        }
    }
    match found.is_empty() {
        true => Err("the movie has no track".to_owned()),
        false => Ok(found),
    }
}

fn track(trak: &[u8], movie_scale: u32) -> Result<Track> {
    let (mut lane, mut id, mut timescale) = (None, 0, 0);
    let (mut edits, mut tables) = (None, Tables::default());
    // All of them are where the standard says; nothing of one name is needed in two places.
    let mut open = vec![trak];
    while let Some(parent) = open.pop() {
        for (kind, bytes) in children(parent)? {
            match &kind {
                b"edts" | b"mdia" | b"minf" | b"stbl" => open.push(bytes),
                b"tkhd" => id = decode::<TkhdBox>(bytes, "tkhd")?.track_id,
                b"mdhd" => timescale = decode::<MdhdBox>(bytes, "mdhd")?.timescale.get().into(),
                b"elst" => edits = Some(decode::<ElstBox>(bytes, "elst")?),
                b"hdlr" => {
                    lane = match decode::<HdlrBox>(bytes, "hdlr")?.handler_type {
                        [b'v', b'i', b'd', b'e'] => Some(Lane::Video),
                        [b's', b'o', b'u', b'n'] => Some(Lane::Audio),
                        _ => None,
                    }
                }
                _ => tables.take(&kind, bytes)?,
            }
        }
    }
    let lane = lane.ok_or("a track is neither video nor audio")?;
    if timescale == 0 || movie_scale == 0 {
        return Err("a track has no time scale".to_owned());
    }
    let edit_ms = match edits {
        Some(edits) => edit_ms(&edits, timescale, movie_scale.into())?,
        None => 0,
    };
    Ok(Track { lane, id, is_of_version_1: false, timescale, edit_ms, tables })
}

/// What an edit list of at most one empty edit and one edit to the end adds to a track's times.
fn edit_ms(edits: &ElstBox, timescale: i64, movie_scale: i64) -> Result<i64> {
    let (empty, edit) = match edits.entries.as_slice() {
        [edit] => (0, edit),
        [empty, edit] if empty.media_time == -1 => (empty.edit_duration, edit),
        _ => return Err("an edit list is not one empty edit at most and one other".to_owned()),
    };
    if edit.media_time < 0 || (edit.media_rate.integer, edit.media_rate.fraction) != (1, 0) {
        return Err("an edit is empty or changes the speed".to_owned());
    }
    let empty = i64::try_from(empty).map_err(|_| "an empty edit is too long")?;
    Ok(to_ms(empty, movie_scale).saturating_sub(to_ms(edit.media_time, timescale)))
}

impl Tables {
    fn take(&mut self, kind: &[u8; 4], bytes: &[u8]) -> Result<()> {
        match kind {
            b"stts" => {
                let entries = decode::<SttsBox>(bytes, "stts")?.entries;
                self.durations = entries.iter().map(|e| (e.sample_count, e.sample_delta)).collect();
            }
            b"ctts" => {
                let entries = decode::<CttsBox>(bytes, "ctts")?.entries;
                self.offsets = entries.iter().map(|e| (e.sample_count, e.sample_offset)).collect();
            }
            b"stsc" => {
                let entries = decode::<StscBox>(bytes, "stsc")?.entries;
                let runs = entries.iter().map(|e| (e.first_chunk.get(), e.sample_per_chunk));
                self.chunk_runs = runs.collect();
            }
            b"stco" => {
                let offsets = decode::<StcoBox>(bytes, "stco")?.chunk_offsets;
                self.chunks = offsets.into_iter().map(u64::from).collect();
            }
            b"co64" => self.chunks = decode::<Co64Box>(bytes, "co64")?.chunk_offsets,
            b"stsz" => self.sizes = Some(decode::<StszBox>(bytes, "stsz")?),
            _ => {}
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        match &self.sizes {
            Some(StszBox::Variable { entry_sizes }) => entry_sizes.len() as u64,
            Some(StszBox::Fixed { sample_count, .. }) => u64::from(*sample_count),
            None => 0,
        }
    }

    fn size(&self, nth: u64) -> Option<u32> {
        match self.sizes.as_ref()? {
            StszBox::Variable { entry_sizes } => {
                entry_sizes.get(usize::try_from(nth).ok()?).copied()
            }
            StszBox::Fixed { sample_size, .. } => Some(sample_size.get()),
        }
    }
}

impl Track {
    /// The units of a time on this track in a millisecond's place.
    pub fn to_ms(&self, units: i64) -> i64 {
        to_ms(units, self.timescale)
    }

    /// Its samples in decoding order.
    pub fn samples(&self) -> Samples<'_> {
        let tables = &self.tables;
        Samples {
            track: self,
            nth: 0,
            dts: 0,
            durations: Runs::new(&tables.durations),
            offsets: (!tables.offsets.is_empty()).then(|| Runs::new(&tables.offsets)),
            chunk: 0,
            run: 0,
            left_in_chunk: 0,
            at: 0,
        }
    }
}

fn to_ms(units: i64, timescale: i64) -> i64 {
    let ms = i128::from(units) * 1000 / i128::from(timescale.max(1));
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Values that are said once for several samples.
struct Runs<'a, T> {
    rest: std::slice::Iter<'a, (u32, T)>,
    left: u32,
    value: Option<T>,
}

impl<'a, T: Copy> Runs<'a, T> {
    fn new(runs: &'a [(u32, T)]) -> Self {
        Runs { rest: runs.iter(), left: 0, value: None }
    }
}

impl<T: Copy> Iterator for Runs<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        while self.left == 0 {
            let (count, value) = self.rest.next()?;
            (self.left, self.value) = (*count, Some(*value));
        }
        self.left -= 1;
        self.value
    }
}

/// Walks the samples of a track. Ends after the first error.
pub struct Samples<'a> {
    track: &'a Track,
    nth: u64,
    dts: i64,
    durations: Runs<'a, u32>,
    offsets: Option<Runs<'a, i64>>,
    /// Chunks entered.
    chunk: usize,
    /// Entry of the runs of chunks in force, counted from 1.
    run: usize,
    left_in_chunk: u32,
    at: u64,
}

impl Samples<'_> {
    fn sample(&mut self) -> Result<Sample> {
        let name = self.track.lane.as_str();
        let tables = &self.track.tables;
        while self.left_in_chunk == 0 {
            self.at = *tables.chunks.get(self.chunk).ok_or_else(|| {
                format!("the chunks of the {name} track hold fewer samples than it has")
            })?;
            self.chunk += 1;
            while tables.chunk_runs.get(self.run).is_some_and(|run| run.0 as usize <= self.chunk) {
                self.run += 1;
            }
            let run = self.run.checked_sub(1).and_then(|run| tables.chunk_runs.get(run));
            self.left_in_chunk = run.ok_or("the runs of chunks do not begin with the first")?.1;
        }
        let short = |table| format!("{table} of the {name} track says less than it has samples");
        let len = tables.size(self.nth).ok_or_else(|| short("stsz"))?;
        if u64::from(len) > PACKET_MAX {
            return Err(format!("a sample of the {name} track has {len} bytes"));
        }
        let duration = self.durations.next().ok_or_else(|| short("stts"))?;
        let composition = match &mut self.offsets {
            Some(offsets) => offsets.next().ok_or_else(|| short("ctts"))?,
            None => 0,
        };
        let pts_ms = self.track.to_ms(self.dts.saturating_add(composition));
        let sample = Sample {
            offset: self.at,
            len,
            dts_ms: match self.nth {
                1.. if self.track.is_of_version_1 => {
                    self.track.to_ms(self.dts).saturating_add(self.track.edit_ms)
                }
                _ => self.track.to_ms(self.dts),
            },
            pts_ms: pts_ms.saturating_add(self.track.edit_ms),
        };
        self.left_in_chunk -= 1;
        self.at = self.at.saturating_add(len.into());
        self.dts = self.dts.saturating_add(duration.into());
        self.nth += 1;
        Ok(sample)
    }

    /// What the tables say beyond the last sample is a contradiction.
    fn check_end(&mut self) -> Result<()> {
        let has_more = self.left_in_chunk > 0
            || self.chunk < self.track.tables.chunks.len()
            || self.durations.next().is_some()
            || self.offsets.as_mut().is_some_and(|offsets| offsets.next().is_some());
        match has_more {
            true => Err(format!(
                "the {} track has more in its tables than samples",
                self.track.lane.as_str()
            )),
            false => Ok(()),
        }
    }
}

impl Iterator for Samples<'_> {
    type Item = Result<Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        let count = self.track.tables.count();
        if self.nth > count {
            return None;
        }
        let step = match self.nth == count {
            true => self.check_end().err().map(Err),
            false => Some(self.sample()),
        };
        if !matches!(step, Some(Ok(_))) {
            self.nth = count + 1;
        }
        step
    }
}

/// The boxes in a box, each whole.
pub fn children(parent: &[u8]) -> Result<Vec<([u8; 4], &[u8])>> {
    let (_, mut rest) = BoxHeader::decode_header_and_payload(parent)
        .map_err(|_| "a box is not whole".to_owned())?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (header, payload) = BoxHeader::decode_header_and_payload(rest)
            .map_err(|_| "a box is not whole".to_owned())?;
        let len = header.external_size() + payload.len();
        let Some((whole, behind)) = rest.split_at_checked(len) else {
            return Err("a box is longer than the one it is in".to_owned());
        };
        if let BoxType::Normal(kind) = header.box_type {
            found.push((kind, whole));
        }
        rest = behind;
    }
    Ok(found)
}

/// Decodes a whole box.
pub fn decode<T: Decode>(bytes: &[u8], name: &str) -> Result<T> {
    T::decode(bytes)
        .map(|(decoded, _)| decoded)
        .map_err(|_| format!("the {name} box cannot be read"))
}
