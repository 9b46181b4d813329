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
