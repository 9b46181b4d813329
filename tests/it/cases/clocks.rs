//! Clocks that begin anywhere in the 32 bits of RTMP, and chunks that carry them.

use liverec::media::tag::{Tag, TagKind};

use super::{
    run::{Case, Wire, check},
    source::Sources,
    tags::{merged, retimed, script},
};

const INDEX: &str = "Found invalid index entries, clearing the index.";
const INDEX_REASON: &str = "the key frame list counts from the first frame, as players do";

#[test]
fn clocks() {
    let sources = Sources::new();
    let usual = sources.usual(3);
    let from = |start_ms: i64| retimed(&usual, |tag| tag.time_ms + start_ms);
    // The encoder's metadata keep time 0, as most encoders send them.
    let late = |start_ms: i64| {
        retimed(&usual, |tag| match tag.kind {
            TagKind::Script => 0,
            _ => tag.time_ms + start_ms,
        })
    };
    let own = |repeats_extended| Wire::Own { repeats_extended };
    let bits = [("2^24", 1_i64 << 24), ("2^31", 1 << 31), ("2^32", 1 << 32)];
    let mut cases = vec![
        Case::new("from 0", from(0)),
        Case::new("from 0, chunks of 7 bytes", from(0)).over(Wire::Chunks(7)),
        Case::new("from 0, chunks of 64 KiB", from(0)).over(Wire::Chunks(65536)),
        Case::new("from 2^24 - 1 ms", from((1 << 24) - 1)),
        Case::new("from an hour, script data at 0", late(3_600_000)),
        Case::new("from 2^31 - 1 s, script data at 0", late((1 << 31) - 1000)),
        Case::new("from 2^32 - 1 s, script data at 0", late((1 << 32) - 1000)),
    ];
    for (name, wrap_ms) in bits {
        cases.push(Case::new(format!("across {name} ms"), from(wrap_ms - 1500)));
        cases.push(
            Case::new(
                format!("across {name} ms, extended timestamp repeated on type 3"),
                from(wrap_ms - 1500),
            )
            .over(own(true)),
        );
        cases.push(
            Case::new(
                format!("across {name} ms, extended timestamp not repeated"),
                from(wrap_ms - 1500),
            )
            .over(own(false)),
        );
    }
    cases.push(Case::new("audio of 44.1 kHz, 1 ms granularity", audio_alone(&usual)));
    cases.push(Case::new("variable frame rate", variable(&usual)));
    let cases: Vec<Case> = cases
        .into_iter()
        .map(|case| match case.starts_at_zero() {
            true => case,
            false => case.allow(&["flv"], INDEX, INDEX_REASON),
        })
        .collect();
    check("Clocks", &cases);
}

fn audio_alone(tags: &[Tag]) -> Vec<Tag> {
    let audio: Vec<Tag> = tags.iter().filter(|tag| tag.kind == TagKind::Audio).cloned().collect();
    let steps: Vec<i64> = audio.windows(2).map(|two| two[1].time_ms - two[0].time_ms).collect();
    assert!(steps.contains(&23) && steps.contains(&24), "frames of 23 and 24 ms");
    merged(&[vec![script("onMetaData", "no object", 0)], audio])
}

/// Pictures at 7 to 350 ms from each other, as a screen is captured.
fn variable(tags: &[Tag]) -> Vec<Tag> {
    let (mut video, mut audio) = (Vec::new(), Vec::new());
    let mut time_ms = 0;
    for (number, tag) in tags.iter().enumerate() {
        match tag.kind {
            TagKind::Video => {
                video.push(Tag { time_ms, ..tag.clone() });
                time_ms += [7, 350, 40, 41, 16, 17, 100][number % 7];
            }
            _ => audio.push(tag.clone()),
        }
    }
    merged(&[video, audio])
}
