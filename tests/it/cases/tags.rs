//! Messages assembled byte by byte: FLV v10.1 E.4.2 and E.4.3, the HEVC dialect with codec id 12,
//! enhanced RTMP v2 with modifiers and several tracks.
//!
//! Coded frames come from an encoder ([`Media::of`]); what stands around them is written here.

use bytes::Bytes;
use liverec::media::tag::{Tag, TagKind};

/// One coded frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Decoding time.
    pub time_ms: i64,
    /// Composition time offset.
    pub cts_ms: i32,
    /// Whether decoding can begin here.
    pub is_key: bool,
    /// The coded data.
    pub data: Bytes,
}

/// One track: its configuration record and its frames.
#[derive(Debug, Clone)]
pub struct Media {
    /// Empty where the codec has none.
    pub config: Bytes,
    /// In the order of decoding.
    pub frames: Vec<Frame>,
}

/// A message.
pub fn tag(kind: TagKind, time_ms: i64, parts: &[&[u8]]) -> Tag {
    Tag { kind, time_ms, payload: Bytes::from(parts.concat()) }
}

/// A script message: a name and an object with one text.
pub fn script(name: &str, text: &str, time_ms: i64) -> Tag {
    let string =
        |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let value = [&[2], string(text).as_slice()].concat();
    let parts: [&[u8]; 6] = [&[2], &string(name), &[3], &string("text"), &value, &[0, 0, 9]];
    tag(TagKind::Script, time_ms, &parts)
}

/// The low three bytes.
pub fn bytes24(number: i32) -> [u8; 3] {
    let [_, low @ ..] = number.to_be_bytes();
    low
}

/// Whether a message is of the given kind and its second byte says "sequence header", as in the old
/// header of AVC, HEVC and AAC.
pub fn is_old_header(tag: &Tag, kind: TagKind) -> bool {
    tag.kind == kind && tag.payload.get(1) == Some(&0)
}

impl Media {
    /// The pictures or the sound in an encoder's messages, old header or enhanced.
    pub fn of(tags: &[Tag], kind: TagKind) -> Self {
        let mut media = Self { config: Bytes::new(), frames: Vec::new() };
        for tag in tags.iter().filter(|tag| tag.kind == kind) {
            media.take(tag);
        }
        assert!(!media.frames.is_empty(), "no frame of {kind:?}");
        media
    }

    fn take(&mut self, tag: &Tag) {
        let payload = &tag.payload;
        let first = payload[0];
        let is_key = tag.kind == TagKind::Audio || first >> 4 & 7 == 1;
        let (packet, has_cts, at) = match tag.kind {
            TagKind::Video if first & 0x80 != 0 => {
                let has_cts = first & 15 == 1 && matches!(&payload[1..5], b"hvc1" | b"avc1");
                (first & 15, has_cts, 5)
            }
            TagKind::Video if matches!(first & 15, 7 | 12) => (payload[1], true, 2),
            TagKind::Audio if first >> 4 == 9 => (first & 15, false, 5),
            TagKind::Audio if first >> 4 == 10 => (payload[1], false, 2),
            _ => (1, false, 1),
        };
        let (mut at, mut cts_ms) = (at, 0);
        if has_cts {
            cts_ms = i32::from_be_bytes([payload[at], payload[at + 1], payload[at + 2], 0]) >> 8;
            at += 3;
        }
        let data = payload.slice(at..);
        match packet {
            0 => self.config = data,
            1 | 3 if !data.is_empty() => {
                self.frames.push(Frame { time_ms: tag.time_ms, cts_ms, is_key, data });
            }
            _ => {}
        }
    }

    /// The first time.
    pub fn start_ms(&self) -> i64 {
        self.frames.first().unwrap().time_ms
    }

    /// The same with other times.
    pub fn moved(mut self, by_ms: i64) -> Self {
        self.frames.iter_mut().for_each(|frame| frame.time_ms += by_ms);
        self
    }

    /// The frames of a stretch, such as `..25`.
    pub fn part(&self, range: impl std::slice::SliceIndex<[Frame], Output = [Frame]>) -> Self {
        Self { config: self.config.clone(), frames: self.frames[range].to_vec() }
    }

