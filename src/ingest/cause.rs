//! Why a connection is closed.

use std::io;

use tracing::{debug, info, warn};

use crate::{domain::session::EndReason, journal::JournalError, rtmp::session::SessionError};

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    /// The peer closed it.
    #[error("closed by the peer")]
    Closed,
    /// It broke.
    #[error("connection broke: {0}")]
    Network(io::Error),
    /// What came is not RTMP, or too large.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Our answers are not read.
    #[error("the peer does not read what it is told")]
    Unread,
    /// A publisher sends nothing.
    #[error("nothing came for rtmp.idle_timeout")]
    Idle,
    /// Nobody publishes.
    #[error("no accepted publish within rtmp.handshake_timeout")]
    NoPublish,
    /// The only publish was refused; that has been logged.
    #[error("refused")]
    Refused,
    /// The only publish was ended from our side; that has been logged.
    #[error("ended by the server")]
    Ended,
    /// The journal takes no more.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The server stops.
    #[error("the server is stopping")]
    Shutdown,
}

impl Cause {
    /// What the publishes of the connection end with.
    pub(super) fn end_reason(&self) -> EndReason {
        match self {
            Cause::Closed => EndReason::Closed,
            Cause::Network(_) => EndReason::Network,
            Cause::Session(error) if error.is_too_large() => EndReason::TooLarge,
            Cause::Session(_) | Cause::Unread => EndReason::Protocol,
            Cause::Idle | Cause::NoPublish => EndReason::Idle,
            Cause::Refused | Cause::Ended => EndReason::Dropped,
            Cause::Journal(_) => EndReason::Journal,
            Cause::Shutdown => EndReason::Shutdown,
        }
    }

    /// Whether the peer is still there to be told.
    pub(super) fn has_listener(&self) -> bool {
        !matches!(self, Cause::Closed | Cause::Network(_) | Cause::Unread)
    }

    /// Says why the connection is closed, unless that has been said. `is_publishing`: a recording
    /// is cut short by it.
    pub(super) fn log(&self, is_publishing: bool) {
        match self {
            Cause::Session(error) if error.is_too_large() && is_publishing => warn!(
                %error, "a publisher is disconnected: a message is larger than rtmp.max_message_size"
            ),
            Cause::Session(error) => {
                refused("protocol");
                info!(%error, "a connection is closed: what it sent cannot be read");
            }
            Cause::Network(error) if error.kind() == io::ErrorKind::InvalidData => {
                refused("tls");
                info!(%error, "a connection is closed: TLS failed");
            }
            Cause::NoPublish => {
                refused("handshake_timeout");
                info!("a connection is closed: {self}");
            }
            Cause::Idle => info!("a publisher is disconnected: {self}"),
            Cause::Unread => info!("a connection is closed: {self}"),
            // The journal has said what is wrong with it.
            Cause::Journal(error) => {
                warn!(%error, "a publisher is disconnected: its journal takes no more")
            }
            Cause::Closed | Cause::Network(_) | Cause::Refused | Cause::Ended | Cause::Shutdown => {
                debug!("connection over: {self}");
            }
        }
    }
}

/// Counts a refusal.
pub(super) fn refused(reason: &'static str) {
    metrics::counter!("liverec_refusals_total", "reason" => reason).increment(1);
}
