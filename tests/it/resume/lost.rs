//! The journal of the last push of a file is lost: what came before it is stored, and the file says
//! that there was more.

use std::{collections::BTreeSet, fs, thread::sleep, time::Duration};

use liverec::media::tag::Tag;
use serde_json::Value;

use super::{WINDOW_S, assert_payloads, broken_push, push, recorder, source, stored};
use crate::{
    crash::{
        lost_end::{LACKING, gaps},
        no_data,
    },
    start::to_the_end,
    support::{
        ffmpeg::Codecs,
        pushing::{Source, journal_files, session_of},
        receiver::Receiver,
        run,
        s3::{Fault, Op},
        server::{BACKENDS, Backend, Server, eventually},
    },
    verbatim::FORMATS,
};

/// Tags of the first of two pushes.
const FIRST: usize = 200;
const LIVE_PLAYLIST: [(&str, &str); 2] =
    [("hls.live_playlist", "true"), ("hls.segment_duration", "1s")];

/// A push that broke off, and one that goes on with its files when the server is killed.
fn two_pushes(backend: Backend, settings: &[(&str, &str)]) -> (Server, Receiver, Source) {
    let (mut server, receiver) = recorder(backend, &FORMATS, WINDOW_S, settings);
    let source = source(&server, Codecs::H264Aac, 6);
    broken_push(&server, &receiver, &source.tags[..FIRST], 1);
    let pusher = push(&server, &source.tags);
    let spans = "SELECT COUNT(*) AS n FROM media_file_span";
    eventually("both pushes in the rows", || {
        (server.sql(spans) == 2 * FORMATS.len() as i64).then_some(())
    });
    server.kill();
    drop(pusher);
    (server, receiver, source)
}

/// What the disk lost of a push stands between it and the next one.
#[test]
fn a_push_whose_end_is_lost_is_followed_by_the_next() {
    let [backend, _] = BACKENDS;
    let (mut server, receiver) = recorder(backend, &FORMATS, 2 * WINDOW_S, &[]);
    let source = source(&server, Codecs::H264Aac, 6);
    let (first, left) = (&source.tags[..200], &source.tags[..199]);
    let pusher = push(&server, first);
    server.kill();
    drop(pusher);
    let last = journal_files(&server).pop().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&last).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    server.expect("the end of a journal is lost");
    server.expect(LACKING);
    server.launch();
    push(&server, &source.tags).finish();
    for file in stored(&receiver, FORMATS.len()) {
        assert_payloads(&server, &file, &source, &[left, &source.tags]);
        assert_eq!(gaps(&file), ["journal_lost"], "{file:#}");
    }
    // It keeps the journal from nothing.
    eventually("both journals to go", || journal_files(&server).is_empty().then_some(()));
    let journals = server.data_dir().join("journal");
    eventually("their folders to go", || {
        (fs::read_dir(&journals).unwrap().count() == 0).then_some(())
    });
}

#[test]
fn what_came_before_a_push_that_is_given_up_is_stored() {
    for backend in BACKENDS {
        let (mut server, receiver, source) = two_pushes(backend, &[]);
        let first = &source.tags[..FIRST];
        let journals = fs::read_dir(server.data_dir().join("journal")).unwrap();
        let newest = journals.map(|entry| entry.unwrap().path()).max().unwrap();
        fs::rename(&newest, server.folder().join("lost")).unwrap();
        let session = newest.file_name().unwrap().to_str().unwrap();

        server.expect("the journal of a session is missing");
        server.expect("sessions go on and their journals are not there");
        server.expect("the journal of a session is gone");
        server.expect(LACKING);
        server.launch();
        server.logs.wait_for("sessions go on");
        run(server.cli().args(["give-up", session]));
        let files = stored(&receiver, FORMATS.len());
        files.iter().for_each(|file| assert_left(&server, file, &source, first));
    }
}

