//! The metrics of the process, and those that are read from the rows now and then: files by state,
//! delivery backlog.

use std::{sync::OnceLock, time::Duration};

use anyhow::{Context, Result};
use metrics::{counter, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::db::Db;

const EVERY: Duration = Duration::from_secs(3);

/// Refreshes the gauges until stopped. While the database is away they keep their values.
pub async fn run(db: Db, node_id: String, token: CancellationToken) {
    // Present from the start, so that an alert on absence means what it says.
    for outcome in ["delivered", "retried", "gave_up", "denied"] {
        counter!("liverec_callbacks_total", "outcome" => outcome).increment(0);
    }
    loop {
        if let Ok(counts) = db.count_media_files().await {
            for (state, count) in counts {
                gauge!("liverec_recordings", "state" => state.as_str()).set(count as f64);
            }
        }
        if let Ok(backlog) = db.delivery_backlog(&node_id).await {
            gauge!("liverec_delivery_backlog").set(backlog.files as f64);
        }
        tokio::select! {
            () = token.cancelled() => return,
            () = sleep(EVERY) => {}
        }
    }
}

/// The metrics of this process; several servers in one process share them.
pub(super) fn metrics_handle() -> Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        let _ = HANDLE.set(handle);
    }
    HANDLE.get().cloned().context("set up metrics")
}
