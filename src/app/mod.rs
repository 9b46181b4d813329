//! Builds every room, owns the task tree and the order of shutdown.
//!
//! The only place where rooms meet. [`Server::start`] binds, prepares and starts; [`Server::run`]
//! waits for the end and drains in the order of the data: intake, journals and rows, products,
//! HTTP, database.

mod backup;
mod check;
mod data_dir;
mod database;
mod demo;
mod disk;
mod doctor;
mod first_start;
mod give_up;
mod http;
mod keys;
mod master_key;
mod metrics;
mod peers;
mod publish_auth;
mod recovery;
mod remake;
mod service;
mod sockets;
mod store;
mod tasks;
mod tls;
mod verify;

use std::{io::Write, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use arc_swap::ArcSwap;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    api,
    config::{Config, UnknownParameters},
    db::Db,
    delivery::{self, Delivery, callback::CallbackSender, janitor::Janitor},
    doctor::Doctor,
    ingest,
    record::{self, Supervisor, follow::Shared, resume::Expiry, turns::Turns},
};

pub use backup::backup;
pub use check::check;
pub use demo::demo;
pub use doctor::doctor;
pub use give_up::give_up;
pub use keys::{create_key, list_keys, revoke_key};
pub use remake::remake;
pub use verify::verify;

use data_dir::DataDir;
use peers::Peers;
use sockets::{Addresses, Plan};
use tasks::Tasks;

/// Events from ingest that may wait for the supervisor.
const EVENTS: usize = 256;
/// Journals found at start that may wait for the supervisor.
const FOUND: usize = 16;
/// Media files made at the same time.
const DELIVERY_WORKERS: usize = 2;
/// Journal files roll at the first key frame after this size, or half of what an unclaimed stream
/// may keep.
const ROLL_BYTES: u64 = 32 << 20;

/// Runs the server until `shutdown`, then drains. The whole of `liverec serve`.
pub async fn serve(config: Config, shutdown: CancellationToken) -> Result<()> {
    let server = tokio::select! {
        started = Server::start(config) => started?,
        // It may be waiting for its database.
        () = shutdown.cancelled() => return Ok(()),
    };
    server.announce();
    service::ready(&server.addresses);
    server.run(shutdown).await
}

/// A server whose sockets accept.
pub struct Server {
    /// Bound addresses.
    pub addresses: Addresses,
    /// Base of the URLs it hands out, without a trailing slash.
    pub public_url: String,
    /// The key pair of the API.
    pub credentials: (String, String),
    greeting: Option<String>,
    grace: Duration,
    node_id: String,
    doctor: Doctor,
    db: Db,
    tasks: Tasks,
    intake: CancellationToken,
    work: CancellationToken,
    abandon: CancellationToken,
    _data_dir: DataDir,
}

/// Unix milliseconds of the system's clock.
fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// What delivery is told, by the server and by `remake`.
fn delivery_settings(
    config: &Config,
    node_id: String,
    public_url: String,
) -> Result<delivery::Settings> {
    Ok(delivery::Settings {
        node_id,
        app_id: u64::try_from(config.api.app_id).unwrap_or_default(),
        public_url,
        utc_offset_s: config.api.utc_offset.local_minus_utc(),
        hls: delivery::HlsSettings {
            segment_ms: i64::try_from(config.hls.segment_duration.as_millis())?,
            segment_type: config.hls.segment_type,
            live_playlist: config.hls.live_playlist,
        },
        part_size: store::part_size(&config.storage),
        workers: DELIVERY_WORKERS,
    })
}

