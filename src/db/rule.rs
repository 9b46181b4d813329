//! What record rules and callback rules have in common.

use sqlx::{AnyConnection, Row};

use super::{Db, Result, at, domain_name::Unregistered};

/// What became of a new rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleCreation {
    /// It is stored.
    Created,
    /// Its scope has a rule already.
    Exists,
    /// There is no such template.
    NoTemplate,
    /// There are `limits.rules` already.
    Full,
    /// Its domain is none that can be pushed to, and cannot become one.
    NoDomain(Unregistered),
}

/// Whether there are `max` rules in a table, or more. Whoever asks waits for those who are about to
/// add one.
pub(super) async fn is_full(
    connection: &mut AnyConnection,
    table: &'static str,
    max: i64,
) -> Result<bool> {
    Db::next_number(connection, table).await?;
    let count = format!("SELECT COUNT(*) FROM {table}");
    let row = sqlx::query(sqlx::AssertSqlSafe(count)).fetch_one(connection).await;
    let count: i64 = row.and_then(|row| row.try_get(0)).map_err(at("count rules"))?;
    Ok(count >= max)
}
