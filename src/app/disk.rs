//! Opens the journals with what the configuration says about the room on their disk.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    config::Config,
    journal::{Journal, Settings, SpaceSettings},
};

use super::ROLL_BYTES;

/// The journals in `data_dir`, with a reserve beside them.
///
/// # Errors
/// Their folder cannot be made.
pub fn open_journals(config: &Config, data_dir: &Path) -> Result<Journal> {
    let settings = Settings {
        root: data_dir.join("journal"),
        sync_interval: config.journal.sync_interval,
        roll_bytes: ROLL_BYTES.min((config.journal.unclaimed_max_bytes / 2).max(1 << 20)),
    };
    Journal::with_space(settings, space(config, data_dir)).context("open the journals")
}

/// What is kept free on their disk.
pub fn space(config: &Config, data_dir: &Path) -> SpaceSettings {
    SpaceSettings {
        warn_bytes: config.disk.warn_free_bytes,
        refuse_bytes: config.disk.refuse_free_bytes,
        reserve: Some(data_dir.join("reserve")),
    }
}
