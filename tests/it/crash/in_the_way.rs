//! Something else stands in the place of journal files: it is neither followed nor taken for a loss, and
//! nothing of the rest is given away for it.

use std::{fs, os::unix::fs::symlink, path::Path, thread::sleep, time::Duration};

use serde_json::json;

use crate::{
    follow::heavy,
    support::{
        pushing::{as_in_product, assert_same_tags, journal_files, product_tags, session_of},
        run,
        s3::{Fault, Op},
        server::{BACKENDS, Backend, eventually},
    },
    verbatim::{FORMATS, recorder},
};

use super::{
    SERVER_STOPPED, assert_holds, here,
    lost::{
        MISSING, assert_all_failed, assert_given_up, assert_refused, assert_remade, files_in,
        known, wait_for_rows,
    },
    lost_end::{LACKING, gaps},
    no_data::{BACK, LOST_END, missing},
    spoilt::long_pushed,
    told,
};

const KEPT: &str = "something is in the place of a journal file of a session that has ended";

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
        let session = session_of(data);
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
        wait_for_rows(&server);
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

/// A push that had ended and was not stored: it is stored without what is elsewhere, and kept.
#[test]
fn what_had_ended_is_kept_with_a_file_that_is_elsewhere() {
    let settings = [("journal.unclaimed_max", "1MiB")];
    let (mut server, receiver) = recorder(Backend::Services, &FORMATS, 7200, &settings);
    server.expect_of_the_store();
    let source = heavy(&server, 4);
    let s3 = server.s3.as_ref().unwrap();
    s3.inject(Op::Any, 1, 1_000_000, Fault::Status(503));
    source.push(&server.push_url("show"));
    let ended = "SELECT COUNT(*) AS n FROM media_file WHERE state = 'ended'";
    eventually("the end", || (server.sql(ended) == FORMATS.len() as i64).then_some(()));
    server.kill();
    server.s3.as_ref().unwrap().heal();
    let files = journal_files(&server);
    let data = &files[files.len() / 2];
    let session = session_of(data);
    let away = server.folder().join("away.flv");
    fs::rename(data, &away).unwrap();
    symlink(&away, data).unwrap();
    for text in [LACKING, KEPT, "readiness", "doctor"] {
        server.expect(text);
    }
    server.launch();
    for file in &receiver.wait_for(100, FORMATS.len()) {
        assert_eq!(gaps(file), ["journal_lost"], "{file:#}");
    }
    // Longer than a round of the janitor.
    sleep(Duration::from_secs(3));
    assert_eq!(server.logs.count(KEPT), 1);
    assert!(files.iter().all(|file| file.symlink_metadata().is_ok()), "all of it is kept");
    server.stop();
    fs::remove_file(data).unwrap();
    fs::rename(&away, data).unwrap();
    server.expect(BACK);
    server.launch();
    server.logs.wait_for(BACK);
    run(server.cli().args(["remake", &session, "--format", "flv"]));
    let made = receiver.wait_for(100, FORMATS.len() + 1).pop().unwrap();
    assert_eq!(gaps(&made), [""; 0], "{made:#}");
    let url = here(&server, &made);
    assert_same_tags(&product_tags(&url), &as_in_product(&source.tags), &url);
}
