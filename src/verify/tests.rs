//! Hashes and digests, without a store: what is found, and how it is told.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::{
    compare::Comparison,
    integrity::{Hashed, lists_are_whole},
    packet::{Lane, Packet},
    report::{Against, Difference, Report},
};
use crate::{
    domain::{
        container::Container,
        verification::{ObjectEvidence, TrackEvidence, VERSION, Verification},
    },
    media::packet_digest::PacketDigest,
};

fn part(number: u32, bytes: &[u8]) -> ObjectEvidence {
    ObjectEvidence {
        object: "main".to_owned(),
        part: number,
        size_bytes: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(bytes)),
    }
}

/// What is wrong with these bytes, read in the sizes that a reader may ask for.
fn hashed(bytes: &[u8], parts: &[ObjectEvidence]) -> Vec<Difference> {
    let mut told = None;
    for step in [1, 3, 1000] {
        let mut hashed = Hashed::new(bytes, "main", parts);
        let mut scratch = vec![0; step];
        // A reader may stop anywhere.
        for _ in 0..2 {
            assert!(hashed.read(&mut scratch).unwrap() <= step);
        }
        let (len, differences) = hashed.finish().unwrap();
        assert_eq!(len, bytes.len() as u64);
        assert_eq!(*told.get_or_insert_with(|| differences.clone()), differences);
    }
    told.unwrap()
}

#[test]
fn bytes_are_compared_part_by_part() {
    let parts = [part(1, b"0123456789"), part(2, b"abc")];
    assert_eq!(hashed(b"0123456789abc", &parts), []);
    assert_eq!(hashed(b"anything", &[]), []);
    let what = |bytes: &[u8]| -> Vec<String> {
        hashed(bytes, &parts).into_iter().map(|difference| difference.what).collect()
    };
    assert_eq!(what(b"0123456789abd"), ["part 2 (bytes 10 to 13) was altered"]);
    assert_eq!(what(b"x123456789abc"), ["part 1 (bytes 0 to 10) was altered"]);
    assert_eq!(what(b"0123456789a"), ["the object is cut short in part 2"]);
    assert_eq!(what(b"0123456789"), ["the object is cut short in part 2"]);
    assert_eq!(what(b""), ["the object is cut short in part 1"]);
    assert_eq!(what(b"0123456789abcd"), ["the object is longer than it was"]);
}

#[test]
fn a_summary_that_was_altered_is_noticed() {
    let mut summary =
        Verification { version: VERSION, objects: vec![part(1, b"a")], ..Verification::default() };
    summary.seal();
    assert!(lists_are_whole(&summary));
    summary.objects[0].size_bytes += 1;
    assert!(!lists_are_whole(&summary));
}

fn payload(nth: u64) -> Vec<u8> {
    nth.to_be_bytes().to_vec()
}

/// The summary of a video track of so many packets.
fn summary(packets: u64) -> Verification {
    let mut digest = PacketDigest::default();
    (0..packets).for_each(|nth| digest.push(nth as i64, nth as i64, &payload(nth)));
    let track = TrackEvidence {
        track: "video".to_owned(),
        packets,
        blocks: digest.finish().iter().map(hex::encode).collect(),
        ..TrackEvidence::default()
    };
    Verification { version: VERSION, tracks: vec![track], ..Verification::default() }
}

/// The report on a product that has these packets, of which one may be altered.
fn report(recorded: Option<u64>, found: u64, altered: Option<u64>, is_cut: bool) -> Report {
    let summary = recorded.map(summary);
    let mut comparison = Comparison::new(None, summary.is_some());
    for nth in 0..found {
        let mut payload = payload(nth);
        payload[0] = u8::from(altered == Some(nth));
        comparison.packet(Packet::frame(Lane::Video, nth as i64, nth as i64, &payload));
    }
    if is_cut {
        comparison.cut();
    }
    let mut report = Report::new("7".to_owned(), Container::Mp4, summary.clone());
    comparison.finish(summary.as_ref(), &mut report);
    report.conclude()
}

#[test]
fn packets_are_compared_block_by_block() {
    let good = report(Some(3000), 3000, None, false);
    assert!(good.verified && good.against == Against::Digests, "{good}");
    assert_eq!((good.tracks[0].packets, good.tracks[0].compared), (3000, Some(3000)));

    for (altered, first) in [(0, 0), (1023, 0), (1024, 1024), (2999, 2048)] {
        let report = report(Some(3000), 3000, Some(altered), false);
        let [difference] = report.differences.as_slice() else { panic!("{report}") };
        assert_eq!((difference.track, difference.packet), (Some("video"), Some(first)));
        assert_eq!(report.tracks[0].compared, Some(first));
        assert!(!report.verified);
    }
    for found in [2047, 2048, 2999, 3001, 3072, 5000, 0] {
        let report = report(Some(3000), found, None, false);
        assert!(!report.verified && report.differences.len() == 1, "{found}: {report}");
    }
    // What could not be read is said by who read it; the blocks before it are compared.
    let cut = report(Some(3000), 2000, None, true);
    assert_eq!((cut.verified, cut.tracks[0].compared), (false, Some(1024)), "{cut}");
    assert_eq!(cut.differences, [Difference::new("not all packets can be read")]);
    assert!(!report(Some(3000), 2000, Some(5), true).verified);
}

#[test]
fn without_anything_to_compare_with_nothing_is_verified() {
    let report = report(None, 10, None, false);
    assert!(!report.verified && report.differences.is_empty());
    insta::assert_snapshot!(report, @"
    mp4 file 7 cannot be verified
      objects  0, 0 bytes, no sizes and SHA-256 were recorded
      packets  with nothing to compare with (the journal is gone, no digests were recorded)
        video  10 found, not compared one by one
    ");
}

#[test]
fn the_first_difference_is_named() {
    let mut report = report(Some(2000), 2000, Some(1500), false);
    report.differences[0].expected = Some("this".to_owned());
    report.differences[0].found = Some("that".to_owned());
    insta::assert_snapshot!(report, @"
    mp4 file 7 DIFFERS from what was sent
      objects  0, 0 bytes, no sizes and SHA-256 were recorded
      packets  against the recorded digests, 1024 packets at a time (no journal)
        video  2000 found, 1024 the same
      first difference: video packet 1024: it or one behind it, up to packet 1999, was altered
        expected this
        found    that
    ");
}
