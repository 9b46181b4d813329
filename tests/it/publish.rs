//! Publishes as encoders begin and end them, and those that are refused: what the encoder is told,
//! what the operator can see, and that whatever was accepted is in the product.

use std::{
    io::Read,
    net::TcpStream,
    thread::sleep,
    time::{Duration, Instant},
};

use bytes::Bytes;
use liverec::media::tag::{Tag, TagKind};
use rml_amf0::Amf0Value;
use serde_json::Value;

use crate::support::{
    ffmpeg::{Codecs, make_source},
    publisher::{LivePush, Pusher, parse_tags, read_tags},
    raw::Raw,
    receiver::{Receiver, SIGN_KEY},
    run,
    server::{Backend, PATIENCE, Server, eventually, fetch},
};

fn source(server: &Server) -> Vec<Tag> {
    let path = server.folder().join("source.flv");
    make_source(Codecs::H264Aac, 2, &path);
    read_tags(&path)
}

/// A server that records FLV of whatever comes to the application `live`.
fn recording_flv(settings: &[(&str, &str)]) -> (Server, Receiver) {
    let server = Server::start(Backend::Plain, settings);
    let receiver = Receiver::start();
    server.record("live", "", &["Flv"], 3600);
    server.call_back(&receiver.url(), SIGN_KEY);
    (server, receiver)
}

fn product(receiver: &Receiver, stream: &str) -> Vec<Tag> {
    let file = eventually(&format!("the file of {stream}"), || {
        receiver.of_type(100).into_iter().find(|event| event["stream_id"] == stream)
    });
    parse_tags(&fetch(file["video_url"].as_str().unwrap()))
}

fn media(tags: &[Tag]) -> Vec<Tag> {
    tags.iter().filter(|tag| tag.kind != TagKind::Script).cloned().collect()
}

#[test]
fn refused_publishes_are_answered_logged_and_counted() {
    let server = Server::start(Backend::Plain, &[("rtmp.trust_loopback", "false")]);
    let host = server.rtmp.to_string();
    let arguments = ["push-url", "live.local", "live", "old", "--expires", "1s", "--host", &host];
    let text = String::from_utf8(run(server.cli().args(arguments))).unwrap();
    let expired = text
        .lines()
        .find_map(|line| line.strip_prefix("OBS stream key:"))
        .unwrap()
        .trim()
        .to_owned();
    // txTime is in whole seconds, and the second itself still counts.
    sleep(Duration::from_millis(2500));
    let good = server.signed_key("live.local", "live", "good");
    let (_, good_param) = good.split_once('?').unwrap();
    let wrong = format!("cam?txSecret={}&txTime=7FFFFFFF", "0123456789abcdef".repeat(2));
    let (denied, bad_name) = ("NetStream.Publish.Denied", "NetStream.Publish.BadName");
    let cases = [
        ("unsigned", "cam".to_owned(), denied, "txSecret is missing"),
        ("bad_signature", wrong, denied, "txSecret"),
        ("bad_signature", format!("other?{good_param}"), denied, "txSecret"),
        ("expired", expired, denied, "txTime has passed"),
        ("bad_time", "cam?txSecret=00&txTime=zz".to_owned(), denied, "zz"),
        (
            "unknown_domain",
            format!("{good}&vhost=unknown.example.com"),
            bad_name,
            "unknown.example.com",
        ),
        (
            "conflicting_domains",
            format!("{good}&vhost=live.local&domain=b.example.com"),
            bad_name,
            "b.example.com",
        ),
    ];
    for (index, (reason, key, code, part)) in cases.iter().enumerate() {
        let metric = format!("liverec_refusals_total{{reason=\"{reason}\"}}");
        let before = server.metric(&metric);
        let refusal = Pusher::connect(server.rtmp, key, 4096).refusal();
        assert_eq!(refusal.0, *code, "{key}");
        assert!(refusal.1.contains(part), "{key}: {}", refusal.1);
        assert_eq!(server.metric(&metric), before + 1.0, "{reason}");
        let lines = server.logs.count("publish refused: ");
        assert_eq!(lines, index + 1, "one line each");
        let line = server
            .logs
            .text()
            .lines()
            .rfind(|line| line.contains("publish refused"))
            .unwrap()
            .to_owned();
        assert!(line.contains(" INFO ") && line.contains(reason) && line.contains(part), "{line}");
    }
    Pusher::connect(server.rtmp, &good, 4096).accepted().finish();
    let text = server.logs.text();
    for secret in ["0123456789abcdef0123456789abcdef", good_param] {
        assert!(!text.contains(secret), "a signature is in the log");
    }
}