impl Server {
    /// Binds the sockets and starts every room. Nothing accepts before everything is ready.
    pub async fn start(config: Config) -> Result<Self> {
        // One provider for every TLS client; a second call in one process changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sockets = Plan::read(&config)?;
        let data_dir = DataDir::lock(&config.data_dir)?;
        let sockets = sockets.reserve()?;
        let node_id = data_dir.node_id()?;
        let master_key = master_key::load(config.api.master_key.as_ref(), data_dir.path())?;
        let (secret_id, secret_key, is_new_key) =
            data_dir.credentials(config.api.credentials.as_ref())?;

        let (db, snapshot, is_first) = database::open(&config).await?;
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let store = store::open(&config.storage, store::Access::Write(&node_id))?;
        let journal = disk::open_journals(&config, data_dir.path())?;
        // Taken before anything accepts: what is there now was left by an earlier process.
        let left_behind = recovery::left_behind(&journal)?;

        let metrics = metrics::collect()?;
        let sockets = sockets.listen()?;
        let addresses = sockets.addresses;
        let public_url = addresses.public_url(&config.http);

        let mut tasks = Tasks::default();
        let (intake, work, abandon) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let app_id = u64::try_from(config.api.app_id).unwrap_or_default();
        let nudge = Arc::new(Notify::new());
        let turns = Arc::new(Turns::new());
        let (events, event_receiver) = mpsc::channel(EVENTS);
        let (found, found_receiver) = mpsc::channel(FOUND);
        let shared = Arc::new(Shared {
            db: db.clone(),
            journal: journal.clone(),
            snapshot: snapshot.clone(),
            app_id,
            utc_offset_s: config.api.utc_offset.local_minus_utc(),
            unclaimed_max_bytes: config.journal.unclaimed_max_bytes,
            now_ms,
        });
        let supervisor = Supervisor::new(
            record::Settings {
                default_task_format: config.record.default_task_format,
                max_preroll: config.record.max_preroll,
                resume_window: config.record.resume_window,
            },
            shared.clone(),
            event_receiver,
            nudge.clone(),
            turns.clone(),
            abandon.clone(),
        );
        tasks.spawn("record", supervisor.run(found_receiver));
        let (recovered, is_recovered) = watch::channel(false);
        let recovery = recovery::Recovery {
            db: db.clone(),
            journal: journal.clone(),
            turns: turns.clone(),
            node_id: node_id.clone(),
            sessions: left_behind,
            found,
            recovered,
        };
        tasks.spawn("recovery", recovery.run(abandon.clone()));
        let expiry = Expiry { shared, turns, node_id: node_id.clone() };
        tasks.spawn("expiry", expiry.run(is_recovered, work.clone()));

        let live = Arc::new(ingest::Live::default());
        let ingest = ingest::Ingest::new(
            ingest::Settings {
                node_id: node_id.clone(),
                default_domain: config.rtmp.default_domain.clone(),
                trust_loopback: config.rtmp.trust_loopback,
                forbid_scope: config.publish.forbid_scope,
                idle_timeout: config.rtmp.idle_timeout,
                handshake_timeout: config.rtmp.handshake_timeout,
                max_connections: config.rtmp.max_connections,
                stall_timeout: config.journal.stall_timeout,
                auth_fallback: config.publish.auth_fail,
                proxy_protocol: config.rtmp.proxy_protocol,
                max_message_bytes: config.rtmp.max_message_bytes,
            },
            snapshot.clone(),
            journal.clone(),
            live.clone(),
            events,
            publish_auth::gatekeeper(&config, app_id)?,
        );
        tasks.spawn("ingest", ingest.run(sockets.doors, intake.clone()));

        let settings = delivery_settings(&config, node_id.clone(), public_url.clone())?;
        let delivery = Delivery::new(
            settings,
            db.clone(),
            journal.clone(),
            store.clone(),
            snapshot.clone(),
            now_ms,
        );
        tasks.spawn("delivery", delivery.run(work.clone()));
        let sender = CallbackSender::new(
            delivery::callback::Settings {
                node_id: node_id.clone(),
                timeout: config.callback.timeout,
                retry_interval: config.callback.retry_interval,
                max_retries: config.callback.max_retries,
                deny_networks: config.callback.deny_networks.clone(),
            },
            db.clone(),
        )
        .context("set up the callback client")?;
        tasks.spawn("callbacks", sender.run(work.clone()));
        let janitor = Janitor {
            db: db.clone(),
            journal: journal.clone(),
            node_id: node_id.clone(),
            store: store.clone(),
            retention_ms: i64::try_from(config.journal.retention.as_millis())?,
            retry_ms: i64::try_from(config.callback.retry_interval.as_millis())?,
            now_ms,
        };
        tasks.spawn("janitor", janitor.run(work.clone()));
        tasks.spawn("watchdog", service::watchdog(work.clone()));
        tasks.spawn("space", journal.clone().watch_space(work.clone()));
        tasks.spawn("metrics", metrics::read_rows(db.clone(), node_id.clone(), work.clone()));

        let doctor = doctor::of_server(data_dir.path(), &node_id, &db, &store, &journal);
        let state = api::State::new(
            db.clone(),
            store,
            api::ApiSettings {
                secret_id: secret_id.clone(),
                secret_key: secret_key.clone(),
                app_id,
                default_domain: config.rtmp.default_domain.clone(),
                trust_loopback: config.rtmp.trust_loopback,
                default_task_format: config.record.default_task_format,
                forbid_scope: config.publish.forbid_scope,
                publish_auth: config.publish.auth_url.as_ref().map(|_| config.publish.auth_fail),
                clock_skew_s: i64::try_from(config.api.clock_skew.as_secs())?,
                rejects_unknown: config.api.unknown_parameters == UnknownParameters::Reject,
                utc_offset: config.api.utc_offset,
                deny_networks: config.callback.deny_networks.clone(),
                trusted_proxies: config.http.trusted_proxies.clone(),
                public_url: public_url.clone(),
            },
            snapshot.clone(),
            nudge,
            metrics,
        )
        .with_journal(journal)
        .with_live(live)
        .with_master_key(master_key)
        .with_rate_limits(&config.api.rate_limits)
        .with_doctor(doctor.clone());
        state.reload().await.context("read the keys of API clients")?;
        tasks.spawn("reloads", state.clone().run_reloads(work.clone()));
        let router = api::router(state);
        let peers = Peers::new(&config.http.trusted_proxies);
        for (listener, tls) in sockets.http {
            let name = if tls.is_some() { "https" } else { "http" };
            tasks
                .spawn(name, http::run(listener, tls, router.clone(), peers.clone(), work.clone()));
        }
        for certificates in sockets.certificates {
            tasks.spawn("certificates", certificates.watch(work.clone()));
        }

        if config.rtmp.trust_loopback && !addresses.rtmp.ip().is_loopback() {
            warn!(
                "rtmp.trust_loopback is on: whoever reaches this machine's loopback address, also through a local proxy, may publish without a signature"
            );
        }
        let greeting = first_start::greeting(
            is_first,
            is_new_key.then_some((secret_id.as_str(), secret_key.as_str())),
            &snapshot.load(),
            &config.rtmp.default_domain,
            addresses.rtmp,
            &public_url,
            now_ms(),
        );
        Ok(Self {
            addresses,
            public_url,
            credentials: (secret_id, secret_key),
            greeting,
            grace: config.shutdown_grace,
            node_id,
            doctor,
            db,
            tasks,
            intake,
            work,
            abandon,
            _data_dir: data_dir,
        })
    }

