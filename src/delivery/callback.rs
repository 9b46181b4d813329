//! Sends what is in the outbox to its receivers (spec live-api 11).
//!
//! The database is the truth: what is due, what was tried, what is given up. This room holds only
//! who may send how much at a time ([`slots`]) and one attempt ([`receiver`]). First attempts of
//! one stream's events to one URL keep their order; retries do not hold anything up. An event may
//! arrive twice (an answer that got lost, a killed process), never not at all.

mod receiver;
mod slots;

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    db::{self, Db, callback::DueCallback},
    domain::callback::signed,
};
use receiver::{Failure, Receivers};
use slots::{Slots, host_of};

/// How often the outbox is looked at without being woken: another node may have died.
const POLL: Duration = Duration::from_secs(5);
/// What a lease lasts beyond the attempt, for noting its outcome.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// How long attempts under way are waited for when stopping.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// Pauses between tries to note an outcome while the database does not answer.
const NOTE_PAUSES_MS: [u64; 4] = [250, 1000, 4000, 8000];
/// How often finished rows are pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Finished rows are kept as long as the vendor's delivery log reaches back ...
const KEEP_MS: i64 = 14 * 24 * 3600 * 1000;
/// ... but never more than this many of each outcome.
const KEEP_ROWS: u64 = 100_000;

