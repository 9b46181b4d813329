//! `liverec give-up`: ends a session whose journal is gone for good.
//!
//! Only rows are written, all at once, with the events; what becomes of the files is delivery's. Beside
//! a running server that is the server's, else that of the next start. Refused wherever somebody may
//! still have the journal: the server that runs may write it, another node may, or its folder has data.

use std::{
    io::{self, Write},
    sync::Arc,
};

use anyhow::{Context, Result, bail, ensure};
use arc_swap::ArcSwap;

use crate::{
    config::Config,
    db::{self, Db},
    domain::{
        ids::{FileId, SessionId},
        session::Session,
    },
    journal::{self, Journal, Left},
    record::{follow::Shared, give_up},
};

use super::{ROLL_BYTES, data_dir::DataDir, now_ms};

/// A node that was heard of later than this long ago may be alive: it says so once a minute.
const SILENT_MS: i64 = 10 * 60_000;

/// Ends a session whose journal is gone. `of_node` names the node that it is of, if that is another
/// one and will never run again.
///
/// # Errors
/// There is no such session, it has ended, or its journal may still be somewhere.
pub async fn give_up(config: &Config, id: SessionId, of_node: Option<&str>) -> Result<()> {
    if let Some(file) = config.database.sqlite_file() {
        let shown = file.display();
        ensure!(file.exists(), "there is no database {shown} yet: start the server once");
    }
    let node_id = DataDir::known_node_id(&config.data_dir)?;
    // None runs for as long as this is held.
    let held = DataDir::try_lock(&config.data_dir)?;
    let server_since_ms = match &held {
        Some(_) => None,
        None => Some(DataDir::held_since_ms(&config.data_dir)?),
    };
    let db = Db::connect_beside(config.database.as_str()).await.context("open the database")?;
    let given_up = async {
        let session = db.session(id).await?.with_context(|| format!("there is no session {id}"))?;
        ensure!(db.session_has_ended(id).await? == Some(false), "session {id} has ended");
        match session.node_id == node_id {
            true => check_server(&session, server_since_ms)?,
            false => check_node(&db, &session, of_node).await?,
        }
        let shared = shared(config, &db).await?;
        // As late as can be: its disk may be mounted this very moment.
        let journal = shared.journal.clone();
        let left = shared.journal.run_read(move || journal.left(id)).await?;
        ensure!(
            left != Left::Data,
            "the journal of session {id} is there: {} (start the server again, and it goes on)",
            shared.journal.path(id).display()
        );
        let files = give_up::give_up(shared, session.clone(), &node_id).await?;
        let files = files.with_context(|| format!("session {id} has ended"))?;
        Ok((session, files))
    }
    .await;
    db.close().await;
    let (session, files) = given_up?;
    tell(&session, &files, held.is_none())
}

/// A session that began after the server did may be live in it.
fn check_server(session: &Session, since_ms: Option<i64>) -> Result<()> {
    match since_ms {
        Some(since_ms) if session.started_ms >= since_ms => bail!(
            "session {} began while the server that runs now did, and may be live: stop its publisher, start the server again",
            session.id
        ),
        _ => Ok(()),
    }
}

/// The journals of another node are there. Only the operator knows whether they ever will be again.
async fn check_node(db: &Db, session: &Session, of_node: Option<&str>) -> Result<()> {
    let Session { id, node_id, .. } = session;
    ensure!(
        of_node == Some(node_id.as_str()),
        "session {id} is of node {node_id}, and its journal is there: if that node will never run again, say --node {node_id}"
    );
    let heard_ms = db.expiry_clock(node_id).await?.map_or(0, |clock| clock.trusted_ms);
    let silent_ms = now_ms().saturating_sub(heard_ms);
    ensure!(
        silent_ms > SILENT_MS,
        "node {node_id} was heard of {} s ago: it may be alive",
        silent_ms.max(0) / 1000
    );
    Ok(())
}

async fn shared(config: &Config, db: &Db) -> Result<Arc<Shared>> {
    let journal = Journal::open(journal::Settings {
        root: config.data_dir.join("journal"),
        sync_interval: config.journal.sync_interval,
        roll_bytes: ROLL_BYTES,
    })
    .context("open the journals")?;
    let snapshot = db::snapshot::load(db, now_ms()).await?;
    Ok(Arc::new(Shared {
        db: db.clone(),
        journal,
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        app_id: u64::try_from(config.api.app_id).unwrap_or_default(),
        utc_offset_s: config.api.utc_offset.local_minus_utc(),
        unclaimed_max_bytes: config.journal.unclaimed_max_bytes,
        now_ms,
    }))
}

fn tell(session: &Session, files: &[FileId], is_running: bool) -> Result<()> {
    let mut text = format!("session {} of {} has ended\n", session.id, session.path);
    let who = if is_running { "the server" } else { "the next start of the server" };
    for id in files {
        text.push_str(&format!("file {id} is made by {who} of what is left of it, or fails\n"));
    }
    io::stdout().write_all(text.as_bytes()).context("write to stdout")
}
