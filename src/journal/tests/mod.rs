//! Journals end to end: written, read back, broken, repaired. What these tests share.

pub mod broken_disk;
mod checksums;
mod faults;
mod heads;
mod layout;
mod left;
mod lost_end;
mod mending;
mod recovery;
mod releasing;
mod round_trip;
mod stalls;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;
use tokio::{runtime::Runtime, time::Instant};

use super::{
    Journal, Reader, Settings, SpaceSettings, Writer, checksum,
    file::{Disk, FileSystem},
    tracker::{State, Tracker},
};
use crate::{
    domain::ids::SessionId,
    media::{
        flv::header::{TAG_HEADER_LEN, encode_tag_header, encode_tag_trailer, tag_len},
        sample::{Sample, SampleKind},
        tag::{Tag, TagKind},
    },
};

pub const HEAD: &str = r#"{"session":"text of the caller, \"quoted\""}"#;
pub const WALL_MS: i64 = 1_795_344_236_000;

/// A journal root that goes away with the test.
pub struct Place {
    pub journal: Journal,
    pub runtime: Runtime,
    _root: tempfile::TempDir,
}

impl Place {
    pub fn new(roll_bytes: u64) -> Self {
        Self::on(Arc::new(FileSystem), roll_bytes)
    }

    pub fn on(disk: Arc<dyn Disk>, roll_bytes: u64) -> Self {
        Self::with(disk, roll_bytes, SpaceSettings::default())
    }

    pub fn with(disk: Arc<dyn Disk>, roll_bytes: u64, space: SpaceSettings) -> Self {
        // In memory where there is such a place: these tests sync thousands of times.
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let settings = Settings {
            root: root.path().join("journal"),
            sync_interval: Duration::from_millis(1),
            roll_bytes,
        };
        let journal = Journal::on_disk(settings, space, disk, Duration::from_millis(1)).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .enable_time()
            .build()
            .unwrap();
        Place { journal, runtime, _root: root }
    }

    pub fn begin(&self) -> (SessionId, Writer) {
        let session = SessionId::new(0);
        (
            session,
            self.runtime.block_on(self.journal.create(session, HEAD.to_owned(), WALL_MS)).unwrap(),
        )
    }

    /// Writes `tags`, flushing after every `batch` of them, and closes.
    pub fn record(&self, tags: &[Tag], batch: usize) -> (SessionId, u64) {
        let (session, mut writer) = self.begin();
        let end = self.runtime.block_on(async {
            for (nth, tag) in tags.iter().enumerate() {
                writer.push(tag, wall_of(nth));
                writer.maintain(Instant::now()).await.unwrap();
                if nth % batch == batch - 1 {
                    writer.flush().await.unwrap();
                }
            }
            writer.close("{\"end\":true}").await.unwrap()
        });
        (session, end)
    }

    pub fn folder(&self, session: SessionId) -> PathBuf {
        self.journal.folder(session).path
    }

    pub fn reader(&self, session: SessionId) -> Reader {
        self.journal.reader(session).unwrap()
    }
}

/// Arrival of a tag: 400 ms after the one before.
pub fn wall_of(nth: usize) -> i64 {
    WALL_MS + 400 * nth as i64
}

/// The tags of the encoder, as they are read back, with their times.
pub fn read_tags(reader: &mut Reader) -> Vec<Tag> {
    let (start, end) = (reader.start(), reader.end().unwrap());
    read_tags_between(reader, start, end)
}

pub fn read_tags_between(reader: &mut Reader, from: u64, to: u64) -> Vec<Tag> {
    let samples: Vec<Sample> = reader.samples(from, to).unwrap().collect::<Result<_, _>>().unwrap();
    let is_first =
        |s: &&Sample| s.tag_len > 0 && !matches!(s.kind, SampleKind::Private | SampleKind::Clock);
    samples.iter().filter(is_first).map(|sample| read_tag(reader, sample)).collect()
}

fn read_tag(reader: &mut Reader, sample: &Sample) -> Tag {
    let mut bytes = vec![0; sample.tag_len as usize];
    reader.read(sample.position, &mut bytes).unwrap();
    let kind = TagKind::from_byte(bytes[0]).unwrap();
    let payload = Bytes::copy_from_slice(&bytes[TAG_HEADER_LEN..bytes.len() - 4]);
    let mut whole = encode_tag_header(kind, payload.len() as u32, sample.dts_ms).to_vec();
    whole.extend_from_slice(&payload);
    whole.extend_from_slice(&encode_tag_trailer(payload.len() as u32));
    assert_eq!(bytes, whole, "header and back pointer");
    Tag { kind, time_ms: sample.dts_ms, payload }
}

/// What the index says, private tags left out, positions counted anew: what must not depend on
/// how the tags were spread over batches and files.
pub fn meaning(samples: impl IntoIterator<Item = Sample>) -> Vec<Sample> {
    let mut end = 0;
    let mut out = Vec::new();
    for mut sample in samples {
        if matches!(sample.kind, SampleKind::Private | SampleKind::Clock) {
            continue;
        }
        if sample.tag_len > 0 {
            end += u64::from(sample.tag_len);
        }
        sample.position = end;
        out.push(sample);
    }
    out
}

/// The same, straight from the tags.
pub fn expected(tags: &[Tag]) -> Vec<Sample> {
    let mut tracker = Tracker::new(State::default());
    let mut samples = Vec::new();
    let mut position = 0;
    for tag in tags {
        tracker.examine(tag.kind, &tag.payload);
        let first = samples.len();
        tracker.record(position, tag.time_ms, &tag.payload, &mut samples);
        let data_size = tag.payload.len() as u32;
        let header = encode_tag_header(tag.kind, data_size, tag.time_ms);
        checksum::stamp(&mut samples[first..], &header, &tag.payload);
        position += tag_len(tag.payload.len());
    }
    meaning(samples)
}

