//! What a server has left behind: in its rows, in its data directory, in its store.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    needed, run,
    server::{PATIENCE, Server, eventually},
};

/// Waits until nothing is being recorded, made or announced any more, and every journal is released.
pub fn wait_until_done(server: &Server) {
    // As long as it gets on: a long run leaves gigabytes to be stored.
    let (mut least, mut since) = (usize::MAX, Instant::now());
    loop {
        let journals = fs::read_dir(server.data_dir().join("journal")).unwrap().count();
        if journals == 0 {
            break;
        }
        if journals < least {
            (least, since) = (journals, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "{journals} journals are not released");
        sleep(Duration::from_millis(200));
    }
    eventually("the delivery of every event", || {
        let pending = rows(server, "SELECT id, state FROM callback WHERE state = 'pending'");
        pending.is_empty().then_some(())
    });
}

/// One row and one event 100 for each file, every row in a last state.
pub fn assert_rows(server: &Server, events: &BTreeMap<String, Value>) {
    let stored = rows(server, "SELECT id, state FROM media_file WHERE state <> 'empty'");
    for (id, state) in &stored {
        assert_eq!(state, "stored", "file {id}");
    }
    let ids: BTreeSet<&String> = stored.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, events.keys().collect(), "files in the rows, and those announced");
    let written = rows(server, "SELECT body, state FROM callback WHERE event_type = 100");
    let mut announced: BTreeMap<String, usize> = BTreeMap::new();
    for (body, _) in written {
        let body: Value = serde_json::from_str(&body).unwrap();
        *announced.entry(body["file_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(announced.len(), stored.len());
    assert!(announced.values().all(|times| *times == 1), "{announced:#?}");
}

/// No object that belongs to no file, no temporary file, and no upload that was begun and neither
/// completed nor aborted.
pub fn assert_nothing_is_left(server: &Server, events: &BTreeMap<String, Value>) {
    let root = match server.s3 {
        Some(_) => server.folder().join("s3"),
        None => server.data_dir().join("vod"),
    };
    let names: Vec<String> = super::super::files_under(&root)
        .iter()
        .map(|file| Path::new(file).strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
        .collect();
    // What the S3 server notes about its objects and uploads.
    let uploads: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_prefix(".bucket-")?.split_once(".upload-"))
        .filter_map(|(_, rest)| rest.strip_suffix(".metadata.json"))
        .collect();
    assert!(uploads.is_empty(), "{} uploads are left open: {names:#?}", uploads.len());
    for name in &names {
        // A part that was on its way when its upload was aborted: the S3 server of the tests forgets
        // that it has it. There is no upload that it could belong to.
        let is_forgotten = name.starts_with(".upload_id-") && name.contains(".part-");
        let is_known = name.starts_with(".bucket-")
            || is_forgotten
            || name.split('/').any(|part| events.contains_key(part));
        assert!(is_known, "{name} is left in the store");
    }
}

/// Two columns of what a statement finds, read by another program than ours.
fn rows(server: &Server, select: &str) -> Vec<(String, String)> {
    let url = server.database_url();
    let text = match url.strip_prefix("sqlite://") {
        Some(file) => {
            const SCRIPT: &str = "import json, sqlite3, sys\n\
                rows = sqlite3.connect(sys.argv[1], timeout=30).execute(sys.argv[2]).fetchall()\n\
                print('\\n'.join(json.dumps(row) for row in rows))";
            run(Command::new(needed("LIVEREC_TEST_PYTHON")).args(["-c", SCRIPT, file, select]))
        }
        None => {
            let wrapped = format!("SELECT json_build_array(a, b) FROM ({select}) AS found (a, b)");
            run(Command::new("psql").args(["-X", "-q", "-A", "-t", "-c", &wrapped, &url]))
        }
    };
    let text = String::from_utf8(text).unwrap();
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
        .collect()
}
