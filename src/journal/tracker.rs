//! From tags to index records: unwraps the clock, numbers the codec configurations.
//!
//! The writer runs it on what it appends, recovery on what it reads, with the same result: a
//! record depends on nothing but the bytes of the file it stands in. No disk here.

use std::sync::Arc;

use bytes::Bytes;

use super::private::{Next, Private, is_metadata, is_private};
use crate::media::{
    config::TrackConfig,
    demux::demux,
    flv::header::{TAG_HEADER_LEN, tag_len},
    sample::{Codec, Sample, SampleKind, TagSample, Track},
    tag::TagKind,
};

/// Tracks of which the configuration is remembered.
const MAX_TRACKS: usize = 16;
/// Largest tag that is repeated at the start of each file.
const MAX_REPEATED_BYTES: usize = 65536;

/// What the meaning of the next tag depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// The 64-bit clock.
    pub clock_ms: i64,
    /// Ordinal for the next new configuration.
    pub next_config: u32,
    /// Notes so far.
    pub notes: u32,
    /// What must be repeated at the start of a file.
    pub in_force: Arc<InForce>,
}

/// The headers that a decoder needs to start here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct InForce {
    /// Payload of the last onMetaData.
    pub metadata: Option<Bytes>,
    /// Configurations by track.
    pub configs: Vec<ConfigInForce>,
}

/// The configuration in force of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfigInForce {
    /// Ordinal within the session, from 1.
    pub ordinal: u32,
    /// The configuration.
    pub config: TrackConfig,
}

impl Default for State {
    fn default() -> Self {
        State { clock_ms: 0, next_config: 1, notes: 0, in_force: Arc::default() }
    }
}

/// See the module.
pub(super) struct Tracker {
    state: State,
    next: Next,
    samples: Vec<TagSample>,
}

impl Tracker {
    pub fn new(state: State) -> Self {
        Tracker { state, next: Next::default(), samples: Vec::new() }
    }

    /// What a file that starts with the next tag must know.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Finds the samples of a tag of the encoder; [`Tracker::record`] must follow.
    pub fn examine(&mut self, kind: TagKind, payload: &[u8]) -> &[TagSample] {
        demux(kind, payload, &mut self.samples);
        &self.samples
    }

    /// What must be said before this tag of the encoder, so that it can be read back.
    pub fn preamble(&self, kind: TagKind, time_ms: i64, payload: &[u8]) -> Option<Next> {
        let time_ms = (self.unwrap_time(time_ms as u32) != time_ms).then_some(time_ms);
        let literal = kind == TagKind::Script && is_private(payload);
        (literal || time_ms.is_some()).then_some(Next { time_ms, literal })
    }

    /// Appends the records of the examined tag to `out`.
    pub fn record(&mut self, position: u64, time_ms: i64, payload: &[u8], out: &mut Vec<Sample>) {
        self.next = Next::default();
        let mut moves_clock = false;
        let samples = std::mem::take(&mut self.samples);
        for (nth, found) in samples.iter().enumerate() {
            let config = match found.kind {
                SampleKind::Config => self.configure(found, payload),
                _ => self.ordinal(found),
            };
            moves_clock |= found.kind != SampleKind::EndOfSequence;
            out.push(Sample {
                position,
                tag_len: if nth == 0 { tag_len(payload.len()) as u32 } else { 0 },
                data_offset: found.data_offset.saturating_add(TAG_HEADER_LEN as u32),
                data_len: found.data_len,
                dts_ms: time_ms,
                cts_ms: found.cts_ms,
                config,
                track: found.track,
                track_id: found.track_id,
                kind: found.kind,
                codec: found.codec,
                keyframe: found.keyframe,
                has_nanos: found.has_nanos,
                crc: None,
            });
            if found.kind == SampleKind::Script && is_metadata(payload) {
                let fits = payload.len() <= MAX_REPEATED_BYTES;
                let metadata = fits.then(|| Bytes::copy_from_slice(payload));
                if self.state.in_force.metadata != metadata {
                    Arc::make_mut(&mut self.state.in_force).metadata = metadata;
                }
            }
        }
        self.samples = samples;
        if moves_clock {
            self.state.clock_ms = time_ms;
        }
    }

