//! Parameters and answers of [`crate::api::explain`].

use super::{Kind, Object, Shape, flag, int, list, text};

/// ExplainedRule.
pub static EXPLAINED_RULE: Object = Object {
    name: "ExplainedRule",
    fields: &[
        text("AppName"),
        text("CreateTime"),
        text("DomainName"),
        text("Effect"),
        text("Reason"),
        text("StreamName"),
        int("TemplateId"),
        text("UpdateTime"),
    ],
};

/// ExplainedRecording.
pub static EXPLAINED_RECORDING: Object = Object {
    name: "ExplainedRecording",
    fields: &[
        text("EndTime"),
        int("Files"),
        text("Format"),
        text("LastError"),
        text("Origin"),
        text("RecordingId"),
        text("StartTime"),
        int("StoredFiles"),
        text("TaskId"),
        int("TemplateId"),
    ],
};

/// ExplainedWaiting.
pub static EXPLAINED_WAITING: Object = Object {
    name: "ExplainedWaiting",
    fields: &[text("Reason"), text("SinceTime"), text("TaskId"), text("UntilTime")],
};

/// ExplainedSession.
pub static EXPLAINED_SESSION: Object = Object {
    name: "ExplainedSession",
    fields: &[
        text("EndReason"),
        text("EndTime"),
        list("RecordingList", &Kind::Object(&EXPLAINED_RECORDING)),
        text("Sequence"),
        text("SessionId"),
        flag("Signed"),
        text("StartTime"),
        list("WaitingList", &Kind::Object(&EXPLAINED_WAITING)),
    ],
};

/// ExplainedWanted.
pub static EXPLAINED_WANTED: Object = Object {
    name: "ExplainedWanted",
    fields: &[list("FormatList", &Kind::Text), text("Origin"), text("TaskId"), int("TemplateId")],
};

/// ExplainedTask.
pub static EXPLAINED_TASK: Object = Object {
    name: "ExplainedTask",
    fields: &[
        text("TaskId"),
        text("StartTime"),
        text("EndTime"),
        int("TemplateId"),
        text("Effect"),
        text("Reason"),
    ],
};

/// ExplainedObstacle.
pub static EXPLAINED_OBSTACLE: Object =
    Object { name: "ExplainedObstacle", fields: &[text("Kind"), text("Reason"), flag("Prevents")] };

/// LiverecExplainRecord.
pub static EXPLAIN_RECORD: Shape = Shape {
    parameters: &[
        text("DomainName").required(),
        text("AppName").required(),
        text("StreamName").required(),
        text("Time"),
        text("StreamParam"),
    ],
    answer: &[
        text("AppName"),
        text("DomainName"),
        list("ObstacleList", &Kind::Object(&EXPLAINED_OBSTACLE)),
        text("Phase"),
        text("PushKeys"),
        list("RuleList", &Kind::Object(&EXPLAINED_RULE)),
        list("SessionList", &Kind::Object(&EXPLAINED_SESSION)),
        text("StreamName"),
        text("Summary"),
        list("TaskList", &Kind::Object(&EXPLAINED_TASK)),
        text("Time"),
        list("WantedList", &Kind::Object(&EXPLAINED_WANTED)),
        flag("WillRecord"),
    ],
};
