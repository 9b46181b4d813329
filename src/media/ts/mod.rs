//! MPEG transport stream (ISO/IEC 13818-1): the bytes of HLS segments.
//!
//! One program with at most one video and one audio stream, one access unit or audio frame to a
//! PES packet, so that each keeps the time it was sent with. A time is `(ms + offset) * 90` in 33
//! bits, never rounded and never smoothed.
//!
//! A segment depends on nothing but its samples, their configurations and the [`Counters`] at its
//! start: writing it again gives the same bytes.

mod access_unit;
mod packet;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::access_unit::VideoParameters;
use self::packet::{Adaptation, MapEntry};
use super::adts::{self, AdtsWriter};
use super::config::Configs;
use super::sample::{Codec, Sample, Track};

pub use self::packet::PACKET_LEN;

// One for each codec: a demultiplexer that has set up a parser for a PID may keep it, whatever a
// later program map says.
const PID_VIDEO: u16 = 0x100;
const PID_AUDIO: u16 = 0x101;
const PID_HEVC: u16 = 0x102;
const PID_MP3: u16 = 0x103;
const STREAM_ID_VIDEO: u8 = 0xe0;
const STREAM_ID_AUDIO: u8 = 0xc0;

/// Units of 90 kHz in a millisecond.
const UNITS_PER_MS: i64 = 90;
/// How far the clock runs behind decoding times: the time a decoder has to gather a frame.
const CLOCK_DELAY_MS: i64 = 700;
/// The clock is repeated at least this often (clause 2.7.2).
const CLOCK_INTERVAL_MS: i64 = 100;
/// A clock that jumps further than this does not continue the one before.
const CLOCK_JUMP_MS: i64 = 10_000;

/// Added to all times of a recording that would otherwise start so low that one of them, or the
/// clock, could be negative.
pub const START_OFFSET_MS: i64 = 10_000;

/// A sample cannot be carried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// MPEG-TS (or this writer) has no stream type for the codec.
    #[error("mpeg-ts cannot carry {}: {reason}", .codec.as_str())]
    Unsupported {
        /// The codec.
        codec: Codec,
        /// Why not.
        reason: &'static str,
    },
    /// An AAC frame cannot be given its header.
    #[error(transparent)]
    Adts(#[from] adts::Error),
}

/// Why MPEG-TS does not take this codec, or its stream type.
fn stream_type(codec: Codec) -> Result<u8, Error> {
    let refused = |reason| Err(Error::Unsupported { codec, reason });
    match codec {
        Codec::H264 => Ok(0x1b),
        Codec::Hevc => Ok(0x24),
        Codec::Aac => Ok(0x0f),
        Codec::Mp3 => Ok(0x03),
        Codec::Av1 | Codec::Vp9 | Codec::Vp8 => refused("its pictures must be h264 or hevc"),
        Codec::Opus | Codec::Flac | Codec::Ac3 | Codec::Eac3 => {
            refused("its sound must be aac or mp3")
        }
        Codec::Legacy => refused("it has no stream type"),
        Codec::None | Codec::Unknown => refused("it is not known"),
    }
}

/// True for the samples whose data are in the stream, in journal order: coded frames of the default
/// tracks, of codecs that MPEG-TS takes. AAC needs its configuration and a length that ADTS can say;
/// video goes without, for its parameter sets may be among the frames.
pub fn takes(sample: &Sample) -> bool {
    sample.is_packet()
        && stream_type(sample.codec).is_ok()
        && (sample.codec != Codec::Aac || adts::takes(sample))
}

/// Why these codecs cannot go into MPEG-TS; none if they can.
pub fn unsupported(codecs: &[Codec]) -> Option<Error> {
    codecs.iter().find_map(|codec| stream_type(*codec).err())
}

/// What to add to all times of a push that starts with these samples (about a second of both
/// tracks is enough): nothing, or [`START_OFFSET_MS`] where a time, less what the clock runs behind
/// or a sender may still step back, could be negative. To be kept for the whole push.
pub fn offset_ms<'a>(first: impl IntoIterator<Item = &'a Sample>) -> i64 {
    let lowest_ms =
        first.into_iter().filter(|s| s.is_packet()).map(|s| s.dts_ms.min(s.pts_ms())).min();
    match lowest_ms {
        Some(ms) if ms >= START_OFFSET_MS + CLOCK_DELAY_MS => 0,
        _ => START_OFFSET_MS,
    }
}

fn pid_of(codec: Codec) -> u16 {
    match codec {
        Codec::Hevc => PID_HEVC,
        Codec::Aac => PID_AUDIO,
        Codec::Mp3 => PID_MP3,
        _ => PID_VIDEO,
    }
}

