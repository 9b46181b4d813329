//! The only SQL. One file per noun, the same text for SQLite and PostgreSQL.
//!
//! Columns are BIGINT, TEXT and DOUBLE PRECISION only; booleans are 0/1; placeholders are numbered.
//! Data meet the database at file granularity, never per packet. On SQLite every write transaction
//! is `BEGIN IMMEDIATE` with nothing else awaited inside; who writes when is said in `pools`.

pub mod api_key;
pub mod audit;
pub mod callback;
pub mod callback_rule;
pub mod callback_template;
mod clock;
pub mod domain_limits;
pub mod domain_name;
pub mod forbidden_stream;
pub mod health;
pub mod media_file;
pub mod play_domain;
mod pools;
pub mod push_domain;
mod readable;
pub mod record_rule;
pub mod record_task;
pub mod record_template;
pub mod recording;
pub mod rule;
pub mod seed;
pub mod session;
pub mod setting;
pub mod snapshot;
pub mod template;

use std::{path::Path, sync::Arc};

use sqlx::{
    AnyPool, Connection, Row, Transaction,
    any::Any,
    migrate::{MigrateError, Migrator},
};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::domain::limits::Limits;
use pools::Pools;

/// What went wrong at the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The statement failed.
    #[error("{action}: {source}")]
    Sql {
        /// What was tried, present tense.
        action: &'static str,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// The schema is of an earlier version, and was to be left as it is.
    #[error("the database is of an earlier version: start the server once to bring it up to date")]
    Outdated,
    /// The schema is of a later version than this program knows.
    #[error(
        "the database is of a newer version of liverec (migration {found}, this program knows {known}): use that version, or a backup from before the upgrade"
    )]
    Newer {
        /// A migration that the database has had.
        found: i64,
        /// The last one that this program has.
        known: i64,
    },
    /// The schema could not be brought up to date.
    #[error("migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A row holds something that this version cannot read.
    #[error("row of {table} is not readable: {what}")]
    Row {
        /// Table.
        table: &'static str,
        /// What was wrong.
        what: String,
    },
    /// The URL names no supported database.
    #[error("database.url must begin with sqlite: or postgres:")]
    Url,
}

impl DbError {
    /// Whether trying again later can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, DbError::Sql { .. })
    }

    /// Whether the database could not be reached, is starting up or locked by somebody else, takes no
    /// more connections, or something in its place answers what it never would.
    pub fn is_away(&self) -> bool {
        let source = match self {
            DbError::Sql { source, .. } | DbError::Migrate(MigrateError::Execute(source)) => source,
            _ => return false,
        };
        match source {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_) => true,
            sqlx::Error::Database(error) => {
                // cannot_connect_now, too_many_connections, admin_shutdown; SQLITE_BUSY and its kinds
                const AWAY: [&str; 6] = ["57P03", "53300", "57P01", "5", "261", "517"];
                error.code().is_some_and(|code| AWAY.contains(&&*code))
            }
            _ => false,
        }
    }

    /// True when a UNIQUE or PRIMARY KEY constraint was violated.
    pub fn is_unique_violation(&self) -> bool {
        match self {
            DbError::Sql { source, .. } => {
                source.as_database_error().is_some_and(|e| e.is_unique_violation())
            }
            _ => false,
        }
    }
}

/// Result of a database call.
pub type Result<T> = std::result::Result<T, DbError>;

/// Adds what was tried to a driver error.
pub(crate) fn at(action: &'static str) -> impl FnOnce(sqlx::Error) -> DbError {
    move |source| DbError::Sql { action, source }
}

/// Which database is behind the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Embedded, one process.
    Sqlite,
    /// A server, several nodes.
    Postgres,
}

/// The schema, version by version.
static MIGRATOR: Migrator = sqlx::migrate!("migrations/common");

/// The database.
#[derive(Clone)]
pub struct Db {
    pools: Pools,
    configuration: Arc<Notify>,
    outbox: Arc<Notify>,
    media: Arc<Notify>,
    limits: Limits,
    commits: TaskTracker,
}

impl Db {
    /// Connects and brings the schema up to date. `url` is `sqlite://path` or `postgres://...`.
    ///
    /// # Errors
    /// As [`Db::probe`]; [`DbError::Newer`] where the schema is newer than this program.
    pub async fn connect(url: &str) -> Result<Self> {
        let db = Self::over(Pools::open(url).await?);
        MIGRATOR.run(&db.pools.writer).await.map_err(|error| match error {
            MigrateError::VersionMissing(found) => newer(found),
            error => error.into(),
        })?;
        Ok(db)
    }

