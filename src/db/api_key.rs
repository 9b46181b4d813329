//! Rows of API key pairs. The secret key is an opaque text here: sealed with a master key that no
//! database has.

use sqlx::{Row, any::AnyRow};

use super::{Db, DbError, Result, at};
use crate::domain::api_key::{ApiKey, Role};

const COLUMNS: &str = "secret_id, sealed, role, sub_app_id, note, created_ms, revoked_ms";
/// Most key pairs, revoked ones included.
pub const MAX_KEYS: i64 = 1_000;

/// A key pair as the database has it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// Whose it is.
    pub key: ApiKey,
    /// The secret key, encrypted.
    pub sealed: String,
}

impl Db {
    /// Stores a new key pair. False if there are [`MAX_KEYS`] already.
    pub async fn insert_api_key(&self, key: &SealedKey) -> Result<bool> {
        let mut tx = self.begin().await?;
        let row = sqlx::query("SELECT COUNT(*) FROM api_key")
            .fetch_one(&mut *tx)
            .await
            .map_err(at("count keys"))?;
        if row.try_get::<i64, _>(0).map_err(at("count keys"))? >= MAX_KEYS {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO api_key (secret_id, sealed, role, sub_app_id, note, created_ms, revoked_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(key.key.secret_id.as_str())
        .bind(key.sealed.as_str())
        .bind(key.key.role.as_str())
        .bind(i64::try_from(key.key.role.sub_app_id().unwrap_or(0)).unwrap_or(i64::MAX))
        .bind(key.key.note.as_str())
        .bind(key.key.created_ms)
        .bind(key.key.revoked_ms)
        .execute(&mut *tx)
        .await
        .map_err(at("store a key"))?;
        self.commit(tx, "store a key").await?;
        Ok(true)
    }

    /// Revokes a key pair for good. False if there is none in force.
    pub async fn revoke_api_key(&self, secret_id: &str, now_ms: i64) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE api_key SET revoked_ms = $2 WHERE secret_id = $1 AND revoked_ms = 0",
        )
        .bind(secret_id)
        .bind(now_ms.max(1))
        .execute(self.pool())
        .await
        .map_err(at("revoke a key"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Every key pair, oldest first.
    pub async fn api_keys(&self) -> Result<Vec<SealedKey>> {
        let sql = format!("SELECT {COLUMNS} FROM api_key ORDER BY created_ms, secret_id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_all(self.reader())
            .await
            .map_err(at("read keys"))?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &AnyRow) -> Result<SealedKey> {
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(at("read a key"));
    let text = |column: &str| row.try_get::<String, _>(column).map_err(at("read a key"));
    let role = text("role")?;
    let sub_app_id = number("sub_app_id")?.max(0).unsigned_abs();
    Ok(SealedKey {
        key: ApiKey {
            secret_id: text("secret_id")?,
            role: Role::parse(&role, sub_app_id)
                .ok_or_else(|| DbError::Row { table: "api_key", what: format!("role: {role}") })?,
            note: text("note")?,
            created_ms: number("created_ms")?,
            revoked_ms: number("revoked_ms")?,
        },
        sealed: text("sealed")?,
    })
}
