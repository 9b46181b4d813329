//! Products of journals that rotted or of which something is gone.

use std::fs;

use crate::media::sample::{SampleKind, Track};

use super::*;

const FORMATS: [(Container, SegmentType); 5] = [
    (Container::Flv, SegmentType::Ts),
    (Container::Mp4, SegmentType::Ts),
    (Container::Aac, SegmentType::Ts),
    (Container::Hls, SegmentType::Ts),
    (Container::Hls, SegmentType::Fmp4),
];

fn open(
    place: &Place,
    (container, segment_type): (Container, SegmentType),
    spans: &[Span],
) -> Result<Projection, ProjectError> {
    let causes = vec!["network".to_owned(); spans.len() - 1];
    let hls = HlsSettings { segment_type, ..HLS };
    Projection::open(&place.journal, container, spans, causes, MediaFacts::default(), hls)
}

fn make(
    place: &Place,
    format: (Container, SegmentType),
    spans: &[Span],
) -> (Vec<u8>, Verification) {
    let mut projection = open(place, format, spans).unwrap();
    let mut out = Vec::new();
    loop {
        match projection.next_block(700).unwrap() {
            Block::Bytes { bytes, .. } => out.extend_from_slice(&bytes),
            Block::EndOfObject => {}
            _ => return (out, projection.finish(Vec::new())),
        }
    }
}

fn damaged_packets(summary: &Verification) -> u64 {
    let kind = "damaged_packets";
    summary.irregularities.iter().find(|i| i.kind == kind).map_or(0, |i| i.count)
}

/// Changes the byte at a logical position.
fn rot(place: &Place, push: &Push, position: u64) {
    let mut reader = place.journal.reader(push.session).unwrap();
    reader.samples(0, push.end).unwrap().for_each(drop);
    let path = reader.file_of(position).unwrap();
    let mut tag = [0; 16];
    reader.read(position - 8, &mut tag).unwrap();
    let mut data = fs::read(&path).unwrap();
    let at = data.windows(16).position(|window| window == tag).unwrap() + 8;
    data[at] ^= 0x10;
    fs::write(path, data).unwrap();
}

#[test]
fn what_rotted_is_counted_and_named_and_costs_nothing_else() {
    // One file alone: nothing stands twice.
    let place = Place::new();
    let push = place.push(WALL_MS, 0, METADATA);
    let good: Vec<_> = FORMATS.iter().map(|format| make(&place, *format, &[span(&push)])).collect();
    let mut reader = place.journal.reader(push.session).unwrap();
    let samples: Vec<Sample> =
        reader.samples(0, push.end).unwrap().collect::<Result<_, _>>().unwrap();
    let frame = |is: fn(&Sample) -> bool| *samples.iter().filter(|s| is(s)).nth(20).unwrap();
    let picture = frame(Sample::is_video_frame);
    rot(&place, &push, picture.position + u64::from(picture.tag_len) - 5);
    // Of the sound the header rots, which only FLV has.
    let sound = frame(Sample::is_audio_frame);
    rot(&place, &push, sound.position + 6);
    for (format, (file, summary)) in FORMATS.into_iter().zip(&good) {
        assert_eq!((damaged_packets(summary), summary.damaged.len()), (0, 0), "{format:?}");
        let (rotten, seen) = make(&place, format, &[span(&push)]);
        assert_eq!(rotten.len(), file.len(), "{format:?}");
        assert_eq!(rotten == *file, format.0 == Container::Aac, "{format:?}");
        let named: Vec<_> = seen.damaged.iter().map(|d| (d.position, d.track.as_str())).collect();
        let mut expected = vec![(sound.position, "audio")];
        if format.0 != Container::Aac {
            expected.push((picture.position, "video"));
        }
        expected.sort_unstable();
        assert!(seen.damaged.iter().all(|damaged| damaged.session == push.session.to_string()));
        let mut sorted = named.clone();
        sorted.sort_unstable();
        assert_eq!((sorted, damaged_packets(&seen)), (expected.clone(), expected.len() as u64));
    }
    let config = samples.iter().find(|s| s.track == Track::Video).unwrap();
    rot(&place, &push, config.position + 12);
    for format in FORMATS {
        let more = if format.0 == Container::Aac { 2 } else { 3 };
        assert_eq!(damaged_packets(&make(&place, format, &[span(&push)]).1), more, "{format:?}");
    }
}

