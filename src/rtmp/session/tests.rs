//! A session and its peer without sockets: what encoders do, in order and out of it, and garbage.

mod enhanced;

use proptest::prelude::*;

use super::*;
use crate::{
    media::amf0::{self, Value},
    rtmp::publisher::{Phase, Publisher, Target},
};

const MAX_MESSAGE: usize = 16_777_215;

/// The other end of a session: sends what a test wants and reads the answers.
struct Peer {
    session: ServerSession,
    reader: ChunkReader,
}

impl Peer {
    /// After a plain handshake.
    fn greeted() -> Self {
        let mut session = ServerSession::new(MAX_MESSAGE);
        session.receive(Bytes::from([vec![3], vec![0; 1536]].concat())).unwrap();
        assert_eq!(session.next_event().unwrap(), None);
        let answer = session.take_output();
        assert_eq!(answer.len(), 1 + 1536 + 1536);
        // C2 repeats S1.
        session.receive(Bytes::copy_from_slice(&answer[1..1537])).unwrap();
        assert_eq!(session.next_event().unwrap(), None);
        Self { session, reader: ChunkReader::new(STRANGER) }
    }

    /// After connect.
    fn connected() -> Self {
        let mut peer = Self::greeted();
        assert_eq!(peer.command(0, "connect", 1.0, &[connect_object(&[])]), []);
        peer.answers();
        peer
    }

    /// Publishing on message stream 1.
    fn publishing() -> Self {
        let mut peer = Self::connected();
        peer.command(0, "createStream", 2.0, &[Value::Null]);
        let asked =
            peer.command(1, "publish", 3.0, &[Value::Null, "key?a=b".into(), "live".into()]);
        assert!(
            matches!(&asked[..], [Event::Publish(request)] if request.key == "key?a=b"),
            "{asked:?}"
        );
        peer.session.accept(1).unwrap();
        peer.answers();
        peer
    }

    fn feed(&mut self, wire: &[u8]) -> Result<Vec<Event>, SessionError> {
        self.session.receive(Bytes::copy_from_slice(wire))?;
        self.events()
    }

    fn events(&mut self) -> Result<Vec<Event>, SessionError> {
        let mut events = Vec::new();
        while let Some(event) = self.session.next_event()? {
            events.push(event);
        }
        Ok(events)
    }

    fn send(&mut self, type_id: u8, stream: u32, timestamp: u32, payload: &[u8]) -> Vec<Event> {
        self.feed(&wire(type_id, stream, timestamp, payload)).unwrap()
    }

    fn command(
        &mut self,
        stream: u32,
        name: &str,
        transaction: f64,
        values: &[Value],
    ) -> Vec<Event> {
        self.send(20, stream, 0, &command_body(name, transaction, values))
    }

    /// Type, stream and body of everything the server has sent.
    fn messages(&mut self) -> Vec<Message> {
        let mut input = Bytes::from(self.session.take_output());
        std::iter::from_fn(|| self.reader.read(&mut input).unwrap()).collect()
    }

    /// Stream and values of the commands the server has sent.
    fn answers(&mut self) -> Vec<(u32, Vec<Value>)> {
        let commands = self.messages().into_iter().filter(|message| message.type_id == 20);
        commands.map(|m| (m.stream_id, amf0::decode_all(&m.payload).unwrap())).collect()
    }

