//! The first pass over the samples of a file: what its head will say.

use super::boxes::{MovieBox, TrackBox, encode_ftyp};
use super::chunks::Chunks;
use super::sample_entry::{self, SampleEntry};
use super::sample_table::{BackwardStep, SampleTable};
use super::{Error, Irregularities, Mp4Layout, Result, is_frame, layout, unsupported};
use crate::media::config::{Configs, TrackConfig};
use crate::media::sample::{Codec, Sample, Track};

/// One track while its samples are pushed.
#[derive(Debug)]
struct TrackBuilder {
    track: Track,
    table: SampleTable,
    /// Distinct configurations, and the sample entry of each.
    entries: Vec<(TrackConfig, SampleEntry)>,
    /// The configuration of the latest sample, and its sample entry counted from 1.
    current: Option<(u32, u32)>,
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
            entries: Vec::new(),
            current: None,
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

    /// The samples that follow refer to other configurations: they are of another session.
    pub fn set_configs(&mut self, configs: &Configs) {
        self.configs = configs.clone();
        for track in &mut self.tracks {
            track.current = None;
        }
    }

    /// Appends a sample. What MP4 has no place for (script data, further tracks) is passed over;
    /// frames without a configuration are counted.
    ///
    /// # Errors
    /// The sample's codec is none that MP4 takes, or its track's first configuration cannot be read.
    pub fn push(&mut self, sample: &Sample) -> Result<()> {
        if !is_frame(sample) {
            return Ok(());
        }
        if let Some(error) = unsupported(&[sample.codec]) {
            return Err(error);
        }
        if sample.config == 0 {
            self.irregularities.undescribed_frames += 1;
            return Ok(());
        }
        let index = usize::from(sample.track == Track::Audio);
        let Some(track) = self.tracks.get_mut(index) else { return Ok(()) };
        let entry = track.entry(&self.configs, sample.config, &mut self.irregularities)?;
        let is_sync = sample.keyframe || sample.track == Track::Audio;
        track.table.push(sample.dts_ms, sample.cts_ms, sample.data_len, is_sync)?;
        self.chunks.push(index, entry, sample.data_len);
        Ok(())
    }

    /// Computes the head.
    ///
    /// With a `reserve` the body starts exactly that many bytes into the file: a smaller head is
    /// padded, and where the `moov` does not fit it goes behind the body.
    ///
    /// # Errors
    /// There is no frame, or the reserve is too small for `ftyp` and `mdat` or above 1 GiB.
    pub fn finish(mut self, reserve: Option<u64>) -> Result<Mp4Layout> {
        self.chunks.close();
        for track in &mut self.tracks {
            track.table.close();
            self.irregularities.hidden_frames += track.table.hidden_samples();
            self.irregularities.backward_steps += track.table.backward_steps;
            self.irregularities.moved_frames += track.table.moved_samples;
        }
        let used = || self.tracks.iter().enumerate().filter(|(_, t)| t.table.count() > 0);
        let start_ms = used().map(|(_, t)| t.table.start_ms()).min().ok_or(Error::Empty)?;
        let entries: Vec<Vec<Vec<u8>>> = used()
            .map(|(_, track)| track.entries.iter().map(|(_, entry)| entry.bytes.clone()).collect())
            .collect();
        let movie = MovieBox {
            tracks: used()
                .zip(&entries)
                .map(|((index, track), entries)| TrackBox {
                    track: track.track,
                    index,
                    table: &track.table,
                    edit: track.table.edit(start_ms),
                    entries,
                    width: track.entries.iter().map(|(_, e)| e.width).max().unwrap_or(0),
                    height: track.entries.iter().map(|(_, e)| e.height).max().unwrap_or(0),
                })
                .collect(),
            chunks: &self.chunks,
            creation_unix_s: self.creation_unix_s,
        };
        let duration_ms = movie.duration_ms();
        let mut ftyp = Vec::new();
        encode_ftyp(self.codec_brand(), &mut ftyp)?;
        let body_len = self.chunks.total_bytes();
        let (head, tail) = match reserve {
            None => (layout::front(ftyp, &movie, body_len)?, Vec::new()),
            Some(reserve) => layout::within(reserve, ftyp, &movie, body_len)?,
        };
        Ok(Mp4Layout {
            total_len: head.len() as u64 + body_len + tail.len() as u64,
            head,
            tail,
            body_len,
            duration_ms,
            start_ms,
            irregularities: self.irregularities,
        })
    }

    /// The brand that announces how the pictures are coded.
    fn codec_brand(&self) -> Option<[u8; 4]> {
        let (config, _) = self.tracks.first()?.entries.first()?;
        match config.codec {
            Codec::H264 => Some(*b"avc1"),
            Codec::Hevc => Some(*b"hvc1"),
            _ => None,
        }
    }
}

impl TrackBuilder {
    /// Number, from 1, of the sample entry for a configuration; parameters that come back get the
    /// entry they had.
    fn entry(
        &mut self,
        configs: &Configs,
        ordinal: u32,
        irregularities: &mut Irregularities,
    ) -> Result<u32> {
        if let Some((current, entry)) = self.current
            && current == ordinal
        {
            return Ok(entry);
        }
        let config = configs.get(ordinal).ok_or(Error::NoConfig(ordinal))?;
        let known = self.entries.iter().position(|(known, _)| known.same_parameters(config));
        let index = match (known, sample_entry::encode(config.codec, config.record())) {
            (Some(known), _) => known,
            (None, Ok(entry)) => {
                self.entries.push((config.clone(), entry));
                self.entries.len() - 1
            }
            // One damaged record in the middle of a stream should not cost the whole file.
            (None, Err(Error::Config { .. })) if !self.entries.is_empty() => {
                irregularities.damaged_configs += 1;
                self.current.map_or(self.entries.len(), |(_, entry)| entry as usize) - 1
            }
            (None, Err(error)) => return Err(error),
        };
        let entry = u32::try_from(index + 1).map_err(|_| Error::TooLarge("sample entries"))?;
        self.current = Some((ordinal, entry));
        Ok(entry)
    }
}