#[test]
fn headers_that_rotted_are_taken_from_the_next_file() {
    let place = Place::rolling(1024);
    let push = place.push(WALL_MS, 0, METADATA);
    let whole = span(&push);
    let mut reader = place.journal.reader(push.session).unwrap();
    let samples: Vec<Sample> =
        reader.samples(0, push.end).unwrap().collect::<Result<_, _>>().unwrap();
    let is_header = |s: &&Sample| matches!(s.kind, SampleKind::Script | SampleKind::Config);
    let headers: Vec<_> = samples.iter().filter(is_header).collect();
    assert_eq!(headers.len(), 3);
    // One file that begins before them, and one behind them in the same journal file.
    let last = headers.iter().map(|header| header.position).max().unwrap();
    let behind = samples.iter().find(|sample| sample.position > last).unwrap().position;
    let spans = [[whole], [Span { from: behind, ..whole }]];
    let all = FORMATS.into_iter().flat_map(|format| spans.map(|spans| (format, spans)));
    let good: Vec<_> = all.clone().map(|(format, spans)| make(&place, format, &spans)).collect();
    for header in headers {
        // In the name of the metadata, in the record of a configuration, in the last byte of all.
        for at in [12, header.tag_len - 5, header.tag_len - 1] {
            rot(&place, &push, header.position + u64::from(at));
        }
    }
    for ((format, spans), (file, summary)) in all.zip(&good) {
        let (healed, seen) = make(&place, format, &spans);
        assert_eq!((damaged_packets(&seen), healed == *file), (0, true), "{format:?}");
        assert_eq!(&seen, summary, "{format:?}");
    }
}

#[test]
fn a_span_that_is_gone_is_left_out() {
    for gone in [0, 1, 2] {
        let place = Place::new();
        let pushes: Vec<Push> =
            (0..3).map(|nth| place.push(WALL_MS + 5_000 * nth, 0, METADATA)).collect();
        let spans: Vec<Span> = pushes.iter().map(span).collect();
        fs::remove_dir_all(place.journal.path(pushes[gone].session)).unwrap();
        for format in FORMATS {
            let (_, summary) = make(&place, format, &spans);
            let audio = summary.tracks.last().unwrap();
            assert_eq!(audio.packets, 200, "{format:?}");
            let causes: Vec<&str> = summary.gaps.iter().map(|gap| gap.cause.as_str()).collect();
            let expected: &[&str] = match gone {
                0 => &["journal_lost", "network"],
                1 => &["journal_lost"],
                _ => &["network", "journal_lost"],
            };
            assert_eq!(causes, expected, "{format:?} without {gone}");
        }
        pushes.iter().enumerate().filter(|(nth, _)| *nth != gone).for_each(|(_, push)| {
            fs::remove_dir_all(place.journal.path(push.session)).unwrap();
        });
        let Err(error) = open(&place, FORMATS[0], &spans) else { panic!("of nothing") };
        assert!(error.is_final());
        let text = format!("read the journal: there is no journal of session {}", spans[0].session);
        assert_eq!(error.to_string(), text);
    }
}

/// With its index, in the middle of what is read ahead.
#[test]
fn a_file_in_the_middle_that_is_gone_is_a_gap() {
    let place = Place::rolling(1024);
    let push = place.push(WALL_MS, 0, METADATA);
    let folder = place.journal.path(push.session);
    assert!(folder.join("00000003.flv").exists());
    for ending in ["flv", "idx"] {
        fs::remove_file(folder.join(format!("00000002.{ending}"))).unwrap();
    }
    for format in FORMATS {
        let (_, summary) = make(&place, format, &[span(&push)]);
        let causes: Vec<&str> = summary.gaps.iter().map(|gap| gap.cause.as_str()).collect();
        assert_eq!(causes, ["journal_lost"], "{format:?}");
        let audio = summary.tracks.last().unwrap();
        assert!((1..100).contains(&audio.packets), "{format:?} {audio:?}");
    }
}

