//! Metrics that are read from the rows now and then: files by state, delivery backlog.

use std::time::Duration;

use metrics::{counter, gauge};
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
