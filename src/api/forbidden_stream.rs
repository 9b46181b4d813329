//! Actions on bans of streams (spec live-api 14). What a ban looks at is `publish.forbid_scope`.

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    page::Page,
    params::Params,
    scope::odd_name,
    state::State,
    stream,
    time::{parse_utc, utc},
};
use crate::domain::{
    forbidden_stream::{
        DEFAULT_BAN_MS, ForbidScope, ForbiddenStream, MAX_BAN_MS, MAX_REASON_BYTES,
    },
    session::EndReason,
};

/// ForbidLiveStream: no push of the stream is accepted until `ResumeTime`; one that is live ends.
pub async fn forbid(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let now_ms = state.now_ms();
    let path = stream::path(&mut params)?;
    match state.settings.forbid_scope {
        // The other names are not looked at.
        ForbidScope::Name => path.stream.check_pushable(),
        ForbidScope::Path => path.check_pushable(),
    }
    .map_err(odd_name)?;
    let resume_ms = match params.opt_str("ResumeTime")? {
        Some(text) => parse_utc("ResumeTime", &text)?,
        None => now_ms.saturating_add(DEFAULT_BAN_MS),
    };
    let reason = params.opt_str("Reason")?.unwrap_or_default();
    params.finish()?;
    if resume_ms <= now_ms || resume_ms > now_ms.saturating_add(MAX_BAN_MS) {
        let message = "ResumeTime must be in the future, at most 90 days.";
        return Err(ApiError::invalid_value(message));
    }
    if reason.len() > MAX_REASON_BYTES {
        let message = format!("Reason must be at most {MAX_REASON_BYTES} bytes long.");
        return Err(ApiError::invalid_value(message));
    }
    let ban = ForbiddenStream { path, reason, resume_ms, created_ms: now_ms };
    if !state.change(state.db.forbid_stream(&ban, now_ms)).await? {
        return Err(ApiError::new("LimitExceeded", "There are too many bans."));
    }
    for live in state.live.list() {
        if ban.forbids(&live.session.path, state.settings.forbid_scope, now_ms) {
            live.end(EndReason::Forbidden);
        }
    }
    Ok(json!({}))
}

/// ResumeLiveStream. No error without a ban.
pub async fn resume(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let path = stream::path(&mut params)?;
    params.finish()?;
    let by_name = state.settings.forbid_scope == ForbidScope::Name;
    state.change(state.db.resume_stream(&path, by_name)).await?;
    Ok(json!({}))
}

/// DescribeLiveForbidStreamList, which older SDKs still call.
pub async fn describe_all(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let name = stream::filter(&mut params, "StreamName")?;
    let page = Page::read(&mut params, 1..=100)?;
    params.finish()?;
    let mut bans = state.db.forbidden_streams(state.now_ms()).await?;
    bans.retain(|ban| name.is_empty() || ban.path.stream.as_str() == name);
    let rows = page.of(&bans).iter().map(|ban| {
        json!({
            "StreamName": ban.path.stream,
            "AppName": ban.path.app,
            "DomainName": ban.path.domain,
            "CreateTime": utc(ban.created_ms),
            "ExpireTime": utc(ban.resume_ms),
        })
    });
    let rows = rows.collect();
    Ok(page.answer("ForbidStreamList", bans.len() as u64, rows))
}
