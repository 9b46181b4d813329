//! What every handler has at hand: database, store, settings, and the snapshot of configuration rows.
//!
//! Cheap to clone. Knows no HTTP.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use chrono::{DateTime, FixedOffset};
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    health::Readiness,
    key_ring::{KeyRing, MasterKey},
    rate_limit::RateLimiter,
};
use crate::{
    db::{self, Db},
    doctor::Doctor,
    domain::{
        container::Container, forbidden_stream::ForbidScope, publish_auth::Fallback,
        rate_limit::RateLimit, snapshot::Snapshot, stream::DomainName,
    },
    ingest::Live,
    journal::Journal,
    storage::ObjectStore,
    verify::Verifier,
};

/// Requests that are carried out at the same time; more wait.
const MAX_RUNNING: usize = 64;

/// Bytes of request bodies held at the same time, in KiB.
const MAX_BODIES_KIB: usize = 64 * 1024;

/// How often the snapshot is read anew even if nobody asked (another node may have changed rows).
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// The settings of the API.
#[derive(Clone)]
pub struct ApiSettings {
    /// `api.secret_id`.
    pub secret_id: String,
    /// `api.secret_key`; never logged.
    pub secret_key: String,
    /// `api.app_id`: the account number and the main VOD application.
    pub app_id: u64,
    /// `rtmp.default_domain`: its push keys are those of every domain without its own.
    pub default_domain: DomainName,
    /// `rtmp.trust_loopback`.
    pub trust_loopback: bool,
    /// `record.default_task_format`.
    pub default_task_format: Container,
    /// `publish.forbid_scope`.
    pub forbid_scope: ForbidScope,
    /// What becomes of a publish about which the server of `publish.auth_url` does not answer; `None`
    /// where nobody is asked.
    pub publish_auth: Option<Fallback>,
    /// `api.clock_skew` in seconds.
    pub clock_skew_s: i64,
    /// `api.unknown_parameters` is `reject`.
    pub rejects_unknown: bool,
    /// `api.utc_offset`.
    pub utc_offset: FixedOffset,
    /// `callback.deny_networks`.
    pub deny_networks: Vec<IpNet>,
    /// `http.trusted_proxies`.
    pub trusted_proxies: Vec<IpNet>,
    /// `http.public_url` without a trailing slash.
    pub public_url: String,
}

/// Shared by all handlers.
#[derive(Clone)]
pub struct State {
    /// The database.
    pub db: Db,
    /// Where products live.
    pub store: Arc<dyn ObjectStore>,
    /// Settings.
    pub settings: Arc<ApiSettings>,
    /// The newest snapshot that could be read.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Wakes the record supervisor after the snapshot changed.
    pub nudge: Arc<Notify>,
    /// Checks stored products.
    pub verifier: Verifier,
    /// The journals of this node; none in servers that are not whole.
    pub journal: Option<Journal>,
    /// Examines what the server stands on; none in servers that are not whole.
    pub doctor: Option<Doctor>,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// Unix milliseconds now; a parameter so that captured requests can be replayed.
    pub clock: fn() -> i64,
    /// Who is pushing to this node.
    pub live: Arc<Live>,
    /// How often a key may ask.
    pub rate_limiter: Arc<RateLimiter>,
    /// Who may sign requests.
    pub keys: Arc<ArcSwap<KeyRing>>,
    master_key: Option<MasterKey>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) running: Arc<Semaphore>,
    pub(super) bodies: Arc<Semaphore>,
    reloading: Arc<Mutex<()>>,
    /// Ids of keys that cannot be opened, told once.
    closed_keys: Arc<Mutex<Vec<String>>>,
}

impl ApiSettings {
    /// A moment as the vendor's local times show it: `2026-11-22 18:43:56`.
    pub fn local_time(&self, unix_ms: i64) -> String {
        let time = DateTime::from_timestamp_millis(unix_ms).unwrap_or(DateTime::UNIX_EPOCH);
        time.with_timezone(&self.utc_offset).format("%Y-%m-%d %H:%M:%S").to_string()
    }
}