#[test]
fn an_address_signed_by_push_url_is_accepted() {
    let server = Server::start(Backend::Plain, &[("rtmp.trust_loopback", "false")]);
    server.record("live", "", &["Flv"], 3600);
    let key = server.signed_key("live.local", "live", "camera 1");
    Pusher::connect(server.rtmp, &key, 4096).accepted().finish();
    // In capitals, as some tools write hexadecimal numbers.
    let (name, param) = key.split_once('?').unwrap();
    let param: Vec<String> = param
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some(("txSecret", secret)) => format!("txSecret={}", secret.to_uppercase()),
            _ => pair.to_owned(),
        })
        .collect();
    let key = format!("{name}?{}", param.join("&"));
    Pusher::connect(server.rtmp, &key, 4096).accepted().finish();
    assert_eq!(server.metric("liverec_refusals_total{reason=\"bad_signature\"}"), 0.0);
}

#[test]
fn whoever_wants_to_play_hears_that_liverec_records_only() {
    let server = Server::start(Backend::Plain, &[]);
    for command in ["play", "play2"] {
        let mut raw = Raw::connect(&server);
        raw.connect_command(Some("live"));
        let stream = raw.create_stream(2.0);
        raw.command(stream, command, 0.0, Amf0Value::Null, &["cam?token=topsecret"]);
        raw.send();
        let said = raw.wait_for("NetStream.Play.Failed");
        assert_eq!(said.level, "error");
        assert!(said.description.contains("records only"), "{said:?}");
    }
    eventually("both are counted", || {
        (server.metric("liverec_refusals_total{reason=\"play\"}") == 2.0).then_some(())
    });
    assert!(server.logs.text().contains("refused: play"));
    assert!(!server.logs.text().contains("topsecret"));
}

#[test]
fn a_connect_without_an_application_is_rejected() {
    let server = Server::start(Backend::Plain, &[]);
    let mut raw = Raw::connect(&server);
    raw.connect_command(None);
    raw.send();
    let said = raw.wait_for("NetConnection.Connect.Rejected");
    assert_eq!(said.level, "error");
    assert!(said.description.contains("application"), "{said:?}");
    raw.expect_end();
    assert_eq!(server.metric("liverec_refusals_total{reason=\"connect\"}"), 1.0);
}

#[test]
fn a_newer_publisher_takes_over_unless_only_the_older_is_signed() {
    let (server, receiver) = recording_flv(&[]);
    let tags = source(&server);
    let signed = server.signed_key("live.local", "live", "cam");
    let events = |event_type: i64, count: usize| {
        eventually(&format!("{count} events {event_type}"), || {
            let events = receiver.of_type(event_type);
            (events.len() >= count).then_some(events)
        })
    };

    // Unsigned, replaced by a signed one.
    let mut first = Pusher::connect(server.rtmp, "cam", 4096).accepted();
    first.send(&tags);
    let mut second = Pusher::connect(server.rtmp, &signed, 4096).accepted();
    let (code, description) = first.wait_until_over();
    assert_eq!(code, "NetStream.Unpublish.Success");
    assert!(description.contains("replaced"), "{description}");
    let ended = events(0, 1).remove(0);
    assert_eq!(ended["errcode"], 21, "{ended}");
    assert!(ended["errmsg"].as_str().unwrap().contains("102"), "{ended}");

    // An unsigned one does not get in.
    let refusal = Pusher::connect(server.rtmp, "cam", 4096).refusal();
    assert_eq!(refusal.0, "NetStream.Publish.BadName");
    assert_eq!(server.metric("liverec_refusals_total{reason=\"occupied\"}"), 1.0);
    assert_eq!(server.metric("liverec_streams_live"), 1.0);
    second.send(&tags);

    // Another signed one does, and the stream is never without a publisher.
    let mut third = Pusher::connect(server.rtmp, &signed, 4096).accepted();
    second.wait_until_over();
    third.send(&tags);
    third.finish();
    let ends = events(0, 3);
    assert_eq!(ends[1]["errcode"], 21);
    assert_eq!(ends[2]["errcode"], 1);

    // The end of the old is told before the beginning of the new.
    let story: Vec<(i64, String)> = receiver
        .events()
        .iter()
        .filter(|e| [0, 1].contains(&e["event_type"].as_i64().unwrap()))
        .map(|e| (e["event_type"].as_i64().unwrap(), e["sequence"].as_str().unwrap().to_owned()))
        .collect();
    let kinds: Vec<i64> = story.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [1, 0, 1, 0, 1, 0]);
    assert!(story.chunks(2).all(|pair| pair[0].1 == pair[1].1), "{story:?}");

    // Nothing of anybody is lost.
    let files = receiver.wait_for(100, 3);
    for file in files {
        let found = parse_tags(&fetch(file["video_url"].as_str().unwrap()));
        assert_eq!(media(&found), media(&tags));
    }
}

