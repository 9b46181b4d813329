//! Parameters and answers of [`crate::api::live_record`].

use super::{Shape, int, text, uint};

/// CreateLiveRecord.
pub static CREATE: Shape = Shape {
    parameters: &[
        text("StreamName").required(),
        text("AppName"),
        text("DomainName"),
        text("StartTime"),
        text("EndTime"),
        text("RecordType"),
        text("FileFormat"),
        int("Highlight"),
        int("MixStream"),
        text("StreamParam"),
    ],
    answer: &[uint("TaskId")],
};

/// StopLiveRecord.
pub static STOP: Shape =
    Shape { parameters: &[text("StreamName").required(), int("TaskId").required()], answer: &[] };

/// DeleteLiveRecord.
pub static DELETE: Shape =
    Shape { parameters: &[text("StreamName").required(), int("TaskId").required()], answer: &[] };
