//! What became of events: DescribeCallbackRecordsList (spec live-api 10), and two actions of this
//! server's own, LiverecDescribeCallbacks and LiverecReplayCallback.
//!
//! ResultCode is 0 for an accepted event, else the HTTP status that was answered, or 1 without an
//! answer, 2 without one in time, 3 where `callback.deny_networks` forbids to ask. As a parameter it
//! is 0 for the accepted attempts and anything else for the failed ones.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result, shown},
    params::Params,
    scope::{self, not_found},
    state::State,
};
use crate::{
    db::callback::{
        log::LogSearch,
        replay::{CallbackSearch, StoredCallback},
    },
    domain::callback::{self, EventType},
};

/// Longest span that DescribeCallbackRecordsList is asked for.
const MAX_SPAN_MS: i64 = 24 * 3600 * 1000;
/// How far back it reaches; a minute more, for clocks that differ.
const MAX_AGE_MS: i64 = 14 * MAX_SPAN_MS + 60_000;
/// Largest page.
const MAX_PAGE: u64 = 100;
/// Most events replayed by one call.
const MAX_REPLAYS: u64 = 500;

/// The two forms of a time, and answers come in the form of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `2026-11-22T10:43:56Z`.
    Utc,
    /// `2026-11-22 18:43:56` at `api.utc_offset`.
    Local,
}

/// DescribeCallbackRecordsList: the attempts to deliver the events of a stream, newest first.
pub async fn describe(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let (from_ms, form) = req_time(state, &mut params, "StartTime")?;
    let (to_ms, _) = req_time(state, &mut params, "EndTime")?;
    let stream = params.req_str("StreamName")?;
    let page_num = params.req_u64("PageNum")?;
    let page_size = params.req_u64("PageSize")?;
    let event_type = params.opt_u64("EventType")?;
    let result_code = params.opt_i64("ResultCode")?;
    params.finish()?;
    if to_ms < from_ms || to_ms.saturating_sub(from_ms) > MAX_SPAN_MS {
        return Err(ApiError::invalid_value(
            "EndTime must be at or after StartTime, and at most one day after it.",
        ));
    }
    if from_ms < state.now_ms().saturating_sub(MAX_AGE_MS) {
        return Err(ApiError::invalid_value("StartTime is more than 14 days ago."));
    }
    let offset = page(page_num, page_size)?;
    let search = LogSearch {
        stream,
        from_ms,
        // A time says no more than the second.
        to_ms: to_ms.saturating_add(999),
        event_type: event_type.map(|number| i64::try_from(number).unwrap_or(i64::MAX)),
        is_accepted: result_code.map(|code| code == 0),
        offset,
        limit: page_size,
    };
    let (total, attempts) = state.db.search_callback_log(&search).await?;
    let list: Vec<Value> = attempts
        .iter()
        .map(|attempt| {
            json!({
                "EventTime": time(state, form, attempt.event_ms),
                "EventType": attempt.event_type,
                "Request": attempt.request,
                "Response": attempt.response,
                "ResponseTime": time(state, form, attempt.ended_ms),
                "ResultCode": attempt.result_code,
                "StreamId": attempt.stream,
            })
        })
        .collect();
    Ok(json!({
        "DataInfoList": list,
        "PageNum": page_num,
        "PageSize": page_size,
        "TotalNum": total,
        "TotalPage": total.div_ceil(page_size),
    }))
}

/// LiverecDescribeCallbacks: events of the outbox, waiting and over, the oldest first.
pub async fn describe_events(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let mut search = read_search(state, &mut params)?;
    let page_num = params.opt_u64("PageNum")?.unwrap_or(1);
    let page_size = params.opt_u64("PageSize")?.unwrap_or(20);
    params.finish()?;
    search.offset = page(page_num, page_size)?;
    search.limit = page_size;
    let (total, found) = state.db.search_callbacks(&search).await?;
    let list: Vec<Value> = found.iter().map(|callback| info(state, callback)).collect();
    Ok(json!({ "TotalCount": total, "CallbackSet": list }))
}

/// LiverecReplayCallback: sends events that are over once more: one by CallbackId, or those that
/// failed (`State`: `failed` or `delivered`) of a stream, event or time. Each goes, with its id and
/// body, to where the callback template of its stream sends such events now.
pub async fn replay(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let mut search = read_search(state, &mut params)?;
    let limit = params.opt_u64("Limit")?.unwrap_or(100);
    params.finish()?;
    if !(1..=MAX_REPLAYS).contains(&limit) {
        return Err(ApiError::invalid_value(format!("Limit must be from 1 to {MAX_REPLAYS}.")));
    }
    if search.id.is_none() {
        if search.stream.is_none() && search.from_ms == 0 {
            return Err(ApiError::missing("CallbackId, StreamName or StartTime"));
        }
        search.state = search.state.or(Some("failed"));
    }
    search.limit = limit;
    let (total, found) = state.db.search_callbacks(&search).await?;
    if found.is_empty() && search.id.is_some() {
        return Err(not_found("callback"));
    }
    let (mut replayed, mut skipped) = (Vec::new(), Vec::new());
    for callback in &found {
        match replay_one(state, callback).await? {
            None => replayed.push(callback.id.as_str()),
            Some(reason) => skipped.push(json!({ "CallbackId": callback.id, "Reason": reason })),
        }
    }
    state.db.outbox_changed().notify_one();
    Ok(json!({ "TotalCount": total, "ReplayedSet": replayed, "SkippedSet": skipped }))
}

