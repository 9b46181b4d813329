//! Hostile senders: whatever arrives on the sockets, the server stays up, its memory stays flat and
//! an honest stream beside it loses nothing. Senders are no reason to wake an operator: not one
//! WARN or ERROR may come of this (the server of these tests checks that when it is stopped).

mod http;
mod sender;

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use liverec::media::tag::{Tag, TagKind};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use self::sender::{attack, damage, good_connection, hostile_bytes};
use crate::support::{
    ffmpeg::{Codecs, make_source},
    publisher::{LivePush, Pusher, parse_tags, read_tags},
    receiver::{Receiver, SIGN_KEY},
    server::{Backend, PATIENCE, Server, eventually, fetch},
};

const CONNECTIONS: usize = 10_000;
/// Connections at a time.
const THREADS: usize = 32;
/// Resident memory that may be added by all of it, in KiB: buffers and the allocator's own.
const MAX_GROWTH_KIB: u64 = 64 << 10;

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
        let ended: Value =
            receiver.of_type(0).into_iter().find(|e| e["stream_id"] == "honest").unwrap();
        assert_eq!(ended["errcode"], 1, "{ended}");
        let found = parse_tags(&fetch(file["video_url"].as_str().unwrap()));
        assert!(media(&found) == media(&sent), "the honest stream lost or changed something");
        eventually("nobody is live", || {
            (server.metric("liverec_streams_live") == 0.0).then_some(())
        });
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
    let stranger =
        good_connection(&format!("guest?txSecret={}&txTime=7FFFFFFF", "0".repeat(32)), &tags);
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
                        attack(server.rtmp, &bytes, !number.is_multiple_of(4));
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
        (honest.receiver.of_type(100).iter().filter(|event| is_flv(event)).count() == 40)
            .then_some(())
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

#[test]
fn slow_senders_are_let_go_and_harm_nobody() {
    let honest = Honest::start(&[("rtmp.handshake_timeout", "2s")]);
    let server = &honest.server;
    let good = good_connection("slow", &[]);
    let mut sockets: Vec<TcpStream> =
        (0..64).map(|_| TcpStream::connect(server.rtmp).unwrap()).collect();
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
