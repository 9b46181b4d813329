//! A liverec of its own: the built program, on free ports, over either database and either store.
//!
//! Every WARN and ERROR in its log fails the test unless the test said that it expects it.

use std::{
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    logs::Logs,
    postgres::Database,
    s3::{ACCESS_KEY_ID, BUCKET, S3Server, SECRET_ACCESS_KEY},
};

/// Generous, so that only a defect can reach it.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Key pair of every test server.
pub const SECRET_ID: &str = "AKIDTEST";
/// See [`SECRET_ID`].
pub const SECRET_KEY: &str = "SECRETTEST";

/// What a server stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// SQLite and a directory: what a newcomer has.
    Plain,
    /// PostgreSQL and an S3-compatible server.
    Services,
}

/// Both, for tests that must hold on either.
pub const BACKENDS: [Backend; 2] = [Backend::Plain, Backend::Services];

/// A server and what it stands on.
pub struct Server {
    /// RTMP address.
    pub rtmp: SocketAddr,
    /// HTTP address.
    pub http: SocketAddr,
    /// The S3 server, for [`Backend::Services`].
    pub s3: Option<S3Server>,
    /// Its log since the last start.
    pub logs: Logs,
    child: Option<Child>,
    folder: TempDir,
    database: Option<Database>,
    settings: Vec<(String, String)>,
    expected: Vec<String>,
}

impl Server {
    /// Starts a server with further `(key, value)` settings, such as `("hls.segment_duration", "2s")`;
    /// a key that begins with `env:` is a variable of its environment.
    pub fn start(backend: Backend, settings: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(backend, settings);
        server.launch();
        server
    }

    /// The same without starting it: there may be data to put into its place first.
    pub fn prepare(backend: Backend, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (database, s3) = match backend {
            Backend::Plain => (None, None),
            Backend::Services => {
                let objects = folder.path().join("s3");
                std::fs::create_dir_all(&objects).unwrap();
                (Some(Database::create()), Some(S3Server::start(&objects)))
            }
        };
        let mut all = vec![
            ("rtmp.listen".to_owned(), "127.0.0.1:0".to_owned()),
            ("http.listen".to_owned(), "127.0.0.1:0".to_owned()),
            ("api.secret_id".to_owned(), SECRET_ID.to_owned()),
            ("api.secret_key".to_owned(), SECRET_KEY.to_owned()),
            ("callback.retry_interval".to_owned(), "1s".to_owned()),
        ];
        if let Some(database) = &database {
            all.push(("database.url".to_owned(), database.url()));
        }
        if let Some(s3) = &s3 {
            for (key, value) in [
                ("storage.kind", "s3"),
                ("storage.s3.endpoint", s3.endpoint().as_str()),
                ("storage.s3.region", "us-east-1"),
                ("storage.s3.bucket", BUCKET),
                ("storage.s3.prefix", "rec/"),
                ("storage.s3.access_key_id", ACCESS_KEY_ID),
                ("storage.s3.secret_access_key", SECRET_ACCESS_KEY),
                ("storage.s3.path_style", "true"),
            ] {
                all.push((key.to_owned(), value.to_owned()));
            }
        }
        all.extend(settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let placeholder: SocketAddr = "127.0.0.1:1".parse().unwrap();
        Self {
            rtmp: placeholder,
            http: placeholder,
            s3,
            logs: Logs::default(),
            child: None,
            folder,
            database,
            settings: all,
            expected: Vec::new(),
        }
    }

    /// Changes a setting for the next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Starts the program again over the same data, after [`Server::kill`] or [`Server::stop`].
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let mut command = self.cli();
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        self.logs = Logs::follow(child.stderr.take().unwrap());
        (self.rtmp, self.http) = self.logs.listening();
        self.child = Some(child);
    }

    /// Starts the program and kills it after so long, whether it listens by then or not.
    pub fn kill_while_starting(&mut self, after: Duration) {
        assert!(self.child.is_none(), "the server runs already");
        let mut child = self.cli().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        self.logs = Logs::follow(child.stderr.take().unwrap());
        sleep(after);
        self.child = Some(child);
        self.kill();
    }

