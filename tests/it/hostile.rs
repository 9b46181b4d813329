//! Hostile senders: whatever arrives on the sockets, the server stays up, its memory stays flat and
//! an honest stream beside it loses nothing. Senders are no reason to wake an operator: not one
//! WARN or ERROR may come of this (the server of these tests checks that when it is stopped).

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use bytes::Bytes;
use liverec::{
    media::tag::{Tag, TagKind},
    rtmp::{
        publisher::{Phase, Publisher, Target},
        session::{Event, ServerSession},
    },
};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::support::{
    api::{LIVE, signed},
    ffmpeg::{Codecs, make_source},
    publisher::{LivePush, Pusher, parse_tags, read_tags},
    receiver::{Receiver, SIGN_KEY},
    server::{Backend, PATIENCE, SECRET_ID, SECRET_KEY, Server, eventually, fetch},
};

const CONNECTIONS: usize = 10_000;
/// Connections at a time.
const THREADS: usize = 32;
/// Resident memory that may be added by all of it, in KiB: buffers and the allocator's own.
const MAX_GROWTH_KIB: u64 = 64 << 10;
/// Bytes of handshake in what a publisher sends: C0, C1, C2.
const HANDSHAKE: usize = 1 + 2 * 1536;

/// Every byte that a publisher sends in a connection where all goes well.
fn good_connection(key: &str, tags: &[Tag]) -> Vec<u8> {
    let target = Target { app: "attack".to_owned(), tc_url: "rtmp://127.0.0.1/attack".to_owned(), key: key.to_owned() };
    let mut publisher = Publisher::new(target, 4096).unwrap();
    let mut server = ServerSession::new(1 << 20);
    let mut sent = Vec::new();
    while publisher.phase() != &Phase::Publishing {
        let output = publisher.take_output();
        sent.extend_from_slice(&output);
        server.receive(Bytes::from(output)).unwrap();
        while let Some(event) = server.next_event().unwrap() {
            if let Event::Publish(request) = event {
                server.accept(request.stream).unwrap();
            }
        }
        publisher.receive(Bytes::from(server.take_output())).unwrap();
    }
    for tag in tags {
        publisher.tag(tag);
    }
    publisher.finish().unwrap();
    sent.extend_from_slice(&publisher.take_output());
    sent
}

/// What one hostile connection sends; the same for the same number.
fn hostile_bytes(number: usize, good: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let place = |random: &mut StdRng, from: usize, to: usize| random.random_range(from..to);
    match number % 10 {
        // Nothing of RTMP.
        0 => return noise(random, 6000),
        // A handshake, then noise.
        1 => {
            bytes.truncate(HANDSHAKE);
            bytes.extend(noise(random, 6000));
        }
        // Bits flipped anywhere behind the handshake, mostly in the commands.
        2 | 3 => {
            let end = if number % 3 == 0 { bytes.len() } else { HANDSHAKE + 700 };
            for _ in 0..random.random_range(1..20) {
                let at = place(random, HANDSHAKE, end);
                bytes[at] ^= 1 << random.random_range(0..8);
            }
        }
        // Cut off.
        4 => bytes.truncate(place(random, 1, good.len())),
        // A piece repeated.
        5 => {
            let (from, length) = (place(random, HANDSHAKE, good.len()), random.random_range(1..3000));
            let piece = good[from..(from + length).min(good.len())].to_vec();
            let at = place(random, HANDSHAKE, good.len());
            for _ in 0..random.random_range(1..20) {
                bytes.splice(at..at, piece.iter().copied());
            }
        }
        // A piece left out.
        6 => {
            let from = place(random, HANDSHAKE, good.len() - 1);
            let to = place(random, from, good.len());
            bytes.drain(from..to.min(from + 500));
        }
        // Chunks of every chunk stream, kind and length, huge ones among them.
        7 => {
            bytes.truncate(place(random, HANDSHAKE, good.len()));
            for _ in 0..random.random_range(1..200) {
                bytes.extend(random_chunk(random));
            }
        }
        // Commands and script data nested without end, or counted without end.
        8 => {
            bytes.truncate(HANDSHAKE);
            let type_id = [20, 17, 18, 15][random.random_range(0..4)];
            bytes.extend(message(type_id, &amf_bomb(random)));
        }
        // Chunk sizes and aggregates that lie.
        _ => {
            let at = place(random, HANDSHAKE, good.len());
            let lie = match random.random_range(0..4) {
                0 => message(1, &random.next_u32().to_be_bytes()),
                1 => message(22, &noise(random, 3000)),
                2 => message(5, &[0, 0, 0, 1]),
                _ => message(1, &[0, 0, 0, 0]),
            };
            bytes.splice(at..at, lie);
        }
    }
    bytes
}

