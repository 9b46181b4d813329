//! Tests of keys: what names become, what is refused, and that no two names meet.

use std::path::{Component, Path};

use proptest::prelude::*;

use super::*;
use crate::domain::ids::DecimalId;

const FILE: FileId = DecimalId(1_882_573_000_000_000_001);

fn product(stream: &str) -> StorageKey {
    StorageKey::product("push.example.com", "live", stream, FILE, Container::Mp4)
}

fn escaped(name: &str) -> String {
    let mut key = String::new();
    push_escaped(&mut key, name);
    key
}

#[test]
fn products_have_readable_keys() {
    let key =
        |container| StorageKey::product("push.example.com", "live", "room-1", FILE, container);
    let home = "push.example.com/live/room-1/1882573000000000001";
    assert_eq!(key(Container::Mp4).as_str(), format!("{home}/f0.mp4"));
    assert_eq!(key(Container::Flv).as_str(), format!("{home}/f0.flv"));
    assert_eq!(key(Container::Aac).as_str(), format!("{home}/f0.aac"));
    assert_eq!(key(Container::Hls).as_str(), format!("{home}/playlist.m3u8"));
    let playlist = key(Container::Hls);
    assert_eq!(playlist.segment(17, SegmentType::Ts).as_str(), format!("{home}/17.ts"));
    assert_eq!(playlist.segment(17, SegmentType::Fmp4).as_str(), format!("{home}/17.m4s"));
    assert_eq!(playlist.init(1).as_str(), format!("{home}/init-1.mp4"));
}

