//! LiverecDoctor, an action of this server's own: examines what the server stands on, as the command
//! `liverec doctor` does, and removes nothing.
//!
//! Answers when the examination is over; one that takes longer than [`PATIENCE`] is given up, and the
//! command is the way.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    State,
    caller::Caller,
    error::{ApiError, Result},
    params::Params,
};
use crate::doctor::{Depth, Report, Status};

/// Longest examination. Shorter than what the gateway gives an action, so that the answer says what to
/// do.
const PATIENCE: Duration = Duration::from_secs(50);

/// LiverecDoctor.
pub async fn doctor(state: &State, _caller: &Caller, params: Params) -> Result<Value> {
    params.finish()?;
    let Some(doctor) = &state.doctor else {
        return Err(ApiError::new("FailedOperation", "This server has nothing to examine."));
    };
    match timeout(PATIENCE, doctor.examine(Depth::Probe)).await {
        Ok(Ok(report)) => Ok(answer(&report)),
        Ok(Err(busy)) => Err(ApiError::new(
            "RequestLimitExceeded",
            format!("The server was not examined: {busy}. Please try again later."),
        )),
        Err(_) => Err(ApiError::new(
            "FailedOperation",
            format!(
                "The examination takes longer than {} s; use the command `liverec doctor`.",
                PATIENCE.as_secs()
            ),
        )),
    }
}

fn answer(report: &Report) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "Check": finding.check,
                "Status": finding.status.as_str(),
                "Found": finding.found,
                "Advice": finding.advice,
                "Names": finding.names,
            })
        })
        .collect();
    json!({
        "Status": report.status().as_str(),
        "Warnings": report.count(Status::Warn),
        "Failures": report.count(Status::Fail),
        "FindingSet": findings,
    })
}
