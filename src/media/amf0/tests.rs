//! Every type, the limits, and both directions against each other.

use proptest::prelude::*;

use super::*;

/// One value of each type, in the order of the markers.
fn each() -> Vec<Value> {
    let members = || vec![("b".into(), Value::Null), ("a".into(), Value::Undefined)];
    vec![
        Value::Number(-1.5),
        Value::Boolean(true),
        Value::from("onMetaData"),
        Value::Object(members()),
        Value::MovieClip,
        Value::Null,
        Value::Undefined,
        Value::Reference(7),
        Value::EcmaArray(members()),
        Value::StrictArray(vec![Value::Number(0.0), Value::Boolean(false)]),
        Value::Date { ms: 1.0, zone: -2 },
        Value::LongString("x".into()),
        Value::Unsupported,
        Value::RecordSet,
        Value::Xml("<a/>".into()),
        Value::TypedObject { class: "C".into(), members: members() },
    ]
}

#[test]
fn layouts() {
    let bytes: Vec<String> =
        each().iter().map(|value| encode_all([value]).escape_ascii().to_string()).collect();
    insta::assert_snapshot!(bytes.join("\n"), @r"
    \x00\xbf\xf8\x00\x00\x00\x00\x00\x00
    \x01\x01
    \x02\x00\nonMetaData
    \x03\x00\x01b\x05\x00\x01a\x06\x00\x00\t
    \x04
    \x05
    \x06
    \x07\x00\x07
    \x08\x00\x00\x00\x02\x00\x01b\x05\x00\x01a\x06\x00\x00\t
    \n\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00
    \x0b?\xf0\x00\x00\x00\x00\x00\x00\xff\xfe
    \x0c\x00\x00\x00\x01x
    \r
    \x0e
    \x0f\x00\x00\x00\x04<a/>
    \x10\x00\x01C\x00\x01b\x05\x00\x01a\x06\x00\x00\t
    ");
    assert_eq!(decode_all(&encode_all(&each())), Ok(each()));
}

#[test]
fn reads_one_value_and_stops_behind_it() {
    let mut input = &b"\x02\0\x01a\x05"[..];
    assert_eq!(decode(&mut input, Limits::default()), Ok(Value::from("a")));
    assert_eq!(input, b"\x05");
}

#[test]
fn what_encoders_get_wrong() {
    // A count that is wrong, and no end marker at the end of the message.
    let array = b"\x08\0\0\0\x63\0\x01a\x01\x01";
    let expected = Value::EcmaArray(vec![("a".into(), true.into())]);
    assert_eq!(decode_all(array), Ok(vec![expected]));
    // A member without a name is a member, unless the end marker follows.
    let object = b"\x03\0\0\x05\0\0\x09";
    let expected = Value::Object(vec![("".into(), Value::Null)]);
    assert_eq!(decode_all(object), Ok(vec![expected]));
    // Latin-1 in a string.
    let text = decode_all(b"\x02\0\x01\xe9").unwrap().remove(0);
    assert_eq!((text.as_str(), text.as_text().unwrap().as_bytes()), (None, &b"\xe9"[..]));
    assert_eq!(text.as_text().unwrap().to_string(), "\u{fffd}");
    assert_eq!(encode_all([&text]), b"\x02\0\x01\xe9");
}

#[test]
fn refusals() {
    assert_eq!(decode_all(b"\x05\x11\x0a"), Err(Amf0Error::Amf3));
    assert_eq!(decode_all(b"\x12"), Err(Amf0Error::Marker(0x12)));
    assert_eq!(decode_all(b"\x09"), Err(Amf0Error::Marker(0x09)));
    assert_eq!(decode_all(b"\0\0"), Err(Amf0Error::Truncated("number")));
    assert_eq!(decode_all(b"\x0c\xff\xff\xff\xffa"), Err(Amf0Error::Truncated("long string")));
    assert_eq!(decode_all(b"\x0a\xff\xff\xff\xff\x05"), Err(Amf0Error::Truncated("value")));
    assert_eq!(decode_all(b"\x03\0\x05ab"), Err(Amf0Error::Truncated("member name")));
}

#[test]
fn nesting_and_number_are_bounded() {
    let nested = |depth: usize| b"\x0a\0\0\0\x01".repeat(depth).into_iter().chain([5]);
    assert!(decode_all(&nested(16).collect::<Vec<_>>()).is_ok());
    let deep = nested(17).collect::<Vec<_>>();
    assert_eq!(decode_all(&deep), Err(Amf0Error::TooDeep(16)));
    assert_eq!(decode_all(&b"\x03\0\x01a".repeat(1_000_000)), Err(Amf0Error::TooDeep(16)));

    assert_eq!(decode_all(&[5; 4096]).unwrap().len(), 4096);
    assert_eq!(decode_all(&[5; 4097]), Err(Amf0Error::TooMany(4096)));
    let array = [&b"\x0a\0\0\x10\0"[..], &[5; 4096]].concat();
    assert_eq!(decode_all(&array), Err(Amf0Error::TooMany(4096)));
    assert!(decode(&mut &array[..], Limits::METADATA).is_ok());
}

#[test]
fn access() {
    let object = Value::Object(vec![
        ("app".into(), "live".into()),
        ("n".into(), 3.0.into()),
        ("f".into(), true.into()),
        ("app".into(), Value::Null),
    ]);
    assert_eq!(object.get("app").and_then(Value::as_str), Some("live"));
    assert_eq!(object.get("n").and_then(Value::as_number), Some(3.0));
    assert_eq!(object.get("f").and_then(Value::as_bool), Some(true));
    assert_eq!(object.get("F"), None);
    assert_eq!(Value::Null.get("app"), None);
    assert_eq!(object.as_number(), None);
}

#[test]
fn a_string_too_long_for_its_type_becomes_a_long_one() {
    let text = "x".repeat(65536);
    let bytes = encode_all([&Value::from(text.as_str())]);
    assert_eq!(decode_all(&bytes), Ok(vec![Value::LongString(text.as_str().into())]));
}

fn any_text() -> impl Strategy<Value = Text> + Clone {
    prop::collection::vec(any::<u8>(), 0..12).prop_map(Text::from)
}

fn any_value() -> impl Strategy<Value = Value> {
    let number = any::<f64>().prop_filter("equal to itself", |number| !number.is_nan());
    let leaf = prop_oneof![
        number.clone().prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        any_text().prop_map(Value::String),
        any_text().prop_map(Value::LongString),
        any_text().prop_map(Value::Xml),
        (number, any::<i16>()).prop_map(|(ms, zone)| Value::Date { ms, zone }),
        any::<u16>().prop_map(Value::Reference),
        prop::sample::select(vec![
            Value::Null,
            Value::Undefined,
            Value::Unsupported,
            Value::MovieClip,
            Value::RecordSet,
        ]),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        // A nameless member cannot be told from the end when its value's first byte is 9, which
        // no marker is, so that names may be empty.
        let members = prop::collection::vec((any_text(), inner.clone()), 0..6);
        prop_oneof![
            members.clone().prop_map(Value::Object),
            members.clone().prop_map(Value::EcmaArray),
            (any_text(), members)
                .prop_map(|(class, members)| Value::TypedObject { class, members }),
            prop::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(values in prop::collection::vec(any_value(), 0..4)) {
        let bytes = encode_all(&values);
        prop_assert_eq!(decode_all(&bytes), Ok(values));
    }

    #[test]
    fn cut_anywhere_it_never_panics(
        values in prop::collection::vec(any_value(), 1..4),
        cut in 0.0..1.0f64,
    ) {
        let bytes = encode_all(&values);
        let _ = decode_all(&bytes[..(bytes.len() as f64 * cut) as usize]);
    }

    #[test]
    fn random_bytes_never_panic_and_what_is_read_is_stable(
        bytes in prop::collection::vec(prop_oneof![0u8..0x12, any::<u8>()], 0..80),
    ) {
        if let Ok(values) = decode_all(&bytes) {
            let once = encode_all(&values);
            let again = decode_all(&once).map(|values| encode_all(&values));
            prop_assert_eq!(again, Ok(once));
        }
    }
}
