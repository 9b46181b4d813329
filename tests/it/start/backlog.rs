//! A start with a thousand recordings that an earlier process left unfinished: the server listens
//! first, whoever publishes is served, and what was left is worked behind that.
//!
//! What is asserted is the order, and times only beside each other; all are printed.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use liverec::{
    domain::{
        container::Container,
        ids::{DecimalId, RecordingId, SessionId},
        journal_note::{JournalHead, Note},
        record_template::RecordTemplate,
        recording::{Origin, Recording},
        session::Session,
        stream::{AppName, DomainName, StreamName, StreamPath},
    },
    journal::{Journal, Settings},
    media::tag::Tag,
};
use serde_json::{Value, json};

use crate::{
    crash::{
        here,
        matrix::look::{assert_nothing_is_left, assert_rows, wait_until_done},
    },
    support::{
        ffmpeg::Codecs,
        publisher::Pusher,
        pushing::{Source, as_in_product, assert_same_tags, frames, product_tags},
        receiver::{Receiver, SIGN_KEY},
        server::{Backend, Server, eventually},
    },
};

const UNFINISHED: usize = 1000;
/// Said of each when its turn comes.
const FOUND: &str = "finishing a session that was interrupted";
/// Tags of each of them.
const LEFT_TAGS: usize = 60;

#[test]
fn a_thousand_unfinished_recordings_do_not_delay_the_start() {
    let mut server = Server::start(Backend::Plain, &[]);
    let receiver = Receiver::start();
    server.record("live", "", &["Flv"], 7200);
    server.call_back(&receiver.url(), SIGN_KEY);
    let source = Source::make(&server, Codecs::H264Aac, 4);
    server.stop();
    let begun = Instant::now();
    server.launch();
    let empty = begun.elapsed();
    server.stop();
    leave_unfinished(&server, &source.tags[..LEFT_TAGS]);
    assert_eq!(left(&server), UNFINISHED);

    let begun = Instant::now();
    server.launch();
    let listening = begun.elapsed();
    println!(
        "start with {UNFINISHED} unfinished recordings: listening after {listening:?}, with none after {empty:?}"
    );
    // A stream of which something is unfinished, and one that nothing is known of.
    for stream in ["s7", "new"] {
        let asked = Instant::now();
        let mut pusher = Pusher::connect(server.rtmp, stream, 65536).accepted();
        let accepted = asked.elapsed();
        let left = left(&server);
        println!("publish of {stream} answered after {accepted:?}, {left} journals left");
        assert!(left > UNFINISHED / 2, "the answer waited for what was left behind");
        pusher.send(&source.tags);
        pusher.finish();
    }
    eventually("the file of new", || is_stored(&server, "new").then_some(()));
    let (new, left) = (begun.elapsed(), left(&server));
    assert!(left > UNFINISHED / 2, "the new file waited for what was left behind: {left}");
    // One that ends in the midst of it, when hundreds of files wait for delivery.
    eventually("a part of what was left", || {
        (self::left(&server) < UNFINISHED * 3 / 4).then_some(())
    });
    let mut pusher = Pusher::connect(server.rtmp, "late", 65536).accepted();
    pusher.send(&source.tags);
    let (asked, before) = (Instant::now(), stored(&server));
    pusher.finish();
    eventually("the file of late", || is_stored(&server, "late").then_some(()));
    let (late, meanwhile) = (asked.elapsed(), stored(&server) - before);
    assert!(meanwhile < UNFINISHED as i64 / 10, "{meanwhile} files came before the late one");
    wait_until_done(&server);
    let all = begun.elapsed();
    // In the same run, so that a slow machine moves both.
    assert!(listening < all / 4, "listening after {listening:?}, all of it done after {all:?}");
    let text = server.logs.text();
    let early = text.lines().take_while(|line| !line.contains(" listening rtmp="));
    let early: Vec<&str> = early.filter(|line| line.contains("session.id=")).collect();
    assert!(early.is_empty(), "before it listened: {early:#?}");
    assert_eq!(server.logs.count(FOUND), UNFINISHED, "sessions that were finished");

    let events = told(&receiver);
    assert_eq!(events.len(), UNFINISHED + 3);
    let mut packets = 0;
    let (short, whole) = (as_in_product(&source.tags[..LEFT_TAGS]), as_in_product(&source.tags));
    for stream in
        (0..UNFINISHED).map(|nth| format!("s{nth}")).chain(["new", "late"].map(str::to_owned))
    {
        let expected = match stream.as_str() {
            "s7" => vec![&short, &whole],
            "new" | "late" => vec![&whole],
            _ => vec![&short],
        };
        let files = files_of(&events, &stream);
        assert_eq!(files.len(), expected.len(), "files of {stream}: {files:#?}");
        // Ids are in the order in which the files began.
        for (file, expected) in files.iter().zip(expected) {
            let url = here(&server, file);
            let found = product_tags(&url);
            assert_same_tags(&found, expected, &url);
            packets += frames(&found).len();
        }
    }
    assert_rows(&server, &events);
    assert_nothing_is_left(&server, &events);
    println!(
        "new is stored after {new:?} with {left} journals left, late {late:?} after its end ({meanwhile} files meanwhile), all {} files after {all:?}; {packets} packets compared, 0 lost, nothing left over",
        events.len()
    );
    server.kill();
}

