//! Parameters and answers of [`crate::api::record_template`].

use super::{Kind, Object, Shape, flag, int, list, object, text, uint};

/// RecordParam.
pub static RECORD_PARAM: Object = Object {
    name: "RecordParam",
    fields: &[
        int("RecordInterval"),
        int("StorageTime"),
        int("Enable"),
        int("VodSubAppId"),
        text("VodFileName"),
        text("Procedure"),
        text("StorageMode"),
        int("ClassId").nullable(),
        text("CosBucketName"),
        text("CosBucketRegion"),
        text("CosBucketPath"),
    ],
};

/// HlsSpecialParam.
pub static HLS_SPECIAL_PARAM: Object =
    Object { name: "HlsSpecialParam", fields: &[uint("FlowContinueDuration")] };

/// FlvSpecialParam.
pub static FLV_SPECIAL_PARAM: Object =
    Object { name: "FlvSpecialParam", fields: &[flag("UploadInRecording")] };

/// RecordTemplateInfo.
pub static RECORD_TEMPLATE_INFO: Object = Object {
    name: "RecordTemplateInfo",
    fields: &[
        int("TemplateId"),
        text("TemplateName"),
        text("Description"),
        object("FlvParam", &RECORD_PARAM),
        object("HlsParam", &RECORD_PARAM),
        object("Mp4Param", &RECORD_PARAM),
        object("AacParam", &RECORD_PARAM),
        int("IsDelayLive"),
        object("HlsSpecialParam", &HLS_SPECIAL_PARAM),
        object("Mp3Param", &RECORD_PARAM),
        flag("RemoveWatermark"),
        int("CosStore"),
        object("FlvSpecialParam", &FLV_SPECIAL_PARAM),
    ],
};

/// CreateLiveRecordTemplate.
pub static CREATE: Shape = Shape {
    parameters: &[
        text("TemplateName").required(),
        text("Description"),
        object("FlvParam", &RECORD_PARAM),
        object("HlsParam", &RECORD_PARAM),
        object("Mp4Param", &RECORD_PARAM),
        object("AacParam", &RECORD_PARAM),
        int("IsDelayLive"),
        object("HlsSpecialParam", &HLS_SPECIAL_PARAM),
        object("Mp3Param", &RECORD_PARAM),
        int("CosStore"),
        flag("RemoveWatermark"),
        object("FlvSpecialParam", &FLV_SPECIAL_PARAM),
    ],
    answer: &[int("TemplateId")],
};

/// ModifyLiveRecordTemplate.
pub static MODIFY: Shape = Shape {
    parameters: &[
        int("TemplateId").required(),
        text("TemplateName"),
        text("Description"),
        object("FlvParam", &RECORD_PARAM),
        object("HlsParam", &RECORD_PARAM),
        object("Mp4Param", &RECORD_PARAM),
        object("AacParam", &RECORD_PARAM),
        object("HlsSpecialParam", &HLS_SPECIAL_PARAM),
        object("Mp3Param", &RECORD_PARAM),
        flag("RemoveWatermark"),
        object("FlvSpecialParam", &FLV_SPECIAL_PARAM),
    ],
    answer: &[],
};

/// DeleteLiveRecordTemplate.
pub static DELETE: Shape = Shape { parameters: &[int("TemplateId").required()], answer: &[] };

/// DescribeLiveRecordTemplate.
pub static DESCRIBE: Shape = Shape {
    parameters: &[int("TemplateId").required()],
    answer: &[object("Template", &RECORD_TEMPLATE_INFO)],
};

/// DescribeLiveRecordTemplates.
pub static DESCRIBE_ALL: Shape = Shape {
    parameters: &[int("IsDelayLive")],
    answer: &[list("Templates", &Kind::Object(&RECORD_TEMPLATE_INFO))],
};
