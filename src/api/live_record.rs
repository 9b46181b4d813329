//! Legacy record tasks: CreateLiveRecord, StopLiveRecord, DeleteLiveRecord (spec live-api 8).
//!
//! A legacy task is a record task that carries what it records; its id is a number. The two APIs
//! are not interchangeable: neither finds the other's tasks.

use chrono::NaiveDateTime;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result, shown},
    params::Params,
    record_task::{task_created, window_error},
    scope::{self, odd_name},
    state::State,
};
use crate::domain::{
    container::Container,
    plan::default_profile,
    record_task::{RecordTask, check_window},
    record_template::RecordTemplate,
    stream::{AppName, StreamName, StreamPath},
};

/// Longest real-time recording, in seconds.
const MAX_HIGHLIGHT_S: i64 = 30 * 60;
/// `record_interval`, in seconds.
const INTERVALS_S: std::ops::RangeInclusive<i64> = 1800..=7200;
/// Longest `storage_time`, in seconds: 1500 days.
const MAX_STORAGE_S: i64 = 1500 * 24 * 3600;
const DAY_S: i64 = 24 * 3600;

/// CreateLiveRecord.
pub async fn create(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let now_ms = state.now_ms();
    let now_s = now_ms.div_euclid(1000);
    let path = StreamPath {
        stream: StreamName::parse(&params.req_str("StreamName")?).map_err(odd_name)?,
        app: AppName::parse(&params.opt_str("AppName")?.unwrap_or_else(|| "live".to_owned()))
            .map_err(odd_name)?,
        domain: match params.has("DomainName") {
            true => scope::domain(state, &mut params, scope::INVALID)?,
            false => state.settings.default_domain.clone(),
        },
    };
    path.check_pushable().map_err(odd_name)?;
    let is_highlight = params.opt_flag("Highlight")?.unwrap_or(false);
    let start = match is_highlight {
        true => {
            params.accept(&["StartTime"]);
            None
        }
        false => time(state, &mut params, "StartTime")?,
    };
    let end = time(state, &mut params, "EndTime")?;
    let is_mixed = params.opt_flag("MixStream")?.unwrap_or(false);
    let kind = params.opt_str("RecordType")?.unwrap_or_default().to_ascii_lowercase();
    let format = params.opt_str("FileFormat")?.unwrap_or_default().to_ascii_lowercase();
    let extra = params.opt_str("StreamParam")?.unwrap_or_default();
    params.finish()?;
    let profile = profile(&kind, &format, &extra)?;
    let (start_s, end_s) = match is_highlight {
        true => {
            if state.live.get(&path).is_none() {
                let message = format!("The stream {path} is not live.");
                return Err(ApiError::new("ResourceUnavailable.StreamNotExist", message));
            }
            let latest_s = now_s.saturating_add(MAX_HIGHLIGHT_S);
            let end_s = end.filter(|end_s| (now_s + 1..=latest_s).contains(end_s));
            (now_s, end_s.unwrap_or(latest_s))
        }
        false => {
            let start_s = start.ok_or_else(|| ApiError::missing("StartTime"))?;
            let end_s = end.ok_or_else(|| ApiError::missing("EndTime"))?;
            check_window(start_s, end_s, now_s).map_err(window_error)?;
            (start_s, end_s)
        }
    };
    let offset_s = i64::from(state.settings.utc_offset.local_minus_utc());
    let day_s = (now_s + offset_s).div_euclid(DAY_S) * DAY_S - offset_s;
    let task = RecordTask {
        // Becomes a number.
        id: String::new(),
        path,
        start_s,
        end_s,
        template_id: 0,
        stream_type: i64::from(is_mixed),
        profile: Some(profile),
        stopped_ms: 0,
        deleted_ms: 0,
        created_ms: now_ms,
    };
    let creation = state.db.create_legacy_task(&task, day_s, now_ms);
    let (created, number) = state.change(creation).await?;
    task_created(state, created, &task)?;
    Ok(json!({ "TaskId": number }))
}

/// StopLiveRecord: what it records is finished at once, and it never starts again.
pub async fn stop(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let id = known_task(state, &mut params).await?;
    params.finish()?;
    match state.change(state.db.stop_record_task(&id, state.now_ms())).await? {
        true => Ok(json!({})),
        false => Err(unknown_task()),
    }
}

