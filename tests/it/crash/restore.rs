//! A lost database: what a backup from before brings back, and what the journals add to it.

use std::fs;

use crate::{again::private_names, start::to_the_end, support::server::Backend, verbatim::FORMATS};

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
