//! Parameters and answers of [`crate::api::session`].

use super::{Kind, Object, Shape, int, list, text, uint};

/// StreamName.
pub static STREAM_NAME: Object = Object {
    name: "StreamName",
    fields: &[
        text("StreamName"),
        text("AppName"),
        text("DomainName"),
        text("StreamStartTime"),
        text("StreamEndTime"),
        text("StopReason"),
        uint("Duration"),
        text("ClientIp"),
        text("Resolution"),
    ],
};

/// StreamEventInfo.
pub static STREAM_EVENT_INFO: Object = Object {
    name: "StreamEventInfo",
    fields: &[
        text("AppName"),
        text("DomainName"),
        text("StreamName"),
        text("StreamStartTime"),
        text("StreamEndTime"),
        text("StopReason"),
        uint("Duration"),
        text("ClientIp"),
        text("Resolution"),
    ],
};

/// DescribeLiveStreamPublishedList.
pub static PUBLISHED: Shape = Shape {
    parameters: &[
        text("DomainName").required(),
        text("EndTime").required(),
        text("StartTime").required(),
        text("AppName"),
        uint("PageNum"),
        uint("PageSize"),
        text("StreamName"),
    ],
    answer: &[
        list("PublishInfo", &Kind::Object(&STREAM_NAME)),
        uint("PageNum"),
        uint("PageSize"),
        uint("TotalNum"),
        uint("TotalPage"),
    ],
};

/// DescribeLiveStreamEventList.
pub static EVENTS: Shape = Shape {
    parameters: &[
        text("StartTime").required(),
        text("EndTime").required(),
        text("AppName"),
        text("DomainName"),
        text("StreamName"),
        uint("PageNum"),
        uint("PageSize"),
        int("IsFilter"),
        int("IsStrict"),
        int("IsAsc"),
    ],
    answer: &[
        list("EventList", &Kind::Object(&STREAM_EVENT_INFO)),
        uint("PageNum"),
        uint("PageSize"),
        uint("TotalNum"),
        uint("TotalPage"),
    ],
};