#[test]
fn hostile_names_stay_one_harmless_component() {
    let cases = [
        ("", "%-"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("../x", "%2E.%2Fx"),
        (".tmp", "%2Etmp"),
        ("a.b", "a.b"),
        ("a.", "a%2E"),
        ("a ", "a%20"),
        ("a\0b", "a%00b"),
        ("a\\b", "a%5Cb"),
        ("a%2fb", "a%252fb"),
        ("%-", "%25-"),
        ("a~b", "a%7Eb"),
        ("房", "%E6%88%BF"),
        ("🎥", "%F0%9F%8E%A5"),
    ];
    for (name, want) in cases {
        assert_eq!(escaped(name), want, "{name:?}");
    }
}

#[test]
fn long_names_are_cut_between_escapes_and_stay_apart() {
    for pad in 0..4 {
        let long = "x".repeat(pad) + &"房".repeat(60);
        let other = long.clone() + "!";
        let (a, b) = (escaped(&long), escaped(&other));
        assert_ne!(a, b);
        let (head, hash) = a.split_once('~').unwrap();
        assert_eq!(hash.len(), HASH_DIGITS);
        assert!(a.len() <= MAX_NAME_BYTES && a.len() > MAX_NAME_BYTES - 3, "{}", a.len());
        assert_eq!(
            percent_decode_str(head).count(),
            pad + (head.len() - pad) / 3,
            "an escape was cut: {head}"
        );
    }
    assert_eq!(escaped(&"a".repeat(200)), "a".repeat(200));
    assert!(escaped(&"a".repeat(201)).contains('~'));
}

#[test]
fn what_cannot_be_a_key_is_refused() {
    let long_component = "a".repeat(256);
    let long_key = vec!["a"; 513].join("/");
    let refused = [
        "",
        "/",
        "/etc/passwd",
        "a//b",
        "a/",
        "a/../b",
        "..",
        "a/./b",
        ".tmp/x",
        "a/.hidden",
        "a\\b",
        "a\nb",
        "a\0",
        "a\u{7f}",
        "a\u{85}b",
        &long_component,
        &long_key,
    ];
    for text in refused {
        assert!(StorageKey::parse(text).is_err(), "{text:?}");
    }
    for text in
        ["a", "a/b.mp4", "房 1/🎥%.ts", "a..b/c", &"a".repeat(255), &vec!["a"; 512].join("/")]
    {
        assert_eq!(StorageKey::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn url_paths_are_decoded_exactly_once() {
    assert_eq!(StorageKey::parse_url_path("a%2520b/c%2Fd").unwrap().as_str(), "a%20b/c/d");
    for path in ["%2e%2e/etc", "a/%2E%2E/b", "%2Fetc", "a%00", "%ff", "a%5cb", "a//b", ""] {
        assert!(StorageKey::parse_url_path(path).is_err(), "{path}");
    }
    assert_eq!(
        product("a b%").url_path(),
        "push.example.com/live/a%2520b%2525/1882573000000000001/f0.mp4"
    );
}

#[test]
fn content_types_follow_the_extension() {
    let types = [
        ("a/f0.flv", "video/x-flv"),
        ("a/f0.mp4", "video/mp4"),
        ("a/playlist.m3u8", "application/vnd.apple.mpegurl"),
        ("a/3.ts", "video/mp2t"),
        ("a/3.m4s", "video/iso.segment"),
        ("a/init-0.mp4", "video/mp4"),
        ("a/f0.aac", "audio/aac"),
        ("a.mp4/html", "application/octet-stream"),
        ("mp4", "application/octet-stream"),
    ];
    for (key, want) in types {
        assert_eq!(StorageKey::parse(key).unwrap().content_type(), want, "{key}");
    }
}

proptest! {
    #[test]
    fn distinct_names_have_distinct_keys(a in any_name(), b in any_name()) {
        prop_assert_eq!(escaped(&a) == escaped(&b), a == b);
    }

    #[test]
    fn distinct_triples_have_distinct_keys(a in [any_name(), any_name(), any_name()], b in [any_name(), any_name(), any_name()]) {
        let key = |n: &[String; 3]| StorageKey::product(&n[0], &n[1], &n[2], FILE, Container::Flv);
        prop_assert_eq!(key(&a) == key(&b), a == b);
    }

    #[test]
    fn a_product_never_leaves_the_root(domain in any_name(), app in any_name(), stream in any_name()) {
        let key = StorageKey::product(&domain, &app, &stream, FILE, Container::Hls);
        let key = key.segment(u64::MAX, SegmentType::Fmp4);
        prop_assert_eq!(StorageKey::parse(key.as_str()), Ok(key.clone()));
        let path = Path::new(key.as_str());
        prop_assert_eq!(path.components().count(), 5);
        prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
        prop_assert!(key.as_str().is_ascii());
    }

    #[test]
    fn no_folders_lead_out_of_the_root(folders in prop::collection::vec(any_name(), 1..200)) {
        let key = StorageKey::product_in(&folders, FILE, Container::Hls);
        let key = key.segment(u64::MAX, SegmentType::Fmp4);
        prop_assert_eq!(StorageKey::parse(key.as_str()), Ok(key.clone()));
        prop_assert!(Path::new(key.as_str()).components().all(|c| matches!(c, Component::Normal(_))));
        prop_assert!(key.as_str().len() < MAX_KEY_BYTES - 100, "a prefix has room");
        prop_assert_eq!(key.file_id(), Some(FILE));
    }

    #[test]
    fn whatever_parses_stays_inside_and_survives_a_url(text in hostile_text()) {
        if let Ok(key) = StorageKey::parse(&text) {
            prop_assert!(Path::new(key.as_str()).components().all(|c| matches!(c, Component::Normal(_))));
            prop_assert_eq!(StorageKey::parse_url_path(&key.url_path()), Ok(key));
        }
    }
}

/// Names short and long, plain and hostile; short alphabets, so that near misses are common.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab./%~A2EF-]{0,6}",
        any::<String>(),
        ("[a房]{195,210}", "[ab]{0,2}").prop_map(|(a, b)| a + &b),
    ]
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a.%/房 \\\\\u{0}-]{0,12}", any::<String>()]
}

#[test]
fn only_our_own_names_belong_to_a_file() {
    let playlist = StorageKey::product("d.example", "", "房 ~/..", FILE, Container::Hls);
    let long = StorageKey::product("d.example", "live", &"x".repeat(400), FILE, Container::Mp4);
    let ours = [
        playlist.clone(),
        playlist.segment(17, SegmentType::Ts),
        playlist.segment(0, SegmentType::Fmp4),
        playlist.init(3),
        long,
        StorageKey::product_in(&["one"], FILE, Container::Mp4),
        StorageKey::product_in(&["..", "a b", "c", "d", "e"], FILE, Container::Aac),
    ];
    for key in ours {
        assert_eq!(key.file_id(), Some(FILE), "{key}");
    }
    for foreign in [
        "a.mp4",
        "1882573000000000001/f0.mp4",
        "d/live/s/188257300000000001/f0.mp4",
        "d/live/s/188257300000000000x/f0.mp4",
        "d/live/s/1882573000000000001/f1.mp4",
        "d/live/s/1882573000000000001/f0.mkv",
        "d/live/s/1882573000000000001/01.ts",
        "d/live/s/1882573000000000001/init-.mp4",
        "d/live/s/1882573000000000001/notes.txt",
        "d/live/s/1882573000000000001/more/f0.mp4",
        "d/li ve/s/1882573000000000001/f0.mp4",
        "d/房/s/1882573000000000001/f0.mp4",
    ] {
        assert_eq!(StorageKey::parse(foreign).unwrap().file_id(), None, "{foreign}");
    }
}
