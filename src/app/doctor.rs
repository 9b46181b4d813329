//! `liverec doctor`, and the look that the server takes at itself when it starts.
//!
//! The command works beside a running server: nothing is locked, the schema is not touched, and what
//! cannot be opened is a finding. What is checked and what is advised is [`crate::doctor`].

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{ROLL_BYTES, data_dir, disk, now_ms, store};
use crate::{
    config::{Config, Storage},
    db::Db,
    doctor::{self, Depth, Doctor, Finding, Report, Status},
    journal::{self, Journal},
    storage::ObjectStore,
};

/// Pause before a look at the start that found a failure is taken once more.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Examines everything and prints what was found; true if nothing failed.
///
/// # Errors
/// Standard output cannot be written.
pub async fn doctor(config: &Config, as_json: bool, fixes: bool) -> Result<bool> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let report = examine(config, fixes).await;
    let text = match as_json {
        true => format!("{}\n", serde_json::to_string_pretty(&report).context("write JSON")?),
        false => report.to_string(),
    };
    io::stdout().write_all(text.as_bytes()).context("write to stdout")?;
    Ok(report.status() != Status::Fail)
}

async fn examine(config: &Config, fixes: bool) -> Report {
    let mut report = Report { findings: vec![configuration(config)] };
    let db = match open_database(config).await {
        Ok(db) => Some(db),
        Err(finding) => {
            report.findings.push(finding);
            None
        }
    };
    let store = match open_store(&config.storage) {
        Ok(store) => Some(store),
        Err(finding) => {
            report.findings.push(finding);
            None
        }
    };
    let doctor = Doctor {
        data_dir: config.data_dir.clone(),
        space: disk::space(config, &config.data_dir),
        node_id: data_dir::known_node_id(&config.data_dir),
        db: db.clone(),
        store,
        journal: open_journal(config),
        is_server: false,
        now_ms,
        turn: Arc::new(Semaphore::new(1)),
    };
    let depth = if fixes { Depth::Fix } else { Depth::Search };
    if let Ok(examined) = doctor.examine(depth).await {
        report.findings.extend(examined.findings);
    }
    if let Some(db) = db {
        db.close().await;
    }
    report
}

fn configuration(config: &Config) -> Finding {
    let database = match config.database.sqlite_file() {
        Some(file) => format!("SQLite {}", file.display()),
        None => "PostgreSQL".to_owned(),
    };
    let store = match &config.storage {
        Storage::Local { dir } => format!("directory {}", dir.display()),
        Storage::S3(s3) => format!("bucket {} at {}", s3.bucket, s3.endpoint.as_str()),
    };
    let data_dir = config.data_dir.display();
    Finding::ok("configuration", format!("data_dir {data_dir}, database {database}, store {store}"))
}

async fn open_database(config: &Config) -> std::result::Result<Db, Finding> {
    if let Some(file) = config.database.sqlite_file()
        && !file.exists()
    {
        let found = format!("there is no {} yet", file.display());
        return Err(Finding::warn(
            "database",
            found,
            "start the server once: it makes the database",
        ));
    }
    Db::connect_as_it_is(config.database.as_str()).await.map_err(|e| doctor::unreachable(&e))
}

fn open_store(storage: &Storage) -> std::result::Result<Arc<dyn ObjectStore>, Finding> {
    if let Storage::Local { dir } = storage
        && !Path::new(dir).exists()
    {
        let found = format!("there is no {} yet", dir.display());
        let advice =
            "start the server once: it makes the directory; if it was there before, mount its disk";
        return Err(Finding::warn("store.reach", found, advice));
    }
    store::open(storage, store::Access::Read).map_err(|e| {
        Finding::fail("store.reach", format!("{e:#}"), "correct the setting that is named")
    })
}

/// The journals, where there are any: opening them makes the folder.
fn open_journal(config: &Config) -> Option<Journal> {
    let root = config.data_dir.join("journal");
    let settings = journal::Settings {
        root: root.clone(),
        sync_interval: config.journal.sync_interval,
        roll_bytes: ROLL_BYTES,
    };
    root.is_dir().then(|| Journal::open(settings).ok()).flatten()
}

/// The doctor of a running server.
pub(super) fn of_server(
    data_dir: &Path,
    node_id: &str,
    db: &Db,
    store: &Arc<dyn ObjectStore>,
    journal: &Journal,
) -> Doctor {
    Doctor {
        data_dir: data_dir.to_owned(),
        space: journal.space_settings(),
        node_id: Some(node_id.to_owned()),
        db: Some(db.clone()),
        store: Some(store.clone()),
        journal: Some(journal.clone()),
        is_server: true,
        now_ms,
        turn: Arc::new(Semaphore::new(1)),
    }
}

/// The look at the start of the server: reads only, and says what an operator should know.
pub(super) async fn look(doctor: Doctor, token: CancellationToken) {
    let examined = async {
        match doctor.examine(Depth::Look).await {
            // One answer that went wrong is not worth waking anybody.
            Ok(report) if report.status() == Status::Fail => {
                sleep(LOOK_AGAIN).await;
                doctor.examine(Depth::Look).await
            }
            examined => examined,
        }
    };
    let examined = tokio::select! {
        () = token.cancelled() => return,
        examined = examined => examined,
    };
    let Ok(report) = examined else { return };
    for finding in &report.findings {
        let Finding { check, found, advice, .. } = finding;
        match finding.status {
            Status::Ok => {}
            Status::Warn => warn!(check, advice, "doctor: {found}"),
            Status::Fail => error!(check, advice, "doctor: {found}"),
        }
    }
    if report.status() == Status::Ok {
        info!(
            checks = report.findings.len(),
            "doctor: data directory, database, clock and store are fine"
        );
    }
}
