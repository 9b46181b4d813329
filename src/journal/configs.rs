//! What a decoder, or a file head, must know at a place in the journal.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    checksum,
    error::{JournalError, Result},
    index::IndexHeader,
    prefix::Prefix,
    private::is_metadata,
    reader::Reader,
};
use crate::media::{
    config::{Configs, TrackConfig},
    flv::header::{TAG_HEADER_LEN, TAG_TRAILER_LEN, TagHeader, tag_len},
    sample::{Sample, SampleKind, TagSample, Track},
};

/// All configurations of one answer together.
const MAX_CONFIG_BYTES: usize = 64 << 20;
/// Bytes around a payload.
const TAG_AROUND: u32 = (TAG_HEADER_LEN + TAG_TRAILER_LEN) as u32;

impl Reader {
    /// The codec configurations in force at `from` and all that come before `to`, by the ordinals
    /// that [`Sample::config`] names.
    ///
    /// # Errors
    /// As [`Reader::samples`]; or they are too many to be held in memory.
    pub fn configs(&mut self, from: u64, to: u64) -> Result<Configs> {
        self.grow();
        let mut configs = Collected::new(self);
        let first = self.locate(from)?;
        let base = configs.add_prefix(self, first)?;
        // In force at `from` is the last one before it of each track.
        let mut in_force: BTreeMap<(Track, u8), Sample> = BTreeMap::new();
        for sample in self.samples(base, from)? {
            let sample = sample?;
            if is_config(&sample) {
                in_force.insert((sample.track, sample.track_id), sample);
            }
        }
        for sample in in_force.into_values() {
            configs.add(self, &sample)?;
        }
        for nth in first..self.files() {
            let IndexHeader { base, next_config, .. } = *self.header(nth)?;
            if base >= to {
                break;
            }
            let limit = self.limit(nth)?;
            if nth > first && next_config > configs.next {
                // Tags were lost between the two files.
                configs.add_prefix(self, nth)?;
            }
            if limit.is_some() && self.header(nth + 1)?.next_config == next_config {
                configs.next = next_config;
                continue;
            }
            let end = limit.unwrap_or(to).min(to);
            self.each(from.max(base), end, is_config, |reader, sample| {
                configs.add(reader, sample)
            })?;
        }
        Ok(configs.configs)
    }

    /// Payload of the encoder's last onMetaData at or before a logical position. One of more than
    /// 64 KiB is only found in the file that it stands in.
    ///
    /// # Errors
    /// As [`Reader::samples`].
    pub fn metadata(&mut self, at: u64) -> Result<Option<Bytes>> {
        let nth = self.locate(at)?;
        let base = self.header(nth)?.base;
        let mut last = None;
        let is_script = |sample: &Sample| sample.kind == SampleKind::Script;
        self.each(base, at.saturating_add(1), is_script, |reader, sample| {
            // All of it: its name may have rotted.
            let payload = reader.payload(sample)?;
            if is_metadata(&payload) {
                last = Some(payload);
            }
            Ok(())
        })?;
        if last.is_some() {
            return Ok(last);
        }
        let number = self.number(nth)?;
        let prefix = Prefix::load(&self.folder.data(number), self.folder.session, number)?;
        Ok(prefix.state.in_force.metadata.clone())
    }

