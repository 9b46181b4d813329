//! Reads every row that decides what happens to a publish, as of one moment.

use std::collections::BTreeMap;

use sqlx::{Any, Transaction};

use super::{
    Db, Kind, Result, at, callback_rule, callback_template, domain_limits, forbidden_stream,
    push_domain, record_rule, record_task, record_template,
};
use crate::domain::{domain_limits::month_of, snapshot::Snapshot};

/// Tasks that ended up to this many seconds ago are read too: what ran may still be finishing.
const RECENT_S: i64 = 24 * 3600;

/// Reads the snapshot. All of it comes from one moment: a rule never lacks its template.
pub async fn load(db: &Db, now_ms: i64) -> Result<Snapshot> {
    let now_s = now_ms.div_euclid(1000);
    let mut tx = begin_read(db).await?;
    let domain_limits = domain_limits::all(&mut tx).await?;
    let mut pushed_ms = BTreeMap::new();
    for (domain, limits) in &domain_limits {
        if limits.hours > 0 {
            let used = domain_limits::pushed_ms(&mut tx, domain, month_of(now_ms), now_ms).await?;
            pushed_ms.insert(domain.clone(), used);
        }
    }
    let snapshot = Snapshot {
        domain_limits,
        pushed_ms,
        push_domains: push_domain::all(&mut tx)
            .await?
            .into_iter()
            .map(|d| (d.name.clone(), d))
            .collect(),
        record_templates: record_template::all(&mut tx)
            .await?
            .into_iter()
            .map(|t| (t.id, t))
            .collect(),
        record_rules: record_rule::all(&mut tx).await?,
        record_tasks: record_task::current(&mut tx, now_s, now_s.saturating_sub(RECENT_S)).await?,
        callback_templates: callback_template::all(&mut tx)
            .await?
            .into_iter()
            .map(|t| (t.id, t))
            .collect(),
        callback_rules: callback_rule::all(&mut tx).await?,
        forbidden_streams: forbidden_stream::current(&mut tx, now_ms).await?,
    };
    tx.rollback().await.map_err(at("end reading the snapshot"))?;
    Ok(snapshot)
}

/// A transaction that sees one state of the database and writes nothing. SQLite's deferred
/// transactions are that already; PostgreSQL must be told.
async fn begin_read(db: &Db) -> Result<Transaction<'static, Any>> {
    match db.kind() {
        Kind::Sqlite => db.reader().begin().await,
        Kind::Postgres => {
            db.reader().begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
        }
    }
    .map_err(at("begin reading the snapshot"))
}
