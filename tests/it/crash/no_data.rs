//! Of the journal of a recording a folder is left, and no data in it: nobody has to say so, all that runs
//! in it ends. Should the data come back after that, nothing is lost either.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    doctor::examine,
    support::{
        pushing::{journal_files, session_of},
        server::{BACKENDS, Server},
    },
    verbatim::FORMATS,
};

use super::{
    lost::{assert_all_failed, assert_given_up, assert_refused, assert_remade, files_in, known},
    lost_end::gaps,
};

pub fn emptied(data: &Path) {
    cut(data, 0);
}

pub fn cut_into_its_head(data: &Path) {
    cut(data, 100);
}

/// Leaves the first bytes.
pub fn cut(data: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(data).unwrap().set_len(len).unwrap();
}

pub fn zeroed(data: &Path) {
    let len = fs::metadata(data).unwrap().len();
    fs::write(data, vec![0; len as usize]).unwrap();
}

pub fn removed(data: &Path) {
    fs::remove_file(data).unwrap();
}

pub fn removed_with_its_index(data: &Path) {
    removed(data);
    removed(&data.with_extension("idx"));
}

const LOST: &str = "the journal of a session is lost";
pub const LOST_END: &str = "the end of a journal is lost";
pub const BACK: &str = "the journal of a session that was given up is here again";

#[test]
fn what_runs_in_a_journal_without_data_ends() {
    // How, whether anybody knows of what was there, and whether it comes back.
    type Hurt = (fn(&Path), usize, bool);
    let hurts: [Hurt; 5] = [
        (removed, 1, true),
        (zeroed, 1, true),
        (emptied, 1, false),
        (cut_into_its_head, 1, false),
        (removed_with_its_index, 0, false),
    ];
    for ((hurt, known_lost, is_back), backend) in
        hurts.into_iter().zip(BACKENDS.into_iter().cycle())
    {
        let (mut server, receiver, source, sent) = known(backend, 80);
        server.kill();
        let [data] = &journal_files(&server)[..] else { panic!("one file") };
        let session = session_of(data);
        let whole = fs::read(data).unwrap();
        hurt(data);
        for text in [
            "a journal file is put aside",
            LOST_END,
            LOST,
            "the journal of a session is gone",
            "a media file cannot be made; nothing is left of its journal",
        ] {
            server.expect(text);
        }
        server.launch();
        assert_all_failed(&server, &receiver);
        assert_eq!((server.logs.count(LOST), server.logs.count(LOST_END)), (1, known_lost));
        assert_refused(&server, &[&session], "has ended");

        // It is over: another start finds nothing to do, nor anything to say.
        server.stop();
        server.launch();
        server.logs.wait_for("doctor: data directory, database, clock and store are fine");
        assert_eq!(files_in(&server, "failed").len(), FORMATS.len());
        for text in [LOST, LOST_END, BACK] {
            assert_eq!(server.logs.count(text), 0, "{text}");
        }
        // What says that it is lost is kept for whoever can do something about it.
        assert!(known_lost == 0 || data.with_extension("idx.damaged").exists());
        server.stop();
        if !is_back {
            continue;
        }
        fs::write(data, whole).unwrap();
        server.expect(BACK);
        server.launch();
        server.logs.wait_for(BACK);
        assert_remade(&server, &receiver, &session, (&source, &sent));
        let made = receiver.of_type(100);
        made.iter().for_each(|file| assert_eq!(gaps(file), [""; 0], "{file:#}"));
    }
}

/// Names of the journals that the doctor misses.
pub fn missing(server: &Server) -> serde_json::Value {
    let (code, findings) = examine(server, &[], &[]);
    let found = findings.into_iter().find(|f| f["check"] == "journals.missing").unwrap();
    assert_eq!((code, &found["status"]), (1, &json!("fail")), "{found:#}");
    found["names"].clone()
}

/// Before the next start would end it, the doctor sees it, and the operator may say so.
#[test]
fn a_journal_without_data_is_seen_before_the_next_start() {
    let (mut server, receiver, _, _) = known(BACKENDS[0], 80);
    server.kill();
    let [data] = &journal_files(&server)[..] else { panic!("one file") };
    let session = session_of(data);
    removed(data);
    let name = format!("{session} live.local/live/show: its folder has no data");
    assert_eq!(missing(&server), json!([name]));
    assert_given_up(&server, &[&session]);
    for text in [
        LOST_END,
        "the journal of a session is gone",
        "a media file cannot be made; nothing is left of its journal",
    ] {
        server.expect(text);
    }
    server.launch();
    assert_all_failed(&server, &receiver);
}
