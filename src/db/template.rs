//! What record templates and callback templates have in common: both are a JSON body under a
//! number, limited in count, and held in place by the rules that name them.

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Any, Row, Transaction};

use super::{Db, DbError, Result, at};

/// What became of a new template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It has this id.
    Created(i64),
    /// There are `limits.templates` already.
    Full,
}

/// What became of a template that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// There was none.
    Absent,
    /// A rule names it.
    InUse,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<E> {
    /// It is stored.
    Changed,
    /// There is no such template.
    Absent,
    /// The change itself was refused; nothing is stored.
    Refused(E),
}

/// The statements of one kind of template.
pub(super) struct Statements {
    /// Table and counter.
    pub table: &'static str,
    /// Counts the rows.
    pub count: &'static str,
    /// Locks the row $1 by writing $2 into `updated_ms`, answers its body.
    pub lock: &'static str,
    /// Writes the body $2 of the row $1.
    pub write: &'static str,
    /// Deletes the row $1 unless a rule names it.
    pub delete: &'static str,
    /// Answers a row if $1 exists.
    pub exists: &'static str,
}

/// Takes an id in a transaction, unless there are too many rows.
pub(super) async fn take_id(
    tx: &mut Transaction<'static, Any>,
    sql: &Statements,
    max: i64,
) -> Result<Option<i64>> {
    let id = Db::next_number(tx, sql.table).await?;
    let row = sqlx::query(sql.count).fetch_one(&mut **tx).await.map_err(at("count templates"))?;
    let count: i64 = row.try_get(0).map_err(at("count templates"))?;
    Ok((count < max).then_some(id))
}

/// Changes a body under a lock: of two changes at once none is lost.
pub(super) async fn change<T, E>(
    db: &Db,
    sql: &Statements,
    id: i64,
    now_ms: i64,
    apply: impl FnOnce(&mut T) -> std::result::Result<(), E>,
) -> Result<Change<E>>
where
    T: Serialize + DeserializeOwned,
{
    let mut tx = db.begin().await?;
    let row = sqlx::query(sql.lock)
        .bind(id)
        .bind(now_ms)
        .fetch_optional(&mut *tx)
        .await
        .map_err(at("lock a template"))?;
    let Some(row) = row else {
        return Ok(Change::Absent);
    };
    let body: String = row.try_get(0).map_err(at("lock a template"))?;
    let mut template: T = decode(sql.table, &body)?;
    if let Err(refused) = apply(&mut template) {
        return Ok(Change::Refused(refused));
    }
    sqlx::query(sql.write)
        .bind(id)
        .bind(encode(sql.table, &template)?)
        .execute(&mut *tx)
        .await
        .map_err(at("change a template"))?;
    db.commit(tx, "change a template").await?;
    Ok(Change::Changed)
}

/// Deletes a template that no rule names. A rule made at the same moment wins: the foreign key
/// holds the template in place.
pub(super) async fn remove(db: &Db, sql: &Statements, id: i64) -> Result<Removal> {
    match sqlx::query(sql.delete).bind(id).execute(db.pool()).await {
        Ok(done) if done.rows_affected() > 0 => return Ok(Removal::Removed),
        Ok(_) => {}
        Err(error) if is_foreign_key_violation(&error) => return Ok(Removal::InUse),
        Err(error) => return Err(at("delete a template")(error)),
    }
    let row = sqlx::query(sql.exists)
        .bind(id)
        .fetch_optional(db.reader())
        .await
        .map_err(at("read a template"))?;
    Ok(if row.is_some() { Removal::InUse } else { Removal::Absent })
}

pub(super) fn is_foreign_key_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| e.is_foreign_key_violation())
}

pub(super) fn encode<T: Serialize>(table: &'static str, template: &T) -> Result<String> {
    serde_json::to_string(template).map_err(|e| DbError::Row { table, what: e.to_string() })
}

pub(super) fn decode<T: DeserializeOwned>(table: &'static str, body: &str) -> Result<T> {
    serde_json::from_str(body).map_err(|e| DbError::Row { table, what: e.to_string() })
}
