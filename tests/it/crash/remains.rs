//! The journal of an HLS recording is lost, and the store has segments of it: they can be played.

use std::fs;

use serde_json::Value;

use crate::{
    start::to_the_end,
    support::{
        packets::Packets,
        pushing::{Source, frames, journal_files, whole_tags},
        receiver::Receiver,
        run,
        server::{BACKENDS, Backend, Server, eventually, fetch},
    },
};

use super::{SERVER_STOPPED, files_under, half_pushed_as, here, lost_end::LACKING, no_data, told};

/// Segments that are stored at least before the end.
const SEGMENTS: i64 = 3;
/// How many are.
const STORED: &str = "SELECT COUNT(*) AS n FROM media_part p JOIN media_segment s \
    ON s.file_id = p.file_id WHERE p.object = CAST(s.number AS TEXT)";

/// A push of which segments are stored, and whose journal is gone since the server was killed.
fn lost(backend: Backend, settings: &[(&str, &str)]) -> (Server, Receiver, Source, String) {
    let (mut server, receiver, source, _) = half_pushed_as(&["Hls"], backend, 700, settings);
    eventually("stored segments", || (server.sql(STORED) >= SEGMENTS).then_some(()));
    server.kill();
    let journal = server.data_dir().join("journal");
    let folder = fs::read_dir(&journal).unwrap().next().unwrap().unwrap();
    let session = folder.file_name().into_string().unwrap();
    fs::rename(folder.path(), server.folder().join("lost")).unwrap();
    server.expect("the journal of a session is missing");
    server.expect("sessions go on and their journals are not there");
    server.expect("the journal of a session is gone");
    server.expect(LACKING);
    (server, receiver, source, session)
}

/// The file is what was pushed, up to where it ends, and says that it is not all.
fn assert_remains(server: &Server, source: &Source, file: &Value) {
    let url = here(server, file);
    let found = Packets::of(&url);
    assert!(found.video.len() > 100 && found.audio.len() > 100, "{}", found.video.len());
    let pushed = Packets::of(source.name());
    let pushed = pushed.first(found.video.len(), found.audio.len());
    found.assert_payloads_and_times(&pushed, &url);
    let text = String::from_utf8(fetch(&url)).unwrap();
    assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    assert!(text.matches("#EXTINF").count() as i64 >= SEGMENTS, "{text}");
    let extension: Value = serde_json::from_str(file["callback_ext"].as_str().unwrap()).unwrap();
    let summary = &extension["liverec"];
    assert_eq!(summary["gaps"][0]["cause"], "journal_lost", "{summary:#}");
    assert_eq!(summary["tracks"].as_array().map(Vec::len), Some(0), "{summary:#}");
    let said = "SELECT COUNT(*) AS n FROM media_file WHERE facts LIKE '%the journal is lost%'";
    assert_eq!(server.sql(said), 1);
    server.logs.wait_for(LACKING);

    let mut command = server.cli();
    command.args(["verify", file["file_id"].as_str().unwrap()]);
    let (code, stdout, stderr) = to_the_end(command);
    assert_eq!(code, 1, "{stdout}{stderr}");
    for part in ["cannot be verified", "against the recorded sizes", "its journal was lost"] {
        assert!(stdout.contains(part), "{part}: {stdout}{stderr}");
    }
    assert!(!stdout.contains("difference"), "{stdout}");
}

#[test]
fn stored_segments_of_a_recording_that_is_given_up_can_be_played() {
    let settings: [&[(&str, &str)]; 3] =
        [&[], &[("hls.live_playlist", "true")], &[("hls.segment_type", "fmp4")]];
    for (backend, settings) in BACKENDS.into_iter().flat_map(|b| settings.map(|s| (b, s))) {
        let (mut server, receiver, source, session) = lost(backend, settings);
        let give_up = |server: &Server| run(server.cli().args(["give-up", &session]));
        if settings.is_empty() {
            server.launch();
            server.logs.wait_for("sessions go on");
            give_up(&server);
        } else {
            give_up(&server);
            server.launch();
        }
        let files = told(&receiver, SERVER_STOPPED, 1);
        assert_remains(&server, &source, &files[0]);
        assert_eq!(server.sql("SELECT COUNT(*) AS n FROM media_segment"), 0);
        if let Some(s3) = &server.s3 {
            assert!(s3.open_uploads().is_empty());
        }
    }
}

