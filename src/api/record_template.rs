//! Actions on record templates (spec live-api 5).

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    params::Params,
    scope::not_found,
    state::State,
};
use crate::{
    db::template::{Change, Creation, Removal},
    domain::record_template::{RecordParam, RecordTemplate, TemplateError},
};

/// CreateLiveRecordTemplate.
pub async fn create(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let mut template =
        RecordTemplate { name: params.req_str("TemplateName")?, ..RecordTemplate::default() };
    template.is_delay_live = params.opt_i64("IsDelayLive")?.unwrap_or(0);
    template.cos_store = params.opt_i64("CosStore")?.unwrap_or(0);
    read_into(params, &mut template)?;
    template.check().map_err(refused)?;
    match state.change(state.db.create_record_template(&template, state.now_ms())).await? {
        Creation::Created(id) => Ok(json!({ "TemplateId": id })),
        Creation::Full => Err(out_of_limit(state)),
    }
}

/// ModifyLiveRecordTemplate. What is absent stays, also within a format block.
pub async fn modify(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let id = params.req_i64("TemplateId")?;
    // Once for the request alone: its own faults are told whether or not the template exists.
    read_into(params.clone(), &mut RecordTemplate::default())?;
    let apply = |template: &mut RecordTemplate| {
        read_into(params, template)?;
        template.check().map_err(refused)
    };
    match state.change(state.db.change_record_template(id, state.now_ms(), apply)).await? {
        Change::Changed => Ok(json!({})),
        Change::Absent => Err(not_found("record template")),
        Change::Refused(error) => Err(error),
    }
}

/// DeleteLiveRecordTemplate.
pub async fn delete(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let id = params.req_i64("TemplateId")?;
    params.finish()?;
    removed(state.change(state.db.remove_record_template(id)).await?, "record template")
}

/// DescribeLiveRecordTemplate.
pub async fn describe(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let id = params.req_i64("TemplateId")?;
    params.finish()?;
    let template =
        state.db.record_template(id).await?.ok_or_else(|| not_found("record template"))?;
    Ok(json!({ "Template": info(&template, state.settings.app_id) }))
}

/// DescribeLiveRecordTemplates.
pub async fn describe_all(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let is_delay_live = params.opt_i64("IsDelayLive")?.unwrap_or(0);
    params.finish()?;
    if !(0..=1).contains(&is_delay_live) {
        return Err(ApiError::invalid_value("IsDelayLive must be 0 or 1."));
    }
    let templates = state.db.record_templates(is_delay_live).await?;
    let templates: Vec<Value> = templates.iter().map(|t| info(t, state.settings.app_id)).collect();
    Ok(json!({ "Templates": templates }))
}

/// Reads what Create and Modify share over a template.
fn read_into(mut params: Params, template: &mut RecordTemplate) -> Result<()> {
    set(&mut template.name, params.opt_str("TemplateName")?);
    set(&mut template.description, params.opt_str("Description")?);
    read_param(&mut params, "FlvParam", &mut template.flv)?;
    read_param(&mut params, "HlsParam", &mut template.hls)?;
    read_param(&mut params, "Mp4Param", &mut template.mp4)?;
    read_param(&mut params, "AacParam", &mut template.aac)?;
    read_param(&mut params, "Mp3Param", &mut template.mp3)?;
    if let Some(mut special) = params.opt_object("HlsSpecialParam")? {
        set(&mut template.flow_continue_duration, special.opt_u64("FlowContinueDuration")?);
        special.finish()?;
    }
    if let Some(mut special) = params.opt_object("FlvSpecialParam")? {
        set(&mut template.flv_upload_in_recording, special.opt_bool("UploadInRecording")?);
        special.finish()?;
    }
    set(&mut template.remove_watermark, params.opt_bool("RemoveWatermark")?);
    params.finish()
}

