//! Rows of the limits of domains, and how much was pushed to those that have some.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row};

use super::{Db, Result, at, push_domain::domain_name, readable::readable};
use crate::domain::{
    domain_limits::{DomainLimits, LimitsChange},
    stream::DomainName,
};

const TABLE: &str = "domain_limits";

impl Db {
    /// Changes those limits of a domain that are given. The row decides what the others are: changes
    /// made at the same time, here or by another server, must not undo each other.
    pub async fn change_domain_limits(
        &self,
        domain: &DomainName,
        change: &LimitsChange,
    ) -> Result<()> {
        const AS_IT_IS: i64 = -1;
        sqlx::query(
            "INSERT INTO domain_limits (domain, max_streams, max_kbps, max_hours) VALUES ($1, \
             CASE WHEN $2 < 0 THEN 0 ELSE $2 END, CASE WHEN $3 < 0 THEN 0 ELSE $3 END, \
             CASE WHEN $4 < 0 THEN 0 ELSE $4 END) ON CONFLICT (domain) DO UPDATE SET \
             max_streams = CASE WHEN $2 < 0 THEN domain_limits.max_streams ELSE $2 END, \
             max_kbps = CASE WHEN $3 < 0 THEN domain_limits.max_kbps ELSE $3 END, \
             max_hours = CASE WHEN $4 < 0 THEN domain_limits.max_hours ELSE $4 END",
        )
        .bind(domain.as_str())
        .bind(change.streams.unwrap_or(AS_IT_IS))
        .bind(change.kbps.unwrap_or(AS_IT_IS))
        .bind(change.hours.unwrap_or(AS_IT_IS))
        .execute(self.pool())
        .await
        .map_err(at("set the limits of a domain"))?;
        Ok(())
    }

    /// Milliseconds pushed to a domain between two moments (unix milliseconds); 0 if the second comes
    /// first.
    pub async fn pushed_ms(&self, domain: &DomainName, from_ms: i64, to_ms: i64) -> Result<i64> {
        if to_ms <= from_ms {
            return Ok(0);
        }
        let action = "add up what was pushed to a domain";
        let mut connection = self.reader().acquire().await.map_err(at(action))?;
        pushed_ms(&mut connection, domain, from_ms, to_ms).await
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
