//! Parameters and answers of [`crate::api::media_file`].

use super::{Kind, Object, Shape, any, int, list, number, object, text, uint};

/// TimeRange.
pub static TIME_RANGE: Object =
    Object { name: "TimeRange", fields: &[text("After"), text("Before")] };

/// SortBy.
pub static SORT_BY: Object =
    Object { name: "SortBy", fields: &[text("Field").required(), text("Order").required()] };

/// LiveRecordInfo.
pub static LIVE_RECORD_INFO: Object = Object {
    name: "LiveRecordInfo",
    fields: &[
        text("Domain"),
        text("Path"),
        text("StreamId"),
        text("RecordStartTime"),
        text("RecordEndTime"),
    ],
};

/// MediaSourceData.
pub static MEDIA_SOURCE_DATA: Object = Object {
    name: "MediaSourceData",
    fields: &[
        text("SourceType"),
        text("SourceContext"),
        object("LiveRecordInfo", &LIVE_RECORD_INFO),
        any("TrtcRecordInfo").nullable(),
        any("WebPageRecordInfo").nullable(),
    ],
};

/// MediaBasicInfo.
pub static MEDIA_BASIC_INFO: Object = Object {
    name: "MediaBasicInfo",
    fields: &[
        text("Name"),
        text("Description"),
        text("CreateTime"),
        text("UpdateTime"),
        text("ExpireTime"),
        int("ClassId"),
        text("ClassName"),
        text("ClassPath"),
        text("CoverUrl"),
        text("Type"),
        text("MediaUrl"),
        object("SourceInfo", &MEDIA_SOURCE_DATA),
        text("StorageRegion"),
        text("StoragePath"),
        list("TagSet", &Kind::Text),
        text("Vid"),
        text("Category"),
        text("Status"),
        text("StorageClass"),
    ],
};

/// DynamicRangeInfo.
pub static DYNAMIC_RANGE_INFO: Object =
    Object { name: "DynamicRangeInfo", fields: &[text("Type"), text("HDRType")] };

/// MediaVideoStreamItem.
pub static MEDIA_VIDEO_STREAM_ITEM: Object = Object {
    name: "MediaVideoStreamItem",
    fields: &[
        int("Bitrate"),
        int("Height"),
        int("Width"),
        text("Codec"),
        int("Fps"),
        text("CodecTag"),
        object("DynamicRangeInfo", &DYNAMIC_RANGE_INFO),
    ],
};

/// MediaAudioStreamItem.
pub static MEDIA_AUDIO_STREAM_ITEM: Object = Object {
    name: "MediaAudioStreamItem",
    fields: &[int("Bitrate"), int("SamplingRate"), text("Codec")],
};

/// MediaMetaData.
pub static MEDIA_META_DATA: Object = Object {
    name: "MediaMetaData",
    fields: &[
        int("Size"),
        text("Container"),
        int("Bitrate"),
        int("Height"),
        int("Width"),
        number("Duration"),
        int("Rotate"),
        list("VideoStreamSet", &Kind::Object(&MEDIA_VIDEO_STREAM_ITEM)),
        list("AudioStreamSet", &Kind::Object(&MEDIA_AUDIO_STREAM_ITEM)),
        number("VideoDuration"),
        number("AudioDuration"),
        text("Md5"),
    ],
};

/// MediaInfo.
pub static MEDIA_INFO: Object = Object {
    name: "MediaInfo",
    fields: &[
        object("BasicInfo", &MEDIA_BASIC_INFO),
        object("MetaData", &MEDIA_META_DATA),
        any("TranscodeInfo").nullable(),
        any("AnimatedGraphicsInfo").nullable(),
        any("SampleSnapshotInfo").nullable(),
        any("ImageSpriteInfo").nullable(),
        any("SnapshotByTimeOffsetInfo").nullable(),
        any("KeyFrameDescInfo").nullable(),
        any("AdaptiveDynamicStreamingInfo").nullable(),
        any("MiniProgramReviewInfo").nullable(),
        any("SubtitleInfo").nullable(),
        text("FileId"),
        any("ReviewInfo").nullable(),
        any("MPSAiMediaInfo").nullable(),
        any("ImageUnderstandingInfo").nullable(),
        any("KnowledgeBasesInfo").nullable(),
        any("FaceRecognitionInfo").nullable(),
    ],
};

/// SearchMedia.
pub static SEARCH_MEDIA: Shape = Shape {
    parameters: &[
        uint("SubAppId"),
        list("FileIds", &Kind::Text),
        list("Names", &Kind::Text),
        list("NamePrefixes", &Kind::Text),
        list("Descriptions", &Kind::Text),
        list("ClassIds", &Kind::Integer),
        list("Tags", &Kind::Text),
        list("Categories", &Kind::Text),
        list("SourceTypes", &Kind::Text),
        list("StreamIds", &Kind::Text),
        object("CreateTime", &TIME_RANGE),
        object("ExpireTime", &TIME_RANGE),
        list("StorageRegions", &Kind::Text),
        list("StorageClasses", &Kind::Text),
        list("MediaTypes", &Kind::Text),
        list("Status", &Kind::Text),
        list("ReviewResults", &Kind::Text),
        list("TrtcSdkAppIds", &Kind::Unsigned),
        list("TrtcRoomIds", &Kind::Text),
        list("Filters", &Kind::Text),
        object("Sort", &SORT_BY),
        uint("Offset"),
        uint("Limit"),
        text("Text"),
        text("SourceType"),
        text("StreamId"),
        text("StartTime"),
        text("EndTime"),
        list("Vids", &Kind::Text),
        text("Vid"),
        list("StreamDomains", &Kind::Text),
        list("StreamPaths", &Kind::Text),
        list("KnowledgeBases", &Kind::Text),
    ],
    answer: &[uint("TotalCount"), list("MediaInfoSet", &Kind::Object(&MEDIA_INFO))],
};

/// DescribeMediaInfos.
pub static DESCRIBE_MEDIA_INFOS: Shape = Shape {
    parameters: &[
        list("FileIds", &Kind::Text).required(),
        uint("SubAppId"),
        list("Filters", &Kind::Text),
    ],
    answer: &[
        list("MediaInfoSet", &Kind::Object(&MEDIA_INFO)),
        list("NotExistFileIdSet", &Kind::Text),
    ],
};
