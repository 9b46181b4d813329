//! Actions on record tasks (spec live-api 7).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::Rng;
use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    params::Params,
    scope::{self, odd_name},
    state::State,
};
use crate::{
    db::record_task::{TaskCreation, TaskFilter},
    domain::{
        record_task::{ID_LEN, KEPT_S, RecordTask, WindowError, check_window},
        stream::{AppName, DomainName, StreamName, StreamPath},
    },
};

/// Tasks in one answer of DescribeRecordTask.
const PAGE: usize = 100;
/// Longest window that DescribeRecordTask looks at, in seconds.
const MAX_SPAN_S: i64 = 7 * 24 * 3600;
/// Longest ScrollToken, in bytes.
const MAX_TOKEN_BYTES: usize = 256;

/// CreateRecordTask. The domain is registered as a push domain if it is not yet. A template that
/// does not exist means the default profile, when the recording starts.
pub async fn create(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let now_ms = state.now_ms();
    let now_s = now_ms.div_euclid(1000);
    let path = StreamPath {
        stream: StreamName::parse(&params.req_str("StreamName")?).map_err(odd_name)?,
        domain: scope::domain(state, &mut params, scope::INVALID)?,
        app: AppName::parse(&params.req_str("AppName")?).map_err(odd_name)?,
    };
    path.check_pushable().map_err(odd_name)?;
    let end = params.req_u64("EndTime")?;
    let end_s = seconds("EndTime", end)?;
    let start = params.opt_u64("StartTime")?.filter(|start| *start != 0);
    let start_s = start.map(|start| seconds("StartTime", start)).transpose()?.unwrap_or(now_s);
    let stream_type = match params.opt_u64("StreamType")?.unwrap_or(0) {
        0 => 0,
        1 => 1,
        _ => return Err(ApiError::invalid("StreamType must be 0 or 1.")),
    };
    // An id beyond what templates can have is as wrong as any other: the default profile.
    let template_id =
        params.opt_u64("TemplateId")?.and_then(|id| i64::try_from(id).ok()).unwrap_or(0);
    params.accept(&["Extension"]);
    params.finish()?;
    check_window(start_s, end_s, now_s).map_err(window_error)?;
    let task = RecordTask {
        id: rand::rng()
            .sample_iter(rand::distr::Alphanumeric)
            .take(ID_LEN)
            .map(char::from)
            .collect(),
        path,
        start_s,
        end_s,
        template_id,
        stream_type,
        profile: None,
        stopped_ms: 0,
        deleted_ms: 0,
        created_ms: now_ms,
    };
    let created = state.change(state.db.create_record_task(&task, now_ms)).await?;
    task_created(state, created, &task)?;
    Ok(json!({ "TaskId": task.id }))
}

/// The answer to a task that was to be created, of either API.
pub(super) fn task_created(state: &State, creation: TaskCreation, task: &RecordTask) -> Result<()> {
    match creation {
        TaskCreation::Created => Ok(()),
        TaskCreation::Full => Err(ApiError::new(
            "LimitExceeded.MaximumRunningTask",
            "There are too many unfinished tasks.",
        )),
        TaskCreation::DayFull => {
            let max = state.db.limits().legacy_tasks_per_day;
            let message = format!("There were {max} tasks today.");
            Err(ApiError::new("LimitExceeded.MaximumTask", message))
        }
        TaskCreation::NoDomain(why) => Err(scope::unregistered(state, &task.path.domain, why)),
    }
}

/// StopRecordTask: what it records is finished at once, and it never starts again.
pub async fn stop(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let id = task_id(&mut params)?;
    params.finish()?;
    match state.change(state.db.stop_record_task(&id, state.now_ms())).await? {
        true => Ok(json!({})),
        false => Err(unknown_task()),
    }
}

/// DeleteRecordTask: what it records goes on, and it never starts again.
pub async fn delete(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let id = task_id(&mut params)?;
    params.finish()?;
    match state.change(state.db.delete_record_task(&id, state.now_ms())).await? {
        true => Ok(json!({})),
        false => Err(unknown_task()),
    }
}

/// DescribeRecordTask: tasks that lie inside a window, page by page.
pub async fn describe(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let oldest_s = state.now_ms().div_euclid(1000).saturating_sub(KEPT_S);
    let start = params.req_u64("StartTime")?;
    let end = params.req_u64("EndTime")?;
    let (start_s, end_s) = (seconds("StartTime", start)?, seconds("EndTime", end)?);
    let domain = match params.opt_str("DomainName")? {
        None => String::new(),
        Some(text) => DomainName::parse(&text).map_err(odd_name)?.as_str().to_owned(),
    };
    let app = scope::app(&mut params)?;
    let stream = scope::stream(&mut params)?;
    let after = params.opt_str("ScrollToken")?.map(|token| parse_token(&token)).transpose()?;
    params.finish()?;
    if end_s <= start_s {
        return Err(ApiError::invalid("EndTime must be later than StartTime."));
    }
    if start_s < oldest_s {
        return Err(ApiError::invalid("StartTime must not be more than 90 days ago."));
    }
    if end_s.saturating_sub(start_s) > MAX_SPAN_S {
        return Err(ApiError::invalid("EndTime must be at most 7 days after StartTime."));
    }
    let filter = TaskFilter { start_s, end_s, domain, app, stream, after };
    let mut tasks = state.db.record_tasks(&filter, PAGE as i64 + 1).await?;
    let has_more = tasks.len() > PAGE;
    tasks.truncate(PAGE);
    let token = tasks.last().filter(|_| has_more).map_or_else(String::new, token_after);
    let templates = &state.snapshot.load().record_templates;
    let list: Vec<Value> = tasks
        .iter()
        .map(|task| {
            let has_template = templates.contains_key(&task.template_id);
            json!({
                "TaskId": task.id,
                "DomainName": task.path.domain,
                "AppName": task.path.app,
                "StreamName": task.path.stream,
                "StartTime": task.start_s,
                "EndTime": task.end_s,
                "TemplateId": if has_template { task.template_id } else { 0 },
                "Stopped": task.stopped_ms.div_euclid(1000),
            })
        })
        .collect();
    Ok(json!({ "ScrollToken": token, "TaskList": list }))
}

/// The refusal for a window that a task cannot have.
pub(super) fn window_error(error: WindowError) -> ApiError {
    ApiError::invalid(format!("{error}."))
}

fn seconds(name: &str, value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| ApiError::invalid(format!("{name} is not a time.")))
}

/// A TaskId that can be one of the new API; legacy tasks have numbers.
fn task_id(params: &mut Params) -> Result<String> {
    let id = params.req_str("TaskId")?;
    if id.len() == ID_LEN { Ok(id) } else { Err(unknown_task()) }
}

/// Neither Stop nor Delete has a code of its own for this (spec live-api 17).
fn unknown_task() -> ApiError {
    ApiError::invalid("There is no task with this TaskId.")
}

fn token_after(task: &RecordTask) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}.{}", task.start_s, task.id))
}

fn parse_token(token: &str) -> Result<(i64, String)> {
    let odd = || ApiError::invalid("ScrollToken is not one of this server.");
    if token.len() > MAX_TOKEN_BYTES {
        return Err(odd());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| odd())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| odd())?;
    let (start, id) = text.split_once('.').ok_or_else(odd)?;
    match id.len() == ID_LEN && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        true => Ok((start.parse().map_err(|_| odd())?, id.to_owned())),
        false => Err(odd()),
    }
}