fn noise(random: &mut StdRng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..most)];
    random.fill_bytes(&mut bytes);
    if bytes.len() % 2 == 0 {
        // Past the first check.
        bytes.insert(0, 3);
    }
    bytes
}

fn random_chunk(random: &mut StdRng) -> Vec<u8> {
    let kind = random.random_range(0..4u8);
    let mut chunk = vec![kind << 6 | random.random_range(0..64u8)];
    match chunk[0] & 0x3F {
        0 => chunk.push(random.random()),
        1 => chunk.extend([random.random(), random.random::<u8>()]),
        _ => {}
    }
    let mut header = [0; 11];
    random.fill_bytes(&mut header);
    if random.random_bool(0.5) {
        header[3] = 0xFF; // length
        header[4] = 0xFF;
    }
    if random.random_bool(0.3) {
        header[..3].fill(0xFF); // extended timestamp
    }
    let length = [11, 7, 3, 0][usize::from(kind)];
    chunk.extend_from_slice(&header[..length]);
    chunk.extend(std::iter::repeat_n(random.random::<u8>(), random.random_range(0..300)));
    chunk
}

/// A message on chunk stream 3 of message stream 0, in chunks of the initial size.
fn message(type_id: u8, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![3, 0, 0, 0];
    bytes.extend(length);
    bytes.extend([type_id, 0, 0, 0, 0]);
    for (index, chunk) in payload.chunks(128).enumerate() {
        if index > 0 {
            bytes.push(0xC3);
        }
        bytes.extend_from_slice(chunk);
    }
    bytes
}

fn amf_bomb(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = b"\x02\0\x07connect\0\x3F\xF0\0\0\0\0\0\0".to_vec();
    match random.random_range(0..5) {
        // Objects in objects.
        0 => (0..8000).for_each(|_| bytes.extend(b"\x03\0\x01a")),
        // Arrays in arrays, each said to be long.
        1 => (0..8000).for_each(|_| bytes.extend(b"\x0A\xFF\xFF\xFF\xFF")),
        // A dictionary said to be endless.
        2 => bytes.extend(b"\x08\xFF\xFF\xFF\xFF\0\x01a"),
        // A long string that is not there.
        3 => bytes.extend(b"\x0C\xFF\xFF\xFF\xF0abc"),
        // Very many small values.
        _ => bytes.extend(std::iter::repeat_n(5, 40_000)),
    }
    bytes
}

/// Sends it all, and now and then waits for what the server has to say.
fn attack(server: SocketAddr, bytes: &[u8], is_polite: bool) {
    let Ok(mut socket) = TcpStream::connect(server) else { return };
    socket.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    // The server may close at any moment.
    let _ = socket.write_all(bytes);
    if is_polite {
        let _ = socket.shutdown(Shutdown::Write);
        let mut rest = [0; 4096];
        while matches!(socket.read(&mut rest), Ok(read) if read > 0) {}
    }
}

/// Resident memory of the server, in KiB.
fn resident_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn media(tags: &[Tag]) -> Vec<Tag> {
    tags.iter().filter(|tag| tag.kind != TagKind::Script).cloned().collect()
}

/// A server with an honest stream in its midst, and what must have become of it.
struct Honest {
    server: Server,
    receiver: Receiver,
    push: LivePush,
}

