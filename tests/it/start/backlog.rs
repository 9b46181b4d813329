//! A start with a thousand recordings that an earlier process left unfinished.

use std::{
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
use serde_json::json;

use crate::support::{
    ffmpeg::Codecs,
    publisher::Pusher,
    pushing::{Source, as_in_product, assert_same_tags, product_tags},
    server::{Backend, Server, eventually},
};

const UNFINISHED: usize = 1000;

#[test]
fn a_thousand_unfinished_recordings_do_not_delay_the_start() {
    let mut server = Server::start(Backend::Plain, &[]);
    let source = Source::make(&server, Codecs::H264Aac, 4);
    server.stop();
    leave_unfinished(&server, &source.tags[..60]);
    let left = || fs::read_dir(server.data_dir().join("journal")).unwrap().count();
    assert_eq!(left(), UNFINISHED);

    let begun = Instant::now();
    let mut server = server;
    server.launch();
    let listening = begun.elapsed();
    // A stream of which something is unfinished, and one that nothing is known of.
    for stream in ["s7", "new"] {
        let asked = Instant::now();
        let mut pusher = Pusher::connect(server.rtmp, stream, 65536).accepted();
        let accepted = asked.elapsed();
        let left = fs::read_dir(server.data_dir().join("journal")).unwrap().count();
        println!(
            "start with {UNFINISHED} unfinished recordings: listening after {listening:?}, publish of {stream} answered after {accepted:?}, {left} journals left"
        );
        assert!(left > UNFINISHED / 2, "the answer waited for what was left behind");
        pusher.send(&source.tags);
        pusher.finish();
    }
    let is_long = std::env::var_os("LIVEREC_TEST_LONG").is_some();
    let last = is_long.then_some(("s999", 1));
    for (stream, count) in [("new", 1), ("s7", 2)].into_iter().chain(last) {
        let files = eventually(stream, || {
            let found = server.vod(
                "SearchMedia",
                json!({"StreamIds": [stream], "Sort": {"Field": "CreateTime", "Order": "Asc"}}),
            );
            let files = found["MediaInfoSet"].as_array().unwrap().clone();
            (files.len() == count).then_some(files)
        });
        println!("{stream} is stored after {:?}", begun.elapsed());
        let expected = [&source.tags[..60], &source.tags[..]];
        let first = usize::from(stream == "new");
        for (file, sent) in files.iter().zip(&expected[first..]) {
            let url = file["BasicInfo"]["MediaUrl"].as_str().unwrap();
            if url.ends_with(".flv") {
                assert_same_tags(&product_tags(url), &as_in_product(sent), url);
            }
        }
    }
    server.kill();
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
