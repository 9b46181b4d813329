//! `liverec verify` and LiverecVerifyFile: a good file is said to be what was sent, and whatever is
//! done to it in the store is found and named.

use std::{fs, path::PathBuf};

use liverec::media::tag::{Tag, TagKind};
use serde_json::{Value, json};

use crate::{
    support::{
        ffmpeg::Codecs,
        publisher::Pusher,
        pushing::Source,
        server::{BACKENDS, Backend, Server},
    },
    verbatim::{FORMATS, format_of, recorder},
};

/// A server that keeps its journals, and the files of one push (events 100).
fn recorded(backend: Backend, codecs: Codecs) -> (Server, Vec<Value>) {
    let settings = [("hls.segment_duration", "2s"), ("journal.retention", "1h")];
    let (server, receiver) = recorder(backend, &FORMATS, 7200, &settings);
    let source = Source::make(&server, codecs, 12);
    source.push(&server.push_url("show"));
    let files = receiver.wait_for(100, FORMATS.len());
    (server, files)
}

fn id_of(file: &Value) -> &str {
    file["file_id"].as_str().unwrap()
}

/// Exit code and JSON report of `liverec verify`.
pub fn verify(server: &Server, file: &Value) -> (i32, Value) {
    let output = server.cli().args(["verify", id_of(file), "--json"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{:?}: no report: {told}", output.status));
    (output.status.code().unwrap(), report)
}

fn assert_good(server: &Server, files: &[Value], against: &str, has_pictures: bool) {
    for file in files {
        let (code, report) = verify(server, file);
        assert_eq!(code, 0, "{report:#}");
        assert_eq!(report["verified"], true);
        assert_eq!(report["against"], against, "{report:#}");
        assert_eq!(report["has_hashes"], true);
        assert_eq!(report["differences"], json!([]));
        let packets = |track: &str| {
            let tracks = report["tracks"].as_array().unwrap().iter();
            let found = tracks.filter(|t| t["track"] == track).map(|t| {
                assert_eq!(t["packets"], t["compared"].as_u64().map_or(json!(0), |n| json!(n)));
                t["packets"].as_u64().unwrap()
            });
            found.sum::<u64>()
        };
        assert!(packets("audio") > 500, "{report:#}");
        let pictures = if has_pictures && format_of(file) != "aac" { 300 } else { 0 };
        assert_eq!(packets("video"), pictures, "{report:#}");
        if format_of(file) == "hls" {
            assert!(report["objects"].as_u64().unwrap() >= 6, "{report:#}");
        }
    }
}

#[test]
fn good_files_with_and_without_their_journal() {
    for (backend, codecs) in BACKENDS.into_iter().zip([Codecs::H264Aac, Codecs::HevcAac]) {
        let (mut server, files) = recorded(backend, codecs);
        assert_good(&server, &files, "journal", true);
        let text = server.cli().args(["verify", id_of(&files[0])]).output().unwrap();
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.contains("is what was sent") && text.contains("packet by packet"), "{text}");

        server.stop();
        fs::remove_dir_all(server.data_dir().join("journal")).unwrap();
        assert_good(&server, &files, "digests", true);
        assert!(!server.data_dir().join("journal").exists(), "nothing is made");
    }
}

#[test]
fn fragmented_segments_are_verified_too() {
    for (backend, codecs) in BACKENDS.into_iter().zip([Codecs::HevcAac, Codecs::H264Aac]) {
        let settings = [
            ("hls.segment_duration", "2s"),
            ("hls.segment_type", "fmp4"),
            ("journal.retention", "1h"),
        ];
        let (mut server, receiver) = recorder(backend, &["Hls"], 7200, &settings);
        Source::make(&server, codecs, 12).push(&server.push_url("show"));
        let files = receiver.wait_for(100, 1);
        assert_good(&server, &files, "journal", true);
        server.stop();
        fs::remove_dir_all(server.data_dir().join("journal")).unwrap();
        assert_good(&server, &files, "digests", true);
        for (object_name, name) in [("2.m4s", "2"), ("init-0.mp4", "init-0")] {
            let path = object(&server, &files[0], Some(object_name));
            let good = fs::read(&path).unwrap();
            let mut bytes = good.clone();
            flip(&mut bytes, good.len() / 2);
            fs::write(&path, bytes).unwrap();
            let (code, report) = verify(&server, &files[0]);
            fs::write(&path, good).unwrap();
            assert_eq!(
                (code, &report["differences"][0]["object"]),
                (1, &json!(name)),
                "{report:#}"
            );
        }
    }
}

#[test]
fn a_resumed_file_is_compared_with_all_of_its_pushes() {
    for backend in BACKENDS {
        let settings = [("record.resume_window", "8s"), ("journal.retention", "1h")];
        let formats = ["Flv", "Mp4", "Aac"];
        let (mut server, receiver) = recorder(backend, &formats, 7200, &settings);
        let source = Source::make(&server, Codecs::H264Aac, 12);
        for _ in 0..2 {
            source.push(&server.push_url("show"));
        }
        let files = receiver.wait_for(100, formats.len());
        let check = |server: &Server, against: &str| {
            for file in &files {
                let (code, report) = verify(server, file);
                assert_eq!((code, &report["against"]), (0, &json!(against)), "{report:#}");
                let sessions = report["summary"]["sessions"].as_array().unwrap();
                assert_eq!(sessions.len(), 2, "{report:#}");
                if format_of(file) != "aac" {
                    assert_eq!(report["tracks"][0]["compared"], 600, "{report:#}");
                }
            }
        };
        check(&server, "journal");
        server.stop();
        fs::remove_dir_all(server.data_dir().join("journal")).unwrap();
        check(&server, "digests");
    }
}

#[test]
fn sound_alone_is_verified_too() {
    let (server, files) = recorded(Backend::Plain, Codecs::Aac);
    assert_good(&server, &files, "journal", false);
}

/// Where an object lies on disk, with either store.
fn object(server: &Server, file: &Value, name: Option<&str>) -> PathBuf {
    let url = file["video_url"].as_str().unwrap();
    let (_, key) = url.split_once("/vod/").unwrap();
    let main = match &server.s3 {
        None => server.data_dir().join("vod").join(key),
        Some(s3) => s3.object(&format!("rec/{key}")),
    };
    assert!(main.exists(), "{}", main.display());
    name.map_or(main.clone(), |name| main.with_file_name(name))
}

fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 0x10;
}

