//! `/healthz`, `/readyz`, `/metrics`: for whatever looks after the process.

use std::time::Duration;

use axum::{
    extract,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use tokio::{sync::Mutex, time::Instant};

use super::state::State;

/// Database and store must answer within this time to count as ready.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer is good for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// What cannot be used, one line each, as it was found last.
#[derive(Default)]
pub struct Readiness {
    found: Mutex<Option<(Instant, String)>>,
}

impl Readiness {
    /// Looks, unless somebody has just done so: whoever asks, and how often, costs database and store
    /// no more than one look a second.
    async fn faults(&self, state: &State) -> String {
        let mut found = self.found.lock().await;
        if let Some((at, faults)) = &*found
            && at.elapsed() < LOOK_EVERY
        {
            return faults.clone();
        }
        let faults = look(state).await;
        *found = Some((Instant::now(), faults.clone()));
        faults
    }
}

async fn look(state: &State) -> String {
    let database = async {
        let ping = tokio::time::timeout(PROBE_TIMEOUT, state.db.ping_writer()).await;
        ping.map_err(|_| "time-out".to_owned())?.map_err(|e| e.to_string())
    };
    let storage = async {
        let check = tokio::time::timeout(PROBE_TIMEOUT, state.store.check()).await;
        check.map_err(|_| "time-out".to_owned())?.map_err(|e| e.to_string())
    };
    let (database, storage) = tokio::join!(database, storage);
    let mut faults = String::new();
    for (what, result) in [("database", database), ("storage", storage)] {
        if let Err(error) = result {
            // The text may name hosts and paths: it goes to the log, not to whoever asks.
            tracing::warn!(%error, "not ready: the {what} cannot be used");
            faults.push_str(what);
            faults.push_str(" cannot be used\n");
        }
    }
    faults
}

/// Database and store can be used. 503 and the reason otherwise; pushes are taken all the same.
pub async fn readyz(extract::State(state): extract::State<State>) -> Response {
    let faults = state.readiness.faults(&state).await;
    match faults.is_empty() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, faults).into_response(),
    }
}

/// Metrics in the text format of Prometheus.
pub async fn metrics(extract::State(state): extract::State<State>) -> Response {
    let text_format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (text_format, state.metrics.render()).into_response()
}
