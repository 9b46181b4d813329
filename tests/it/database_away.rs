//! The database is busy or gone while streams come and go: they are recorded all the same, and told
//! of afterwards, once.
//!
//! `LIVEREC_TEST_AWAY_SECONDS` says for how long; the default is just longer than the server waits
//! for a busy database.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use liverec::media::tag::Tag;
use tempfile::TempDir;

use crate::support::{
    api::status,
    ffmpeg::{Codecs, make_source},
    publisher::{Pusher, read_tags},
    receiver::{Receiver, SIGN_KEY},
    run,
    server::{Backend, Server, eventually},
};

fn away() -> Duration {
    let seconds = std::env::var("LIVEREC_TEST_AWAY_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(12))
}

fn begin(server: &Server, stream: &str) -> Pusher {
    let tc_url = format!("rtmp://{}/live", server.rtmp);
    Pusher::connect_to(server.rtmp, "live", &tc_url, stream, 4096).accepted()
}

/// One stream ends and another one comes and goes while the database is away.
fn check(mut server: Server, database_away: impl FnOnce(), database_back: impl FnOnce()) {
    // Each said once by the room that noticed; that is checked below.
    for line in [
        "the database refuses rows",
        "callbacks wait",
        "the configuration rows cannot be read",
        "a media file could not be stored",
        "ended media files cannot be read",
        "released journals cannot be removed",
        "suspended recordings wait for the database",
        "expired media files cannot be removed now",
        "terminating connection due to",
        "time to acquire exceeded slow threshold",
    ] {
        server.expect(line);
    }
    let receiver = Receiver::start();
    server.call_back(&receiver.url(), SIGN_KEY);
    let path = server.folder().join("source.flv");
    make_source(Codecs::H264Aac, 3, &path);
    let tags: Vec<Tag> = read_tags(&path);
    let mut earlier = begin(&server, "earlier");
    let (head, tail) = tags.split_at(tags.len() / 2);
    earlier.send(head);
    receiver.wait_for(332, 1);

    database_away();
    let mut during = begin(&server, "during");
    during.send(&tags);
    during.finish();
    earlier.send(tail);
    earlier.finish();
    sleep(away());
    database_back();

    let files = receiver.wait_for(100, 2);
    for stream in ["earlier", "during"] {
        for (event_type, count) in [(1, 1), (332, 2), (0, 1), (100, 1)] {
            let events = receiver.of_type(event_type);
            let found = events.iter().filter(|e| e["stream_id"] == stream).count();
            assert_eq!(found, count, "events {event_type} of {stream}");
        }
        let file = files.iter().find(|file| file["stream_id"] == stream).unwrap();
        assert_eq!(file["duration"], 3, "{file}");
    }
    for once in ["callbacks wait", "the configuration rows cannot be read"] {
        assert!(server.logs.count(once) <= 1, "{once}");
    }
    // Once for each of the two sessions.
    assert!(server.logs.count("the database refuses rows") <= 2);
}

/// Holds the write lock of a SQLite database, from another process.
struct Locker(Child);

impl Locker {
    fn lock(file: &Path) -> Self {
        let script = "import sqlite3, sys\n\
            db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n\
            db.execute('BEGIN EXCLUSIVE')\n\
            print('locked', flush=True)\n\
            sys.stdin.read()\n\
            db.execute('ROLLBACK')\n";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "locked");
        Self(child)
    }

    fn release(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn a_locked_sqlite_database_costs_nothing_but_time() {
    let server = Server::start(Backend::Plain, &[]);
    let file = server.data_dir().join("liverec.db");
    let locker = std::cell::RefCell::new(None);
    check(
        server,
        || *locker.borrow_mut() = Some(Locker::lock(&file)),
        || locker.borrow_mut().take().unwrap().release(),
    );
}

#[test]
fn a_locked_sqlite_database_is_not_ready_and_waited_for_at_the_start() {
    let mut server = Server::start(Backend::Plain, &[]);
    server.expect("not ready: the database cannot be used");
    server.expect("the database does not answer");
    let readyz = |server: &Server| status(&format!("{}/readyz", server.base_url()));
    assert_eq!(readyz(&server), 200);
    let file = server.data_dir().join("liverec.db");
    let locker = Locker::lock(&file);
    eventually("not ready", || (readyz(&server) == 503).then_some(()));
    locker.release();
    eventually("ready again", || (readyz(&server) == 200).then_some(()));

    server.kill();
    let locker = Locker::lock(&file);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Longer than a connection waits for a lock.
            sleep(Duration::from_secs(12));
            locker.release();
        });
        server.launch();
    });
    assert_eq!(server.logs.count("the database answers now"), 1);
}

/// A PostgreSQL server of this test's own.
struct Postgres {
    folder: TempDir,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    fn make() -> Self {
        let bin = fs::read_dir("/usr/lib/postgresql")
            .unwrap()
            .map(|version| version.unwrap().path().join("bin"))
            .find(|bin| bin.join("initdb").exists())
            .expect("PostgreSQL is installed");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let postgres = Self { folder: tempfile::tempdir().unwrap(), bin, port };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(postgres.folder.path()));
        }
        let data = postgres.data();
        run(postgres.command("initdb").arg("-D").arg(data).args([
            "-U",
            "liverec",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]));
        postgres
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// PostgreSQL refuses to run as root.
    fn command(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }

    fn control(&self, arguments: &[&str]) {
        let mut command = self.command("pg_ctl");
        command.arg("-D").arg(self.data()).args(["-w", "-t", "60"]).args(arguments);
        // Not captured: the server would keep the pipe open.
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    }

    fn start(&self) {
        let log = self.folder.path().join("log");
        let folder = self.folder.path().display();
        let options = format!("-p {} -h 127.0.0.1 -k {folder} -F", self.port);
        self.control(&["-l", log.to_str().unwrap(), "-o", &options, "start"]);
    }

    fn stop(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }
}

fn is_root() -> bool {
    run(Command::new("id").arg("-u")).trim_ascii() == b"0"
}

#[test]
fn a_postgresql_that_is_stopped_and_started_costs_nothing_but_time() {
    let postgres = Postgres::make();
    postgres.start();
    let url = format!("postgres://liverec@127.0.0.1:{}/postgres", postgres.port);
    let server = Server::start(Backend::Plain, &[("database.url", &url)]);
    check(server, || postgres.stop(), || postgres.start());
    postgres.stop();
}