#[test]
fn whatever_is_done_to_an_object_is_found() {
    for backend in BACKENDS {
        let (mut server, files) = recorded(backend, Codecs::H264Aac);
        for against in ["journal", "digests"] {
            if against == "digests" {
                server.stop();
                fs::remove_dir_all(server.data_dir().join("journal")).unwrap();
            }
            for file in &files {
                let format = format_of(file);
                let (path, name) = match format {
                    "hls" => (object(&server, file, Some("2.ts")), "2"),
                    _ => (object(&server, file, None), "main"),
                };
                let good = fs::read(&path).unwrap();
                let check = |bytes: &[u8]| {
                    fs::write(&path, bytes).unwrap();
                    let (code, report) = verify(&server, file);
                    fs::write(&path, &good).unwrap();
                    assert_eq!(code, 1, "{format}: {report:#}");
                    assert_eq!(report["verified"], false);
                    let differences = report["differences"].as_array().unwrap().clone();
                    assert_eq!(differences[0]["object"], name, "{format}: {report:#}");
                    (differences, report["against"].clone())
                };
                let what = |difference: &Value| difference["what"].as_str().unwrap().to_owned();

                // In the middle is media: the packet is named too, or its object cannot be read.
                let mut bytes = good.clone();
                flip(&mut bytes, good.len() / 2);
                let (differences, compared) = check(&bytes);
                assert!(
                    what(&differences[0]).contains("was altered"),
                    "{format}: {differences:#?}"
                );
                assert_eq!(compared, against);
                let named = |d: &Value| d["packet"].is_u64() || what(d).contains("cannot be read");
                assert!(differences.iter().skip(1).any(named), "{format}: {differences:#?}");

                // In the head.
                for at in [0, 5, 100] {
                    let mut bytes = good.clone();
                    flip(&mut bytes, at);
                    let (differences, _) = check(&bytes);
                    let found = differences.iter().any(|d| what(d).contains("was altered"));
                    assert!(found, "{format} {at}: {differences:#?}");
                }

                let (differences, _) = check(&good[..good.len() - 1000]);
                assert!(what(&differences[0]).contains("cut short"), "{format}: {differences:#?}");
                let (differences, _) = check(&[good.as_slice(), b"more"].concat());
                assert!(what(&differences[0]).contains("longer"), "{format}: {differences:#?}");

                fs::remove_file(&path).unwrap();
                let (code, report) = verify(&server, file);
                fs::write(&path, &good).unwrap();
                assert_eq!(code, 1);
                assert_eq!(report["differences"][0]["what"], "it is not in the store");
                assert_eq!(report["differences"][0]["object"], name);
                assert_eq!(verify(&server, file).0, 0, "{format} is whole again");
            }
            // A segment that the playlist names no longer.
            let hls = files.iter().find(|file| format_of(file) == "hls").unwrap();
            let playlist = object(&server, hls, None);
            let text = fs::read_to_string(&playlist).unwrap();
            let last = text.rfind("#EXTINF").unwrap();
            fs::write(&playlist, format!("{}#EXT-X-ENDLIST\n", &text[..last])).unwrap();
            let (code, report) = verify(&server, hls);
            fs::write(&playlist, &text).unwrap();
            assert_eq!(code, 1);
            let told = report["differences"].to_string();
            assert!(told.contains("the playlist does not name it"), "{report:#}");
            let missing = ["it is missing", "not as many packets"];
            assert!(missing.iter().any(|part| told.contains(part)), "{report:#}");
        }
    }
}

