//! Cuts, as a property: whatever is pushed, wherever RecordInterval falls, the files of a recording
//! one after the other hold every payload and every time once, in every container.
//!
//! A random stream goes into a real journal, the tracker that makes rows says where its files
//! begin and end, each file is projected into memory, and small readers of this test's own take
//! the products apart again.

mod demux;
mod stream;

use std::{cell::Cell, collections::BTreeSet, time::Duration};

use liverec::{
    delivery::{
        HlsSettings,
        project::{Block, Object, ProjectError, Projection},
    },
    domain::{
        container::Container,
        ids::{DecimalId, RecordingId, SessionId},
        journal_note::Note,
        media_file::MediaFacts,
        record_template::{RecordParam, RecordTemplate},
        recording::{Origin, Recording, Span},
    },
    journal::{Journal, Settings},
    media::{
        hls::SegmentType,
        sample::{Sample, SampleKind},
    },
    record::{
        cut::CutReason,
        tracker::{Change, Tracker},
    },
};
use proptest::{
    prelude::*,
    test_runner::{TestCaseError, TestRunner},
};
use tokio::runtime::Runtime;

use demux::Found;
use stream::{Case, Item, Sound, WALL_MS};

/// Every product there is.
const PRODUCTS: [(Container, SegmentType); 5] = [
    (Container::Flv, SegmentType::Ts),
    (Container::Mp4, SegmentType::Ts),
    (Container::Hls, SegmentType::Ts),
    (Container::Hls, SegmentType::Fmp4),
    (Container::Aac, SegmentType::Ts),
];
/// Pictures count as gone after a minute without one; the journal knows arrival to the second.
const VIDEO_GONE_MS: i64 = 59_000;

#[test]
fn files_joined_again_hold_everything_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let config =
        ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let seen = Seen::default();
    TestRunner::new(config)
        .run(&stream::any_case(), |case| check(&runtime, &case, &seen))
        .unwrap_or_else(|failure| panic!("{failure}"));
    // The property holds of nothing if nothing was ever cut.
    for reason in [CutReason::Interval, CutReason::StepBack, CutReason::CodecChange] {
        assert!(seen.cuts(reason) > 0, "no case had a cut for {reason:?}");
    }
    assert!(seen.frames.get() > 5_000, "{} frames", seen.frames.get());
}

/// How much the cases had of what they are for.
#[derive(Default)]
struct Seen {
    reasons: [Cell<usize>; 3],
    frames: Cell<usize>,
}

impl Seen {
    fn slot(&self, reason: CutReason) -> &Cell<usize> {
        match reason {
            CutReason::Interval => &self.reasons[0],
            CutReason::StepBack => &self.reasons[1],
            CutReason::CodecChange => &self.reasons[2],
            CutReason::OtherCodec => panic!("the stream never came back"),
        }
    }

    fn cuts(&self, reason: CutReason) -> usize {
        self.slot(reason).get()
    }
}

/// One file of a recording.
#[derive(Debug)]
struct File {
    from: u64,
    to: u64,
    cause: Option<CutReason>,
}

