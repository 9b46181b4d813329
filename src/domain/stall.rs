//! A disk that takes nothing for a while: why, and what was given up because of it.

use serde::{Deserialize, Serialize};

/// Why the disk took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StallCause {
    /// It had no room.
    DiskFull,
    /// It answered with an error.
    DiskError,
    /// It did not answer.
    DiskStuck,
}

impl StallCause {
    /// The text in rows and summaries.
    pub fn as_str(self) -> &'static str {
        match self {
            StallCause::DiskFull => "disk_full",
            StallCause::DiskError => "disk_error",
            StallCause::DiskStuck => "disk_stuck",
        }
    }
}

/// What a journal had to give up because its disk took nothing for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFailure {
    /// Why.
    pub cause: StallCause,
    /// Tags that were received and could not be stored; 0 as long as it is being tried.
    pub lost_tags: u64,
    /// Their bytes.
    pub lost_bytes: u64,
}
