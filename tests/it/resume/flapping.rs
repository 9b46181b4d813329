//! An uplink that comes and goes, with and without a resume window.

use liverec::media::tag::Tag;
use serde_json::{Value, json};

use super::{
    assert_one_file_each, assert_payloads, broken_push, push, recorder, rows, source, stored,
    stories,
};
use crate::{
    support::{
        ffmpeg::Codecs,
        publisher::Pusher,
        pushing::{frames, journal_files, product_tags},
        server::{Backend, eventually},
    },
    verbatim::{FORMATS, format_of, make_heavy_source},
};

const PUSHES: usize = 20;

/// Pushes of different lengths, each from the beginning of the source.
fn pieces(tags: &[Tag]) -> Vec<&[Tag]> {
    (0..PUSHES).map(|nth| &tags[..40 + nth * 7]).collect()
}

#[test]
fn with_a_window_it_is_one_file() {
    let (server, receiver) = recorder(Backend::Plain, &FORMATS, 30, &[]);
    let source = source(&server, Codecs::H264Aac, 6);
    let pushes = pieces(&source.tags);
    for (nth, tags) in pushes.iter().enumerate() {
        broken_push(&server, &receiver, tags, nth + 1);
    }
    assert_one_file_each(&server, &receiver, &source, &FORMATS, &pushes);
}

#[test]
fn without_a_window_every_push_is_a_file() {
    let (server, receiver) = recorder(Backend::Plain, &FORMATS, 0, &[]);
    let source = source(&server, Codecs::H264Aac, 6);
    let pushes = pieces(&source.tags);
    for (nth, tags) in pushes.iter().enumerate() {
        broken_push(&server, &receiver, tags, nth + 1);
    }
    let files = stored(&receiver, PUSHES * FORMATS.len());
    let begun = receiver.wait_for(1, PUSHES);
    for (nth, event) in begun.iter().enumerate() {
        let ours: Vec<&Value> =
            files.iter().filter(|file| file["task_id"] == event["sequence"]).collect();
        assert_eq!(ours.len(), FORMATS.len());
        for file in ours {
            assert_payloads(&server, file, &source, &[pushes[nth]]);
        }
    }
    for told in stories(&receiver).values() {
        assert_eq!(*told, ["record_start_succeeded", "record_ended"]);
    }
    assert_eq!(rows(&server, &files).iter().map(|row| row.spans.len()).max(), Some(1));
}

/// Takeovers as fast as they come: each push finds the one before still ending.
#[test]
fn takeovers_one_after_the_other() {
    let (server, receiver) = recorder(Backend::Plain, &["Flv", "Mp4"], 30, &[]);
    let source = source(&server, Codecs::H264Aac, 6);
    let pushes = &pieces(&source.tags)[..8];
    let mut open = Vec::new();
    for tags in pushes {
        open.push(push(&server, tags));
    }
    drop(open);
    assert_one_file_each(&server, &receiver, &source, &["Flv", "Mp4"], pushes);
}

/// The note that began a recording is in a part of the journal that is gone, as after hours.
#[test]
fn a_recording_whose_beginning_is_released_is_finished_after_a_kill() {
    for window_s in [0, 20] {
        let (mut server, receiver) =
            recorder(Backend::Plain, &[], window_s, &[("journal.unclaimed_max", "2MiB")]);
        let template = json!({
            "TemplateName": "short", "FlvParam": {"Enable": 1, "RecordInterval": 60},
        });
        let id = server.live("CreateLiveRecordTemplate", template)["TemplateId"].clone();
        let rule = |stream: &str| {
            json!({
                "DomainName": "live.local", "AppName": "live", "StreamName": stream,
            })
        };
        server.live("DeleteLiveRecordRule", rule("show"));
        let mut new = rule("show");
        new["TemplateId"] = id;
        server.live("CreateLiveRecordRule", new);

        let path = server.folder().join("heavy.flv");
        make_heavy_source(&path, 10);
        let tags = crate::support::publisher::read_tags(&path);
        // The same ten seconds at times of a minute each: a file is cut at every key frame.
        let slow: Vec<Tag> =
            tags.iter().map(|tag| Tag { time_ms: tag.time_ms * 9, ..tag.clone() }).collect();
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(&slow);
        stored(&receiver, 1);
        eventually("the release of the beginning", || {
            let first = journal_files(&server).into_iter().next()?;
            (!first.ends_with("00000001.flv")).then_some(())
        });
        server.kill();
        drop(pusher);
        server.launch();
        let files = stored(&receiver, 2);
        receiver.wait_for(0, 1);
        let mut found: Vec<(u64, Vec<Tag>)> = files
            .iter()
            .map(|file| {
                assert_eq!(format_of(file), "flv");
                let id = file["file_id"].as_str().unwrap().parse().unwrap();
                (id, frames(&product_tags(&super::here(&server, file))))
            })
            .collect();
        found.sort_by_key(|(id, _)| *id);
        let found: Vec<Tag> = found.into_iter().flat_map(|(_, tags)| tags).collect();
        let sent = frames(&slow);
        assert!(found.len() > sent.len() / 2);
        crate::support::pushing::assert_same_tags(
            &found,
            &sent[..found.len()],
            "both files, as far as the journal went",
        );
    }
}
