//! Tracks beside the default ones: each is configured wherever a product begins.

use super::*;
use crate::media::flv;

/// avcC of another size of picture.
const SMALL: &[u8] =
    b"\x01\x42\xc0\x0a\xff\xe1\x00\x17\x67\x42\xc0\x0a\xd9\x04\x7b\x01\x10\x00\x00\x03\
    \x00\x10\x00\x00\x03\x00\xa0\xf1\x22\x64\x80\x01\x00\x05\x68\xcb\x83\xcb\x20";

/// A message of one track.
fn one_track(track_id: u8, packet: u8, body: &[u8]) -> Vec<u8> {
    [&[0x96, packet][..], b"avc1", &[track_id], body].concat()
}

/// A message of several.
fn many_tracks(packet: u8, parts: &[(u8, &[u8])]) -> Vec<u8> {
    let mut payload = [&[0x96, 0x10 | packet][..], b"avc1"].concat();
    for (track_id, body) in parts {
        payload.push(*track_id);
        payload.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
        payload.extend_from_slice(body);
    }
    payload
}

/// A key frame, behind its composition time.
fn picture(number: u8) -> Vec<u8> {
    vec![0, 0, 0, 0, 0, 0, 3, 0x65, 0x88, number]
}

fn video(time_ms: i64, payload: Vec<u8>) -> Tag {
    tag(TagKind::Video, time_ms, payload)
}

/// A file of the push from its `nth` tag on: alone, and behind another push.
fn made_late(place: &Place, push: &Push, nth: usize) -> [Vec<u8>; 2] {
    let mut reader = place.journal.reader(push.session).unwrap();
    let samples: Vec<Sample> =
        reader.samples(0, push.end).unwrap().collect::<Result<_, _>>().unwrap();
    let mut pushed = samples.iter().filter(|s| s.tag_len > 0 && flv::takes(s));
    let from = pushed.nth(nth).unwrap().position;
    let late = Span { from, ..span(push) };
    let first = place.push(WALL_MS, 0, METADATA);
    [vec![late], vec![span(&first), late]].map(|spans| {
        let (file, ..) = place.make(Container::Flv, &spans);
        let projection = Projection::open(
            &place.journal,
            Container::Flv,
            &spans,
            vec!["network".to_owned()],
            <_>::default(),
            HLS,
        );
        assert_eq!(projection.unwrap().total_len(), file.len() as u64);
        file
    })
}

/// The last tags of a file.
fn tail(file: &[u8], len: usize) -> Vec<Vec<u8>> {
    let tags = tags_of(file);
    tags[tags.len() - len..].iter().map(|tag| tag.payload.to_vec()).collect()
}

#[test]
fn every_track_is_configured_where_a_file_begins() {
    let place = Place::new();
    let legacy = |number| [&[0x17, 1][..], &picture(number)].concat();
    let headers = [AVC.to_vec(), one_track(1, 0, &AVC[5..]), one_track(1, 0, SMALL)];
    let mut tags: Vec<Tag> = headers.iter().map(|header| video(0, header.clone())).collect();
    for at in 0..4 {
        tags.push(video(at * 40, legacy(at as u8)));
        tags.push(video(at * 40, one_track(1, 1, &picture(at as u8))));
    }
    let push = place.record(WALL_MS + 9_000, tags.clone());
    let sent: Vec<_> = tags[5..].iter().map(|tag| tag.payload.to_vec()).collect();
    for (nth, file) in made_late(&place, &push, 5).iter().enumerate() {
        let mut expected = vec![AVC.to_vec()];
        match nth {
            0 => {
                expected.push(headers[2].clone());
                expected.extend_from_slice(&sent);
            }
            _ => {
                expected.push(sent[0].clone());
                expected.push(headers[2].clone());
                expected.extend_from_slice(&sent[1..]);
            }
        }
        assert_eq!(tail(file, 8), expected);
    }
}

#[test]
fn tracks_of_one_message_are_configured_before_it_in_the_order_of_their_headers() {
    let place = Place::new();
    let both = many_tracks(0, &[(1, SMALL), (0, &AVC[5..])]);
    // The header of track 1 was replaced since; the old one must not come last.
    let newer = one_track(1, 0, &AVC[5..]);
    let message =
        |at: u8| many_tracks(1, &[(1, picture(at).as_slice()), (0, picture(at).as_slice())]);
    let mut tags = vec![video(0, both.clone()), video(0, newer.clone())];
    tags.extend((0..4).map(|at| video(i64::from(at) * 40, message(at))));
    let push = place.record(WALL_MS + 9_000, tags);
    for file in made_late(&place, &push, 3) {
        let expected = [both.clone(), newer.clone(), message(1), message(2), message(3)];
        assert_eq!(tail(&file, 5), expected);
    }
}

#[test]
fn a_header_that_is_repeated_does_not_undo_a_newer_one() {
    let place = Place::new();
    let both = many_tracks(0, &[(1, SMALL), (0, &AVC[5..])]);
    let newer = one_track(1, 0, &AVC[5..]);
    let single = |track_id: u8| one_track(track_id, 1, &picture(7));
    let payloads = [both.clone(), single(0), newer.clone(), single(1), single(0)];
    let tags = payloads.iter().zip(0..).map(|(payload, at)| video(at * 40, payload.clone()));
    let push = place.record(WALL_MS + 9_000, tags.collect());
    let [alone, behind] = made_late(&place, &push, 2);
    assert_eq!(tail(&alone, 4), [both.clone(), newer.clone(), single(1), single(0)]);
    let expected = [newer.clone(), single(1), both, newer, single(0)];
    assert_eq!(tail(&behind, 5), expected);
}