fn check(runtime: &Runtime, case: &Case, seen: &Seen) -> Result<(), TestCaseError> {
    let items = case.items();
    let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let journal = Journal::open(Settings {
        root: root.path().to_owned(),
        sync_interval: Duration::from_secs(1),
        roll_bytes: case.roll_bytes,
    })
    .unwrap();
    let session = SessionId::new(WALL_MS);
    let end = runtime.block_on(write(&journal, session, &items));
    let mut reader = journal.reader(session).unwrap();
    let samples: Vec<Sample> = reader.samples(0, end).unwrap().collect::<Result<_, _>>().unwrap();
    let places: Vec<u64> = samples.iter().filter(|s| is_pushed(s)).map(|s| s.position).collect();
    prop_assert_eq!(places.len(), items.len());

    let first = case.first.map_or(0, |first| first.index(items.len()));
    for (container, segment_type) in PRODUCTS {
        let hls = HlsSettings { segment_ms: case.segment_ms, segment_type, live_playlist: false };
        let files = cut(container, case.interval_s, places[first], end, &samples);
        prop_assert_eq!(files[0].from, places[first]);
        prop_assert_eq!(files[files.len() - 1].to, end);
        for pair in files.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from, "a gap or an overlap between two files");
        }
        let mut joined = 0;
        for file in &files {
            let begin = places.partition_point(|place| *place < file.from);
            let items_of_file = &items[begin..places.partition_point(|place| *place < file.to)];
            if let Some(cause) = file.cause {
                seen.slot(cause).set(seen.cuts(cause) + 1);
                assert_legal(container, cause, &items, begin, first)?;
            }
            let span = Span { session, from: file.from, to: Some(file.to) };
            let objects = match project(&journal, container, span, hls) {
                Ok(objects) => objects,
                Err(ProjectError::Empty) => {
                    let frames = items_of_file.iter().filter(|item| carries(container, item));
                    prop_assert_eq!(frames.count(), 0);
                    joined += items_of_file.len();
                    continue;
                }
                Err(ProjectError::Unsupported { reason, .. }) => {
                    prop_assert!(
                        is_refused(container, segment_type, case.sound, items_of_file),
                        "{container}: {reason}"
                    );
                    joined += items_of_file.len();
                    continue;
                }
                Err(error) => panic!("{container}: {error}"),
            };
            joined += items_of_file.len();
            seen.frames.set(seen.frames.get() + items_of_file.len());
            match container {
                Container::Flv => assert_tags(&demux::flv(&objects[0]), items_of_file)?,
                Container::Mp4 => assert_mp4(&demux::mp4(&objects[0]), items_of_file)?,
                Container::Hls => {
                    // The playlist is the last object.
                    let segments = &objects[..objects.len() - 1];
                    let read = match segment_type {
                        SegmentType::Ts => demux::ts,
                        SegmentType::Fmp4 => demux::fmp4,
                    };
                    let found: Vec<Found> = segments.iter().flat_map(|part| read(part)).collect();
                    match segment_type {
                        SegmentType::Ts => assert_ts(&found, items_of_file)?,
                        SegmentType::Fmp4 => assert_fmp4(&found, items_of_file)?,
                    }
                }
                Container::Aac => assert_payloads(&demux::adts(&objects[0]), items_of_file)?,
            }
        }
        prop_assert_eq!(joined, items.len() - first, "{} of all tags", container);
    }
    Ok(())
}

async fn write(journal: &Journal, session: SessionId, items: &[Item]) -> u64 {
    let mut writer = journal.create(session, "{}".to_owned(), WALL_MS).await.unwrap();
    for item in items {
        writer.push(&item.tag, item.wall_ms);
        writer.maintain(tokio::time::Instant::now()).await.unwrap();
    }
    writer.close("{}").await.unwrap()
}

/// The first sample of a tag that an encoder sent.
fn is_pushed(sample: &Sample) -> bool {
    sample.tag_len > 0 && !matches!(sample.kind, SampleKind::Private | SampleKind::Clock)
}

/// The files of a recording that begins at `from`, as their rows would say.
fn cut(
    container: Container,
    interval_s: i64,
    from: u64,
    end: u64,
    samples: &[Sample],
) -> Vec<File> {
    let param = RecordParam { record_interval: interval_s, ..RecordParam::default() };
    let template = RecordTemplate {
        flv: param.clone(),
        hls: param.clone(),
        mp4: param.clone(),
        aac: param,
        ..RecordTemplate::default()
    };
    let recording = Box::new(Recording {
        id: RecordingId::new(WALL_MS),
        session_id: DecimalId(1),
        origin: Origin::Rule,
        container,
        template,
        started_ms: WALL_MS,
        resume_window_s: 0,
    });
    let mut tracker = Tracker::new(WALL_MS);
    let mut changes = Vec::new();
    let (before, after) = samples.split_at(samples.partition_point(|s| s.position < from));
    before.iter().for_each(|sample| tracker.push(sample, &mut changes));
    tracker.note(from, Note::Attach { recording, from }, &mut changes);
    after.iter().for_each(|sample| tracker.push(sample, &mut changes));
    tracker.finish(end, false, &mut changes);
    let mut files: Vec<File> = Vec::new();
    for change in changes {
        match change {
            Change::OpenFile { from, cause, .. } => files.push(File { from, to: 0, cause }),
            Change::CloseFile { to, .. } => files.last_mut().unwrap().to = to,
            _ => {}
        }
    }
    files
}

