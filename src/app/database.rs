//! The database at start: waited for if it is away, brought up to date, seeded.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::{
    config::Config,
    db::{self, Db, DbError},
    domain::{ids, snapshot::Snapshot},
};

use super::{data_dir, now_ms};

/// Longest wait for a database that does not answer; then the process ends, and whoever supervises
/// it starts it again. Without the rows nothing says who may push.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Connects, migrates, seeds and reads the configuration rows. The flag says that this was the
/// first start.
///
/// # Errors
/// The database stays away, refuses, or is of a newer version.
pub async fn open(config: &Config) -> Result<(Db, Snapshot, bool)> {
    if let Some(file) = config.database.sqlite_file() {
        data_dir::create_private(&file)?;
    }
    let begun = Instant::now();
    let mut is_warned = false;
    loop {
        let error = match try_open(config).await {
            Ok(opened) => {
                let newest = opened.0.newest_ids().await.context("read the newest ids")?;
                ids::begin_after(&newest.callback);
                ids::begin_after(&newest.session);
                if is_warned {
                    info!(waited_s = begun.elapsed().as_secs(), "the database answers now");
                }
                return Ok(opened);
            }
            Err(error) => error,
        };
        if !error.downcast_ref::<DbError>().is_some_and(DbError::is_away) {
            return Err(error);
        }
        if begun.elapsed() >= PATIENCE {
            let waited_s = PATIENCE.as_secs();
            return Err(error)
                .with_context(|| format!("the database did not answer for {waited_s} s"));
        }
        if !std::mem::replace(&mut is_warned, true) {
            warn!(
                error = format!("{error:#}"),
                patience_s = PATIENCE.as_secs(),
                "the database does not answer; nothing listens before it does"
            );
        }
        sleep(PAUSE).await;
    }
}

async fn try_open(config: &Config) -> Result<(Db, Snapshot, bool)> {
    let url = config.database.as_str();
    // One that is away is seen sooner by a connection of our own than by a pool.
    Db::probe(url).await.context("open the database")?;
    let db = Db::connect(url).await.context("open the database")?.with_limits(config.limits);
    let read = async {
        let is_first = db::seed::run(&db, &config.rtmp.default_domain, now_ms())
            .await
            .context("seed the database")?;
        let snapshot =
            db::snapshot::load(&db, now_ms()).await.context("read the configuration rows")?;
        Ok((snapshot, is_first))
    };
    match read.await {
        Ok((snapshot, is_first)) => Ok((db, snapshot, is_first)),
        Err(error) => {
            db.close().await;
            Err(error)
        }
    }
}
