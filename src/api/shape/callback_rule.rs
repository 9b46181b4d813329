//! Parameters and answers of [`crate::api::callback_rule`].

use super::{Kind, Object, Shape, int, list, text};

/// CallBackRuleInfo.
pub static CALL_BACK_RULE_INFO: Object = Object {
    name: "CallBackRuleInfo",
    fields: &[
        text("CreateTime"),
        text("UpdateTime"),
        int("TemplateId"),
        text("DomainName"),
        text("AppName"),
    ],
};

/// CreateLiveCallbackRule.
pub static CREATE: Shape = Shape {
    parameters: &[
        text("DomainName").required(),
        text("AppName").required(),
        int("TemplateId").required(),
    ],
    answer: &[],
};

/// DeleteLiveCallbackRule.
pub static DELETE: Shape =
    Shape { parameters: &[text("DomainName").required(), text("AppName").required()], answer: &[] };

/// DescribeLiveCallbackRules.
pub static DESCRIBE_ALL: Shape =
    Shape { parameters: &[], answer: &[list("Rules", &Kind::Object(&CALL_BACK_RULE_INFO))] };
