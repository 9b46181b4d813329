//! Sends what is in the outbox to its receivers (spec live-api 11).
//!
//! The database is the truth: what is due, what was tried, what is given up. This room holds only
//! who may send how much at a time ([`slots`]), one attempt ([`receiver`]) and what is said about
//! receivers that fail ([`outage`]). The events of one stream to one URL go out one after the other:
//! the next waits until the one before is accepted or given up. Other streams and other URLs do not
//! wait for it. An event may arrive twice (an answer that got lost, a killed process)
//! with the same id, never not at all.

mod outage;
mod prune;
pub(super) mod receiver;
mod slots;
mod waited;

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    db::{
        self, Db,
        callback::{Attempt, DueCallback, Verdict},
    },
    domain::callback::{body_signature, signed},
};
use outage::{Outages, Say};
use receiver::{Failure, Message, Receivers};
use slots::{Slots, host_of};
use waited::Waited;

/// How often the outbox is looked at without being woken: another node may have died.
const POLL: Duration = Duration::from_secs(5);
/// What a lease lasts beyond the attempt, for noting its outcome.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// How long attempts under way are waited for when stopping.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// Pauses between tries to note an outcome while the database does not answer.
const NOTE_PAUSES_MS: [u64; 4] = [250, 1000, 4000, 8000];
/// How often finished rows are pruned, and how long the server has run is marked.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Unix milliseconds now.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

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
    outages: Outages,
    clock: Clock,
    /// `<node>/<process>`: this process's alone, recognisable as the node's.
    owner: String,
}

impl CallbackSender {
    /// Prepares the client. Nothing is sent before [`CallbackSender::run`].
    pub fn new(settings: Settings, db: Db) -> Result<Self, CallbackError> {
        let receivers = Receivers::new(settings.timeout, settings.deny_networks.clone())?;
        let owner = format!("{}/{}", settings.node_id, Uuid::now_v7());
        let lease_ms = millis(settings.timeout.saturating_add(LEASE_MARGIN));
        let clock: Clock = Arc::new(|| chrono::Utc::now().timestamp_millis());
        let outages = Outages::default();
        let sending = Sending { db, settings, receivers, outages, clock, owner };
        Ok(Self { sending: Arc::new(sending), lease_ms })
    }