/// The same where the disk is there and has nothing of the push any more: nobody has to give it up. The
/// playlist of a growing HLS file in its place is no product, nor is what a kill left of one unannounced.
#[test]
fn what_came_before_a_push_without_data_is_stored() {
    let hurts = [no_data::emptied, no_data::zeroed, no_data::removed];
    for (hurt, backend) in hurts.into_iter().zip(BACKENDS.into_iter().cycle()) {
        let (mut server, receiver, source) = two_pushes(backend, &LIVE_PLAYLIST);
        let first = &source.tags[..FIRST];
        let data = journal_files(&server).pop().unwrap();
        let session = session_of(&data);
        let whole = fs::read(&data).unwrap();
        hurt(&data);
        for text in [
            "a journal file is put aside",
            "the end of a journal is lost",
            "the journal of a session is lost",
            LACKING,
            "the journal of a session is gone",
            "a media file could not be stored",
        ] {
            server.expect(text);
        }
        if let Some(s3) = &server.s3 {
            // Stored, and killed before anybody knew.
            s3.inject(Op::Put, 1, 1000, Fault::LoseResponse);
            let before = s3.count(Op::Put);
            server.launch();
            let s3 = server.s3.as_ref().unwrap();
            eventually("products", || (s3.count(Op::Put) >= before + 8).then_some(()));
            server.kill();
            server.s3.as_ref().unwrap().heal();
        }
        server.launch();
        let files = stored(&receiver, FORMATS.len());
        files.iter().for_each(|file| assert_left(&server, file, &source, first));

        // Data that come back can be made, though what came before is released.
        server.stop();
        fs::write(&data, &whole).unwrap();
        server.expect("the journal of a session that was given up is here again");
        server.launch();
        server.logs.wait_for("is here again");
        for format in ["flv", "mp4"] {
            run(server.cli().args(["remake", &session, "--format", format]));
        }
        for file in &stored(&receiver, FORMATS.len() + 2)[FORMATS.len()..] {
            assert_payloads(&server, file, &source, &[&source.tags]);
            run(server.cli().args(["verify", file["file_id"].as_str().unwrap()]));
            assert_eq!(gaps(file), [""; 0], "{file:#}");
        }

        // The next push is another recording.
        push(&server, &source.tags).finish();
        let files = stored(&receiver, 2 * FORMATS.len() + 2);
        let all = files.iter().map(|file| file["file_id"].as_str().unwrap());
        assert_eq!(all.collect::<BTreeSet<_>>().len(), 2 * FORMATS.len() + 2);
    }
}

/// The first push is lost, which had ended and is not given up: what comes back of it is kept, too.
#[test]
fn what_comes_after_a_push_without_data_is_stored() {
    for backend in BACKENDS {
        let (mut server, receiver, source) = two_pushes(backend, &LIVE_PLAYLIST);
        let data = journal_files(&server).remove(0);
        let whole = fs::read(&data).unwrap();
        no_data::zeroed(&data);
        for text in [
            "a journal file is put aside",
            "the end of a journal is lost",
            "the beginning of a file cannot be read",
            "an earlier push of a growing media file is gone",
            LACKING,
            "the journal of a session is gone",
        ] {
            server.expect(text);
        }
        server.launch();
        for file in stored(&receiver, FORMATS.len()) {
            assert_eq!(gaps(&file)[0], "journal_lost", "{file:#}");
            run(server.cli().args(["verify", file["file_id"].as_str().unwrap()]));
        }
        // Longer than the janitor takes.
        sleep(Duration::from_secs(5));
        assert!(data.with_extension("flv.damaged").exists());
        server.stop();
        fs::write(&data, &whole).unwrap();
        server.expect("the journal of a session that was given up is here again");
        server.launch();
        server.logs.wait_for("is here again");
        let session = session_of(&data);
        run(server.cli().args(["remake", &session, "--format", "flv"]));
        let files = stored(&receiver, FORMATS.len() + 1);
        assert_payloads(&server, &files[FORMATS.len()], &source, &[&source.tags[..FIRST]]);
    }
}

/// A file that ends with the first push, and says that there was more.
fn assert_left(server: &Server, file: &Value, source: &Source, first: &[Tag]) {
    assert_payloads(server, file, source, &[first]);
    assert_eq!(gaps(file).last().unwrap(), "journal_lost", "{file:#}");
    let id = file["file_id"].as_str().unwrap();
    let mut verify = server.cli();
    verify.args(["verify", id]);
    let (code, told, stderr) = to_the_end(verify);
    assert_eq!(code, 0, "{told}{stderr}");
    for part in ["of which a part was lost", " ms: journal_lost, "] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