impl Honest {
    fn start(settings: &[(&str, &str)]) -> Self {
        let server = Server::start(Backend::Plain, settings);
        let receiver = Receiver::start();
        server.live("DeleteLiveRecordRule", json!({"DomainName": "live.local"}));
        server.record("live", "honest", &["Flv"], 3600);
        server.call_back(&receiver.url(), SIGN_KEY);
        let source = server.folder().join("honest.flv");
        make_source(Codecs::H264Aac, 4, &source);
        let key = server.signed_key("live.local", "live", "honest");
        let pusher = Pusher::connect(server.rtmp, &key, 4096).accepted();
        let push = LivePush::start(pusher, read_tags(&source));
        Self { server, receiver, push }
    }

    /// The server is well and the honest stream whole.
    fn finish(self) {
        let Self { mut server, receiver, push } = self;
        assert_eq!(fetch(&format!("{}/healthz", server.base_url())), b"ok\n");
        let sent = push.stop();
        let file = eventually("the honest file", || {
            receiver.of_type(100).into_iter().find(|event| event["stream_id"] == "honest")
        });
        let ended: Value = receiver.of_type(0).into_iter().find(|e| e["stream_id"] == "honest").unwrap();
        assert_eq!(ended["errcode"], 1, "{ended}");
        let found = parse_tags(&fetch(file["video_url"].as_str().unwrap()));
        assert!(media(&found) == media(&sent), "the honest stream lost or changed something");
        eventually("nobody is live", || (server.metric("liverec_streams_live") == 0.0).then_some(()));
        server.stop();
        assert_eq!(server.logs.count("panicked"), 0, "{}", server.logs.text());
    }
}

#[test]
fn ten_thousand_hostile_connections() {
    let honest = Honest::start(&[("rtmp.handshake_timeout", "3s")]);
    let server = &honest.server;
    let source = server.folder().join("hostile.flv");
    make_source(Codecs::H264Aac, 1, &source);
    let tags: Vec<Tag> = read_tags(&source).into_iter().take(40).collect();
    // Most are nobody's; a few come from a publisher who may publish but sends garbage.
    let stranger = good_connection(&format!("guest?txSecret={}&txTime=7FFFFFFF", "0".repeat(32)), &tags);
    let guest = good_connection("guest", &tags);
    let wave = |from: usize, to: usize| {
        let next = AtomicUsize::new(from);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= to {
                            return;
                        }
                        let mut random = StdRng::seed_from_u64(number as u64);
                        let good = if number % 25 == 2 { &guest } else { &stranger };
                        let bytes = hostile_bytes(number, good, &mut random);
                        attack(server.rtmp, &bytes, number % 4 != 0);
                    }
                });
            }
        });
    };
    // What the first ones make the server and the allocator set up is no leak.
    wave(0, CONNECTIONS / 10);
    let before = resident_kib(server);
    wave(CONNECTIONS / 10, CONNECTIONS);
    let after = resident_kib(server);
    assert!(after < before + MAX_GROWTH_KIB, "resident memory grew from {before} to {after} KiB");
    assert!(server.metric("liverec_refusals_total{reason=\"protocol\"}") > 1000.0);
    assert!(server.metric("liverec_refusals_total{reason=\"bad_signature\"}") > 1000.0);
    honest.finish();
}

