//! What the server's writers make is read back as it was put in; whatever else is read, nothing
//! panics and nothing is taken for whole that is not.

mod files;

use std::io::Read;

use proptest::prelude::*;

use self::files::{Frame, adts_file, flv_file, fragments_file, frames, mp4_file, ts_file};
use super::{adts, flv, fragments, input::Input, mp4, playlist, ts};
use crate::{
    storage::StorageKey,
    verify::packet::{Lane, Packet, ReadError, Result, Sink},
};

/// A packet as it was read.
pub type Found = (Lane, i64, i64, Vec<u8>);

type Reader = fn(&[u8], &mut Sink<'_>) -> Result<()>;

fn read_mp4(bytes: &[u8], sink: &mut Sink<'_>) -> Result<()> {
    read_mp4_of(bytes, false, sink)
}

fn read_mp4_of(bytes: &[u8], is_of_version_1: bool, sink: &mut Sink<'_>) -> Result<()> {
    let mut tracks = mp4::movie(bytes.len() as u64, &mut |range| {
        let end = (range.end as usize).min(bytes.len());
        Ok(bytes[(range.start as usize).min(end)..end].to_vec())
    })?;
    tracks.iter_mut().for_each(|track| track.is_of_version_1 = is_of_version_1);
    mp4::read(&mut Input::new(&mut &*bytes), &tracks, sink)
}

/// An initialisation segment and a media segment, one behind the other.
fn read_fragments(bytes: &[u8], sink: &mut Sink<'_>) -> Result<()> {
    let init = fragments::init(&mut Input::new(&mut &*bytes))?;
    fragments::read(&mut Input::new(&mut &*bytes), &init, sink)
}

const READERS: [(&str, Reader); 5] = [
    ("flv", |bytes, sink| flv::read(&mut Input::new(&mut &*bytes), sink)),
    ("adts", |bytes, sink| adts::read(&mut Input::new(&mut &*bytes), sink)),
    ("ts", |bytes, sink| ts::read(&mut Input::new(&mut &*bytes), sink)),
    ("mp4", read_mp4),
    ("fragments", read_fragments),
];

fn reader(name: &str) -> Reader {
    READERS.into_iter().find(|(known, _)| *known == name).unwrap().1
}

fn read(name: &str, bytes: &[u8]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    reader(name)(bytes, &mut |packet: Packet<'_>| {
        found.push((packet.lane, packet.pts, packet.dts, packet.payload.to_vec()));
    })?;
    Ok(found)
}

/// Every kind of file of the same frames, with the packets it should have, in lanes.
fn products(frames: &[Frame]) -> [(&'static str, Vec<u8>, Vec<Found>); 5] {
    let [flv, adts, ts, mp4, fragments] =
        [flv_file, adts_file, ts_file, mp4_file, fragments_file].map(|make| make(frames));
    [
        ("flv", flv.0, flv.1),
        ("adts", adts.0, adts.1),
        ("ts", ts.0, ts.1),
        ("mp4", mp4.0, mp4.1),
        ("fragments", fragments.0, fragments.1),
    ]
}

fn in_lanes(mut packets: Vec<Found>) -> Vec<Found> {
    // Stable: the order within a lane stays.
    packets.sort_by_key(|packet| packet.0);
    packets
}

#[test]
fn what_the_writers_make_is_read_back() {
    for (name, bytes, expected) in products(&frames(200)) {
        assert!(expected.len() >= 100);
        assert_eq!(in_lanes(read(name, &bytes).unwrap()), in_lanes(expected), "{name}");
    }
}

#[test]
fn files_with_summaries_of_version_1_are_read_by_their_own_rule() {
    let (bytes, expected) = mp4_file(&frames(60));
    let mut found = Vec::new();
    let take = &mut |packet: Packet<'_>| found.push((packet.lane, packet.pts, packet.dts));
    read_mp4_of(&bytes, true, take).unwrap();
    for lane in [Lane::Video, Lane::Audio] {
        let found: Vec<_> = found.iter().filter(|packet| packet.0 == lane).collect();
        let expected: Vec<_> = expected.iter().filter(|packet| packet.0 == lane).collect();
        assert_eq!(found.len(), expected.len());
        // On the movie's timeline, but for the first.
        let offset = found[1].2 - expected[1].2;
        for (nth, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.1, expected.1);
            assert_eq!(found.2, if nth == 0 { 0 } else { expected.2 + offset });
        }
    }
}

