//! What `liverec doctor` asks of a database: is it there, whose schema is it, can it be written, what
//! time is it there. Changes nothing.

use sqlx::Row;

use super::{Db, Kind, MIGRATOR, Result, at, pools::Pools};

/// The schema of a database and of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersions {
    /// Newest migration that the database has; 0 if it was never used.
    pub database: i64,
    /// Newest migration that this program knows.
    pub program: i64,
}

impl Db {
    /// Connects without touching the schema.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses.
    pub async fn connect_as_it_is(url: &str) -> Result<Self> {
        let db = Self::over(Pools::open_as_it_is(url).await?);
        db.ping().await?;
        Ok(db)
    }

    /// Which schema there is. A database without any is at 0.
    pub async fn schema_versions(&self) -> Result<SchemaVersions> {
        const ACTION: &str = "read the version of the database";
        let program = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
        let has_table = match self.kind() {
            Kind::Sqlite => {
                "SELECT COUNT(*) AS n FROM sqlite_master WHERE name = '_sqlx_migrations'"
            }
            Kind::Postgres => {
                "SELECT COUNT(*) AS n FROM information_schema.tables \
                 WHERE table_name = '_sqlx_migrations'"
            }
        };
        let row = sqlx::query(has_table).fetch_one(self.pool()).await.map_err(at(ACTION))?;
        if row.try_get::<i64, _>("n").map_err(at(ACTION))? == 0 {
            return Ok(SchemaVersions { database: 0, program });
        }
        let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM _sqlx_migrations")
            .fetch_one(self.reader())
            .await
            .map_err(at(ACTION))?;
        let database = row.try_get("version").map_err(at(ACTION))?;
        Ok(SchemaVersions { database, program })
    }

    /// Writes a row and takes it back.
    pub async fn probe_write(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO setting (name, value) VALUES ('doctor-probe', '')")
            .execute(&mut *tx)
            .await
            .map_err(at("write to the database"))?;
        tx.rollback().await.map_err(at("take back what was written"))?;
        Ok(())
    }

    /// The clock of the database server, unix milliseconds; `None` where there is no server.
    pub async fn server_time_ms(&self) -> Result<Option<i64>> {
        const ACTION: &str = "ask the database server for its time";
        if self.kind() == Kind::Sqlite {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now",
        )
        .fetch_one(self.reader())
        .await
        .map_err(at(ACTION))?;
        row.try_get("now").map(Some).map_err(at(ACTION))
    }
}