/// Why an event is not replayed, if it is not.
async fn replay_one(state: &State, callback: &StoredCallback) -> Result<Option<&'static str>> {
    let snapshot = state.snapshot.load_full();
    let path = callback::path_of(&callback.body);
    let template = path.and_then(|path| callback::template_for(&snapshot, &path));
    let Some(template) = template else {
        return Ok(Some("no callback rule matches its stream any more"));
    };
    let url = EventType::of_number(callback.event_type).map_or("", |t| t.address(template));
    if url.is_empty() {
        return Ok(Some("the callback template of its stream has no URL for this event"));
    }
    let is_done = state.db.replay_callback(callback, url, &template.key, state.now_ms()).await?;
    Ok((!is_done).then_some("it is waiting to be delivered"))
}

fn read_search(state: &State, params: &mut Params) -> Result<CallbackSearch> {
    let id = params.opt_str("CallbackId")?;
    let stream = scope::stream(params)?;
    let wanted = match params.opt_str("State")?.as_deref() {
        None => None,
        Some("pending") => Some("pending"),
        Some("delivered") => Some("delivered"),
        Some("failed") => Some("failed"),
        Some(_) => {
            return Err(ApiError::invalid_value("State must be pending, delivered or failed."));
        }
    };
    let event_type = params.opt_u64("EventType")?;
    Ok(CallbackSearch {
        id,
        stream: Some(stream).filter(|stream| !stream.is_empty()),
        state: wanted,
        event_type: event_type.map(|number| i64::try_from(number).unwrap_or(i64::MAX)),
        from_ms: opt_time(state, params, "StartTime")?.map_or(0, |(ms, _)| ms),
        to_ms: opt_time(state, params, "EndTime")?
            .map_or(i64::MAX, |(ms, _)| ms.saturating_add(999)),
        offset: 0,
        limit: 0,
    })
}

fn info(state: &State, callback: &StoredCallback) -> Value {
    json!({
        "CallbackId": callback.id,
        "EventType": callback.event_type,
        "Stream": callback.stream_path,
        "Url": callback.url,
        "State": callback.state,
        "Attempts": callback.attempts,
        "Replays": callback.replays,
        "LastResult": callback.last_result,
        "EventTime": time(state, Form::Utc, callback.created_ms),
        "UpdateTime": time(state, Form::Utc, callback.updated_ms),
        "NextTryTime": match callback.state.as_str() {
            "pending" => time(state, Form::Utc, callback.next_try_ms),
            _ => String::new(),
        },
    })
}

/// How many rows are before a page.
fn page(number: u64, size: u64) -> Result<u64> {
    if number == 0 || !(1..=MAX_PAGE).contains(&size) {
        return Err(ApiError::invalid_value(format!(
            "PageNum must be at least 1 and PageSize from 1 to {MAX_PAGE}."
        )));
    }
    Ok((number - 1).saturating_mul(size))
}

fn time(state: &State, form: Form, unix_ms: i64) -> String {
    match form {
        Form::Local => state.settings.local_time(unix_ms),
        Form::Utc => {
            let time = DateTime::from_timestamp_millis(unix_ms).unwrap_or(DateTime::UNIX_EPOCH);
            time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
        }
    }
}

fn req_time(state: &State, params: &mut Params, name: &str) -> Result<(i64, Form)> {
    opt_time(state, params, name)?.ok_or_else(|| ApiError::missing(name))
}

/// Unix milliseconds and the form in which they were said.
fn opt_time(state: &State, params: &mut Params, name: &str) -> Result<Option<(i64, Form)>> {
    let Some(text) = params.opt_str(name)? else { return Ok(None) };
    if let Ok(time) = DateTime::parse_from_rfc3339(&text) {
        return Ok(Some((time.with_timezone(&Utc).timestamp_millis(), Form::Utc)));
    }
    let local = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S")
        .ok()
        .and_then(|time| time.and_local_timezone(state.settings.utc_offset).single());
    match local {
        Some(time) => Ok(Some((time.timestamp_millis(), Form::Local))),
        None => Err(ApiError::invalid_value(format!(
            "{name} `{}` is neither like 2026-11-22T10:43:56Z nor like 2026-11-22 18:43:56.",
            shown(&text)
        ))),
    }
}
