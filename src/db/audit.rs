//! Rows of the audit log.

use sqlx::{Row, any::AnyRow};

use super::{Db, DbError, Result, at};
use crate::domain::{
    audit::{AuditEntry, Audited, KEPT_MS, MAX_ENTRIES},
    ids::DecimalId,
};

/// Which entries are asked for. Empty texts ask nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditSearch {
    /// Unix milliseconds, inclusive.
    pub start_ms: i64,
    /// Unix milliseconds, inclusive.
    pub end_ms: i64,
    /// The key that asked.
    pub secret_id: String,
    /// The action.
    pub action: String,
    /// Found anywhere in the parameters.
    pub text: String,
    /// Entries before the first.
    pub offset: u64,
    /// Entries.
    pub limit: u64,
}

impl Db {
    /// Writes an entry before the change it is about.
    pub async fn insert_audit(&self, entry: &AuditEntry) -> Result<()> {
        sqlx::query(
            "INSERT INTO audit (id, at_ms, secret_id, role, action, peer, request_id, parameters, answer, outcome) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', '')",
        )
        .bind(entry.id.to_string())
        .bind(entry.at_ms)
        .bind(entry.secret_id.as_str())
        .bind(entry.role.as_str())
        .bind(entry.action.as_str())
        .bind(entry.peer.as_str())
        .bind(entry.request_id.as_str())
        .bind(entry.parameters.as_str())
        .execute(self.pool())
        .await
        .map_err(at("write an audit entry"))?;
        Ok(())
    }

    /// Notes what came of it.
    pub async fn finish_audit(&self, id: DecimalId, outcome: &str, answer: &str) -> Result<()> {
        sqlx::query("UPDATE audit SET outcome = $2, answer = $3 WHERE id = $1")
            .bind(id.to_string())
            .bind(outcome)
            .bind(answer)
            .execute(self.pool())
            .await
            .map_err(at("finish an audit entry"))?;
        Ok(())
    }

    /// Entries that a search finds, the newest first, and how many there are in all.
    pub async fn audit(&self, search: &AuditSearch) -> Result<(u64, Vec<Audited>)> {
        const FOUND: &str = "FROM audit WHERE at_ms >= $1 AND at_ms <= $2 \
             AND ($3 = '' OR secret_id = $3) AND ($4 = '' OR action = $4) \
             AND ($5 = '' OR replace(parameters, $5, '') <> parameters)";
        macro_rules! bound {
            ($sql:expr) => {
                sqlx::query(sqlx::AssertSqlSafe($sql))
                    .bind(search.start_ms)
                    .bind(search.end_ms)
                    .bind(search.secret_id.as_str())
                    .bind(search.action.as_str())
                    .bind(search.text.as_str())
            };
        }
        let total = bound!(format!("SELECT COUNT(*) AS n {FOUND}"))
            .fetch_one(self.reader())
            .await
            .map_err(at("count audit entries"))?;
        let total: i64 = total.try_get("n").map_err(at("count audit entries"))?;
        let rows = bound!(format!(
            "SELECT id, at_ms, secret_id, role, action, peer, request_id, parameters, answer, outcome \
             {FOUND} ORDER BY id DESC LIMIT $6 OFFSET $7"
        ))
        .bind(i64::try_from(search.limit).unwrap_or(i64::MAX))
        .bind(i64::try_from(search.offset).unwrap_or(i64::MAX))
        .fetch_all(self.reader())
        .await
        .map_err(at("read audit entries"))?;
        let rows = rows.iter().map(read).collect::<Result<_>>()?;
        Ok((total.max(0).unsigned_abs(), rows))
    }

    /// Removes entries that are too old at `now_ms` or too many. How many went.
    pub async fn prune_audit(&self, now_ms: i64) -> Result<u64> {
        // Ids are decimal texts of one length, ordered by time.
        let done = sqlx::query(
            "DELETE FROM audit WHERE at_ms < $1 OR id <= COALESCE( \
             (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET $2), '')",
        )
        .bind(now_ms.saturating_sub(KEPT_MS))
        .bind(MAX_ENTRIES)
        .execute(self.pool())
        .await
        .map_err(at("remove old audit entries"))?;
        Ok(done.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<Audited> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(at("read an audit entry"));
    let id = text("id")?;
    Ok(Audited {
        entry: AuditEntry {
            id: DecimalId::parse(&id)
                .ok_or(DbError::Row { table: "audit", what: format!("id: {id}") })?,
            at_ms: row.try_get("at_ms").map_err(at("read an audit entry"))?,
            secret_id: text("secret_id")?,
            role: text("role")?,
            action: text("action")?,
            peer: text("peer")?,
            request_id: text("request_id")?,
            parameters: text("parameters")?,
        },
        outcome: text("outcome")?,
        answer: text("answer")?,
    })
}
