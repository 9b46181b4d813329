//! The whole journal of a recording is gone: that is said, it stays as it is until it is back, and only
//! the operator ends it. Should it come back after that, nothing of it is lost either.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

use liverec::media::tag::Tag;
use serde_json::{Value, json};

use crate::{
    doctor::examine,
    start::to_the_end,
    support::{
        pushing::{Source, journal_files},
        receiver::Receiver,
        run,
        server::{BACKENDS, Backend, Server, eventually},
    },
    verbatim::FORMATS,
};

use super::{SERVER_STOPPED, assert_holds, half_pushed, told};

/// What the log says of it at the start.
pub const MISSING: [&str; 2] =
    ["the journal of a session is missing", "sessions go on and their journals are not there"];

/// A push of which the rows know every file.
pub fn known(backend: Backend, count: usize) -> (Server, Receiver, Source, Vec<Tag>) {
    let pushed = half_pushed(backend, count);
    wait_for_rows(&pushed.0);
    pushed
}

/// Until the rows know every file of the only push.
pub fn wait_for_rows(server: &Server) {
    let files = "SELECT COUNT(*) AS n FROM media_file";
    eventually("rows", || (server.sql(files) == FORMATS.len() as i64).then_some(()));
}

/// Takes the journals away, of a server that does not run, and gives the session of the only one.
fn take_away(server: &Server) -> (String, PathBuf) {
    let journal = server.data_dir().join("journal");
    let away = server.folder().join("away");
    let session = fs::read_dir(&journal).unwrap().next().unwrap().unwrap().file_name();
    fs::rename(&journal, &away).unwrap();
    (session.into_string().unwrap(), away)
}

/// The disk is mounted again.
fn bring_back(server: &Server, session: &str, away: &Path) {
    fs::rename(away.join(session), server.data_dir().join("journal").join(session)).unwrap();
}

/// Starts a server whose journals are missing.
fn launch_without(server: &mut Server) {
    MISSING.iter().for_each(|text| server.expect(text));
    server.launch();
    server.logs.wait_for(MISSING[0]);
    server.logs.wait_for(MISSING[1]);
}

/// Exit code and output of `liverec give-up`.
fn give_up(server: &Server, arguments: &[&str]) -> (i32, String) {
    let mut command = server.cli();
    command.arg("give-up").args(arguments);
    let (code, stdout, stderr) = to_the_end(command);
    (code, format!("{stdout}{stderr}"))
}

#[track_caller]
pub fn assert_refused(server: &Server, arguments: &[&str], reason: &str) {
    let (code, told) = give_up(server, arguments);
    assert_eq!(code, 1, "{arguments:?}: {told}");
    assert!(told.contains(reason), "{arguments:?}: {told}");
}

#[track_caller]
pub fn assert_given_up(server: &Server, arguments: &[&str]) {
    let (code, told) = give_up(server, arguments);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("has ended"), "{told}");
    assert_eq!(told.matches("file ").count(), FORMATS.len(), "{told}");
}

pub fn files_in(server: &Server, state: &str) -> Vec<Value> {
    let told = server.live("LiverecDescribeRecordings", json!({ "State": state }));
    told["FileList"].as_array().unwrap().clone()
}

/// Every file of the only session failed and was told as lost, nothing is left of them, and the doctor
/// has nothing to say.
#[track_caller]
pub fn assert_all_failed(server: &Server, receiver: &Receiver) {
    let failed = eventually("failed files", || {
        let files = files_in(server, "failed");
        (files.len() == FORMATS.len()).then_some(files)
    });
    assert!(failed.iter().all(|file| file["LastError"] != ""), "{failed:#?}");
    assert_eq!(files_in(server, "recording"), Vec::<Value>::new());
    assert_told_as_lost(receiver);
    if let Some(s3) = &server.s3 {
        assert!(s3.open_uploads().is_empty());
    }
    let (code, findings) = examine(server, &[], &[]);
    assert_eq!(code, 0, "{findings:#?}");
}

