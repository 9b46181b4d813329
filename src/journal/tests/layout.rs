//! What stands on disk.

use super::*;
use crate::journal::{prefix::Prefix, private::Private, walk::Walk};

/// Everything in a data file, one line per tag.
fn describe(bytes: &[u8]) -> String {
    let mut walk = Walk::open(bytes).unwrap().unwrap();
    let mut lines = String::new();
    while let Some(tag) = walk.next().unwrap() {
        let what = match Private::decode(tag.payload) {
            Some(private) => serde_json::to_string(&private).unwrap(),
            None => tag.payload.escape_ascii().to_string(),
        };
        lines.push_str(&format!("{:?} {} {what}\n", tag.kind, tag.time));
    }
    assert_eq!(walk.len(), bytes.len() as u64, "the file ends with a whole tag");
    lines
}

#[test]
fn files_explain_themselves() {
    let place = Place::new(60);
    let tags = [
        metadata(0, 1),
        video_config(0, 1),
        audio_config(0, 1),
        keyframe(10, 9),
        audio(20, 40),
        keyframe(50, 9),
    ];
    let (session, _) = place.record(&tags, 9);
    let files = files(&place, session);
    let all: Vec<String> = files
        .iter()
        .map(|(data, _)| describe(data).replace(&session.to_string(), "<session>"))
        .collect();
    insta::assert_snapshot!(all.join("--\n"), @r##"
    Script 0 {"head":{"format":1,"session":"<session>","file":1,"base":0,"clock_ms":0,"wall_ms":1795344236000,"next_config":1,"notes":0,"repeated":1,"metadata":false,"configs":[],"checks":[],"head":"{\"session\":\"text of the caller, \\\"quoted\\\"\"}"}}
    Script 0 {"head":{"format":1,"session":"<session>","file":1,"base":0,"clock_ms":0,"wall_ms":1795344236000,"next_config":1,"notes":0,"repeated":1,"metadata":false,"configs":[],"checks":[],"head":"{\"session\":\"text of the caller, \\\"quoted\\\"\"}"}}
    Script 0 {"clock":1795344236000}
    Script 0 \x02\x00\nonMetaData\x08\x00\x00\x00\x01\x00\x01a\x01\x01\x00\x00\t
    Video 0 \x17\x00\x00\x00\x00\x01d\x00\x01\xff
    Audio 0 \xaf\x00\x12\x01
    --
    Script 0 {"head":{"format":1,"session":"<session>","file":2,"base":138,"clock_ms":0,"wall_ms":1795344237200,"next_config":3,"notes":0,"repeated":7,"metadata":true,"configs":[{"track":0,"track_id":0,"config":1,"tag":1},{"track":1,"track_id":0,"config":2,"tag":2}],"checks":[{"len":41,"crc":1646062484},{"len":25,"crc":3676061402},{"len":19,"crc":2536831740}],"head":"{\"session\":\"text of the caller, \\\"quoted\\\"\"}"}}
    Script 0 \x02\x00\nonMetaData\x08\x00\x00\x00\x01\x00\x01a\x01\x01\x00\x00\t
    Video 0 \x17\x00\x00\x00\x00\x01d\x00\x01\xff
    Audio 0 \xaf\x00\x12\x01
    Script 0 {"head":{"format":1,"session":"<session>","file":2,"base":138,"clock_ms":0,"wall_ms":1795344237200,"next_config":3,"notes":0,"repeated":7,"metadata":true,"configs":[{"track":0,"track_id":0,"config":1,"tag":1},{"track":1,"track_id":0,"config":2,"tag":2}],"checks":[{"len":41,"crc":1646062484},{"len":25,"crc":3676061402},{"len":19,"crc":2536831740}],"head":"{\"session\":\"text of the caller, \\\"quoted\\\"\"}"}}
    Script 0 \x02\x00\nonMetaData\x08\x00\x00\x00\x01\x00\x01a\x01\x01\x00\x00\t
    Video 0 \x17\x00\x00\x00\x00\x01d\x00\x01\xff
    Audio 0 \xaf\x00\x12\x01
    Script 0 {"clock":1795344237200}
    Video 10 \x17\x01\x00\x00\x00\n\x0b\x0c\r\x0e\x0f\x10\x11\x12
    Audio 20 \xaf\x01\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f !\"#$%&\'()*+,-./0123456789:;
    --
    Script 20 {"head":{"format":1,"session":"<session>","file":3,"base":277,"clock_ms":20,"wall_ms":1795344238000,"next_config":3,"notes":0,"repeated":7,"metadata":true,"configs":[{"track":0,"track_id":0,"config":1,"tag":1},{"track":1,"track_id":0,"config":2,"tag":2}],"checks":[{"len":41,"crc":1646062484},{"len":25,"crc":557189170},{"len":19,"crc":3817486000}],"head":"{\"session\":\"text of the caller, \\\"quoted\\\"\"}"}}
    Script 0 \x02\x00\nonMetaData\x08\x00\x00\x00\x01\x00\x01a\x01\x01\x00\x00\t
    Video 20 \x17\x00\x00\x00\x00\x01d\x00\x01\xff
    Audio 20 \xaf\x00\x12\x01
    Script 20 {"head":{"format":1,"session":"<session>","file":3,"base":277,"clock_ms":20,"wall_ms":1795344238000,"next_config":3,"notes":0,"repeated":7,"metadata":true,"configs":[{"track":0,"track_id":0,"config":1,"tag":1},{"track":1,"track_id":0,"config":2,"tag":2}],"checks":[{"len":41,"crc":1646062484},{"len":25,"crc":557189170},{"len":19,"crc":3817486000}],"head":"{\"session\":\"text of the caller, \\\"quoted\\\"\"}"}}
    Script 0 \x02\x00\nonMetaData\x08\x00\x00\x00\x01\x00\x01a\x01\x01\x00\x00\t
    Video 20 \x17\x00\x00\x00\x00\x01d\x00\x01\xff
    Audio 20 \xaf\x00\x12\x01
    Video 50 \x17\x01\x00\x00\x0023456789:
    Script 50 {"note":"{\"end\":true}"}
    "##);
}

#[test]
fn a_file_begins_at_a_keyframe_or_twice_as_late() {
    let place = Place::new(1000);
    let mut tags = vec![];
    for nth in 0..200i64 {
        tags.push(audio(nth * 20, 20));
        tags.push(if nth % 10 == 0 && nth < 100 {
            keyframe(nth * 20, 60)
        } else {
            inter(nth * 20, 60)
        });
    }
    let (session, _) = place.record(&tags, 4);
    let mut reader = place.reader(session);
    let mut bases = vec![];
    for nth in 0..reader.files() {
        bases.push(reader.header(nth).unwrap().base);
    }
    let ends: Vec<u64> = bases[1..].to_vec();
    let samples = all_samples(&mut reader);
    for (from, to) in bases.iter().zip(ends) {
        let next =
            samples.iter().find(|s| s.position >= to && s.kind == SampleKind::Frame).unwrap();
        let is_late = to - from >= 2000;
        assert!(to - from >= 1000 && to - from < 2000 + 200, "{from} {to}");
        assert!(is_late || next.is_video_frame() && next.keyframe);
    }
    assert!(bases.len() > 8);

    let (session, _) = place.record(&(0..200).map(|n| audio(n * 20, 50)).collect::<Vec<_>>(), 4);
    let mut reader = place.reader(session);
    assert!(reader.files() > 4);
    for nth in 1..reader.files() {
        let len = reader.header(nth).unwrap().base - reader.header(nth - 1).unwrap().base;
        assert!((1000..1200).contains(&len), "audio only: {len}");
    }
}

#[test]
fn a_prefix_restores_the_state_of_the_tracker() {
    let place = Place::new(0);
    let tags = stream();
    let (session, _) = place.record(&tags, 3);
    let folder = place.journal.folder(session);
    let mut tracker = Tracker::new(State::default());
    for number in folder.numbers().unwrap() {
        let prefix = Prefix::load(&folder.data(number), session, number).unwrap();
        let mut walk = super::super::resync::walk_at(&folder.data(number), prefix.len).unwrap();
        assert_eq!(prefix.state, *tracker.state(), "file {number}");
        assert_eq!((prefix.head.file, prefix.head.head.as_str()), (number, HEAD));
        let mut position = prefix.head.base;
        while let Some(tag) = walk.next().unwrap() {
            tracker.replay(position, tag.kind, tag.time, tag.payload, &mut Vec::new());
            position += tag_len(tag.payload.len());
        }
    }
}

#[test]
fn an_end_of_sequence_does_not_move_the_clock() {
    let mut tracker = Tracker::new(State::default());
    let mut clock_after = |tag: &Tag| {
        tracker.examine(tag.kind, &tag.payload);
        tracker.record(0, tag.time_ms, &tag.payload, &mut Vec::new());
        tracker.state().clock_ms
    };
    assert_eq!(clock_after(&keyframe(5000, 3)), 5000);
    let end_of_sequence = tag(TagKind::Video, 0, &[0x17, 2, 0, 0, 0]);
    assert_eq!(clock_after(&end_of_sequence), 5000);
    assert_eq!(clock_after(&audio(4990, 3)), 4990);
}

#[test]
fn payloads_are_not_copied() {
    let mut intake = crate::journal::intake::Intake::new(1 << 20, WALL_MS);
    let tags = [keyframe(0, 1000), inter(40, 500), audio(41, 90)];
    for tag in &tags {
        intake.push(tag, WALL_MS);
    }
    let mut batches = Default::default();
    intake.take(&mut batches);
    let slices = batches[0].slices();
    for tag in &tags {
        assert!(slices.iter().any(
            |slice| slice.as_ptr() == tag.payload.as_ptr() && slice.len() == tag.payload.len()
        ));
    }
    // Two for each tag, the clock mark among them, and the last back pointer.
    assert_eq!(slices.len(), 2 * 4 + 1);
}