    /// The same with another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        let sending = match Arc::try_unwrap(self.sending) {
            Ok(sending) => Arc::new(Sending { clock, ..sending }),
            Err(shared) => shared,
        };
        Self { sending, ..self }
    }

    /// Sends until stopped. Attempts under way then get a moment to end; what is left is released
    /// for the next start or another node.
    pub async fn run(self, token: CancellationToken) {
        let db = self.sending.db.clone();
        let mut slots = Slots::default();
        let mut attempts = JoinSet::new();
        let (mut waited, mut marked) = (None::<Waited>, Instant::now());
        let mut prune_at = marked;
        let (mut is_down, mut is_adopted) = (false, false);
        // Whoever runs holds the node's data directory, so no other process of it is alive.
        let now_ms = self.sending.now_ms();
        release(&db, &format!("{}/", self.sending.settings.node_id), now_ms).await;
        loop {
            let round = async {
                while !is_adopted {
                    is_adopted = db.adopt_callbacks().await? == 0;
                }
                if Instant::now() >= prune_at {
                    let waited = match &mut waited {
                        Some(waited) => waited,
                        None => waited.insert(self.sending.waited().await?),
                    };
                    self.sending.mark(waited, &mut marked).await?;
                    self.sending.prune(waited).await?;
                    prune_at = Instant::now() + PRUNE_EVERY;
                }
                self.start_due(&mut slots, &mut attempts).await
            };
            // What is being claimed is released below only once it is claimed.
            let impatient = async {
                token.cancelled().await;
                sleep(STOP_PATIENCE).await;
            };
            let round = tokio::select! {
                () = impatient => break,
                round = round => round,
            };
            let wait = match round {
                Ok(wait) => {
                    if std::mem::take(&mut is_down) {
                        tracing::info!("the outbox can be read again");
                    }
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
        if let Some(waited) = &mut waited {
            // Unmarked it does not count, and events wait a little longer.
            let _ = timeout(STOP_PATIENCE, self.sending.mark(waited, &mut marked)).await;
        }
        release(&db, &self.sending.owner, self.sending.now_ms()).await;
    }

    /// Starts whatever is due and has a free slot. Answers how long nothing more can become due by
    /// itself; slots and notifications wake earlier.
    async fn start_due(
        &self,
        slots: &mut Slots,
        attempts: &mut JoinSet<Duration>,
    ) -> db::Result<Duration> {
        let db = &self.sending.db;
        let now_ms = self.sending.now_ms();
        let mut first_error = None;
        let mut next_ms = i64::MAX;
        for waiting in db.waiting_receivers().await? {
            if waiting.ready_ms > now_ms {
                next_ms = next_ms.min(waiting.ready_ms);
                continue;
            }
            let free = slots.free(&waiting.url);
            if free == 0 {
                continue;
            }
            let (receiver, owner) = (&waiting.receiver, &self.sending.owner);
            let due = match db.claim_callbacks(receiver, owner, now_ms, self.lease_ms, free).await {
                Ok(due) => due,
                Err(error) => {
                    // The other receivers must not suffer from it.
                    first_error.get_or_insert(error);
                    continue;
                }
            };
            for callback in due {
                let (sending, url) = (Arc::clone(&self.sending), callback.url.clone());
                let handle = attempts.spawn(async move { sending.attempt(&callback).await });
                slots.begin(handle.id(), url);
            }
        }
        match first_error {
            Some(error) => Err(error),
            None => {
                let wait_ms = next_ms.saturating_sub(now_ms);
                Ok(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(1)).min(POLL))
            }
        }
    }
}

impl Sending {
    fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// Sends an event and notes how it went. Answers how long the receiver took.
    async fn attempt(&self, callback: &DueCallback) -> Duration {
        let body =
            signed(callback.body.clone(), &callback.sign_key, self.now_ms().div_euclid(1000));
        // A JSON object read from JSON always serialises.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut headers = vec![("X-Liverec-Callback-Id", callback.id.clone())];
        let signature = body_signature(&callback.sign_key, &bytes);
        headers.extend(signature.map(|signature| ("X-Liverec-Signature", signature)));
        let started = Instant::now();
        let outcome = self.receivers.post(&callback.url, &Message { body: bytes, headers }).await;
        let took = started.elapsed();
        let sent_t = body.get("t").and_then(serde_json::Value::as_i64).unwrap_or(0);
        let sent_sign = body.get("sign").and_then(serde_json::Value::as_str).unwrap_or_default();
        let (result_code, result, response) = match &outcome {
            Ok(answer) => (0, "HTTP 200".to_owned(), answer.clone()),
            Err(failure) => {
                let response = match failure {
                    Failure::Status { answer, .. } if !answer.is_empty() => answer.clone(),
                    other => other.to_string(),
                };
                (failure.code(), failure.to_string(), response)
            }
        };
        let ended_ms = self.now_ms();
        let sent_sign = sent_sign.to_owned();
        let attempt = Attempt { result_code, response, result, sent_t, sent_sign, ended_ms };
        self.note(callback, &attempt, outcome.err()).await;
        took
    }

    /// Counts, logs and writes down how an attempt ended.
    async fn note(&self, callback: &DueCallback, attempt: &Attempt, failure: Option<Failure>) {
        let is_last = callback.attempts >= self.settings.max_retries;
        let verdict = match &failure {
            None => Verdict::Delivered,
            Some(_) if is_last => Verdict::GivenUp,
            Some(_) => {
                let pause_ms = millis(self.settings.retry_interval);
                Verdict::Again(attempt.ended_ms.saturating_add(pause_ms))
            }
        };
        match &failure {
            None => count("delivered"),
            Some(Failure::Denied(_)) => count("denied"),
            Some(_) if !is_last => count("retried"),
            Some(_) => {}
        }
        if verdict == Verdict::GivenUp {
            count("gave_up");
        }
        self.say(callback, attempt, verdict);
        for pause_ms in NOTE_PAUSES_MS {
            match self.db.note_attempt(callback, attempt, verdict).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(%error, callback.id, "the outcome of a callback is not noted yet");
                    sleep(Duration::from_millis(pause_ms)).await;
                }
            }
        }
        tracing::info!(
            callback.id,
            stream = callback.stream_path,
            "the outcome of a callback could not be noted, it will be sent again"
        );
    }

    fn say(&self, callback: &DueCallback, attempt: &Attempt, verdict: Verdict) {
        let (id, stream) = (callback.id.as_str(), callback.stream_path.as_str());
        let (event_type, receiver) = (callback.event_type, host_of(&callback.url));
        let reason = attempt.result.as_str();
        tracing::debug!(
            callback.id = id,
            stream,
            event_type,
            receiver,
            reason,
            attempt = callback.attempts.saturating_add(1),
            "tried to deliver a callback"
        );
        let say = match verdict {
            Verdict::Delivered => self.outages.accepted(&callback.url),
            Verdict::Again(_) => self.outages.failed(&callback.url, false, attempt.ended_ms),
            Verdict::GivenUp => self.outages.failed(&callback.url, true, attempt.ended_ms),
        };
        match say {
            Say::Nothing => {}
            Say::Begun => tracing::info!(
                callback.id = id,
                stream,
                event_type,
                receiver,
                reason,
                "a receiver does not accept callbacks; they will be sent again"
            ),
            Say::Lasting => tracing::warn!(
                callback.id = id,
                stream,
                event_type,
                receiver,
                reason,
                "a receiver keeps refusing callbacks"
            ),
            Say::GivenUp(events) => tracing::error!(
                callback.id = id,
                stream,
                event_type,
                receiver,
                reason,
                events,
                "callbacks given up: the receiver never accepted them; LiverecReplayCallback sends them again"
            ),
            Say::Over(failures) => {
                tracing::info!(receiver, failures, "a receiver accepts callbacks again")
            }
        }
    }
}

async fn release(db: &Db, owner_prefix: &str, now_ms: i64) {
    match timeout(STOP_PATIENCE, db.release_callbacks(owner_prefix, now_ms)).await {
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

#[cfg(test)]
mod tests;
