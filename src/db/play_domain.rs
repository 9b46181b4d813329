//! Rows of playback domains.

use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{Db, Result, at, push_domain::domain_name, readable::readable};
use crate::domain::{play_domain::PlayDomain, stream::DomainName};

impl Db {
    /// Writes the row of a playback domain; false if there is one.
    pub async fn insert_play_domain(tx: &mut AnyConnection, domain: &PlayDomain) -> Result<bool> {
        let done = sqlx::query(
            "INSERT INTO play_domain (name, enabled, play_type, is_delay_live, is_mini_program, created_ms) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING",
        )
        .bind(domain.name.as_str())
        .bind(i64::from(domain.enabled))
        .bind(domain.play_type)
        .bind(i64::from(domain.is_delay_live))
        .bind(i64::from(domain.is_mini_program))
        .bind(domain.created_ms)
        .execute(tx)
        .await
        .map_err(at("register a playback domain"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Every playback domain, by name.
    pub async fn play_domains(&self) -> Result<Vec<PlayDomain>> {
        let rows = sqlx::query(
            "SELECT name, enabled, play_type, is_delay_live, is_mini_program, created_ms \
             FROM play_domain ORDER BY name",
        )
        .fetch_all(self.reader())
        .await
        .map_err(at("read playback domains"))?;
        readable(&rows, read)
    }

    /// Enables or disables a playback domain; false if there is none.
    pub async fn enable_play_domain(&self, name: &DomainName, enabled: bool) -> Result<bool> {
        let done = sqlx::query("UPDATE play_domain SET enabled = $2 WHERE name = $1")
            .bind(name.as_str())
            .bind(i64::from(enabled))
            .execute(self.pool())
            .await
            .map_err(at("enable a playback domain"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes a playback domain; false if there is none.
    pub async fn remove_play_domain(&self, name: &DomainName) -> Result<bool> {
        let done = sqlx::query("DELETE FROM play_domain WHERE name = $1")
            .bind(name.as_str())
            .execute(self.pool())
            .await
            .map_err(at("delete a playback domain"))?;
        Ok(done.rows_affected() == 1)
    }
}

fn read(row: &AnyRow) -> Result<PlayDomain> {
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(at("read a playback domain"));
    let name = row.try_get::<String, _>("name").map_err(at("read a playback domain"))?;
    Ok(PlayDomain {
        name: domain_name("play_domain", &name)?,
        enabled: number("enabled")? != 0,
        play_type: number("play_type")?,
        is_delay_live: number("is_delay_live")? != 0,
        is_mini_program: number("is_mini_program")? != 0,
        created_ms: number("created_ms")?,
    })
}
