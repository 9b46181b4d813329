//! How far a live journal has come, as its followers see it.

use crate::{
    domain::stall::StoreFailure,
    media::sample::{Codec, Sample, SampleKind, Track},
};

/// A place in a journal with the times that belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Logical position of the tag.
    pub position: u64,
    /// Unix milliseconds of its arrival.
    pub wall_ms: i64,
    /// Its decoding time in milliseconds.
    pub dts_ms: i64,
}

/// A video track that sent nothing for so long has ended; another may lead.
const GONE_MS: i64 = 60_000;

/// The video track whose key frames count: the default one or, where that never came or ended, the
/// one with the lowest id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead {
    /// Its id.
    pub track_id: u8,
    /// Unix milliseconds of its last frame.
    pub wall_ms: i64,
}

/// How far a live journal has come. Everything in it is about tags that lie before `written`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Logical position up to which data and index can be read.
    pub written: u64,
    /// The last key frame of the default video track, or of the one that leads in its place.
    pub last_keyframe: Option<Mark>,
    /// That track; `None` while there was no picture.
    pub lead: Option<Lead>,
    /// The last audio frame of the default audio track.
    pub last_audio: Option<Mark>,
    /// Codec of the last video frame or configuration; `None` while there was none.
    pub video: Option<Codec>,
    /// Codec of the last audio frame or configuration; `None` while there was none.
    pub audio: Option<Codec>,
    /// True when there was a video frame.
    pub has_video: bool,
    /// True when there was an audio frame.
    pub has_audio: bool,
    /// Unix milliseconds of the last arrival.
    pub wall_ms: i64,
    /// How many notes there are.
    pub notes: u64,
    /// Present once the disk took nothing for so long that the publisher was sent away.
    pub failure: Option<StoreFailure>,
    /// True when nothing more will come and all of it has been synced. A writer that is dropped
    /// without this closes the channel instead.
    pub closed: bool,
}

impl Progress {
    /// Takes in a sample of a tag that arrived at `wall_ms`.
    pub(super) fn observe(&mut self, sample: &Sample, wall_ms: i64) {
        let mark = Mark { position: sample.position, wall_ms, dts_ms: sample.dts_ms };
        let is_frame = sample.kind == SampleKind::Frame;
        if !is_frame && sample.kind != SampleKind::Config {
            return;
        }
        match sample.track {
            Track::Video => {
                self.video = Some(sample.codec);
                self.has_video |= is_frame;
                if is_frame && self.leads(sample.track_id, wall_ms) && sample.keyframe {
                    self.last_keyframe = Some(mark);
                }
            }
            Track::Audio => {
                self.audio = Some(sample.codec);
                self.has_audio |= is_frame;
                if is_frame && sample.track_id == 0 {
                    self.last_audio = Some(mark);
                }
            }
            Track::Script => {}
        }
    }

    /// Whether the track of a video frame leads, now that this frame is there.
    fn leads(&mut self, track_id: u8, wall_ms: i64) -> bool {
        let has_other = self.lead.is_some_and(|lead| lead.track_id != track_id);
        let yields = self.lead.is_none_or(|lead| {
            track_id <= lead.track_id || wall_ms.saturating_sub(lead.wall_ms) > GONE_MS
        });
        if yields {
            self.lead = Some(Lead { track_id, wall_ms });
            // A recording begins with pictures of the track that it will be cut by.
            self.last_keyframe = self.last_keyframe.filter(|_| !has_other);
        }
        yields
    }
}
