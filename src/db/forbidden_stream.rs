//! Rows of streams that may not be pushed for a while.

use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{Db, DbError, Result, at, push_domain::domain_name, readable::readable};
use crate::domain::{
    forbidden_stream::ForbiddenStream,
    stream::{AppName, StreamName, StreamPath},
};

const TABLE: &str = "forbidden_stream";
const COLUMNS: &str = "domain, app, stream, reason, resume_ms, created_ms";

impl Db {
    /// Stores a ban, in place of an earlier one of the same stream; bans that are over go. False
    /// if there are `limits.bans` of other streams already and none of this one.
    pub async fn forbid_stream(&self, ban: &ForbiddenStream, now_ms: i64) -> Result<bool> {
        let mut tx = self.begin().await?;
        // Whoever counts waits for those who are about to add.
        Self::next_number(&mut tx, "forbidden_stream").await?;
        sqlx::query("DELETE FROM forbidden_stream WHERE resume_ms <= $1")
            .bind(now_ms)
            .execute(&mut *tx)
            .await
            .map_err(at("remove bans that are over"))?;
        let row = sqlx::query(
            "SELECT COUNT(*) AS every, (SELECT COUNT(*) FROM forbidden_stream \
             WHERE domain = $1 AND app = $2 AND stream = $3) AS same FROM forbidden_stream",
        )
        .bind(ban.path.domain.as_str())
        .bind(ban.path.app.as_str())
        .bind(ban.path.stream.as_str())
        .fetch_one(&mut *tx)
        .await
        .map_err(at("count bans"))?;
        let count = |column: &str| row.try_get::<i64, _>(column).map_err(at("count bans"));
        if count("same")? == 0 && count("every")? >= self.limits.bans {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO forbidden_stream (domain, app, stream, reason, resume_ms, created_ms) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (domain, app, stream) \
             DO UPDATE SET reason = $4, resume_ms = $5, created_ms = $6",
        )
        .bind(ban.path.domain.as_str())
        .bind(ban.path.app.as_str())
        .bind(ban.path.stream.as_str())
        .bind(ban.reason.as_str())
        .bind(ban.resume_ms)
        .bind(ban.created_ms)
        .execute(&mut *tx)
        .await
        .map_err(at("forbid a stream"))?;
        self.commit(tx, "forbid a stream").await?;
        Ok(true)
    }

    /// Ends a ban. With `by_name` every ban of the stream name ends, in whatever domain and
    /// application. False if there was none.
    pub async fn resume_stream(&self, path: &StreamPath, by_name: bool) -> Result<bool> {
        let done = sqlx::query(
            "DELETE FROM forbidden_stream WHERE stream = $1 \
             AND ($2 = 1 OR (domain = $3 AND app = $4))",
        )
        .bind(path.stream.as_str())
        .bind(i64::from(by_name))
        .bind(path.domain.as_str())
        .bind(path.app.as_str())
        .execute(self.pool())
        .await
        .map_err(at("end a ban"))?;
        Ok(done.rows_affected() > 0)
    }

    /// Bans in force at `now_ms` (unix milliseconds), newest first.
    pub async fn forbidden_streams(&self, now_ms: i64) -> Result<Vec<ForbiddenStream>> {
        let mut connection = self.reader().acquire().await.map_err(at("read bans"))?;
        current(&mut connection, now_ms).await
    }
}

/// Bans in force at `now_ms` (unix milliseconds), newest first.
pub(super) async fn current(
    connection: &mut AnyConnection,
    now_ms: i64,
) -> Result<Vec<ForbiddenStream>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM forbidden_stream WHERE resume_ms > $1 \
         ORDER BY created_ms DESC, domain, app, stream"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(now_ms)
        .fetch_all(connection)
        .await
        .map_err(at("read bans"))?;
    readable(&rows, read)
}

fn read(row: &AnyRow) -> Result<ForbiddenStream> {
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(at("read a ban"));
    let text = |column: &str| row.try_get::<String, _>(column).map_err(at("read a ban"));
    let odd = |what: String| DbError::Row { table: TABLE, what };
    Ok(ForbiddenStream {
        path: StreamPath {
            domain: domain_name(TABLE, &text("domain")?)?,
            app: AppName::parse(&text("app")?).map_err(|e| odd(e.to_string()))?,
            stream: StreamName::parse(&text("stream")?).map_err(|e| odd(e.to_string()))?,
        },
        reason: text("reason")?,
        resume_ms: number("resume_ms")?,
        created_ms: number("created_ms")?,
    })
}