/// What recovery could not keep of the end of a journal is not only in the log.
#[test]
fn an_end_that_was_put_aside_is_a_gap() {
    for aside in ["00000004.flv", "00000003.flv"] {
        let place = Place::rolling(1024);
        let push = place.push(WALL_MS, 0, METADATA);
        let folder = place.journal.path(push.session);
        let last = fs::read_dir(&folder).unwrap().count() / 2;
        for nth in 4..=last {
            let path = folder.join(format!("{nth:08}.flv"));
            fs::remove_file(path.with_extension("idx")).unwrap();
            fs::remove_file(path).unwrap();
        }
        let span = Span { to: None, ..span(&push) };
        let path = folder.join(format!("{aside}.damaged"));
        let causes = |format| {
            let (_, summary) = make(&place, format, std::slice::from_ref(&span));
            summary.gaps.into_iter().map(|gap| gap.cause).collect::<Vec<_>>()
        };
        // An empty one was begun when the process died: it never held anything.
        fs::write(&path, "").unwrap();
        FORMATS.iter().for_each(|format| assert!(causes(*format).is_empty(), "{format:?}"));
        fs::write(&path, "tags").unwrap();
        FORMATS.iter().for_each(|format| assert_eq!(causes(*format), ["journal_lost"]));
        // A task that had ended before loses nothing.
        let end = place.journal.reader(push.session).unwrap().end().unwrap();
        let before = Span { to: Some(end - 1), ..span };
        let (_, summary) = make(&place, FORMATS[0], &[before]);
        assert!(summary.gaps.is_empty(), "{:?}", summary.gaps);
    }
}

/// The disk lost the end of a journal, and its index knows of that.
#[test]
fn an_end_that_only_the_index_knows_is_a_gap() {
    for (is_gone, nth) in [(false, 1), (true, 1), (false, 2), (true, 2)] {
        let place = Place::rolling(1024);
        let push = place.push(WALL_MS, 0, METADATA);
        let folder = place.journal.path(push.session);
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "flv"))
            .collect();
        files.sort();
        for path in &files[files.len() - nth..] {
            match is_gone {
                true => fs::remove_file(path).unwrap(),
                false => fs::write(path, "").unwrap(),
            }
        }
        let found = place.journal.recover(push.session).unwrap();
        assert!(found.lost_tags > 0 && found.progress.written < push.end);
        let ending = Span { to: None, ..span(&push) };
        // As a push that ended there is in the rows, too.
        let known = Span { to: Some(found.progress.written), ..ending };
        let next = place.push(WALL_MS + 5_000, 0, METADATA);
        for format in FORMATS {
            let causes = |spans: &[Span]| {
                let (_, summary) = make(&place, format, spans);
                assert!(summary.tracks.last().unwrap().packets > 0);
                summary.gaps.into_iter().map(|gap| gap.cause).collect::<Vec<_>>()
            };
            for span in [ending, known, span(&push)] {
                assert_eq!(causes(&[span]), ["journal_lost"], "{format:?} {span:?}");
            }
            // Of a file that goes on with another push it stands between the two.
            assert_eq!(causes(&[known, span(&next)]), ["journal_lost"], "{format:?}");
            // A task that had ended before loses nothing.
            let before = Span { to: Some(found.progress.written - 1), ..ending };
            assert_eq!(causes(&[before]), [""; 0], "{format:?}");
        }
    }
}

#[test]
fn files_that_are_gone_are_left_out() {
    let place = Place::rolling(1024);
    let push = place.push(WALL_MS, 0, METADATA);
    let folder = place.journal.path(push.session);
    fs::remove_file(folder.join("00000001.flv")).unwrap();
    fs::remove_file(folder.join("00000003.flv")).unwrap();
    // An index can be made again.
    fs::remove_file(folder.join("00000002.idx")).unwrap();
    for format in FORMATS {
        let (_, summary) = make(&place, format, &[span(&push)]);
        let causes: Vec<&str> = summary.gaps.iter().map(|gap| gap.cause.as_str()).collect();
        assert_eq!(causes, ["journal_lost", "journal_lost"], "{format:?}");
        let audio = summary.tracks.last().unwrap();
        assert!((1..200).contains(&audio.packets), "{format:?}");
    }
}

/// The size of a tag rots: readers of the FLV find the tags behind it all the same.
#[test]
fn a_spoilt_tag_header_does_not_part_a_reader_from_the_rest() {
    let place = Place::new();
    let push = place.push(WALL_MS, 0, METADATA);
    let (good, _) = make(&place, FORMATS[0], &[span(&push)]);
    let mut reader = place.journal.reader(push.session).unwrap();
    let samples: Vec<Sample> =
        reader.samples(0, push.end).unwrap().collect::<Result<_, _>>().unwrap();
    let sound: Vec<&Sample> = samples.iter().filter(|s| s.is_audio_frame()).collect();
    // Kind, size, time, back pointer.
    for (nth, offset) in [(20, 0), (30, 2), (40, 6)] {
        rot(&place, &push, sound[nth].position + offset);
    }
    rot(&place, &push, sound[50].position + u64::from(sound[50].tag_len) - 2);
    let (made, summary) = make(&place, FORMATS[0], &[span(&push)]);
    assert_eq!((made == good, damaged_packets(&summary)), (true, 4));
}
