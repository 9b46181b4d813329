//! Actions on callback templates (spec live-api 10).

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    params::Params,
    record_template::{out_of_limit, removed, set},
    scope::not_found,
    state::State,
};
use crate::{
    db::template::{Change, Creation},
    domain::{
        callback_template::{CallbackTemplate, CallbackTemplateError},
        denied_networks::Denied,
        record_template::TemplateError,
    },
};

/// Most entries of RecordExceptionLevels.
const MAX_LEVELS: usize = 10;

/// CreateLiveCallbackTemplate.
pub async fn create(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let mut template =
        CallbackTemplate { name: params.req_str("TemplateName")?, ..CallbackTemplate::default() };
    set(&mut template.stream_mix_url, params.opt_str("StreamMixNotifyUrl")?);
    read_into(params, &mut template)?;
    template.check().map_err(refused)?;
    check_receivers(state, &template)?;
    match state.change(state.db.create_callback_template(&template, state.now_ms())).await? {
        Creation::Created(id) => Ok(json!({ "TemplateId": id })),
        Creation::Full => Err(out_of_limit(state)),
    }
}

/// ModifyLiveCallbackTemplate. What is absent or empty stays.
pub async fn modify(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let id = params.req_i64("TemplateId")?;
    // Once for the request alone: its own faults are told whether or not the template exists.
    let mut given = CallbackTemplate::default();
    read_into(params.clone(), &mut given)?;
    check_receivers(state, &given)?;
    let apply = |template: &mut CallbackTemplate| {
        read_into(params, template)?;
        template.check().map_err(refused)
    };
    match state.change(state.db.change_callback_template(id, state.now_ms(), apply)).await? {
        Change::Changed => Ok(json!({})),
        Change::Absent => Err(not_found("callback template")),
        Change::Refused(error) => Err(error),
    }
}

/// DeleteLiveCallbackTemplate.
pub async fn delete(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let id = params.req_i64("TemplateId")?;
    params.finish()?;
    removed(state.change(state.db.remove_callback_template(id)).await?, "callback template")
}

/// DescribeLiveCallbackTemplate.
pub async fn describe(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let id = params.req_i64("TemplateId")?;
    params.finish()?;
    let template =
        state.db.callback_template(id).await?.ok_or_else(|| not_found("callback template"))?;
    Ok(json!({ "Template": info(&template) }))
}

/// DescribeLiveCallbackTemplates.
pub async fn describe_all(state: &State, _caller: &Caller, params: Params) -> Result<Value> {
    params.finish()?;
    let templates = state.db.callback_templates().await?;
    let templates: Vec<Value> = templates.iter().map(info).collect();
    Ok(json!({ "Templates": templates }))
}

/// Reads what Create and Modify share over a template.
fn read_into(mut params: Params, template: &mut CallbackTemplate) -> Result<()> {
    set(&mut template.name, params.opt_str("TemplateName")?);
    set(&mut template.description, params.opt_str("Description")?);
    set(&mut template.stream_begin_url, params.opt_str("StreamBeginNotifyUrl")?);
    set(&mut template.stream_end_url, params.opt_str("StreamEndNotifyUrl")?);
    set(&mut template.record_url, params.opt_str("RecordNotifyUrl")?);
    set(&mut template.record_status_url, params.opt_str("RecordStatusNotifyUrl")?);
    set(&mut template.snapshot_url, params.opt_str("SnapshotNotifyUrl")?);
    set(&mut template.porn_censorship_url, params.opt_str("PornCensorshipNotifyUrl")?);
    set(&mut template.push_exception_url, params.opt_str("PushExceptionNotifyUrl")?);
    set(&mut template.audio_audit_url, params.opt_str("AudioAuditNotifyUrl")?);
    set(&mut template.record_exception_url, params.opt_str("RecordExceptionNotifyUrl")?);
    set(
        &mut template.record_exception_levels,
        params.opt_list_str("RecordExceptionLevels", MAX_LEVELS)?,
    );
    set(&mut template.key, params.opt_str("CallbackKey")?);
    params.finish()
}

/// Refuses receivers that would never be called. What a name leads to is looked at when it is.
fn check_receivers(state: &State, given: &CallbackTemplate) -> Result<()> {
    let denied = Denied::new(state.settings.deny_networks.clone());
    let found =
        given.urls().into_iter().find_map(|(name, url)| Some((name, denied.address_of(url)?)));
    match found {
        None => Ok(()),
        Some((name, ip)) => {
            let message = format!("{name} leads to {ip}, which is in callback.deny_networks.");
            Err(ApiError::new("InvalidParameter.UrlNotSafe", message))
        }
    }
}

fn refused(error: CallbackTemplateError) -> ApiError {
    let code = match &error {
        CallbackTemplateError::Url { .. } => "InvalidParameter.UrlNotSafe",
        CallbackTemplateError::NoUrl => "InvalidParameter",
        CallbackTemplateError::Template(TemplateError::Name(_)) => "InvalidParameter.ArgsNotMatch",
        CallbackTemplateError::Template(_) => "InvalidParameterValue",
    };
    ApiError::new(code, format!("{error}."))
}

/// CallBackTemplateInfo, and RecordStatusNotifyUrl, which the vendor never answers.
fn info(template: &CallbackTemplate) -> Value {
    let mut info = json!({
        "TemplateId": template.id,
        "TemplateName": template.name,
        "Description": template.description,
        "RecordExceptionLevels": template.record_exception_levels,
        "CallbackKey": template.key,
    });
    if let Value::Object(fields) = &mut info {
        fields.extend(template.urls().map(|(name, url)| (name.to_owned(), url.into())));
    }
    info
}