    /// With the old header: `codec` 7 is AVC, 12 the HEVC dialect.
    pub fn old_video(&self, codec: u8) -> Vec<Tag> {
        let header = |key: bool, packet| [if key { 0x10 } else { 0x20 } | codec, packet];
        let mut tags =
            vec![tag(TagKind::Video, self.start_ms(), &[&header(true, 0), &[0; 3], &self.config])];
        tags.extend(self.frames.iter().map(|frame| {
            let parts: [&[u8]; 3] = [&header(frame.is_key, 1), &bytes24(frame.cts_ms), &frame.data];
            tag(TagKind::Video, frame.time_ms, &parts)
        }));
        tags
    }

    /// AAC with the old header.
    pub fn old_aac(&self) -> Vec<Tag> {
        let mut tags = vec![tag(TagKind::Audio, self.start_ms(), &[&[0xAF, 0], &self.config])];
        tags.extend(
            self.frames
                .iter()
                .map(|frame| tag(TagKind::Audio, frame.time_ms, &[&[0xAF, 1], &frame.data])),
        );
        tags
    }

    /// Sound that needs no configuration, behind one byte.
    pub fn old_audio(&self, first: u8) -> Vec<Tag> {
        let frames = self.frames.iter();
        frames.map(|frame| tag(TagKind::Audio, frame.time_ms, &[&[first], &frame.data])).collect()
    }

    /// Enhanced video. A composition time is written where the codec has one, and left out where it
    /// is 0 if `is_short` (CodedFramesX).
    pub fn enhanced_video(&self, four_cc: &[u8; 4], is_short: bool) -> Vec<Tag> {
        let mut tags = vec![ex_video(true, 0, self.start_ms(), &[four_cc, &self.config])];
        tags.extend(self.frames.iter().map(|frame| {
            let is_short = is_short && frame.cts_ms == 0;
            let body = frame.enhanced_body(four_cc, is_short);
            ex_video(frame.is_key, if is_short { 3 } else { 1 }, frame.time_ms, &[four_cc, &body])
        }));
        tags
    }

    /// Enhanced audio; without a configuration there is no sequence start.
    pub fn enhanced_audio(&self, four_cc: &[u8; 4]) -> Vec<Tag> {
        let mut tags = Vec::new();
        if !self.config.is_empty() {
            tags.push(ex_audio(0, self.start_ms(), &[four_cc, &self.config]));
        }
        tags.extend(
            self.frames.iter().map(|frame| ex_audio(1, frame.time_ms, &[four_cc, &frame.data])),
        );
        tags
    }
}

impl Frame {
    /// What stands behind the FourCC of a coded frame.
    pub fn enhanced_body(&self, four_cc: &[u8; 4], is_short: bool) -> Vec<u8> {
        let mut body = Vec::new();
        if !is_short && matches!(four_cc, b"avc1" | b"hvc1") {
            body.extend_from_slice(&bytes24(self.cts_ms));
        }
        body.extend_from_slice(&self.data);
        body
    }
}

/// ExVideoTagHeader and what is behind it.
pub fn ex_video(is_key: bool, packet: u8, time_ms: i64, parts: &[&[u8]]) -> Tag {
    let first = 0x80 | if is_key { 0x10 } else { 0x20 } | packet;
    tag(TagKind::Video, time_ms, &[&[first], &parts.concat()])
}

/// ExAudioTagHeader and what is behind it.
pub fn ex_audio(packet: u8, time_ms: i64, parts: &[&[u8]]) -> Tag {
    tag(TagKind::Audio, time_ms, &[&[0x90 | packet], &parts.concat()])
}

/// Puts messages of several tracks into one order of time; each track keeps its own.
pub fn merged(tracks: &[Vec<Tag>]) -> Vec<Tag> {
    let mut rest: Vec<&[Tag]> = tracks.iter().map(Vec::as_slice).collect();
    let mut out = Vec::new();
    while let Some(next) =
        rest.iter_mut().filter(|track| !track.is_empty()).min_by_key(|track| track[0].time_ms)
    {
        out.push(next[0].clone());
        *next = &next[1..];
    }
    out
}

/// Messages with other times.
pub fn retimed(tags: &[Tag], mut time_ms: impl FnMut(&Tag) -> i64) -> Vec<Tag> {
    tags.iter().map(|tag| Tag { time_ms: time_ms(tag), ..tag.clone() }).collect()
}
