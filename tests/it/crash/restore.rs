//! A lost database: what a backup from before brings back, and what the journals add to it.

use std::fs;

use crate::{
    again::private_names,
    start::to_the_end,
    support::{
        ffmpeg::Codecs,
        pushing::Source,
        server::{BACKENDS, Backend, eventually, fetch},
    },
    verbatim::{FORMATS, recorder},
};

use super::{SERVER_STOPPED, assert_holds, half_pushed, told};

#[test]
fn a_backup_made_during_a_push_is_finished_after_the_database_was_lost() {
    let (mut server, receiver, source, sent) = half_pushed(Backend::Plain, 700);
    let dir = server.folder().join("backups/today");
    let backup = |target: &std::path::Path| {
        let mut command = server.cli();
        command.args(["--set", "log.format=text", "backup"]).arg(target);
        to_the_end(command)
    };
    let (code, stdout, stderr) = backup(&dir);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains(dir.to_str().unwrap()), "{stdout}");
    let mut names = private_names(&dir);
    let has_master_key = server.data_dir().join("master.key").exists();
    assert_eq!(names.iter().any(|name| name == "master.key"), has_master_key);
    names.retain(|name| name != "master.key");
    assert_eq!(names, ["liverec.db", "liverec.env", "node_id"]);
    let kept = fs::read_to_string(dir.join("liverec.env")).unwrap();
    assert!(kept.contains("LIVEREC__API__SECRET_KEY=\"SECRETTEST\""), "{kept}");
    assert_eq!(fs::read_dir(dir.parent().unwrap()).unwrap().count(), 1, "nothing half-made");
    // A second one does not overwrite the first.
    let (code, _, stderr) = backup(&dir);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("not empty"), "{stderr}");

    server.kill();
    for name in ["liverec.db", "liverec.db-wal", "liverec.db-shm", "node_id"] {
        fs::remove_file(server.data_dir().join(name)).unwrap();
    }
    for name in ["liverec.db", "node_id"] {
        fs::copy(dir.join(name), server.data_dir().join(name)).unwrap();
    }
    server.launch();
    let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
    assert_holds(&server, &files, &source, &sent);
}

/// The backup is of a moment when the files were not stored, and their journal is gone since.
#[test]
fn what_was_stored_since_the_backup_is_left_as_it_is() {
    for backend in BACKENDS {
        let settings = [("hls.segment_duration", "1s"), ("journal.retention", "0s")];
        let (mut server, receiver) = recorder(backend, &FORMATS, 7200, &settings);
        server.expect("a media file is not made: the store has its product already");
        let source = Source::make(&server, Codecs::H264Aac, 4);
        source.push(&server.push_url("show"));
        let files = receiver.wait_for(100, FORMATS.len());
        let url = |file: &serde_json::Value| file["video_url"].as_str().unwrap().to_owned();
        let before: Vec<Vec<u8>> = files.iter().map(|file| fetch(&url(file))).collect();
        server.logs.wait_for("journal released");
        server.stop();
        server.sql(
            "UPDATE media_file SET state = 'ended', storage_key = '', progress = '', announced_ms = 0, \
             next_try_ms = 0",
        );
        server.launch();
        eventually("the rows", || {
            let told =
                server.live("LiverecDescribeRecordings", serde_json::json!({ "State": "failed" }));
            (told["FileList"].as_array().unwrap().len() == FORMATS.len()).then_some(())
        });
        for (file, before) in files.iter().zip(&before) {
            let (_, path) =
                url(file).split_once("/vod/").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            assert!(fetch(&format!("{}/vod/{path}", server.base_url())) == *before, "{path}");
        }
        assert_eq!(receiver.of_type(100).len(), FORMATS.len(), "none is announced again");
    }
}
