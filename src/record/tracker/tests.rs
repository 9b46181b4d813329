//! From samples and notes to changes.

use super::*;
use crate::{
    domain::{container::Container, ids::DecimalId, plan::default_profile, recording::Origin},
    media::{
        sample::{Codec, Track},
        testing,
    },
};

fn recording(container: Container, interval_s: i64) -> Box<Recording> {
    let mut template = default_profile(container);
    template.flv.record_interval = interval_s;
    Box::new(Recording {
        id: RecordingId::new(0),
        session_id: DecimalId(1),
        origin: Origin::Rule,
        container,
        template,
        started_ms: 0,
        resume_window_s: 0,
    })
}

fn frame(position: u64, dts_ms: i64) -> Sample {
    let (tag_len, data_offset, data_len) = (10, 11, 1);
    Sample { position, tag_len, data_offset, data_len, ..testing::frame(Track::Video, dts_ms) }
}

#[test]
fn files_of_a_recording_touch_without_gap_or_overlap() {
    let flv = recording(Container::Flv, 60);
    let id = flv.id;
    let mut tracker = Tracker::new(1_000);
    let mut changes = Vec::new();
    tracker.note(5, Note::Attach { recording: flv, from: 5 }, &mut changes);
    for i in 0..200u64 {
        tracker.push(&frame(100 + i * 10, i as i64 * 1000), &mut changes);
    }
    let (reason, _) = tracker.finish(2_100, true, &mut changes);
    assert_eq!(reason, EndReason::Crashed);
    let mut next_from = 5;
    let mut files = 0;
    for change in &changes {
        match change {
            Change::OpenFile { from, .. } => assert_eq!(*from, next_from),
            Change::CloseFile { to, .. } => {
                next_from = *to;
                files += 1;
            }
            _ => {}
        }
    }
    assert_eq!((files, next_from), (4, 2_100));
    assert!(matches!(changes.last(), Some(Change::End { recording, .. }) if *recording == id));
}

#[test]
fn detach_ends_where_the_note_stands() {
    let hls = recording(Container::Hls, 60);
    let id = hls.id;
    let mut tracker = Tracker::new(0);
    let mut changes = Vec::new();
    tracker.note(0, Note::Attach { recording: hls, from: 0 }, &mut changes);
    tracker.push(&frame(10, 0), &mut changes);
    tracker.note(20, Note::Detach { recording: id, ended_ms: 7 }, &mut changes);
    tracker.push(&frame(30, 0), &mut changes);
    assert_eq!(tracker.oldest_needed(), None);
    assert!(changes.contains(&Change::End { recording: id, to: 20, ended_ms: 7 }));
    let before = changes.len();
    tracker.finish(40, true, &mut changes);
    assert_eq!(changes.len(), before);
}

fn config(position: u64, codec: Codec) -> Sample {
    Sample { kind: SampleKind::Config, codec, ..frame(position, 0) }
}

/// A recording with a window whose file holds a session with pictures in H.264.
fn suspended(container: Container) -> Running {
    let mut recording = recording(container, 60);
    recording.resume_window_s = 30;
    let mut cutter = Cutter::new(container, 60, 0);
    assert!(cutter.push(&frame(0, 0)).is_none());
    cutter.begin_session(5_000, 5_000);
    Running {
        attached: RecordingId::new(1),
        recording,
        cutter,
        ordinal: 3,
        file_from: 0,
        is_continued: true,
    }
}

#[test]
fn a_recording_with_a_window_is_suspended_with_its_session() {
    for may_suspend in [true, false] {
        let mut waiting = recording(Container::Flv, 60);
        waiting.resume_window_s = 30;
        let (waits, ends) = (waiting.id, recording(Container::Flv, 60));
        let ended = ends.id;
        let mut tracker = Tracker::new(0);
        let mut changes = Vec::new();
        tracker.note(0, Note::Attach { recording: waiting, from: 0 }, &mut changes);
        tracker.note(5, Note::Attach { recording: ends, from: 0 }, &mut changes);
        tracker.push(&frame(10, 0), &mut changes);
        let end = Note::End { reason: EndReason::Closed, ended_ms: 7_000, arrived_ms: None };
        tracker.note(20, end, &mut changes);
        tracker.finish(30, may_suspend, &mut changes);
        let suspend = Change::Suspend { recording: waits, ordinal: 0, to: 30, ended_ms: 7_000 };
        assert_eq!(changes.contains(&suspend), may_suspend);
        let has_ended =
            |id| changes.contains(&Change::End { recording: id, to: 30, ended_ms: 7_000 });
        assert_eq!((has_ended(waits), has_ended(ended)), (!may_suspend, true));
    }
}