#[test]
fn one_connection_publishes_two_streams() {
    let (server, receiver) = recording_flv(&[]);
    let tags = source(&server);
    let mut raw = Raw::connect(&server);
    raw.connect_command(Some("live"));
    let (one, other) = (raw.create_stream(2.0), raw.create_stream(3.0));
    assert_ne!(one, other);
    for (stream, name) in [(one, "one"), (other, "other")] {
        raw.command(stream, "publish", 0.0, Amf0Value::Null, &[name, "live"]);
        raw.send();
        raw.wait_for("NetStream.Publish.Start");
    }
    let (half, whole) = (tags.len() / 2, tags.len());
    for (index, tag) in tags.iter().enumerate() {
        raw.tag(one, tag);
        if index < half {
            raw.tag(other, tag);
        }
    }
    raw.send();
    // One ends, the other goes on.
    raw.command(other, "closeStream", 0.0, Amf0Value::Null, &[]);
    raw.send();
    assert_eq!(media(&product(&receiver, "other")), media(&tags[..half]));
    assert_eq!(server.metric("liverec_streams_live"), 1.0);
    let shift = 10_000;
    let more: Vec<Tag> =
        tags.iter().map(|tag| Tag { time_ms: tag.time_ms + shift, ..tag.clone() }).collect();
    for tag in media(&more) {
        raw.tag(one, &tag);
    }
    raw.send();
    drop(raw);
    let mut wanted = media(&tags[..whole]);
    wanted.extend(media(&more));
    assert_eq!(media(&product(&receiver, "one")), wanted);
}

#[test]
fn media_sent_before_the_answer_to_publish_is_kept() {
    let (server, receiver) = recording_flv(&[]);
    let tags = source(&server);
    let mut raw = Raw::connect(&server);
    raw.connect_command(Some("live"));
    raw.command(0, "createStream", 2.0, Amf0Value::Null, &[]);
    raw.command(1, "publish", 3.0, Amf0Value::Null, &["eager", "live"]);
    for tag in &tags {
        raw.tag(1, tag);
    }
    raw.command(0, "FCUnpublish", 4.0, Amf0Value::Null, &["eager"]);
    raw.send();
    raw.wait_for("NetStream.Publish.Start");
    assert_eq!(media(&product(&receiver, "eager")), media(&tags));
}

#[test]
fn every_chunk_size_gives_the_same_product() {
    let (server, receiver) = recording_flv(&[]);
    let tags = source(&server);
    for size in [1, 2, 128, 4096, 65536, 16_777_215] {
        let name = format!("chunk{size}");
        let mut pusher = Pusher::connect(server.rtmp, &name, size).accepted();
        pusher.send(&tags);
        pusher.finish();
        assert_eq!(media(&product(&receiver, &name)), media(&tags), "chunk size {size}");
    }
}

#[test]
fn every_script_message_is_in_the_product_where_it_was_sent() {
    let (server, receiver) = recording_flv(&[]);
    let mut tags = source(&server);
    let script = |name: &str, time_ms: i64| {
        let text = Amf0Value::Utf8String("字幕 & <b>".to_owned());
        let object = Amf0Value::Object([("text".to_owned(), text)].into());
        let payload =
            rml_amf0::serialize(&vec![Amf0Value::Utf8String(name.to_owned()), object]).unwrap();
        Tag { kind: TagKind::Script, time_ms, payload: Bytes::from(payload) }
    };
    for (at, name) in [(60, "onTextData"), (90, "onCuePoint"), (91, "onUserDefined")] {
        let time_ms = tags[at].time_ms;
        tags.insert(at, script(name, time_ms));
    }
    let mut pusher = Pusher::connect(server.rtmp, "scripts", 4096).accepted();
    pusher.send(&tags);
    pusher.finish();
    let found = product(&receiver, "scripts");
    // The first onMetaData is the file's own, made from the encoder's.
    let is_metadata =
        |tag: &Tag| tag.kind == TagKind::Script && tag.payload.starts_with(b"\x02\0\x0aonMetaData");
    assert!(is_metadata(&found[0]) && is_metadata(&tags[0]));
    assert_eq!(found[1..], tags[1..]);
}

