//! What is irregular about a push while it runs: events 321 and 341 (spec live-api 11.4, 11.5).
//!
//! Pure and fed with every sample of a session in journal order, as [`super::tracker`] is, so that
//! a journal read again after a crash tells the same. It looks at times and codecs only; nothing it
//! finds changes what is recorded.
//!
//! However broken an encoder is, it does not flood: what is found is collected, told 5 s after the
//! first of it, then at most once a minute, and at the end of the push. A report has each kind once
//! with its count, so a stream causes at most one event 321 and one event 341 for every kind and
//! recording a minute, and the same once more when it ends.

use std::collections::BTreeMap;

use crate::{
    domain::{
        callback::{Abnormal, PushException, RecordException},
        container::Container,
    },
    media::sample::{CLOCK_JUMP_MS, Codec, Sample, SampleKind, Track},
};

/// What is found is collected for this long before it is told.
const COLLECT_MS: i64 = 5_000;
/// Between two reports.
const PAUSE_MS: i64 = 60_000;
/// A step forward above this is a jump.
const JUMP_MS: i64 = 1_000;
/// Pictures are missing when there was so much sound without one.
const NO_VIDEO_MS: i64 = 3_000;
/// Sound is missing when there were pictures for so long without any.
const NO_AUDIO_MS: i64 = 1_000;
/// A longer distance between key frames is told.
const LONG_GOP_MS: i64 = 10_000;
/// Occurrences of a kind that a report describes; the others are counted.
const MAX_DETAILS: usize = 5;

/// What was found since the last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Journal position up to which this tells everything.
    pub position: u64,
    /// Unix milliseconds, to the second.
    pub at_ms: i64,
    /// For event 321.
    pub push: Vec<Abnormal>,
    /// For events 341: what, how often, and a sentence about the first.
    pub record: Vec<(RecordException, u64, String)>,
}

impl Report {
    /// What concerns a recording of this container: pictures are nothing to one of sound alone.
    pub fn of_container(
        &self,
        container: Container,
    ) -> impl Iterator<Item = &(RecordException, u64, String)> {
        self.record.iter().filter(move |(what, ..)| {
            let is_of_sound = matches!(
                what,
                RecordException::AudioJump
                    | RecordException::AudioBack
                    | RecordException::NoAudio
                    | RecordException::CodecChange
            );
            is_of_sound || container != Container::Aac
        })
    }
}

#[derive(Debug, Default)]
struct TrackWatch {
    last_dts_ms: Option<i64>,
    codec: Option<Codec>,
    /// Media time of the other track since the last frame of this one.
    alone_ms: i64,
    is_missing: bool,
    is_headless: bool,
    /// Since the last key frame, if there was one.
    gop_ms: Option<i64>,
    is_long_gop: bool,
}

/// The state of one session while its journal is read.
#[derive(Debug)]
pub struct Watch {
    /// Everything before this position was told by an earlier reader.
    told_to: Option<u64>,
    wall_ms: i64,
    video: TrackWatch,
    audio: TrackWatch,
    size: (u32, u32),
    push: BTreeMap<PushException, (u64, Vec<(String, i64)>)>,
    record: BTreeMap<RecordException, (u64, String)>,
    first_ms: Option<i64>,
    report_ms: Option<i64>,
}

impl Watch {
    /// For a journal whose first tag arrived at `wall_ms` (unix milliseconds).
    pub fn new(wall_ms: i64) -> Self {
        Self {
            told_to: None,
            wall_ms,
            video: TrackWatch::default(),
            audio: TrackWatch::default(),
            size: (0, 0),
            push: BTreeMap::new(),
            record: BTreeMap::new(),
            first_ms: None,
            report_ms: None,
        }
    }

    /// What is found up to this position was told already.
    pub fn restore(&mut self, told_to: Option<u64>) {
        self.told_to = told_to;
    }

    /// Takes in the next sample; answers what is to be told now.
    pub fn push(&mut self, sample: &Sample) -> Option<Report> {
        match sample.kind {
            SampleKind::Clock => {
                self.wall_ms = sample.dts_ms;
                return self.is_due().then(|| self.report(sample.position)).flatten();
            }
            SampleKind::Frame if sample.track_id == 0 => match sample.track {
                Track::Video => self.video_frame(sample),
                Track::Audio => self.audio_frame(sample),
                Track::Script => {}
            },
            _ => {}
        }
        None
    }

    /// The configuration of the pictures at a position; `None` if it cannot be read.
    pub fn video_header(&mut self, position: u64, size: Option<(u32, u32)>) {
        let Some(size) = size else {
            let what = "the sequence header cannot be read".to_owned();
            return self.find(position, Some(PushException::BadVideoHeader), None, what);
        };
        if self.size != (0, 0) && self.size != size && size != (0, 0) {
            let (from, to) = (self.size, size);
            let what = format!("from {}x{} to {}x{}", from.0, from.1, to.0, to.1);
            self.find(position, None, Some(RecordException::ResolutionChange), what);
        }
        if size != (0, 0) {
            self.size = size;
        }
    }

    /// The journal ends at `position`: what is left to be told.
    pub fn finish(&mut self, position: u64) -> Option<Report> {
        self.report(position)
    }

