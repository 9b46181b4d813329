//! Parameters and answers of [`crate::api::record_task`].

use super::{Kind, Object, Shape, list, text, uint};

/// RecordTask.
pub static RECORD_TASK: Object = Object {
    name: "RecordTask",
    fields: &[
        text("TaskId"),
        text("DomainName"),
        text("AppName"),
        text("StreamName"),
        uint("StartTime"),
        uint("EndTime"),
        uint("TemplateId"),
        uint("Stopped"),
    ],
};

/// CreateRecordTask.
pub static CREATE: Shape = Shape {
    parameters: &[
        text("StreamName").required(),
        text("DomainName").required(),
        text("AppName").required(),
        uint("EndTime").required(),
        uint("StartTime"),
        uint("StreamType"),
        uint("TemplateId"),
        text("Extension"),
    ],
    answer: &[text("TaskId")],
};

/// StopRecordTask.
pub static STOP: Shape = Shape { parameters: &[text("TaskId").required()], answer: &[] };

/// DeleteRecordTask.
pub static DELETE: Shape = Shape { parameters: &[text("TaskId").required()], answer: &[] };

/// DescribeRecordTask.
pub static DESCRIBE: Shape = Shape {
    parameters: &[
        uint("StartTime").required(),
        uint("EndTime").required(),
        text("StreamName"),
        text("DomainName"),
        text("AppName"),
        text("ScrollToken"),
    ],
    answer: &[text("ScrollToken"), list("TaskList", &Kind::Object(&RECORD_TASK))],
};
