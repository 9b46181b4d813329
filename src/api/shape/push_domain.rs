//! Parameters and answers of [`crate::api::push_domain`].

use super::{Kind, Object, Shape, int, list, object, text, uint};

/// DomainInfo.
pub static DOMAIN_INFO: Object = Object {
    name: "DomainInfo",
    fields: &[
        text("Name"),
        uint("Type"),
        uint("Status"),
        text("CreateTime"),
        uint("BCName"),
        text("TargetDomain"),
        int("PlayType"),
        int("IsDelayLive"),
        text("CurrentCName"),
        int("RentTag"),
        text("RentExpireTime"),
        int("IsMiniProgramLive"),
    ],
};

/// AddLiveDomain.
pub static ADD: Shape = Shape {
    parameters: &[
        text("DomainName").required(),
        uint("DomainType").required(),
        uint("PlayType"),
        int("IsDelayLive"),
        int("IsMiniProgramLive"),
        text("VerifyOwnerType"),
    ],
    answer: &[],
};

/// DeleteLiveDomain.
pub static DELETE: Shape = Shape {
    parameters: &[text("DomainName").required(), uint("DomainType").required()],
    answer: &[],
};

/// EnableLiveDomain.
pub static ENABLE: Shape = Shape { parameters: &[text("DomainName").required()], answer: &[] };

/// ForbidLiveDomain.
pub static FORBID: Shape = Shape { parameters: &[text("DomainName").required()], answer: &[] };

/// DescribeLiveDomain.
pub static DESCRIBE: Shape = Shape {
    parameters: &[text("DomainName").required()],
    answer: &[object("DomainInfo", &DOMAIN_INFO)],
};

/// DescribeLiveDomains.
pub static DESCRIBE_ALL: Shape = Shape {
    parameters: &[
        uint("DomainStatus"),
        uint("DomainType"),
        uint("PageSize"),
        uint("PageNum"),
        uint("IsDelayLive"),
        text("DomainPrefix"),
        uint("PlayType"),
    ],
    answer: &[
        uint("AllCount"),
        list("DomainList", &Kind::Object(&DOMAIN_INFO)),
        int("CreateLimitCount"),
        list("PlayTypeCount", &Kind::Integer),
    ],
};