    /// Name of each command the server has sent, with its code if it has one.
    fn codes(&mut self) -> Vec<String> {
        let name = |(_, values): (u32, Vec<Value>)| {
            let code = values.last().and_then(|info| info.get("code")).and_then(Value::as_str);
            [values[0].as_str(), code].into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        self.answers().into_iter().map(name).collect()
    }
}

fn wire(type_id: u8, stream: u32, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![3, 0xFF, 0xFF, 0xFF];
    wire.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    wire.push(type_id);
    wire.extend_from_slice(&stream.to_le_bytes());
    wire.extend_from_slice(&timestamp.to_be_bytes());
    for (index, chunk) in payload.chunks(128).enumerate() {
        if index > 0 {
            wire.push(0xC3);
            wire.extend_from_slice(&timestamp.to_be_bytes());
        }
        wire.extend_from_slice(chunk);
    }
    wire
}

fn command_body(name: &str, transaction: f64, values: &[Value]) -> Vec<u8> {
    let head = [Value::from(name), Value::from(transaction)];
    amf0::encode_all(head.iter().chain(values))
}

fn connect_object(more: &[(&str, Value)]) -> Value {
    let members = [
        ("app", "live?x=y".into()),
        ("tcUrl", "rtmp://h/live".into()),
        ("objectEncoding", 3.0.into()),
    ];
    Value::Object(
        members
            .into_iter()
            .chain(more.iter().cloned())
            .map(|(name, value)| (name.into(), value))
            .collect(),
    )
}

fn tag(stream: u32, kind: TagKind, time_ms: i64, payload: &[u8]) -> Event {
    Event::Tag { stream, tag: Tag { kind, time_ms, payload: Bytes::copy_from_slice(payload) } }
}

/// Carries bytes between a publisher and a session, `step` at a time, until nothing moves.
fn exchange(publisher: &mut Publisher, session: &mut ServerSession, step: usize) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let up = publisher.take_output();
        for part in up.chunks(step) {
            session.receive(Bytes::copy_from_slice(part)).unwrap();
            while let Some(event) = session.next_event().unwrap() {
                if let Event::Publish(request) = &event {
                    session.accept(request.stream).unwrap();
                }
                events.push(event);
            }
        }
        let down = session.take_output();
        for part in down.chunks(step) {
            publisher.receive(Bytes::copy_from_slice(part)).unwrap();
        }
        if up.is_empty() && down.is_empty() {
            return events;
        }
    }
}

#[test]
fn the_end_of_a_connection_settles_its_last_message() {
    // The last chunk is one byte, such as an extended timestamp would begin with.
    let (time, body) = (0x1701_0203_u32, [&[0xAF, 1], &[9; 126][..], &[0x17]].concat());
    let mut last = wire(8, 1, time, &body[..128]);
    last[6] = 129;
    last.extend_from_slice(&[0xC3, 0x17]);
    let mut peer = Peer::publishing();
    assert_eq!(peer.feed(&last).unwrap(), []);
    peer.session.finish().unwrap();
    assert_eq!(peer.events().unwrap(), [tag(1, TagKind::Audio, i64::from(time), &body)]);
    peer.session.finish().unwrap();
    assert_eq!(peer.events().unwrap(), []);
}

