//! Makes the seeds, for every target a few inputs that reach far, and the data file of the index
//! target:
//!
//! ```text
//! cargo run --manifest-path tests/fuzz/Cargo.toml --example seeds
//! ```
//!
//! Bytes that an encoder made are written out here; all others are made by the rooms themselves.

#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

use bytes::Bytes;
use liverec_fuzz::{
    harness::journal_recovery::{Place, SESSION},
    media::{
        amf0::{Value, encode_all},
        tag::{Tag, TagKind},
    },
    rtmp::{
        publisher::{Publisher, Target},
        session::{Event, ServerSession},
    },
};

/// avcC of x264: High interlaced with colours, High 4:2:2, Baseline.
const AVC: [&[u8]; 3] = [
    b"\x01\x64\x00\x15\xff\xe1\x00\x1d\x67\x64\x00\x15\xac\xd9\x44\x4f\xcb\x80\xb5\x02\x02\x01\x40\
      \x00\x00\x03\x00\x40\x00\x00\x03\x02\x87\xc5\x0a\x65\x80\x01\x00\x06\x68\xfb\xa3\xcb\x22\xc0\
      \xfd\xf8\xf8\x00",
    b"\x01\x7a\x00\x0a\xff\xe1\x00\x18\x67\x7a\x00\x0a\xb6\xcd\x94\x47\xb0\x11\x00\x00\x03\x00\x01\
      \x00\x00\x03\x00\x0a\x0f\x12\x25\x96\x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0\xfe\xfa\xfa\x00",
    b"\x01\x42\xc0\x0a\xff\xe1\x00\x17\x67\x42\xc0\x0a\xd9\x04\x7b\x01\x10\x00\x00\x03\x00\x10\x00\
      \x00\x03\x00\xa0\xf1\x22\x64\x80\x01\x00\x05\x68\xcb\x83\xcb\x20",
];

/// hvcC of x265, Main 10 with colours and buffer sizes.
const HEVC: &[u8] = b"\x01\x02\x20\x00\x00\x00\x90\x00\x00\x00\x00\x00\x1e\xf0\x00\xfc\xfd\xfa\xfa\
    \x00\x00\x0f\x03\x20\x00\x01\x00\x18\x40\x01\x0c\x01\xff\xff\x02\x20\x00\x00\x03\x00\x90\x00\
    \x00\x03\x00\x00\x03\x00\x1e\x95\x98\x09\x21\x00\x01\x00\x32\x42\x01\x01\x02\x20\x00\x00\x03\
    \x00\x90\x00\x00\x03\x00\x00\x03\x00\x1e\xa0\x20\x83\x13\x65\x95\x9a\xe4\xca\xf0\x16\x80\x80\
    \x00\x00\x03\x00\x80\x00\x00\x30\x2b\x00\x64\x91\xf0\x03\x0d\x00\x0c\x35\x12\x22\x00\x01\x00\
    \x06\x44\x01\xc1\x73\xd0\x89";

/// AudioSpecificConfig: LC, LC with its length extension, 5.1, HE in both ways to say it, HE v2,
/// a rate written out, and a program config element.
const AAC: [&[u8]; 7] = [
    b"\x12\x10",
    b"\x11\x90\x56\xe5\x00",
    b"\x12\x30\x56\xe5\x00",
    b"\x2b\x92\x08\x00",
    b"\x13\x90\x56\xe5\xa0",
    b"\xeb\x8a\x08\x00",
    b"\x17\x80\x5d\xc0\x10",
];

