//! What is measured of a media file while its samples are walked for the first time.
//!
//! Counts and times only, no bytes. The result is answered by the VOD API and by event 100.

use std::collections::BTreeMap;

use crate::{
    domain::media_file::MediaFacts,
    media::{
        config::Configs,
        frame_head::{FrameHead, describes_itself},
        picture_form::PictureForm,
        sample::{Codec, Sample, SampleKind, Track},
    },
};

/// Most frames that are looked into.
const MAX_LOOKS: u32 = 1000;

/// Times and amounts of one track.
#[derive(Debug, Default)]
struct TrackFacts {
    /// Of the first frame.
    codec: Option<Codec>,
    /// Of the frames that came with another one: each once.
    further_codecs: Vec<Codec>,
    frames: u64,
    bytes: u64,
    first_pts_ms: Option<i64>,
    end_pts_ms: i64,
    last_dts_ms: i64,
    delta_ms: i64,
}

impl TrackFacts {
    fn push(&mut self, sample: &Sample) {
        let pts_ms = sample.pts_ms();
        if self.frames > 0 {
            // A forward gap is not the length of a frame: the last length that was plausible counts.
            let delta_ms = sample.dts_ms.saturating_sub(self.last_dts_ms);
            if (1..=1000).contains(&delta_ms) {
                self.delta_ms = delta_ms;
            }
        }
        let first = *self.codec.get_or_insert(sample.codec);
        if first != sample.codec && !self.further_codecs.contains(&sample.codec) {
            self.further_codecs.push(sample.codec);
        }
        self.frames += 1;
        self.bytes += u64::from(sample.data_len);
        self.last_dts_ms = sample.dts_ms;
        self.first_pts_ms = Some(self.first_pts_ms.map_or(pts_ms, |first| first.min(pts_ms)));
        self.end_pts_ms = match self.frames {
            1 => pts_ms,
            _ => self.end_pts_ms.max(pts_ms),
        };
    }

    fn codecs(&self) -> impl Iterator<Item = Codec> {
        self.codec.into_iter().chain(self.further_codecs.iter().copied())
    }
}

/// Collects [`MediaFacts`].
#[derive(Debug, Default)]
pub struct Facts {
    video: TrackFacts,
    audio: TrackFacts,
    /// The tracks beside the default ones, by kind and number.
    others: BTreeMap<(Track, u8), TrackFacts>,
    width: u32,
    height: u32,
    sampling_rate: u32,
    high_range: Option<&'static str>,
    /// Frames looked into for what no configuration says; garbage must not be read for ever.
    looks: u32,
}

impl Facts {
    /// Takes in the configurations that the following samples refer to; the first known size and
    /// rate are kept.
    pub fn push_configs(&mut self, configs: &Configs) {
        for (_, config) in configs.iter().filter(|(_, config)| config.track_id == 0) {
            let Ok(parsed) = config.parse() else { continue };
            self.learn(parsed.dimensions(), parsed.sampling_rate());
            self.learn_form(parsed.form());
        }
    }

    fn learn(&mut self, dimensions: Option<(u32, u32)>, sampling_rate: Option<u32>) {
        if let (0, Some((width, height))) = (self.width, dimensions) {
            (self.width, self.height) = (width, height);
        }
        if let (0, Some(rate)) = (self.sampling_rate, sampling_rate) {
            self.sampling_rate = rate;
        }
    }

    fn learn_form(&mut self, form: PictureForm) {
        self.high_range = self.high_range.or_else(|| form.color?.high_range());
    }

    /// True if the beginning of the sample's data may say what its configuration does not; it is
    /// then wanted by [`Facts::push`].
    pub fn wants_frame(&self, sample: &Sample) -> bool {
        let is_open = match sample.track {
            Track::Video => sample.is_video_frame() && sample.keyframe && self.width == 0,
            Track::Audio => sample.is_audio_frame() && self.sampling_rate == 0,
            Track::Script => false,
        };
        is_open && self.looks < MAX_LOOKS && describes_itself(sample.codec)
    }

    /// Takes in a sample; `head` is the beginning of its data, if that was read.
    pub fn push(&mut self, sample: &Sample, head: &[u8]) {
        if sample.track_id != 0 {
            if sample.kind == SampleKind::Frame {
                self.others.entry((sample.track, sample.track_id)).or_default().push(sample);
            }
            return;
        }
        if self.wants_frame(sample) {
            self.looks += 1;
            if let Some(head) = FrameHead::parse(sample.codec, head) {
                self.learn(head.dimensions(), head.sampling_rate());
                self.learn_form(head.form().unwrap_or_default());
            }
        }
        if sample.is_video_frame() {
            self.video.push(sample);
        } else if sample.is_audio_frame() {
            self.audio.push(sample);
        }
    }

