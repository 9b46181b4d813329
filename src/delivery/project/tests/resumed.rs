//! What an FLV says of the time of a push that goes on in it: headers of another clock, and its length.

use super::*;
use crate::media::{amf0::Value, flv::script::decode_script};

/// After so many times RTMP's clock begins again.
const CYCLE_MS: i64 = 1 << 32;
const DAY_MS: i64 = 86_400_000;
/// Which tag of a push the script data in its midst are, and how far into the push the frame before is.
const DATA_AT: usize = 60;
const FRAME_MS: i64 = 740;
const OTHER_SCRIPT: &[u8] = b"\x02\0\x0aonTextData\x05";

/// A push whose frames begin at `first_ms` and whose headers have these times.
fn push_with_headers(place: &Place, wall_ms: i64, first_ms: i64, headers_ms: [i64; 3]) -> Push {
    let [script_ms, video_ms, audio_ms] = headers_ms;
    let mut tags = place.push(wall_ms, first_ms, OTHER_SCRIPT).tags;
    for (tag, time_ms) in tags.iter_mut().zip([script_ms, video_ms, audio_ms]) {
        tag.time_ms = time_ms;
    }
    place.record(wall_ms, tags)
}

/// Times of the second push in an FLV behind one of `first_ms`: its three headers, and its frames.
fn times_behind(first_ms: i64, second_ms: i64, headers_ms: [i64; 3]) -> ([i64; 3], u64) {
    let place = Place::new();
    let first = place.push(WALL_MS, first_ms, METADATA);
    let second = push_with_headers(&place, WALL_MS + 7_480, second_ms, headers_ms);
    let spans = [span(&first), span(&second)];
    let (file, _, summary) = place.make(Container::Flv, &spans);
    let tags = tags_of(&file);
    let behind = &tags[first.tags.len()..];
    let shift_ms = summary.sessions[1].shift_ms;
    for (found, sent) in behind.iter().zip(&second.tags).skip(3) {
        assert_eq!((found.time_ms, &found.payload), (sent.time_ms + shift_ms, &sent.payload));
    }
    for (found, sent) in behind.iter().zip(&second.tags) {
        assert_eq!((found.kind, &found.payload), (sent.kind, &sent.payload));
    }
    let moved = summary.irregularities.iter().find(|seen| seen.kind == "moved_headers");
    let resumed_ms = second_ms + shift_ms;
    let at = |nth: usize| behind[nth].time_ms - resumed_ms;
    ([at(0), at(1), at(2)], moved.map_or(0, |seen| seen.count))
}

#[test]
fn headers_of_another_clock_stand_where_the_push_begins() {
    // The encoder's clock goes on, its headers have time 0: the shift makes them negative.
    assert_eq!(times_behind(0, 3_600_000, [0, 0, 0]), ([0; 3], 3));
    // Or it begins again, and they have the old one.
    assert_eq!(times_behind(3_600_000, 0, [3_602_000, 0, 3_602_000]), ([0; 3], 2));
    // Not negative, but in the midst of what the file has.
    assert_eq!(times_behind(60_000, 30_000, [0, 30_000, 0]), ([0; 3], 2));
    // A time that can be right is kept.
    assert_eq!(times_behind(0, 5_000, [4_900, 5_020, 5_000]), ([-100, 20, 0], 0));
}

/// A push whose frames begin at `first_ms` with script data in its midst, and the time of the frame
/// before those.
fn push_with_data(place: &Place, wall_ms: i64, first_ms: i64, data_ms: i64) -> (Push, i64) {
    let mut tags = place.push(wall_ms, first_ms, OTHER_SCRIPT).tags;
    let frame_ms = tags[DATA_AT - 1].time_ms;
    tags.insert(DATA_AT, tag(TagKind::Script, data_ms, OTHER_SCRIPT.to_vec()));
    (place.record(wall_ms, tags), frame_ms)
}

/// Two pushes; in the midst of the second come script data whose time only the border of 2^32 ms
/// makes later than that of the frames.
pub(in crate::delivery) fn two_pushes_with_data(place: &Place) -> [Push; 2] {
    let (second, _) = push_with_data(place, WALL_MS + 7_480, 30 * DAY_MS, CYCLE_MS);
    [place.push(WALL_MS, 60_000, SET_METADATA), second]
}