/// The elementary streams of a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streams {
    /// How the pictures are coded; none without pictures.
    pub video: Option<Codec>,
    /// How the sound is coded; none without sound.
    pub audio: Option<Codec>,
}

impl Streams {
    /// Takes in a sample of the recording, of which the first codec of each track is announced;
    /// those that the stream does not carry change nothing.
    pub fn announce(&mut self, sample: &Sample) {
        if takes(sample) {
            self.slot(sample.track).get_or_insert(sample.codec);
        }
    }

    /// Takes in a sample of the segment; those that the stream does not carry change nothing.
    pub fn observe(&mut self, sample: &Sample) {
        if takes(sample) {
            *self.slot(sample.track) = Some(sample.codec);
        }
    }

    fn slot(&mut self, track: Track) -> &mut Option<Codec> {
        if track == Track::Video { &mut self.video } else { &mut self.audio }
    }

    /// The PID that carries the clock.
    fn clock_pid(self) -> u16 {
        self.video.or(self.audio).map_or(PID_AUDIO, pid_of)
    }

    fn entries(self) -> impl Iterator<Item = MapEntry> {
        [self.video, self.audio].into_iter().flatten().filter_map(|codec| {
            Some(MapEntry { stream_type: stream_type(codec).ok()?, pid: pid_of(codec) })
        })
    }

    /// Version of the program map: another one for other streams, the same for the same.
    fn map_version(self) -> u8 {
        let video = match self.video {
            None => 0,
            Some(Codec::Hevc) => 2,
            Some(_) => 1,
        };
        let audio = match self.audio {
            None => 0,
            Some(Codec::Mp3) => 2,
            Some(_) => 1,
        };
        video * 3 + audio
    }
}

/// Continuity counters: what one segment takes over from the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    association: u8,
    map: u8,
    avc: u8,
    hevc: u8,
    aac: u8,
    mp3: u8,
}

impl Counters {
    /// Six bytes, for keeping.
    pub fn to_bytes(self) -> [u8; 6] {
        [self.association, self.map, self.avc, self.hevc, self.aac, self.mp3]
    }

    /// From what [`Counters::to_bytes`] gave.
    pub fn from_bytes(bytes: [u8; 6]) -> Self {
        let [association, map, avc, hevc, aac, mp3] = bytes.map(|counter| counter & 0xf);
        Counters { association, map, avc, hevc, aac, mp3 }
    }

    fn of(&mut self, pid: u16) -> &mut u8 {
        match pid {
            PID_HEVC => &mut self.hevc,
            PID_AUDIO => &mut self.aac,
            PID_MP3 => &mut self.mp3,
            _ => &mut self.avc,
        }
    }
}

/// Writes the segments of one recording.
#[derive(Debug, Clone)]
pub struct TsMuxer {
    offset_ms: i64,
    video: BTreeMap<u32, VideoParameters>,
    adts: AdtsWriter,
    counters: Counters,
    streams: Streams,
    /// Sender's time at which the clock was last written into this segment.
    clock_ms: Option<i64>,
    /// The segment has a picture.
    has_picture: bool,
    /// The PES packet being made; kept for its memory.
    pes: Vec<u8>,
    malformed_frames: u64,
}

impl TsMuxer {
    /// For samples that refer to `configs`; `offset_ms` is that of their push, see [`offset_ms`].
    pub fn new(configs: &Configs, offset_ms: i64) -> Self {
        let mut muxer = TsMuxer {
            offset_ms,
            video: BTreeMap::new(),
            adts: AdtsWriter::default(),
            counters: Counters::default(),
            streams: Streams::default(),
            clock_ms: None,
            has_picture: false,
            pes: Vec::new(),
            malformed_frames: 0,
        };
        muxer.set_configs(configs);
        muxer
    }

    /// The samples that follow refer to these configurations: there are more of them now, or
    /// another session has begun.
    pub fn set_configs(&mut self, configs: &Configs) {
        self.video = configs
            .iter()
            .filter(|(_, config)| (config.track, config.track_id) == (Track::Video, 0))
            .filter_map(|(ordinal, config)| {
                Some((ordinal, VideoParameters::from_config(config.parse().ok()?)?))
            })
            .collect();
        self.adts = AdtsWriter::new(configs);
    }

    /// The samples that follow are of a push with this offset.
    pub fn set_offset(&mut self, offset_ms: i64) {
        self.offset_ms = offset_ms;
    }

    /// Continues where another muxer of the same recording was.
    pub fn set_counters(&mut self, counters: Counters) {
        self.counters = counters;
    }

    /// Where this muxer is: to be kept between segments by who may have to start anew.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Video frames whose NAL units could not be told apart; they are in the stream as they came.
    pub fn malformed_frames(&self) -> u64 {
        self.malformed_frames
    }