/// Records of the other codecs: the target and the bytes.
const OTHERS: [(&str, &[u8]); 5] = [
    ("config_av1", b"\x81\x00\x0c\x00\x0a\x0b\x00\x00\x00\x04\x3c\xfe\xcc\xda\xf9\x00\x40"),
    ("config_vp9", b"\x01\x00\x00\x00\x00\x0a\x82\x02\x02\x02\x00\x00"),
    ("config_opus", b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"),
    ("config_opus", b"OpusHead\x01\x03\x38\x01\x80\xbb\x00\x00\xff\xff\x01\x02\x01\x00\x02\x01"),
    (
        "config_flac",
        b"fLaC\x80\x00\x00\x22\x10\x00\x10\x00\x00\x00\x0e\x00\x38\x40\x0b\xb8\x02\xf0\x00\x00\
          \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    ),
];

/// Beginnings of frames: the codec's number in the target, and the bytes.
const FRAMES: [(u8, &[u8]); 8] = [
    (0, b"\x12\x00\x0a\x0b\x00\x00\x00\x04\x3d\x06\xd4\xfb\xf9\x40\x40\x32\xf1\x1c\x14\x00"),
    (1, b"\x82\x49\x83\x42\x00\x13\xf0\x0b\x36"),
    (1, b"\xb1\x24\xc1\xa1\x00\x00\x9f\x80\x59\xb0"),
    (2, b"\x54\x01\x00\x9d\x01\x2a\x80\x02\x68\x41rest"),
    (3, b"\x0b\x77\x1e\x8b\x1c\x40\xeb\xf8\x40\x3e"),
    (4, b"\x0b\x77\x01\xa0\x74\x87\xc0\x00\x20\x84"),
    (5, b"\xff\xfb\x90\x64data"),
    (5, b"\xff\xf3\x80\xc4"),
];

/// Payloads of tags: kind and bytes.
const TAGS: [(u8, &[u8]); 25] = [
    (0, b"\xaf\0\x12\x10"),
    (0, b"\xaf\x01\x21\x10"),
    (0, b"\x2f\xff\xfb"),
    (0, b"\x7e\x01\x02"),
    (0, b"\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0"),
    (0, b"\x91fLaC\xff\xf8"),
    (0, b"\x97\x02\0\0\x09\x01ac-3\x0b\x77"),
    (0, b"\x95\x20mp4a\x00\0\0\x02\x12\x10Opus\x01\0\0\x01O"),
    (0, b"\x95\x11Opus\x00\0\0\x02ef\x01\0\0\x02gh"),
    (0, b"\x94mp4a\x01\x02\0\0\0\x03"),
    (1, b"\x17\0\0\0\0\x01\x64\0\x1e"),
    (1, b"\x17\x01\0\0\x50\0\0\0\x01\x65"),
    (1, b"\x27\x01\xff\xff\xfe\0\0\0\x01\x41"),
    (1, b"\x17\x02\0\0\0"),
    (1, b"\x1c\0\0\0\0\x01"),
    (1, b"\x90hvc1\x01"),
    (1, b"\x91hvc1\0\0\x28\0\0\0\x02\x26\x01"),
    (1, b"\xa3hvc1\0\0\0\x02\x02\x01"),
    (1, b"\x94hvc1\x02\0\x09colorInfo\x05"),
    (1, b"\x91av01\x12\0"),
    (1, b"\x97\x02\0\0\x09\x01vp09ab"),
    (1, b"\x96\x11avc1\x00\0\0\x05\0\0\x01ab\x01\0\0\x04\xff\xff\xffc"),
    (1, b"\x96\x20hvc1\x00\0\0\x01aav01\x01\0\0\x01b"),
    (2, b"\x02\0\x0aonTextData\x05"),
    (2, b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x08duration\0\0\0\0\0\0\0\0\0\0\0\x09"),
];

/// `connect` of ffmpeg with `fourCcList`.
const CONNECT: &[u8] = b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0\x03\0\x03app\x02\0\x04live\
    \0\x04type\x02\0\x0anonprivate\0\x08flashVer\x02\0\x06FMLE/3\0\x05tcUrl\x02\0\x0drtmp://h/live\
    \0\x0afourCcList\x0a\0\0\0\x02\x02\0\x04hvc1\x02\0\x04av01\0\0\x09";

fn main() {
    for (nth, record) in AVC.iter().enumerate() {
        write("config_avc", &format!("x264_{nth}"), record);
    }
    write("config_hevc", "x265", HEVC);
    for (nth, record) in AAC.iter().enumerate() {
        write("config_aac", &format!("aac_{nth}"), record);
    }
    for (nth, (target, record)) in OTHERS.iter().enumerate() {
        write(target, &format!("record_{nth}"), record);
    }
    for (nth, (codec, frame)) in FRAMES.iter().enumerate() {
        write("frame_head", &format!("frame_{nth}"), &[&[*codec], *frame].concat());
    }
    for (nth, (kind, payload)) in TAGS.iter().enumerate() {
        write("flv_tag", &format!("tag_{nth:02}"), &[&[*kind], *payload].concat());
    }
    write("amf0", "connect", CONNECT);
    write("amf0", "each_type", &encode_all(&each_type()));
    write("amf0", "metadata", TAGS[24].1);
    connections();
    journals();
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = folder().join("seeds").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn each_type() -> Vec<Value> {
    let members = || vec![("b".into(), Value::Null), ("a".into(), Value::Undefined)];
    vec![
        Value::Number(-1.5),
        Value::Boolean(true),
        Value::from("onMetaData"),
        Value::Object(members()),
        Value::MovieClip,
        Value::Reference(7),
        Value::EcmaArray(members()),
        Value::StrictArray(vec![Value::Number(0.0), Value::Object(members())]),
        Value::Date { ms: 1.0, zone: -2 },
        Value::LongString("x".into()),
        Value::Unsupported,
        Value::RecordSet,
        Value::Xml("<a/>".into()),
        Value::TypedObject { class: "C".into(), members: members() },
    ]
}

/// A short stream with something of everything.
fn stream() -> Vec<Tag> {
    let kinds = [TagKind::Audio, TagKind::Video, TagKind::Script];
    let tag = |nth: usize, (kind, payload): &(u8, &'static [u8])| Tag {
        kind: kinds[usize::from(*kind)],
        time_ms: nth as i64 * 40,
        payload: Bytes::from_static(payload),
    };
    let mut tags: Vec<Tag> = TAGS.iter().enumerate().map(|(nth, seed)| tag(nth, seed)).collect();
    let at = |kind, time_ms, payload: Vec<u8>| Tag { kind, time_ms, payload: payload.into() };
    // Looks like a private tag; a jump, a step back, an empty tag, one of several chunks.
    let look = b"\x02\0\x07liverec\x0c\0\0\0\x0b{\"clock\":1}";
    tags.push(at(TagKind::Script, 1000, look.to_vec()));
    tags.push(at(TagKind::Video, 5_000_000_000, [&b"\x17\x01\0\0\0"[..], &[7; 300]].concat()));
    tags.push(at(TagKind::Video, -9, b"\x27\x01\0\0\0a".to_vec()));
    tags.push(at(TagKind::Audio, 10, Vec::new()));
    tags
}

/// What a publisher sends, with and without its handshake, for both ends of the stack.
fn connections() {
    for (name, chunk_size) in [("small_chunks", 64), ("large_chunks", 65536)] {
        let target =
            Target { app: "live".into(), tc_url: "rtmp://h/live".into(), key: "ab".into() };
        let mut publisher = Publisher::new(target, chunk_size).unwrap();
        let mut session = ServerSession::new(1 << 20);
        let mut sent = Vec::new();
        for part in 0..3 {
            match part {
                1 => stream().iter().for_each(|tag| publisher.tag(tag)),
                2 => publisher.finish().unwrap(),
                _ => {}
            }
            loop {
                let up = publisher.take_output();
                sent.extend_from_slice(&up);
                session.receive(up.clone().into()).unwrap();
                while let Some(event) = session.next_event().unwrap() {
                    if let Event::Publish(request) = event {
                        session.accept(request.stream).unwrap();
                    }
                }
                let down = session.take_output();
                if up.is_empty() && down.is_empty() {
                    break;
                }
                publisher.receive(down.into()).unwrap();
            }
        }
        let chunks = &sent[1 + 2 * 1536..];
        write("session", name, &[&[0x20], chunks].concat());
        write("chunk_reader", name, &[&[0x10], chunks].concat());
        if chunk_size == 64 {
            write("session", "handshake", &[&[0x41], &sent[..]].concat());
        }
    }
    // Controls and an aggregate of two audio messages, on two chunk streams.
    let mut wire = vec![0x20];
    for (csid, type_id, payload) in [
        (2, 1, &[0, 0, 1, 0][..]),
        (2, 5, &[0, 0, 0, 40]),
        (2, 4, &[0, 6, 1, 2, 3, 4]),
        (3, 20, CONNECT),
        (3, 20, b"\x02\0\x07publish\0\0\0\0\0\0\0\0\0\x05\x02\0\x02ab"),
        (4, 22, b"\x08\0\0\x02\0\0\x05\0\0\0\0\xaf\x01\0\0\0\x0d\x08\0\0\x02\0\0\x09\0\0\0\0\xaf\x01\0\0\0\x0d"),
        (5, 15, b"\0\x02\0\x01a"),
        (2, 2, &[0, 0, 0, 4]),
    ] {
        wire.extend_from_slice(&[csid, 0, 0, 7]);
        wire.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        wire.push(type_id);
        wire.extend_from_slice(&u32::from(csid > 2).to_le_bytes());
        wire.extend_from_slice(payload);
    }
    write("session", "controls", &wire);
    write("chunk_reader", "controls", &wire);
}

/// Journals as the writer leaves them, closed and torn.
fn journals() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let one = journal(&runtime, 1 << 20, &stream());
    fs::write(folder().join("journal.flv"), &one[0].0).unwrap();
    write("journal_index", "sealed", &[&[0], &one[0].1[..]].concat());
    write("journal_index", "forged", &[&[1], &one[0].1[..]].concat());
    write("journal_index", "version_1", &[&[1], &as_version_1(&one[0].1)[..]].concat());
    let several = journal(&runtime, 300, &stream());
    assert!(several.len() >= 3, "{} files", several.len());
    write("journal_recovery", "closed", &input(&several[..3]));
    write("journal_recovery", "one", &input(&one));
    let bare: Vec<File> = several[..3].iter().map(|(data, _)| (data.clone(), Vec::new())).collect();
    write("journal_recovery", "no_index", &input(&bare));
    let (data, _) = &one[0];
    for (name, len) in [("torn_head", 100), ("torn_tag", data.len() - 20)] {
        write("journal_recovery", name, &input(&[(data[..len].to_vec(), Vec::new())]));
    }
    let zeros = [&data[..data.len() - 50], &[0; 64]].concat();
    write("journal_recovery", "zeros", &input(&[(zeros, Vec::new())]));
}

/// An index with the records of version 1; its checksums are made right by the target.
fn as_version_1(index: &[u8]) -> Vec<u8> {
    let mut old = index[..72].to_vec();
    old[8..12].copy_from_slice(&[1, 0, 48, 0]);
    for record in index[72..].chunks_exact(52) {
        old.extend([&record[..44], &[0; 4]].concat());
    }
    old
}

/// Data and index.
type File = (Vec<u8>, Vec<u8>);

fn journal(runtime: &tokio::runtime::Runtime, roll_bytes: u64, tags: &[Tag]) -> Vec<File> {
    let place = Place::new(roll_bytes);
    runtime.block_on(async {
        let mut writer =
            place.journal.create(SESSION, "{}".into(), 1_795_344_236_000).await.unwrap();
        for (nth, tag) in tags.iter().enumerate() {
            writer.push(tag, 1_795_344_236_000 + 400 * nth as i64);
            if nth % 9 == 8 {
                writer.note("{\"note\":1}");
                writer.flush().await.unwrap();
            }
        }
        writer.close("{\"end\":1}").await.unwrap();
    });
    let read =
        |number: usize, kind: &str| fs::read(place.folder.join(format!("{number:08}.{kind}")));
    (1..)
        .map_while(|number| Some((read(number, "flv").ok()?, read(number, "idx").unwrap())))
        .collect()
}

/// The layout that `journal_recovery` reads.
fn input(files: &[File]) -> Vec<u8> {
    let mut out = vec![files.len() as u8 - 1];
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_le_bytes();
    for (data, index) in files {
        out.extend(length(data));
        out.extend(length(index));
    }
    files.iter().for_each(|(data, index)| out.extend(data.iter().chain(index)));
    out
}
