//! The answers to `connect` of encoders that speak enhanced RTMP and of those that do not.

use super::*;

/// `connect` as an encoder of 2023 writes it: `fourCcList` alone.
const ONE_LIST: &[u8] = b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x03\
    \0\x03app\x02\0\x04live\
    \0\x04type\x02\0\x0anonprivate\
    \0\x08flashVer\x02\0\x1fFMLE/3.0 (compatible; Lavf61.7)\
    \0\x05tcUrl\x02\0\x0drtmp://h/live\
    \0\x0afourCcList\x0a\0\0\0\x02\x02\0\x04hvc1\x02\0\x04av01\
    \0\0\x09";

/// The objects that are the answer to a `connect`: properties and information.
fn answer(peer: &mut Peer) -> [Value; 2] {
    let (_, values) = peer.answers().remove(0);
    assert_eq!(values[..2], ["_result".into(), 1.0.into()]);
    values[2..].to_vec().try_into().unwrap()
}

/// The names of an object's members whose value is CanForward; there are no others.
fn forwarded(map: &Value) -> Vec<String> {
    let members = map.members().unwrap();
    assert!(members.iter().all(|(_, value)| value.as_number() == Some(4.0)), "{map:?}");
    let mut names: Vec<String> = members.iter().map(|(name, _)| name.to_string()).collect();
    names.sort_unstable();
    names
}

fn assert_enhanced(answer: &[Value]) {
    const VIDEO: [&str; 7] = ["*", "av01", "avc1", "hvc1", "vp08", "vp09", "vvc1"];
    const AUDIO: [&str; 7] = ["*", ".mp3", "Opus", "ac-3", "ec-3", "fLaC", "mp4a"];
    for object in answer {
        assert_eq!(forwarded(object.get("videoFourCcInfoMap").unwrap()), VIDEO);
        assert_eq!(forwarded(object.get("audioFourCcInfoMap").unwrap()), AUDIO);
        // Multitrack, ModEx, TimestampNanoOffset.
        assert_eq!(object.get("capsEx"), Some(&Value::Number(14.0)));
        let Some(Value::StrictArray(list)) = object.get("fourCcList") else { panic!("{object:?}") };
        let mut list: Vec<&str> = list.iter().map(|name| name.as_str().unwrap()).collect();
        list.sort_unstable();
        let mut all: Vec<&str> = VIDEO.into_iter().chain(AUDIO).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(list, all);
    }
}

#[test]
fn an_encoder_that_asks_hears_what_is_kept() {
    let mut peer = Peer::greeted();
    assert_eq!(peer.send(20, 0, 0, ONE_LIST), []);
    assert_enhanced(&answer(&mut peer));
    assert!(peer.session.connect.as_ref().unwrap().is_enhanced());

    let map = Value::Object(vec![("hvc1".into(), 2.0.into())]);
    for (name, value) in [
        ("fourCcList", Value::StrictArray(vec![])),
        ("videoFourCcInfoMap", map.clone()),
        ("audioFourCcInfoMap", map),
        ("capsEx", 3.0.into()),
    ] {
        let mut peer = Peer::greeted();
        peer.command(0, "connect", 1.0, &[connect_object(&[(name, value)])]);
        assert_enhanced(&answer(&mut peer));
    }
}

#[test]
fn an_old_encoder_gets_the_old_answer() {
    let mut peer = Peer::greeted();
    peer.command(0, "connect", 1.0, &[connect_object(&[("videoCodecs", 252.0.into())])]);
    let mut names = answer(&mut peer).map(|object| {
        let members = object.members().unwrap();
        members.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    });
    names.iter_mut().for_each(|names| names.sort_unstable());
    assert_eq!(names[0], ["capabilities", "fmsVer"]);
    assert_eq!(names[1], ["code", "description", "level", "objectEncoding"]);
    assert!(!peer.session.connect.as_ref().unwrap().is_enhanced());
}
