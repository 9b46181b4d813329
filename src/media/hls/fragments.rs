//! From the samples of a segment to the head of a fragmented MP4 segment: what each sample's time
//! becomes, and in which order their data lie.
//!
//! The data of both tracks take turns of about a second. Who reads a segment in order has both at
//! hand, as ffmpeg wants it, which looks at 5 s of a stream before it decides how to read it.
//!
//! All times are the sender's plus one shift for the whole recording, and exact. Decoding times
//! never step back within a run of continuous segments: a sample that does gets the decoding time
//! of the one before, and its presentation time is kept if it is a picture. The last sample of a
//! segment lasts up to the first of the next one, so that segments join without a gap.

use super::{JUMP_MS, LONE_FRAME_MS, Segment};
use crate::media::mp4::fragment::{FragmentSample, FragmentTrack, encode_head};
use crate::media::mp4::{Error, MAX_OFFSET_MS, Result};
use crate::media::sample::{Sample, Track};

/// The order of the tracks' data in each turn. Sound comes first because it is small: where the
/// pictures begin must fit into 31 bits.
const DATA_ORDER: [Track; 2] = [Track::Audio, Track::Video];
/// A turn is over when one of the tracks has so much of it.
const TURN_MS: i64 = 1_000;
/// A segment of more bytes is one turn: where the last one begins might not fit into 31 bits.
const TURNS_MAX_BYTES: u64 = 1 << 30;

/// A segment and its samples, each with the number of the session that it is of.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    /// What the playlist says of it.
    pub segment: Segment,
    /// The samples, in journal order.
    pub samples: Vec<(usize, Sample)>,
}

impl Gathered {
    /// The samples in the order of their data in a fragmented MP4 segment.
    pub fn in_data_order(&self) -> impl Iterator<Item = &(usize, Sample)> {
        self.turns()
            .into_iter()
            .flat_map(|turn| DATA_ORDER.into_iter().flat_map(move |track| of_track(turn, track)))
    }

    /// The samples in turns. They follow the order of arrival, whatever the tracks' clocks say of
    /// each other.
    fn turns(&self) -> Vec<&[(usize, Sample)]> {
        let bytes: u64 = self.samples.iter().map(|(_, sample)| u64::from(sample.data_len)).sum();
        if bytes > TURNS_MAX_BYTES {
            return vec![&self.samples];
        }
        let mut turns = Vec::new();
        let mut begun: [Option<i64>; 2] = [None; 2];
        let (mut rest, mut len) = (self.samples.as_slice(), 0);
        for ((_, sample), may_begin) in self.samples.iter().zip(self.may_begin_turns()) {
            let nth = usize::from(sample.track == Track::Audio);
            let is_over = |begun_ms: i64| sample.dts_ms.saturating_sub(begun_ms) >= TURN_MS;
            if may_begin
                && begun.get(nth).copied().flatten().is_some_and(is_over)
                && let Some((turn, behind)) = rest.split_at_checked(len)
            {
                turns.push(turn);
                (rest, len, begun) = (behind, 0, [None; 2]);
            }
            if let Some(begun_ms) = begun.get_mut(nth) {
                begun_ms.get_or_insert(sample.dts_ms);
            }
            len += 1;
        }
        turns.push(rest);
        turns
    }

    /// For every sample whether a turn may begin with it: where the decoding times of both tracks go
    /// on. ffmpeg passes over what comes in a run of its own at a time that it has seen.
    fn may_begin_turns(&self) -> Vec<bool> {
        let mut latest_ms = [i64::MIN; 2];
        let goes_on = self.samples.iter().map(|(_, sample)| {
            let [video, audio] = &mut latest_ms;
            let latest_ms = if sample.track == Track::Audio { audio } else { video };
            let before_ms = std::mem::replace(latest_ms, sample.dts_ms.max(*latest_ms));
            sample.dts_ms > before_ms
        });
        let mut may_begin: Vec<bool> = goes_on.collect();
        // What the next one of each track does.
        let [mut video, mut audio] = [true; 2];
        for ((_, sample), goes_on) in self.samples.iter().zip(&mut may_begin).rev() {
            let next = if sample.track == Track::Audio { &mut audio } else { &mut video };
            *next = *goes_on;
            *goes_on = video && audio;
        }
        may_begin
    }

    /// True if a player can begin here: there are no pictures, or the first one is a keyframe.
    pub fn is_independent(&self) -> bool {
        self.of(Track::Video).next().is_none_or(|(_, sample)| sample.keyframe)
    }

    fn of(&self, track: Track) -> impl Iterator<Item = &(usize, Sample)> {
        of_track(&self.samples, track)
    }
}

fn of_track(samples: &[(usize, Sample)], track: Track) -> impl Iterator<Item = &(usize, Sample)> {
    samples.iter().filter(move |(_, sample)| sample.track == track)
}