    /// Goes past a tag of which the frames are known: its bytes cannot be believed.
    pub fn pass(&mut self, frames: &[Sample]) {
        self.next = Next::default();
        if let Some(frame) = frames.first() {
            self.state.clock_ms = frame.dts_ms;
        }
    }

    /// Appends the record of a private tag to `out`.
    pub fn record_private(
        &mut self,
        position: u64,
        payload: &[u8],
        tag: &Private,
        out: &mut Vec<Sample>,
    ) {
        let (kind, dts_ms) = match tag {
            Private::Clock(wall_ms) => (SampleKind::Clock, *wall_ms),
            _ => (SampleKind::Private, self.state.clock_ms),
        };
        match tag {
            Private::Note(_) => self.state.notes = self.state.notes.saturating_add(1),
            Private::Next(next) => self.next = *next,
            Private::Head(_) | Private::Clock(_) => {}
        }
        out.push(Sample {
            position,
            tag_len: tag_len(payload.len()) as u32,
            data_offset: TAG_HEADER_LEN as u32,
            data_len: payload.len() as u32,
            dts_ms,
            cts_ms: 0,
            config: 0,
            track: Track::Script,
            track_id: 0,
            kind,
            codec: Codec::None,
            keyframe: false,
            has_nanos: false,
            crc: None,
        });
    }

    /// Appends the records of any tag as it stands in a file.
    pub fn replay(
        &mut self,
        position: u64,
        kind: TagKind,
        time: u32,
        payload: &[u8],
        out: &mut Vec<Sample>,
    ) {
        if kind == TagKind::Script
            && !self.next.literal
            && let Some(tag) = Private::decode(payload)
        {
            return self.record_private(position, payload, &tag, out);
        }
        let time_ms = self.next.time_ms.unwrap_or_else(|| self.unwrap_time(time));
        self.examine(kind, payload);
        self.record(position, time_ms, payload, out);
    }

    /// The value nearest to the clock with these low 32 bits.
    fn unwrap_time(&self, low: u32) -> i64 {
        let clock = self.state.clock_ms;
        clock.wrapping_add(i64::from(low.wrapping_sub(clock as u32) as i32))
    }

    /// The ordinal in force for a sample; that of another codec says nothing about it.
    fn ordinal(&self, found: &TagSample) -> u32 {
        let known = self.state.in_force.get(found.track, found.track_id);
        known.filter(|known| known.config.codec == found.codec).map_or(0, |known| known.ordinal)
    }

    /// Puts a configuration into force and gives its ordinal; 0 if it is too large to be kept.
    fn configure(&mut self, found: &TagSample, payload: &[u8]) -> u32 {
        let record = record_of(found, payload);
        let known = self.state.in_force.get(found.track, found.track_id);
        if let Some(known) = known
            && known.config.codec == found.codec
            && known.config.record() == record
        {
            return known.ordinal;
        }
        if known.is_none() && self.state.in_force.configs.len() >= MAX_TRACKS {
            return 0;
        }
        // A copy, since a slice would hold on to the read buffer around it.
        let fits = payload.len() <= MAX_REPEATED_BYTES;
        let config =
            fits.then(|| TrackConfig::new(Bytes::copy_from_slice(payload), found)).flatten();
        let in_force = Arc::make_mut(&mut self.state.in_force);
        in_force
            .configs
            .retain(|c| (c.config.track, c.config.track_id) != (found.track, found.track_id));
        let Some(config) = config else { return 0 };
        let ordinal = self.state.next_config;
        self.state.next_config = ordinal.saturating_add(1);
        in_force.configs.push(ConfigInForce { ordinal, config });
        ordinal
    }
}

impl InForce {
    /// The configuration in force of a track.
    pub fn get(&self, track: Track, track_id: u8) -> Option<&ConfigInForce> {
        self.configs.iter().find(|c| (c.config.track, c.config.track_id) == (track, track_id))
    }
}

fn record_of<'a>(found: &TagSample, payload: &'a [u8]) -> &'a [u8] {
    let start = found.data_offset as usize;
    let end = start.saturating_add(found.data_len as usize);
    payload.get(start..end).unwrap_or_default()
}
