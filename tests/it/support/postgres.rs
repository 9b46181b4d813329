//! Throw-away databases on the PostgreSQL server that `tests/run.sh` starts.

use std::process::Command;

use super::{needed, run};

/// A database of its own, dropped with this value.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes an empty database.
    pub fn create() -> Self {
        let server = needed("LIVEREC_TEST_POSTGRES_URL");
        let name = format!("it_{}", uuid::Uuid::new_v4().simple());
        let database = Self { server, name };
        database.administer(&format!("CREATE DATABASE {}", database.name));
        database
    }

    /// The value for `database.url`.
    pub fn url(&self) -> String {
        let mut url = url::Url::parse(&self.server).expect("LIVEREC_TEST_POSTGRES_URL is a URL");
        url.set_path(&self.name);
        url.to_string()
    }

    fn administer(&self, statement: &str) {
        run(Command::new("psql")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement])
            .arg(&self.server));
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.administer(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}