/// The pushes that have no frame in a default track.
fn without_default_track() -> [Vec<Tag>; 4] {
    let single = |at: u8| one_track(1, 1, &picture(at));
    let several =
        |at: u8| many_tracks(1, &[(1, picture(at).as_slice()), (2, picture(at).as_slice())]);
    let text = b"\x02\0\x0aonTextData\x05".to_vec();
    let four = |make: &dyn Fn(u8) -> Tag| (0..4).map(make).collect::<Vec<_>>();
    let headed = |header: Vec<u8>, make: &dyn Fn(u8) -> Tag| {
        [vec![tag(TagKind::Script, 0, METADATA.to_vec()), video(0, header)], four(make)].concat()
    };
    [
        headed(one_track(1, 0, &AVC[5..]), &|at| video(i64::from(at) * 40, single(at))),
        headed(many_tracks(0, &[(1, &AVC[5..]), (2, SMALL)]), &|at| {
            video(i64::from(at) * 40, several(at))
        }),
        four(&|at| video(i64::from(at) * 40, [&b"\x98avc1"[..], &[at; 9]].concat())),
        four(&|at| tag(TagKind::Script, i64::from(at) * 40, text.clone())),
    ]
}

fn refusal(place: &Place, container: Container, spans: &[Span]) -> ProjectError {
    let facts = MediaFacts::default();
    match Projection::open(&place.journal, container, spans, Vec::new(), facts, HLS) {
        Ok(_) => panic!("a product of {container}"),
        Err(error) => error,
    }
}

#[test]
fn what_is_pushed_without_a_default_track_is_in_flv_and_elsewhere_a_failure() {
    for (nth, tags) in without_default_track().into_iter().enumerate() {
        let place = Place::new();
        let push = place.record(WALL_MS, tags.clone());
        let (file, facts, _) = place.make(Container::Flv, &[span(&push)]);
        // The head stands for the onMetaData.
        let sent = tags.iter().filter(|tag| tag.payload != METADATA);
        let sent: Vec<_> = sent.map(|tag| tag.payload.to_vec()).collect();
        assert_eq!(tail(&file, tags_of(&file).len() - 1), sent);
        let frames_ms = if nth < 2 { 160 } else { 120 };
        assert_eq!((facts.first_pts_ms, facts.duration_ms), (0, frames_ms));
        for container in [Container::Mp4, Container::Hls, Container::Aac] {
            let error = refusal(&place, container, &[span(&push)]);
            assert!(matches!(error, ProjectError::Unsupported { .. }), "{container}: {error}");
        }
    }
}

#[test]
fn a_second_push_without_a_default_track_is_shown_and_placed() {
    let place = Place::rolling(1 << 20);
    let others = |wall_ms: i64, first_ms: i64| {
        let frame = |at: i64| video(first_ms + at, one_track(1, 1, &picture(7)));
        let tags = [vec![video(first_ms, one_track(1, 0, SMALL))], (0..5000).map(frame).collect()];
        place.record(wall_ms, tags.concat())
    };
    let pushes = [others(WALL_MS, 100), others(WALL_MS + 9_000, 70_000)];
    let (file, _, summary) = place.make(Container::Flv, &pushes.each_ref().map(span));
    let times: Vec<i64> = tags_of(&file)[1..].iter().map(|tag| tag.time_ms).collect();
    assert_eq!((times[0], times[1], times[5000], times[5001]), (100, 100, 5_099, 9_100));
    assert!(times.is_sorted());
    assert_eq!((summary.gaps[0].wall_ms, summary.gaps[0].media_ms), (4_001, 4_001));
    // As long as the second one grows.
    let mut spans = pushes.each_ref().map(span);
    spans[1].to = None;
    for (container, shown) in [(Container::Flv, 2), (Container::Mp4, 1)] {
        let end = pushes[1].end;
        let source = Source::open_growing(&place.journal, container, &spans, end).unwrap();
        assert_eq!(source.spans(), shown, "{container}");
    }
}

#[test]
fn headers_alone_are_nothing() {
    let place = Place::new();
    let tags = vec![
        tag(TagKind::Script, 0, SET_METADATA.to_vec()),
        video(0, AVC.to_vec()),
        video(0, Vec::new()),
        video(0, b"\x17\x02\0\0\0".to_vec()),
        tag(TagKind::Audio, 0, AAC.to_vec()),
    ];
    let push = place.record(WALL_MS, tags);
    for container in Container::ALL {
        let error = refusal(&place, container, &[span(&push)]);
        assert!(matches!(error, ProjectError::Empty), "{container}: {error}");
    }
}

#[test]
fn an_aac_file_tells_of_its_own_track_alone() {
    let place = Place::new();
    let mut tags = vec![tag(TagKind::Audio, 0, AAC.to_vec()), video(0, AVC.to_vec())];
    for at in 0..4 {
        let inter = [&[0x27, 1][..], &picture(7)].concat();
        tags.push(video(at * 40, inter));
        tags.push(video(at * 40, one_track(1, 1, &picture(7))));
        tags.push(tag(TagKind::Audio, at * 40, vec![0xaf, 1, 7]));
        tags.push(tag(TagKind::Audio, at * 40, [&b"\x95\x01mp4a\x01"[..], &[7]].concat()));
    }
    tags.push(video(160, b"\x17\x02\0\0\0".to_vec()));
    let push = place.record(WALL_MS, tags);
    let kinds = |container| -> Vec<String> {
        let (.., summary) = place.make(container, &[span(&push)]);
        summary.irregularities.into_iter().map(|seen| seen.kind).collect()
    };
    assert_eq!(kinds(Container::Aac), Vec::<String>::new());
    let seen = ["missing_keyframe", "other_tracks", "end_of_sequence"];
    assert_eq!(kinds(Container::Mp4), seen, "what happened");
}
