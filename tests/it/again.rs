//! `liverec remake` and `liverec backup`, beside a running server and without one.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    start::to_the_end,
    support::{
        ffmpeg::Codecs,
        needed,
        packets::Packets,
        pushing::{Source, journal_files},
        receiver::Receiver,
        run,
        server::{BACKENDS, Backend, Server, eventually},
    },
    verbatim::{format_of, recorder},
};

/// A server with one stored FLV file.
fn recorded(backend: Backend, retention: &str) -> (Server, Receiver, Source, Value) {
    let settings = [("journal.retention", retention), ("hls.segment_duration", "2s")];
    let (server, receiver) = recorder(backend, &["Flv"], 7200, &settings);
    let source = Source::make(&server, Codecs::H264Aac, 6);
    source.push(&server.push_url("show"));
    let file = receiver.wait_for(100, 1).remove(0);
    (server, receiver, source, file)
}

/// Exit code and output of `liverec remake`.
fn remake(server: &Server, of: &str, format: &str) -> (i32, String, String) {
    let mut command = server.cli();
    command.args(["remake", of, "--format", format]);
    to_the_end(command)
}

fn id_of(file: &Value) -> &str {
    file["file_id"].as_str().unwrap()
}

fn here(server: &Server, file: &Value) -> String {
    let url = file["video_url"].as_str().unwrap();
    let (_, path) = url.split_once("/vod/").unwrap();
    format!("{}/vod/{path}", server.base_url())
}

#[test]
fn another_format_is_made_from_a_kept_journal() {
    for backend in BACKENDS {
        let (mut server, receiver, source, file) = recorded(backend, "1h");
        let pushed = Packets::of(source.name());
        // The running server makes it.
        let (code, stdout, stderr) = remake(&server, id_of(&file), "mp4");
        assert_eq!(code, 0, "{stdout}{stderr}");
        let made = receiver.wait_for(100, 2);
        let mp4 = made.iter().find(|file| format_of(file) == "mp4").unwrap();
        assert_ne!(id_of(mp4), id_of(&file));
        assert!(stdout.contains(&format!("file {} stored", id_of(mp4))), "{stdout}");
        Packets::of(&here(&server, mp4)).assert_payloads_and_times(&pushed, "mp4");
        run(server.cli().args(["verify", id_of(mp4)]));

        // Without a server, by the id of the session, and by that of its journal.
        server.stop();
        let session = file["task_id"].as_str().unwrap_or_default().to_owned();
        let folder = journal_files(&server)[0].parent().unwrap().to_owned();
        let journal = folder.file_name().unwrap().to_str().unwrap();
        for (of, format) in [(session.as_str(), "hls"), (journal, "flv")] {
            let (code, stdout, stderr) = remake(&server, of, format);
            assert_eq!(code, 0, "{of}: {stdout}{stderr}");
        }
        server.launch();
        let made = receiver.wait_for(100, 4);
        for file in &made {
            let url = here(&server, file);
            Packets::of(&url).assert_payloads_and_times(&pushed, &url);
        }
        let found = server.vod("SearchMedia", json!({"StreamIds": ["show"]}));
        assert_eq!(found["TotalCount"], 4, "{found}");
    }
}

#[test]
fn what_cannot_be_made_again_is_refused_with_its_reason() {
    let (server, _, _, file) = recorded(Backend::Plain, "0");
    eventually("the release of the journal", || journal_files(&server).is_empty().then_some(()));
    let cases = [
        (id_of(&file), "mp4", 1, "journal.retention"),
        ("1234567890123456789", "mp4", 1, "there is no file 1234567890123456789"),
        (id_of(&file), "avi", 2, "must be flv, hls, mp4 or aac"),
    ];
    for (of, format, expected, reason) in cases {
        let (code, _, stderr) = remake(&server, of, format);
        assert_eq!(code, expected, "{of} {format}: {stderr}");
        assert!(stderr.contains(reason), "{stderr}");
    }
}

#[test]
fn a_failed_file_is_made_good() {
    let (mut server, receiver, source, file) = recorded(Backend::Plain, "1h");
    server.stop();
    const SCRIPT: &str = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        db.execute(\"UPDATE media_file SET state = 'failed', error = 'a muxer had a bug'\")\n\
        db.commit()";
    let database = server.data_dir().join("liverec.db");
    run(Command::new(needed("LIVEREC_TEST_PYTHON")).args(["-c", SCRIPT]).arg(database));
    server.launch();
    let (code, stdout, stderr) = remake(&server, id_of(&file), "flv");
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains(&format!("file {} stored", id_of(&file))), "{stdout}");
    let again = receiver.wait_for(100, 2).remove(1);
    assert_eq!(id_of(&again), id_of(&file), "the same file");
    let url = here(&server, &again);
    Packets::of(&url).assert_payloads_and_times(&Packets::of(source.name()), &url);
}

#[test]
fn a_backup_of_a_database_server_is_left_to_its_own_tools() {
    let server = Server::start(Backend::Services, &[]);
    let dir = server.folder().join("backup");
    let mut command = server.cli();
    command.arg("backup").arg(&dir);
    let (code, _, stderr) = to_the_end(command);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("pg_dump") && !dir.exists(), "{stderr}");
}

/// Every file of a backup may be read by its owner alone; gives their names.
pub fn private_names(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    names
}
