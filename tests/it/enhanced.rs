//! Enhanced RTMP between a current ffmpeg and the server: what each says in `connect`, heard on
//! the wire, and that what is pushed afterwards is what is recorded.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread::{self, JoinHandle},
};

use rml_amf0::Amf0Value;
use rml_rtmp::{chunk_io::ChunkDeserializer, messages::RtmpMessage};

use crate::{
    support::{
        ffmpeg::{Codecs, ffmpeg, ffmpeg7},
        pushing::{Source, as_in_product, assert_same_tags, product_tags},
        run,
        server::Backend,
    },
    verbatim::recorder,
};

/// Bytes of the handshake, in either direction.
const HANDSHAKE: usize = 1 + 2 * 1536;

#[test]
fn ffmpeg_pushes_hevc_live() {
    let x265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"];
    pushes_live(&x265, Some("hvc1"));
}

#[test]
fn ffmpeg_pushes_av1_live() {
    pushes_live(&["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime"], Some("av01"));
}

#[test]
fn an_encoder_that_does_not_ask_gets_the_old_answer() {
    pushes_live(&["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"], None);
}

/// Pushes two seconds in real time, listing a codec as an enhanced one if it is given.
fn pushes_live(video: &[&str], four_cc: Option<&str>) {
    let (server, receiver) = recorder(Backend::Plain, &["Flv"], 7200, &[]);
    let program: fn() -> Command = if four_cc.is_some() { ffmpeg7 } else { ffmpeg };
    let path = server.folder().join("source.flv");
    encode(program(), video, &path);
    let source = match four_cc {
        Some(_) => Source::of(Codecs::HevcAac, path),
        None => Source::of(Codecs::H264Aac, path),
    };

    let (relay, said) = listen_between(server.rtmp);
    let mut push = program();
    push.args(["-re", "-i", source.name(), "-map", "0", "-c", "copy"]);
    if let Some(four_cc) = four_cc {
        push.args(["-rtmp_enhanced_codecs", four_cc]);
    }
    run(push.args(["-f", "flv", &format!("rtmp://{relay}/live/show")]));
    let (asked, answered) = said.join().unwrap();

    let asked = object_of("connect", &asked);
    match four_cc {
        Some(four_cc) => {
            assert!(list(&asked[0]).iter().any(|name| name == four_cc), "{asked:?}");
            for object in object_of("_result", &answered) {
                assert!(list(&object).iter().any(|name| name == four_cc), "{object:?}");
                assert_eq!(number(member(&object, "videoFourCcInfoMap"), four_cc), 4.0);
                assert_eq!(number(member(&object, "audioFourCcInfoMap"), "mp4a"), 4.0);
                assert_eq!(number(Some(&object), "capsEx"), 14.0);
            }
        }
        None => {
            for object in asked.iter().chain(&object_of("_result", &answered)) {
                for name in ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"] {
                    assert_eq!(member(object, name), None);
                }
            }
        }
    }
    let files = receiver.wait_for(100, 1);
    let url = files[0]["video_url"].as_str().unwrap();
    assert_same_tags(&product_tags(url), &as_in_product(&source.tags), url);
}

fn encode(mut program: Command, video: &[&str], path: &Path) {
    program.args(["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10"]);
    program.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "2"]);
    program.args(video).args(["-g", "10", "-c:a", "aac", "-f", "flv"]);
    run(program.arg(path));
}

/// What was said by the one side and by the other.
type Said = (Vec<u8>, Vec<u8>);

/// Stands between one client and the server, and gives both sides' bytes at the end.
fn listen_between(server: SocketAddr) -> (SocketAddr, JoinHandle<Said>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let both = thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(server).unwrap();
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let up = thread::spawn(move || carry(from, to));
        let down = carry(server, client);
        (up.join().unwrap(), down)
    });
    (address, both)
}

fn carry(mut from: TcpStream, mut to: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 65536];
    // A reset is an end as well, and what the other side does not take any more was said all the
    // same.
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        all.extend_from_slice(&buffer[..read]);
        let _ = to.write_all(&buffer[..read]);
    }
    let _ = to.shutdown(Shutdown::Write);
    all
}

/// The objects that are values of the first command with this name.
fn object_of(name: &str, said: &[u8]) -> Vec<Amf0Value> {
    let mut deserializer = ChunkDeserializer::new();
    let mut input = &said[HANDSHAKE..];
    while let Some(message) = deserializer.get_next_message(input).unwrap() {
        input = &[];
        match message.to_rtmp_message().unwrap() {
            RtmpMessage::SetChunkSize { size } => {
                deserializer.set_max_chunk_size(size as usize).unwrap();
            }
            RtmpMessage::Amf0Command {
                command_name, command_object, additional_arguments, ..
            } if command_name == name => {
                let values = std::iter::once(command_object).chain(additional_arguments);
                return values.filter(|value| matches!(value, Amf0Value::Object(_))).collect();
            }
            _ => {}
        }
    }
    panic!("no {name} was said");
}

fn member<'a>(object: &'a Amf0Value, name: &str) -> Option<&'a Amf0Value> {
    match object {
        Amf0Value::Object(members) => members.get(name),
        other => panic!("{other:?} is no object"),
    }
}

fn number(object: Option<&Amf0Value>, name: &str) -> f64 {
    match object.and_then(|object| member(object, name)) {
        Some(Amf0Value::Number(number)) => *number,
        other => panic!("{name} is {other:?}"),
    }
}

fn list(object: &Amf0Value) -> Vec<String> {
    match member(object, "fourCcList") {
        Some(Amf0Value::StrictArray(names)) => {
            names.iter().map(|name| name.clone().get_string().unwrap()).collect()
        }
        other => panic!("fourCcList is {other:?}"),
    }
}
