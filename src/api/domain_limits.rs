//! LiverecModifyDomainLimits and LiverecDescribeDomainLimits, actions of this server's own: how many
//! streams at a time, which bit rate and how many hours a month the pushes to a domain may take.

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    params::Params,
    push_domain::{named, unknown},
    scope::INVALID,
    state::State,
};
use crate::domain::{domain_limits::LimitsChange, stream::DomainName};

/// Largest number of each limit.
const MOST: u64 = 1_000_000_000;

/// LiverecModifyDomainLimits: `MaxStreams`, `MaxBitrate` (kbit/s), `MaxHours` (a calendar month, UTC); 0
/// is no limit, what is not given stays as it is. New pushes are held to it.
pub async fn modify(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let domain = named(&mut params, INVALID)?;
    let mut number = |name: &str| -> Result<Option<i64>> {
        let Some(given) = params.opt_u64(name)? else { return Ok(None) };
        match i64::try_from(given).ok().filter(|_| given <= MOST) {
            Some(given) => Ok(Some(given)),
            None => Err(ApiError::invalid_value(format!("{name} must be at most {MOST}."))),
        }
    };
    let (streams, kbps, hours) =
        (number("MaxStreams")?, number("MaxBitrate")?, number("MaxHours")?);
    params.finish()?;
    if !state.snapshot.load().push_domains.contains_key(&domain) {
        return Err(unknown("ResourceNotFound.DomainNotExist", &domain));
    }
    let change = LimitsChange { streams, kbps, hours };
    state.change(state.db.change_domain_limits(&domain, &change)).await?;
    Ok(json!({}))
}

/// LiverecDescribeDomainLimits: every domain that has limits, or the one that is named, and how far they
/// are used.
pub async fn describe(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let wanted = match params.opt_str("DomainName")? {
        Some(text) => Some(DomainName::parse(&text).map_err(super::scope::odd_name)?),
        None => None,
    };
    params.finish()?;
    let (snapshot, live) = (state.snapshot.load(), state.live.list());
    let rows = snapshot
        .domain_limits
        .iter()
        .filter(|(domain, _)| wanted.as_ref().is_none_or(|wanted| *domain == wanted));
    let rows = rows.map(|(domain, limits)| {
        let pushed_ms = snapshot.pushed_ms.get(domain).copied().unwrap_or(0);
        json!({
            "DomainName": domain,
            "MaxStreams": limits.streams,
            "MaxBitrate": limits.kbps,
            "MaxHours": limits.hours,
            "Streams": live.iter().filter(|live| live.session.path.domain == *domain).count(),
            "MinutesUsed": pushed_ms.div_euclid(60_000),
        })
    });
    Ok(json!({ "DomainLimitList": rows.collect::<Vec<_>>() }))
}
