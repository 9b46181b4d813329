//! Parameters and answers of [`crate::api::callback_log`].

use super::{Kind, Object, Shape, int, list, text, uint};

/// CallbackEventInfo.
pub static CALLBACK_EVENT_INFO: Object = Object {
    name: "CallbackEventInfo",
    fields: &[
        text("EventTime"),
        uint("EventType"),
        text("Request"),
        text("Response"),
        text("ResponseTime"),
        uint("ResultCode"),
        text("StreamId"),
    ],
};

/// CallbackInfo.
pub static CALLBACK_INFO: Object = Object {
    name: "CallbackInfo",
    fields: &[
        int("Attempts"),
        text("CallbackId"),
        text("EventTime"),
        int("EventType"),
        text("LastResult"),
        text("NextTryTime"),
        int("Replays"),
        text("State"),
        text("Stream"),
        text("UpdateTime"),
        text("Url"),
    ],
};

/// DescribeCallbackRecordsList.
pub static DESCRIBE: Shape = Shape {
    parameters: &[
        text("StartTime").required(),
        text("EndTime").required(),
        text("StreamName").required(),
        uint("PageNum").required(),
        uint("PageSize").required(),
        uint("EventType"),
        uint("ResultCode"),
    ],
    answer: &[
        list("DataInfoList", &Kind::Object(&CALLBACK_EVENT_INFO)),
        uint("PageNum"),
        uint("PageSize"),
        uint("TotalNum"),
        uint("TotalPage"),
    ],
};

/// LiverecDescribeCallbacks.
pub static DESCRIBE_EVENTS: Shape = Shape {
    parameters: &[
        text("CallbackId"),
        text("State"),
        text("StreamName"),
        uint("EventType"),
        text("StartTime"),
        text("EndTime"),
        uint("PageNum"),
        uint("PageSize"),
    ],
    answer: &[list("CallbackSet", &Kind::Object(&CALLBACK_INFO)), int("TotalCount")],
};

/// LiverecReplayCallback.
pub static REPLAY: Shape = Shape {
    parameters: &[
        text("CallbackId"),
        text("State"),
        text("StreamName"),
        uint("EventType"),
        text("StartTime"),
        text("EndTime"),
        uint("Limit"),
    ],
    answer: &[list("ReplayedSet", &Kind::Text), list("SkippedSet", &Kind::Text), int("TotalCount")],
};