    /// Connects to a database that is there, beside whoever writes it. Nothing can be changed
    /// through it, not even by mistake.
    ///
    /// # Errors
    /// As [`Db::connect`]; [`DbError::Outdated`] where the schema is older than this program.
    pub async fn connect_read_only(url: &str) -> Result<Self> {
        let db = Self::over(Pools::open_read_only(url).await?);
        match db.version().await? {
            version if version < latest() => Err(DbError::Outdated),
            version if version > latest() => Err(newer(version)),
            _ => Ok(db),
        }
    }

    /// Connects to a database whose schema is that of this program, beside whoever uses it, and
    /// may change rows.
    ///
    /// # Errors
    /// As [`Db::connect_read_only`].
    pub async fn connect_beside(url: &str) -> Result<Self> {
        Self::connect_read_only(url).await?.close().await;
        Ok(Self::over(Pools::open(url).await?))
    }

    /// The same with other limits to the number of rows than the default ones.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// How many rows of each kind there may be.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether the database answers at all: one connection, made and closed.
    ///
    /// # Errors
    /// It does not; see [`DbError::is_away`]. Or the URL names none.
    pub async fn probe(url: &str) -> Result<()> {
        let connection = pools::connect_one(url).await?;
        // It has answered.
        let _ = connection.close().await;
        Ok(())
    }

    /// Writes a consistent copy of a SQLite database to a new file, while others go on using it.
    ///
    /// # Errors
    /// The disk refuses, or the file is there already.
    pub async fn copy_sqlite(url: &str, to: &Path) -> Result<()> {
        let mut connection = pools::connect_one(url).await?;
        let copied = sqlx::query("VACUUM INTO $1")
            .bind(to.to_string_lossy().into_owned())
            .execute(&mut connection)
            .await
            .map_err(at("copy the database"));
        let _ = connection.close().await;
        copied.map(|_| ())
    }

    fn over(pools: Pools) -> Self {
        let (configuration, outbox, media) = Default::default();
        let (limits, commits) = Default::default();
        Self { pools, configuration, outbox, media, limits, commits }
    }

    async fn version(&self) -> Result<i64> {
        let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM _sqlx_migrations")
            .fetch_one(self.reader())
            .await
            .map_err(at("read the version of the database"))?;
        row.try_get("version").map_err(at("read the version of the database"))
    }

    /// Which database this is.
    pub fn kind(&self) -> Kind {
        self.pools.kind
    }

    /// The pool for single statements that write; on SQLite one at a time, in the order in which
    /// they came. Never to be asked for inside a transaction.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pools.writer
    }

    /// The pool for statements that only read: no writer delays them.
    pub(crate) fn reader(&self) -> &AnyPool {
        &self.pools.reader
    }

    /// Begins a write transaction; on SQLite when those that came before have ended.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>> {
        match self.kind() {
            Kind::Sqlite => self.pool().begin_with("BEGIN IMMEDIATE").await,
            Kind::Postgres => self.pool().begin().await,
        }
        .map_err(at("begin a transaction"))
    }

    /// Commits. What has begun here goes through even if nobody waits for it any more (a server that
    /// stops, an action that takes too long): given up halfway, a commit may have happened or not, and
    /// the driver sends a rollback after it.
    pub async fn commit(&self, tx: Transaction<'static, Any>, action: &'static str) -> Result<()> {
        let committed = self.commits.spawn(tx.commit()).await;
        committed.unwrap_or(Err(sqlx::Error::WorkerCrashed)).map_err(at(action))
    }

    /// Wakes whoever holds a snapshot of domains, templates, rules and tasks.
    pub fn configuration_changed(&self) -> &Notify {
        &self.configuration
    }

    /// Wakes the callback sender: rows were added to the outbox.
    pub fn outbox_changed(&self) -> &Notify {
        &self.outbox
    }

    /// Wakes delivery, all of its workers: a media file has ended.
    pub fn media_changed(&self) -> &Notify {
        &self.media
    }

    /// A cheap round trip.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(self.reader()).await.map_err(at("ping the database"))?;
        Ok(())
    }

    /// The same, and rows may be written: nobody else holds the lock of a SQLite database.
    pub async fn ping_writer(&self) -> Result<()> {
        self.ping().await?;
        let tx = self.begin().await?;
        tx.rollback().await.map_err(at("ping the database"))
    }

    /// Closes every connection, when what is being committed is.
    pub async fn close(&self) {
        self.commits.close();
        self.commits.wait().await;
        self.pools.close().await;
    }
}

/// The last migration of this program.
fn latest() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn newer(found: i64) -> DbError {
    DbError::Newer { found, known: latest() }
}

#[cfg(test)]
mod tests;
