//! The sample entries of one track: which of them describes a sample, and what of the stream has
//! to be looked at to write it.
//!
//! A configuration that comes into force opens a *slot*. Samples name their slot; which sample
//! entry that is may turn out later, when a frame has said what the configuration left open, and
//! slots that say the same share one.

use super::sample_entry::{self, SampleEntry};
use super::{Error, Result};
use crate::media::config::{Configs, TrackConfig};
use crate::media::frame_head::{FrameHead, describes_itself};
use crate::media::sample::{Codec, Sample, Track};

/// Frames that are looked at for one slot. One is enough unless it is damaged.
const TRIES_MAX: u32 = 64;

/// What is in force from some sample on.
#[derive(Debug)]
struct Slot {
    codec: Codec,
    config: Option<TrackConfig>,
    /// Its sample entry, counted from 0, once that is known.
    entry: Option<usize>,
    tries: u32,
}

/// A sample entry and what it was made from.
#[derive(Debug)]
struct Entry {
    codec: Codec,
    config: Option<TrackConfig>,
    head: Option<FrameHead>,
    written: SampleEntry,
}

/// The sample entries of one track.
#[derive(Debug, Default)]
pub(super) struct Entries {
    slots: Vec<Slot>,
    entries: Vec<Entry>,
    /// Ordinal and codec of the latest sample, and its slot.
    current: Option<(u32, Codec, usize)>,
    /// The latest slot, of whatever session.
    latest: Option<usize>,
    /// Records that could not be read and did no harm.
    pub damaged: u64,
}

impl Entries {
    /// The ordinals that follow are those of another session.
    pub fn start_session(&mut self) {
        self.current = None;
    }

    /// The slot of a sample.
    ///
    /// # Errors
    /// Its configuration is missing or cannot be read, and nothing else describes the sample.
    pub fn slot(&mut self, configs: &Configs, sample: &Sample) -> Result<usize> {
        let (ordinal, codec) = (sample.config, sample.codec);
        if let Some((current, of, slot)) = self.current
            && (current, of) == (ordinal, codec)
        {
            return Ok(slot);
        }
        let config = match ordinal {
            0 => None,
            _ => Some(configs.get(ordinal).ok_or(Error::NoConfig(ordinal))?),
        };
        // After a change of codec the configuration in force is still that of the one before.
        let config = config.filter(|config| config.codec == codec);
        let slot = self.open(codec, config)?;
        (self.current, self.latest) = (Some((ordinal, codec, slot)), Some(slot));
        Ok(slot)
    }

    fn open(&mut self, codec: Codec, config: Option<&TrackConfig>) -> Result<usize> {
        let parsed = match config.map(TrackConfig::parse).transpose() {
            Ok(parsed) => parsed,
            Err(source) => {
                // One damaged record in the middle of a stream should not cost the whole file.
                let is_same = |at: &usize| self.slots.get(*at).is_some_and(|s| s.codec == codec);
                let before = self.latest.filter(is_same);
                if !describes_itself(codec) && before.is_none() {
                    return Err(Error::Config { codec, source });
                }
                self.damaged += 1;
                return Ok(before.unwrap_or_else(|| self.add(codec, None, None)));
            }
        };
        if sample_entry::wants_frame(codec, parsed.as_ref()) {
            return Ok(self.add(codec, config.cloned(), None));
        }
        let entry = self.entry(codec, config, None)?;
        let known = self.slots.iter().position(|slot| slot.entry == Some(entry));
        Ok(known.unwrap_or_else(|| self.add(codec, None, Some(entry))))
    }

    fn add(&mut self, codec: Codec, config: Option<TrackConfig>, entry: Option<usize>) -> usize {
        self.slots.push(Slot { codec, config, entry, tries: 0 });
        self.slots.len() - 1
    }

    /// The sample entry, counted from 0, that these make; the one there is, if they say the same.
    fn entry(
        &mut self,
        codec: Codec,
        config: Option<&TrackConfig>,
        head: Option<&FrameHead>,
    ) -> Result<usize> {
        let is_same = |known: &Entry| {
            let same_config = match (&known.config, config) {
                (Some(ours), Some(theirs)) => ours.same_parameters(theirs),
                (ours, theirs) => ours.is_none() && theirs.is_none(),
            };
            let same_head = match (&known.head, head) {
                (Some(ours), Some(theirs)) => ours.same_parameters(theirs),
                (ours, theirs) => ours.is_none() && theirs.is_none(),
            };
            known.codec == codec && same_config && same_head
        };
        if let Some(known) = self.entries.iter().position(is_same) {
            return Ok(known);
        }
        let written = sample_entry::encode(codec, config.map(TrackConfig::record), head)?;
        let (config, head) = (config.cloned(), head.cloned());
        self.entries.push(Entry { codec, config, head, written });
        Ok(self.entries.len() - 1)
    }

    /// True if the beginning of a sample of this slot would say what is not known yet.
    pub fn wants_frame(&self, slot: usize, sample: &Sample) -> bool {
        let may_say = sample.keyframe || sample.track == Track::Audio;
        let is_open = |slot: &Slot| slot.entry.is_none() && slot.tries < TRIES_MAX;
        may_say && self.slots.get(slot).is_some_and(is_open)
    }

    /// Takes in the beginning of a frame of a slot.
    ///
    /// # Errors
    /// A box could not be written.
    pub fn look_at(&mut self, slot: usize, frame: &[u8]) -> Result<()> {
        let Some(open) = self.slots.get_mut(slot).filter(|slot| slot.entry.is_none()) else {
            return Ok(());
        };
        open.tries += 1;
        let (codec, config) = (open.codec, open.config.clone());
        let Some(head) = FrameHead::parse(codec, frame) else { return Ok(()) };
        let entry = self.entry(codec, config.as_ref(), Some(&head))?;
        if let Some(open) = self.slots.get_mut(slot) {
            open.entry = Some(entry);
        }
        Ok(())
    }

    /// Settles what no frame has said. To be called once, after the last sample.
    ///
    /// # Errors
    /// Nothing in the file says how some of its samples are coded.
    pub fn close(&mut self) -> Result<()> {
        for slot in 0..self.slots.len() {
            let Some(open) = self.slots.get(slot).filter(|slot| slot.entry.is_none()) else {
                continue;
            };
            let (codec, config) = (open.codec, open.config.clone());
            let known = self.slots.iter().filter(|slot| slot.codec == codec);
            let known = known.filter_map(|slot| slot.entry).next();
            let entry = match (config, known) {
                // Frames that no picture can be made of before the next key frame.
                (None, Some(known)) => known,
                (config, _) => self.entry(codec, config.as_ref(), None)?,
            };
            if let Some(open) = self.slots.get_mut(slot) {
                open.entry = Some(entry);
            }
        }
        Ok(())
    }

    /// The number, from 1, of the sample entry of each slot.
    ///
    /// # Errors
    /// There are more than 2^32 - 1 of them.
    pub fn numbers(&self) -> Result<Vec<u32>> {
        let number = |slot: &Slot| u32::try_from(slot.entry.unwrap_or(0) + 1);
        let numbers: std::result::Result<_, _> = self.slots.iter().map(number).collect();
        numbers.map_err(|_| Error::TooLarge("sample entries"))
    }

    /// The boxes in the order of their numbers.
    pub fn boxes(&self) -> impl Iterator<Item = &SampleEntry> {
        self.entries.iter().map(|entry| &entry.written)
    }

    /// Codec of the first sample entry.
    pub fn codec(&self) -> Option<Codec> {
        self.entries.first().map(|entry| entry.codec)
    }
}