#[test]
fn a_detached_recording_ends_whatever_its_window_and_by_the_name_it_was_attached_with() {
    let running = suspended(Container::Flv);
    let (attached, id) = (running.attached, running.recording.id);
    let mut tracker = Tracker::new(0);
    let mut changes = Vec::new();
    assert!(tracker.may_continue(attached, 0));
    assert!(!tracker.may_continue(attached, 1), "it begins later than the session");
    tracker.resume(running);
    let mut again = recording(Container::Flv, 60);
    again.id = attached;
    let attach = Note::Attach { recording: again, from: 0 };
    assert!(!tracker.note(0, attach, &mut changes), "the note that it was resumed for");
    assert_eq!(changes, []);
    tracker.note(20, Note::Detach { recording: attached, ended_ms: 7 }, &mut changes);
    let closed = Change::CloseFile { recording: id, ordinal: 3, to: 20, end_ms: 7 };
    assert_eq!(changes, [closed, Change::End { recording: id, to: 20, ended_ms: 7 }]);
}

#[test]
fn a_stream_that_is_back_leaves_behind_what_it_did_not_continue() {
    let mut tracker = Tracker::new(0);
    let mut changes = Vec::new();
    let clock = Sample { kind: SampleKind::Clock, ..frame(0, 9_000) };
    tracker.push(&clock, &mut changes);
    tracker.push(&Sample { kind: SampleKind::Private, ..frame(5, 0) }, &mut changes);
    assert!(!tracker.is_settled() && changes.is_empty());
    tracker.push(&config(10, Codec::H264), &mut changes);
    tracker.push(&frame(20, 0), &mut changes);
    assert!(tracker.is_settled());
    assert_eq!(changes, [Change::Settle]);
    assert!(!tracker.may_continue(RecordingId::new(0), 0));
}

#[test]
fn another_codec_leaves_the_file_as_it_was_suspended() {
    for container in Container::ALL {
        let running = suspended(container);
        let id = running.recording.id;
        let mut tracker = Tracker::new(5_000);
        tracker.resume(running);
        let mut changes = Vec::new();
        tracker.push(&config(10, Codec::Hevc), &mut changes);
        tracker.push(&Sample { codec: Codec::Hevc, ..frame(20, 0) }, &mut changes);
        let Some([left, Change::OpenFile { ordinal, from, cause, .. }]) = changes.get(1..) else {
            panic!("{changes:?}");
        };
        assert_eq!(*left, Change::LeaveFile { recording: id, ordinal: 3 });
        assert_eq!((*ordinal, *from, *cause), (4, 0, Some(CutReason::OtherCodec)));
    }
}

#[test]
fn another_codec_in_the_first_message_leaves_the_file_as_it_was_suspended() {
    let running = suspended(Container::Flv);
    let id = running.recording.id;
    let mut tracker = Tracker::new(5_000);
    tracker.resume(running);
    let mut changes = Vec::new();
    // Behind a frame of another track.
    tracker.push(&Sample { track_id: 1, ..frame(0, 0) }, &mut changes);
    let hevc = Sample { codec: Codec::Hevc, tag_len: 0, ..frame(0, 0) };
    tracker.push(&hevc, &mut changes);
    assert!(changes.contains(&Change::LeaveFile { recording: id, ordinal: 3 }), "{changes:?}");
    assert!(matches!(changes.last(), Some(Change::OpenFile { ordinal: 4, from: 0, .. })));
}

