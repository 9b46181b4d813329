//! Random streams: what they are made of, and what each tag means.

use bytes::Bytes;
use liverec::media::tag::{Tag, TagKind};
use proptest::{prelude::*, sample::Index};

/// Arrival of the first tag.
pub const WALL_MS: i64 = 1_795_344_236_000;

/// How the sound is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    Aac,
    Opus,
}

/// One thing that an encoder sends, or that happens to it.
#[derive(Debug, Clone, Copy)]
enum Event {
    Picture {
        is_key: bool,
        step_ms: i64,
        cts_ms: i32,
        len: usize,
    },
    Sound {
        step_ms: i64,
        len: usize,
    },
    /// The clock of both tracks.
    Jump(i64),
    /// The clock of the pictures.
    VideoBack(i64),
    /// The clock of the sound.
    AudioBack(i64),
    /// Nothing is sent for so long.
    Silence(i64),
    /// The configuration of the pictures, the same again or another.
    VideoConfig(usize),
    AudioConfig(usize),
    /// From H.264 to HEVC or back.
    OtherCodec,
    Metadata,
    Text,
    EmptyVideo,
    EmptyAudio,
    EndOfSequence,
}

/// A stream and how it is recorded.
#[derive(Debug, Clone)]
pub struct Case {
    has_video: bool,
    has_audio: bool,
    begins_with_hevc: bool,
    pub sound: Sound,
    start_ms: i64,
    skew_ms: i64,
    events: Vec<Event>,
    /// The tag that the recording begins with; the first of all if there is none.
    pub first: Option<Index>,
    pub interval_s: i64,
    pub roll_bytes: u64,
    pub segment_ms: i64,
}

/// A coded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub is_video: bool,
    pub is_key: bool,
    pub dts_ms: i64,
    pub cts_ms: i32,
    /// A NAL unit without its length, or a frame of sound.
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn pts_ms(&self) -> i64 {
        self.dts_ms + i64::from(self.cts_ms)
    }
}

/// A tag and what it means.
#[derive(Debug, Clone)]
pub struct Item {
    pub tag: Tag,
    pub wall_ms: i64,
    pub frame: Option<Frame>,
    /// A configuration or onMetaData.
    pub is_description: bool,
}

impl Item {
    pub fn is_video_frame(&self) -> bool {
        self.frame.as_ref().is_some_and(|frame| frame.is_video)
    }
}

pub fn any_case() -> impl Strategy<Value = Case> {
    let tracks =
        prop_oneof![6 => Just((true, true)), 1 => Just((true, false)), 1 => Just((false, true))];
    let start_ms = prop::sample::select(vec![
        0,
        5,
        (1 << 24) - 900,
        (1 << 31) - 900,
        (1 << 32) - 900,
        9_000_000_000,
    ]);
    let skew_ms = prop_oneof![Just(0), -5_000..5_000i64];
    let sound = prop_oneof![3 => Just(Sound::Aac), 1 => Just(Sound::Opus)];
    let how = (any::<Index>(), 1..12i64, prop_oneof![200..4_000u64, Just(1 << 20)], 300..3_000i64);
    let first = prop_oneof![Just(true), any::<bool>()];
    let key_every = prop_oneof![Just(0usize), 1..20usize];
    (tracks, any::<bool>(), sound, start_ms, skew_ms, how, first, key_every).prop_flat_map(
        |(tracks, hevc, sound, start_ms, skew_ms, how, is_whole, key_every)| {
            prop::collection::vec(any_event(key_every), 1..160).prop_map(move |events| {
                let (index, interval_s, roll_bytes, segment_ms) = how;
                Case {
                    has_video: tracks.0,
                    has_audio: tracks.1,
                    begins_with_hevc: hevc,
                    sound,
                    start_ms,
                    skew_ms,
                    events,
                    first: (!is_whole).then_some(index),
                    interval_s,
                    roll_bytes,
                    segment_ms,
                }
            })
        },
    )
}

/// With a key frame in about so many pictures; 0 is hardly ever one.
fn any_event(key_every: usize) -> impl Strategy<Value = Event> {
    let key = (0..key_every.max(1) * if key_every == 0 { 400 } else { 1 }).prop_map(|n| n == 0);
    let step = prop_oneof![8 => Just(40i64), 4 => 0..120i64, 1 => 200..2_500i64];
    let cts = prop_oneof![4 => Just(0), 4 => prop::sample::select(vec![40, 80, 120, -40]),
        1 => -8_388_608..8_388_608i32];
    prop_oneof![
        50 => (key, step, cts, 0..30usize)
            .prop_map(|(is_key, step_ms, cts_ms, len)| Event::Picture { is_key, step_ms, cts_ms, len }),
        50 => (prop_oneof![Just(21i64), Just(23), 0..900i64], 0..30usize)
            .prop_map(|(step_ms, len)| Event::Sound { step_ms, len }),
        1 => prop::sample::select(vec![9_000, 30_000, 10_800_000]).prop_map(Event::Jump),
        1 => prop_oneof![1..10_000i64, 10_001..90_000i64].prop_map(Event::VideoBack),
        1 => (1..30_000i64).prop_map(Event::AudioBack),
        1 => prop::sample::select(vec![3_000, 65_000]).prop_map(Event::Silence),
        2 => (0..AVC.len()).prop_map(Event::VideoConfig),
        2 => (0..AAC.len()).prop_map(Event::AudioConfig),
        1 => Just(Event::OtherCodec),
        1 => prop::sample::select(vec![Event::Metadata, Event::Text, Event::EmptyVideo,
            Event::EmptyAudio, Event::EndOfSequence]),
    ]
}

