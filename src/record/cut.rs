//! Where one file of a recording ends and the next begins: a pure function of the index.
//!
//! Fed with every sample of a recording in journal order, it answers "cut before this one". The
//! same samples always give the same cuts, so a recording found after a crash is cut exactly as it
//! would have been live. It knows nothing of files, rows or bytes.
//!
//! Rules (design: decisions on media): cuts happen at a key frame when there are pictures, at any
//! frame when there are none; RecordInterval counts media time, but a forward jump above 10 s
//! counts as the wall time it took, so that a broken clock cuts neither at once nor never.
//!
//! A file may go on in another session of the stream. Its clocks begin anew there, so nothing is
//! compared across the gap, and the gap counts as the time it took. Only the codecs must stay.

use crate::{
    domain::{container::Container, recording::Recording},
    media::sample::{CLOCK_JUMP_MS, Codec, Sample, SampleKind, Track},
};

/// A video step back of at most this is absorbed inside an MP4.
const ABSORBED_STEP_BACK_MS: i64 = 10_000;
/// Pictures are taken to have ended when none came for this long; then sound may be cut anywhere.
const VIDEO_GONE_MS: i64 = 60_000;

/// Codec changes that begin a new file, per recording: a stream of garbage must not become a row
/// and a file for every tag. What follows the last one is one file, possibly one that fails.
const MAX_CODEC_CHANGES: u32 = 16;

/// Why a file was ended before its recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutReason {
    /// RecordInterval was reached.
    Interval,
    /// The clock of a track went back further than an MP4 can express.
    StepBack,
    /// A track changed its codec, which an MP4 track cannot.
    CodecChange,
    /// The stream came back, and a track has another codec than it had before in this file.
    OtherCodec,
}

impl CutReason {
    /// What the row of the next file says of it; a reached interval is nothing to remark.
    pub fn remark(self) -> Option<&'static str> {
        match self {
            CutReason::Interval => None,
            CutReason::StepBack => {
                Some("begins where the clock went back further than an mp4 can express")
            }
            CutReason::CodecChange => Some("begins where a track changed its codec"),
            CutReason::OtherCodec => Some("begins where the stream came back with another codec"),
        }
    }
}

/// Media time seen on one track since the file began.
#[derive(Debug, Clone, Copy, Default)]
struct Clock {
    last: Option<Last>,
    elapsed_ms: i64,
    codec: Option<Codec>,
    /// What the track had in the sessions before, until this one shows what it has.
    before: Option<Codec>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    dts_ms: i64,
    wall_ms: i64,
}

impl Clock {
    /// Counts a frame in: media time forward, wall time over a jump, nothing for a step back.
    fn advance(&mut self, dts_ms: i64, wall_ms: i64) {
        if let Some(last) = self.last {
            let step = dts_ms.saturating_sub(last.dts_ms);
            self.elapsed_ms += if step > CLOCK_JUMP_MS {
                wall_ms.saturating_sub(last.wall_ms).clamp(0, step)
            } else {
                step.max(0)
            };
        }
        self.last = Some(Last { dts_ms, wall_ms });
    }
}

/// The cutting state of one recording.
#[derive(Debug, Clone)]
pub struct Cutter {
    container: Container,
    interval_ms: Option<i64>,
    wall_ms: i64,
    video: Clock,
    audio: Clock,
    video_wall_ms: Option<i64>,
    frames: u64,
    codec_changes: u32,
    has_frames_of_session: bool,
}

impl Cutter {
    /// For a recording whose file begins at `wall_ms` (unix milliseconds).
    pub fn of(recording: &Recording, wall_ms: i64) -> Self {
        let interval_s = recording.template.param(recording.container).record_interval;
        Self::new(recording.container, interval_s, wall_ms)
    }

    /// For a container and its RecordInterval in seconds. HLS is never cut by time.
    pub fn new(container: Container, interval_s: i64, wall_ms: i64) -> Self {
        let interval_ms = match container {
            Container::Hls => None,
            Container::Flv | Container::Mp4 | Container::Aac => {
                Some(interval_s.max(1).saturating_mul(1000))
            }
        };
        Self {
            container,
            interval_ms,
            wall_ms,
            video: Clock::default(),
            audio: Clock::default(),
            video_wall_ms: None,
            frames: 0,
            codec_changes: 0,
            has_frames_of_session: false,
        }
    }