#[test]
fn callbacks_that_are_refused_are_sent_again() {
    let (server, receiver) = recording_flv(&[]);
    let tags = source(&server);
    receiver.refuse(3);
    let mut pusher = Pusher::connect(server.rtmp, "again", 4096).accepted();
    pusher.send(&tags);
    pusher.finish();
    for (event_type, count) in [(1, 1), (0, 1), (332, 2), (100, 1)] {
        assert_eq!(receiver.wait_for(event_type, count).len(), count, "event {event_type}");
    }
    assert!(server.metric("liverec_callbacks_total{outcome=\"retried\"}") >= 3.0);
}

#[test]
fn health_readiness_and_metrics_are_there() {
    let (server, receiver) = recording_flv(&[]);
    let base = server.base_url();
    assert_eq!(fetch(&format!("{base}/healthz")), b"ok\n");
    assert_eq!(fetch(&format!("{base}/readyz")), b"ready\n");
    let tags = source(&server);
    let sent: usize = tags.iter().map(|tag| tag.payload.len()).sum();
    let live = LivePush::start(Pusher::connect(server.rtmp, "seen", 4096).accepted(), tags.clone());
    assert_eq!(server.metric("liverec_streams_live"), 1.0);
    let is_recording = || server.metric("liverec_recordings{state=\"recording\"}") >= 1.0;
    eventually("a recording is counted", || is_recording().then_some(()));
    sleep(Duration::from_millis(500));
    live.stop();
    receiver.wait_for(100, 1);
    let mut pusher = Pusher::connect(server.rtmp, "more", 4096).accepted();
    pusher.send(&tags);
    pusher.finish();
    let refused = Pusher::connect(server.rtmp, "x?domain=nowhere.example.com", 4096);
    assert!(!refused.refusal().0.is_empty());
    receiver.wait_for(100, 2);
    receiver.wait_for(0, 2);
    assert_eq!(server.metric("liverec_streams_live"), 0.0);
    for name in ["liverec_ingest_bytes_total", "liverec_journal_bytes_total"] {
        assert!(server.metric(name) >= sent as f64, "{name} is {}", server.metric(name));
    }
    assert_eq!(server.metric("liverec_refusals_total{reason=\"unknown_domain\"}"), 1.0);
    eventually("the backlog is worked off", || {
        (server.metric("liverec_delivery_backlog") == 0.0).then_some(())
    });
    let text = String::from_utf8(fetch(&format!("{base}/metrics"))).unwrap();
    for name in [
        "liverec_recordings{state=",
        "liverec_callbacks_total{outcome=",
        "liverec_delivery_backlog ",
    ] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    // Every one says what it is.
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let help = format!("# HELP {name} ");
        assert_eq!(text.matches(&help).count(), 1, "{line}");
    }
    // Series whose labels are known are there before the first event.
    for series in [
        "liverec_callbacks_total{outcome=\"gave_up\"} 0",
        "liverec_expired_files_total 0",
        "liverec_expiry_paused 0",
    ] {
        assert!(text.contains(series), "{series} is not in\n{text}");
    }
}

#[test]
fn who_says_nothing_is_closed_in_time() {
    let settings = [("rtmp.handshake_timeout", "1s"), ("rtmp.idle_timeout", "1s")];
    let (server, receiver) = recording_flv(&settings);
    let tags = source(&server);
    let begun = Instant::now();
    // Nothing at all, only a handshake, only a connect.
    let silent = TcpStream::connect(server.rtmp).unwrap();
    let greeted = Raw::connect(&server);
    let mut connected = Raw::connect(&server);
    connected.connect_command(Some("live"));
    connected.send();
    let mut rest = Vec::new();
    for mut socket in [silent, greeted.socket, connected.socket] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.read_to_end(&mut rest).unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.metric("liverec_refusals_total{reason=\"handshake_timeout\"}"), 3.0);
    // A publisher that falls silent is a push that has ended.
    let mut pusher = Pusher::connect(server.rtmp, "silent", 4096).accepted();
    pusher.send(&tags);
    pusher.wait_until_over();
    let ended: Value = receiver.wait_for(0, 1).remove(0);
    assert_eq!(ended["errcode"], 8, "{ended}");
    assert_eq!(media(&product(&receiver, "silent")), media(&tags));
}