/// An interval ends a file only where a player can begin the next one.
fn assert_legal(
    container: Container,
    cause: CutReason,
    items: &[Item],
    at: usize,
    first: usize,
) -> Result<(), TestCaseError> {
    match cause {
        CutReason::Interval => {}
        CutReason::StepBack | CutReason::CodecChange | CutReason::OtherCodec => {
            prop_assert_eq!(container, Container::Mp4);
            return Ok(());
        }
    }
    let frame = items[at].frame.as_ref().expect("a file begins with a frame");
    let last_video = items[first..at].iter().rev().find(|item| item.is_video_frame());
    let is_gone = |last: &Item| items[at].wall_ms - last.wall_ms > VIDEO_GONE_MS;
    match container {
        Container::Hls => prop_assert!(false, "HLS is one file a push"),
        Container::Aac => prop_assert!(!frame.is_video),
        _ if frame.is_video => prop_assert!(frame.is_key, "cut at {:?}", items[at]),
        _ => prop_assert!(last_video.is_none_or(is_gone), "cut at {:?}", items[at]),
    }
    Ok(())
}

/// True where the codec of the sound has no place in the container, or the sound is all there could
/// be in it and there is none.
fn is_refused(
    container: Container,
    segment_type: SegmentType,
    sound: Sound,
    items: &[Item],
) -> bool {
    let has_frames = items.iter().any(|item| item.frame.is_some());
    match container {
        Container::Flv => false,
        // Script data alone.
        _ if !has_frames => true,
        Container::Mp4 => false,
        Container::Hls => segment_type == SegmentType::Ts && sound == Sound::Opus,
        Container::Aac => {
            sound == Sound::Opus || !items.iter().any(|item| carries(container, item))
        }
    }
}

fn carries(container: Container, item: &Item) -> bool {
    match (container, &item.frame) {
        (_, None) => false,
        (Container::Aac, Some(frame)) => !frame.is_video,
        _ => true,
    }
}

/// The objects of a file, whole, in the order in which they were complete.
fn project(
    journal: &Journal,
    container: Container,
    span: Span,
    hls: HlsSettings,
) -> Result<Vec<Vec<u8>>, ProjectError> {
    let facts = MediaFacts { start_ms: WALL_MS, ..MediaFacts::default() };
    let mut projection = Projection::open(journal, container, &[span], Vec::new(), facts, hls)?;
    let mut objects = Vec::new();
    let mut open: Option<(Object, Vec<u8>)> = None;
    loop {
        match projection.next_block(1000)? {
            Block::Bytes { object, bytes } => {
                let (name, whole) = open.get_or_insert((object, Vec::new()));
                assert_eq!(*name, object, "two objects at a time");
                whole.extend_from_slice(&bytes);
            }
            Block::EndOfObject => objects.push(open.take().unwrap().1),
            _ => return Ok(objects),
        }
    }
}

fn assert_tags(found: &[demux::FlvTag], items: &[Item]) -> Result<(), TestCaseError> {
    // What describes the stream is repeated in every file's head, and what is there already may
    // move into it.
    let expected: Vec<demux::FlvTag> = items
        .iter()
        .filter(|item| !item.is_description)
        .map(|item| demux::FlvTag {
            kind: item.tag.kind as u8,
            time_ms: item.tag.time_ms as u32,
            payload: item.tag.payload.to_vec(),
        })
        .collect();
    let descriptions: BTreeSet<&[u8]> = stream::descriptions().collect();
    let is_other = |tag: &&demux::FlvTag| {
        !descriptions.contains(tag.payload.as_slice()) && !stream::is_metadata(&tag.payload)
    };
    let found: Vec<demux::FlvTag> = found.iter().filter(is_other).cloned().collect();
    prop_assert_eq!(found, expected);
    Ok(())
}