fn read_param(params: &mut Params, name: &str, into: &mut RecordParam) -> Result<()> {
    let Some(mut block) = params.opt_object(name)? else {
        return Ok(());
    };
    set(&mut into.record_interval, block.opt_i64("RecordInterval")?);
    set(&mut into.storage_time, block.opt_i64("StorageTime")?);
    match block.opt_i64("Enable")? {
        None => {}
        Some(on @ (0 | 1)) => into.enable = on == 1,
        Some(_) => {
            return Err(ApiError::invalid_value(format!("{name}.Enable must be 0 or 1.")));
        }
    }
    set(&mut into.vod_sub_app_id, block.opt_u64("VodSubAppId")?);
    set(&mut into.vod_file_name, block.opt_str("VodFileName")?);
    set(&mut into.procedure, block.opt_str("Procedure")?);
    set(
        &mut into.storage_mode,
        block.opt_str("StorageMode")?.map(|mode| mode.to_ascii_lowercase()),
    );
    if let Some(class_id) = block.opt_i64("ClassId")? {
        into.class_id = Some(class_id);
    }
    set(&mut into.cos_bucket_name, block.opt_str("CosBucketName")?);
    set(&mut into.cos_bucket_region, block.opt_str("CosBucketRegion")?);
    set(&mut into.cos_bucket_path, block.opt_str("CosBucketPath")?);
    block.finish()
}

/// Overwrites a field if the request has it.
pub(super) fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn refused(error: TemplateError) -> ApiError {
    let code = match error {
        TemplateError::FileName { .. } => "InvalidParameter.InvalidVodFileName",
        TemplateError::Name(_) | TemplateError::Value(_) => "InvalidParameterValue",
    };
    ApiError::new(code, format!("{error}."))
}

/// The refusal of a template beyond the limit.
pub(super) fn out_of_limit(state: &State) -> ApiError {
    let message = format!("There are {} templates already.", state.db.limits().templates);
    ApiError::new("InternalError.ConfOutLimit", message)
}

/// The answer to a template that was to be deleted.
pub(super) fn removed(removal: Removal, what: &str) -> Result<Value> {
    match removal {
        Removal::Removed => Ok(json!({})),
        Removal::Absent => Err(not_found(what)),
        Removal::InUse => Err(ApiError::new(
            "FailedOperation.ConfInUsed",
            format!("The {what} is bound by a rule. Delete the rule first."),
        )),
    }
}

/// RecordTemplateInfo.
fn info(template: &RecordTemplate, app_id: u64) -> Value {
    json!({
        "TemplateId": template.id,
        "TemplateName": template.name,
        "Description": template.description,
        "FlvParam": param_info(&template.flv, app_id),
        "HlsParam": param_info(&template.hls, app_id),
        "Mp4Param": param_info(&template.mp4, app_id),
        "AacParam": param_info(&template.aac, app_id),
        "Mp3Param": param_info(&template.mp3, app_id),
        "IsDelayLive": template.is_delay_live,
        "HlsSpecialParam": { "FlowContinueDuration": template.flow_continue_duration },
        "RemoveWatermark": template.remove_watermark,
        "CosStore": template.cos_store,
        "FlvSpecialParam": { "UploadInRecording": template.flv_upload_in_recording },
    })
}

fn param_info(param: &RecordParam, app_id: u64) -> Value {
    let sub_app_id = if param.vod_sub_app_id == 0 { app_id } else { param.vod_sub_app_id };
    json!({
        "RecordInterval": param.record_interval,
        "StorageTime": param.storage_time,
        "Enable": i64::from(param.enable),
        "VodSubAppId": sub_app_id,
        "VodFileName": param.vod_file_name,
        "Procedure": param.procedure,
        "StorageMode": param.storage_mode,
        "ClassId": param.class_id,
        "CosBucketName": param.cos_bucket_name,
        "CosBucketRegion": param.cos_bucket_region,
        "CosBucketPath": param.cos_bucket_path,
    })
}
