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
//! What counts are the default tracks (track id 0), wherever they stand in their messages; a cut is
//! at the message. Only FLV has the other tracks, so only there do they lead where a default track
//! does not (any more): see [`Others`].
//!
//! A file may go on in another session of the stream. Its clocks begin anew there, so nothing is
//! compared across the gap, and the gap counts as the time it took. Only the codecs must stay.

mod others;

use self::others::Others;
use crate::{
    domain::{container::Container, recording::Recording},
    media::sample::{CLOCK_JUMP_MS, Codec, Sample, SampleKind, Track},
};

/// A video step back of at most this is absorbed inside an MP4.
const ABSORBED_STEP_BACK_MS: i64 = 10_000;
/// A track is taken to have ended when nothing came of it for this long; then others lead: sound
/// may be cut anywhere.
const GONE_MS: i64 = 60_000;

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

/// When a default track had its last frame.
#[derive(Debug, Clone, Copy)]
struct Seen {
    wall_ms: i64,
    /// Media time that the other tracks had by then.
    others_ms: i64,
}

/// The cutting state of one recording.
#[derive(Debug, Clone)]
pub struct Cutter {
    container: Container,
    interval_ms: Option<i64>,
    wall_ms: i64,
    video: Clock,
    audio: Clock,
    others: Others,
    video_seen: Option<Seen>,
    audio_seen: Option<Seen>,
    /// The message that the last default frame was in, and the one that the file began with.
    tag: Option<u64>,
    first_tag: Option<u64>,
    has_frames: bool,
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
            others: Others::default(),
            video_seen: None,
            audio_seen: None,
            tag: None,
            first_tag: None,
            has_frames: false,
            codec_changes: 0,
            has_frames_of_session: false,
        }
    }

    /// The file goes on in another session, which began at `wall_ms` (unix milliseconds) and
    /// `gap_ms` after the one before had ended.
    pub fn begin_session(&mut self, wall_ms: i64, gap_ms: i64) {
        let lasted_ms = self.default_ms().max(self.others.elapsed_ms());
        let elapsed_ms = lasted_ms.saturating_add(gap_ms.max(0));
        for clock in [&mut self.video, &mut self.audio] {
            let before = clock.codec.take().or(clock.before);
            *clock = Clock { last: None, elapsed_ms, codec: None, before };
        }
        self.others = Others::default();
        self.wall_ms = wall_ms;
        // It may be another encoder: what it sends is to be seen.
        (self.video_seen, self.audio_seen) = (None, None);
        (self.tag, self.first_tag) = (None, None);
        self.has_frames_of_session = false;
    }

    /// Whether a frame came since the last session began.
    pub fn has_frames_of_session(&self) -> bool {
        self.has_frames_of_session
    }

    /// Whether a new file begins with the message of `sample`. To be called once for every sample,
    /// in order.
    pub fn push(&mut self, sample: &Sample) -> Option<CutReason> {
        let is_further = sample.tag_len == 0;
        // Two frames of a track in one message cannot be parted.
        let is_second = is_further && self.tag == Some(sample.position);
        let reason = match (sample.kind, sample.track_id) {
            (SampleKind::Clock, _) => {
                self.wall_ms = sample.dts_ms;
                None
            }
            (SampleKind::Config, 0) => {
                self.has_other_codec(sample).then_some(CutReason::OtherCodec)
            }
            (SampleKind::Frame, 0) if !is_second => self.reason(sample),
            (SampleKind::Frame, 1..) if self.container == Container::Flv => {
                self.others.push(sample, self.wall_ms, self.default_ms());
                self.reason_of_other(sample)
            }
            _ => return None,
        };
        // Where the file begins already, none can end.
        let reason = reason.filter(|_| !(is_further && self.first_tag == Some(sample.position)));
        if let Some(reason) = reason {
            self.codec_changes += u32::from(reason == CutReason::CodecChange);
            self.restart(sample);
        }
        if sample.kind == SampleKind::Frame {
            self.count(sample);
        }
        reason
    }

    /// Whether nothing came of the track yet in this session and its codec is not the one that it
    /// had before in the file. A configuration that is the same says nothing of the frames.
    fn has_other_codec(&self, sample: &Sample) -> bool {
        let before = self.clock(sample.track).and_then(|clock| clock.before);
        before.is_some_and(|before| before != sample.codec)
    }

    fn clock(&self, track: Track) -> Option<&Clock> {
        match track {
            Track::Video => Some(&self.video),
            Track::Audio => Some(&self.audio),
            Track::Script => None,
        }
    }

    /// Why a file begins with a frame of a default track.
    fn reason(&self, sample: &Sample) -> Option<CutReason> {
        let clock = self.clock(sample.track)?;
        if self.has_other_codec(sample) {
            return Some(CutReason::OtherCodec);
        }
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
        let elapsed_ms = self.counted(clock, sample).elapsed_ms;
        let other = match sample.track {
            Track::Video => self.audio.elapsed_ms,
            Track::Audio | Track::Script => self.video.elapsed_ms,
        };
        let is_due = self.is_due(elapsed_ms.max(other));
        (is_due && self.is_legal(sample)).then_some(CutReason::Interval)
    }

    /// Why a file begins with a frame of another track that was just counted.
    fn reason_of_other(&self, sample: &Sample) -> Option<CutReason> {
        let is_due = self.is_due(self.default_ms().max(self.others.elapsed_ms()));
        let is_alone = match sample.track {
            Track::Video => self.is_gone(self.video_seen),
            Track::Audio => !self.has_pictures() && self.is_gone(self.audio_seen),
            Track::Script => false,
        };
        let is_legal = is_alone && sample.keyframe && self.others.is_lead(sample);
        (is_due && is_legal).then_some(CutReason::Interval)
    }

    /// Media time of the file by its default tracks.
    fn default_ms(&self) -> i64 {
        self.video.elapsed_ms.max(self.audio.elapsed_ms)
    }

    fn is_due(&self, elapsed_ms: i64) -> bool {
        self.has_frames && self.interval_ms.is_some_and(|interval_ms| elapsed_ms >= interval_ms)
    }

    /// A key frame where there are pictures; any frame where there are none (any more).
    fn is_legal(&self, sample: &Sample) -> bool {
        if self.container == Container::Aac {
            return sample.track == Track::Audio;
        }
        match sample.track {
            Track::Video => sample.keyframe,
            Track::Audio => !self.has_pictures(),
            Track::Script => false,
        }
    }

    fn has_pictures(&self) -> bool {
        !self.is_gone(self.video_seen) || self.others.has_pictures(self.wall_ms)
    }

    /// Whether a default track has ended, by the wall or, in a push faster than real time, by what
    /// the other tracks had since.
    fn is_gone(&self, seen: Option<Seen>) -> bool {
        seen.is_none_or(|seen| {
            self.wall_ms.saturating_sub(seen.wall_ms) > GONE_MS
                || self.others.total_ms().saturating_sub(seen.others_ms) > GONE_MS
        })
    }

    fn restart(&mut self, sample: &Sample) {
        (self.video, self.audio) = (Clock::default(), Clock::default());
        // Whether there are pictures is a property of the stream, not of the file.
        self.others.restart();
        if sample.track_id != 0 {
            self.others.push(sample, self.wall_ms, 0);
        }
        self.first_tag = Some(sample.position);
        self.has_frames = false;
    }

    /// A track's clock with the frame counted in. The time that the file had before its first frame
    /// is that of the other tracks.
    fn counted(&self, clock: &Clock, sample: &Sample) -> Clock {
        let mut clock = *clock;
        if clock.last.is_none() {
            clock.elapsed_ms = clock.elapsed_ms.max(self.others.elapsed_ms());
        }
        clock.advance(sample.dts_ms, self.wall_ms);
        Clock { codec: Some(sample.codec), before: None, ..clock }
    }

    fn count(&mut self, sample: &Sample) {
        (self.has_frames, self.has_frames_of_session) = (true, true);
        if sample.track_id != 0 {
            return;
        }
        let Some(counted) = self.clock(sample.track).map(|clock| self.counted(clock, sample))
        else {
            return;
        };
        let seen = Some(Seen { wall_ms: self.wall_ms, others_ms: self.others.total_ms() });
        match sample.track {
            Track::Video => (self.video, self.video_seen) = (counted, seen),
            Track::Audio => (self.audio, self.audio_seen) = (counted, seen),
            Track::Script => {}
        }
        self.tag = Some(sample.position);
    }
}

#[cfg(test)]
mod tests;
