//! Data of other versions: what an earlier one left behind is opened, migrated and finished; what a
//! later one has written is refused by name and left alone.
//!
//! `fixtures/upgrade/v1.tar.gz` is the data directory of the first version with journals (migrations
//! up to 3, journal format 1), killed with -9 during a push: of the stream `stored` FLV and MP4 are
//! stored and HLS is suspended, `suspended` was pushed and waits to be resumed, and `unfinished` was
//! being pushed. `source.flv` in it is what was pushed, each time from its beginning.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use liverec::media::tag::Tag;
use serde_json::{Value, json};

use crate::{
    start::to_the_end,
    support::{
        needed,
        packets::Packets,
        publisher::{is_header, read_tags},
        pushing::{assert_same_tags, frames, journal_files, product_tags, whole_tags},
        run,
        server::{Backend, Server, eventually},
    },
};

/// The streams of the fixture in the order of their sessions, and seconds that were pushed of each.
const STREAMS: [(&str, usize); 3] = [("stored", 3), ("suspended", 4), ("unfinished", 5)];

/// Puts the fixture where a server that has not been started looks for its data. Gives the path of
/// what was pushed.
fn unpack(server: &Server) -> PathBuf {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/upgrade/v1.tar.gz");
    run(Command::new("tar").arg("-xzf").arg(fixture).arg("-C").arg(server.folder()));
    fs::rename(server.folder().join("v1"), server.data_dir()).unwrap();
    let source = server.folder().join("source.flv");
    fs::rename(server.data_dir().join("source.flv"), &source).unwrap();
    source
}

#[test]
fn data_of_the_first_version_is_finished() {
    let mut server = Server::prepare(Backend::Plain, &[]);
    let source = unpack(&server);
    let pushed = frames(&read_tags(&source));
    let packets = Packets::of(source.to_str().unwrap());
    let journaled: Vec<Vec<Tag>> = journal_files(&server)
        .iter()
        .map(|file| frames(&whole_tags(&fs::read(file).unwrap())))
        .collect();
    assert_eq!(journaled.len(), STREAMS.len(), "a journal of one file for each stream");
    // It was made long ago, and the look at the start says so.
    server.expect("ended recordings are not stored yet");
    server.launch();
    for ((stream, seconds), expected) in STREAMS.into_iter().zip(&journaled) {
        assert!(expected.len() > seconds * 60, "{stream}: {} frames", expected.len());
        assert_same_tags(expected, &pushed[..expected.len()], stream);
        let files = eventually(&format!("the files of {stream}"), || {
            let found = server.vod("SearchMedia", json!({"StreamIds": [stream]}));
            (found["TotalCount"] == 3).then(|| found["MediaInfoSet"].as_array().unwrap().clone())
        });
        let pictures = expected.iter().filter(|tag| tag.kind as u8 == 9).count();
        let packets = packets.first(pictures, expected.len() - pictures);
        for file in &files {
            let url = here(&server, file);
            let found = Packets::of(&url);
            found.assert_payloads(&packets, &url);
            if url.ends_with(".flv") {
                let mut tags = product_tags(&url);
                tags.retain(|tag| !is_header(tag));
                assert_same_tags(&tags, expected, &url);
            }
            let id = file["FileId"].as_str().unwrap();
            run(server.cli().args(["verify", id]));
        }
    }
    eventually("the release of every journal", || journal_files(&server).is_empty().then_some(()));
    println!(
        "upgrade: {} files, {} packets compared, 0 lost",
        3 * STREAMS.len(),
        3 * journaled.iter().map(Vec::len).sum::<usize>()
    );
}

#[test]
fn a_newer_database_is_refused_by_name() {
    let mut server = Server::start(Backend::Plain, &[]);
    server.stop();
    let database = server.data_dir().join("liverec.db");
    const SCRIPT: &str = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        db.execute(\"INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9001, 'x', 1, x'00', 0)\")\n\
        db.commit()";
    run(Command::new(needed("LIVEREC_TEST_PYTHON")).args(["-c", SCRIPT]).arg(&database));
    let (code, _, stderr) = to_the_end(server.cli());
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("newer version of liverec (migration 9001"), "{stderr}");
    assert!(!stderr.contains("listening"), "{stderr}");
}

#[test]
fn a_newer_journal_is_refused_by_name_and_left_alone() {
    let server = Server::prepare(Backend::Plain, &[]);
    unpack(&server);
    let newest = journal_files(&server).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let format = b"\"format\":1";
    let at = bytes.windows(format.len()).position(|window| window == format).unwrap();
    bytes[at + format.len() - 1] = b'9';
    fs::write(&newest, &bytes).unwrap();
    let (code, _, stderr) = to_the_end(server.cli());
    assert_eq!(code, 1, "{stderr}");
    let session = newest.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert!(
        stderr.contains(session) && stderr.contains("newer version of liverec (format 9"),
        "{stderr}"
    );
    assert!(!stderr.contains("listening"), "{stderr}");
    assert_eq!(fs::read(&newest).unwrap(), bytes);
}

/// A file's address on the port that the server has now.
fn here(server: &Server, file: &Value) -> String {
    let url = file["BasicInfo"]["MediaUrl"].as_str().unwrap();
    let (_, path) = url.split_once("/vod/").unwrap();
    format!("{}/vod/{path}", server.base_url())
}