pub fn all_samples(reader: &mut Reader) -> Vec<Sample> {
    let start = reader.start();
    reader.samples(start, u64::MAX).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Data and index of every file, in order.
pub fn files(place: &Place, session: SessionId) -> Vec<(Vec<u8>, Vec<u8>)> {
    let folder = place.journal.folder(session);
    let read = |number: &u32| {
        (fs::read(folder.data(*number)).unwrap(), fs::read(folder.index(*number)).unwrap())
    };
    folder.numbers().unwrap().iter().map(read).collect()
}

pub fn tag(kind: TagKind, time_ms: i64, payload: &[u8]) -> Tag {
    Tag { kind, time_ms, payload: Bytes::copy_from_slice(payload) }
}

pub fn video_config(time_ms: i64, which: u8) -> Tag {
    tag(TagKind::Video, time_ms, &[0x17, 0, 0, 0, 0, 1, 0x64, 0, which, 0xff])
}

pub fn audio_config(time_ms: i64, which: u8) -> Tag {
    tag(TagKind::Audio, time_ms, &[0xaf, 0, 0x12, which])
}

pub fn keyframe(time_ms: i64, len: usize) -> Tag {
    frame(TagKind::Video, time_ms, &[0x17, 1, 0, 0, 0], len)
}

pub fn inter(time_ms: i64, len: usize) -> Tag {
    frame(TagKind::Video, time_ms, &[0x27, 1, 0xff, 0xff, 0xd8], len)
}

pub fn audio(time_ms: i64, len: usize) -> Tag {
    frame(TagKind::Audio, time_ms, &[0xaf, 1], len)
}

fn frame(kind: TagKind, time_ms: i64, start: &[u8], len: usize) -> Tag {
    let mut payload = start.to_vec();
    payload.extend((0..len).map(|n| (n as i64 + time_ms) as u8));
    tag(kind, time_ms, &payload)
}

pub fn metadata(time_ms: i64, value: u8) -> Tag {
    let mut payload = b"\x02\x00\x0aonMetaData\x08\x00\x00\x00\x01\x00\x01a\x01".to_vec();
    payload.extend([value, 0, 0, 9]);
    tag(TagKind::Script, time_ms, &payload)
}

/// A short stream with something of everything.
pub fn stream() -> Vec<Tag> {
    let private_look = b"\x02\x00\x07liverec\x0c\x00\x00\x00\x0b{\"clock\":1}";
    vec![
        metadata(0, 1),
        audio_config(0, 0x10),
        video_config(0, 1),
        keyframe(0, 40),
        audio(3, 12),
        inter(40, 20),
        tag(TagKind::Script, 41, b"\x02\x00\x0aonTextData\x05"),
        tag(TagKind::Script, 41, private_look),
        audio(26, 11),
        keyframe(80, 30),
        video_config(120, 1),
        audio_config(121, 0x90),
        keyframe(120, 25),
        tag(TagKind::Video, 0, &[0x17, 2, 0, 0, 0]),
        tag(TagKind::Audio, 130, &[]),
        tag(TagKind::Video, 131, &[]),
        tag(TagKind::Audio, 131, &[0x7a, 1, 2]),
        // Enhanced RTMP, two Opus tracks in one tag: configurations, then frames.
        tag(TagKind::Audio, 140, b"\x95\x10Opus\x00\x00\x00\x02ab\x01\x00\x00\x02cd"),
        tag(TagKind::Audio, 150, b"\x95\x11Opus\x00\x00\x00\x02ef\x01\x00\x00\x02gh"),
        keyframe(160, 10),
        metadata(160, 2),
        audio(170, 9),
        keyframe(5_000_000_000, 8),
        inter(5_000_000_040, 7),
        keyframe(-9, 9),
        inter(0, 1),
    ]
}

/// So many cases, and no files with the seeds of failures.
pub fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Streams of any tags at any times.
pub fn any_stream() -> impl Strategy<Value = Vec<Tag>> {
    let step = prop_oneof![8 => -5..100i64, 1 => -100_000..100_000i64, 1 => any::<i32>().prop_map(i64::from), 1 => any::<i64>()];
    let any_tag =
        (0..15u8, step, 0..60usize, any::<u8>(), proptest::collection::vec(any::<u8>(), 0..24));
    proptest::collection::vec(any_tag, 0..40).prop_map(|tags| {
        let mut time_ms = 0i64;
        let mut out = Vec::new();
        for (what, step, len, value, noise) in tags {
            time_ms = time_ms.wrapping_add(step);
            out.push(match what {
                0 | 1 => keyframe(time_ms, len),
                2 | 3 => inter(time_ms, len),
                4 | 5 => audio(time_ms, len),
                6 => video_config(time_ms, value % 3),
                7 => audio_config(time_ms, value % 3),
                8 => metadata(time_ms, value),
                9 => tag(TagKind::Video, 0, &[0x17, 2, 0, 0, 0]),
                10 => tag(TagKind::Video, time_ms, &noise),
                11 => tag(TagKind::Audio, time_ms, &noise),
                12 => tag(TagKind::Script, time_ms, &noise),
                // Enhanced RTMP with a nanosecond offset, 0 now and then.
                13 => tag(
                    TagKind::Video,
                    time_ms,
                    &[b"\x97\x02\0\0", &[value % 3][..], b"\x01av01a"].concat(),
                ),
                _ => tag(
                    TagKind::Script,
                    time_ms,
                    &[b"\x02\x00\x07liverec\x0c", &noise[..]].concat(),
                ),
            });
        }
        out
    })
}