/// As an earlier version left it, which wrote no summary.
fn forget_summaries(server: &Server) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&server.database_url()).await.unwrap();
        sqlx::query("DELETE FROM media_file_verification").execute(&pool).await.unwrap();
        pool.close().await;
    });
}

#[test]
fn a_file_without_a_summary_needs_its_journal() {
    for backend in BACKENDS {
        let (mut server, files) = recorded(backend, Codecs::H264Aac);
        forget_summaries(&server);
        for file in &files {
            let (code, report) = verify(&server, file);
            assert_eq!((code, &report["against"]), (0, &json!("journal")), "{report:#}");
            assert_eq!((&report["has_hashes"], &report["summary"]), (&json!(false), &Value::Null));
        }
        // One altered byte in the middle: only the journal knows.
        for file in &files {
            let name = (format_of(file) == "hls").then_some("2.ts");
            let path = object(&server, file, name);
            let good = fs::read(&path).unwrap();
            let mut bytes = good.clone();
            flip(&mut bytes, good.len() / 2);
            fs::write(&path, bytes).unwrap();
            let (code, report) = verify(&server, file);
            fs::write(&path, good).unwrap();
            assert_eq!((code, &report["verified"]), (1, &json!(false)), "{report:#}");
        }
        server.stop();
        fs::remove_dir_all(server.data_dir().join("journal")).unwrap();
        let (code, report) = verify(&server, &files[0]);
        assert_eq!((code, &report["against"]), (1, &json!("nothing")), "{report:#}");
        assert_eq!(report["differences"], json!([]));
    }
}

#[test]
fn script_data_alone_are_what_was_sent_when_their_journal_is_gone() {
    for backend in BACKENDS {
        let (mut server, receiver) = recorder(backend, &["Flv"], 7200, &[]);
        let mut pusher = Pusher::connect(server.rtmp, "show", 4096).accepted();
        let payload = b"\x02\0\x0aonTextData\x05".to_vec();
        let tag = |time_ms| Tag { kind: TagKind::Script, time_ms, payload: payload.clone().into() };
        pusher.send(&[5, 900, 1_800].map(tag));
        pusher.finish();
        let files = receiver.wait_for(100, 1);
        server.stop();
        for is_there in [true, false] {
            if !is_there {
                fs::remove_dir_all(server.data_dir().join("journal")).unwrap();
            }
            let (code, report) = verify(&server, &files[0]);
            assert_eq!((code, &report["verified"]), (0, &json!(true)), "{report:#}");
            assert_eq!(report["has_hashes"], true);
            assert_eq!(report["tracks"][0]["packets"], 3, "{report:#}");
        }
        // One altered byte is found all the same.
        let path = object(&server, &files[0], None);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 5;
        flip(&mut bytes, last);
        fs::write(&path, bytes).unwrap();
        assert_eq!(verify(&server, &files[0]).0, 1);
    }
}