/// How far behind the frame before them script data in the midst of a second push stand, and how many
/// tags the summary says are moved.
fn data_behind(first_ms: i64, second_ms: i64, data_ms: i64) -> (i64, u64) {
    let place = Place::new();
    let first = place.push(WALL_MS, first_ms, METADATA);
    let (second, frame_ms) = push_with_data(&place, WALL_MS + 7_480, second_ms, data_ms);
    let (file, _, summary) = place.make(Container::Flv, &[span(&first), span(&second)]);
    let tags = tags_of(&file);
    let behind = &tags[first.tags.len()..];
    let shift_ms = summary.sessions[1].shift_ms;
    for (nth, (found, sent)) in behind.iter().zip(&second.tags).enumerate() {
        assert_eq!((found.kind, &found.payload), (sent.kind, &sent.payload));
        if nth != DATA_AT {
            assert_eq!(found.time_ms, sent.time_ms + shift_ms);
        }
    }
    let moved = summary.irregularities.iter().find(|seen| seen.kind == "moved_headers");
    let found_ms = behind[DATA_AT].time_ms;
    (found_ms - frame_ms - shift_ms, moved.map_or(0, |seen| seen.count))
}

#[test]
fn data_of_another_cycle_stand_at_the_frame_before_them() {
    // They were sent with time 0. What is nearest to the clock of the frames is the next cycle.
    assert_eq!(data_behind(0, 30 * DAY_MS, CYCLE_MS), (0, 1));
    assert_eq!(data_behind(60_000, CYCLE_MS - 3_600_000, CYCLE_MS + 7), (0, 1));
    // They would stand below zero, which FLV cannot say.
    assert_eq!(data_behind(0, 3_600_000, 0), (0, 1));
    assert_eq!(data_behind(0, 5_000, -3_600_000), (0, 1));
}

#[test]
fn data_whose_time_can_be_right_keep_it() {
    let step_ms = |second_ms: i64, data_ms: i64| data_ms - second_ms - FRAME_MS;
    for (first_ms, second_ms, data_ms) in [
        // The clock passes its border: frames will follow them there, or are there.
        (0, CYCLE_MS - 2_000, CYCLE_MS + 5),
        (0, CYCLE_MS - 300, CYCLE_MS),
        (0, CYCLE_MS - 300, CYCLE_MS - 20),
        // Late or early, but as sent.
        (0, 3_600_000, 3_600_005),
        (0, 5_000, 7_200_000),
        (0, 30 * DAY_MS, 31 * DAY_MS),
        (3_600_000, 20_000, 0),
    ] {
        let found = data_behind(first_ms, second_ms, data_ms);
        assert_eq!(found, (step_ms(second_ms, data_ms), 0), "{second_ms} {data_ms}");
    }
}

/// In a first push nothing is moved, whatever its times are.
#[test]
fn data_of_the_first_push_keep_their_times() {
    for (first_ms, data_ms) in [(30 * DAY_MS, CYCLE_MS), (3_600_000, 0), (5, -7)] {
        let place = Place::new();
        let (push, _) = push_with_data(&place, WALL_MS, first_ms, data_ms);
        let (file, _, summary) = place.make(Container::Flv, &[span(&push)]);
        assert_eq!(tags_of(&file)[1 + DATA_AT].time_ms, data_ms & (CYCLE_MS - 1));
        assert_eq!(summary.irregularities, []);
    }
}

#[test]
fn a_push_of_script_data_alone_stands_where_the_file_has_come_to() {
    let place = Place::new();
    let first = place.push(WALL_MS, 500, METADATA);
    let tags = [0, 998, 1_990, 2_600, CYCLE_MS - 1]
        .map(|at| tag(TagKind::Script, at, OTHER_SCRIPT.to_vec()));
    let second = place.record(WALL_MS + 5_000, tags.to_vec());
    let third = place.push(WALL_MS + 12_480, 0, OTHER_SCRIPT);
    let latest_ms = 500 + 1_980;
    for pushes in [&[&first, &second][..], &[&first, &second, &third]] {
        let spans: Vec<Span> = pushes.iter().map(|push| span(push)).collect();
        let (file, _, summary) = place.make(Container::Flv, &spans);
        let moved = summary.irregularities.iter().find(|seen| seen.kind == "moved_headers");
        assert_eq!(moved.map(|seen| seen.count), Some(4));
        let found: Vec<i64> = tags_of(&file).iter().map(|tag| tag.time_ms).collect();
        let at = first.tags.len();
        // One that can be of a frame to come keeps its time.
        assert_eq!(found[at..at + 5], [latest_ms, latest_ms, latest_ms, 2_600, latest_ms]);
        // The step is that between the frames.
        assert!(pushes.len() == 2 || found[at + 5 + 3] == 500 + 12_480, "{found:?}");
    }
}

