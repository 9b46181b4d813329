//! Parameters and answers of [`crate::api::delivery_state`].

use super::{Kind, Object, Shape, int, list, text, uint};

/// DeliveredFile.
pub static DELIVERED_FILE: Object = Object {
    name: "DeliveredFile",
    fields: &[
        text("AnnouncedTime"),
        text("AppName"),
        int("Attempts"),
        text("Container"),
        text("DomainName"),
        text("EndTime"),
        text("FileId"),
        text("LastError"),
        text("NextTryTime"),
        int("Ordinal"),
        int("PartSize"),
        int("PartsDone"),
        text("Progress"),
        text("RecordingId"),
        text("StartTime"),
        text("State"),
        text("StreamName"),
        text("UploadId"),
        int("UploadedBytes"),
        text("VerifiedTime"),
    ],
};

/// LiverecDescribeRecordings.
pub static DESCRIBE: Shape = Shape {
    parameters: &[
        uint("PageNum"),
        uint("PageSize"),
        text("DomainName"),
        text("AppName"),
        text("StreamName"),
        text("State"),
    ],
    answer: &[
        list("FileList", &Kind::Object(&DELIVERED_FILE)),
        int("PageNum"),
        int("PageSize"),
        int("TotalNum"),
        int("TotalPage"),
    ],
};
