//! Media files in numbers: search for the VOD API, expiry, metrics, and which journals are needed.

use sqlx::{
    Transaction,
    any::{Any, AnyRow},
};

use super::{COLUMNS, decode, int, to_i64};
use crate::{
    db::{Db, Result, at},
    domain::{
        ids::{FileId, SessionId},
        media_file::{DeliveryProgress, MediaFile, MediaFileState},
    },
};

/// What SearchMedia asks: filters are ANDed, the values of one filter ORed, an empty filter asks
/// nothing. Texts are compared exactly, upper and lower case being different on every database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediaSearch {
    /// VOD application.
    pub sub_app_id: u64,
    /// Ids.
    pub file_ids: Vec<String>,
    /// What the name begins with.
    pub name_prefixes: Vec<String>,
    /// Live stream names.
    pub stream_ids: Vec<String>,
    /// Push domains.
    pub stream_domains: Vec<String>,
    /// AppNames.
    pub stream_paths: Vec<String>,
    /// Created at or after, unix milliseconds.
    pub created_from_ms: Option<i64>,
    /// Created before, unix milliseconds.
    pub created_before_ms: Option<i64>,
    /// Oldest first; newest first otherwise.
    pub is_ascending: bool,
    /// Rows skipped.
    pub offset: u64,
    /// Rows answered at most.
    pub limit: u64,
}

/// Ended files that are not stored yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub files: u64,
    /// Unix milliseconds at which the first of them ended; 0 without any.
    pub oldest_end_ms: i64,
}

/// A WHERE clause with numbered placeholders, which both databases take.
struct Conditions {
    sql: String,
    arguments: Vec<Argument>,
}

enum Argument {
    Int(i64),
    Text(String),
}

impl Conditions {
    fn number(&mut self, argument: Argument) -> usize {
        self.arguments.push(argument);
        self.arguments.len()
    }

    fn compare(&mut self, column_and_operator: &str, value: i64) {
        let n = self.number(Argument::Int(value));
        self.sql.push_str(&format!(" AND {column_and_operator} ${n}"));
    }

    fn any_of(&mut self, column: &str, values: &[String]) {
        let tests = values
            .iter()
            .map(|value| format!("{column} = ${}", self.number(Argument::Text(value.clone()))));
        let tests: Vec<String> = tests.collect();
        self.or(&tests);
    }

    fn any_prefix(&mut self, column: &str, prefixes: &[String]) {
        // LIKE ignores case on SQLite and not on PostgreSQL; this is the same on both and has no
        // wildcards to escape. The length is a number of ours, written out because PostgreSQL
        // would want it as a 32-bit parameter.
        let tests = prefixes.iter().map(|prefix| {
            let chars = prefix.chars().count();
            let n = self.number(Argument::Text(prefix.clone()));
            format!("substr({column}, 1, {chars}) = ${n}")
        });
        let tests: Vec<String> = tests.collect();
        self.or(&tests);
    }

    fn or(&mut self, tests: &[String]) {
        if !tests.is_empty() {
            self.sql.push_str(&format!(" AND ({})", tests.join(" OR ")));
        }
    }
}

macro_rules! bind_all {
    ($query:expr, $arguments:expr) => {{
        let mut query = $query;
        for argument in $arguments {
            query = match argument {
                Argument::Int(value) => query.bind(*value),
                Argument::Text(value) => query.bind(value.as_str()),
            };
        }
        query
    }};
}

impl Db {
    /// Stored, unexpired files that match, and how many there are without paging. Their spans are
    /// not read.
    pub async fn search_media_files(
        &self,
        search: &MediaSearch,
        now_ms: i64,
    ) -> Result<(u64, Vec<MediaFile>)> {
        let mut conditions =
            Conditions { sql: "state = 'stored'".to_owned(), arguments: Vec::new() };
        conditions.compare("sub_app_id =", to_i64(search.sub_app_id));
        let now = conditions.number(Argument::Int(now_ms));
        conditions.sql.push_str(&format!(" AND (expire_ms = 0 OR expire_ms > ${now})"));
        conditions.any_of("id", &search.file_ids);
        conditions.any_of("stream", &search.stream_ids);
        conditions.any_of("domain", &search.stream_domains);
        conditions.any_of("app", &search.stream_paths);
        conditions.any_prefix("name", &search.name_prefixes);
        if let Some(from_ms) = search.created_from_ms {
            conditions.compare("created_ms >=", from_ms);
        }
        if let Some(before_ms) = search.created_before_ms {
            conditions.compare("created_ms <", before_ms);
        }

        let sql = format!("SELECT COUNT(*) AS n FROM media_file WHERE {}", conditions.sql);
        let row = bind_all!(sqlx::query(sqlx::AssertSqlSafe(sql)), &conditions.arguments)
            .fetch_one(self.reader())
            .await
            .map_err(at("count media files"))?;
        let total = u64::try_from(int(&row, "n")?).unwrap_or_default();

        let order = if search.is_ascending { "ASC" } else { "DESC" };
        let limit = conditions.number(Argument::Int(to_i64(search.limit)));
        let offset = conditions.number(Argument::Int(to_i64(search.offset)));
        let sql = format!(
            "SELECT {COLUMNS} FROM media_file WHERE {} ORDER BY created_ms {order}, id {order} \
             LIMIT ${limit} OFFSET ${offset}",
            conditions.sql
        );
        let rows = bind_all!(sqlx::query(sqlx::AssertSqlSafe(sql)), &conditions.arguments)
            .fetch_all(self.reader())
            .await
            .map_err(at("search media files"))?;
        let files = rows.iter().map(decode).collect::<Result<_>>()?;
        Ok((total, files))
    }

