//! A journal that is gone or spoilt when the server starts: nothing waits for it for ever.

use std::fs;

use serde_json::json;

use crate::{
    support::{
        ffmpeg::Codecs,
        pushing::{Source, journal_files},
        server::{BACKENDS, Backend, eventually},
    },
    verbatim::FORMATS,
};

use super::{SERVER_STOPPED, assert_holds, half_pushed, told};

/// The disk of the journals was replaced: that is said, and what ran has ended.
#[test]
fn a_recording_whose_journal_is_gone_ends_as_failed() {
    for backend in BACKENDS {
        let (mut server, receiver, ..) = half_pushed(backend, 700);
        server.kill();
        let journal = server.data_dir().join("journal");
        for session in fs::read_dir(&journal).unwrap() {
            fs::remove_dir_all(session.unwrap().path()).unwrap();
        }
        server.expect("the journal of a session is gone");
        server.expect("a media file cannot be made; nothing is left of its journal");
        server.launch();
        let failed = eventually("failed files", || {
            let told = server.live("LiverecDescribeRecordings", json!({ "State": "failed" }));
            let files = told["FileList"].as_array().unwrap().clone();
            (files.len() == FORMATS.len()).then_some(files)
        });
        assert!(failed.iter().all(|file| file["LastError"] != ""), "{failed:#?}");
        let growing = server.live("LiverecDescribeRecordings", json!({ "State": "recording" }));
        assert_eq!(growing["FileList"], json!([]));
        let ended = receiver.wait_for(0, 1);
        assert_eq!(ended[0]["errcode"], SERVER_STOPPED, "{ended:?}");
        let status = |event: &str| {
            let of_event = |body: &&serde_json::Value| body["record_event"] == event;
            receiver.of_type(332).iter().filter(of_event).count()
        };
        eventually("an error of every recording", || {
            (status("record_error") == FORMATS.len()).then_some(())
        });
        assert_eq!(status("record_ended"), FORMATS.len());
        assert_eq!(receiver.of_type(100).len(), 0);
        if backend == Backend::Services {
            assert!(server.s3.as_ref().unwrap().open_uploads().is_empty());
        }

        // It is over: another start finds nothing to do.
        server.stop();
        server.launch();
        let source = Source::make(&server, Codecs::H264Aac, 2);
        source.push(&server.push_url("show"));
        receiver.wait_for(100, FORMATS.len());
        assert!(!server.logs.text().contains("is gone"));
    }
}

/// What the journal itself says of its session cannot be read any more, but the rows know it.
#[test]
fn a_journal_with_a_spoilt_head_is_followed_by_its_rows() {
    for backend in BACKENDS {
        let (mut server, receiver, source, sent) = half_pushed(backend, 700);
        server.kill();
        let first = journal_files(&server).remove(0);
        let mut bytes = fs::read(&first).unwrap();
        let head = bytes.windows(9).position(|window| window == b"node_id\\\"").unwrap();
        bytes[head] = b'x';
        fs::write(&first, bytes).unwrap();
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        assert_holds(&server, &files, &source, &sent);
    }
}
