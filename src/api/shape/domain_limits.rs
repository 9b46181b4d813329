//! Parameters and answers of [`crate::api::domain_limits`].

use super::{Kind, Object, Shape, list, text, uint};

/// DomainLimitInfo.
pub static DOMAIN_LIMIT_INFO: Object = Object {
    name: "DomainLimitInfo",
    fields: &[
        text("DomainName"),
        uint("MaxStreams"),
        uint("MaxBitrate"),
        uint("MaxHours"),
        uint("Streams"),
        uint("MinutesUsed"),
    ],
};

/// LiverecModifyDomainLimits.
pub static MODIFY: Shape = Shape {
    parameters: &[
        text("DomainName").required(),
        uint("MaxStreams"),
        uint("MaxBitrate"),
        uint("MaxHours"),
    ],
    answer: &[],
};

/// LiverecDescribeDomainLimits.
pub static DESCRIBE: Shape = Shape {
    parameters: &[text("DomainName")],
    answer: &[list("DomainLimitList", &Kind::Object(&DOMAIN_LIMIT_INFO))],
};
