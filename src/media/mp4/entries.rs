//! The sample entries of one track: which of them describes a sample, and what of the stream has
//! to be looked at to write it.
//!
//! A configuration that comes into force opens a *slot*. Samples name their slot; which sample
//! entry that is may turn out later, when a frame has said what the configuration left open, and
//! slots that say the same share one.

use super::sample_entry::{self, SampleEntry};
use super::{Error, Result};
use crate::media::config::{Configs, TrackConfig};
use crate::media::frame_head::{FrameHead, IN_BAND_CHANGES_MAX, describes_itself};
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
    /// The sample entry of the same codec that was the latest when this one was opened: what
    /// describes it if nothing else does.
    before: Option<usize>,
    /// No configuration was in force, and the frames need one: the next one will do.
    is_waiting: bool,
    tries: u32,
}

/// A sample entry and what it was made from.
#[derive(Debug)]
struct Entry {
    codec: Codec,
    config: Option<TrackConfig>,
    head: Option<FrameHead>,
    /// What the key frames that it describes say of themselves, where they do.
    key_frame: Option<FrameHead>,
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
        let slot = match config {
            None if !describes_itself(codec) => self.wait(codec),
            config => self.open(codec, config)?,
        };
        (self.current, self.latest) = (Some((ordinal, codec, slot)), Some(slot));
        Ok(slot)
    }

    /// The slot of frames that came before the configuration that describes them.
    fn wait(&mut self, codec: Codec) -> usize {
        let is_known = |slot: &Slot| slot.is_waiting && slot.entry.is_none() && slot.codec == codec;
        if let Some(known) = self.slots.iter().position(is_known) {
            return known;
        }
        let slot = self.add(codec, None, None);
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.is_waiting = true;
        }
        slot
    }

    /// Describes the frames that have waited for a configuration, by this entry.
    fn describe_waiting(&mut self, codec: Codec, entry: usize) {
        let waiting = self.slots.iter_mut().filter(|slot| slot.is_waiting && slot.codec == codec);
        waiting.for_each(|slot| _ = slot.entry.get_or_insert(entry));
    }

    /// No more frames refer to these configurations. Describes by the first one that can those that
    /// have waited for it, if no frame came behind it.
    ///
    /// # Errors
    /// A box could not be written.
    pub fn settle(&mut self, configs: &Configs, track: Track) -> Result<()> {
        for slot in 0..self.slots.len() {
            let Some(open) = self.slots.get(slot) else { continue };
            if !open.is_waiting || open.entry.is_some() {
                continue;
            }
            let codec = open.codec;
            let mut ours = configs.iter().map(|(_, config)| config).filter(|config| {
                (config.track, config.track_id, config.codec) == (track, 0, codec)
                    && config.parse().is_ok()
            });
            if let Some(config) = ours.next() {
                let entry = self.entry(codec, Some(config), None)?;
                self.describe_waiting(codec, entry);
            }
        }
        Ok(())
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
        self.describe_waiting(codec, entry);
        Ok(self.slot_of(entry).unwrap_or_else(|| self.add(codec, config.cloned(), Some(entry))))
    }

    /// The slot of this entry whose configuration it was made from.
    fn slot_of(&self, entry: usize) -> Option<usize> {
        self.slots.iter().position(|slot| slot.entry == Some(entry) && !slot.is_waiting)
    }

    fn add(&mut self, codec: Codec, config: Option<TrackConfig>, entry: Option<usize>) -> usize {
        let before = self.entries.iter().rposition(|entry| entry.codec == codec);
        self.slots.push(Slot { codec, config, entry, before, is_waiting: false, tries: 0 });
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
        let key_frame = match head {
            Some(head) => Some(head.clone()),
            None => config.and_then(FrameHead::of_config),
        };
        let (config, head) = (config.cloned(), head.cloned());
        self.entries.push(Entry { codec, config, head, key_frame, written });
        Ok(self.entries.len() - 1)
    }

    /// True if the beginning of a sample of this slot would say what is not known yet.
    pub fn wants_frame(&self, slot: usize, sample: &Sample) -> bool {
        let Some(slot) = self.slots.get(slot) else { return false };
        match (sample.track, slot.entry) {
            (Track::Audio, None) => !slot.is_waiting && slot.tries < TRIES_MAX,
            // Without a new configuration pictures may change their size, and sound all there is.
            (Track::Audio, Some(_)) => {
                describes_itself(slot.codec) && self.entries.len() < IN_BAND_CHANGES_MAX
            }
            (_, Some(_)) => sample.keyframe && describes_itself(slot.codec),
            (_, None) => sample.keyframe && !slot.is_waiting && slot.tries < TRIES_MAX,
        }
    }

    /// Takes in the beginning of a frame of a slot that wants it. Gives the slot that the frame and
    /// those behind it are of: another one, if pictures have another size or sound other parameters
    /// from here on.
    ///
    /// # Errors
    /// A box could not be written.
    pub fn look_at(&mut self, slot: usize, frame: &[u8]) -> Result<usize> {
        let Some(open) = self.slots.get_mut(slot).filter(|slot| !slot.is_waiting) else {
            return Ok(slot);
        };
        open.tries = open.tries.saturating_add(1);
        let (codec, config, known) = (open.codec, open.config.clone(), open.entry);
        let Some(head) = FrameHead::parse(codec, frame) else { return Ok(slot) };
        let Some(known) = known else {
            let entry = self.entry(codec, config.as_ref(), Some(&head))?;
            if let Some(open) = self.slots.get_mut(slot) {
                open.entry = Some(entry);
            }
            return Ok(slot);
        };
        let expected = self.entries.get(known).and_then(|entry| entry.key_frame.as_ref());
        if expected.is_none_or(|expected| expected.same_picture(&head)) {
            return Ok(slot);
        }
        // What a record says of the pictures themselves is no longer true.
        let config = config.filter(|config| FrameHead::of_config(config).is_none());
        let entry = self.entry(codec, config.as_ref(), Some(&head))?;
        let slot = self.slot_of(entry).unwrap_or_else(|| self.add(codec, config, Some(entry)));
        if let Some((_, _, current)) = &mut self.current {
            *current = slot;
        }
        self.latest = Some(slot);
        Ok(slot)
    }

    /// True if all frames have waited in vain: the track cannot be in the file.
    pub fn is_undescribed(&self) -> bool {
        self.entries.is_empty() && self.slots.iter().all(|slot| slot.is_waiting)
    }

    /// Settles what no frame has said. To be called once, after the last sample and
    /// [`Entries::settle`].
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
            let known = open.before.or_else(|| known.filter_map(|slot| slot.entry).next());
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

    /// The number, from 1, of a slot's sample entry, once that is known. It never changes then.
    pub fn settled(&self, slot: usize) -> Option<u32> {
        u32::try_from(self.slots.get(slot)?.entry? + 1).ok()
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
