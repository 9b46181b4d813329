//! Actions on recordings as a whole (spec live-api 14): how many streams were recorded at a time.

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    params::Params,
    scope::odd_name,
    state::State,
    time::{parse_any, utc},
};
use crate::domain::{record_count::peaks, stream::DomainName};

/// Distance of two points, in milliseconds: 5 minutes.
const STEP_MS: i64 = 5 * 60 * 1000;
/// Longest stretch, in milliseconds: 31 days.
const MAX_SPAN_MS: i64 = 31 * 24 * 3600 * 1000;
/// How far back, in milliseconds: 180 days.
const MAX_AGE_MS: i64 = 180 * 24 * 3600 * 1000;
/// Push domains that may be named.
const MAX_DOMAINS: usize = 100;

/// DescribeConcurrentRecordStreamNum: the peak of every 5 minutes. There is one region and no slow
/// live: the answer to what is asked of another is 0.
pub async fn concurrent(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let offset = state.settings.utc_offset;
    let kind = params.req_str("LiveType")?;
    let start_ms = parse_any("StartTime", &params.req_str("StartTime")?, offset)?;
    let end_ms = parse_any("EndTime", &params.req_str("EndTime")?, offset)?;
    let region = params.opt_str("MainlandOrOversea")?.unwrap_or_default();
    let domains = params.opt_list_str("PushDomains", MAX_DOMAINS)?.unwrap_or_default();
    params.finish()?;
    let domains = domains.iter().map(|text| DomainName::parse(text).map_err(odd_name));
    let domains = domains.collect::<Result<Vec<_>>>()?;
    if !["NormalLive", "SlowLive"].contains(&kind.as_str()) {
        return Err(ApiError::invalid_value("LiveType must be NormalLive or SlowLive."));
    }
    if !["", "Mainland", "Oversea"].contains(&region.as_str()) {
        let message = "MainlandOrOversea must be Mainland, Oversea or empty.";
        return Err(ApiError::invalid_value(message));
    }
    if end_ms <= start_ms {
        return Err(ApiError::invalid_value("StartTime must less than EndTime!"));
    }
    if end_ms.saturating_sub(start_ms) > MAX_SPAN_MS {
        return Err(ApiError::invalid_value("EndTime must be at most 31 days after StartTime."));
    }
    if start_ms < state.now_ms().saturating_sub(MAX_AGE_MS) {
        return Err(ApiError::invalid_value("StartTime must be within the last 180 days."));
    }
    let from_ms = start_ms.div_euclid(STEP_MS) * STEP_MS;
    let has_any = kind == "NormalLive" && region != "Oversea";
    let mut stretches = match has_any {
        true => state.db.recorded_stretches(from_ms, end_ms).await?,
        false => Vec::new(),
    };
    stretches.retain(|stretch| domains.is_empty() || domains.contains(&stretch.path.domain));
    let points = peaks(&stretches, from_ms, end_ms.min(state.now_ms().max(from_ms)), STEP_MS);
    let list: Vec<Value> = points
        .into_iter()
        .map(|(at_ms, streams)| json!({ "Time": utc(at_ms), "Num": streams }))
        .collect();
    Ok(json!({ "DataInfoList": list }))
}