    fn video_frame(&mut self, sample: &Sample) {
        use {PushException as P, RecordException as R};
        let step = self.step(sample, Track::Video);
        self.clock(sample, step, (P::VideoBack, R::VideoBack), (P::VideoJump, R::VideoJump));
        self.codec(sample, P::VideoCodecChange, P::NoVideoHeader);
        let forward = step.unwrap_or(0).clamp(0, CLOCK_JUMP_MS);
        if sample.keyframe {
            self.video.gop_ms = Some(0);
            self.video.is_long_gop = false;
        } else if let Some(gop_ms) = &mut self.video.gop_ms {
            *gop_ms += forward;
            if *gop_ms > LONG_GOP_MS && !self.video.is_long_gop {
                self.video.is_long_gop = true;
                let what = format!("no key frame for more than {} s", LONG_GOP_MS / 1000);
                self.find(sample.position, Some(P::LongGop), Some(R::LongGop), what);
            }
        }
        if forward <= JUMP_MS && self.audio.last_dts_ms.is_some() {
            self.audio.alone_ms += forward;
            if self.audio.alone_ms > NO_AUDIO_MS && !self.audio.is_missing {
                self.audio.is_missing = true;
                let what = format!("no sound beside {} ms of pictures", self.audio.alone_ms);
                self.find(sample.position, Some(P::NoAudio), Some(R::NoAudio), what);
            }
        }
        (self.video.alone_ms, self.video.is_missing) = (0, false);
    }

    fn audio_frame(&mut self, sample: &Sample) {
        use {PushException as P, RecordException as R};
        let step = self.step(sample, Track::Audio);
        self.clock(sample, step, (P::AudioBack, R::AudioBack), (P::AudioJump, R::AudioJump));
        self.codec(sample, P::AudioCodecChange, P::NoAudioHeader);
        let forward = step.unwrap_or(0).clamp(0, CLOCK_JUMP_MS);
        if forward <= JUMP_MS && self.video.last_dts_ms.is_some() {
            self.video.alone_ms += forward;
            if self.video.alone_ms > NO_VIDEO_MS && !self.video.is_missing {
                self.video.is_missing = true;
                let what = format!("no picture beside {} ms of sound", self.video.alone_ms);
                self.find(sample.position, Some(P::NoVideo), Some(R::NoVideo), what);
            }
        }
        (self.audio.alone_ms, self.audio.is_missing) = (0, false);
    }

    /// How far the clock of a track went with this frame; `None` for its first.
    fn step(&mut self, sample: &Sample, track: Track) -> Option<i64> {
        let watch = if track == Track::Video { &mut self.video } else { &mut self.audio };
        let last = watch.last_dts_ms.replace(sample.dts_ms)?;
        Some(sample.dts_ms.saturating_sub(last))
    }

    fn clock(
        &mut self,
        sample: &Sample,
        step: Option<i64>,
        back: (PushException, RecordException),
        jump: (PushException, RecordException),
    ) {
        let Some(step) = step else { return };
        let (at, last) = (sample.dts_ms, sample.dts_ms.saturating_sub(step));
        if step < 0 {
            let what = format!("from {last} to {at} ms");
            self.find(sample.position, Some(back.0), Some(back.1), what);
        } else if step > JUMP_MS {
            let what = format!("from {last} to {at} ms");
            self.find(sample.position, Some(jump.0), Some(jump.1), what);
        }
    }

    fn codec(&mut self, sample: &Sample, change: PushException, no_header: PushException) {
        let watch = match sample.track {
            Track::Video => &mut self.video,
            Track::Audio | Track::Script => &mut self.audio,
        };
        let before = watch.codec.replace(sample.codec);
        let needs_header = matches!(sample.codec, Codec::H264 | Codec::Hevc | Codec::Aac);
        let lacks_header = needs_header && sample.config == 0;
        let is_new_lack = lacks_header && !std::mem::replace(&mut watch.is_headless, lacks_header);
        let codec = sample.codec.as_str();
        if is_new_lack {
            let what = format!("{codec} without a sequence header");
            self.find(sample.position, Some(no_header), None, what);
        }
        if before == Some(sample.codec) {
            return;
        }
        if let Some(before) = before {
            let what = format!("from {} to {codec}", before.as_str());
            self.find(sample.position, Some(change), Some(RecordException::CodecChange), what);
        }
        if matches!(sample.codec, Codec::Legacy | Codec::Unknown | Codec::Vp8) {
            let what = format!(
                "{codec} in the {} track",
                match sample.track {
                    Track::Video => "video",
                    Track::Audio | Track::Script => "audio",
                }
            );
            self.find(sample.position, Some(PushException::UncommonCodec), None, what);
        }
    }

    fn find(
        &mut self,
        position: u64,
        push: Option<PushException>,
        record: Option<RecordException>,
        what: String,
    ) {
        if self.told_to.is_some_and(|told_to| position <= told_to) {
            return;
        }
        self.first_ms.get_or_insert(self.wall_ms);
        if let Some(kind) = record {
            self.record.entry(kind).or_insert_with(|| (0, what.clone())).0 += 1;
        }
        if let Some(kind) = push {
            let (count, details) = self.push.entry(kind).or_default();
            *count += 1;
            if details.len() < MAX_DETAILS {
                details.push((what, self.wall_ms));
            }
        }
    }

    /// A clock that was set counts as time that passed, in either direction.
    fn is_due(&self) -> bool {
        let passed = |since: Option<i64>, ms: i64| {
            since.is_none_or(|since| self.wall_ms.abs_diff(since) >= ms.unsigned_abs())
        };
        self.first_ms.is_some()
            && passed(self.first_ms, COLLECT_MS)
            && passed(self.report_ms, PAUSE_MS)
    }

    fn report(&mut self, position: u64) -> Option<Report> {
        self.first_ms.take()?;
        self.report_ms = Some(self.wall_ms);
        let push = std::mem::take(&mut self.push)
            .into_iter()
            .map(|(what, (count, detail))| Abnormal { what, count, detail })
            .collect();
        let record = std::mem::take(&mut self.record)
            .into_iter()
            .map(|(what, (count, first))| (what, count, first))
            .collect();
        Some(Report { position, at_ms: self.wall_ms, push, record })
    }
}

#[cfg(test)]
mod tests;
