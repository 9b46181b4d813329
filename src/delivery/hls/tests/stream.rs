//! What is pushed in these tests, and journals of it.

use std::{ops::Range, time::Duration};

use proptest::prelude::*;

use crate::{
    domain::{ids::SessionId, recording::Span},
    journal::{Journal, Settings},
    media::{
        sample::Track,
        tag::{Tag, TagKind},
    },
};

pub const WALL_MS: i64 = 1_795_344_236_000;
const AVC: &[u8] =
    b"\x17\0\0\0\0\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\
    \xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\
    \xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
const AAC: &[u8] = b"\xaf\0\x12\x10";
const MP3: &[u8] = b"\x2f\xff\xfb\x90\x64\x00\x01\x02\x03";
const MP3_MONO: &[u8] = b"\x2f\xff\xfb\x90\xc4\x00\x01\x02\x03";

/// A frame or a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// When it is pushed, on the wall.
    pub at_ms: i64,
    /// Its decoding time.
    pub time_ms: i64,
    pub track: Track,
    pub kind: Kind,
    pub cts_ms: i32,
}

/// What a tag holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A configuration; pictures have several.
    Config(u8),
    Key,
    Frame,
    /// Sound that needs no configuration.
    Mp3,
}

impl Item {
    fn tag(&self, number: usize) -> Tag {
        let cts = &self.cts_ms.to_be_bytes()[1..];
        let number = (number as u32).to_be_bytes();
        let frame = |head: u8, nal: u8| [&[head, 1], cts, &[0, 0, 0, 5, nal], &number].concat();
        let (kind, payload) = match (self.track, self.kind) {
            (Track::Video, Kind::Config(other)) => {
                let mut payload = AVC.to_vec();
                if let Some(byte) = payload.iter_mut().rev().nth(4) {
                    *byte ^= other;
                }
                (TagKind::Video, payload)
            }
            (Track::Video, Kind::Key) => (TagKind::Video, frame(0x17, 0x65)),
            (Track::Video, _) => (TagKind::Video, frame(0x27, 0x41)),
            (_, Kind::Config(_)) => (TagKind::Audio, AAC.to_vec()),
            // Now and then it says for a while that it is coded otherwise.
            (_, Kind::Mp3) => {
                let head = if number[3] % 64 < 48 { MP3 } else { MP3_MONO };
                (TagKind::Audio, [head, &number].concat())
            }
            _ => (TagKind::Audio, [&[0xaf, 1], &number[..]].concat()),
        };
        Tag { kind, time_ms: self.time_ms, payload: payload.into() }
    }
}

/// A tidy stream: 25 pictures a second, a key frame each second, sound.
pub fn usual(times: Range<i64>) -> Vec<Item> {
    let start_ms = times.start;
    let item = |time_ms, track, kind| Item {
        at_ms: time_ms - start_ms,
        time_ms,
        track,
        kind,
        cts_ms: if track == Track::Video { 40 } else { 0 },
    };
    let mut items = vec![item(start_ms, Track::Video, Kind::Config(0))];
    for time_ms in times.step_by(20) {
        let since_ms = time_ms - start_ms;
        if since_ms % 40 == 0 {
            let kind = if since_ms % 1000 == 0 { Kind::Key } else { Kind::Frame };
            items.push(item(time_ms, Track::Video, kind));
        }
        if since_ms % 400 == 0 {
            items.push(item(time_ms, Track::Audio, Kind::Config(0)));
        }
        items.push(item(time_ms, Track::Audio, Kind::Frame));
    }
    items
}

/// Streams as they should not be: tracks that begin late or pause, other parameters, another codec,
/// clocks that jump and step back.
pub fn any_push() -> impl Strategy<Value = Vec<Item>> {
    let kind = prop_oneof![
        20 => Just((Track::Video, Kind::Frame)),
        4 => Just((Track::Video, Kind::Key)),
        20 => Just((Track::Audio, Kind::Frame)),
        1 => (0u8..3).prop_map(|other| (Track::Video, Kind::Config(other))),
        1 => Just((Track::Audio, Kind::Config(0))),
    ];
    let step = prop_oneof![
        60 => 0i64..120,
        1 => Just(15_000i64),
        2 => -600i64..0,
        1 => Just(-12_000i64),
    ];
    let late = prop_oneof![3 => Just(0.0), 2 => 0.0..1.0f64];
    let frames = prop::collection::vec((kind, step, -80i32..120), 1..400);
    let start = prop_oneof![Just(0i64), Just(70_000), 0i64..20_000];
    (frames, start, late.clone(), late, any::<bool>(), 0u8..4).prop_map(
        |(frames, start_ms, no_video, no_audio, is_mp3, configured)| {
            let count = frames.len() as f64;
            let (mut time_ms, mut at_ms) = (start_ms, 0);
            let mut items = Vec::new();
            for (number, (track, config)) in
                [(Track::Video, 1), (Track::Audio, 2)].iter().enumerate()
            {
                if configured & config == 0 || number == 2 {
                    items.push(Item {
                        at_ms,
                        time_ms,
                        track: *track,
                        kind: Kind::Config(0),
                        cts_ms: 0,
                    });
                }
            }
            for (number, ((track, kind), step_ms, cts_ms)) in frames.into_iter().enumerate() {
                let late = if track == Track::Video { no_video } else { no_audio };
                if (number as f64) < late * count {
                    continue;
                }
                time_ms = (time_ms + step_ms).max(0);
                at_ms += step_ms.max(0);
                let is_sound = (track, kind) == (Track::Audio, Kind::Frame);
                let kind = if is_sound && is_mp3 { Kind::Mp3 } else { kind };
                let cts_ms = if track == Track::Video { cts_ms } else { 0 };
                items.push(Item { at_ms, time_ms, track, kind, cts_ms });
            }
            items
        },
    )
}

/// A push in the journal.
pub struct Push {
    session: SessionId,
    end: u64,
    /// Where tags begin, and the end.
    pub positions: Vec<u64>,
}

impl Push {
    pub fn span(&self) -> Span {
        Span { session: self.session, from: 0, to: Some(self.end) }
    }
}

/// Journals on disk.
pub struct Place {
    pub journal: Journal,
    runtime: tokio::runtime::Runtime,
    _root: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let settings = Settings {
            root: root.path().join("journal"),
            sync_interval: Duration::from_secs(1),
            roll_bytes: 4096,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { journal: Journal::open(settings).unwrap(), runtime, _root: root }
    }

    pub fn push(&self, items: &[Item]) -> Push {
        let session = SessionId::new(WALL_MS);
        let end = self.runtime.block_on(async {
            let mut writer = self.journal.create(session, "{}".to_owned(), WALL_MS).await.unwrap();
            for (number, item) in items.iter().enumerate() {
                writer.push(&item.tag(number), WALL_MS + item.at_ms);
            }
            writer.close("{}").await.unwrap()
        });
        let mut reader = self.journal.reader(session).unwrap();
        let samples = reader.samples(0, end).unwrap().map(Result::unwrap);
        let mut positions: Vec<u64> =
            samples.filter(|s| s.tag_len > 0).map(|s| s.position).collect();
        positions.push(end);
        Push { session, end, positions }
    }
}
