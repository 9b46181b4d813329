//! Parameters and answers of [`crate::api::forbidden_stream`].

use super::{Kind, Object, Shape, int, list, text};

/// ForbidStream.
pub static FORBID_STREAM: Object = Object {
    name: "ForbidStream",
    fields: &[
        text("AppName"),
        text("CreateTime"),
        text("DomainName"),
        text("ExpireTime"),
        text("StreamName"),
    ],
};

/// ForbidLiveStream.
pub static FORBID: Shape = Shape {
    parameters: &[
        text("AppName").required(),
        text("DomainName").required(),
        text("StreamName").required(),
        text("ResumeTime"),
        text("Reason"),
    ],
    answer: &[],
};

/// ResumeLiveStream.
pub static RESUME: Shape = Shape {
    parameters: &[
        text("AppName").required(),
        text("DomainName").required(),
        text("StreamName").required(),
    ],
    answer: &[],
};

/// DescribeLiveForbidStreamList.
pub static DESCRIBE_ALL: Shape = Shape {
    parameters: &[int("PageNum"), int("PageSize"), text("StreamName")],
    answer: &[
        list("ForbidStreamList", &Kind::Object(&FORBID_STREAM)),
        int("PageNum"),
        int("PageSize"),
        int("TotalNum"),
        int("TotalPage"),
    ],
};
