//! Parameters and answers of [`crate::api::callback_template`].

use super::{Kind, Object, Shape, int, list, object, text};

/// CallBackTemplateInfo.
pub static CALL_BACK_TEMPLATE_INFO: Object = Object {
    name: "CallBackTemplateInfo",
    fields: &[
        int("TemplateId"),
        text("TemplateName"),
        text("Description"),
        text("StreamBeginNotifyUrl"),
        text("StreamMixNotifyUrl"),
        text("StreamEndNotifyUrl"),
        text("RecordNotifyUrl"),
        text("SnapshotNotifyUrl"),
        text("PornCensorshipNotifyUrl"),
        text("CallbackKey"),
        text("PushExceptionNotifyUrl"),
        text("AudioAuditNotifyUrl"),
        text("RecordExceptionNotifyUrl"),
        list("RecordExceptionLevels", &Kind::Text),
        text("RecordStatusNotifyUrl"),
    ],
};

/// CreateLiveCallbackTemplate.
pub static CREATE: Shape = Shape {
    parameters: &[
        text("TemplateName").required(),
        text("Description"),
        text("StreamBeginNotifyUrl"),
        text("StreamEndNotifyUrl"),
        text("RecordNotifyUrl"),
        text("RecordStatusNotifyUrl"),
        text("SnapshotNotifyUrl"),
        text("PornCensorshipNotifyUrl"),
        text("CallbackKey"),
        text("StreamMixNotifyUrl"),
        text("PushExceptionNotifyUrl"),
        text("AudioAuditNotifyUrl"),
        text("RecordExceptionNotifyUrl"),
        list("RecordExceptionLevels", &Kind::Text),
    ],
    answer: &[int("TemplateId")],
};

/// ModifyLiveCallbackTemplate.
pub static MODIFY: Shape = Shape {
    parameters: &[
        int("TemplateId").required(),
        text("TemplateName"),
        text("Description"),
        text("StreamBeginNotifyUrl"),
        text("StreamEndNotifyUrl"),
        text("RecordNotifyUrl"),
        text("RecordStatusNotifyUrl"),
        text("SnapshotNotifyUrl"),
        text("PornCensorshipNotifyUrl"),
        text("CallbackKey"),
        text("PushExceptionNotifyUrl"),
        text("AudioAuditNotifyUrl"),
        text("RecordExceptionNotifyUrl"),
        list("RecordExceptionLevels", &Kind::Text),
    ],
    answer: &[],
};

/// DeleteLiveCallbackTemplate.
pub static DELETE: Shape = Shape { parameters: &[int("TemplateId").required()], answer: &[] };

/// DescribeLiveCallbackTemplate.
pub static DESCRIBE: Shape = Shape {
    parameters: &[int("TemplateId").required()],
    answer: &[object("Template", &CALL_BACK_TEMPLATE_INFO)],
};

/// DescribeLiveCallbackTemplates.
pub static DESCRIBE_ALL: Shape = Shape {
    parameters: &[],
    answer: &[list("Templates", &Kind::Object(&CALL_BACK_TEMPLATE_INFO))],
};