/// Writes the heads of the fragmented MP4 segments of one recording, in order.
#[derive(Debug, Clone)]
pub struct FragmentWriter {
    shift_ms: i64,
    segments: u64,
    /// In [`DATA_ORDER`].
    clocks: [DecodeClock; 2],
}

/// The decoding times of one track.
#[derive(Debug, Clone, Copy, Default)]
struct DecodeClock {
    /// That of the latest sample.
    now_ms: Option<i64>,
    /// The latest step that was one frame long.
    step_ms: Option<i64>,
}

impl FragmentWriter {
    /// All times are moved by `shift_ms`, which must leave none negative.
    pub fn new(shift_ms: i64) -> Self {
        FragmentWriter { shift_ms, segments: 0, clocks: Default::default() }
    }

    /// Everything of the next segment that comes before the data of its samples, which follow in
    /// [`Gathered::in_data_order`]. `next` is the segment behind it, if there is one.
    ///
    /// # Errors
    /// A time or a place does not fit into its field.
    pub fn head(&mut self, gathered: &Gathered, next: Option<&Gathered>) -> Result<Vec<u8>> {
        let mut tracks = Vec::new();
        for (track, clock) in DATA_ORDER.into_iter().zip(&mut self.clocks) {
            if gathered.segment.is_discontinuous {
                clock.now_ms = None;
            }
            tracks.extend(fragment(track, clock, self.shift_ms, gathered, next)?);
        }
        let number = self.segments;
        self.segments += 1;
        encode_head(number, &tracks)
    }
}

/// One track of a segment; none if it has no samples in it.
fn fragment(
    track: Track,
    clock: &mut DecodeClock,
    shift_ms: i64,
    gathered: &Gathered,
    next: Option<&Gathered>,
) -> Result<Option<FragmentTrack>> {
    let mut first_ms = None;
    let mut last_span = 0;
    let mut samples: Vec<FragmentSample> = Vec::new();
    for (span, sample) in gathered.of(track) {
        let before_ms = clock.now_ms;
        let now_ms = clock.advance(sample);
        if let (Some(last), Some(before_ms)) = (samples.last_mut(), before_ms) {
            last.duration_ms = duration(now_ms - before_ms)?;
        }
        first_ms.get_or_insert(now_ms);
        last_span = *span;
        samples.push(FragmentSample {
            duration_ms: 0,
            offset_ms: offset_ms(sample, now_ms),
            size: sample.data_len,
            is_sync: sample.keyframe || track == Track::Audio,
        });
    }
    let (Some(first_ms), Some(now_ms), Some(last)) = (first_ms, clock.now_ms, samples.last_mut())
    else {
        return Ok(None);
    };
    let next = next.and_then(|next| Some((next.segment, next.of(track).next()?)));
    last.duration_ms = duration(match next {
        Some((segment, (_, sample))) if !segment.is_discontinuous => {
            sample.dts_ms.saturating_sub(now_ms).max(0)
        }
        Some((_, (span, sample))) if *span == last_span => {
            let step_ms = sample.dts_ms.saturating_sub(now_ms);
            if (0..=JUMP_MS).contains(&step_ms) { step_ms } else { clock.frame_ms() }
        }
        Some(_) | None => clock.frame_ms(),
    })?;
    let decode_ms = u64::try_from(first_ms.saturating_add(shift_ms))
        .map_err(|_| Error::TooLarge("negative decoding time"))?;
    let turns = gathered.turns();
    let runs = turns.into_iter().map(|turn| of_track(turn, track).count()).collect();
    Ok(Some(FragmentTrack { track, decode_ms, samples, runs }))
}

impl DecodeClock {
    /// Decoding time of the next sample, on the sender's clock.
    fn advance(&mut self, sample: &Sample) -> i64 {
        let Some(before_ms) = self.now_ms else {
            self.now_ms = Some(sample.dts_ms);
            return sample.dts_ms;
        };
        let step_ms = sample.dts_ms.saturating_sub(before_ms);
        if (1..=JUMP_MS).contains(&step_ms) {
            self.step_ms = Some(step_ms);
        }
        let now_ms = before_ms.max(sample.dts_ms);
        self.now_ms = Some(now_ms);
        now_ms
    }

    /// How long a frame lasts that nothing follows.
    fn frame_ms(&self) -> i64 {
        self.step_ms.unwrap_or(LONE_FRAME_MS)
    }
}

/// What makes of a decoding time the presentation time. Players do not look for offsets of sound:
/// it is presented when it is decoded, unless the sender said otherwise.
fn offset_ms(sample: &Sample, now_ms: i64) -> i32 {
    let offset_ms = match sample.track {
        Track::Audio => i64::from(sample.cts_ms),
        Track::Video | Track::Script => sample.pts_ms().saturating_sub(now_ms),
    };
    offset_ms.clamp(-MAX_OFFSET_MS, MAX_OFFSET_MS) as i32
}

fn duration(ms: i64) -> Result<u32> {
    u32::try_from(ms).map_err(|_| Error::TooLarge("sample duration"))
}
