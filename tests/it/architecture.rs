//! The rules of the house, checked on the tokens of every source file, so that neither a comment
//! nor a string is mistaken for code: which room may use which, what the pure rooms must not
//! touch, which channels and spawns are allowed, how long a file may be.

mod paths;

use std::{fs, path::Path};

use paths::{File, Mention};

/// Rooms from the ground up, each with the rooms it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("media", &[]),
    ("rtmp", &["media"]),
    ("domain", &["media"]),
    ("reach", &[]),
    ("config", &["media", "domain"]),
    ("db", &["media", "rtmp", "domain"]),
    ("storage", &["media", "rtmp", "domain"]),
    ("journal", &["media", "rtmp", "domain"]),
    ("ingest", &["media", "rtmp", "domain", "db", "storage", "journal"]),
    ("record", &["media", "rtmp", "domain", "db", "storage", "journal", "ingest"]),
    ("delivery", &["media", "domain", "db", "storage", "journal"]),
    ("verify", &["media", "domain", "db", "storage", "journal", "delivery"]),
    ("doctor", &["domain", "db", "storage", "journal"]),
    (
        "api",
        &[
            "media", "rtmp", "domain", "db", "storage", "journal", "ingest", "record", "verify",
            "doctor",
        ],
    ),
    (
        "app",
        &[
            "media", "rtmp", "domain", "reach", "config", "db", "storage", "journal", "ingest",
            "record", "delivery", "verify", "doctor", "api",
        ],
    ),
    ("cli", &["domain", "reach", "config", "db"]),
];

/// Bytes in, bytes out: no sockets, disks, databases or clocks.
const PURE: &[&str] = &["media", "rtmp", "domain"];
const NOT_IN_PURE: &[&str] =
    &["tokio", "tokio_util", "sqlx", "axum", "hyper", "reqwest", "std::fs", "std::thread"];
const CLOCKS: &[&str] = &["Instant", "SystemTime", "Utc::now", "Local::now", "Uuid::now_v7"];

/// Channels without a bound, or that drop what a slow receiver did not read.
const CHANNELS: &[&str] = &[
    "unbounded_channel",
    "UnboundedSender",
    "UnboundedReceiver",
    "mpsc::unbounded",
    "sync::broadcast",
    "broadcast::channel",
    "std::sync::mpsc::channel",
];

/// Lines of a file apart from its inline tests.
const MAX_LINES: usize = 400;

/// `src/db/push_domain.rs` is `["db", "push_domain"]`.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let names = inner.split('/').filter(|name| *name != "mod" && *name != "lib" && *name != "main");
    names.map(str::to_owned).collect()
}

/// Everything that is wrong with one file. `path` is relative to the repository.
fn problems(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push(format!("{path}: must begin with a //! comment that says what it is"));
    }
    if !path.starts_with("src/") {
        return found;
    }
    let module = module_of(path);
    let file = File::read(&module, text);
    let lines = text.lines().count() - file.test_lines;
    if lines > MAX_LINES && module.last().is_none_or(|name| name != "tests") {
        found.push(format!("{path}: {lines} lines without tests, at most {MAX_LINES} are allowed"));
    }
    let room = module.first().map_or("", String::as_str);
    for mention in &file.mentions {
        if let Some(what) = wrong(room, mention) {
            let name = mention.segments.join("::");
            found.push(format!("{path}:{}: {name}: {what}", mention.line));
        }
    }
    found
}

fn wrong(room: &str, mention: &Mention) -> Option<String> {
    let names: Vec<&str> = mention.segments.iter().map(String::as_str).collect();
    if let (["crate", other, rest @ ..], Some(allowed)) = (names.as_slice(), may_use(room)) {
        let is_room = MAY_USE.iter().any(|(name, _)| name == other);
        if is_room && *other != room && !allowed.contains(other) {
            return Some(format!("{room} must not use {other}"));
        }
        let is_inner = matches!(rest, [inner, _, ..] if inner.starts_with(char::is_lowercase));
        if room == "api" && *other == "record" && is_inner {
            return Some("api must not use the internals of record".to_owned());
        }
    }
    let path = names.join("::");
    if CHANNELS.iter().any(|channel| holds(&path, channel)) {
        return Some("only bounded channels are allowed".to_owned());
    }
    if mention.in_test {
        return None;
    }
    let is_spawn = matches!(
        names.as_slice(),
        ["tokio", "spawn"] | ["tokio", "task", "spawn" | "spawn_local"] | ["task", "spawn"]
    );
    if is_spawn && room != "app" {
        return Some("a task that nobody joins; use a JoinSet".to_owned());
    }
    if PURE.contains(&room) {
        let begins = |root: &&str| path == **root || path.starts_with(&format!("{root}::"));
        if NOT_IN_PURE.iter().any(begins) || path.starts_with("aws_") {
            return Some(format!("{room} is pure: no sockets, disks, databases or threads"));
        }
        if CLOCKS.iter().any(|clock| holds(&path, clock)) {
            return Some(format!("{room} is pure: time is an argument"));
        }
    }
    None
}