#[test]
fn any_number_of_tags_before_its_first_frame_does_not_misplace_a_push() {
    let place = Place::new();
    let first = place.push(WALL_MS, 0, METADATA);
    let mut tags = vec![tag(TagKind::Script, 0, OTHER_SCRIPT.to_vec()); 5_000];
    // In a test a jump of the clock takes a second.
    tags.extend(place.push(WALL_MS, 3_600_000, OTHER_SCRIPT).tags.drain(1..));
    let count = tags.len() - 5_000;
    let second = place.record(WALL_MS + 7_480, tags);
    for container in [Container::Flv, Container::Mp4] {
        let (file, _, summary) = place.make(container, &[span(&first), span(&second)]);
        assert_eq!(summary.gaps.len(), 1);
        assert_eq!((summary.gaps[0].wall_ms, summary.gaps[0].media_ms), (6_500, 6_500));
        if container == Container::Flv {
            let tags = tags_of(&file);
            let (data, rest) = tags[first.tags.len()..].split_at(5_000);
            assert_eq!((data[0].time_ms, data[4_999].time_ms), (8_480, 8_480));
            assert_eq!((rest.len(), rest[2].time_ms), (count, 8_480));
        }
    }
}

/// As long as the second push grows it is shown when it is known how it begins, and then for good.
#[test]
fn a_push_is_shown_some_seconds_after_its_first_frame() {
    let place = Place::new();
    let first = place.push(WALL_MS, 0, METADATA);
    let mut tags = place.push(WALL_MS, 0, OTHER_SCRIPT).tags;
    tags.extend((2_000..5_000).step_by(20).map(|at| tag(TagKind::Audio, at, vec![0xaf, 1, 7])));
    let second = place.record(WALL_MS + 9_000, tags);
    let mut spans = [span(&first), span(&second)];
    spans[1].to = None;
    let mut reader = place.journal.reader(second.session).unwrap();
    let samples: Vec<Sample> =
        reader.samples(0, second.end).unwrap().collect::<Result<_, _>>().unwrap();
    for container in Container::ALL {
        let shown = |decided: u64| {
            Source::open_growing(&place.journal, container, &spans, decided).unwrap().spans() == 2
        };
        let at = samples.iter().find(|sample| shown(sample.position)).unwrap();
        let frame = samples.iter().find(|sample| sample.position == at.position).unwrap();
        assert!((2_900..3_200).contains(&frame.dts_ms), "{container}: {}", frame.dts_ms);
        let whole = Source::open(&place.journal, &[spans[0], span(&second)]).unwrap();
        for (mut source, max) in [
            (Source::open_growing(&place.journal, container, &spans, at.position).unwrap(), 9_999),
            (whole, usize::MAX),
        ] {
            let search = source.opening(1, container == Container::Flv, max).unwrap();
            assert_eq!(search.first_frame().unwrap().dts_ms, 0);
            assert!(search.is_over());
        }
    }
}

#[test]
fn headers_of_the_first_push_keep_their_times() {
    let place = Place::new();
    let first = push_with_headers(&place, WALL_MS, 3_600_000, [0, 0, 7_200_000]);
    let (file, _, summary) = place.make(Container::Flv, &[span(&first)]);
    let times: Vec<i64> = tags_of(&file)[1..].iter().map(|tag| tag.time_ms).collect();
    let sent: Vec<i64> = first.tags.iter().map(|tag| tag.time_ms).collect();
    assert_eq!((times, summary.irregularities.as_slice()), (sent, &[][..]));
}