/// How callbacks are sent.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node; leases that an earlier process of it left behind are taken back at start.
    pub node_id: String,
    /// A receiver that has not answered by then has not accepted.
    pub timeout: Duration,
    /// Between two attempts.
    pub retry_interval: Duration,
    /// Attempts after the first one.
    pub max_retries: u32,
    /// Addresses that are never connected to, whatever name leads there.
    pub deny_networks: Vec<IpNet>,
}

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("prepare the callback client: {0}")]
pub struct CallbackError(#[from] reqwest::Error);

/// The sender; one per process.
pub struct CallbackSender {
    sending: Arc<Sending>,
    lease_ms: i64,
}

/// What an attempt needs.
struct Sending {
    db: Db,
    settings: Settings,
    receivers: Receivers,
    /// `<node>/<process>`: this process's alone, recognisable as the node's.
    owner: String,
}

impl CallbackSender {
    /// Prepares the client. Nothing is sent before [`CallbackSender::run`].
    pub fn new(settings: Settings, db: Db) -> Result<Self, CallbackError> {
        let receivers = Receivers::new(settings.timeout, settings.deny_networks.clone())?;
        let owner = format!("{}/{}", settings.node_id, Uuid::now_v7());
        let lease_ms = millis(settings.timeout.saturating_add(LEASE_MARGIN));
        Ok(Self { sending: Arc::new(Sending { db, settings, receivers, owner }), lease_ms })
    }

    /// Sends until stopped. Attempts under way then get a moment to end; what is left is released
    /// for the next start or another node.
    pub async fn run(self, token: CancellationToken) {
        let db = self.sending.db.clone();
        let mut slots = Slots::default();
        let mut attempts = JoinSet::new();
        let mut prune_at = Instant::now();
        let mut is_down = false;
        // Whoever runs holds the node's data directory, so no other process of it is alive.
        release(&db, &format!("{}/", self.sending.settings.node_id)).await;
        loop {
            let round = async {
                if Instant::now() >= prune_at {
                    db.prune_callbacks(now_ms().saturating_sub(KEEP_MS), KEEP_ROWS).await?;
                    prune_at = Instant::now() + PRUNE_EVERY;
                }
                self.start_due(&mut slots, &mut attempts).await
            };
            let round = tokio::select! {
                () = token.cancelled() => break,
                round = round => round,
            };
            let wait = match round {
                Ok(wait) => {
                    is_down = false;
                    wait
                }
                Err(error) => {
                    // Said once per outage; a lasting one is also in every other room's log.
                    if !is_down {
                        tracing::warn!(%error, "callbacks wait: the outbox cannot be read");
                    }
                    is_down = true;
                    POLL
                }
            };
            tokio::select! {
                () = token.cancelled() => break,
                () = db.outbox_changed().notified() => {}
                () = sleep(wait) => {}
                Some(ended) = attempts.join_next_with_id() => slots.end(&ended),
            }
            while let Some(ended) = attempts.try_join_next_with_id() {
                slots.end(&ended);
            }
        }
        let all = async { while attempts.join_next().await.is_some() {} };
        if timeout(STOP_PATIENCE, all).await.is_err() {
            attempts.shutdown().await;
        }
        release(&db, &self.sending.owner).await;
    }

    /// Starts whatever is due and has a free slot. Answers how long nothing more can become due by
    /// itself; slots and notifications wake earlier.
    async fn start_due(
        &self,
        slots: &mut Slots,
        attempts: &mut JoinSet<Duration>,
    ) -> db::Result<Duration> {
        let db = &self.sending.db;
        let now_ms = now_ms();
        let mut first_error = None;
        for url in db.due_callback_urls(now_ms).await? {
            let host = host_of(&url);
            let free = slots.free(&host);
            if free == 0 {
                continue;
            }
            let owner = &self.sending.owner;
            let due = match db.claim_callbacks(&url, owner, now_ms, self.lease_ms, free).await {
                Ok(due) => due,
                Err(error) => {
                    // The other receivers must not suffer from it.
                    first_error.get_or_insert(error);
                    continue;
                }
            };
            for callback in due {
                let sending = Arc::clone(&self.sending);
                let handle = attempts.spawn(async move {
                    let started = Instant::now();
                    let outcome = sending.receivers.post(&callback.url, body_of(&callback)).await;
                    let took = started.elapsed();
                    sending.note(&callback, outcome).await;
                    took
                });
                slots.begin(handle.id(), host.clone());
            }
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        let due_ms = db.next_callback_due(now_ms).await?;
        let wait_ms = due_ms.map_or(i64::MAX, |due| due.saturating_sub(now_ms));
        Ok(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(1)).min(POLL))
    }
}

impl Sending {
    /// Counts, logs and writes down how an attempt ended.
    async fn note(&self, callback: &DueCallback, outcome: Result<(), Failure>) {
        let attempt = callback.attempts.saturating_add(1);
        let is_last = callback.attempts >= self.settings.max_retries;
        let next_try_ms =
            (!is_last).then(|| now_ms().saturating_add(millis(self.settings.retry_interval)));
        let (stream, event_type) = (callback.stream_path.as_str(), callback.event_type);
        let receiver = host_of(&callback.url);
        match &outcome {
            Ok(()) => {
                count("delivered");
                tracing::debug!(stream, event_type, receiver, attempt, "callback delivered");
            }
            Err(failure) => {
                if matches!(failure, Failure::Denied(_)) {
                    count("denied");
                } else if !is_last {
                    count("retried");
                }
                if is_last {
                    count("gave_up");
                    tracing::warn!(
                        stream, event_type, receiver, attempt, reason = %failure,
                        "callback given up: the receiver never accepted it"
                    );
                } else {
                    tracing::info!(
                        stream, event_type, receiver, attempt, reason = %failure,
                        "callback not accepted, it will be sent again"
                    );
                }
            }
        }
        for pause_ms in NOTE_PAUSES_MS {
            let written = match &outcome {
                Ok(()) => self.db.callback_delivered(callback, now_ms(), "HTTP 200").await,
                Err(failure) => {
                    let result = failure.to_string();
                    self.db.callback_failed(callback, next_try_ms, now_ms(), &result).await
                }
            };
            match written {
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(%error, stream, event_type, "the outcome of a callback is not noted yet");
                    sleep(Duration::from_millis(pause_ms)).await;
                }
            }
        }
        tracing::warn!(
            stream,
            event_type,
            receiver,
            "the outcome of a callback could not be noted, it will be sent again"
        );
    }
}

/// The bytes to send now: `t` and `sign` belong to the moment of sending.
fn body_of(callback: &DueCallback) -> Vec<u8> {
    let now_s = now_ms().div_euclid(1000);
    let body = signed(callback.body.clone(), &callback.sign_key, now_s);
    // A JSON object read from JSON always serialises.
    serde_json::to_vec(&body).unwrap_or_default()
}

async fn release(db: &Db, owner_prefix: &str) {
    match timeout(STOP_PATIENCE, db.release_callbacks(owner_prefix)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(rows)) => tracing::info!(rows, "unfinished callbacks released"),
        // They are free again when their lease is over.
        Ok(Err(error)) => tracing::info!(%error, "unfinished callbacks could not be released"),
        Err(_) => tracing::info!("unfinished callbacks could not be released in time"),
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("liverec_callbacks_total", "outcome" => outcome).increment(1);
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

#[cfg(test)]
mod tests;
