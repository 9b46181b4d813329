//! Rows of push domains.

use sqlx::{Any, AnyConnection, Row, Transaction, any::AnyRow};

use super::{Db, DbError, Result, at, readable::readable};
use crate::domain::{
    push_domain::{PushDomain, PushKeys},
    stream::DomainName,
};

const TABLE: &str = "push_domain";

impl Db {
    /// Writes the row of a domain, unless there is one.
    pub async fn insert_domain(
        tx: &mut Transaction<'static, Any>,
        domain: &PushDomain,
    ) -> Result<bool> {
        let keys = domain.keys.as_ref();
        let done = sqlx::query(
            "INSERT INTO push_domain (name, enabled, own_keys, keys_on, master_key, backup_key, delta_s, created_ms, is_delay_live, is_mini_program) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name) DO NOTHING",
        )
        .bind(domain.name.as_str())
        .bind(i64::from(domain.enabled))
        .bind(i64::from(keys.is_some()))
        .bind(i64::from(keys.is_some_and(|k| k.enabled)))
        .bind(keys.map_or("", |k| k.master.as_str()))
        .bind(keys.map_or("", |k| k.backup.as_str()))
        .bind(keys.map_or(0, |k| k.delta_s))
        .bind(domain.created_ms)
        .bind(i64::from(domain.is_delay_live))
        .bind(i64::from(domain.is_mini_program))
        .execute(&mut **tx)
        .await
        .map_err(at("register a push domain"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives a registered domain push keys of its own.
    pub async fn set_push_keys(
        tx: &mut AnyConnection,
        name: &DomainName,
        keys: &PushKeys,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE push_domain SET own_keys = 1, keys_on = $2, master_key = $3, backup_key = $4, delta_s = $5 \
             WHERE name = $1",
        )
        .bind(name.as_str())
        .bind(i64::from(keys.enabled))
        .bind(keys.master.as_str())
        .bind(keys.backup.as_str())
        .bind(keys.delta_s)
        .execute(tx)
        .await
        .map_err(at("set push keys"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Enables or disables a registered domain; false if it is not registered.
    pub async fn enable_push_domain(&self, name: &DomainName, enabled: bool) -> Result<bool> {
        let done = sqlx::query("UPDATE push_domain SET enabled = $2 WHERE name = $1")
            .bind(name.as_str())
            .bind(i64::from(enabled))
            .execute(self.pool())
            .await
            .map_err(at("enable a push domain"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes a domain off the register; false if it is not on it. Its rules and tasks stay.
    pub async fn remove_push_domain(&self, name: &DomainName) -> Result<bool> {
        let done = sqlx::query("DELETE FROM push_domain WHERE name = $1")
            .bind(name.as_str())
            .execute(self.pool())
            .await
            .map_err(at("delete a push domain"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Every push domain, by name.
    pub async fn push_domains(&self) -> Result<Vec<PushDomain>> {
        let mut connection = self.reader().acquire().await.map_err(at("read push domains"))?;
        all(&mut connection).await
    }

    /// One push domain.
    pub async fn push_domain(
        tx: &mut AnyConnection,
        name: &DomainName,
    ) -> Result<Option<PushDomain>> {
        let row = sqlx::query(
            "SELECT name, enabled, own_keys, keys_on, master_key, backup_key, delta_s, created_ms, \
             is_delay_live, is_mini_program FROM push_domain WHERE name = $1",
        )
        .bind(name.as_str())
        .fetch_optional(tx)
        .await
        .map_err(at("read a push domain"))?;
        row.as_ref().map(read).transpose()
    }
}

/// Every push domain.
pub(super) async fn all(connection: &mut AnyConnection) -> Result<Vec<PushDomain>> {
    let rows = sqlx::query(
        "SELECT name, enabled, own_keys, keys_on, master_key, backup_key, delta_s, created_ms, \
         is_delay_live, is_mini_program FROM push_domain ORDER BY name",
    )
    .fetch_all(connection)
    .await
    .map_err(at("read push domains"))?;
    readable(&rows, read)
}

fn read(row: &AnyRow) -> Result<PushDomain> {
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(at("read a push domain"));
    let text = |column: &str| row.try_get::<String, _>(column).map_err(at("read a push domain"));
    let keys = PushKeys {
        enabled: number("keys_on")? != 0,
        master: text("master_key")?,
        backup: text("backup_key")?,
        delta_s: number("delta_s")?,
    };
    Ok(PushDomain {
        name: domain_name(TABLE, &text("name")?)?,
        enabled: number("enabled")? != 0,
        keys: (number("own_keys")? != 0).then_some(keys),
        is_delay_live: number("is_delay_live")? != 0,
        is_mini_program: number("is_mini_program")? != 0,
        created_ms: number("created_ms")?,
    })
}

/// A domain name read back from a row.
pub(super) fn domain_name(table: &'static str, text: &str) -> Result<DomainName> {
    let odd = |what: String| DbError::Row { table, what };
    let name =
        DomainName::parse(text).map_err(|e| odd(format!("`{}`: {e}", text.escape_debug())))?;
    match name.as_str() == text {
        true => Ok(name),
        false => Err(odd(format!("`{}` is written `{name}`", text.escape_debug()))),
    }
}
