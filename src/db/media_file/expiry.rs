//! What expiry and the search for orphans ask of the rows, and what each node believes of its clock.

use std::collections::{HashMap, HashSet};

use sqlx::{Row, Transaction, any::Any};

use super::{COLUMNS, decode, text};
use crate::{
    db::{Db, DbError, Result, at},
    domain::{
        ids::{DecimalId, FileId},
        media_file::{MediaFile, MediaFileState},
    },
};

/// Ids asked for in one statement.
const IDS_AT_ONCE: usize = 500;

/// What a node believes of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiryClock {
    /// The newest time that was believed, unix milliseconds.
    pub trusted_ms: i64,
    /// Since when, by the doubtful clock, nothing expires, unix milliseconds; 0 while it does.
    pub paused_since_ms: i64,
}

/// A stretch of time in which a node's clock made no step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockRun {
    /// Which start of the machine it belongs to.
    pub boot_id: String,
    /// The wall clock at its beginning, unix milliseconds.
    pub wall_ms: i64,
    /// How long the machine had run by then, milliseconds.
    pub boot_ms: i64,
}

impl Db {
    /// Stored files whose time is over at `now_ms`, the longest overdue first, behind `after` in that
    /// order; without spans.
    pub async fn expired_media_files(
        &self,
        now_ms: i64,
        after: Option<(i64, FileId)>,
        limit: i64,
    ) -> Result<Vec<MediaFile>> {
        let (after_ms, after_id) = after.unwrap_or((0, DecimalId(0)));
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM media_file WHERE state = 'stored' AND expire_ms > 0 \
             AND expire_ms <= $1 AND (expire_ms > $2 OR (expire_ms = $2 AND id > $3)) \
             ORDER BY expire_ms, id LIMIT $4"
        )))
        .bind(now_ms)
        .bind(after_ms)
        .bind(after_id.to_string())
        .bind(limit)
        .fetch_all(self.reader())
        .await
        .map_err(at("find expired media files"))?;
        rows.iter().map(decode).collect()
    }

    /// What a node believed of its clock; `None` before it ever looked.
    pub async fn expiry_clock(&self, node_id: &str) -> Result<Option<ExpiryClock>> {
        const ACTION: &str = "read what is believed of the clock";
        let row =
            sqlx::query("SELECT trusted_ms, paused_since_ms FROM expiry_clock WHERE node_id = $1")
                .bind(node_id)
                .fetch_optional(self.reader())
                .await
                .map_err(at(ACTION))?;
        row.map(|row| {
            Ok(ExpiryClock {
                trusted_ms: row.try_get(0).map_err(at(ACTION))?,
                paused_since_ms: row.try_get(1).map_err(at(ACTION))?,
            })
        })
        .transpose()
    }

    /// Notes what a node believes of its clock.
    pub async fn set_expiry_clock(&self, node_id: &str, clock: ExpiryClock) -> Result<()> {
        sqlx::query(
            "INSERT INTO expiry_clock (node_id, trusted_ms, paused_since_ms) VALUES ($1, $2, $3) \
             ON CONFLICT (node_id) DO UPDATE SET trusted_ms = $2, paused_since_ms = $3",
        )
        .bind(node_id)
        .bind(clock.trusted_ms)
        .bind(clock.paused_since_ms)
        .execute(self.pool())
        .await
        .map_err(at("note what is believed of the clock"))?;
        Ok(())
    }

    /// The last stretch without a step that a node has noted.
    pub async fn clock_run(&self, node_id: &str) -> Result<Option<ClockRun>> {
        const ACTION: &str = "read how the clock has run";
        let row = sqlx::query(
            "SELECT boot_id, steady_wall_ms, steady_boot_ms FROM expiry_clock WHERE node_id = $1",
        )
        .bind(node_id)
        .fetch_optional(self.reader())
        .await
        .map_err(at(ACTION))?;
        row.map(|row| {
            Ok(ClockRun {
                boot_id: row.try_get(0).map_err(at(ACTION))?,
                wall_ms: row.try_get(1).map_err(at(ACTION))?,
                boot_ms: row.try_get(2).map_err(at(ACTION))?,
            })
        })
        .transpose()
    }

    /// Notes it, beside what the node believes of its clock.
    pub async fn set_clock_run(&self, node_id: &str, run: &ClockRun) -> Result<()> {
        sqlx::query(
            "UPDATE expiry_clock SET boot_id = $2, steady_wall_ms = $3, steady_boot_ms = $4 \
             WHERE node_id = $1",
        )
        .bind(node_id)
        .bind(&run.boot_id)
        .bind(run.wall_ms)
        .bind(run.boot_ms)
        .execute(self.pool())
        .await
        .map_err(at("note how the clock has run"))?;
        Ok(())
    }

    /// From when StorageTime counts for a file stored at `now_ms`: now, or the newest time that the
    /// node believed if its clock is behind that. A file stored while the clock was wrong must not
    /// be old when it is right again.
    pub async fn storage_time_from_ms(
        tx: &mut Transaction<'static, Any>,
        node_id: &str,
        now_ms: i64,
    ) -> Result<i64> {
        const ACTION: &str = "read what is believed of the clock";
        let row = sqlx::query("SELECT trusted_ms FROM expiry_clock WHERE node_id = $1")
            .bind(node_id)
            .fetch_optional(&mut **tx)
            .await
            .map_err(at(ACTION))?;
        let trusted_ms = row.map(|row| row.try_get::<i64, _>(0).map_err(at(ACTION))).transpose()?;
        Ok(trusted_ms.map_or(now_ms, |trusted_ms| trusted_ms.max(now_ms)))
    }

    /// Puts off the end of the files that this node stored between two times of its clock, which has
    /// then leapt by `by_ms`.
    pub async fn postpone_expiry(
        &self,
        node_id: &str,
        (from_ms, to_ms): (i64, i64),
        by_ms: i64,
    ) -> Result<u64> {
        let done = sqlx::query(
            "UPDATE media_file SET expire_ms = expire_ms + $4 WHERE node_id = $1 \
             AND state = 'stored' AND expire_ms > 0 AND announced_ms BETWEEN $2 AND $3",
        )
        .bind(node_id)
        .bind(from_ms)
        .bind(to_ms)
        .bind(by_ms)
        .execute(self.pool())
        .await
        .map_err(at("put off the end of media files"))?;
        Ok(done.rows_affected())
    }

    /// The states of those of these files that there are.
    pub async fn media_file_states(
        &self,
        ids: &[FileId],
    ) -> Result<HashMap<FileId, MediaFileState>> {
        let mut states = HashMap::new();
        for ids in ids.chunks(IDS_AT_ONCE) {
            let places: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
            let sql =
                format!("SELECT id, state FROM media_file WHERE id IN ({})", places.join(", "));
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
            for id in ids {
                query = query.bind(id.to_string());
            }
            let rows = query.fetch_all(self.reader()).await.map_err(at("look for media files"))?;
            for row in &rows {
                let (id, state) = (text(row, "id")?, text(row, "state")?);
                let unknown = |what: &str| DbError::Row {
                    table: "media_file",
                    what: format!("{what} of file {id}"),
                };
                let file = DecimalId::parse(&id).ok_or_else(|| unknown("id"))?;
                let state = MediaFileState::parse(&state).ok_or_else(|| unknown("state"))?;
                states.insert(file, state);
            }
        }
        Ok(states)
    }

    /// The store's ids of the uploads that rows know of.
    pub async fn known_upload_ids(&self) -> Result<HashSet<String>> {
        let rows = sqlx::query("SELECT upload_id FROM media_file WHERE upload_id <> ''")
            .fetch_all(self.reader())
            .await
            .map_err(at("find the uploads that rows know of"))?;
        let mut ids = HashSet::new();
        for row in &rows {
            // Which object it makes stands in front: `main:<id>`.
            let noted = text(row, "upload_id")?;
            ids.extend(noted.split_once(':').map(|(_, id)| id.to_owned()));
            ids.insert(noted);
        }
        Ok(ids)
    }

    /// When this database was first used, unix milliseconds; `None` if it never was.
    pub async fn first_start_ms(&self) -> Result<Option<i64>> {
        Ok(self.setting("first_start_ms").await?.and_then(|text| text.parse().ok()))
    }
}
