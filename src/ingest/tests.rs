//! A real listener, real sockets and a real journal; only the supervisor is made up.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    domain::{
        container::Container,
        forbidden_stream::ForbidScope,
        ids::{DecimalId, RecordingId},
        journal_note::{JournalHead, Note},
        push_domain::{PushDomain, PushKeys},
        push_url::tx_secret,
        record_template::RecordTemplate,
        recording::Origin,
        session::Session,
        stream::DomainName,
    },
    journal,
    media::{
        amf0::{self, Value},
        sample::SampleKind,
        tag::{Tag, TagKind},
    },
    rtmp::publisher::{Phase, Publisher, Target},
};

const KEY: &str = "PUSHKEY";
/// Nothing here takes so long unless something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the supervisor was told.
#[derive(Debug, Clone)]
enum Told {
    Started { session: Session },
    Ended { session: SessionId, reason: EndReason, end_position: u64 },
}

struct Server {
    address: SocketAddr,
    live: Arc<Live>,
    journal: Journal,
    folder: TempDir,
    told: Arc<Mutex<Vec<Told>>>,
    token: CancellationToken,
    running: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let domain = DomainName::parse("live.local").unwrap();
        let mut settings = Settings {
            node_id: "node".into(),
            default_domain: domain.clone(),
            trust_loopback: true,
            forbid_scope: ForbidScope::Name,
            idle_timeout: PATIENCE,
            handshake_timeout: PATIENCE,
            max_connections: 100,
            stall_timeout: PATIENCE,
            auth_fallback: Fallback::Open,
            proxy_protocol: false,
            max_message_bytes: 16_777_215,
        };
        change(&mut settings);
        let keys =
            PushKeys { enabled: true, master: KEY.into(), backup: String::new(), delta_s: 0 };
        let push_domain = PushDomain::new(domain.clone(), Some(keys), 0);
        let push_domains = BTreeMap::from([(domain, push_domain)]);
        let snapshot = Snapshot { push_domains, ..Snapshot::default() };
        let folder = tempfile::tempdir().unwrap();
        let sync_interval = Duration::from_secs(1);
        let root = folder.path().join("journal");
        let journal =
            Journal::open(journal::Settings { root, sync_interval, roll_bytes: 64 << 20 }).unwrap();
        let (sender, receiver) = mpsc::channel(4);
        let live = Arc::new(Live::default());
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let ingest = Ingest::new(settings, snapshot, journal.clone(), live.clone(), sender, None);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (token, told) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
        tokio::spawn(supervise(receiver, told.clone()));
        let running = tokio::spawn(ingest.run(vec![Door { listener, tls: None }], token.clone()));
        Self { address, live, journal, folder, told, token, running }
    }

    async fn client(&self, key: &str) -> Client {
        Client::connect(self.address, key, 65536).await
    }

    async fn publishing(&self, key: &str) -> Client {
        let mut client = self.client(key).await;
        client.until(|phase| *phase == Phase::Publishing).await;
        client
    }

    /// Waits for the n-th end, counted from 0.
    async fn ended(&self, nth: usize) -> (SessionId, EndReason, u64) {
        let find = || {
            let told = self.told.lock().unwrap();
            let mut ends = told.iter().filter_map(|told| match told {
                Told::Ended { session, reason, end_position } => {
                    Some((*session, *reason, *end_position))
                }
                Told::Started { .. } => None,
            });
            ends.nth(nth)
        };
        eventually(find).await
    }

    fn started(&self) -> Vec<Session> {
        let told = self.told.lock().unwrap();
        let starts = told.iter().filter_map(|told| match told {
            Told::Started { session } => Some(session.clone()),
            Told::Ended { .. } => None,
        });
        starts.collect()
    }

    /// The encoder's tags in a journal, and the notes in it.
    fn journaled(&self, session: SessionId, end: u64) -> (Vec<Tag>, Vec<Note>) {
        let mut reader = self.journal.reader(session).unwrap();
        let samples: Vec<_> = reader.samples(0, end).unwrap().map(Result::unwrap).collect();
        let (mut tags, mut notes) = (Vec::new(), Vec::new());
        for sample in samples {
            if let Some(note) = reader.note(&sample).unwrap() {
                notes.push(Note::parse(&note).unwrap());
            }
            let is_ours = matches!(
                sample.kind,
                SampleKind::Private | SampleKind::Repeated | SampleKind::Clock
            );
            if is_ours || sample.tag_len == 0 {
                continue;
            }
            let mut bytes = vec![0; sample.tag_len as usize];
            reader.read(sample.position, &mut bytes).unwrap();
            let payload = Bytes::copy_from_slice(&bytes[11..bytes.len() - 4]);
            let kind = TagKind::from_byte(bytes[0]).unwrap();
            tags.push(Tag { kind, time_ms: sample.dts_ms, payload });
        }
        (tags, notes)
    }

    async fn stop(self) {
        self.token.cancel();
        timeout(PATIENCE, self.running).await.unwrap().unwrap();
    }
}

