//! What record rules and callback rules have in common.

use sqlx::{AnyConnection, Row};

use super::{Result, at, domain_name::Unregistered};

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

/// Whether a statement without parameters that counts rows answers `max` or more.
pub(super) async fn is_full(
    connection: &mut AnyConnection,
    count: &'static str,
    max: i64,
) -> Result<bool> {
    let row = sqlx::query(count).fetch_one(connection).await.map_err(at("count rules"))?;
    let count: i64 = row.try_get(0).map_err(at("count rules"))?;
    Ok(count >= max)
}