/// The disk is there and has nothing of the journal any more: nobody has to give it up.
#[test]
fn stored_segments_of_a_journal_without_data_can_be_played() {
    for backend in BACKENDS {
        let (mut server, receiver, source, _) = half_pushed_as(&["Hls"], backend, 700, &[]);
        eventually("stored segments", || (server.sql(STORED) >= SEGMENTS).then_some(()));
        server.kill();
        journal_files(&server).iter().for_each(|data| no_data::zeroed(data));
        for text in [
            "a journal file is put aside",
            "the end of a journal is lost",
            "the journal of a session is lost",
            "the journal of a session is gone",
            LACKING,
        ] {
            server.expect(text);
        }
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, 1);
        assert_remains(&server, &source, &files[0]);
    }
}

/// The journal can be read and has no frame any more, and what is stored was made by an earlier version:
/// it is not removed before something else can be made.
#[test]
fn stored_segments_of_a_journal_without_frames_can_be_played() {
    for (backend, is_older) in BACKENDS.into_iter().flat_map(|b| [false, true].map(|o| (b, o))) {
        let (mut server, receiver, source, _) = half_pushed_as(&["Hls"], backend, 700, &[]);
        eventually("stored segments", || (server.sql(STORED) >= SEGMENTS).then_some(()));
        server.kill();
        for data in journal_files(&server) {
            let tags = whole_tags(&fs::read(&data).unwrap());
            let before = tags.iter().take_while(|tag| frames(std::slice::from_ref(tag)).is_empty());
            let len = 13 + before.map(|tag| 15 + tag.payload.len() as u64).sum::<u64>();
            no_data::cut(&data, len);
        }
        if is_older {
            server.sql("UPDATE media_file SET projector = 5");
        }
        server.expect("the end of a journal is lost");
        server.expect(LACKING);
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, 1);
        assert_remains(&server, &source, &files[0]);
    }
}

/// What the store has lost itself is not named, and what the journal holds can be made when it is back.
#[test]
fn a_segment_that_is_gone_ends_the_playlist_and_a_journal_that_is_back_makes_it_whole() {
    let (mut server, receiver, source, session) = lost(Backend::Plain, &[]);
    let vod = server.data_dir().join("vod");
    let segments = files_under(&vod);
    let second = segments.iter().find(|name| name.ends_with("/1.ts")).unwrap();
    fs::remove_file(second).unwrap();
    run(server.cli().args(["give-up", &session]));
    server.launch();
    let file = told(&receiver, SERVER_STOPPED, 1).remove(0);
    let url = here(&server, &file);
    let text = String::from_utf8(fetch(&url)).unwrap();
    assert_eq!(text.matches("#EXTINF").count(), 1, "{text}");
    let pushed = Packets::of(source.name());
    let found = Packets::of(&url);
    let beginning = pushed.first(found.video.len(), found.audio.len());
    found.assert_payloads_and_times(&beginning, &url);

    server.stop();
    let folder = server.data_dir().join("journal").join(&session);
    fs::rename(server.folder().join("lost"), folder).unwrap();
    server.expect("the journal of a session that was given up is here again");
    server.launch();
    server.logs.wait_for("is here again");
    run(server.cli().args(["remake", &session, "--format", "hls"]));
    let files = told(&receiver, SERVER_STOPPED, 2);
    let whole = files.iter().find(|made| made["file_id"] != file["file_id"]).unwrap();
    let found = Packets::of(&here(&server, whole));
    assert!(found.video.len() > 3 * beginning.video.len(), "{}", found.video.len());
    let sent = pushed.first(found.video.len(), found.audio.len());
    found.assert_payloads_and_times(&sent, "made from the journal");
    run(server.cli().args(["verify", whole["file_id"].as_str().unwrap()]));
}

/// The stream has ended, the store took nothing any more, and then the journal goes.
#[test]
fn stored_segments_can_be_played_when_the_journal_goes_after_the_end() {
    let settings = [("storage.s3.timeout", "2s")];
    let (mut server, receiver, source, _) =
        half_pushed_as(&["Hls"], Backend::Services, 700, &settings);
    eventually("stored segments", || (server.sql(STORED) >= SEGMENTS).then_some(()));
    server.expect_of_the_store();
    server.s3.as_mut().unwrap().stop();
    server.stop();
    let journal = server.data_dir().join("journal");
    fs::rename(&journal, server.folder().join("lost")).unwrap();
    server.s3.as_mut().unwrap().restart();
    server.expect("the journal of a session is gone");
    server.expect(LACKING);
    server.launch();
    let files = told(&receiver, SERVER_STOPPED, 1);
    assert_remains(&server, &source, &files[0]);
    assert!(server.s3.as_ref().unwrap().open_uploads().is_empty());
}
