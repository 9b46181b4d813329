//! Parameters and answers of [`crate::api::stream`].

use super::{Kind, Object, Shape, int, list, text, uint};

/// PublishTime.
pub static PUBLISH_TIME: Object = Object { name: "PublishTime", fields: &[text("PublishTime")] };

/// StreamOnlineInfo.
pub static STREAM_ONLINE_INFO: Object = Object {
    name: "StreamOnlineInfo",
    fields: &[
        text("StreamName"),
        list("PublishTimeList", &Kind::Object(&PUBLISH_TIME)),
        text("AppName"),
        text("DomainName"),
        int("PushToDelay"),
    ],
};

/// DescribeLiveStreamOnlineList.
pub static ONLINE: Shape = Shape {
    parameters: &[
        text("DomainName"),
        text("AppName"),
        uint("PageNum"),
        uint("PageSize"),
        text("StreamName"),
    ],
    answer: &[
        uint("TotalNum"),
        uint("TotalPage"),
        uint("PageNum"),
        uint("PageSize"),
        list("OnlineInfo", &Kind::Object(&STREAM_ONLINE_INFO)),
    ],
};

/// DescribeLiveStreamState.
pub static DESCRIBE_STATE: Shape = Shape {
    parameters: &[
        text("AppName").required(),
        text("DomainName").required(),
        text("StreamName").required(),
    ],
    answer: &[text("StreamState")],
};

/// DropLiveStream.
pub static DROP_STREAM: Shape = Shape {
    parameters: &[
        text("StreamName").required(),
        text("DomainName").required(),
        text("AppName").required(),
    ],
    answer: &[],
};
