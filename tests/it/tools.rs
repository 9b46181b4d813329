//! The outside programs that other tests stand on do what those tests take for granted.

use std::process::Command;

use crate::support::{
    ffmpeg::{Codecs, make_source, packets, probe},
    postgres::Database,
    python, run,
};

#[test]
fn sources_have_the_codecs_and_packets_they_promise() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (Codecs::H264Aac, &["h264", "aac"][..]),
        (Codecs::HevcAac, &["hevc", "aac"]),
        (Codecs::Aac, &["aac"]),
    ];
    for (codecs, names) in cases {
        let path = folder.path().join(format!("{codecs:?}.flv"));
        make_source(codecs, 2, &path);
        let packets = packets(path.to_str().unwrap());
        let of = |stream: u32| packets.iter().filter(|packet| packet.stream == stream).count();
        let streams = u32::try_from(names.len()).unwrap();
        assert_eq!(packets.iter().map(|packet| packet.stream).max(), Some(streams - 1));
        if streams == 2 {
            assert_eq!(of(0), 50, "{codecs:?}: 25 frames a second");
            let is_reordered = packets.iter().any(|p| p.stream == 0 && p.pts > p.dts);
            assert!(is_reordered, "{codecs:?} has B-frames");
        }
        assert!(of(streams - 1) > 90, "{codecs:?}: 1024 samples a frame");
        assert!(packets.iter().all(|packet| packet.size > 0 && packet.hash.len() == 64));
        if !matches!(codecs, Codecs::HevcAac) {
            let found = probe(path.to_str().unwrap(), "stream=codec_name");
            let streams = found["streams"].as_array().unwrap();
            let found: Vec<&str> =
                streams.iter().map(|stream| stream["codec_name"].as_str().unwrap()).collect();
            assert_eq!(found, names);
        }
    }
}

#[test]
fn every_database_is_empty_and_its_own() {
    let (one, other) = (Database::create(), Database::create());
    assert_ne!(one.url(), other.url());
    let psql = |url: String, statement: &str| {
        let arguments = ["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c", statement];
        String::from_utf8(run(Command::new("psql").args(arguments).arg(url))).unwrap()
    };
    psql(one.url(), "CREATE TABLE only_here (a BIGINT)");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(psql(one.url(), tables).trim(), "1");
    assert_eq!(psql(other.url(), tables).trim(), "0");
}

#[test]
fn python_has_the_sdk() {
    let text = String::from_utf8(run(&mut python::script("sdk_version.py"))).unwrap();
    assert!(text.contains("live 2018-08-01, vod 2018-07-17"), "{text}");
}