/// Records what it is told and attaches one recording to every publish.
async fn supervise(mut events: mpsc::Receiver<Event>, told: Arc<Mutex<Vec<Told>>>) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Refused { .. } => {}
            Event::Started { live, ready } => {
                let session = live.session.clone();
                told.lock().unwrap().push(Told::Started { session });
                let recording = Recording {
                    id: RecordingId::new(0),
                    session_id: DecimalId(1),
                    origin: Origin::Rule,
                    container: Container::Flv,
                    template: RecordTemplate::default(),
                    started_ms: 0,
                    resume_window_s: 0,
                };
                let _ = ready.send(vec![recording]);
            }
            Event::Ended { session, reason, end_position, .. } => {
                told.lock().unwrap().push(Told::Ended { session, reason, end_position });
            }
        }
    }
}

async fn eventually<T>(find: impl Fn() -> Option<T>) -> T {
    let found = async {
        loop {
            match find() {
                Some(found) => return found,
                None => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(PATIENCE, found).await.expect("it never happened")
}

/// A publisher on a socket.
struct Client {
    stream: TcpStream,
    publisher: Publisher,
    is_closed: bool,
}

impl Client {
    async fn connect(address: SocketAddr, key: &str, chunk_size: usize) -> Self {
        let tc_url = format!("rtmp://{address}/live");
        let target = Target { app: "live".into(), tc_url, key: key.into() };
        let publisher = Publisher::new(target, chunk_size).unwrap();
        Self { stream: TcpStream::connect(address).await.unwrap(), publisher, is_closed: false }
    }

    /// Talks until a phase is reached or the server closes.
    async fn until(&mut self, is_reached: impl Fn(&Phase) -> bool) {
        let talk = async {
            let mut buffer = vec![0; 65536];
            while !is_reached(self.publisher.phase()) && !self.is_closed {
                self.stream.write_all(&self.publisher.take_output()).await.unwrap();
                let read = self.stream.read(&mut buffer).await.unwrap_or(0);
                self.is_closed = read == 0;
                self.publisher.receive(Bytes::copy_from_slice(&buffer[..read])).unwrap();
            }
        };
        timeout(PATIENCE, talk).await.expect("the server does not answer");
    }

    /// Waits for the server's last word; gives code and description.
    async fn over(&mut self) -> (String, String) {
        self.until(|phase| matches!(phase, Phase::Over { .. })).await;
        let Phase::Over { code, description } = self.publisher.phase().clone() else {
            panic!("closed without a word")
        };
        (code, description)
    }

    async fn closed(&mut self) {
        self.until(|_| false).await;
    }

    async fn send(&mut self, tags: &[Tag]) {
        tags.iter().for_each(|tag| self.publisher.tag(tag));
        self.flush().await;
    }

    async fn flush(&mut self) {
        timeout(PATIENCE, self.stream.write_all(&self.publisher.take_output()))
            .await
            .unwrap()
            .unwrap();
    }

    /// Closes in good order, with everything heard: a socket closed with something unread in it
    /// would break the connection instead.
    async fn leave(mut self) {
        self.flush().await;
        self.stream.shutdown().await.unwrap();
        self.closed().await;
    }

    async fn finish(&mut self) {
        self.publisher.finish().unwrap();
        self.flush().await;
    }
}

fn signed(stream: &str) -> String {
    let time = "FFFFFFFF";
    format!("{stream}?txSecret={}&txTime={time}", tx_secret(KEY, stream, time))
}

/// An audio message on chunk stream 8 in chunks of 128 bytes, whose extended timestamp is not
/// repeated and whose last chunk begins like one.
fn doubtful() -> (Tag, Vec<u8>) {
    let time = 0x1701_0203_u32;
    let payload = [&[0xAF, 1], &[9; 126][..], &[0x17, 1]].concat();
    let wire = [
        &[0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 128][..],
        &[0x08, 0xFF, 0xFF, 0xFF, 0, 0, 130, 8, 1, 0, 0, 0],
        &time.to_be_bytes(),
        &payload[..128],
        &[0xC8],
        &payload[128..],
    ];
    let wire = wire.concat();
    (Tag { kind: TagKind::Audio, time_ms: i64::from(time), payload: payload.into() }, wire)
}

/// Tags of all sizes and kinds, recognisable by their bytes.
fn tags(count: usize) -> Vec<Tag> {
    let config = |kind, payload: &'static [u8]| Tag {
        kind,
        time_ms: 0,
        payload: Bytes::from_static(payload),
    };
    let mut tags = vec![
        config(TagKind::Script, b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x08\0\0\0\0\0\0\x09"),
        config(TagKind::Audio, b"\xAF\0\x12\x10"),
    ];
    tags.extend((0..count).map(|n| {
        let (kind, first) = match n % 3 {
            0 => (TagKind::Video, if n % 90 == 0 { 0x17 } else { 0x27 }),
            1 => (TagKind::Audio, 0xAF),
            _ => (TagKind::Audio, 0xAF),
        };
        let length = [20_000, 380, 500, 70_000, 700, 3][n % 6];
        let mut payload: Vec<u8> = (0..length).map(|i| (i * 7 + n) as u8).collect();
        payload[..2].copy_from_slice(&[first, 1]);
        Tag { kind, time_ms: n as i64 * 20, payload: payload.into() }
    }));
    tags
}

#[tokio::test]
async fn a_last_message_in_doubt_is_journaled_if_the_encoder_closed_behind_it() {
    let server = Server::start().await;
    let (last, wire) = doubtful();
    // Closed in good order, broken, and stopped by the server: those may have cut it anywhere.
    for (nth, way) in ["closed", "broken", "stopped"].into_iter().enumerate() {
        let mut client = server.publishing(&format!("s{nth}")).await;
        client.stream.write_all(&wire).await.unwrap();
        let live = || server.live.get(&server.started()[nth].path);
        match way {
            "closed" => client.leave().await,
            "broken" => {
                sleep(Duration::from_millis(300)).await;
                socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
                drop(client);
            }
            _ => {
                sleep(Duration::from_millis(300)).await;
                assert!(live().is_some());
                server.token.cancel();
            }
        }
        let (session, _, end) = server.ended(nth).await;
        let (tags, _) = server.journaled(session, end);
        let expected = if way == "closed" { std::slice::from_ref(&last) } else { &[] };
        assert_eq!(tags, expected, "{way}");
    }
}

#[tokio::test]
async fn a_push_is_journaled_as_it_came() {
    let server = Server::start().await;
    let mut client = server.publishing("s?a=b").await;
    // The journal says everything before the publisher hears that it may begin.
    let session = server.started().remove(0);
    let end = *server.live.get(&session.path).unwrap().progress.borrow();
    let (_, notes) = server.journaled(session.id, end.written);
    assert!(matches!(&notes[..], [Note::Attach { from: 0, .. }]), "{notes:?}");
    let head = server.journal.reader(session.id).unwrap().head().to_owned();
    assert_eq!(serde_json::from_str::<JournalHead>(&head).unwrap().session, session);
    assert_eq!(session.path.to_string(), "live.local/live/s");
    assert_eq!(
        (session.stream_param.as_str(), session.user_ip.as_str(), session.node_ip.as_str()),
        ("a=b", "127.0.0.1", "127.0.0.1")
    );
    assert!(!session.signed);

    let tags = tags(200);
    for part in tags.chunks(13) {
        client.send(part).await;
        sleep(Duration::from_millis(3)).await;
    }
    client.finish().await;
    let (id, reason, end) = server.ended(0).await;
    assert_eq!((id, reason), (session.id, EndReason::Unpublished));
    let (journaled, notes) = server.journaled(id, end);
    assert_eq!(journaled, tags);
    assert!(matches!(
        &notes[..],
        [Note::Attach { .. }, Note::End { reason: EndReason::Unpublished, .. }]
    ));
    eventually(|| server.live.list().is_empty().then_some(())).await;
    client.over().await;
    server.stop().await;
}

#[tokio::test]
async fn a_fast_push_is_journaled_whole() {
    let server = Server::start().await;
    for chunk_size in [128, 65536] {
        let mut client = Client::connect(server.address, "s", chunk_size).await;
        client.until(|phase| *phase == Phase::Publishing).await;
        let tags = tags(1500);
        client.send(&tags).await;
        client.leave().await;
        let nth = server.started().len() - 1;
        let (id, reason, end) = server.ended(nth).await;
        assert_eq!(reason, EndReason::Closed);
        assert_eq!(server.journaled(id, end).0, tags);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_newer_publisher_takes_over() {
    let server = Server::start().await;
    let mut old = server.publishing(&signed("s")).await;
    let tags = tags(30);
    old.send(&tags).await;
    let live = server.live.list().remove(0);
    let bytes: usize = tags.iter().map(|tag| tag.payload.len()).sum();
    eventually(|| (live.received_bytes() == bytes as u64).then_some(())).await;
    let new = server.publishing(&signed("s")).await;
    let (code, _) = old.over().await;
    assert_eq!(code, "NetStream.Unpublish.Success");
    old.closed().await;
    let (id, reason, end) = server.ended(0).await;
    let started = server.started();
    assert_eq!((id, reason), (started[0].id, EndReason::Replaced));
    assert_eq!(server.journaled(id, end).0, tags);
    let live = server.live.list();
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].session.id, started[1].id);

    // The other way round it is refused: this one has no signature.
    let mut unsigned = server.client("s").await;
    assert_eq!(unsigned.over().await.0, "NetStream.Publish.BadName");
    unsigned.closed().await;
    assert_eq!(server.live.list().len(), 1);
    new.leave().await;
    assert_eq!(server.ended(1).await.1, EndReason::Closed);
    drop(server.publishing("s").await);
    server.stop().await;
}

#[tokio::test]
async fn refused_publishers_are_told_why() {
    let server = Server::with(|settings| settings.trust_loopback = false).await;
    for (key, code, word) in [
        ("s", "NetStream.Publish.Denied", "txSecret is missing"),
        ("s?txSecret=0&txTime=FFFFFFFF", "NetStream.Publish.Denied", "does not match"),
        ("s?vhost=nowhere.example", "NetStream.Publish.BadName", "nowhere.example"),
    ] {
        let mut client = server.client(key).await;
        let (found, description) = client.over().await;
        assert_eq!(found, code);
        assert!(description.contains(word), "{description}");
        client.closed().await;
    }
    assert!(server.started().is_empty() && server.live.list().is_empty());
    drop(server.publishing(&signed("s")).await);
    server.ended(0).await;
    server.stop().await;
}

#[tokio::test]
async fn a_publish_that_cannot_be_stored_is_refused() {
    let server = Server::start().await;
    let root = server.folder.path().join("journal");
    std::fs::remove_dir_all(&root).unwrap();
    let mut client = server.client("s").await;
    let (code, description) = client.over().await;
    assert_eq!(
        (code.as_str(), description.as_str()),
        ("NetStream.Publish.Denied", "the server cannot store the stream")
    );
    client.closed().await;
    // The place is free again.
    std::fs::create_dir(&root).unwrap();
    drop(server.publishing("s").await);
    server.ended(0).await;
    server.stop().await;
}

#[tokio::test]
async fn silent_and_slow_connections_are_closed() {
    let short = Duration::from_millis(300);
    let server = Server::with(|settings| {
        settings.idle_timeout = short;
        settings.handshake_timeout = short;
    })
    .await;
    let mut stranger = TcpStream::connect(server.address).await.unwrap();
    stranger.write_all(&[3]).await.unwrap();
    let answer = timeout(PATIENCE, stranger.read_to_end(&mut Vec::new())).await.unwrap();
    assert_eq!(answer.unwrap(), 1 + 1536);
    let mut silent = server.publishing("s").await;
    assert_eq!(server.ended(0).await.1, EndReason::Idle);
    assert_eq!(silent.over().await.0, "NetStream.Unpublish.Success");
    // One that ended its publish and keeps the connection has no longer than a new one.
    let mut done = server.publishing("s").await;
    done.finish().await;
    done.closed().await;
    assert_eq!(server.ended(1).await.1, EndReason::Unpublished);
    server.stop().await;
}

#[tokio::test]
async fn limits_are_kept() {
    let server = Server::with(|settings| {
        settings.max_message_bytes = 100_000;
        settings.max_connections = 1;
    })
    .await;
    let mut client = server.publishing("s").await;
    let mut second = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(timeout(PATIENCE, second.read(&mut [0; 16])).await.unwrap().unwrap_or(0), 0);
    let tag = |length: usize| Tag {
        kind: TagKind::Video,
        time_ms: 0,
        payload: vec![0x17; length].into(),
    };
    client.send(&[tag(100_000), tag(100_001)]).await;
    let (id, reason, end) = server.ended(0).await;
    assert_eq!(reason, EndReason::TooLarge);
    assert_eq!(server.journaled(id, end).0, [tag(100_000)]);
    client.closed().await;
    server.stop().await;
}

#[tokio::test]
async fn a_live_session_takes_notes_and_can_be_ended() {
    let server = Server::start().await;
    let mut client = server.publishing("s").await;
    let live = server.live.list().remove(0);
    let note = Note::Detach { recording: RecordingId::new(0), ended_ms: 5 };
    live.control.send(Control::Note(note.to_json())).await.unwrap();
    live.control.send(Control::End(EndReason::Dropped)).await.unwrap();
    assert_eq!(client.over().await.0, "NetStream.Unpublish.Success");
    let (id, reason, end) = server.ended(0).await;
    assert_eq!(reason, EndReason::Dropped);
    let notes = server.journaled(id, end).1;
    assert_eq!(notes[1], note);
    assert!(matches!(notes[2], Note::End { reason: EndReason::Dropped, .. }));
    assert!(live.has_ended());

    let _other = server.publishing("s").await;
    server.live.list().remove(0).end(EndReason::Dropped);
    assert_eq!(server.ended(1).await.1, EndReason::Dropped);
    server.stop().await;
}

#[tokio::test]
async fn stopping_closes_publishers_and_journals() {
    let server = Server::start().await;
    let mut client = server.publishing("s").await;
    let tags = tags(40);
    client.send(&tags).await;
    let id = server.started()[0].id;
    let (journal, told, folder) =
        (server.journal.clone(), server.told.clone(), server.token.clone());
    folder.cancel();
    client.closed().await;
    let Server { running, folder, .. } = server;
    timeout(PATIENCE, running).await.unwrap().unwrap();
    let ended = || {
        told.lock()
            .unwrap()
            .iter()
            .any(|told| matches!(told, Told::Ended { reason: EndReason::Shutdown, .. }))
    };
    eventually(|| ended().then_some(())).await;
    // Closed properly: nothing to repair.
    assert_eq!(journal.recover(id).unwrap().cut_bytes, 0);
    drop(folder);
}

#[tokio::test]
async fn several_streams_share_a_connection() {
    let server = Server::start().await;
    let mut client = server.publishing("one").await;
    // By hand: publish on message stream 7, and a tag on it right behind.
    let values: [Value; 5] =
        ["publish".into(), 9.0.into(), Value::Null, "two".into(), "live".into()];
    let body = amf0::encode_all(&values);
    let mut wire = vec![20, 0, 0, 0, 0, 0, body.len() as u8, 20, 7, 0, 0, 0];
    wire.extend_from_slice(&body);
    wire.extend_from_slice(&[21, 0, 0, 9, 0, 0, 3, 8, 7, 0, 0, 0, 0xAF, 1, 2]);
    client.stream.write_all(&wire).await.unwrap();
    eventually(|| (server.live.list().len() == 2).then_some(())).await;
    client.send(&tags(3)).await;
    client.finish().await;
    let (one, reason, end) = server.ended(0).await;
    assert_eq!((reason, server.journaled(one, end).0), (EndReason::Unpublished, tags(3)));
    client.leave().await;
    let (two, reason, end) = server.ended(1).await;
    assert_eq!(reason, EndReason::Closed);
    let tag = Tag { kind: TagKind::Audio, time_ms: 9, payload: Bytes::from_static(&[0xAF, 1, 2]) };
    assert_eq!(server.journaled(two, end).0, [tag]);
    server.stop().await;
}

#[tokio::test]
async fn garbage_leaves_others_alone() {
    let server = Server::start().await;
    let mut client = server.publishing("s").await;
    let tags = tags(60);
    for (n, part) in tags.chunks(3).enumerate() {
        let mut stranger = TcpStream::connect(server.address).await.unwrap();
        let garbage: Vec<u8> =
            (0..5000 + n).map(|i| if i == 0 { 3 } else { (i * n) as u8 }).collect();
        let _ = stranger.write_all(&garbage).await;
        client.send(part).await;
    }
    client.finish().await;
    let (id, _, end) = server.ended(0).await;
    assert_eq!(server.journaled(id, end).0, tags);
    server.stop().await;
}
