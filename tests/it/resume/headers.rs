//! What a later push says of itself: it stands where that push begins, and is compared there too.

use liverec::media::tag::{Tag, TagKind};
use serde_json::{Value, json};

use super::{broken_push, here, recorder, stored};
use crate::support::{
    ffmpeg::Codecs,
    publisher::is_header,
    pushing::{Source, product_tags},
    server::{Backend, Server},
};

/// What `liverec verify` says of a file that it finds to be what was sent.
fn verified(server: &Server, file: &Value) -> Value {
    let id = file["file_id"].as_str().unwrap();
    let output = server.cli().args(["verify", id, "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(
        (&report["against"], &report["notes"]),
        (&json!("journal"), &json!([])),
        "{report:#}"
    );
    report
}

#[test]
fn metadata_that_come_with_the_second_push_alone_are_compared() {
    let settings = [("journal.retention", "1h")];
    let (server, receiver) = recorder(Backend::Plain, &["Flv"], 2, &settings);
    let source = Source::make(&server, Codecs::H264Aac, 2);
    let bare: Vec<Tag> =
        source.tags.iter().filter(|tag| tag.kind != TagKind::Script).cloned().collect();
    assert!(bare.len() < source.tags.len(), "the source has onMetaData");
    broken_push(&server, &receiver, &bare, 1);
    broken_push(&server, &receiver, &source.tags, 2);
    let file = &stored(&receiver, 1)[0];
    verified(&server, file);
}

/// An encoder whose clock goes on and whose headers come with time 0, as they do with the first push.
#[test]
fn headers_with_times_of_their_own_stand_where_the_second_push_begins() {
    let settings = [("journal.retention", "1h")];
    let (server, receiver) = recorder(Backend::Plain, &["Flv"], 2, &settings);
    let source = Source::make(&server, Codecs::H264Aac, 2);
    let mut second = source.tags.clone();
    let begin = second.iter().position(|tag| !is_header(tag)).unwrap();
    assert!(begin > 1, "the source has headers");
    second[begin..].iter_mut().for_each(|tag| tag.time_ms += 3_600_000);
    broken_push(&server, &receiver, &source.tags, 1);
    broken_push(&server, &receiver, &second, 2);
    let file = &stored(&receiver, 1)[0];
    let found = product_tags(&here(&server, file));
    let times: Vec<i64> = found.iter().map(|tag| tag.time_ms).collect();
    let resumed = &found[found.len() - second.len()..];
    let first_ms = resumed[begin].time_ms;
    assert!(first_ms < 60_000, "{times:?}");
    for tag in &resumed[..begin] {
        assert_eq!(tag.time_ms, first_ms, "{times:?}");
    }
    let report = verified(&server, file);
    let moved = report["summary"]["irregularities"].as_array().unwrap().iter();
    let moved: Vec<_> = moved.filter(|seen| seen["kind"] == "moved_headers").collect();
    assert_eq!(moved, [&json!({"kind": "moved_headers", "count": begin})], "{report:#}");
}

/// An encoder that has run for 30 days and sends script data with time 0 while it pushes: nearest to its
/// clock that is when the 32 bits of RTMP's begin again, 19 days ahead. They stand where they came, and
/// those that come when it does begin again have their own time.
#[test]
fn script_data_with_time_0_stand_where_they_came() {
    const FAR_MS: i64 = 2_592_000_000;
    let settings = [("journal.retention", "1h")];
    let (server, receiver) = recorder(Backend::Plain, &["Flv"], 2, &settings);
    let source = Source::make(&server, Codecs::H264Aac, 2);
    let data = Tag {
        kind: TagKind::Script,
        time_ms: 0,
        payload: b"\x02\0\x0aonTextData\x05".to_vec().into(),
    };
    broken_push(&server, &receiver, &source.tags, 1);
    let middle = source.tags.len() / 2;
    let later = |begin_ms: i64, data_ms: i64| {
        let mut tags = source.tags.clone();
        tags.iter_mut().for_each(|tag| tag.time_ms += begin_ms);
        tags.insert(middle, Tag { time_ms: data_ms, ..data.clone() });
        tags
    };
    let second = later(FAR_MS, 0);
    let third = later((1 << 32) - 3_000, 5);
    broken_push(&server, &receiver, &second, 2);
    broken_push(&server, &receiver, &third, 3);
    let file = &stored(&receiver, 1)[0];
    let found = product_tags(&here(&server, file));
    let times: Vec<i64> = found.iter().map(|tag| tag.time_ms).collect();
    assert!(times.iter().all(|time_ms| *time_ms < 120_000), "{times:?}");
    let at: Vec<_> = (0..found.len()).filter(|nth| found[*nth].payload == data.payload).collect();
    let [one, other] = at[..] else { panic!("{times:?}") };
    assert_eq!(times[one], times[one - 1], "{times:?}");
    let ahead_ms = (1 << 32) + 5 - third[middle - 1].time_ms;
    assert_eq!(times[other] - times[other - 1], ahead_ms, "{times:?}");
    let report = verified(&server, file);
    let moved = report["summary"]["irregularities"].as_array().unwrap().iter();
    let moved: Vec<_> = moved.filter(|seen| seen["kind"] == "moved_headers").collect();
    assert_eq!(moved, [&json!({"kind": "moved_headers", "count": 1})], "{report:#}");
}