/// `duration` of an FLV's onMetaData, milliseconds.
fn stated_ms(file: &[u8]) -> i64 {
    let data = decode_script(&tags_of(file)[0].payload).unwrap();
    let Some(Value::Number(seconds)) = data.values[0].get("duration") else { panic!("{data:?}") };
    (seconds * 1000.0).round() as i64
}

#[test]
fn an_flv_is_as_long_as_all_its_tracks() {
    let place = Place::new();
    let other = |wall_ms, first_ms: i64| {
        let mut tags = vec![tag(TagKind::Video, first_ms, [b"\x96\0avc1\x01", &AVC[5..]].concat())];
        tags.extend((0..50).map(|nth| {
            let body = b"\x96\x01avc1\x01\0\0\0\0\0\0\x03\x65\x88\x07".to_vec();
            tag(TagKind::Video, first_ms + nth * 40, body)
        }));
        place.record(wall_ms, tags)
    };
    let first = place.push(WALL_MS, 500, METADATA);
    let (second, third) = (other(WALL_MS + 8_000, 70_000), other(WALL_MS + 20_000, 3));
    for (spans, media_ms) in [
        (vec![span(&first), span(&second)], 10_000),
        (vec![span(&first), span(&second), span(&third)], 22_000),
    ] {
        let (file, facts, _) = place.make(Container::Flv, &spans);
        let last_ms = tags_of(&file).last().unwrap().time_ms;
        assert_eq!(last_ms + 40 - 500, media_ms);
        assert_eq!((stated_ms(&file), facts.duration_ms), (media_ms, media_ms));
        assert_eq!((facts.first_pts_ms, facts.fps), (500, 25));
        // What is not in it does not make an MP4 longer.
        let (.., facts, _) = place.make(Container::Mp4, &spans);
        assert_eq!((facts.duration_ms, facts.fps), (2_040, 25));
    }
}

/// Tracks that take turns last as long as each of them says, not as the step between them.
#[test]
fn tracks_that_take_turns_do_not_shorten_each_other() {
    let place = Place::new();
    let mut tags = Vec::new();
    for nth in 0..10 {
        tags.push(tag(TagKind::Video, nth * 40, [&b"\x96\x01avc1\x01"[..], &[0; 6]].concat()));
        tags.push(tag(TagKind::Video, nth * 40 + 3, [&b"\x96\x01avc1\x02"[..], &[0; 6]].concat()));
    }
    let push = place.record(WALL_MS, tags);
    let (file, ..) = place.make(Container::Flv, &[span(&push)]);
    assert_eq!(stated_ms(&file), 403);
}

/// What a track beside the default ones has is in an FLV: the next push does not begin before it.
#[test]
fn a_push_does_not_begin_before_what_other_tracks_have() {
    let place = Place::new();
    let other = |wall_ms, first_ms: i64, other_ms: i64, count: i64| {
        let mut tags = place.push(wall_ms, first_ms, METADATA).tags;
        tags.extend((0..count).map(|nth| {
            let body = [&b"\x96\x01avc1\x01"[..], b"\0\0\0\0\0\0\x03\x65\x88\x07"].concat();
            tag(TagKind::Video, other_ms + nth * 40, body)
        }));
        place.record(wall_ms, tags)
    };
    // The other track reaches 5 s beyond the default ones; the break lasts a moment on the wall.
    let first = other(WALL_MS, 0, 0, 175);
    for (second_ms, other_ms) in [(0, 0), (70_000, 69_500)] {
        let second = other(WALL_MS + 2_100, second_ms, other_ms, 20);
        let spans = [span(&first), span(&second)];
        let (file, _, summary) = place.make(Container::Flv, &spans);
        let tags = tags_of(&file);
        let behind = &tags[first.tags.len() + 3..];
        let begin_ms = behind.iter().map(|tag| tag.time_ms).min().unwrap();
        assert_eq!(begin_ms, 174 * 40 + 40);
        assert_eq!(summary.sessions[1].shift_ms, begin_ms - second_ms.min(other_ms));
        // What is not in an MP4 does not move it.
        let (.., summary) = place.make(Container::Mp4, &spans);
        assert!(second_ms + summary.sessions[1].shift_ms < 4_000, "{summary:?}");
    }
}