/// The events of a session that ended with all of its files lost.
fn assert_told_as_lost(receiver: &Receiver) {
    let ended = receiver.wait_for(0, 1);
    assert_eq!(ended[0]["errcode"], SERVER_STOPPED, "{ended:?}");
    let status = |event: &str| {
        let of_event = |body: &&Value| body["record_event"] == event;
        receiver.of_type(332).iter().filter(of_event).count()
    };
    eventually("an error of every recording", || {
        (status("record_error") == FORMATS.len()).then_some(())
    });
    assert_eq!(status("record_ended"), FORMATS.len());
    receiver.wait_for(341, FORMATS.len());
    assert_eq!(receiver.of_type(100).len(), 0);
}

/// Makes all of a session's files from its journal, and compares them with what was sent.
pub fn assert_remade(
    server: &Server,
    receiver: &Receiver,
    session: &str,
    (source, sent): (&Source, &[Tag]),
) {
    for (nth, format) in FORMATS.iter().enumerate() {
        let mut command = server.cli();
        command.args(["remake", session, "--format", &format.to_lowercase()]);
        let (code, stdout, stderr) = to_the_end(command);
        assert_eq!(code, 0, "{format}: {stdout}{stderr}");
        if nth == 0 {
            // The janitor goes round.
            sleep(Duration::from_secs(3));
        }
    }
    let files = told(receiver, SERVER_STOPPED, FORMATS.len());
    assert_holds(server, &files, source, sent);
    assert!(!journal_files(server).is_empty(), "it is kept beyond that");
}

#[test]
fn a_recording_goes_on_when_its_journal_is_back() {
    for backend in BACKENDS {
        let (mut server, receiver, source, sent) = known(backend, 700);
        server.kill();
        let (session, away) = take_away(&server);
        launch_without(&mut server);
        let (code, findings) = examine(&server, &[], &[]);
        assert_eq!(code, 1, "{findings:#?}");
        let found = findings.iter().find(|f| f["check"] == "journals.missing").unwrap();
        assert_eq!(found["status"], "fail", "{found:#}");
        assert_eq!(found["names"], json!([format!("{session} live.local/live/show")]));
        assert!(found["advice"].as_str().unwrap().contains("give-up"), "{found:#}");
        let answer = server.live("LiverecDoctor", json!({}));
        assert!(answer.to_string().contains(&session), "{answer:#}");
        assert_eq!(files_in(&server, "recording").len(), FORMATS.len());
        server.stop();

        // Without a server the journal is looked for, too.
        bring_back(&server, &session, &away);
        assert_refused(&server, &[&session], "the journal of session");
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        assert_holds(&server, &files, &source, &sent);
        assert_refused(&server, &[&session], "has ended");
    }
}

#[test]
fn a_recording_that_is_given_up_ends_and_can_be_made_when_its_journal_is_back() {
    for backend in BACKENDS {
        let (mut server, receiver, source, sent) = known(backend, 80);
        server.kill();
        let (session, away) = take_away(&server);
        launch_without(&mut server);

        assert_refused(&server, &["0190a5b0-0000-7000-8000-000000000000"], "there is no session");
        assert_eq!(give_up(&server, &["show"]).0, 2);

        server.expect("a media file cannot be made; nothing is left of its journal");
        server.expect("the journal of a session is gone");
        assert_given_up(&server, &[&session]);
        assert_refused(&server, &[&session], "has ended");
        assert_all_failed(&server, &receiver);

        // It is over: another start finds nothing to do, nor anything to say.
        server.stop();
        server.launch();
        server.logs.wait_for("doctor: data directory, database, clock and store are fine");
        server.stop();

        bring_back(&server, &session, &away);
        server.expect("the journal of a session that was given up is here again");
        server.launch();
        server.logs.wait_for("is here again");
        assert_remade(&server, &receiver, &session, (&source, &sent));
    }
}

