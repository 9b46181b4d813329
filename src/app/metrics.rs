//! The metrics of the process: where they are collected, what each says, and which are there before
//! anything has happened, so that an alert on absence, or on the first event, means what it says.
//!
//! They are counted where things happen, under the names that stand here; those that are read from the
//! rows now and then (files by state, delivery backlog) are counted here.

use std::{sync::OnceLock, time::Duration};

use anyhow::{Context, Result};
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::db::Db;

const READ_EVERY: Duration = Duration::from_secs(3);

const COUNTERS: [(&str, &str); 9] = [
    ("liverec_ingest_bytes_total", "Bytes received on RTMP connections."),
    ("liverec_journal_bytes_total", "Bytes written to journals."),
    ("liverec_callbacks_total", "Attempts to send a callback, by outcome."),
    ("liverec_refusals_total", "Connections, publishes and other requests refused, by reason."),
    ("liverec_api_requests_total", "API requests, by action (empty if not known) and error code."),
    ("liverec_delivery_attempts_total", "Attempts to store a media file that ended, by outcome."),
    (
        "liverec_delivery_parts_total",
        "Parts of media files stored, while they are recorded (live) or after that (ended).",
    ),
    ("liverec_delivery_part_bytes_total", "Bytes of those parts."),
    ("liverec_expired_files_total", "Media files removed because their storage time was over."),
];

const GAUGES: [(&str, &str); 6] = [
    ("liverec_streams_live", "Streams that are published now."),
    ("liverec_recordings", "Media files, by state."),
    (
        "liverec_delivery_backlog",
        "Media files of this node that have ended and are not stored yet.",
    ),
    (
        "liverec_delivery_files",
        "Media files of this node that are recorded or have ended, by how far delivery is.",
    ),
    ("liverec_disk_free_bytes", "Free bytes on the disk of the journals."),
    ("liverec_expiry_paused", "1 while nothing expires because the clock is in doubt."),
];

/// The metrics of this process; several servers in one process share them.
///
/// # Errors
/// Somebody else collects them.
pub(super) fn collect() -> Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        COUNTERS.iter().for_each(|(name, text)| describe_counter!(*name, *text));
        GAUGES.iter().for_each(|(name, text)| describe_gauge!(*name, *text));
        begin();
        let _ = HANDLE.set(handle);
    }
    HANDLE.get().cloned().context("set up metrics")
}

/// Series of which all labels are known beforehand.
fn begin() {
    for name in
        ["liverec_ingest_bytes_total", "liverec_journal_bytes_total", "liverec_expired_files_total"]
    {
        counter!(name).increment(0);
    }
    for outcome in ["delivered", "retried", "gave_up", "denied"] {
        counter!("liverec_callbacks_total", "outcome" => outcome).increment(0);
    }
    for outcome in ["stored", "empty", "failed", "postponed"] {
        counter!("liverec_delivery_attempts_total", "outcome" => outcome).increment(0);
    }
    for when in ["live", "ended"] {
        counter!("liverec_delivery_parts_total", "when" => when).increment(0);
        counter!("liverec_delivery_part_bytes_total", "when" => when).increment(0);
    }
    gauge!("liverec_streams_live").increment(0);
    gauge!("liverec_expiry_paused").increment(0);
}

/// Refreshes the gauges until stopped. While the database is away they keep their values.
pub(super) async fn read_rows(db: Db, node_id: String, token: CancellationToken) {
    loop {
        if let Ok(counts) = db.count_media_files().await {
            for (state, count) in counts {
                gauge!("liverec_recordings", "state" => state.as_str()).set(count as f64);
            }
        }
        if let Ok(counts) = db.count_by_progress(&node_id).await {
            for (progress, count) in counts {
                gauge!("liverec_delivery_files", "progress" => progress.name()).set(count as f64);
            }
        }
        if let Ok(backlog) = db.delivery_backlog(&node_id).await {
            gauge!("liverec_delivery_backlog").set(backlog.files as f64);
        }
        tokio::select! {
            () = token.cancelled() => return,
            () = sleep(READ_EVERY) => {}
        }
    }
}
