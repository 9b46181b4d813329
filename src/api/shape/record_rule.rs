//! Parameters and answers of [`crate::api::record_rule`].

use super::{Kind, Object, Shape, int, list, text};

/// RuleInfo.
pub static RULE_INFO: Object = Object {
    name: "RuleInfo",
    fields: &[
        text("CreateTime"),
        text("UpdateTime"),
        int("TemplateId"),
        text("DomainName"),
        text("AppName"),
        text("StreamName"),
    ],
};

/// CreateLiveRecordRule.
pub static CREATE: Shape = Shape {
    parameters: &[
        text("DomainName").required(),
        int("TemplateId").required(),
        text("AppName"),
        text("StreamName"),
    ],
    answer: &[],
};

/// DeleteLiveRecordRule.
pub static DELETE: Shape = Shape {
    parameters: &[text("DomainName").required(), text("AppName"), text("StreamName")],
    answer: &[],
};

/// DescribeLiveRecordRules.
pub static DESCRIBE_ALL: Shape =
    Shape { parameters: &[], answer: &[list("Rules", &Kind::Object(&RULE_INFO))] };
