//! The database is busy or gone while streams come and go: they are recorded all the same, packet by
//! packet, and told of afterwards, once.
//!
//! It is away for just longer than the server waits for a busy one; `LIVEREC_TEST_LONG=1` makes it a
//! minute. The figures of each run are printed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    crash::matrix::look::{assert_nothing_is_left, assert_rows, wait_until_done},
    support::{
        api::status,
        ffmpeg::Codecs,
        is_long_run,
        packets::Packets,
        publisher::Pusher,
        pushing::Source,
        receiver::{Receiver, SIGN_KEY},
        run,
        server::{Backend, Server, eventually},
    },
    verbatim::{FORMATS, assert_products, format_of, make_heavy_source},
};

/// Small parts and segments, so that the products of a few seconds have several.
const SETTINGS: [(&str, &str); 2] =
    [("storage.s3.part_size", "5MiB"), ("hls.segment_duration", "1s")];

/// One that was live before the database went, and one that comes and goes meanwhile.
const STREAMS: [&str; 2] = ["earlier", "during"];

fn away() -> Duration {
    Duration::from_secs(if is_long_run() { 60 } else { 12 })
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
    server.record("live", "", &FORMATS, 7200);
    server.call_back(&receiver.url(), SIGN_KEY);
    let path = server.folder().join("source.flv");
    make_heavy_source(&path, 6);
    let source = Source::muxed(Codecs::H264Aac, path);
    let mut earlier = begin(&server, "earlier");
    let (head, tail) = source.tags.split_at(source.tags.len() / 2);
    earlier.send(head);
    receiver.wait_for(332, FORMATS.len());

    database_away();
    let mut during = begin(&server, "during");
    during.send(&source.tags);
    during.finish();
    earlier.send(tail);
    earlier.finish();
    sleep(away());
    let before = receiver.of_type(100).len();
    assert_eq!(before, 0, "files of which no row can know");
    database_back();

    let all = STREAMS.len() * FORMATS.len();
    let files = eventually("every file", || {
        let files = once(&receiver, 100);
        (files.len() >= all).then_some(files)
    });
    wait_until_done(&server);
    for stream in STREAMS {
        // One recording a format: begun and ended.
        for (event_type, count) in [(1, 1), (332, 2 * FORMATS.len()), (0, 1), (100, FORMATS.len())]
        {
            let events = once(&receiver, event_type);
            let found = events.iter().filter(|e| e["stream_id"] == stream).count();
            assert_eq!(found, count, "events {event_type} of {stream}");
        }
        let ours = files.iter().filter(|file| file["stream_id"] == stream);
        let formats: BTreeSet<&str> = ours.map(format_of).collect();
        assert_eq!(formats.len(), FORMATS.len(), "{stream}: {formats:?}");
        let found = server.vod("SearchMedia", json!({"StreamIds": [stream]}));
        assert_eq!(found["TotalCount"], FORMATS.len(), "{found}");
    }
    let id = |file: &Value| file["file_id"].as_str().unwrap().to_owned();
    let by_id: BTreeMap<_, _> = files.iter().map(|file| (id(file), file.clone())).collect();
    assert_rows(&server, &by_id);
    assert_nothing_is_left(&server, &by_id);
    if let Some(s3) = &server.s3 {
        assert!(s3.open_uploads().is_empty(), "{:#?}", s3.open_uploads());
    }
    let pushed = Packets::of(source.name());
    assert_products(&files, &source, &pushed);

    for once in ["callbacks wait", "the configuration rows cannot be read"] {
        assert!(server.logs.count(once) <= 1, "{once}");
    }
    // Once for each of the two sessions.
    assert!(server.logs.count("the database refuses rows") <= 2);
    let (video, audio) = (pushed.video.len(), pushed.audio.len());
    let url = server.database_url();
    let (scheme, _) = url.split_once(':').unwrap();
    println!(
        "{scheme} away for {:?}: {} streams, {all} files, {} packets compared, 0 lost, nothing left over",
        away(),
        STREAMS.len(),
        // AAC has the sound alone.
        STREAMS.len() * (FORMATS.len() * audio + (FORMATS.len() - 1) * video),
    );
}

/// Events of one kind, each once: one whose delivery could not be noted comes again, word for word.
fn once(receiver: &Receiver, event_type: i64) -> Vec<Value> {
    let mut known = BTreeSet::new();
    let mut events = receiver.of_type(event_type);
    events.retain(|event| {
        let mut words = event.clone();
        words["t"].take();
        words["sign"].take();
        known.insert(words.to_string())
    });
    events
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
    let server = Server::start(Backend::Plain, &SETTINGS);
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
    let settings = [&SETTINGS[..], &[("database.url", url.as_str())]].concat();
    let server = Server::start(Backend::Services, &settings);
    check(server, || postgres.stop(), || postgres.start());
    postgres.stop();
}