    /// Frames seen.
    pub fn frames(&self) -> u64 {
        self.video.frames + self.audio.frames
    }

    /// The codecs of all frames seen, each track's in the order of their first frames.
    pub fn codecs(&self) -> Vec<Codec> {
        self.video.codecs().chain(self.audio.codecs()).collect()
    }

    /// The codecs of the sound, none if there is no sound.
    pub fn audio_codecs(&self) -> Vec<Codec> {
        self.audio.codecs().collect()
    }

    /// Completes `facts`, which has the arrival times already. `paused_ms` before the last frame of a
    /// default track have no media. A product that `has_all_tracks` lasts until the end of the last.
    pub fn complete(
        self,
        mut facts: MediaFacts,
        paused_ms: i64,
        has_all_tracks: bool,
    ) -> MediaFacts {
        let used = || [&self.video, &self.audio].into_iter().filter(|t| t.frames > 0);
        let others = || self.others.values().filter(|_| has_all_tracks);
        let (first, end) = extent(used().chain(others()));
        let (first_default, end_default) = extent(used());
        let name = |t: &TrackFacts| t.codec.map_or_else(String::new, |c| c.as_str().to_owned());
        facts.first_pts_ms = first;
        facts.duration_ms = end.saturating_sub(first);
        facts.video_codec = name(&self.video);
        facts.audio_codec = name(&self.audio);
        if self.video.frames > 0 {
            (facts.width, facts.height) = (self.width, self.height);
            facts.high_range = self.high_range.unwrap_or_default().to_owned();
            let default_ms = end_default.saturating_sub(first_default);
            let filled_ms = default_ms.saturating_sub(paused_ms).max(1);
            let seconds = (filled_ms as f64) / 1000.0;
            facts.fps = (self.video.frames as f64 / seconds).round().min(1000.0) as u32;
        }
        if self.audio.frames > 0 {
            facts.sampling_rate = self.sampling_rate;
        }
        facts.video_frames = self.video.frames;
        facts.audio_frames = self.audio.frames;
        facts.video_bytes = self.video.bytes;
        facts.audio_bytes = self.audio.bytes;
        facts
    }
}

/// From the first presentation of these tracks to the end of the last.
fn extent<'a>(tracks: impl Iterator<Item = &'a TrackFacts> + Clone) -> (i64, i64) {
    let first = tracks.clone().filter_map(|t| t.first_pts_ms).min().unwrap_or(0);
    let end = tracks.map(|t| t.end_pts_ms.saturating_add(t.delta_ms)).max().unwrap_or(first);
    (first, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::testing;

    fn frame(track: Track, dts_ms: i64, cts_ms: i32) -> Sample {
        Sample { cts_ms, ..testing::frame(track, dts_ms) }
    }

    #[test]
    fn the_last_frame_has_the_length_of_its_track_not_of_a_gap() {
        let mut facts = Facts::default();
        for dts in [0, 40, 80, 10_800_080] {
            facts.push(&frame(Track::Video, dts, 40), &[]);
        }
        facts.push(&frame(Track::Audio, 20, 0), &[]);
        let done = facts.complete(MediaFacts::default(), 10_800_000 - 40, false);
        assert_eq!(done.fps, 22, "4 pictures in 180 ms");
        assert_eq!(done.first_pts_ms, 20);
        assert_eq!(done.duration_ms, 10_800_080 + 40 + 40 - 20);
        assert_eq!((done.video_frames, done.audio_frames), (4, 1));
        assert_eq!((done.video_bytes, done.audio_bytes), (40, 10));
    }

    #[test]
    fn every_codec_is_told_once() {
        let mut facts = Facts::default();
        for codec in [Codec::Aac, Codec::Opus, Codec::Aac, Codec::Opus] {
            facts.push(&Sample { codec, ..frame(Track::Audio, 0, 0) }, &[]);
        }
        facts.push(&frame(Track::Video, 0, 0), &[]);
        assert_eq!(facts.codecs(), [Codec::H264, Codec::Aac, Codec::Opus]);
        assert_eq!(facts.audio_codecs(), [Codec::Aac, Codec::Opus]);
        assert_eq!(facts.complete(MediaFacts::default(), 0, false).audio_codec, "aac");
    }
}
