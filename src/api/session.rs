//! Actions on pushes that are over (spec live-api 14).

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    page::{MAX_REACH, Page},
    params::Params,
    scope::odd_name,
    state::State,
    stream::filter,
    time::{parse_utc, utc},
};
use crate::{
    db::session::{EndedSession, SessionSearch},
    domain::stream::DomainName,
};

/// Longest stretch that is looked at, in milliseconds: a month of 31 days.
const MAX_SPAN_MS: i64 = 31 * 24 * 3600 * 1000;
/// How far back, in milliseconds: two months.
const MAX_AGE_MS: i64 = 62 * 24 * 3600 * 1000;

/// DescribeLiveStreamPublishedList: pushes that began in a stretch of time and are over, newest first.
pub async fn published(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let domain = params.req_str("DomainName")?;
    let mut search = search(state, &mut params, Some(domain))?;
    let page = Page::read(&mut params, 10..=100)?;
    params.finish()?;
    search.by_start = true;
    answer(state, search, page, "PublishInfo").await
}

/// DescribeLiveStreamEventList: pushes that ended in a stretch of time.
pub async fn events(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let domain = params.opt_str("DomainName")?;
    let mut search = search(state, &mut params, domain)?;
    let page = Page::read(&mut params, 1..=100)?;
    search.is_exact = params.opt_flag("IsStrict")?.unwrap_or(false);
    search.is_ascending = params.opt_flag("IsAsc")?.unwrap_or(false);
    // A push that was refused left nothing behind: every one that is listed had begun.
    params.opt_flag("IsFilter")?;
    params.finish()?;
    answer(state, search, page, "EventList").await
}

fn search(state: &State, params: &mut Params, domain: Option<String>) -> Result<SessionSearch> {
    let now_ms = state.now_ms();
    let start_ms = parse_utc("StartTime", &params.req_str("StartTime")?)?;
    let end_ms = parse_utc("EndTime", &params.req_str("EndTime")?)?;
    let domain = match domain {
        Some(text) => DomainName::parse(&text).map_err(odd_name)?.as_str().to_owned(),
        None => String::new(),
    };
    let (app, stream) = (filter(params, "AppName")?, filter(params, "StreamName")?);
    if end_ms <= start_ms {
        return Err(ApiError::invalid_value("StartTime must less than EndTime!"));
    }
    if end_ms.saturating_sub(start_ms) > MAX_SPAN_MS {
        return Err(ApiError::invalid_value("EndTime must be at most a month after StartTime."));
    }
    if start_ms < now_ms.saturating_sub(MAX_AGE_MS) {
        return Err(ApiError::invalid_value("StartTime must be within the last two months."));
    }
    if end_ms > now_ms.saturating_add(state.settings.clock_skew_s.saturating_mul(1000)) {
        return Err(ApiError::invalid_value("EndTime must not be in the future."));
    }
    let by_start = false;
    let (is_exact, is_ascending) = (false, false);
    Ok(SessionSearch { start_ms, end_ms, domain, app, stream, is_exact, by_start, is_ascending })
}

async fn answer(
    state: &State,
    search: SessionSearch,
    page: Page,
    name: &'static str,
) -> Result<Value> {
    let size = page.size.min(MAX_REACH.saturating_sub(page.offset()));
    let (total, sessions) = state.db.ended_sessions(&search, page.offset(), size).await?;
    let rows = sessions.iter().map(row).collect();
    Ok(page.answer(name, total.min(MAX_REACH), rows))
}

fn row(ended: &EndedSession) -> Value {
    let session = &ended.session;
    let has_size = ended.width > 0 && ended.height > 0;
    let resolution = has_size.then(|| format!("{}*{}", ended.width, ended.height));
    json!({
        "AppName": session.path.app,
        "DomainName": session.path.domain,
        "StreamName": session.path.stream,
        "StreamStartTime": utc(session.started_ms),
        "StreamEndTime": utc(ended.ended_ms),
        "StopReason": ended.reason,
        "Duration": ended.ended_ms.saturating_sub(session.started_ms).max(0).div_euclid(1000),
        "ClientIp": client_ip(&session.user_ip),
        "Resolution": resolution.unwrap_or_default(),
    })
}

/// The vendor shows `-` for an encoder in a private network.
fn client_ip(text: &str) -> &str {
    let is_private = |ip: IpAddr| match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    match text.parse().map(is_private) {
        Ok(false) => text,
        Ok(true) | Err(_) => "-",
    }
}