/// avcC of x264, three pictures sizes and profiles.
const AVC: [&[u8]; 3] = [
    b"\x01\x64\x00\x15\xff\xe1\x00\x1d\x67\x64\x00\x15\xac\xd9\x44\x4f\xcb\x80\xb5\x02\x02\x01\x40\
      \x00\x00\x03\x00\x40\x00\x00\x03\x02\x87\xc5\x0a\x65\x80\x01\x00\x06\x68\xfb\xa3\xcb\x22\xc0\
      \xfd\xf8\xf8\x00",
    b"\x01\x7a\x00\x0a\xff\xe1\x00\x18\x67\x7a\x00\x0a\xb6\xcd\x94\x47\xb0\x11\x00\x00\x03\x00\x01\
      \x00\x00\x03\x00\x0a\x0f\x12\x25\x96\x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0\xfe\xfa\xfa\x00",
    b"\x01\x42\xc0\x0a\xff\xe1\x00\x17\x67\x42\xc0\x0a\xd9\x04\x7b\x01\x10\x00\x00\x03\x00\x10\x00\
      \x00\x03\x00\xa0\xf1\x22\x64\x80\x01\x00\x05\x68\xcb\x83\xcb\x20",
];
/// hvcC of x265.
const HEVC: &[u8] = b"\x01\x02\x20\x00\x00\x00\x90\x00\x00\x00\x00\x00\x1e\xf0\x00\xfc\xfd\xfa\xfa\
    \x00\x00\x0f\x03\x20\x00\x01\x00\x18\x40\x01\x0c\x01\xff\xff\x02\x20\x00\x00\x03\x00\x90\x00\
    \x00\x03\x00\x00\x03\x00\x1e\x95\x98\x09\x21\x00\x01\x00\x32\x42\x01\x01\x02\x20\x00\x00\x03\
    \x00\x90\x00\x00\x03\x00\x00\x03\x00\x1e\xa0\x20\x83\x13\x65\x95\x9a\xe4\xca\xf0\x16\x80\x80\
    \x00\x00\x03\x00\x80\x00\x00\x30\x2b\x00\x64\x91\xf0\x03\x0d\x00\x0c\x35\x12\x22\x00\x01\x00\
    \x06\x44\x01\xc1\x73\xd0\x89";
/// AudioSpecificConfig: 44.1 kHz stereo, 48 kHz stereo, 48 kHz mono.
const AAC: [&[u8]; 3] = [b"\x12\x10", b"\x11\x90", b"\x11\x88"];
const OPUS: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
const METADATA: &[u8] = b"\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x01a\x00\x40\0\0\0\0\0\0\0\0\0\x09";

/// The tag payloads of all configurations there are.
pub fn descriptions() -> impl Iterator<Item = &'static [u8]> {
    use std::sync::LazyLock;
    static ALL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let avc = (0..AVC.len()).map(|which| video_config(false, which));
        let aac = (0..AAC.len()).map(|which| audio_config(Sound::Aac, which));
        avc.chain(aac).chain([video_config(true, 0), audio_config(Sound::Opus, 0)]).collect()
    });
    ALL.iter().map(Vec::as_slice)
}

/// True for the payload of an onMetaData.
pub fn is_metadata(payload: &[u8]) -> bool {
    payload.starts_with(&METADATA[..13])
}

fn video_config(is_hevc: bool, which: usize) -> Vec<u8> {
    if is_hevc { [b"\x90hvc1", HEVC].concat() } else { [b"\x17\0\0\0\0", AVC[which]].concat() }
}

fn audio_config(sound: Sound, which: usize) -> Vec<u8> {
    match sound {
        Sound::Aac => [b"\xaf\0", AAC[which]].concat(),
        Sound::Opus => [b"\x90Opus", OPUS].concat(),
    }
}

impl Case {
    /// The tags, each with what it means.
    pub fn items(&self) -> Vec<Item> {
        let mut pen = Pen {
            case: self,
            is_hevc: self.begins_with_hevc,
            video_ms: self.start_ms + self.skew_ms.max(0),
            audio_ms: self.start_ms + (-self.skew_ms).max(0),
            wall_ms: WALL_MS,
            number: 0,
            items: Vec::new(),
        };
        pen.describe(TagKind::Script, 0, METADATA.to_vec());
        if self.has_video {
            pen.video_config(0);
        }
        if self.has_audio {
            pen.audio_config(0);
        }
        for event in &self.events {
            pen.event(*event);
        }
        pen.items
    }
}

