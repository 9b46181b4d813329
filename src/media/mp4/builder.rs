//! The first pass over the samples of a file: what its head will say.

use std::sync::Arc;

use super::boxes::{Brands, MovieBox, TrackBox, encode_ftyp};
use super::chunks::Chunks;
use super::entries::Entries;
use super::sample_table::{BackwardStep, SampleTable};
use super::{Error, Irregularities, Mp4Layout, Result, layout, takes, unsupported};
use crate::media::config::Configs;
use crate::media::lazy_bytes::LazyBytes;
use crate::media::sample::{Sample, Track};

/// One track while its samples are pushed.
#[derive(Debug)]
struct TrackBuilder {
    track: Track,
    table: SampleTable,
    entries: Entries,
}

/// Collects what the head of a file says about its samples.
#[derive(Debug)]
pub struct Mp4Builder {
    configs: Configs,
    creation_unix_s: u64,
    /// Video, audio.
    tracks: [TrackBuilder; 2],
    chunks: Chunks,
    irregularities: Irregularities,
}

impl Mp4Builder {
    /// A builder of one file whose samples refer to `configs`. The file says it was created at
    /// `creation_unix_s`.
    pub fn new(configs: &Configs, creation_unix_s: u64) -> Self {
        let track = |track, policy| TrackBuilder {
            track,
            table: SampleTable::new(policy),
            entries: Entries::default(),
        };
        Mp4Builder {
            configs: configs.clone(),
            creation_unix_s,
            tracks: [
                track(Track::Video, BackwardStep::Absorb),
                track(Track::Audio, BackwardStep::Clamp),
            ],
            chunks: Chunks::default(),
            irregularities: Irregularities::default(),
        }
    }

    /// The samples that follow refer to other configurations: they are of another session. Their
    /// times must continue those of the session before; parameters that are the same share its
    /// sample entries.
    pub fn set_configs(&mut self, configs: &Configs) {
        let before = std::mem::replace(&mut self.configs, configs.clone());
        for track in &mut self.tracks {
            // An error comes again at the end.
            _ = track.entries.settle(&before, track.track);
            track.entries.start_session();
        }
    }

    /// More configurations of the same session have become known; all that were are among them.
    pub fn add_configs(&mut self, configs: &Configs) {
        self.configs = configs.clone();
    }

    /// True if the beginning of this frame would say what no configuration has said: it should be
    /// pushed with [`Mp4Builder::push_with_frame`]. To be asked before every push; the answer is
    /// yes for one frame of a track in the usual case.
    pub fn wants_frame(&mut self, sample: &Sample) -> bool {
        if !takes(sample) {
            return false;
        }
        let configs = &self.configs;
        let Some(track) = self.tracks.get_mut(index_of(sample)) else { return false };
        // An error comes again when the sample is pushed.
        let slot = track.entries.slot(configs, sample).ok();
        slot.is_some_and(|slot| track.entries.wants_frame(slot, sample))
    }

    /// Appends a sample. What MP4 has no place for (script data, further tracks) is passed over.
    ///
    /// # Errors
    /// The sample's codec is none that MP4 takes, or its track's first configuration cannot be read.
    pub fn push(&mut self, sample: &Sample) -> Result<()> {
        self.push_with_frame(sample, &[])
    }

    /// The same with the first [`FRAME_HEAD_BYTES`](crate::media::frame_head::FRAME_HEAD_BYTES)
    /// of the sample's data, or all of them if there are fewer.
    ///
    /// # Errors
    /// As [`Mp4Builder::push`].
    pub fn push_with_frame(&mut self, sample: &Sample, head: &[u8]) -> Result<()> {
        if !sample.is_packet() {
            return Ok(());
        }
        if let Some(error) = unsupported(&[sample.codec]) {
            return Err(error);
        }
        let index = index_of(sample);
        let Some(track) = self.tracks.get_mut(index) else { return Ok(()) };
        let mut slot = track.entries.slot(&self.configs, sample)?;
        if !head.is_empty() && track.entries.wants_frame(slot, sample) {
            slot = track.entries.look_at(slot, head)?;
        }
        let is_sync = sample.keyframe || sample.track == Track::Audio;
        track.table.push(sample.dts_ms, sample.cts_ms, sample.data_len, is_sync)?;
        self.chunks.push(index, slot, sample.data_len);
        Ok(())
    }

    /// Computes the head.
    ///
    /// With a `reserve` the body starts exactly that many bytes into the file: a smaller head is
    /// padded, and where the `moov` does not fit it goes behind the body.
    ///
    /// # Errors
    /// There is no frame, nothing says how a track is coded, or the reserve is too small for
    /// `ftyp` and `mdat` or above 1 GiB.
    pub fn finish(mut self, reserve: Option<u64>) -> Result<Mp4Layout> {
        self.chunks.close();
        let mut left_out = Vec::new();
        for (index, track) in self.tracks.iter_mut().enumerate() {
            track.table.close();
            track.entries.settle(&self.configs, track.track)?;
            if track.table.count() > 0 && track.entries.is_undescribed() {
                // Their bytes stay in the body, where no sample table points to them.
                self.irregularities.undescribed_frames += u64::from(track.table.count());
                left_out.push(track.track);
                continue;
            }
            track.entries.close()?;
            self.chunks.number(index, &track.entries.numbers()?);
            if self.chunks.entry_changes(index) > 0 {
                track.table.show_all();
            }
            let seen = &mut self.irregularities;
            seen.parameter_changes += self.chunks.entry_changes(index);
            seen.damaged_configs += track.entries.damaged;
            seen.hidden_frames += track.table.hidden_samples();
            seen.backward_steps += track.table.backward_steps;
            seen.moved_frames += track.table.moved_samples;
            seen.early_decode_ms = seen.early_decode_ms.max(track.table.lead_ms().unsigned_abs());
        }
        let is_used =
            |track: &TrackBuilder| track.table.count() > 0 && !left_out.contains(&track.track);
        let used = || self.tracks.iter().filter(|track| is_used(track));
        let start_ms = used().map(|track| track.table.start_ms()).min().ok_or(Error::Empty)?;
        let body_len = self.chunks.total_bytes();
        let mut ftyp = Vec::new();
        let brands = Brands { video: self.tracks.first().and_then(|video| video.entries.codec()) };
        encode_ftyp(&brands, &mut ftyp)?;
        let mut movie = MovieBox {
            tracks: Vec::new(),
            chunks: Arc::new(self.chunks),
            creation_unix_s: self.creation_unix_s,
        };
        for (index, track) in self.tracks.iter_mut().enumerate() {
            if !is_used(track) {
                continue;
            }
            let none = SampleTable::new(BackwardStep::Clamp);
            let table = Arc::new(std::mem::replace(&mut track.table, none));
            movie.tracks.push(TrackBox {
                track: track.track,
                index,
                edit: table.edit(start_ms),
                table,
                entries: track.entries.boxes().collect(),
            });
        }
        let duration_ms = movie.duration_ms();
        let (head, tail) = match reserve {
            None => (layout::front(ftyp, &movie, body_len)?, LazyBytes::default()),
            Some(reserve) => layout::within(reserve, ftyp, &movie, body_len)?,
        };
        Ok(Mp4Layout {
            total_len: head.len() + body_len + tail.len(),
            head,
            tail,
            body_len,
            duration_ms,
            start_ms,
            left_out,
            irregularities: self.irregularities,
        })
    }
}

fn index_of(sample: &Sample) -> usize {
    usize::from(sample.track == Track::Audio)
}