#[test]
fn a_publisher_is_heard_however_its_bytes_are_cut() {
    let tags = [
        Tag { kind: TagKind::Script, time_ms: 0, payload: Bytes::from_static(b"\x02\0\x01a") },
        Tag { kind: TagKind::Video, time_ms: 0xFFFF_FFF0, payload: vec![0x17; 300_000].into() },
        Tag { kind: TagKind::Audio, time_ms: 0x1_0000_0010, payload: vec![0xAF; 400].into() },
        Tag { kind: TagKind::Audio, time_ms: 0x1_0000_0020, payload: Bytes::new() },
    ];
    for (chunk_size, step) in [(1, 7), (128, 1), (65536, 100_000), (MAX_MESSAGE, usize::MAX)] {
        let target =
            Target { app: "live".into(), tc_url: "rtmp://h/live".into(), key: "k?x=y".into() };
        let mut publisher = Publisher::new(target, chunk_size).unwrap();
        let mut session = ServerSession::new(MAX_MESSAGE);
        let events = exchange(&mut publisher, &mut session, step);
        assert_eq!(publisher.phase(), &Phase::Publishing);
        let [Event::Publish(request)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(
            (request.connect.app.as_str(), request.connect.tc_url.as_str()),
            ("live", "rtmp://h/live")
        );
        assert_eq!((request.key.as_str(), request.mode.as_str()), ("k?x=y", "live"));
        tags.iter().for_each(|tag| publisher.tag(tag));
        publisher.finish().unwrap();
        let mut expected: Vec<Event> = tags
            .iter()
            .map(|tag| Event::Tag { stream: request.stream, tag: tag.clone() })
            .collect();
        expected.push(Event::Unpublished { stream: request.stream });
        assert_eq!(exchange(&mut publisher, &mut session, step), expected);
        assert!(
            matches!(publisher.phase(), Phase::Over { code, .. } if code == "NetStream.Unpublish.Success")
        );
    }
}

#[test]
fn what_is_sent_behind_the_publish_command_waits_for_the_decision() {
    let mut peer = Peer::greeted();
    let video = vec![0x17; 100_000];
    let all = [
        wire(20, 0, 0, &command_body("connect", 1.0, &[connect_object(&[])])),
        wire(20, 0, 0, &command_body("createStream", 2.0, &[Value::Null])),
        wire(20, 1, 0, &command_body("publish", 3.0, &[Value::Null, "k".into()])),
        wire(9, 1, 5, &video),
        wire(8, 1, 6, &[0xAF]),
    ];
    let events = peer.feed(&all.concat()).unwrap();
    assert!(matches!(&events[..], [Event::Publish(request)] if request.mode == "live"));
    assert!(peer.session.is_waiting());
    assert_eq!(peer.feed(&wire(8, 1, 7, &[0xAF])).unwrap(), []);
    assert_eq!(peer.codes(), ["_result NetConnection.Connect.Success", "_result"]);
    peer.session.accept(1).unwrap();
    assert_eq!(peer.codes(), ["onStatus NetStream.Publish.Start"]);
    let expected = [
        tag(1, TagKind::Video, 5, &video),
        tag(1, TagKind::Audio, 6, &[0xAF]),
        tag(1, TagKind::Audio, 7, &[0xAF]),
    ];
    assert_eq!(peer.events().unwrap(), expected);
}

#[test]
fn refusals_have_a_status() {
    let mut peer = Peer::connected();
    peer.command(0, "createStream", 2.0, &[Value::Null]);
    peer.answers();
    peer.command(1, "publish", 3.0, &[Value::Null, "k".into()]);
    peer.session.refuse(1, "NetStream.Publish.Denied", &"é".repeat(5000)).unwrap();
    let (stream, values) = peer.answers().remove(0);
    let info = &values[3];
    assert_eq!((stream, info.get("level").and_then(Value::as_str)), (1, Some("error")));
    assert_eq!(info.get("code").and_then(Value::as_str), Some("NetStream.Publish.Denied"));
    assert_eq!(info.get("description").and_then(Value::as_str), Some(&*"é".repeat(512)));
    // Media of a refused publish go nowhere.
    assert_eq!(peer.send(9, 1, 0, &[0x17, 1]), []);
    assert_eq!(peer.session.stray_messages(), 1);

    let refused = |events: Vec<Event>| match &events[..] {
        [Event::Refused { reason, .. }] => *reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(peer.command(1, "publish", 3.0, &[Value::Null])), "publish");
    assert_eq!(refused(peer.command(1, "play", 0.0, &[Value::Null, "k".into()])), "play");
    assert_eq!(
        peer.codes(),
        ["onStatus NetStream.Publish.BadName", "onStatus NetStream.Play.Failed"]
    );
    let mut peer = Peer::greeted();
    assert_eq!(refused(peer.command(1, "publish", 3.0, &[Value::Null, "k".into()])), "publish");
    assert_eq!(refused(peer.command(0, "connect", 1.0, &[Value::Object(vec![])])), "connect");
    assert_eq!(
        peer.codes(),
        ["onStatus NetStream.Publish.Denied", "_error NetConnection.Connect.Rejected"]
    );
}

#[test]
fn connect_is_kept_whole_and_answered_in_amf0() {
    let mut peer = Peer::greeted();
    let more = [
        ("fourCcList", Value::StrictArray(vec!["hvc1".into()])),
        ("flashVer", "X 1".into()),
        ("note", Value::Date { ms: 1.0, zone: 0 }),
    ];
    peer.command(0, "connect", 1.0, &[connect_object(&more), "extra".into()]);
    let messages = peer.messages();
    assert_eq!(messages.iter().map(|m| m.type_id).collect::<Vec<_>>(), [5, 6, 20]);
    assert_eq!(peer.reader.read(&mut Bytes::new()).unwrap(), None);
    let values = amf0::decode_all(&messages[2].payload).unwrap();
    assert_eq!(values[3].get("objectEncoding"), Some(&Value::Number(0.0)));
    let connect = peer.session.connect.clone().unwrap();
    assert_eq!(connect.object, connect_object(&more));
    assert_eq!((connect.flash_ver(), connect.app.as_str()), ("X 1", "live?x=y"));
}

#[test]
fn commands_of_encoders_are_answered() {
    let mut peer = Peer::connected();
    let name = [Value::Null, "k".into()];
    for (command, expected) in [
        ("releaseStream", &["_result"][..]),
        ("FCPublish", &["_result", "onFCPublish NetStream.Publish.Start"]),
        ("_checkbw", &["_result"]),
        ("getStreamLength", &["_result"]),
        ("FCUnpublish", &["_result", "onFCUnpublish NetStream.Unpublish.Success"]),
        ("deleteStream", &[]),
        ("closeStream", &[]),
        ("whatever", &["_error NetConnection.Call.Failed"]),
        ("_result", &[]),
    ] {
        assert_eq!(peer.command(0, command, 7.0, &name), []);
        assert_eq!(peer.codes(), expected, "{command}");
    }
    // AMF3 command with and without its format selector; no transaction, no answer.
    let body = command_body("_checkbw", 9.0, &[Value::Null]);
    peer.send(17, 0, 0, &[&[0], &body[..]].concat());
    peer.send(17, 0, 0, &body);
    peer.command(0, "whatever", 0.0, &[]);
    assert_eq!(peer.codes(), ["_result", "_result"]);
}

#[test]
fn message_streams_are_limited_and_their_ids_used_again() {
    let mut peer = Peer::connected();
    let mut create = || {
        peer.command(0, "createStream", 2.0, &[Value::Null]);
        let (_, values) = peer.answers().remove(0);
        values[3].as_number()
    };
    let ids: Vec<_> = (0..9).map(|_| create()).collect();
    assert_eq!(ids[..8], (1..=8).map(|id| Some(f64::from(id))).collect::<Vec<_>>());
    assert_eq!(ids[8], None);
    peer.command(0, "deleteStream", 0.0, &[Value::Null, 3.0.into()]);
    peer.command(0, "createStream", 2.0, &[Value::Null]);
    assert_eq!(peer.answers().remove(0).1[3], Value::Number(3.0));
}

#[test]
fn a_publish_ends_once_however_it_is_said() {
    let ended = [Event::Unpublished { stream: 1 }];
    type End = (u32, &'static str, Vec<Value>);
    let ends: [End; 6] = [
        (0, "FCUnpublish", vec![Value::Null, "key".into()]),
        (0, "FCUnpublish", vec![Value::Null, "key?a=b".into()]),
        (0, "FCUnpublish", vec![Value::Null]),
        (1, "closeStream", vec![]),
        (0, "deleteStream", vec![Value::Null, 1.0.into()]),
        (1, "deleteStream", vec![Value::Null]),
    ];
    for (stream, name, values) in &ends {
        let mut peer = Peer::publishing();
        assert_eq!(peer.command(0, "FCUnpublish", 0.0, &[Value::Null, "other".into()]), []);
        assert_eq!(peer.command(*stream, name, 0.0, values), ended, "{name}");
        for (stream, name, values) in &ends {
            assert_eq!(peer.command(*stream, name, 0.0, values), [], "{name}");
        }
    }
    // The same connection publishes again, its clock starts anew.
    let mut peer = Peer::publishing();
    assert_eq!(
        peer.send(9, 1, 0xFFFF_FFFF, &[0x17, 1]),
        [tag(1, TagKind::Video, 0xFFFF_FFFF, &[0x17, 1])]
    );
    peer.command(1, "closeStream", 0.0, &[]);
    assert!(matches!(
        &peer.command(1, "publish", 0.0, &[Value::Null, "k".into()])[..],
        [Event::Publish(_)]
    ));
    peer.session.accept(1).unwrap();
    assert_eq!(peer.send(9, 1, 3, &[0x17, 1]), [tag(1, TagKind::Video, 3, &[0x17, 1])]);
}

#[test]
fn several_streams_share_a_connection() {
    let mut peer = Peer::publishing();
    // Never created, published all the same.
    assert_eq!(peer.command(5, "publish", 0.0, &[Value::Null, "two".into()]).len(), 1);
    peer.session.accept(5).unwrap();
    assert_eq!(peer.send(8, 5, 1, &[0xAF, 1]), [tag(5, TagKind::Audio, 1, &[0xAF, 1])]);
    assert_eq!(peer.send(8, 1, 2, &[0xAF, 1]), [tag(1, TagKind::Audio, 2, &[0xAF, 1])]);
    assert_eq!(peer.send(8, 0, 3, &[0xAF, 1]), []);
    peer.session.end(5, "enough").unwrap();
    assert_eq!(
        peer.codes(),
        ["onStatus NetStream.Publish.Start", "onStatus NetStream.Unpublish.Success"]
    );
    // With one publish left, message stream 0 can only mean that one.
    assert_eq!(peer.send(8, 0, 3, &[0xAF, 1]), [tag(1, TagKind::Audio, 3, &[0xAF, 1])]);
    assert_eq!(peer.session.stray_messages(), 1);
}

#[test]
fn every_script_message_is_kept_as_it_came() {
    let mut peer = Peer::publishing();
    let bodies: [&[u8]; 4] = [
        b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x0b\0\0\0\0\0\0\0\0\0\0",
        b"\xFF junk",
        b"",
        b"\0",
    ];
    for body in bodies {
        assert_eq!(peer.send(18, 1, 9, body), [tag(1, TagKind::Script, 9, body)]);
    }
    assert_eq!(peer.send(15, 1, 9, b"\0\x02\0\x01a"), [tag(1, TagKind::Script, 9, b"\x02\0\x01a")]);
    assert_eq!(peer.send(15, 1, 9, b"\x02\0\x01a"), [tag(1, TagKind::Script, 9, b"\x02\0\x01a")]);
    // A command that cannot be read does not cost a running publish.
    assert_eq!(peer.send(20, 0, 0, b"\xFF"), []);
    assert!(Peer::connected().feed(&wire(20, 0, 0, b"\xFF")).is_err());
}

#[test]
fn time_is_unwrapped_and_only_frames_move_it() {
    let mut peer = Peer::publishing();
    let mut time =
        |type_id, timestamp, payload: &[u8]| match &peer.send(type_id, 1, timestamp, payload)[..] {
            [Event::Tag { tag, .. }] => tag.time_ms,
            other => panic!("{other:?}"),
        };
    let late = 0xC000_0000_u32;
    assert_eq!(time(18, 0, b""), 0);
    assert_eq!(time(9, 0, &[0x17, 0]), 0);
    assert_eq!(time(9, late, &[0x17, 1]), i64::from(late));
    for (type_id, end) in [
        (9, &[0x17, 2, 0][..]),
        (9, &[0x1C, 2]),
        (9, &[0x92, 0]),
        (9, &[0x17, 0, 0]),
        (8, &[0xAF, 0]),
        (8, &[0x92, 0]),
        (8, &[]),
        (18, &[2]),
    ] {
        assert_eq!(time(type_id, 0x3FFF_FFFF, end), 0x3FFF_FFFF + (1 << 32), "{end:?}");
        assert_eq!(time(9, late - 10, &[0x27, 1]), i64::from(late) - 10);
    }
    assert_eq!(time(8, 5, &[0xAF, 1]), 5 + (1 << 32));
}

#[test]
fn aggregates_are_split_and_pings_and_windows_answered() {
    let mut peer = Peer::publishing();
    let part = |kind: u8, time: u8, body: u8| {
        vec![kind, 0, 0, 1, 0, 0, time, 0, 0, 0, 0, body, 0, 0, 0, 12]
    };
    let body = [part(9, 10, 0x27), part(8, 15, 0xAF), part(9, 50, 0x27)].concat();
    let expected = [
        tag(1, TagKind::Video, 1000, &[0x27]),
        tag(1, TagKind::Audio, 1005, &[0xAF]),
        tag(1, TagKind::Video, 1040, &[0x27]),
    ];
    assert_eq!(peer.send(22, 1, 1000, &body), expected);
    assert!(peer.feed(&wire(22, 1, 0, &body[..20])).is_err());

    let mut peer = Peer::publishing();
    peer.send(4, 0, 0, &[0, 6, 1, 2, 3, 4]);
    peer.send(4, 0, 0, &[0, 3, 0]);
    peer.send(4, 0, 0, &[]);
    let messages = peer.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].type_id, &messages[0].payload[..]), (4, &[0, 7, 1, 2, 3, 4][..]));

    for window in [None, Some(0_u32), Some(1), Some(100_000), Some(u32::MAX)] {
        let mut peer = Peer::publishing();
        if let Some(window) = window {
            peer.send(5, 0, 0, &window.to_be_bytes());
        }
        for _ in 0..200 {
            peer.send(8, 1, 0, &[0xAF; 100_000]);
            peer.session.acknowledge().unwrap();
        }
        let acks: Vec<u32> = peer
            .messages()
            .iter()
            .filter(|message| message.type_id == 3)
            .map(|message| u32::from_be_bytes(*message.payload.first_chunk().unwrap()))
            .collect();
        if window.unwrap_or(0) == 0 {
            assert!(acks.is_empty(), "nobody asked: {acks:?}");
            continue;
        }
        assert!(acks.is_sorted() && (2..=200).contains(&acks.len()), "{window:?} {acks:?}");
        assert!(u64::from(*acks.last().unwrap()) <= peer.session.received);
    }
}

