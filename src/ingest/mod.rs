//! Sockets: accepts publishers, reads what they send, hands it to a journal each.
//!
//! Reading order: [`live`] and [`waiting`] (who is live, what waits for it), [`source`] and [`tls`]
//! (where bytes come from), [`buffer`] and [`pace`] (how they are read cheaply), [`connection`] (the life of a connection), [`publish`] (the
//! life of a publish), [`listener`] and [`proxy`]. The protocol itself is [`crate::rtmp`]; what is recorded is
//! decided by whoever receives [`Event`]s.

mod buffer;
mod cause;
mod connection;
mod listener;
mod live;
mod outbound;
mod pace;
mod proxy;
mod publish;
mod source;
#[cfg(test)]
mod tests;
mod tls;
mod waiting;

use std::{pin::Pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use self::buffer::BufferPool;
pub use self::{
    listener::Door,
    live::{Live, LiveSession},
    waiting::{Waiting, WaitingTasks},
};
use crate::{
    domain::{
        forbidden_stream::ForbidScope,
        ids::SessionId,
        publish_auth::{Fallback, Verdict},
        push_domain::Policy,
        recording::Recording,
        session::{EndReason, Session},
        snapshot::Snapshot,
        stream::DomainName,
    },
    journal::Journal,
};

/// How publishers are received.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node, as it is written into sessions.
    pub node_id: String,
    /// The domain of publishers that name none we know.
    pub default_domain: DomainName,
    /// Whether loopback publishers may come without a signature.
    pub trust_loopback: bool,
    /// What a ban of a stream looks at.
    pub forbid_scope: ForbidScope,
    /// A publisher that sends nothing for so long is disconnected.
    pub idle_timeout: Duration,
    /// From the connection to the accepted publish.
    pub handshake_timeout: Duration,
    /// Connections at a time.
    pub max_connections: usize,
    /// A publisher whose journal the disk does not take for so long is disconnected.
    pub stall_timeout: Duration,
    /// What becomes of a publish when the [`Gatekeeper`] does not answer.
    pub auth_fallback: Fallback,
    /// Whether every connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// Longest RTMP message of a publisher, in bytes.
    pub max_message_bytes: usize,
}

/// Somebody who is asked whether a publish may begin.
pub trait Gatekeeper: Send + Sync {
    /// Answers within a few seconds, whatever happens.
    fn ask<'a>(
        &'a self,
        session: &'a Session,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;
}

/// What the record supervisor is told.
#[derive(Debug)]
pub enum Event {
    /// A publish was not let in by the [`Gatekeeper`].
    Refused {
        /// The session that it would have been.
        session: Box<Session>,
    },
    /// A publish has begun; it is acknowledged to the publisher after the answer.
    Started {
        /// The session. Its journal is open.
        live: Arc<LiveSession>,
        /// Takes the recordings to be attached from the first byte on.
        ready: oneshot::Sender<Vec<Recording>>,
    },
    /// A publish has ended and its journal is closed.
    Ended {
        /// Which.
        session: SessionId,
        /// Why.
        reason: EndReason,
        /// Unix milliseconds.
        ended_ms: i64,
        /// Logical position of the end of its journal.
        end_position: u64,
    },
}

/// What a live session can be told.
#[derive(Debug)]
pub enum Control {
    /// To be noted in the journal where it stands now (JSON).
    Note(String),
    /// To end.
    End(EndReason),
}

/// What every connection needs.
struct Context {
    settings: Settings,
    policy: Policy,
    snapshot: Arc<ArcSwap<Snapshot>>,
    journal: Journal,
    live: Arc<Live>,
    events: mpsc::Sender<Event>,
    gatekeeper: Option<Arc<dyn Gatekeeper>>,
    buffers: BufferPool,
    /// Paced connections look at their sockets at whole multiples of their pause from here.
    epoch: Instant,
}

/// The receiver of publishers.
pub struct Ingest {
    context: Arc<Context>,
}

impl Ingest {
    /// `snapshot` decides who may publish; `live` is filled while [`Ingest::run`] runs; `events`
    /// closes when it is over. `gatekeeper` is asked after everything else allows a publish.
    pub fn new(
        settings: Settings,
        snapshot: Arc<ArcSwap<Snapshot>>,
        journal: Journal,
        live: Arc<Live>,
        events: mpsc::Sender<Event>,
        gatekeeper: Option<Arc<dyn Gatekeeper>>,
    ) -> Self {
        let policy = Policy {
            default_domain: settings.default_domain.clone(),
            trust_loopback: settings.trust_loopback,
            forbid_scope: settings.forbid_scope,
        };
        let (buffers, epoch) = (BufferPool::default(), Instant::now());
        let context = Context {
            settings,
            policy,
            snapshot,
            journal,
            live,
            events,
            gatekeeper,
            buffers,
            epoch,
        };
        Self { context: Arc::new(context) }
    }
}

/// Unix milliseconds of the system's clock.
fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