/// Data files of all journals.
fn journal_files(server: &Server) -> Vec<PathBuf> {
    let sessions = fs::read_dir(server.data_dir().join("journal")).unwrap();
    let files = sessions.flat_map(|session| fs::read_dir(session.unwrap().path()).unwrap());
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "flv"))
        .collect()
}

#[test]
fn a_journal_that_was_altered_afterwards_is_not_the_products_fault() {
    for backend in BACKENDS {
        let (server, files) = recorded(backend, Codecs::H264Aac);
        for path in journal_files(&server) {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0x10);
            fs::write(path, bytes).unwrap();
        }
        let mut noticed = 0;
        for file in &files {
            let (code, report) = verify(&server, file);
            assert_eq!((code, &report["verified"]), (0, &json!(true)), "{report:#}");
            assert_eq!(report["differences"], json!([]), "{report:#}");
            if report["journal_difference"].is_object() {
                noticed += 1;
                assert_eq!(report["against"], "digests", "{report:#}");
                let notes = report["notes"].to_string();
                assert!(notes.contains("the journal was altered after"), "{report:#}");
            }
        }
        assert!(noticed >= 3, "{noticed}: all but perhaps the sound alone");
        // With another byte altered in the store, the product differs.
        let path = object(&server, &files[0], None);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 3;
        flip(&mut bytes, middle);
        fs::write(&path, bytes).unwrap();
        assert_eq!(verify(&server, &files[0]).0, 1);
    }
}

#[test]
fn what_was_added_to_an_object_is_not_read() {
    let (server, files) = recorded(Backend::Plain, Codecs::H264Aac);
    for file in files.iter().filter(|file| format_of(file) != "hls") {
        let path = object(&server, file, None);
        let len = fs::metadata(&path).unwrap().len();
        // A hole: it takes no room.
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len + (6 << 30)).unwrap();
        let (code, report) = verify(&server, file);
        assert_eq!((code, &report["bytes"]), (1, &json!(len)), "{report:#}");
        let first = &report["differences"][0];
        assert!(first["what"].as_str().unwrap().contains("longer"), "{report:#}");
        assert!(first["found"].as_str().unwrap().contains("were read"), "{report:#}");
    }
}

#[test]
fn the_action_answers_the_same() {
    for backend in BACKENDS {
        let (server, files) = recorded(backend, Codecs::H264Aac);
        for file in &files {
            let answer = server.vod("LiverecVerifyFile", json!({"FileId": id_of(file)}));
            assert_eq!(answer["Verified"], true, "{answer:#}");
            assert_eq!(answer["Against"], "journal");
            assert_eq!(answer["DifferenceSet"], json!([]));
            assert_eq!(answer["Summary"]["version"], 5);
        }
        let path = object(&server, &files[0], None);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        flip(&mut bytes, middle);
        fs::write(&path, bytes).unwrap();
        let answer = server.vod("LiverecVerifyFile", json!({"FileId": id_of(&files[0])}));
        assert_eq!(answer["Verified"], false);
        assert!(answer["DifferenceSet"][0]["What"].is_string(), "{answer:#}");
    }
}

#[test]
fn files_that_cannot_be_verified_are_refused() {
    let server = Server::start(Backend::Plain, &[]);
    let exit = |arguments: &[&str]| {
        let output = server.cli().arg("verify").args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(exit(&[]).0, 2);
    assert_eq!(exit(&["one"]).0, 2);
    assert_eq!(exit(&["1", "--set", "no.such=key"]).0, 2);
    let (code, told) = exit(&["1"]);
    assert!(code == 1 && told.contains("there is no file 1"), "{told}");
    let (code, told) = exit(&["99999999999999999999999"]);
    assert!(code == 2 && told.contains("larger than any file id"), "{told}");
}
