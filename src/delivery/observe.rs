//! What is irregular in a file's samples, counted while they are walked for the first time.
//!
//! Looks at samples and configurations alone; changes and decides nothing.

use std::collections::BTreeMap;

use crate::{
    domain::verification::IrregularityKind::{self, *},
    media::{
        adts,
        config::{Configs, TrackConfig},
        frame_head::{OtherSound, SoundHeads},
        sample::{Codec, Sample, SampleKind, Track},
    },
};

/// Pictures without a key frame for longer than this are worth a remark.
const KEYFRAME_MAX_MS: i64 = 60_000;

/// Counts what is irregular.
#[derive(Debug, Default)]
pub(super) struct Observer {
    configs: Configs,
    counts: BTreeMap<IrregularityKind, u64>,
    /// Video, audio.
    tracks: [TrackState; 2],
    /// What frames of sound say of themselves.
    sound: SoundHeads,
    /// Decoding time of the last key frame or, without one, of the first picture of the push.
    key_ms: Option<i64>,
}

#[derive(Debug, Default)]
struct TrackState {
    /// Codec, ordinal of the configuration, and that configuration.
    last: Option<(Codec, u32, Option<TrackConfig>)>,
    /// Decoding time of the frame before, in the same push.
    dts_ms: Option<i64>,
}

impl Observer {
    /// The samples that follow are of another push and refer to these configurations.
    pub fn begin_span(&mut self, configs: &Configs) {
        self.configs = configs.clone();
        for track in &mut self.tracks {
            track.dts_ms = None;
            // An ordinal means something within its push only; what it stood for is remembered.
            if let Some((_, ordinal, _)) = &mut track.last {
                *ordinal = u32::MAX;
            }
        }
        self.key_ms = None;
    }

    /// More configurations of the same push have become known.
    pub fn add_configs(&mut self, configs: &Configs) {
        self.configs = configs.clone();
    }

    /// Takes in a sample.
    pub fn push(&mut self, sample: &Sample) {
        match sample.kind {
            SampleKind::EndOfSequence => self.count(EndOfSequence),
            SampleKind::Frame if sample.track_id != 0 => self.count(OtherTracks),
            SampleKind::Frame if sample.data_len > 0 => self.frame(sample),
            _ => {}
        }
    }

    /// Looks at a sample of a product that puts AAC behind ADTS headers: it has no room for frames
    /// that nothing has described yet, nor for those that are too long for a header.
    pub fn describe(&mut self, sample: &Sample) {
        if !sample.is_packet() || (sample.track, sample.codec) != (Track::Audio, Codec::Aac) {
            return;
        }
        if sample.config == 0 {
            self.count(UndescribedFrames);
        } else if adts::is_too_long(sample) {
            self.count(OversizedFrames);
        }
    }

    /// Looks at the beginning of a frame, if it is sound that says itself how it is coded.
    pub fn listen(&mut self, sample: &Sample, head: &[u8]) {
        // Another codec has been counted as one.
        if self.sound.push(sample, head) == Some(OtherSound::Parameters) {
            self.count(ParameterChange);
        }
    }

    fn frame(&mut self, sample: &Sample) {
        let [video, audio] = &mut self.tracks;
        let track = match sample.track {
            Track::Video => video,
            Track::Audio => audio,
            Track::Script => return,
        };
        let has_stepped_back = track.dts_ms.is_some_and(|before| sample.dts_ms < before);
        track.dts_ms = Some(sample.dts_ms);
        let has_changed = track.change(sample, &self.configs);
        if has_stepped_back {
            self.count(BackwardStep);
        }
        if has_changed {
            self.count(ParameterChange);
        }
        if sample.has_nanos {
            self.count(NanosecondOffset);
        }
        if sample.track == Track::Video {
            self.picture(sample);
        }
    }

    fn picture(&mut self, sample: &Sample) {
        let is_missing = match self.key_ms {
            None => !sample.keyframe,
            Some(key_ms) => sample.dts_ms.saturating_sub(key_ms) > KEYFRAME_MAX_MS,
        };
        if is_missing {
            self.count(MissingKeyframe);
        }
        // A stretch counts once a minute, however many pictures it has.
        if is_missing || sample.keyframe || self.key_ms.is_none() {
            self.key_ms = Some(sample.dts_ms);
        }
    }

    fn count(&mut self, kind: IrregularityKind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// How often each was seen.
    pub fn finish(self) -> BTreeMap<IrregularityKind, u64> {
        self.counts
    }
}

impl TrackState {
    /// Remembers what describes the frame; true if that is something else than before.
    fn change(&mut self, sample: &Sample, configs: &Configs) -> bool {
        if let Some((codec, ordinal, _)) = &self.last
            && (*codec, *ordinal) == (sample.codec, sample.config)
        {
            return false;
        }
        let config = configs.get(sample.config).cloned();
        let has_changed = match &self.last {
            None => false,
            Some((codec, ..)) if *codec != sample.codec => true,
            Some((_, _, before)) => match (before, &config) {
                (Some(before), Some(now)) => !before.same_parameters(now),
                // The first configuration explains the frames before it, too.
                _ => false,
            },
        };
        self.last = Some((sample.codec, sample.config, config));
        has_changed
    }
}

#[cfg(test)]
mod tests;