/// Whether `part` stands in `path` on whole names.
fn holds(path: &str, part: &str) -> bool {
    format!("::{path}::").contains(&format!("::{part}::"))
}

fn may_use(room: &str) -> Option<&'static [&'static str]> {
    MAY_USE.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed)
}

fn rust_files(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn the_house_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src"), &mut files);
    rust_files(&root.join("tests"), &mut files);
    let mut found = Vec::new();
    let mut rooms = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        rooms.extend(name.strip_prefix("src/").and_then(|_| module_of(&name).into_iter().next()));
        found.extend(problems(&name, &fs::read_to_string(&file).expect("a readable file")));
    }
    let missing = rooms.iter().filter(|room| may_use(room).is_none());
    found.extend(missing.map(|room| format!("src/{room} is missing in the table of rooms")));
    let gone = MAY_USE.iter().filter(|(room, _)| !rooms.iter().any(|name| name == room));
    found.extend(gone.map(|(room, _)| format!("the table of rooms names {room}, which is gone")));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn what_breaks_a_rule_is_found() {
    let cases = [
        ("src/domain/a.rs", "use crate::db::Db;", ":2: crate::db::Db: domain must not use db"),
        ("src/db/a.rs", "use crate::{domain::x, journal::{self, y}};", "db must not use journal"),
        ("src/db/a.rs", "fn f() { super::super::journal::open() }", "db must not use journal"),
        ("src/db/a.rs", "mod b { use super::super::super::ingest; }", "db must not use ingest"),
        ("src/record/mod.rs", "fn f() { g(crate::delivery::X) }", "record must not use delivery"),
        ("src/delivery/a.rs", "use crate::record::X;", "delivery must not use record"),
        ("src/api/a.rs", "use crate::record::cut::cut;", "internals of record"),
        ("src/media/a.rs", "use tokio::io;", "media is pure"),
        ("src/media/a.rs", "use std::{fs, io};", "media is pure"),
        ("src/rtmp/a.rs", "fn f() { aws_sdk_s3::f() }", "rtmp is pure"),
        ("src/domain/a.rs", "use std::time::Instant;", "time is an argument"),
        ("src/domain/a.rs", "fn f() { vec![chrono::Utc::now()]; }", "time is an argument"),
        ("src/db/a.rs", "use tokio::sync::mpsc::unbounded_channel;", "only bounded channels"),
        ("src/db/a.rs", "use tokio::sync::{broadcast, mpsc};", "only bounded channels"),
        ("src/db/a.rs", "fn f() { std::sync::mpsc::channel() }", "only bounded channels"),
        ("src/db/a.rs", "fn f() { tokio::spawn(g()) }", "nobody joins"),
        ("src/db/a.rs", "use tokio::task::{JoinSet, spawn};", "nobody joins"),
        ("src/db/a.rs", "#[cfg(test)] mod t {} fn f() { tokio::spawn(g()) }", "nobody joins"),
        ("src/db/a.rs", "#[cfg(test)] use x; fn f() { tokio::spawn(g()) }", "nobody joins"),
        ("src/db/a.rs", &"fn f() {}\n".repeat(400), "401 lines"),
    ];
    for (path, code, expected) in cases {
        let found = problems(path, &format!("//! A file.\n{code}"));
        assert!(found.iter().any(|p| p.contains(expected)), "{code}: {found:?}");
    }
    let found = problems("tests/it/a.rs", "use std::fs;");
    assert!(found.iter().any(|p| p.contains("must begin with a //! comment")), "{found:?}");
}

#[test]
fn what_keeps_the_rules_is_left_alone() {
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(500));
    let cases = [
        ("src/db/a.rs", "// crate::journal\nconst A: &str = \"use crate::journal::X;\";"),
        ("src/db/a.rs", "/* tokio::spawn */ /// std::sync::mpsc::channel\nfn f() {}"),
        ("src/db/a.rs", "use super::Db; use crate::{domain::{a, b::C}, media};"),
        ("src/db/a.rs", "fn f(set: &mut JoinSet<()>) { set.spawn(g()); self.now(); }"),
        ("src/db/a.rs", "#[cfg(test)]\nmod tests { fn f() { tokio::spawn(g()); } }"),
        ("src/media/a.rs", "#[cfg(test)]\nmod tests { use std::fs; }"),
        ("src/media/tests.rs", "use std::fs;"),
        ("src/api/a.rs", "use crate::record::Supervisor; use crate::record::Stop::Now;"),
        ("src/app/mod.rs", "fn f() { tokio::spawn(g()); }"),
        ("src/lib.rs", "pub mod media;"),
        ("src/db/a.rs", tests.as_str()),
    ];
    for (path, code) in cases {
        assert_eq!(problems(path, &format!("//! A file.\n{code}")), [""; 0], "{code}");
    }
}