struct Pen<'a> {
    case: &'a Case,
    is_hevc: bool,
    video_ms: i64,
    audio_ms: i64,
    wall_ms: i64,
    number: u32,
    items: Vec<Item>,
}

impl Pen<'_> {
    fn event(&mut self, event: Event) {
        let Case { has_video, has_audio, .. } = *self.case;
        match event {
            Event::Picture { .. } | Event::VideoConfig(_) | Event::OtherCodec if !has_video => {}
            Event::Sound { .. } | Event::AudioConfig(_) if !has_audio => {}
            Event::Picture { is_key, step_ms, cts_ms, len } => {
                self.video_ms += step_ms;
                self.wall_ms += step_ms / 2;
                self.picture(is_key, cts_ms, len);
            }
            Event::Sound { step_ms, len } => {
                self.audio_ms += step_ms;
                self.wall_ms += step_ms / 2;
                self.sound(len);
            }
            Event::Jump(by_ms) => {
                self.video_ms += by_ms;
                self.audio_ms += by_ms;
            }
            Event::VideoBack(by_ms) => self.video_ms -= by_ms,
            Event::AudioBack(by_ms) => self.audio_ms -= by_ms,
            Event::Silence(by_ms) => self.wall_ms += by_ms,
            Event::VideoConfig(which) => self.video_config(which),
            Event::AudioConfig(which) => self.audio_config(which),
            Event::OtherCodec => {
                self.is_hevc = !self.is_hevc;
                self.video_config(0);
            }
            Event::Metadata => self.describe(TagKind::Script, self.audio_ms, METADATA.to_vec()),
            Event::Text => {
                self.push(TagKind::Script, self.audio_ms, b"\x02\0\x0aonTextData\x05".to_vec());
            }
            Event::EmptyVideo => self.push(TagKind::Video, self.video_ms, Vec::new()),
            Event::EmptyAudio => self.push(TagKind::Audio, self.audio_ms, Vec::new()),
            Event::EndOfSequence => self.push(TagKind::Video, 0, b"\x17\x02\0\0\0".to_vec()),
        }
    }

    fn picture(&mut self, is_key: bool, cts_ms: i32, len: usize) {
        let head: &[u8] = match (self.is_hevc, is_key) {
            (false, true) => b"\x65",
            (false, false) => b"\x41",
            (true, true) => b"\x26\x01",
            (true, false) => b"\x02\x01",
        };
        let nal = [head, &self.unique(len)].concat();
        let frame_type = if is_key { 0x10 } else { 0x20 };
        let cts = &cts_ms.to_be_bytes()[1..];
        let mut tag = match (self.is_hevc, cts_ms) {
            (false, _) => [&[frame_type | 7, 1], cts].concat(),
            // CodedFramesX, which has no composition time.
            (true, 0) => [&[0x80 | frame_type | 3][..], b"hvc1"].concat(),
            (true, _) => [&[0x80 | frame_type | 1][..], b"hvc1", cts].concat(),
        };
        tag.extend_from_slice(&(nal.len() as u32).to_be_bytes());
        tag.extend_from_slice(&nal);
        let dts_ms = self.video_ms;
        self.push(TagKind::Video, dts_ms, tag);
        self.means(Frame { is_video: true, is_key, dts_ms, cts_ms, payload: nal });
    }

    fn sound(&mut self, len: usize) {
        let payload = self.unique(len);
        let head: &[u8] = match self.case.sound {
            Sound::Aac => b"\xaf\x01",
            Sound::Opus => b"\x91Opus",
        };
        let dts_ms = self.audio_ms;
        self.push(TagKind::Audio, dts_ms, [head, &payload].concat());
        self.means(Frame { is_video: false, is_key: true, dts_ms, cts_ms: 0, payload });
    }

    /// Bytes that no other frame has, without anything that looks like a start code.
    fn unique(&mut self, len: usize) -> Vec<u8> {
        self.number += 1;
        let number = self.number.to_be_bytes().map(|byte| byte | 0x80);
        let low = (self.number as u8 & 0x7f) | 0x80;
        [&number[..2], &[(self.number >> 7) as u8 | 0x80, low], &vec![0xa5; len]].concat()
    }

    fn video_config(&mut self, which: usize) {
        let payload = video_config(self.is_hevc, which);
        self.describe(TagKind::Video, self.video_ms, payload);
    }

    fn audio_config(&mut self, which: usize) {
        let payload = audio_config(self.case.sound, which);
        self.describe(TagKind::Audio, self.audio_ms, payload);
    }

    fn describe(&mut self, kind: TagKind, time_ms: i64, payload: Vec<u8>) {
        self.push(kind, time_ms, payload);
        if let Some(item) = self.items.last_mut() {
            item.is_description = true;
        }
    }

    fn push(&mut self, kind: TagKind, time_ms: i64, payload: Vec<u8>) {
        let tag = Tag { kind, time_ms, payload: Bytes::from(payload) };
        let wall_ms = self.wall_ms;
        self.items.push(Item { tag, wall_ms, frame: None, is_description: false });
    }

    fn means(&mut self, frame: Frame) {
        if let Some(item) = self.items.last_mut() {
            item.frame = Some(frame);
        }
    }
}
