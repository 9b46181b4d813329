//! The connections: one that writes and several that read on SQLite, one pool for all on PostgreSQL.
//!
//! SQLite lets one connection write at a time, and those that wait poll: under a storm of writers
//! one that is unlucky waits for seconds. So this process writes through a single connection, and
//! whoever wants it stands in the pool's queue, first come, first served; only other processes
//! (`liverec remake`, `liverec push-url`) are waited for by SQLite's busy time-out. Whoever holds the
//! writer and asks for it again waits in vain and gets an error after [`WAIT`]; whoever tries to
//! write through a reader gets one at once.

use std::{str::FromStr, time::Duration};

use sqlx::{
    AnyConnection, AnyPool, ConnectOptions, Connection, Executor,
    any::{AnyConnectOptions, AnyPoolOptions},
};

use super::{DbError, Kind, Result, at};

/// Connections that read at the same time; on PostgreSQL all connections of this process.
const CONNECTIONS: u32 = 8;
/// Longest wait for a connection. With hundreds of writers behind a slow disk the last one waits
/// for all the others.
const WAIT: Duration = Duration::from_secs(30);
/// Longest connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
    /// May write, but makes nothing that is not there.
    Inspect,
}

/// The connections of one process to its database.
#[derive(Clone)]
pub(super) struct Pools {
    pub kind: Kind,
    pub writer: AnyPool,
    pub reader: AnyPool,
}

impl Pools {
    /// Connects for reading and writing.
    pub async fn open(url: &str) -> Result<Self> {
        let kind = kind_of(url)?;
        Ok(match kind {
            Kind::Sqlite => {
                let writer = pool(url, kind, Access::Write, 1).await?;
                Self { kind, writer, reader: pool(url, kind, Access::Read, CONNECTIONS).await? }
            }
            Kind::Postgres => {
                let pool = pool(url, kind, Access::Write, CONNECTIONS).await?;
                Self { kind, writer: pool.clone(), reader: pool }
            }
        })
    }

    /// Connects for reading alone: through neither of the two can anything be changed.
    pub async fn open_read_only(url: &str) -> Result<Self> {
        let kind = kind_of(url)?;
        let pool = pool(url, kind, Access::Read, CONNECTIONS).await?;
        Ok(Self { kind, writer: pool.clone(), reader: pool })
    }

    /// Connects for reading and writing to what is there, however it is.
    pub async fn open_as_it_is(url: &str) -> Result<Self> {
        let kind = kind_of(url)?;
        let pool = pool(url, kind, Access::Inspect, CONNECTIONS).await?;
        Ok(Self { kind, writer: pool.clone(), reader: pool })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.writer.close().await;
        self.reader.close().await;
    }
}

async fn pool(url: &str, kind: Kind, access: Access, connections: u32) -> Result<AnyPool> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(WAIT)
        // Waiting in turn is what the pool is for; what waits too long is an error.
        .acquire_slow_level(log::LevelFilter::Info)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for setting in settings(kind, access) {
                    connection.execute(*setting).await?;
                }
                Ok(())
            })
        })
        .connect_with(options(url, kind, access)?)
        .await
        .map_err(at("connect to the database"))
}

/// One connection of its own, beside the pools and whoever else uses the database.
pub(super) async fn connect_one(url: &str) -> Result<AnyConnection> {
    let kind = kind_of(url)?;
    let options = options(url, kind, Access::Read)?;
    let connecting = AnyConnection::connect_with(&options);
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(connected) => connected.map_err(at("connect to the database")),
        Err(_) => Err(at("connect to the database")(sqlx::Error::PoolTimedOut)),
    }
}

/// Which database a URL names.
fn kind_of(url: &str) -> Result<Kind> {
    match url {
        u if u.starts_with("sqlite:") => Ok(Kind::Sqlite),
        u if u.starts_with("postgres:") || u.starts_with("postgresql:") => Ok(Kind::Postgres),
        _ => Err(DbError::Url),
    }
}

fn settings(kind: Kind, access: Access) -> &'static [&'static str] {
    match (kind, access) {
        (Kind::Sqlite, Access::Write) => &[
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA busy_timeout = 10000",
            "PRAGMA foreign_keys = ON",
        ],
        (Kind::Sqlite, Access::Inspect) => &["PRAGMA busy_timeout = 10000"],
        (Kind::Sqlite, Access::Read) => &["PRAGMA busy_timeout = 10000", "PRAGMA query_only = ON"],
        (Kind::Postgres, Access::Write | Access::Inspect) => &[],
        (Kind::Postgres, Access::Read) => &["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"],
    }
}

fn options(url: &str, kind: Kind, access: Access) -> Result<AnyConnectOptions> {
    sqlx::any::install_default_drivers();
    let url = match kind {
        // Read-only connections too need the files beside the database, which SQLite makes.
        Kind::Sqlite if !url.contains('?') => match access {
            Access::Write => format!("{url}?mode=rwc"),
            Access::Read | Access::Inspect => format!("{url}?mode=rw"),
        },
        _ => url.to_owned(),
    };
    let options = AnyConnectOptions::from_str(&url).map_err(at("read database.url"))?;
    // A busy disk is no defect that an operator must look into.
    Ok(options.log_slow_statements(log::LevelFilter::Info, Duration::from_secs(1)))
}
