//! A publish session: one push of one stream, from start to interruption.

use serde::{Deserialize, Serialize};

use super::{
    ids::{DecimalId, SessionId},
    stream::StreamPath,
};

/// What is known of a session from its first moment. Written into the head of its journal, so
/// that the rows can be made from the journal alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Id and name of the journal folder.
    pub id: SessionId,
    /// The node that took the push.
    pub node_id: String,
    /// The vendor's `sequence`: the same in the start and stop events of one push. Also the
    /// `session_id` of recordings made by rules.
    pub sequence: DecimalId,
    /// The stream.
    pub path: StreamPath,
    /// Raw query of the stream key, as received (without the `?`), possibly empty.
    pub stream_param: String,
    /// Address of the publisher, without port.
    pub user_ip: String,
    /// Address the publisher connected to, without port.
    pub node_ip: String,
    /// Unix milliseconds of the publish command.
    pub started_ms: i64,
    /// True when the publish carried a valid signature.
    pub signed: bool,
}

impl Session {
    /// The same, begun at another moment (unix milliseconds): its id is ordered by it, its sequence
    /// stays, since somebody may have been told.
    #[must_use]
    pub fn starting_at(self, started_ms: i64) -> Self {
        Self { id: SessionId::new(started_ms), started_ms, ..self }
    }
}

/// Why a session ended; numbers and texts of event 0 (spec live-api 11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// FCUnpublish, deleteStream or closeStream.
    Unpublished,
    /// The connection was closed without unpublishing.
    Closed,
    /// The connection broke.
    Network,
    /// Malformed RTMP.
    Protocol,
    /// A message above `rtmp.max_message_size`.
    TooLarge,
    /// Nothing arrived for `rtmp.idle_timeout`.
    Idle,
    /// A valid newer publisher of the same name took over.
    Replaced,
    /// Dropped through the API.
    Dropped,
    /// Forbidden through the API.
    Forbidden,
    /// Above the bit rate of its domain for too long.
    BitRate,
    /// The server is stopping.
    Shutdown,
    /// The journal could not be written.
    Journal,
    /// Found unfinished at start: the process had been killed.
    Crashed,
}

impl EndReason {
    /// `errcode` and `errmsg` of event 0.
    pub fn event_code(self) -> (i64, &'static str) {
        match self {
            EndReason::Unpublished => (1, "The push client actively stopped the push"),
            EndReason::Closed => (2, "The push client actively disconnected the TCP connection"),
            EndReason::Network => (12, "The connection to the push client broke"),
            EndReason::Protocol => (6, "The push client sent malformed RTMP"),
            EndReason::TooLarge => (7, "The push client sent a message larger than is allowed"),
            EndReason::Idle => (8, "The push client sent no data for too long"),
            EndReason::Replaced => (21, "102: the stream was replaced by another push"),
            EndReason::Dropped => (21, "100: the stream was dropped through the API"),
            EndReason::Forbidden => (21, "101: the stream was forbidden through the API"),
            EndReason::BitRate => (21, "104: the stream exceeded the bit rate of its domain"),
            EndReason::Shutdown => (5, "The server is stopping"),
            EndReason::Journal => (9, "The server could not store the stream"),
            EndReason::Crashed => (5, "The server stopped unexpectedly"),
        }
    }

    /// The text kept in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::Unpublished => "unpublished",
            EndReason::Closed => "closed",
            EndReason::Network => "network",
            EndReason::Protocol => "protocol",
            EndReason::TooLarge => "too_large",
            EndReason::Idle => "idle",
            EndReason::Replaced => "replaced",
            EndReason::Dropped => "dropped",
            EndReason::Forbidden => "forbidden",
            EndReason::BitRate => "bit_rate",
            EndReason::Shutdown => "shutdown",
            EndReason::Journal => "journal",
            EndReason::Crashed => "crashed",
        }
    }
}
