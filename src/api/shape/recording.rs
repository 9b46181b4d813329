//! Parameters and answers of [`crate::api::recording`].

use super::{Kind, Object, Shape, list, text, uint};

/// ConcurrentRecordStreamNum.
pub static CONCURRENT_RECORD_STREAM_NUM: Object =
    Object { name: "ConcurrentRecordStreamNum", fields: &[text("Time"), uint("Num")] };

/// DescribeConcurrentRecordStreamNum.
pub static CONCURRENT: Shape = Shape {
    parameters: &[
        text("LiveType").required(),
        text("StartTime").required(),
        text("EndTime").required(),
        text("MainlandOrOversea"),
        list("PushDomains", &Kind::Text),
    ],
    answer: &[list("DataInfoList", &Kind::Object(&CONCURRENT_RECORD_STREAM_NUM))],
};
