//! `liverec verify`: opens what a check needs, to be read only, and prints the report.
//!
//! Works beside a running server: the data directory is not locked, the schema not touched, and
//! journals are read as they are.

use std::io::{self, Write};

use anyhow::{Context, Result, ensure};

use crate::{
    config::Config,
    db::Db,
    domain::ids::FileId,
    journal::{self, Journal},
    verify::{Report, Verifier},
};

use super::{ROLL_BYTES, store};

/// Checks one file; true if it is what was sent.
///
/// # Errors
/// There is no such file, it has no product, or database or store cannot be reached.
pub async fn verify(config: &Config, id: FileId, as_json: bool) -> Result<bool> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(file) = config.database.sqlite_file() {
        let shown = file.display();
        ensure!(file.exists(), "there is no database {shown} yet: start the server once");
    }
    let db = Db::connect_read_only(config.database.as_str()).await.context("open the database")?;
    let report = check(config, &db, id).await;
    db.close().await;
    let report = report?;
    let text = match as_json {
        true => format!("{}\n", serde_json::to_string_pretty(&report).context("write JSON")?),
        false => report.to_string(),
    };
    io::stdout().write_all(text.as_bytes()).context("write to stdout")?;
    Ok(report.verified)
}

async fn check(config: &Config, db: &Db, id: FileId) -> Result<Report> {
    let file = db.media_file(id).await?.with_context(|| format!("there is no file {id}"))?;
    let store = store::open(&config.storage, store::Access::Read)?;
    let root = config.data_dir.join("journal");
    // Opening journals makes the folder; where there is none, there is nothing to compare with.
    let journal = match root.is_dir() {
        true => Some(
            Journal::open(journal::Settings {
                root,
                sync_interval: config.journal.sync_interval,
                roll_bytes: ROLL_BYTES,
            })
            .context("open the journals")?,
        ),
        false => None,
    };
    Ok(Verifier::new(db.clone(), store, journal).verify(file).await?)
}