    /// Whether anything was ever recorded into this VOD application.
    pub async fn sub_app_has_media(&self, sub_app_id: u64) -> Result<bool> {
        let row = sqlx::query("SELECT id FROM media_file WHERE sub_app_id = $1 LIMIT 1")
            .bind(to_i64(sub_app_id))
            .fetch_optional(self.reader())
            .await
            .map_err(at("look for media files of an application"))?;
        Ok(row.is_some())
    }

    /// Takes a stored file out of VOD storage; its objects are to be removed after the commit.
    /// False if it was not stored.
    pub async fn delete_media_file(
        tx: &mut Transaction<'static, Any>,
        id: FileId,
        now_ms: i64,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE media_file SET state = 'deleted', updated_ms = $2 WHERE id = $1 AND state = 'stored'",
        )
        .bind(id.to_string())
        .bind(now_ms)
        .execute(&mut **tx)
        .await
        .map_err(at("delete a media file"))?;
        Ok(done.rows_affected() == 1)
    }

    /// From which position on a session's journal is still needed: by files that are not made yet
    /// or whose objects are still to be read back, by stored ones newer than `stored_since_ms` and failed ones newer than `failed_since_ms`
    /// (unix milliseconds; `i64::MAX` asks for none of them). All of it if the session was given up
    /// and the journal is back since `failed_since_ms`. `None`: nothing needs it.
    pub async fn needs_of_session(
        &self,
        session: SessionId,
        stored_since_ms: i64,
        failed_since_ms: i64,
    ) -> Result<Option<u64>> {
        let row = sqlx::query(
            "SELECT MIN(n.from_pos) AS needed FROM (SELECT s.from_pos AS from_pos FROM media_file_span s \
             JOIN media_file f ON f.id = s.file_id WHERE s.session_id = $1 AND \
             (f.state IN ('recording', 'ended') OR (f.state = 'stored' AND (f.updated_ms > $2 OR f.verified_ms = 0)) \
             OR (f.state = 'failed' AND f.updated_ms > $3)) \
             UNION ALL SELECT 0 FROM session g WHERE g.id = $1 AND g.given_up_ms > 0 AND g.given_up_ms > $3) n",
        )
        .bind(session.to_string())
        .bind(stored_since_ms)
        .bind(failed_since_ms)
        .fetch_one(self.reader())
        .await
        .map_err(at("find what needs a journal"))?;
        let needed: Option<i64> =
            sqlx::Row::try_get(&row, "needed").map_err(at("find what needs a journal"))?;
        // A position below zero cannot be; if it could, everything would be needed.
        Ok(needed.map(|from| u64::try_from(from).unwrap_or(0)))
    }

    /// How many files are in each state.
    pub async fn count_media_files(&self) -> Result<Vec<(MediaFileState, u64)>> {
        let rows = sqlx::query("SELECT state, COUNT(*) AS n FROM media_file GROUP BY state")
            .fetch_all(self.reader())
            .await
            .map_err(at("count media files by state"))?;
        counted(&rows, "state", MediaFileState::ALL, MediaFileState::as_str)
    }

    /// How far delivery of one node is with the files that are not announced yet.
    pub async fn count_by_progress(&self, node_id: &str) -> Result<Vec<(DeliveryProgress, u64)>> {
        let rows = sqlx::query(
            "SELECT progress, COUNT(*) AS n FROM media_file \
             WHERE state IN ('recording', 'ended') AND node_id = $1 GROUP BY progress",
        )
        .bind(node_id)
        .fetch_all(self.reader())
        .await
        .map_err(at("count media files by progress"))?;
        let steps = DeliveryProgress::ALL.into_iter().filter(|s| *s != DeliveryProgress::Announced);
        counted(&rows, "progress", steps, DeliveryProgress::as_str)
    }

    /// What delivery of one node has still to do.
    pub async fn delivery_backlog(&self, node_id: &str) -> Result<Backlog> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n, COALESCE(MIN(end_ms), 0) AS oldest FROM media_file \
             WHERE state = 'ended' AND node_id = $1",
        )
        .bind(node_id)
        .fetch_one(self.reader())
        .await
        .map_err(at("measure the delivery backlog"))?;
        Ok(Backlog {
            files: u64::try_from(int(&row, "n")?).unwrap_or_default(),
            oldest_end_ms: int(&row, "oldest")?,
        })
    }
}

/// The counts `n` of rows by what their `column` says, of each of `all`, 0 where there is no row.
fn counted<T: Copy>(
    rows: &[AnyRow],
    column: &'static str,
    all: impl IntoIterator<Item = T>,
    name: impl Fn(T) -> &'static str,
) -> Result<Vec<(T, u64)>> {
    let mut counts: Vec<_> = all.into_iter().map(|kind| (kind, 0)).collect();
    for row in rows {
        let found = super::text(row, column)?;
        if let Some(entry) = counts.iter_mut().find(|(kind, _)| name(*kind) == found) {
            entry.1 = u64::try_from(int(row, "n")?).unwrap_or_default();
        }
    }
    Ok(counts)
}
