//! A media file as the VOD API shows it: the object MediaInfo (spec vod-api 5).
//!
//! Types are exact, because the vendor's Go SDK refuses a number where it expects a text and the
//! other way round; sections that were not asked for or that this server does not have are null.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use crate::{
    api::error::{ApiError, Result, shown},
    domain::{container::Container, media_file::MediaFile},
    storage::StorageKey,
};

/// What the vendor writes for "never".
const NEVER: &str = "9999-12-31T23:59:59Z";

/// The sections that can be asked for and are empty here.
const OTHER_SECTIONS: [&str; 12] = [
    "transcodeInfo",
    "animatedGraphicsInfo",
    "imageSpriteInfo",
    "snapshotByTimeOffsetInfo",
    "sampleSnapshotInfo",
    "keyFrameDescInfo",
    "adaptiveDynamicStreamingInfo",
    "miniProgramReviewInfo",
    "subtitleInfo",
    "reviewInfo",
    "mpsAiMediaInfo",
    "knowledgeBasesInfo",
];

/// The sections to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sections {
    has_basic: bool,
    has_meta: bool,
}

impl Sections {
    /// Reads `Filters`; none or an empty list is all of them.
    pub fn parse(filters: Option<Vec<String>>) -> Result<Self> {
        let filters = filters.unwrap_or_default();
        let mut sections = Self { has_basic: filters.is_empty(), has_meta: filters.is_empty() };
        for filter in &filters {
            let is = |name: &str| filter.eq_ignore_ascii_case(name);
            if is("basicInfo") {
                sections.has_basic = true;
            } else if is("metaData") {
                sections.has_meta = true;
            } else if !OTHER_SECTIONS.into_iter().any(is) {
                let message = format!("`Filters`: there is no section {}.", shown(filter));
                return Err(ApiError::invalid_value(message));
            }
        }
        Ok(sections)
    }
}

/// The object MediaInfo of a stored file.
pub fn media_info(file: &MediaFile, sections: Sections, public_url: &str) -> Value {
    json!({
        "FileId": file.id.to_string(),
        "BasicInfo": sections.has_basic.then(|| basic_info(file, public_url)),
        "MetaData": sections.has_meta.then(|| meta_data(file)),
        "TranscodeInfo": null,
        "AnimatedGraphicsInfo": null,
        "SampleSnapshotInfo": null,
        "ImageSpriteInfo": null,
        "SnapshotByTimeOffsetInfo": null,
        "KeyFrameDescInfo": null,
        "AdaptiveDynamicStreamingInfo": null,
        "MiniProgramReviewInfo": null,
        "SubtitleInfo": null,
        "ReviewInfo": null,
        "MPSAiMediaInfo": null,
        "ImageUnderstandingInfo": null,
        "KnowledgeBasesInfo": null,
        "FaceRecognitionInfo": null,
    })
}

fn basic_info(file: &MediaFile, public_url: &str) -> Value {
    let has_pictures = !file.facts.video_codec.is_empty();
    let is_audio = file.container == Container::Aac || !has_pictures;
    let url = match StorageKey::parse(&file.storage_key) {
        Ok(key) => format!("{public_url}/vod/{}", key.url_path()),
        Err(_) => String::new(),
    };
    let expires = match file.expire_ms {
        0 => NEVER.to_owned(),
        ms => iso_time(ms),
    };
    json!({
        "Name": file.name,
        "Description": "",
        "CreateTime": iso_time(file.created_ms),
        "UpdateTime": iso_time(file.updated_ms),
        "ExpireTime": expires,
        "ClassId": file.class_id,
        "ClassName": "",
        "ClassPath": "",
        "CoverUrl": "",
        "Type": file.container.as_str(),
        "MediaUrl": url,
        "SourceInfo": {
            "SourceType": "Record",
            "SourceContext": "",
            "LiveRecordInfo": {
                "StreamId": file.path.stream.as_str(),
                "Domain": file.path.domain.as_str(),
                "Path": file.path.app.as_str(),
                "RecordStartTime": iso_time(file.facts.start_ms),
                "RecordEndTime": iso_time(file.facts.end_ms),
            },
            "TrtcRecordInfo": null,
            "WebPageRecordInfo": null,
        },
        "StorageRegion": "",
        "StoragePath": "",
        "TagSet": [],
        "Vid": file.id.to_string(),
        "Category": if is_audio { "Audio" } else { "Video" },
        "Status": "Normal",
        "StorageClass": file.storage_class,
    })
}

fn meta_data(file: &MediaFile) -> Value {
    let facts = &file.facts;
    let seconds = facts.duration_ms.max(0) as f64 / 1000.0;
    let bits_per_second = |bytes: u64| match u64::try_from(facts.duration_ms) {
        Ok(ms) if ms > 0 => bytes.saturating_mul(8000) / ms,
        _ => 0,
    };
    let (mut video, mut audio) = (Vec::new(), Vec::new());
    if !facts.video_codec.is_empty() {
        let is_hevc = facts.video_codec == "hevc";
        video.push(json!({
            "Bitrate": bits_per_second(facts.video_bytes),
            "Height": facts.height,
            "Width": facts.width,
            "Codec": facts.video_codec,
            "Fps": facts.fps,
            "CodecTag": if is_hevc && file.container == Container::Mp4 { "hvc1" } else { "" },
            "DynamicRangeInfo": {
                "Type": if facts.high_range.is_empty() { "SDR" } else { "HDR" },
                "HDRType": facts.high_range,
            },
        }));
    }
    if !facts.audio_codec.is_empty() {
        audio.push(json!({
            "Bitrate": bits_per_second(facts.audio_bytes),
            "SamplingRate": facts.sampling_rate,
            "Codec": facts.audio_codec,
        }));
    }
    json!({
        "Size": facts.size_bytes,
        "Container": file.container.as_str(),
        "Bitrate": bits_per_second(facts.video_bytes.saturating_add(facts.audio_bytes)),
        "Height": facts.height,
        "Width": facts.width,
        "Duration": seconds,
        "Rotate": 0,
        "VideoDuration": if video.is_empty() { 0.0 } else { seconds },
        "AudioDuration": if audio.is_empty() { 0.0 } else { seconds },
        "VideoStreamSet": video,
        "AudioStreamSet": audio,
        "Md5": "",
    })
}

/// ISO 8601 in UTC, whole seconds; what the calendar does not reach is the vendor's "never".
fn iso_time(unix_ms: i64) -> String {
    const LAST_MS: i64 = 253_402_300_799_000;
    match DateTime::from_timestamp_millis(unix_ms.min(LAST_MS)) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::Secs, true),
        None => NEVER.to_owned(),
    }
}
