//! The audit log: what the gateway writes around every action that may change something, and
//! LiverecDescribeAudit, an action of this server's own, which reads it.

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    page::Page,
    params::{Fields, Params},
    state::State,
    stream::filter,
    time::{parse_utc, utc},
};
use crate::{
    db::audit::AuditSearch,
    domain::{
        audit::{AuditEntry, Audited, masked},
        ids::DecimalId,
    },
};

/// Rows of a page.
const SIZES: std::ops::RangeInclusive<u64> = 1..=100;

/// Writes down what is asked for. Without this row nothing is changed.
pub(super) async fn begin(
    state: &State,
    caller: &Caller,
    action: &str,
    (peer, request_id): (&str, &str),
    fields: &Fields,
) -> Result<DecimalId> {
    let at_ms = state.now_ms();
    let entry = AuditEntry {
        id: DecimalId::next(at_ms),
        at_ms,
        secret_id: caller.secret_id.clone(),
        role: caller.role.as_str().to_owned(),
        action: action.to_owned(),
        peer: peer.to_owned(),
        request_id: request_id.to_owned(),
        parameters: masked(fields),
    };
    state.db.insert_audit(&entry).await?;
    Ok(entry.id)
}

/// Writes down what came of it. The change is made or not made by now: a failure here is only told.
pub(super) async fn finish(state: &State, id: DecimalId, answer: &Result<Value>) {
    let (outcome, fields) = match answer {
        Ok(value) => ("OK", value.as_object().map(masked).unwrap_or_default()),
        Err(error) => (error.code(), String::new()),
    };
    if let Err(error) = state.db.finish_audit(id, outcome, &fields).await {
        tracing::warn!(%error, audit.id = %id, outcome, "the outcome of an action is missing in the audit log");
    }
}

/// LiverecDescribeAudit: changes that were asked for, the newest first. `StartTime`, `EndTime` (UTC),
/// `SecretId`, `ActionName`, and `Text`, to be found in the parameters, narrow it down.
pub async fn describe(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let page = Page::read(&mut params, SIZES)?;
    let mut time = |name: &str| -> Result<Option<i64>> {
        params.opt_str(name)?.map(|text| parse_utc(name, &text)).transpose()
    };
    let (start_ms, end_ms) = (time("StartTime")?, time("EndTime")?);
    let search = AuditSearch {
        start_ms: start_ms.unwrap_or(0),
        // A time in a request is a whole second.
        end_ms: end_ms.map_or(i64::MAX, |end_ms| end_ms.saturating_add(999)),
        secret_id: filter(&mut params, "SecretId")?,
        action: filter(&mut params, "ActionName")?,
        text: filter(&mut params, "Text")?,
        offset: page.offset(),
        limit: page.size,
    };
    params.finish()?;
    if search.end_ms < search.start_ms {
        return Err(ApiError::invalid_value("EndTime must not be before StartTime."));
    }
    let (total, rows) = state.db.audit(&search).await?;
    Ok(page.answer("AuditList", total, rows.iter().map(row).collect()))
}

fn row(Audited { entry, outcome, answer }: &Audited) -> Value {
    json!({
        "AuditId": entry.id.to_string(),
        "Time": utc(entry.at_ms),
        "SecretId": entry.secret_id,
        "Role": entry.role,
        "ActionName": entry.action,
        "ClientIp": entry.peer,
        "RequestId": entry.request_id,
        "Parameters": entry.parameters,
        "Outcome": if outcome.is_empty() { "unknown" } else { outcome },
        "Answer": answer,
    })
}
