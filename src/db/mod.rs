//! The only SQL. One file per noun, the same text for SQLite and PostgreSQL.
//!
//! Columns are BIGINT, TEXT and DOUBLE PRECISION only; booleans are 0/1; placeholders are numbered.
//! Data meet the database at file granularity, never per packet. On SQLite every write transaction
//! is `BEGIN IMMEDIATE` with nothing else awaited inside.

pub mod api_key;
pub mod callback;
pub mod callback_rule;
pub mod callback_template;
pub mod forbidden_stream;
pub mod health;
pub mod media_file;
pub mod play_domain;
pub mod push_domain;
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

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    AnyPool, ConnectOptions, Executor, Row, Transaction,
    any::{Any, AnyConnectOptions, AnyPoolOptions},
    migrate::Migrator,
};
use tokio::sync::Notify;

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

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Write,
    Read,
    /// May write, but makes nothing that is not there.
    Inspect,
}

/// The schema, version by version.
static MIGRATOR: Migrator = sqlx::migrate!("migrations/common");

/// The database.
#[derive(Clone)]
pub struct Db {
    pool: AnyPool,
    kind: Kind,
    configuration: Arc<Notify>,
    outbox: Arc<Notify>,
    media: Arc<Notify>,
}

impl Db {
    /// Connects and brings the schema up to date. `url` is `sqlite://path` or `postgres://...`.
    pub async fn connect(url: &str) -> Result<Self> {
        let db = Self::open(url, Access::Write).await?;
        MIGRATOR.run(&db.pool).await?;
        Ok(db)
    }

    /// Connects to a database that is there, beside whoever writes it. Nothing can be changed
    /// through it, not even by mistake.
    ///
    /// # Errors
    /// As [`Db::connect`]; [`DbError::Outdated`] where the schema is older than this program.
    pub async fn connect_read_only(url: &str) -> Result<Self> {
        let db = Self::open(url, Access::Read).await?;
        let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM _sqlx_migrations")
            .fetch_one(&db.pool)
            .await
            .map_err(at("read the version of the database"))?;
        let version: i64 =
            row.try_get("version").map_err(at("read the version of the database"))?;
        match MIGRATOR.iter().all(|migration| migration.version <= version) {
            true => Ok(db),
            false => Err(DbError::Outdated),
        }
    }

    async fn open(url: &str, access: Access) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let kind = match url {
            u if u.starts_with("sqlite:") => Kind::Sqlite,
            u if u.starts_with("postgres:") || u.starts_with("postgresql:") => Kind::Postgres,
            _ => return Err(DbError::Url),
        };
        let options = AnyPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    let settings: &[&'static str] = match (kind, access) {
                        (Kind::Sqlite, Access::Write) => &[
                            "PRAGMA journal_mode = WAL",
                            "PRAGMA synchronous = FULL",
                            "PRAGMA busy_timeout = 10000",
                            "PRAGMA foreign_keys = ON",
                        ],
                        (Kind::Sqlite, Access::Inspect) => &["PRAGMA busy_timeout = 10000"],
                        (Kind::Sqlite, Access::Read) => {
                            &["PRAGMA busy_timeout = 10000", "PRAGMA query_only = ON"]
                        }
                        (Kind::Postgres, Access::Write | Access::Inspect) => &[],
                        (Kind::Postgres, Access::Read) => {
                            &["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"]
                        }
                    };
                    for setting in settings {
                        connection.execute(*setting).await?;
                    }
                    Ok(())
                })
            });
        let url = match kind {
            // Read-only connections too need the files beside the database, which SQLite makes.
            Kind::Sqlite if !url.contains('?') => match access {
                Access::Write => format!("{url}?mode=rwc"),
                Access::Read | Access::Inspect => format!("{url}?mode=rw"),
            },
            _ => url.to_owned(),
        };
        let target = AnyConnectOptions::from_str(&url)
            .map_err(at("read database.url"))?
            // A busy disk is no defect that an operator must look into.
            .log_slow_statements(log::LevelFilter::Info, Duration::from_secs(1));
        let pool = options.connect_with(target).await.map_err(at("connect to the database"))?;
        Ok(Self {
            pool,
            kind,
            configuration: Arc::default(),
            outbox: Arc::default(),
            media: Arc::default(),
        })
    }

    /// Which database this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The pool, for single statements.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Begins a write transaction.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>> {
        match self.kind {
            Kind::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await,
            Kind::Postgres => self.pool.begin().await,
        }
        .map_err(at("begin a transaction"))
    }

    /// Wakes whoever holds a snapshot of domains, templates, rules and tasks.
    pub fn configuration_changed(&self) -> &Notify {
        &self.configuration
    }

    /// Wakes the callback sender: rows were added to the outbox.
    pub fn outbox_changed(&self) -> &Notify {
        &self.outbox
    }

    /// Wakes delivery: a media file has ended.
    pub fn media_changed(&self) -> &Notify {
        &self.media
    }

    /// A cheap round trip, for `/readyz`.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(at("ping the database"))?;
        Ok(())
    }

    /// Closes the pool.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