    /// The configuration that a sample is, as it came if that is known; none if it is something else.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn config(&mut self, sample: &Sample) -> Result<Option<TrackConfig>> {
        Ok(self.find_config(sample)?.map(|(config, _)| config))
    }

    /// The same, and whether it is what came.
    fn find_config(&mut self, sample: &Sample) -> Result<Option<(TrackConfig, bool)>> {
        let payload = self.payload(sample)?;
        let is_intact = checksum::is_payload_intact(sample, &payload);
        // One of a tag of several tracks: the rest of the tag may have rotted elsewhere.
        if !is_intact
            && let Some(config) = self.repeated_config(sample)?
            && sample.crc == Some(crc32fast::hash(config.record()))
        {
            return Ok(Some((config, true)));
        }
        let found = TagSample {
            track: sample.track,
            track_id: sample.track_id,
            kind: sample.kind,
            codec: sample.codec,
            keyframe: sample.keyframe,
            has_nanos: sample.has_nanos,
            cts_ms: sample.cts_ms,
            data_offset: sample.data_offset.saturating_sub(TAG_HEADER_LEN as u32),
            data_len: sample.data_len,
        };
        Ok(TrackConfig::new(payload, &found).map(|config| (config, is_intact)))
    }

    /// The whole payload of the tag that `sample`, its first one or not, was found in; as it came, if
    /// it rotted and stands elsewhere too.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn payload(&mut self, sample: &Sample) -> Result<Bytes> {
        let data_size = match sample.tag_len.checked_sub(TAG_AROUND) {
            Some(data_size) => data_size,
            // Only the first sample of a tag says how long it is.
            None => {
                let mut header = [0; TAG_HEADER_LEN];
                self.read(sample.position, &mut header)?;
                TagHeader::decode(&header).data_size
            }
        };
        let mut payload = vec![0; data_size as usize];
        self.read(sample.position + TAG_HEADER_LEN as u64, &mut payload)?;
        if !checksum::is_payload_intact(sample, &payload)
            && let Some(tag) = self.copy_of_tag(sample)?
        {
            let around = TAG_HEADER_LEN..tag.len().saturating_sub(TAG_TRAILER_LEN);
            return Ok(Bytes::from(tag).slice(around));
        }
        Ok(payload.into())
    }
}

/// Configurations so far.
struct Collected {
    configs: Configs,
    /// Ordinals of those that are not what came.
    rotted: BTreeSet<u32>,
    session: crate::domain::ids::SessionId,
    bytes: usize,
    /// The ordinal after the highest one.
    next: u32,
}

impl Collected {
    fn new(reader: &Reader) -> Self {
        let (configs, rotted) = (Configs::new(), BTreeSet::new());
        Collected { configs, rotted, session: reader.session(), bytes: 0, next: 1 }
    }

    /// Takes in what is in force where a file begins, and answers where that is.
    fn add_prefix(&mut self, reader: &Reader, nth: usize) -> Result<u64> {
        let number = reader.number(nth)?;
        let prefix = Prefix::load(&reader.folder.data(number), self.session, number)?;
        for known in &prefix.state.in_force.configs {
            self.insert(known.ordinal, known.config.clone())?;
        }
        self.next = self.next.max(prefix.state.next_config);
        Ok(prefix.head.base)
    }

    /// Takes in a configuration of the encoder.
    fn add(&mut self, reader: &mut Reader, sample: &Sample) -> Result<()> {
        // One that rotted may come again: whoever repeats it gives it the same ordinal.
        let is_known = self.configs.get(sample.config).is_some();
        if is_known && !self.rotted.contains(&sample.config) {
            return Ok(());
        }
        match reader.find_config(sample)? {
            Some((config, true)) => {
                self.rotted.remove(&sample.config);
                self.insert(sample.config, config)
            }
            Some((config, false)) if !is_known => {
                self.rotted.insert(sample.config);
                self.insert(sample.config, config)
            }
            _ => Ok(()),
        }
    }

    fn insert(&mut self, ordinal: u32, config: TrackConfig) -> Result<()> {
        self.bytes += tag_len(config.tag_payload().len()) as usize;
        if self.bytes > MAX_CONFIG_BYTES {
            return Err(JournalError::Configurations {
                session: self.session,
                max: MAX_CONFIG_BYTES,
            });
        }
        self.next = self.next.max(ordinal.saturating_add(1));
        self.configs.insert(ordinal, config);
        Ok(())
    }
}

/// True for a configuration that has an ordinal.
fn is_config(sample: &Sample) -> bool {
    sample.kind == SampleKind::Config && sample.config > 0
}