/// The frames of an item list, in order.
fn frames(items: &[Item]) -> Vec<&stream::Frame> {
    items.iter().filter_map(|item| item.frame.as_ref()).collect()
}

fn assert_mp4(found: &[Found], items: &[Item]) -> Result<(), TestCaseError> {
    let expected = frames(items);
    assert_order(found, &expected)?;
    // One shift for both tracks, whatever was absorbed.
    let shifts: BTreeSet<i64> =
        found.iter().zip(&expected).map(|(found, sent)| sent.pts_ms() - found.pts).collect();
    prop_assert_eq!(shifts.len(), 1, "presentation times are shifted by {:?}", shifts);
    for is_video in [false, true] {
        let pairs = || found.iter().zip(&expected).filter(|(_, sent)| sent.is_video == is_video);
        let is_steady = pairs().map(|(_, sent)| sent.dts_ms).is_sorted();
        // The first one may be decoded earlier, where the track is presented before that.
        let later = pairs().skip(1);
        let shifts: BTreeSet<i64> = later.map(|(found, sent)| sent.dts_ms - found.dts).collect();
        prop_assert!(!is_steady || shifts.len() <= 1, "decoding times are shifted by {:?}", shifts);
    }
    Ok(())
}

fn assert_ts(found: &[Found], items: &[Item]) -> Result<(), TestCaseError> {
    let expected = frames(items);
    assert_order(found, &expected)?;
    // One shift for both tracks and all segments.
    let shifts: BTreeSet<i64> = found
        .iter()
        .zip(&expected)
        .flat_map(|(found, sent)| [(found.dts, sent.dts_ms), (found.pts, sent.pts_ms())])
        .map(|(found, sent_ms)| (found - sent_ms * 90).rem_euclid(1 << 33))
        .collect();
    prop_assert_eq!(shifts.len(), 1, "times are shifted by {:?}", shifts);
    Ok(())
}

/// Each track by itself: a fragment holds one behind the other.
fn assert_fmp4(found: &[Found], items: &[Item]) -> Result<(), TestCaseError> {
    let mut shifts = BTreeSet::new();
    for is_video in [false, true] {
        let found: Vec<Found> =
            found.iter().filter(|frame| frame.is_video == is_video).cloned().collect();
        let expected: Vec<&stream::Frame> =
            frames(items).into_iter().filter(|frame| frame.is_video == is_video).collect();
        assert_order(&found, &expected)?;
        // Sound that steps back is moved up to where it stepped from.
        if is_video || expected.iter().map(|frame| frame.dts_ms).is_sorted() {
            let pairs = found.iter().zip(&expected);
            shifts.extend(pairs.map(|(found, sent)| found.pts - sent.pts_ms()));
        }
    }
    prop_assert!(shifts.len() <= 1, "times are shifted by {:?}", shifts);
    Ok(())
}

fn assert_payloads(found: &[Vec<u8>], items: &[Item]) -> Result<(), TestCaseError> {
    let expected: Vec<&Vec<u8>> = frames(items)
        .into_iter()
        .filter(|frame| !frame.is_video)
        .map(|frame| &frame.payload)
        .collect();
    prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    Ok(())
}

/// The same frames of both tracks in the order in which they were sent.
fn assert_order(found: &[Found], expected: &[&stream::Frame]) -> Result<(), TestCaseError> {
    let found: Vec<(bool, &[u8])> = found.iter().map(|f| (f.is_video, &f.payload[..])).collect();
    let expected: Vec<(bool, &[u8])> =
        expected.iter().map(|frame| (frame.is_video, &frame.payload[..])).collect();
    prop_assert_eq!(found, expected);
    Ok(())
}