#[test]
fn hostile_publishers_cannot_hurt_other_recordings() {
    let honest = Honest::start(&[]);
    let server = &honest.server;
    // Everything is recorded in every format now, garbage too.
    server.record("attack", "", &["Flv", "Hls", "Mp4", "Aac"], 3600);
    let source = server.folder().join("hostile.flv");
    make_source(Codecs::H264Aac, 1, &source);
    let tags = read_tags(&source);
    thread::scope(|scope| {
        for thread in 0..8u64 {
            let tags = &tags;
            scope.spawn(move || {
                for round in 0..5 {
                    let mut random = StdRng::seed_from_u64(1000 * thread + round);
                    let mut tags = tags.clone();
                    for _ in 0..random.random_range(1..60) {
                        let at = random.random_range(0..tags.len());
                        damage(&mut tags[at], &mut random);
                    }
                    let good = good_connection(&format!("garbage-{thread}-{round}"), &tags);
                    attack(server.rtmp, &good, true);
                }
            });
        }
    });
    // FLV takes whatever was sent; of the others each became a file or failed with a reason, and
    // none is left in between.
    let is_flv = |event: &Value| event["appname"] == "attack" && event["file_format"] == "flv";
    eventually("40 FLV files", || {
        (honest.receiver.of_type(100).iter().filter(|event| is_flv(event)).count() == 40).then_some(())
    });
    eventually("everything else is delivered", || {
        let backlog = server.metric("liverec_delivery_backlog");
        let recording = server.metric("liverec_recordings{state=\"recording\"}");
        (backlog == 0.0 && recording <= 1.0).then_some(())
    });
    assert_eq!(honest.receiver.of_type(100).iter().filter(|event| is_flv(event)).count(), 40);
    // A rule asked for these files: that some cannot be made is for the operator to know.
    let mut honest = honest;
    honest.server.expect("a media file cannot be made; its journal is kept");
    honest.finish();
}

/// Changes a tag as a broken or hostile encoder might.
fn damage(tag: &mut Tag, random: &mut StdRng) {
    let mut payload = tag.payload.to_vec();
    match random.random_range(0..6) {
        0 => payload.truncate(random.random_range(0..8)),
        1 => {
            let at = random.random_range(0..payload.len().clamp(1, 64));
            if let Some(byte) = payload.get_mut(at) {
                *byte = random.random();
            }
        }
        2 => tag.time_ms = random.random_range(0..1 << 32),
        3 => tag.kind = [TagKind::Audio, TagKind::Video, TagKind::Script][random.random_range(0..3)],
        4 => {
            payload = vec![0; random.random_range(1..2000)];
            random.fill_bytes(&mut payload);
        }
        _ => payload.clear(),
    }
    tag.payload = Bytes::from(payload);
}

#[test]
fn slow_senders_are_let_go_and_harm_nobody() {
    let honest = Honest::start(&[("rtmp.handshake_timeout", "2s")]);
    let server = &honest.server;
    let good = good_connection("slow", &[]);
    let mut sockets: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(server.rtmp).unwrap()).collect();
    let begun = Instant::now();
    // A byte now and then is no progress.
    let mut at = 0;
    while !sockets.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{} are still connected", sockets.len());
        sockets.retain_mut(|socket| {
            socket.set_nonblocking(true).unwrap();
            let is_gone = matches!(socket.read(&mut [0; 4096]), Ok(0))
                || matches!(socket.write(&good[at..=at]), Err(error) if error.kind() != ErrorKind::WouldBlock);
            !is_gone
        });
        at += 1;
        sleep(Duration::from_millis(100));
    }
    assert!(begun.elapsed() >= Duration::from_secs(2));
    honest.finish();
}