impl State {
    /// Puts the parts together. The clock is the system's.
    pub fn new(
        db: Db,
        store: Arc<dyn ObjectStore>,
        settings: ApiSettings,
        snapshot: Arc<ArcSwap<Snapshot>>,
        nudge: Arc<Notify>,
        metrics: PrometheusHandle,
    ) -> Self {
        let (keys, _) = KeyRing::new((&settings.secret_id, &settings.secret_key), &[], None);
        Self {
            verifier: Verifier::new(db.clone(), store.clone(), None),
            keys: Arc::new(ArcSwap::from_pointee(keys)),
            master_key: None,
            rate_limiter: Arc::new(RateLimiter::unlimited()),
            db,
            store,
            settings: Arc::new(settings),
            snapshot,
            nudge,
            journal: None,
            doctor: None,
            metrics,
            clock: || chrono::Utc::now().timestamp_millis(),
            live: Arc::default(),
            readiness: Arc::default(),
            running: Arc::new(Semaphore::new(MAX_RUNNING)),
            bodies: Arc::new(Semaphore::new(MAX_BODIES_KIB)),
            reloading: Arc::default(),
            closed_keys: Arc::default(),
        }
    }

    /// Lets keys of the database sign requests, which are opened with `master_key`.
    pub fn with_master_key(self, master_key: MasterKey) -> Self {
        Self { master_key: Some(master_key), ..self }
    }

    /// Bounds how often a key may ask for an action.
    pub fn with_rate_limits(self, limits: &[RateLimit]) -> Self {
        Self { rate_limiter: Arc::new(RateLimiter::new(limits)), ..self }
    }

    /// Lets streams of this node be seen and dropped.
    pub fn with_live(self, live: Arc<Live>) -> Self {
        Self { live, ..self }
    }

    /// Lets products be compared with the journals of this node.
    pub fn with_journal(self, journal: Journal) -> Self {
        let verifier = Verifier::new(self.db.clone(), self.store.clone(), Some(journal.clone()));
        Self { verifier, journal: Some(journal), ..self }
    }

    /// Lets LiverecDoctor examine the server.
    pub fn with_doctor(self, doctor: Doctor) -> Self {
        Self { doctor: Some(doctor), ..self }
    }

    /// Unix milliseconds now.
    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// Reads the snapshot anew and wakes the record supervisor. Loads follow one another, so an
    /// older one never replaces a newer one.
    pub async fn reload(&self) -> db::Result<()> {
        let _one_at_a_time = self.reloading.lock().await;
        self.reload_keys().await?;
        let fresh = db::snapshot::load(&self.db, self.now_ms()).await?;
        if **self.snapshot.load() != fresh {
            self.snapshot.store(Arc::new(fresh));
            self.nudge.notify_one();
        }
        Ok(())
    }

    async fn reload_keys(&self) -> db::Result<()> {
        let rows = self.db.api_keys().await?;
        let main = (self.settings.secret_id.as_str(), self.settings.secret_key.as_str());
        let (keys, closed) = KeyRing::new(main, &rows, self.master_key.as_ref());
        let mut known = self.closed_keys.lock().await;
        if *known != closed {
            for id in closed.iter().filter(|id| !known.contains(id)) {
                tracing::warn!(
                    secret_id = id,
                    "a key in the database cannot be opened with the master key of this server; it signs nothing"
                );
            }
            *known = closed;
        }
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Carries out a change of configuration rows and reloads the snapshot before answering. If the
    /// reload fails, or the client goes away in between, [`State::run_reloads`] does it instead.
    pub async fn change<T, E>(&self, change: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let mut wake = WakeOnDrop { db: &self.db, is_armed: true };
        let done = change.await?;
        match self.reload().await {
            Ok(()) => wake.is_armed = false,
            Err(error) => {
                tracing::warn!(%error, "a change is stored but not in force yet: the snapshot could not be read");
            }
        }
        Ok(done)
    }

    /// Keeps the snapshot fresh until stopped: when told that rows changed, and every few seconds.
    pub async fn run_reloads(self, token: CancellationToken) {
        let mut is_stale = false;
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = self.db.configuration_changed().notified() => {}
                () = tokio::time::sleep(RELOAD_EVERY) => {}
            }
            let read = tokio::select! {
                () = token.cancelled() => return,
                read = self.reload() => read,
            };
            match read {
                Ok(()) if is_stale => {
                    is_stale = false;
                    tracing::info!("the configuration rows can be read again");
                }
                Ok(()) => {}
                Err(error) if !is_stale => {
                    is_stale = true;
                    tracing::warn!(%error, "the configuration rows cannot be read, the last known ones stay in force");
                }
                Err(_) => {}
            }
        }
    }
}

/// Asks for a reload when a change was cut short: the commit may or may not have happened.
struct WakeOnDrop<'a> {
    db: &'a Db,
    is_armed: bool,
}

impl Drop for WakeOnDrop<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            self.db.configuration_changed().notify_one();
        }
    }
}