#[test]
fn strangers_are_kept_small() {
    let mut peer = Peer::connected();
    let error = peer.feed(&wire(9, 1, 0, &vec![0; 65537])).unwrap_err();
    assert!(error.is_too_large(), "{error}");
    let mut peer = Peer::publishing();
    assert_eq!(peer.send(9, 1, 0, &vec![0x17; 1 << 20]).len(), 1);
    let mut small = Peer::publishing();
    small.session.max_message_bytes = 1000;
    small.command(1, "closeStream", 0.0, &[]);
    small.command(1, "publish", 0.0, &[Value::Null, "k".into()]);
    small.session.accept(1).unwrap();
    assert!(small.feed(&wire(9, 1, 0, &[0x17; 1001])).unwrap_err().is_too_large());
}

proptest! {
    /// No bytes make a session panic or grow, before and after the handshake and while publishing.
    #[test]
    fn any_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..6000),
        types in prop::collection::vec((0_u8..24, 0_u32..3, any::<u32>()), 0..20),
        phase in 0..4,
    ) {
        let mut peer = match phase {
            0 => Peer { session: ServerSession::new(MAX_MESSAGE), reader: ChunkReader::new(STRANGER) },
            1 => Peer::greeted(),
            2 => Peer::connected(),
            _ => Peer::publishing(),
        };
        let limit = if phase == 3 { MAX_MESSAGE + PARTIAL_EXTRA } else { STRANGER.partial_bytes };
        let mut parts = bytes.chunks(bytes.len() / (types.len() + 1) + 1);
        for (type_id, stream, timestamp) in types.into_iter().filter(|_| phase > 0) {
            let body = parts.next().unwrap_or_default();
            if peer.feed(&wire(type_id, stream, timestamp, body)).is_err() {
                break;
            }
            prop_assert!(peer.session.partial_bytes() <= limit);
        }
        let _ = peer.feed(&bytes);
        prop_assert!(peer.session.partial_bytes() <= limit);
    }

    /// Commands with any arguments are survived.
    #[test]
    fn any_command_is_survived(
        name in prop::sample::select(vec!["connect", "createStream", "publish", "deleteStream", "closeStream", "FCUnpublish", "play", "x"]),
        number: f64, stream: u32, text: String, publishing: bool,
    ) {
        let mut peer = if publishing { Peer::publishing() } else { Peer::greeted() };
        for value in [Value::Number(number), text.as_str().into(), Value::Null, Value::Object(vec![("app".into(), text.as_str().into())])] {
            let body = command_body(name, number, &[value.clone(), value]);
            peer.feed(&wire(20, stream, 0, &body)).unwrap();
            if peer.session.is_waiting() {
                peer.session.refuse(stream, "NetStream.Publish.Denied", &text).unwrap();
            }
            peer.answers();
        }
    }
}