#[test]
fn http_takes_no_nonsense() {
    let honest = Honest::start(&[]);
    let server = &honest.server;
    let before = resident_kib(server);
    let mut random = StdRng::seed_from_u64(7);
    for number in 0..500 {
        let mut bytes = noise(&mut random, 3000);
        if number % 2 == 0 {
            bytes.splice(0..0, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n".iter().copied());
        }
        attack(server.http, &bytes, true);
    }

    // Bodies that are larger than any request may be, said so or not.
    let large = vec![b'a'; 12 << 20];
    for head in [
        "Content-Type: application/json\r\nAuthorization: TC3-HMAC-SHA256 Credential=a/b/c/tc3_request, SignedHeaders=host, Signature=00\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
    ] {
        let mut request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n", large.len())
                .into_bytes();
        request.extend_from_slice(&large);
        let answer = exchange(server.http, &request);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"Error\""), "{answer:.200}");
    }
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-Header: b\r\n".repeat(100_000));
    let answer = exchange(server.http, many.as_bytes());
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer:.200}");

    // Signed, so that they reach whoever reads parameters.
    let call = |query: &str, body: &str| {
        let pair = [SECRET_ID, SECRET_KEY];
        let text = signed(server.http, pair, LIVE, "DescribeLiveRecordTemplates", query, body);
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["Response"]["Error"]["Code"].as_str().unwrap_or_else(|| panic!("taken: {text:.300}")).to_owned()
    };
    for open in ["[", "{\"A\":", "{\"A\":["] {
        assert_eq!(call("", &format!("{{\"A\":{}", open.repeat(100_000))), "InvalidRequest");
        let close = if open == "[" { "]" } else { "}" };
        if open != "{\"A\":[" {
            let inner = if open == "[" { "" } else { "1" };
            let deep = format!("{{\"A\":{}{inner}{}}}", open.repeat(5000), close.repeat(5000));
            assert_eq!(call("", &deep), "InvalidRequest");
        }
    }
    let wide = format!("{{\"A\":[{}1]}}", "1,".repeat(1_000_000));
    assert!(call("", &wide).starts_with("Invalid") || call("", &wide) == "UnknownParameter");
    for query in [
        "A.999999999=1".to_owned(),
        "A.0=1&A.2=1".to_owned(),
        "A.18446744073709551616=1".to_owned(),
        format!("A{}=1", ".0".repeat(10_000)),
        format!("A{}=1", ".B".repeat(500)),
        "A=1&A.0=2".to_owned(),
    ] {
        assert_eq!(call(&query, ""), "InvalidParameter", "{query:.60}");
    }
    for body in ["", "[]", "null", "\"x\"", "{\"TemplateId\":1e999}", "{", "\u{0}", "{\"A\":1,\"A\":2}"] {
        let text = signed(server.http, [SECRET_ID, SECRET_KEY], LIVE, "DescribeLiveRecordTemplate", "", body);
        assert!(text.contains("\"Error\""), "{body}: {text}");
    }

    let after = resident_kib(server);
    assert!(after < before + MAX_GROWTH_KIB, "resident memory grew from {before} to {after} KiB");
    honest.finish();
}

#[test]
fn no_path_leads_out_of_the_store() {
    let honest = Honest::start(&[]);
    let server = &honest.server;
    fs::write(server.data_dir().join("vod/../outside.txt"), "OUTSIDE").unwrap();
    fs::create_dir_all(server.data_dir().join("vod/.tmp")).unwrap();
    fs::write(server.data_dir().join("vod/.tmp/unfinished"), "OUTSIDE").unwrap();
    let long = "a/".repeat(20_000);
    for path in [
        "../outside.txt", "%2e%2e/outside.txt", "..%2foutside.txt", "%2e%2e%2foutside.txt", ".%2e/outside.txt",
        "a/../../outside.txt", "a/%2e%2e/%2e%2e/outside.txt", "..%5coutside.txt", "..\\outside.txt",
        "%252e%252e/outside.txt", "..%00/outside.txt", "%00", "live.local%00", "/etc/passwd", "//etc/passwd",
        "%2fetc%2fpasswd", "....//outside.txt", "..;/outside.txt", ".tmp/unfinished", "%2etmp/unfinished",
        "", ".", "..", "%", "%f", "%zz", "%ff%fe", "live.local", "live.local/", &long,
    ] {
        for method in ["GET", "HEAD"] {
            let request = format!("{method} /vod/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = exchange(server.http, request.as_bytes());
            let status: u32 = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
            assert!([400, 404, 414, 431].contains(&status), "{method} {path:.60}: {answer:.200}");
            assert!(!answer.contains("OUTSIDE") && !answer.contains("root:"), "{path}");
        }
    }
    honest.finish();
}

/// Sends bytes and reads the answer to its end, for at most a few seconds.
fn exchange(server: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut reader = socket.try_clone().unwrap();
    let answer = thread::spawn(move || {
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = reader.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    });
    // The server may answer and close before it has read everything.
    let _ = socket.write_all(bytes);
    answer.join().unwrap()
}