/// DeleteLiveRecord: what it records goes on, and it never starts again.
pub async fn delete(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let id = known_task(state, &mut params).await?;
    params.finish()?;
    match state.change(state.db.delete_record_task(&id, state.now_ms())).await? {
        true => Ok(json!({})),
        false => Err(unknown_task()),
    }
}

/// The id of the task that is named, if it is a legacy one of the named stream.
async fn known_task(state: &State, params: &mut Params) -> Result<String> {
    let stream = params.req_str("StreamName")?;
    let id = params.req_i64("TaskId")?.to_string();
    let task = state.db.record_task(&id).await?;
    let is_it = |task: &RecordTask| task.profile.is_some() && task.path.stream.as_str() == stream;
    task.filter(is_it).map(|task| task.id).ok_or_else(unknown_task)
}

fn unknown_task() -> ApiError {
    ApiError::new("ResourceNotFound.TaskId", "There is no task with this TaskId and StreamName.")
}

/// What is recorded: one format, with the two settings that `StreamParam` may have.
fn profile(kind: &str, format: &str, extra: &str) -> Result<RecordTemplate> {
    let container = match format {
        "" | "flv" => Container::Flv,
        "hls" => Container::Hls,
        "mp4" => Container::Mp4,
        "aac" => Container::Aac,
        "mp3" => {
            let message = "FileFormat mp3 needs encoding, which this server does not do.";
            return Err(ApiError::invalid_value(message));
        }
        _ => {
            let message = "FileFormat must be flv, hls, mp4, aac or mp3.";
            return Err(ApiError::invalid_value(message));
        }
    };
    match (kind, container) {
        ("" | "video", _) | ("audio", Container::Aac) => {}
        ("audio", _) => {
            let message = "RecordType audio is recorded with FileFormat aac only.";
            return Err(ApiError::invalid_value(message));
        }
        _ => return Err(ApiError::invalid_value("RecordType must be video or audio.")),
    }
    let mut template = default_profile(container);
    let param = match container {
        Container::Flv => &mut template.flv,
        Container::Hls => &mut template.hls,
        Container::Mp4 => &mut template.mp4,
        Container::Aac => &mut template.aac,
    };
    for (name, value) in pairs(extra)? {
        let number = value.parse::<i64>().map_err(|_| odd_extra(&name));
        match name.as_str() {
            "record_interval" => {
                param.record_interval = number?;
                if !INTERVALS_S.contains(&param.record_interval) {
                    return Err(odd_extra(&name));
                }
            }
            "storage_time" => {
                param.storage_time = number?;
                if !(0..=MAX_STORAGE_S).contains(&param.storage_time) {
                    return Err(odd_extra(&name));
                }
            }
            _ => return Err(odd_extra(&name)),
        }
    }
    Ok(template)
}

/// `StreamParam`, as a query or as one that was encoded once more.
fn pairs(extra: &str) -> Result<Vec<(String, String)>> {
    let plain = match extra.contains('=') {
        true => extra.to_owned(),
        false => decoded(extra)
            .ok_or_else(|| ApiError::invalid_value("StreamParam is not UTF-8 text."))?,
    };
    super::decode::form_pairs(&plain)
}

fn odd_extra(name: &str) -> ApiError {
    let message = format!(
        "StreamParam may have record_interval (1800 to 7200) and storage_time, `{}` is not valid.",
        shown(name)
    );
    ApiError::invalid_value(message)
}

/// A local time `2018-09-11 12:04:01`, also as the vendor's text asks for it, encoded as in a URL.
/// Answers unix seconds.
fn time(state: &State, params: &mut Params, name: &str) -> Result<Option<i64>> {
    let Some(text) = params.opt_str(name)? else { return Ok(None) };
    let odd = || {
        let message = format!("{name} must be a local time such as 2018-09-11 12:04:01.");
        ApiError::invalid_value(message)
    };
    let plain = decoded(&text.replace('+', " ")).ok_or_else(odd)?;
    let local = NaiveDateTime::parse_from_str(&plain, "%Y-%m-%d %H:%M:%S").map_err(|_| odd())?;
    let time = local.and_local_timezone(state.settings.utc_offset).single().ok_or_else(odd)?;
    Ok(Some(time.timestamp()))
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}