#[test]
fn a_session_that_may_be_live_is_not_given_up() {
    let (mut server, receiver, source, sent) = known(Backend::Plain, 80);
    let signal = |name: &str| run(Command::new("kill").args([name, &server.pid().to_string()]));
    // It must not see the folder go.
    signal("-STOP");
    let (session, away) = take_away(&server);
    assert_refused(&server, &[&session], "may be live");
    fs::rename(&away, server.data_dir().join("journal")).unwrap();
    signal("-CONT");
    server.kill();
    server.launch();
    let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
    assert_holds(&server, &files, &source, &sent);
}

/// The journal comes back before delivery could say that it is lost: then it is not.
#[test]
fn a_journal_that_is_back_before_the_next_start_is_delivered() {
    for backend in BACKENDS {
        let (mut server, receiver, source, sent) = known(backend, 700);
        server.kill();
        let (session, away) = take_away(&server);
        assert_given_up(&server, &[&session]);
        bring_back(&server, &session, &away);
        server.expect("the journal of a session that was given up is here again");
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        assert_holds(&server, &files, &source, &sent);
        server.logs.wait_for("is here again");
    }
}

/// What the rows had not heard of when the session was given up is made all the same.
#[test]
fn a_recording_that_no_row_knew_is_made_when_its_journal_is_back() {
    for backend in BACKENDS {
        let (mut server, receiver, source, sent) = known(backend, 300);
        server.kill();
        let (session, away) = take_away(&server);
        for table in ["media_part", "media_file_span", "media_file", "recording_span", "recording"]
        {
            server.sql(&format!("DELETE FROM {table}"));
        }
        let (code, text) = give_up(&server, &[&session]);
        assert_eq!((code, text.matches("file ").count()), (0, 0), "{text}");
        bring_back(&server, &session, &away);
        server.expect("the journal of a session that was given up is here again");
        for _ in 0..2 {
            server.launch();
            let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
            assert_holds(&server, &files, &source, &sent);
            eventually("the journal", || (!journal_files(&server).is_empty()).then_some(()));
            server.stop();
        }
    }
}

/// The machine is gone, the database and the store are not.
#[test]
fn what_another_node_has_left_is_given_up_only_when_it_is_silent() {
    let (mut server, receiver, source, sent) = known(Backend::Services, 80);
    let heard = "SELECT COUNT(*) AS n FROM expiry_clock";
    eventually("a sign of life", || (server.sql(heard) == 1).then_some(()));
    server.kill();
    let before = server.data_dir();
    let read = |file: &str| fs::read_to_string(before.join(file)).unwrap().trim().to_owned();
    let node = read("node_id");
    let folder = fs::read_dir(before.join("journal")).unwrap().next().unwrap().unwrap();
    let session = folder.file_name().into_string().unwrap();
    let other = server.folder().join("other");
    fs::create_dir(&other).unwrap();
    fs::copy(before.join("master.key"), other.join("master.key")).unwrap();
    server.set("data_dir", other.to_str().unwrap());
    server.launch();
    assert!(!server.logs.text().contains(MISSING[0]), "it is none of this node's");

    assert_refused(&server, &[&session], &format!("say --node {node}"));
    assert_refused(&server, &[&session, "--node", "another"], &format!("say --node {node}"));
    assert_refused(&server, &[&session, "--node", &node], "it may be alive");
    server.sql(&format!(
        "UPDATE expiry_clock SET trusted_ms = trusted_ms - 3600000 WHERE node_id = '{node}'"
    ));
    server.expect("a media file cannot be made; nothing is left of its journal");
    server.expect("the journal of a session is gone");
    assert_given_up(&server, &[&session, "--node", &node]);
    assert_told_as_lost(&receiver);

    // The machine is back after all.
    server.stop();
    server.set("data_dir", before.to_str().unwrap());
    server.expect("the journal of a session that was given up is here again");
    server.launch();
    server.logs.wait_for("is here again");
    assert_remade(&server, &receiver, &session, (&source, &sent));
}