#[test]
fn a_file_that_ends_early_is_cut_short() {
    for (name, bytes, _) in products(&frames(20)) {
        for missing in [1, 5, 100] {
            let error = read(name, &bytes[..bytes.len() - missing]).unwrap_err();
            assert!(matches!(error, ReadError::Malformed { .. }), "{name}: {error}");
        }
        assert!(read(name, b"").is_err(), "{name}");
    }
}

#[test]
fn a_lost_transport_packet_is_noticed() {
    let (bytes, _) = ts_file(&frames(20));
    let at = bytes.len() / 188 / 2 * 188;
    let error = read("ts", &[&bytes[..at], &bytes[at + 188..]].concat()).unwrap_err();
    assert!(error.to_string().contains("packet is missing"), "{error}");
}

#[test]
fn tables_that_promise_too_much_cost_nothing() {
    // A run of 2^32 - 1 samples that take no space.
    let mut moof = Vec::new();
    for (kind, body) in [
        (b"tfhd", &[0, 2, 0, 0, 0, 0, 0, 1][..]),
        (b"tfdt", &[0; 8][..]),
        (b"trun", &[0, 0, 0, 0, 255, 255, 255, 255][..]),
    ] {
        moof.extend(files::boxed(kind, body));
    }
    let moof = [files::boxed(b"mfhd", &[0; 8]), files::boxed(b"traf", &moof)].concat();
    let (init, _) = mp4_file(&frames(4));
    let init = fragments::init(&mut Input::new(&mut init.as_slice())).unwrap();
    let bytes = files::boxed(b"moof", &moof);
    let error = fragments::read(&mut Input::new(&mut bytes.as_slice()), &init, &mut |_| {});
    assert!(error.unwrap_err().to_string().contains("more than 1048576 samples"));

    // A tag, and a box, of which almost nothing is there: memory follows what comes.
    let mut out = Vec::new();
    let mut short = std::io::repeat(7).take(10);
    assert!(Input::new(&mut short).exactly(1 << 40, "it", &mut out).is_err());
    assert!(out.capacity() < 1 << 16);
}

#[test]
fn playlists_lead_nowhere_else() {
    let main = StorageKey::parse("live.local/live/show/1/playlist.m3u8").unwrap();
    let text = |entry: &str| {
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{entry}\n#EXT-X-ENDLIST\n")
    };
    let entries = playlist::parse(&main, text("0.ts").as_bytes()).unwrap();
    assert_eq!(entries[0].key.as_str(), "live.local/live/show/1/0.ts");
    assert_eq!((&entries[0].init, entries[0].is_discontinuous), (&None, false));
    let mapped = text("0.m4s")
        .replace("#EXTINF", "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-0.mp4\"\n#EXTINF");
    let entries = playlist::parse(&main, mapped.as_bytes()).unwrap();
    let init = entries[0].init.as_ref().unwrap();
    assert_eq!(init.as_str(), "live.local/live/show/1/init-0.mp4");
    assert!(entries[0].is_discontinuous);
    for odd in ["../2/0.ts", "/etc/passwd", "http://host/0.ts", "%2e%2e/0.ts", "..", "%ff"] {
        assert!(playlist::parse(&main, text(odd).as_bytes()).is_err(), "{odd}");
    }
    assert!(playlist::parse(&main, b"#EXTM3U\n#EXTINF:2,\n0.ts\n").is_err(), "not finished");
    assert!(playlist::parse(&main, b"#EXTM3U\n#EXT-X-ENDLIST\n").is_err(), "no segment");
}

proptest! {
    #[test]
    fn any_bytes_can_be_read(bytes: Vec<u8>) {
        for (_, reader) in READERS {
            let _ = reader(&bytes, &mut |_| {});
        }
        let main = StorageKey::parse("a/playlist.m3u8").unwrap();
        let _ = playlist::parse(&main, &bytes);
    }

    #[test]
    fn any_lines_are_a_playlist_or_not(lines in prop::collection::vec(
        prop_oneof![
            "#EXT[A-Z-]{0,24}:?[ -~]{0,20}", "[ -~]{0,20}", "\\PC{0,9}",
            Just("#EXTINF:1,".to_owned()), Just("#EXT-X-MAP:URI=\"a\"".to_owned()),
        ],
        0..20,
    )) {
        let main = StorageKey::parse("a/playlist.m3u8").unwrap();
        let _ = playlist::parse(&main, format!("#EXTM3U\n{}\n", lines.join("\n")).as_bytes());
    }

    #[test]
    fn damaged_files_can_be_read(
        nth in 0usize..5,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (name, mut bytes, _) = products(&frames(12))[nth].clone();
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read(name, &bytes);
    }
}