#[test]
fn another_codec_after_the_first_frames_cuts_where_it_shows() {
    let mut tracker = Tracker::new(5_000);
    let running = suspended(Container::Hls);
    let id = running.recording.id;
    tracker.resume(running);
    let mut changes = Vec::new();
    let sound = Sample { track: Track::Audio, codec: Codec::Aac, ..frame(10, 0) };
    tracker.push(&sound, &mut changes);
    tracker.push(&config(20, Codec::Hevc), &mut changes);
    let closed = Change::CloseFile { recording: id, ordinal: 3, to: 20, end_ms: 5_000 };
    assert!(changes.contains(&closed), "{changes:?}");
    assert!(matches!(changes.last(), Some(Change::OpenFile { ordinal: 4, from: 20, .. })));
}

/// What the rows have is not made again: only what follows.
#[test]
fn a_recording_is_taken_up_at_its_growing_file() {
    let interval = |position: u64| frame(100 + position * 10, position as i64 * 1000);
    let whole = recording(Container::Flv, 60);
    let id = whole.id;
    let mut first = Tracker::new(0);
    let mut expected = Vec::new();
    first.note(0, Note::Attach { recording: whole.clone(), from: 0 }, &mut expected);
    for i in 0..200 {
        first.push(&interval(i), &mut expected);
    }
    first.finish(5_000, true, &mut expected);
    let opened = |change: &Change| matches!(change, Change::OpenFile { ordinal: 2, .. });
    let at = expected.iter().position(opened).unwrap();
    let Change::OpenFile { from, .. } = expected[at] else { panic!() };

    let mut again = Tracker::new(0);
    let running = Running {
        attached: id,
        recording: whole.clone(),
        cutter: Cutter::new(Container::Flv, 60, 0),
        ordinal: 2,
        file_from: from,
        is_continued: false,
    };
    again.restore(id, Some(running));
    let mut changes = Vec::new();
    assert!(!again.note(0, Note::Attach { recording: whole, from: 0 }, &mut changes));
    assert_eq!(again.oldest_needed(), Some(from));
    for i in 0..200 {
        again.push(&interval(i), &mut changes);
    }
    again.finish(5_000, true, &mut changes);
    changes.retain(|change| *change != Change::Settle);
    assert_eq!(changes, expected[at + 1..]);
}

#[test]
fn a_disk_that_gives_up_is_said_of_what_runs() {
    let failure =
        |lost_tags| StoreFailure { cause: StallCause::DiskFull, lost_tags, lost_bytes: 9 };
    let flv = recording(Container::Flv, 60);
    let fails = |lost_tags| Change::Fail {
        recording: flv.clone(),
        ordinal: 0,
        failure: failure(lost_tags),
    };
    let begin = || {
        let mut tracker = Tracker::new(1_000);
        tracker.note(0, Note::Attach { recording: flv.clone(), from: 0 }, &mut Vec::new());
        tracker
    };
    // At once, and again when it is known what it cost; there is no end note.
    let (mut tracker, mut changes) = (begin(), Vec::new());
    tracker.fail(failure(0), &mut changes);
    assert_eq!(changes, [fails(0)]);
    tracker.fail(failure(3), &mut Vec::new());
    changes.clear();
    assert_eq!(tracker.finish(20, true, &mut changes).0, EndReason::Journal);
    assert_eq!(changes[0], fails(3));
    assert!(matches!(changes[1..], [Change::CloseFile { to: 20, .. }, Change::End { .. }]));
    // Found after a crash, the end note alone says that the disk had been given up.
    let (mut tracker, mut changes) = (begin(), Vec::new());
    let end = Note::End { reason: EndReason::Journal, ended_ms: 5, arrived_ms: None };
    tracker.note(20, end, &mut changes);
    assert_eq!(tracker.finish(20, true, &mut changes), (EndReason::Journal, 5));
    let unknown = StoreFailure { cause: StallCause::DiskError, lost_tags: 0, lost_bytes: 0 };
    assert!(matches!(&changes[0], Change::Fail { failure, .. } if *failure == unknown));
}
