//! Rows of the limits of domains, and how much was pushed to those that have some.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row};

use super::{Db, Result, at, push_domain::domain_name, readable::readable};
use crate::domain::{domain_limits::DomainLimits, stream::DomainName};

const TABLE: &str = "domain_limits";

impl Db {
    /// Stores the limits of a domain, in place of earlier ones.
    pub async fn set_domain_limits(
        &self,
        domain: &DomainName,
        limits: &DomainLimits,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO domain_limits (domain, max_streams, max_kbps, max_hours) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (domain) \
             DO UPDATE SET max_streams = $2, max_kbps = $3, max_hours = $4",
        )
        .bind(domain.as_str())
        .bind(limits.streams)
        .bind(limits.kbps)
        .bind(limits.hours)
        .execute(self.pool())
        .await
        .map_err(at("set the limits of a domain"))?;
        Ok(())
    }
}

/// The limits of every domain that has some.
pub(super) async fn all(
    connection: &mut AnyConnection,
) -> Result<BTreeMap<DomainName, DomainLimits>> {
    let action = "read the limits of domains";
    let rows = sqlx::query(
        "SELECT domain, max_streams, max_kbps, max_hours FROM domain_limits \
         WHERE max_streams > 0 OR max_kbps > 0 OR max_hours > 0",
    )
    .fetch_all(connection)
    .await
    .map_err(at(action))?;
    let limits = readable(&rows, |row| {
        let number = |column: &str| row.try_get::<i64, _>(column).map_err(at(action));
        let domain: String = row.try_get("domain").map_err(at(action))?;
        let limits = DomainLimits {
            streams: number("max_streams")?,
            kbps: number("max_kbps")?,
            hours: number("max_hours")?,
        };
        Ok((domain_name(TABLE, &domain)?, limits))
    })?;
    Ok(limits.into_iter().collect())
}

/// Milliseconds pushed to a domain between two moments, by pushes that are live until now.
pub(super) async fn pushed_ms(
    connection: &mut AnyConnection,
    domain: &DomainName,
    from_ms: i64,
    now_ms: i64,
) -> Result<i64> {
    let action = "add up what was pushed to a domain";
    let row = sqlx::query(
        "SELECT CAST(COALESCE(SUM( \
         CASE WHEN ended_ms = 0 OR ended_ms > $3 THEN $3 ELSE ended_ms END \
         - CASE WHEN started_ms < $2 THEN $2 ELSE started_ms END), 0) AS BIGINT) AS ms FROM session \
         WHERE domain = $1 AND started_ms < $3 AND (ended_ms = 0 OR ended_ms > $2)",
    )
    .bind(domain.as_str())
    .bind(from_ms)
    .bind(now_ms)
    .fetch_one(connection)
    .await
    .map_err(at(action))?;
    row.try_get::<i64, _>("ms").map_err(at(action))
}
