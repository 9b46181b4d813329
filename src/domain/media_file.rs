//! A media file: one product in VOD storage. Its row is the unit of truth.

use serde::{Deserialize, Serialize};

use crate::media::hls::SegmentType;

use super::{
    container::Container,
    cos_path,
    ids::{DecimalId, FileId, RecordingId},
    recording::{Origin, Span},
    stream::StreamPath,
};

/// Where a media file is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaFileState {
    /// Its stretch of the journal still grows.
    Recording,
    /// Its stretch is complete; the product is to be made and stored.
    Ended,
    /// Stored, committed, announced.
    Stored,
    /// Cannot be made in this container; `error` says why. The journal is kept for `journal.retention`, and
    /// for a week at least.
    Failed,
    /// Nothing to store: in its stretch lies nothing, or headers alone.
    Empty,
    /// Deleted through the API or expired.
    Deleted,
}

impl MediaFileState {
    /// Every state, for metrics.
    pub const ALL: [MediaFileState; 6] = [
        MediaFileState::Recording,
        MediaFileState::Ended,
        MediaFileState::Stored,
        MediaFileState::Failed,
        MediaFileState::Empty,
        MediaFileState::Deleted,
    ];

    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            MediaFileState::Recording => "recording",
            MediaFileState::Ended => "ended",
            MediaFileState::Stored => "stored",
            MediaFileState::Failed => "failed",
            MediaFileState::Empty => "empty",
            MediaFileState::Deleted => "deleted",
        }
    }

    /// Parses [`MediaFileState::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// How far delivery is with a file; what [`MediaFileState`] says changes only with the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryProgress {
    /// Nothing is in the store.
    Waiting,
    /// An upload in parts is open.
    Uploading,
    /// All objects are in the store, complete.
    Stored,
    /// What the store has was found to be what was sent.
    Verified,
    /// Visible in the VOD API, event 100 in the outbox.
    Announced,
}

impl DeliveryProgress {
    /// Every step, in order.
    pub const ALL: [DeliveryProgress; 5] = [
        DeliveryProgress::Waiting,
        DeliveryProgress::Uploading,
        DeliveryProgress::Stored,
        DeliveryProgress::Verified,
        DeliveryProgress::Announced,
    ];

    /// The text in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryProgress::Waiting => "",
            DeliveryProgress::Uploading => "uploading",
            DeliveryProgress::Stored => "stored",
            DeliveryProgress::Verified => "verified",
            DeliveryProgress::Announced => "announced",
        }
    }

    /// The word for it outside the database.
    pub fn name(self) -> &'static str {
        match self {
            DeliveryProgress::Waiting => "waiting",
            progress => progress.as_str(),
        }
    }

    /// Parses [`DeliveryProgress::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

/// What was measured while the product was made; answered by the VOD API and in event 100.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MediaFacts {
    /// Bytes of all objects of the file.
    pub size_bytes: u64,
    /// Media duration in milliseconds.
    pub duration_ms: i64,
    /// Presentation time of the first frame on the encoder's clock, milliseconds.
    pub first_pts_ms: i64,
    /// Unix milliseconds at which the first byte arrived.
    pub start_ms: i64,
    /// Unix milliseconds at which the last byte arrived.
    pub end_ms: i64,
    /// Constant added to the encoder's times in this file, milliseconds.
    pub shift_ms: i64,
    /// Codec name of the pictures, empty if none.
    pub video_codec: String,
    /// Codec name of the sound, empty if none.
    pub audio_codec: String,
    /// Picture width, 0 if unknown.
    pub width: u32,
    /// Picture height, 0 if unknown.
    pub height: u32,
    /// Kind of high dynamic range, `hdr10` or `hlg`; empty if none is said.
    pub high_range: String,
    /// Frames per second, rounded.
    pub fps: u32,
    /// Sampling rate in Hz.
    pub sampling_rate: u32,
    /// Video frames.
    pub video_frames: u64,
    /// Audio frames.
    pub audio_frames: u64,
    /// Bytes of coded video.
    pub video_bytes: u64,
    /// Bytes of coded audio.
    pub audio_bytes: u64,
    /// Objects stored, playlist and segments included.
    pub objects: u32,
    /// What the media segments of an HLS file are.
    pub segment_type: SegmentType,
    /// Initialisation segments among the objects.
    pub init_segments: u32,
    /// Things worth knowing, in words: absorbed backward steps, hidden lead-in, ...
    pub irregularities: Vec<String>,
}

/// What the playlist of an HLS file says of a segment, noted as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotedSegment {
    /// Length in milliseconds.
    pub duration_ms: u64,
    /// It does not continue the segment before.
    pub is_discontinuous: bool,
    /// The initialisation segment that begins to hold with it, if one does.
    pub init: Option<u64>,
}

/// One media file.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaFile {
    /// Id.
    pub id: FileId,
    /// The recording it is a file of.
    pub recording: RecordingId,
    /// 0, 1, 2, ... within the recording.
    pub ordinal: i64,
    /// Node whose disk has the journal.
    pub node_id: String,
    /// The stream.
    pub path: StreamPath,
    /// Container.
    pub container: Container,
    /// Who asked for it.
    pub origin: Origin,
    /// The vendor's recording session id.
    pub session_id: DecimalId,
    /// Template id, 0 for the default profile.
    pub template_id: i64,
    /// VOD application, never 0: the main one is `api.app_id`.
    pub sub_app_id: u64,
    /// Raw query of the push.
    pub stream_param: String,
    /// Where in the journals: in order.
    pub spans: Vec<Span>,
    /// State.
    pub state: MediaFileState,
    /// Why it failed, empty otherwise.
    pub error: String,
    /// Name shown in the VOD API.
    pub name: String,
    /// Pattern of the folder that its objects lie in; empty for the one of its stream.
    pub cos_bucket_path: String,
    /// The times in that folder are shown so many seconds east of UTC.
    pub utc_offset_s: i32,
    /// Main object (for HLS the playlist); empty until stored.
    pub storage_key: String,
    /// What was measured; defaults until stored.
    pub facts: MediaFacts,
    /// Unix milliseconds at which it expires; 0 never.
    pub expire_ms: i64,
    /// Storage class: `STANDARD` or `STANDARD_IA`.
    pub storage_class: String,
    /// VOD category.
    pub class_id: i64,
    /// Unix milliseconds.
    pub created_ms: i64,
    /// Unix milliseconds.
    pub updated_ms: i64,
}

impl MediaFile {
    /// The folders inside each other that its own lies in, the outermost first.
    pub fn folders(&self) -> Vec<String> {
        let StreamPath { domain, app, stream } = &self.path;
        let (session_id, id) = (self.session_id.to_string(), self.id.to_string());
        let names = cos_path::Names {
            domain: domain.as_str(),
            app: app.as_str(),
            stream: stream.as_str(),
            record_id: self.origin.task_id().unwrap_or(&session_id),
            random_id: &id,
            start_ms: self.facts.start_ms,
            end_ms: self.facts.end_ms,
            utc_offset_s: self.utc_offset_s,
        };
        match cos_path::folders(&self.cos_bucket_path, &names) {
            folders if folders.is_empty() => {
                [names.domain, names.app, names.stream].map(ToOwned::to_owned).to_vec()
            }
            folders => folders,
        }
    }

    /// Whether its end must be known before the first of its objects can be stored.
    pub fn waits_for_its_end(&self) -> bool {
        cos_path::needs_end(&self.cos_bucket_path)
    }
}