/// Journals that are there.
fn left(server: &Server) -> usize {
    fs::read_dir(server.data_dir().join("journal")).unwrap().count()
}

/// Files that are stored.
fn stored(server: &Server) -> i64 {
    server.sql("SELECT COUNT(*) AS n FROM media_file WHERE state = 'stored'")
}

/// Whether there is a file of a stream; its event may wait behind those of what was left.
fn is_stored(server: &Server, stream: &str) -> bool {
    server.vod("SearchMedia", json!({"StreamIds": [stream]}))["TotalCount"] == 1
}

/// Events 100 by file.
fn told(receiver: &Receiver) -> BTreeMap<String, Value> {
    let events = receiver.of_type(100).into_iter();
    events.map(|event| (event["file_id"].as_str().unwrap().to_owned(), event)).collect()
}

fn files_of(events: &BTreeMap<String, Value>, stream: &str) -> Vec<Value> {
    events.values().filter(|event| event["stream_id"] == stream).cloned().collect()
}

/// Journals as a killed process leaves them: with a head, a recording and frames, without an end.
fn leave_unfinished(server: &Server, tags: &[Tag]) {
    let node_id = fs::read_to_string(server.data_dir().join("node_id")).unwrap().trim().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let journal = Journal::open(Settings {
            root: server.data_dir().join("journal"),
            sync_interval: Duration::from_secs(60),
            roll_bytes: 32 << 20,
        })
        .unwrap();
        for nth in 0..UNFINISHED {
            let now_ms =
                i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis())
                    .unwrap();
            let session = Session {
                id: SessionId::new(now_ms),
                node_id: node_id.clone(),
                sequence: DecimalId::next(now_ms),
                path: StreamPath {
                    domain: DomainName::parse("live.local").unwrap(),
                    app: AppName::parse("live").unwrap(),
                    stream: StreamName::parse(&format!("s{nth}")).unwrap(),
                },
                stream_param: String::new(),
                user_ip: "127.0.0.1".to_owned(),
                node_ip: "127.0.0.1".to_owned(),
                started_ms: now_ms,
                signed: false,
            };
            let mut template = RecordTemplate { id: 1, ..RecordTemplate::default() };
            template.flv.enable = true;
            let recording = Recording {
                id: RecordingId::new(now_ms),
                session_id: session.sequence,
                origin: Origin::Rule,
                container: Container::Flv,
                template,
                started_ms: now_ms,
                resume_window_s: 0,
            };
            let id = session.id;
            let head = serde_json::to_string(&JournalHead { session }).unwrap();
            let mut writer = journal.create(id, head, now_ms).await.unwrap();
            let from = writer.position();
            writer.note(&Note::Attach { recording: Box::new(recording), from }.to_json());
            for tag in tags {
                writer.push(tag, now_ms);
            }
            writer.flush().await.unwrap();
        }
    });
}