    /// The file goes on in another session, which began at `wall_ms` (unix milliseconds) and
    /// `gap_ms` after the one before had ended.
    pub fn begin_session(&mut self, wall_ms: i64, gap_ms: i64) {
        let elapsed_ms =
            self.video.elapsed_ms.max(self.audio.elapsed_ms).saturating_add(gap_ms.max(0));
        for clock in [&mut self.video, &mut self.audio] {
            let before = clock.codec.take().or(clock.before);
            *clock = Clock { last: None, elapsed_ms, codec: None, before };
        }
        self.wall_ms = wall_ms;
        // It may be another encoder: whether it sends pictures is to be seen.
        self.video_wall_ms = None;
        self.has_frames_of_session = false;
    }

    /// Whether a frame came since the last session began.
    pub fn has_frames_of_session(&self) -> bool {
        self.has_frames_of_session
    }

    /// Whether a new file begins with `sample`. To be called once for every sample, in order.
    pub fn push(&mut self, sample: &Sample) -> Option<CutReason> {
        match sample.kind {
            SampleKind::Clock => self.wall_ms = sample.dts_ms,
            SampleKind::Config if sample.track_id == 0 && self.has_other_codec(sample) => {
                self.restart();
                return Some(CutReason::OtherCodec);
            }
            SampleKind::Frame if sample.track_id == 0 && sample.tag_len > 0 => {
                let reason = if self.has_other_codec(sample) {
                    Some(CutReason::OtherCodec)
                } else if self.frames == 0 {
                    None
                } else {
                    self.reason(sample)
                };
                if let Some(reason) = reason {
                    self.codec_changes += u32::from(reason == CutReason::CodecChange);
                    self.restart();
                }
                self.count(sample);
                return reason;
            }
            _ => {}
        }
        None
    }

    /// Whether the sample is the first of its track in this session and its codec is not the one
    /// that the track had before in the file.
    fn has_other_codec(&mut self, sample: &Sample) -> bool {
        let clock = match sample.track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
            Track::Script => return false,
        };
        clock.before.take().is_some_and(|before| before != sample.codec)
    }

    fn clock(&self, track: Track) -> Option<&Clock> {
        match track {
            Track::Video => Some(&self.video),
            Track::Audio => Some(&self.audio),
            Track::Script => None,
        }
    }

    fn reason(&self, sample: &Sample) -> Option<CutReason> {
        let clock = self.clock(sample.track)?;
        if self.container == Container::Mp4 {
            let is_other = clock.codec.is_some_and(|codec| codec != sample.codec);
            if is_other && self.codec_changes < MAX_CODEC_CHANGES {
                return Some(CutReason::CodecChange);
            }
            let back = clock.last.map_or(0, |last| last.dts_ms.saturating_sub(sample.dts_ms));
            let absorbed = if sample.track == Track::Video { ABSORBED_STEP_BACK_MS } else { 0 };
            if back > absorbed {
                return Some(CutReason::StepBack);
            }
        }
        let interval_ms = self.interval_ms?;
        let mut next = *clock;
        next.advance(sample.dts_ms, self.wall_ms);
        let other = match sample.track {
            Track::Video => self.audio.elapsed_ms,
            Track::Audio | Track::Script => self.video.elapsed_ms,
        };
        let is_due = next.elapsed_ms.max(other) >= interval_ms;
        (is_due && self.is_legal(sample)).then_some(CutReason::Interval)
    }

    /// A key frame where there are pictures; any frame where there are none (any more).
    fn is_legal(&self, sample: &Sample) -> bool {
        if self.container == Container::Aac {
            return sample.track == Track::Audio;
        }
        match (sample.track, self.video_wall_ms) {
            (Track::Video, _) => sample.keyframe,
            (Track::Audio, None) => true,
            (Track::Audio, Some(seen_ms)) => self.wall_ms.saturating_sub(seen_ms) > VIDEO_GONE_MS,
            (Track::Script, _) => false,
        }
    }

    fn restart(&mut self) {
        // Whether there are pictures is a property of the stream, not of the file.
        *self =
            Self { video: Clock::default(), audio: Clock::default(), frames: 0, ..self.clone() };
    }

    fn count(&mut self, sample: &Sample) {
        let wall_ms = self.wall_ms;
        let clock = match sample.track {
            Track::Video => {
                self.video_wall_ms = Some(wall_ms);
                &mut self.video
            }
            Track::Audio => &mut self.audio,
            Track::Script => return,
        };
        clock.advance(sample.dts_ms, wall_ms);
        clock.codec = Some(sample.codec);
        self.frames += 1;
        self.has_frames_of_session = true;
    }
}

#[cfg(test)]
mod tests;
