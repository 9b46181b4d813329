//! Where one file of a recording ends and the next begins: a pure function of the index.
//!
//! Fed with every sample of a recording in journal order, it answers "cut before this one". The
//! same samples always give the same cuts, so a recording found after a crash is cut exactly as it
//! would have been live. It knows nothing of files, rows or bytes.
//!
//! Rules (design: decisions on media): cuts happen at a key frame when there are pictures, at any
//! frame when there are none; RecordInterval counts media time, but a forward jump above 10 s
//! counts as the wall time it took, so that a broken clock cuts neither at once nor never.

use crate::{
    domain::container::Container,
    media::sample::{Codec, Sample, SampleKind, Track},
};

/// A forward jump of the encoder's clock above this counts as wall time.
const JUMP_MS: i64 = 10_000;
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
        }
    }
}

/// Media time seen on one track since the file began.
#[derive(Debug, Clone, Copy, Default)]
struct Clock {
    last: Option<Last>,
    elapsed_ms: i64,
    codec: Option<Codec>,
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
            self.elapsed_ms += if step > JUMP_MS {
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
}

impl Cutter {
    /// For a container and its RecordInterval in seconds. HLS is one file a push: it is never cut.
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
        }
    }

    /// Whether a new file begins with `sample`. To be called once for every sample, in order.
    pub fn push(&mut self, sample: &Sample) -> Option<CutReason> {
        match sample.kind {
            SampleKind::Clock => self.wall_ms = sample.dts_ms,
            SampleKind::Frame if sample.track_id == 0 && sample.tag_len > 0 => {
                let reason = if self.frames == 0 { None } else { self.reason(sample) };
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(track: Track, dts_ms: i64, keyframe: bool) -> Sample {
        Sample {
            position: 0,
            tag_len: 20,
            data_offset: 11,
            data_len: 5,
            dts_ms,
            cts_ms: 0,
            config: 1,
            track,
            track_id: 0,
            kind: SampleKind::Frame,
            codec: if track == Track::Video { Codec::H264 } else { Codec::Aac },
            keyframe: keyframe || track == Track::Audio,
        }
    }

    fn clock(wall_ms: i64) -> Sample {
        Sample { kind: SampleKind::Clock, dts_ms: wall_ms, ..sample(Track::Script, 0, false) }
    }

    /// dts of the samples before which a cut was made.
    fn cuts(cutter: &mut Cutter, samples: &[Sample]) -> Vec<(i64, CutReason)> {
        samples.iter().filter_map(|s| cutter.push(s).map(|r| (s.dts_ms, r))).collect()
    }

    #[test]
    fn cuts_at_the_first_key_frame_at_or_after_the_interval() {
        let mut cutter = Cutter::new(Container::Flv, 60, 0);
        let stream: Vec<_> =
            (0..2000).map(|i| sample(Track::Video, i * 100, i % 70 == 0)).collect();
        let at: Vec<_> = cuts(&mut cutter, &stream).into_iter().map(|c| c.0).collect();
        assert_eq!(at, [63_000, 126_000, 189_000]);
    }

    #[test]
    fn audio_does_not_cut_while_there_are_pictures() {
        let mut cutter = Cutter::new(Container::Mp4, 60, 0);
        let mut stream = vec![sample(Track::Video, 0, true)];
        stream.extend((0..3000).map(|i| sample(Track::Audio, i * 23, true)));
        assert!(cuts(&mut cutter, &stream).is_empty());
        assert_eq!(cutter.push(&sample(Track::Video, 69_000, true)), Some(CutReason::Interval));
    }

    #[test]
    fn audio_alone_cuts_at_any_frame() {
        let mut cutter = Cutter::new(Container::Aac, 60, 0);
        let stream: Vec<_> = (0..3000).map(|i| sample(Track::Audio, i * 23, true)).collect();
        assert_eq!(cuts(&mut cutter, &stream), [(60_007, CutReason::Interval)]);
    }

    #[test]
    fn a_jump_counts_as_wall_time() {
        let mut cutter = Cutter::new(Container::Flv, 60, 1_000_000);
        let stream = [
            sample(Track::Video, 0, true),
            clock(1_002_000),
            sample(Track::Video, 10_800_000, true),
            sample(Track::Video, 10_801_000, true),
        ];
        assert!(cuts(&mut cutter, &stream).is_empty());
        assert_eq!(cutter.video.elapsed_ms, 3_000);
    }

    #[test]
    fn only_mp4_ends_at_steps_back_and_codec_changes() {
        let mut other_codec = sample(Track::Video, 50, true);
        other_codec.codec = Codec::Hevc;
        let stream = [
            sample(Track::Audio, 100, true),
            sample(Track::Audio, 90, true),
            sample(Track::Video, 20_000, true),
            sample(Track::Video, 10_000, true),
            sample(Track::Video, -1, true),
            other_codec,
        ];
        assert_eq!(
            cuts(&mut Cutter::new(Container::Mp4, 600, 0), &stream),
            [(90, CutReason::StepBack), (-1, CutReason::StepBack), (50, CutReason::CodecChange)]
        );
        assert!(cuts(&mut Cutter::new(Container::Flv, 600, 0), &stream).is_empty());
    }

    #[test]
    fn hls_is_never_cut() {
        let mut cutter = Cutter::new(Container::Hls, 60, 0);
        let stream: Vec<_> = (0..5000).map(|i| sample(Track::Video, i * 100, true)).collect();
        assert!(cuts(&mut cutter, &stream).is_empty());
    }
}
