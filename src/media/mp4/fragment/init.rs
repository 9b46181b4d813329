//! The initialisation segment: `ftyp`, and a `moov` that describes tracks and has no samples.

use mp4_atom::{Encode, FourCC, Ftyp, Trex};

use super::track_id;
use crate::media::config::Configs;
use crate::media::mp4::Result;
use crate::media::mp4::boxes::{UNIX_EPOCH_S, counted, full, nested};
use crate::media::mp4::entries::Entries;
use crate::media::mp4::headers::{MovieHeader, encode_mvhd};
use crate::media::mp4::sample_entry::SampleEntry;
use crate::media::mp4::track_head::TrackHead;
use crate::media::sample::{Sample, Track};

/// The brand that knows `tfdt`, signed offsets in `trun`, and places counted from the `moof`.
const BRAND: &[u8; 4] = b"iso6";

/// How the samples of a recording are coded, while they are looked at. What a sample has in force
/// is its *slot*; what describes a slot may turn out later.
#[derive(Debug, Default)]
pub struct Descriptions {
    /// Video, audio.
    tracks: [Entries; 2],
}

impl Descriptions {
    /// The configurations that follow are those of another session.
    pub fn start_session(&mut self) {
        self.tracks.iter_mut().for_each(Entries::start_session);
    }

    /// The slot of a sample within its track.
    ///
    /// # Errors
    /// Its configuration is missing or cannot be read, and nothing else describes the sample.
    pub fn slot(&mut self, configs: &Configs, sample: &Sample) -> Result<usize> {
        self.track(sample.track).slot(configs, sample)
    }

    /// True if the beginning of a sample of this slot would say what is not known yet.
    pub fn wants_frame(&mut self, slot: usize, sample: &Sample) -> bool {
        self.track(sample.track).wants_frame(slot, sample)
    }

    /// Takes in the beginning of a frame of a slot. Gives the slot that the frame is of: another one
    /// where it says that pictures have another size or sound other parameters from here on.
    ///
    /// # Errors
    /// A box could not be written.
    pub fn look_at(&mut self, slot: usize, track: Track, frame: &[u8]) -> Result<usize> {
        self.track(track).look_at(slot, frame)
    }

    /// All samples have been looked at: settles what none of them has said. Gives the number of
    /// records that could not be read and did no harm.
    ///
    /// # Errors
    /// Nothing in the file says how some of its samples are coded.
    pub fn close(&mut self) -> Result<u64> {
        let [video, audio] = &mut self.tracks;
        video.close()?;
        audio.close()?;
        Ok(video.damaged + audio.damaged)
    }

    /// The numbers, from 1, of what describes a slot of each track: equal where the slots say the
    /// same. Video, audio. None as long as no sample has said it; once given, they do not change.
    pub fn numbers(&self, slots: [Option<usize>; 2]) -> Option<[Option<u32>; 2]> {
        let [video, audio] = &self.tracks;
        let number = |entries: &Entries, slot: Option<usize>| match slot {
            Some(slot) => entries.settled(slot).map(Some),
            None => Some(None),
        };
        let [of_video, of_audio] = slots;
        Some([number(video, of_video)?, number(audio, of_audio)?])
    }

    /// True if what describes these two slots of a track is known, and not the same.
    pub fn differ(&self, track: Track, before: usize, now: usize) -> bool {
        let [video, audio] = &self.tracks;
        let entries = if track == Track::Audio { audio } else { video };
        let known = entries.settled(before).zip(entries.settled(now));
        known.is_some_and(|(before, now)| before != now)
    }

    /// An initialisation segment for the tracks that have a number, which says it was created at
    /// `creation_unix_s`.
    ///
    /// # Errors
    /// A box does not fit into its size.
    pub fn encode_init(&self, numbers: [Option<u32>; 2], creation_unix_s: u64) -> Result<Vec<u8>> {
        let tracks: Vec<InitTrack<'_>> = [Track::Video, Track::Audio]
            .into_iter()
            .zip(&self.tracks)
            .zip(numbers)
            .filter_map(|((track, entries), number)| {
                let index = usize::try_from(number?).ok()?.checked_sub(1)?;
                Some(InitTrack { track, entry: entries.boxes().nth(index)? })
            })
            .collect();
        encode_init(&tracks, creation_unix_s)
    }

    fn track(&mut self, track: Track) -> &mut Entries {
        let [video, audio] = &mut self.tracks;
        if track == Track::Audio { audio } else { video }
    }
}

/// One track of an initialisation segment.
struct InitTrack<'a> {
    track: Track,
    entry: &'a SampleEntry,
}

fn encode_init(tracks: &[InitTrack<'_>], creation_unix_s: u64) -> Result<Vec<u8>> {
    let time = creation_unix_s.saturating_add(UNIX_EPOCH_S);
    let mut out = Vec::new();
    Ftyp {
        major_brand: FourCC::new(BRAND),
        minor_version: 0,
        compatible_brands: vec![FourCC::new(BRAND), FourCC::new(b"mp41")],
    }
    .encode(&mut out)?;
    nested(&mut out, b"moov", |out| {
        let header = MovieHeader { creation_time: time, duration_ms: 0, next_track_id: 3 };
        encode_mvhd(&header, out)?;
        for track in tracks {
            track.encode(time, out)?;
        }
        nested(out, b"mvex", |out| {
            for track in tracks {
                Trex {
                    track_id: track_id(track.track),
                    default_sample_description_index: 1,
                    ..Trex::default()
                }
                .encode(out)?;
            }
            Ok(())
        })
    })?;
    Ok(out)
}

impl InitTrack<'_> {
    fn encode(&self, creation_time: u64, out: &mut Vec<u8>) -> Result<()> {
        let head = TrackHead {
            track: self.track,
            track_id: track_id(self.track),
            creation_time,
            duration_ms: 0,
            media_duration_ms: 0,
            edits: None,
            entries: &[self.entry],
        };
        // Samples are described where they are; these must be here all the same.
        let mut tables = Vec::new();
        for table in [b"stts", b"stsc", b"stco"] {
            full(&mut tables, table, 0, |out| counted(out, [].into_iter(), |_, ()| {}))?;
        }
        full(&mut tables, b"stsz", 0, |out| {
            out.extend_from_slice(&[0; 8]);
            Ok(())
        })?;
        head.encode(out, tables.len() as u64)?;
        out.extend_from_slice(&tables);
        Ok(())
    }
}
