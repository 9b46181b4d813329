//! Parameters and answers of [`crate::api::audit`].

use super::{Kind, Object, Shape, int, list, text, uint};

/// AuditInfo.
pub static AUDIT_INFO: Object = Object {
    name: "AuditInfo",
    fields: &[
        text("ActionName"),
        text("Answer"),
        text("AuditId"),
        text("ClientIp"),
        text("Outcome"),
        text("Parameters"),
        text("RequestId"),
        text("Role"),
        text("SecretId"),
        text("Time"),
    ],
};

/// LiverecDescribeAudit.
pub static DESCRIBE: Shape = Shape {
    parameters: &[
        uint("PageNum"),
        uint("PageSize"),
        text("StartTime"),
        text("EndTime"),
        text("SecretId"),
        text("ActionName"),
        text("Text"),
    ],
    answer: &[
        list("AuditList", &Kind::Object(&AUDIT_INFO)),
        int("PageNum"),
        int("PageSize"),
        int("TotalNum"),
        int("TotalPage"),
    ],
};