    /// Says where the server listens, on the one line that tools wait for, and on a first start
    /// what to do next.
    pub fn announce(&self) {
        let (version, addresses) = (env!("CARGO_PKG_VERSION"), &self.addresses);
        info!(target: LISTENING_TARGET, "liverec {version} {addresses}");
        if let Some(greeting) = &self.greeting {
            // Standard output, never the log: it may hold the secret, once. Nobody need listen.
            let _ = writeln!(std::io::stdout(), "{greeting}");
        }
    }

    /// Serves until `shutdown`, then drains within the grace period.
    ///
    /// # Errors
    /// A root task ended by itself.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<()> {
        self.tasks.spawn("doctor", doctor::look(self.doctor.clone(), self.work.clone()));
        let failed = loop {
            tokio::select! {
                () = shutdown.cancelled() => break None,
                name = self.tasks.next() => {
                    // These are done when they are done; everything else runs for ever.
                    if !["recovery", "doctor"].contains(&name.as_str()) {
                        tracing::error!(task = name, "a root task ended; stopping");
                        break Some(name);
                    }
                }
            }
        };
        info!(grace_s = self.grace.as_secs(), "stopping");
        service::stopping();
        let deadline = Instant::now() + self.grace;
        // A little is kept back, so that the exit itself lies within the grace period.
        let deadline = deadline.checked_sub(Duration::from_millis(500)).unwrap_or(deadline);
        self.intake.cancel();
        if timeout_at(deadline, self.drain()).await.is_err() {
            warn!("the grace period is over; what is left is done at the next start");
        }
        self.abandon.cancel();
        self.work.cancel();
        let rest = Instant::now() + Duration::from_millis(400);
        if timeout_at(rest.max(deadline), self.tasks.wait_for_all()).await.is_err() {
            self.tasks.abort_all();
        }
        let _ = timeout_at(rest.max(deadline), self.db.close()).await;
        info!("stopped");
        match failed {
            Some(name) => bail!("the task {name} ended"),
            None => Ok(()),
        }
    }

    /// Intake, then journals and rows, then products.
    async fn drain(&mut self) {
        self.tasks.wait_for("ingest").await;
        self.tasks.wait_for("record").await;
        // What the store refuses at the moment is left to the next start.
        while let Ok(true) = self.db.has_media_files_due(&self.node_id, now_ms()).await {
            self.db.media_changed().notify_waiters();
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Log target of the line that says where the server listens; shown at every log level.
pub const LISTENING_TARGET: &str = "liverec::listening";