    /// The program with this server's configuration, for its other commands.
    pub fn cli(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liverec"));
        command.env("LIVEREC__DATA_DIR", self.data_dir()).env("NO_COLOR", "1").stdin(Stdio::null());
        for (key, value) in &self.settings {
            let variable = match key.strip_prefix("env:") {
                Some(variable) => variable.to_owned(),
                None => format!("LIVEREC__{}", key.replace('.', "__").to_uppercase()),
            };
            command.env(variable, value);
        }
        command
    }

    /// A stream key with a signature that holds for an hour.
    pub fn signed_key(&self, domain: &str, app: &str, stream: &str) -> String {
        let host = self.rtmp.to_string();
        let text = super::run(self.cli().args([
            "push-url",
            domain,
            app,
            stream,
            "--expires",
            "1h",
            "--host",
            &host,
        ]));
        let text = String::from_utf8(text).unwrap();
        let key = text.lines().find_map(|line| line.strip_prefix("OBS stream key:"));
        key.unwrap_or_else(|| panic!("no key in {text}")).trim().to_owned()
    }

    /// The value of a metric, such as `liverec_refusals_total{reason="play"}`; 0 before its first.
    pub fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(fetch(&format!("{}/metrics", self.base_url()))).unwrap();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
        lines.find_map(|rest| rest.strip_prefix(' ')).map_or(0.0, |value| value.parse().unwrap())
    }

    /// The same, asked for from another address of this machine.
    pub fn metric_from(&self, address: &str, name: &str) -> f64 {
        let url = format!("{}/metrics", self.base_url());
        let command = ["-sS", "--noproxy", "*", "--interface", address, url.as_str()];
        let text = String::from_utf8(super::run(Command::new("curl").args(command))).unwrap();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
        lines.find_map(|rest| rest.strip_prefix(' ')).map_or(0.0, |value| value.parse().unwrap())
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        let set = self.settings.iter().find(|(key, _)| key == "data_dir");
        set.map_or_else(|| self.folder.path().join("data"), |(_, path)| path.into())
    }

    /// Where its database is.
    pub fn database_url(&self) -> String {
        // The last one is in force: a test may have a database of its own.
        match self.settings.iter().rfind(|(key, _)| key == "database.url") {
            Some((_, url)) => url.clone(),
            None => format!("sqlite://{}", self.data_dir().join("liverec.db").display()),
        }
    }

    /// Runs one statement on its database, beside it; the number of a `SELECT ... AS n`.
    pub fn sql(&self, statement: &str) -> i64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            sqlx::any::install_default_drivers();
            let pool = sqlx::AnyPool::connect(&self.database_url()).await.unwrap();
            let statement = sqlx::AssertSqlSafe(statement.to_owned());
            let row = sqlx::query(statement).fetch_optional(&pool).await.unwrap();
            let number = row.map_or(0, |row| sqlx::Row::get::<i64, _>(&row, 0));
            pool.close().await;
            number
        })
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Process id, for looking at memory.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// `rtmp://address/live/<key>`.
    pub fn push_url(&self, key: &str) -> String {
        format!("rtmp://{}/live/{key}", self.rtmp)
    }

    /// `http://address`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// WARN and ERROR lines that hold `part` are expected from now on.
    pub fn expect(&mut self, part: &str) {
        self.expected.push(part.to_owned());
    }

    /// Whatever is said of the store is expected, too.
    pub fn expect_of_the_store(&mut self) {
        for part in ["media file", "upload", "store", "storage"] {
            self.expect(part);
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.check_log();
    }

    /// SIGTERM; the exit code must be 0.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        super::run(Command::new("kill").arg(child.id().to_string()));
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.logs.text());
        self.check_log();
    }

    fn check_log(&self) {
        let text = self.logs.text();
        let unexpected: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains("ERROR "))
            .filter(|line| !self.expected.iter().any(|part| line.contains(part.as_str())))
            .collect();
        assert!(
            unexpected.is_empty(),
            "unexpected in the log: {unexpected:#?}\n\nwhole log:\n{text}"
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some(mut child) = self.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
            eprintln!("--- log of the server\n{}", self.logs.text());
        } else if self.child.is_some() {
            self.stop();
        }
        // The database goes after the server that uses it.
        self.database.take();
    }
}

/// Waits until `look` finds something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        sleep(Duration::from_millis(100));
    }
}

/// A whole HTTP answer; the status must be 200.
pub fn fetch(url: &str) -> Vec<u8> {
    let mut body = Vec::new();
    super::api::get(url).read_to_end(&mut body).unwrap();
    body
}
