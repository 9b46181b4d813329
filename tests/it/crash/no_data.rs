//! Of the journal of a recording a folder is left, and no data in it: nobody has to say so, all that runs
//! in it ends. Should the data come back after that, nothing is lost either.

use std::{fs, os::unix::fs::symlink, path::Path, thread::sleep, time::Duration};

use serde_json::json;

use crate::{
    doctor::examine,
    support::{
        pushing::journal_files,
        server::{BACKENDS, Server, eventually},
    },
    verbatim::FORMATS,
};

use super::{
    SERVER_STOPPED, assert_holds,
    lost::{
        MISSING, assert_all_failed, assert_given_up, assert_refused, assert_remade, files_in, known,
    },
    lost_end::gaps,
    spoilt::long_pushed,
    told,
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
const LOST_END: &str = "the end of a journal is lost";
const BACK: &str = "the journal of a session that was given up is here again";

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
        let session = data.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
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
fn missing(server: &Server) -> serde_json::Value {
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
    let session = data.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
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

/// A link or a folder in the place of the data may lead to them, or not: only the operator knows.
#[test]
fn what_is_no_file_is_left_to_the_operator() {
    type Obstacle = fn(&Path, &Path);
    let obstacles: [Obstacle; 3] = [
        // Elsewhere, and on a disk that is not mounted.
        |away, place| symlink(away, place).unwrap(),
        |_, place| symlink("/nowhere/00000001.flv", place).unwrap(),
        |_, place| fs::create_dir(place).unwrap(),
    ];
    let remove = |place: &Path| match place.is_symlink() {
        true => fs::remove_file(place).unwrap(),
        false => fs::remove_dir(place).unwrap(),
    };
    for (nth, (obstruct, backend)) in
        obstacles.into_iter().zip(BACKENDS.into_iter().cycle()).enumerate()
    {
        let (mut server, receiver, source, sent) = known(backend, 80);
        server.kill();
        let [data] = &journal_files(&server)[..] else { panic!("one file") };
        let session = data.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let away = server.folder().join("away.flv");
        fs::rename(data, &away).unwrap();
        obstruct(&away, data);
        MISSING.iter().for_each(|text| server.expect(text));
        server.launch();
        server.logs.wait_for(MISSING[1]);
        assert_eq!(server.logs.count(MISSING[0]), 1);
        let name = format!("{session} live.local/live/show: {} is in the way", data.display());
        assert_eq!(missing(&server), json!([name]));
        assert_eq!(files_in(&server, "recording").len(), FORMATS.len());
        assert!(data.with_extension("idx").exists() && data.symlink_metadata().is_ok());

        if nth == 0 {
            // The file is put there.
            server.stop();
            remove(data);
            fs::rename(&away, data).unwrap();
            assert_refused(&server, &[&session], "is there");
            server.launch();
            let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
            assert_holds(&server, &files, &source, &sent);
            continue;
        }
        for text in [
            LOST_END,
            "a media file cannot be made; nothing is left of its journal",
            "the journal of a session is gone",
        ] {
            server.expect(text);
        }
        assert_given_up(&server, &[&session]);
        assert_all_failed(&server, &receiver);
        server.stop();
        remove(data);
        fs::rename(&away, data).unwrap();
        server.expect(BACK);
        server.launch();
        server.logs.wait_for(BACK);
        assert_remade(&server, &receiver, &session, (&source, &sent));
    }
}

/// The same where one of several data files is elsewhere: the rest does not make up for it.
#[test]
fn one_of_several_files_that_is_elsewhere_is_waited_for() {
    for (backend, nth) in BACKENDS.into_iter().zip([1, 0]) {
        let (mut server, receiver, source, sent) = long_pushed(backend);
        let rows = "SELECT COUNT(*) AS n FROM media_file";
        eventually("rows", || (server.sql(rows) == FORMATS.len() as i64).then_some(()));
        server.kill();
        let files = journal_files(&server);
        let data = &files[(files.len() - 1) * nth];
        let away = server.folder().join("away.flv");
        fs::rename(data, &away).unwrap();
        symlink(&away, data).unwrap();
        MISSING.iter().for_each(|text| server.expect(text));
        server.launch();
        server.logs.wait_for(MISSING[1]);
        // Longer than a round of the janitor.
        sleep(Duration::from_secs(3));
        assert_eq!(files_in(&server, "recording").len(), FORMATS.len());
        assert!(files.iter().all(|file| file.symlink_metadata().is_ok()));
        server.stop();
        fs::remove_file(data).unwrap();
        fs::rename(&away, data).unwrap();
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        assert_holds(&server, &files, &source, &sent);
        files.iter().for_each(|file| assert_eq!(gaps(file), [""; 0], "{file:#}"));
    }
}