    /// Starts a segment: the tables that say what is in it. `streams` should be all of the
    /// segment's; one that turns up later gets its tables then.
    pub fn begin_segment(&mut self, streams: Streams, out: &mut Vec<u8>) {
        self.streams = streams;
        self.clock_ms = None;
        self.has_picture = false;
        self.write_tables(out);
    }

    fn write_tables(&mut self, out: &mut Vec<u8>) {
        let streams = self.streams;
        packet::association_table(&mut self.counters.association, out);
        packet::program_map(
            streams.map_version(),
            streams.clock_pid(),
            streams.entries(),
            &mut self.counters.map,
            out,
        );
    }

    /// Appends a sample whose coded data are `data`. Samples that the stream does not carry are
    /// passed over.
    ///
    /// # Errors
    /// The codec is none that MPEG-TS takes, or an AAC frame cannot be given its header. Nothing
    /// has been appended then.
    pub fn write_sample(
        &mut self,
        sample: &Sample,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if !sample.is_packet() {
            return Ok(());
        }
        stream_type(sample.codec)?;
        if !takes(sample) {
            return Ok(());
        }
        let is_video = sample.track == Track::Video;
        let stream_id = if is_video { STREAM_ID_VIDEO } else { STREAM_ID_AUDIO };
        self.pes.clear();
        let [pts, dts] = [sample.pts_ms(), sample.dts_ms].map(|ms| self.units(ms));
        packet::pes_header(stream_id, pts, dts, &mut self.pes);
        self.append_payload(sample, data)?;
        packet::close_pes(&mut self.pes);

        let slot = self.streams.slot(sample.track);
        if slot.replace(sample.codec) != Some(sample.codec) {
            self.write_tables(out);
        }
        let pid = pid_of(sample.codec);
        let mut adaptation = Adaptation::default();
        if let Some(clock) = self.clock_before(sample, pid) {
            if pid == self.streams.clock_pid() {
                adaptation = clock;
            } else {
                let pid = self.streams.clock_pid();
                packet::clock(pid, *self.counters.of(pid), clock, out);
            }
        }
        adaptation.is_random_access = sample.keyframe && (is_video || self.streams.video.is_none());
        packet::pes(pid, self.counters.of(pid), adaptation, &self.pes, out);
        Ok(())
    }

    fn append_payload(&mut self, sample: &Sample, data: &[u8]) -> Result<(), Error> {
        match sample.codec {
            Codec::H264 | Codec::Hevc => {
                // Where a record could not be read, the one before it stays in force.
                let known = self.video.range(..=sample.config).next_back().map(|(_, known)| known);
                let unknown = VideoParameters::unknown(sample.codec);
                let parameters = known.filter(|p| p.is_for(sample.codec)).unwrap_or(&unknown);
                // A segment may start between two keyframes, and a player with that segment.
                let with_sets = sample.keyframe || !self.has_picture;
                self.has_picture = true;
                let is_split = parameters.annex_b(data, with_sets, &mut self.pes);
                self.malformed_frames += u64::from(!is_split);
            }
            Codec::Aac => {
                self.pes.extend_from_slice(&self.adts.header(sample)?);
                self.pes.extend_from_slice(data);
            }
            _ => self.pes.extend_from_slice(data),
        }
        Ok(())
    }

    /// The clock to be written with or before a sample, if it is due. It never steps back within
    /// a segment without saying so.
    fn clock_before(&mut self, sample: &Sample, pid: u16) -> Option<Adaptation> {
        let now_ms = sample.dts_ms;
        let step_ms = self.clock_ms.map(|clock_ms| now_ms.saturating_sub(clock_ms));
        let is_due = match step_ms {
            None => true,
            // The tracks of a journal are a little ahead of each other: not every step is a jump.
            Some(step_ms) if step_ms < 0 => step_ms < -CLOCK_DELAY_MS,
            Some(step_ms) => pid == self.streams.clock_pid() || step_ms >= CLOCK_INTERVAL_MS,
        };
        if !is_due {
            return None;
        }
        self.clock_ms = Some(now_ms);
        Some(Adaptation {
            pcr: Some(self.units(now_ms.saturating_sub(CLOCK_DELAY_MS))),
            is_discontinuous: step_ms
                .is_some_and(|step_ms| !(0..=CLOCK_JUMP_MS).contains(&step_ms)),
            is_random_access: false,
        })
    }

    /// A time in 90 kHz units, of which the low 33 bits count.
    fn units(&self, ms: i64) -> u64 {
        ms.wrapping_add(self.offset_ms).wrapping_mul(UNITS_PER_MS) as u64
    }
}
