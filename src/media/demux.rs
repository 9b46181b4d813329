//! From a tag's payload to the samples in it: legacy FLV (v10.1 E.4.2, E.4.3), the Chinese HEVC
//! dialect (codec id 12), and enhanced RTMP v2 with ModEx and multitrack.
//!
//! Nothing is judged: a tag that makes no sense is one sample of [`SampleKind::Other`], so that it
//! is kept like any other. What a frame or a configuration record says is not looked at.

use super::sample::{Codec, SampleKind, TagSample, Track};
use super::tag::TagKind;

/// Tracks taken from one multitrack tag: the track id has eight bits.
const TRACKS_MAX: usize = 256;
/// Modifiers taken from one tag. One is defined, so more than a few is noise.
const MODIFIERS_MAX: usize = 16;

/// Finds the samples of one tag. `out` is cleared first and then holds at least one; every sample's
/// data lie inside `payload`. Reusing `out` avoids an allocation per tag.
pub fn demux(kind: TagKind, payload: &[u8], out: &mut Vec<TagSample>) {
    out.clear();
    let reader = Reader { payload, at: 0 };
    let found = match kind {
        TagKind::Video => video(reader, out),
        TagKind::Audio => audio(reader, out),
        TagKind::Script => script(reader, out),
    };
    if found.is_none() {
        // Cut short or unknown. What was found before stays, the rest is kept without a meaning.
        let at = out.last().map_or(0, |last| (last.data_offset + last.data_len) as usize);
        let track = match kind {
            TagKind::Video => Track::Video,
            TagKind::Audio => Track::Audio,
            TagKind::Script => Track::Script,
        };
        let rest = Reader { payload, at };
        rest.push(out, Part::new(track, SampleKind::Other, Codec::Unknown), payload.len());
    }
}

/// A payload and how far it has been read. Reading past the end gives none.
#[derive(Clone, Copy)]
struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

/// All of a sample but its place.
#[derive(Clone, Copy)]
struct Part {
    track: Track,
    track_id: u8,
    kind: SampleKind,
    codec: Codec,
    is_key: bool,
    has_nanos: bool,
    cts_ms: i32,
}

impl Part {
    fn new(track: Track, kind: SampleKind, codec: Codec) -> Self {
        Part { track, track_id: 0, kind, codec, is_key: false, has_nanos: false, cts_ms: 0 }
    }
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.payload.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = *self.payload.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(bytes)
    }

    fn u24(&mut self) -> Option<u32> {
        let [a, b, c] = self.array()?;
        Some(u32::from_be_bytes([0, a, b, c]))
    }

    /// A signed 24-bit composition time.
    fn cts(&mut self) -> Option<i32> {
        let [a, b, c] = self.array()?;
        Some(i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    /// A sample from here to `end`. Frames and records without data are demoted: no container
    /// could do anything with them, and FLV keeps their tag anyway.
    fn push(self, out: &mut Vec<TagSample>, part: Part, end: usize) {
        let data_len = end.saturating_sub(self.at);
        let is_media = matches!(part.kind, SampleKind::Frame | SampleKind::Config);
        let kind = if is_media && data_len == 0 { SampleKind::Other } else { part.kind };
        let is_frame = kind == SampleKind::Frame;
        out.push(TagSample {
            track: part.track,
            track_id: part.track_id,
            kind,
            codec: part.codec,
            keyframe: is_frame && (part.is_key || part.track == Track::Audio),
            has_nanos: is_frame && part.has_nanos,
            cts_ms: if is_frame { part.cts_ms } else { 0 },
            // A message has at most 24 bits of length.
            data_offset: self.at as u32,
            data_len: data_len as u32,
        });
    }
}

fn script(reader: Reader<'_>, out: &mut Vec<TagSample>) -> Option<()> {
    if reader.payload.is_empty() {
        return None;
    }
    let part = Part::new(Track::Script, SampleKind::Script, Codec::None);
    reader.push(out, part, reader.payload.len());
    Some(())
}

/// Frame types of a video tag; the high bit marks an enhanced header.
mod frame_type {
    pub const KEY: u8 = 1;
    /// Made by a server out of inter frames, as good as a key frame to start at.
    pub const GENERATED_KEY: u8 = 4;
    pub const COMMAND: u8 = 5;
}

fn video(mut reader: Reader<'_>, out: &mut Vec<TagSample>) -> Option<()> {
    let first = reader.byte()?;
    let end = reader.payload.len();
    let frame_type = first >> 4 & 7;
    let is_key = matches!(frame_type, frame_type::KEY | frame_type::GENERATED_KEY);
    if first & 0x80 != 0 {
        let is_command = frame_type == frame_type::COMMAND;
        return enhanced(reader, Dialect::Video { is_key, is_command }, first & 0x0f, out);
    }
    let mut part = Part::new(Track::Video, SampleKind::Other, Codec::Unknown);
    let codec = match first & 0x0f {
        7 => Codec::H264,
        12 => Codec::Hevc,
        _ => Codec::Legacy,
    };
    part.is_key = is_key;
    if frame_type == frame_type::COMMAND {
        reader.push(out, part, end);
        return Some(());
    }
    part.codec = codec;
    part.kind = SampleKind::Frame;
    if codec != Codec::Legacy {
        part.kind = match reader.byte()? {
            0 => SampleKind::Config,
            1 => SampleKind::Frame,
            2 => SampleKind::EndOfSequence,
            _ => SampleKind::Other,
        };
        part.cts_ms = match part.kind {
            // Some encoders leave the composition time out where it has no meaning.
            SampleKind::EndOfSequence if end - reader.at < 3 => 0,
            _ => reader.cts()?,
        };
    }
    reader.push(out, part, end);
    Some(())
}

fn audio(mut reader: Reader<'_>, out: &mut Vec<TagSample>) -> Option<()> {
    let first = reader.byte()?;
    let codec = match first >> 4 {
        9 => return enhanced(reader, Dialect::Audio, first & 0x0f, out),
        10 => Codec::Aac,
        2 | 14 => Codec::Mp3,
        _ => Codec::Legacy,
    };
    let mut part = Part::new(Track::Audio, SampleKind::Frame, codec);
    if codec == Codec::Aac {
        part.kind = match reader.byte()? {
            0 => SampleKind::Config,
            1 => SampleKind::Frame,
            _ => SampleKind::Other,
        };
    }
    reader.push(out, part, reader.payload.len());
    Some(())
}

/// Which of the two enhanced headers is being read.
#[derive(Clone, Copy)]
enum Dialect {
    Video { is_key: bool, is_command: bool },
    Audio,
}

/// What an enhanced packet type asks for, in the words common to both dialects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packet {
    Config,
    Frames,
    /// Frames whose composition time is not written because it is 0.
    FramesNow,
    End,
    /// Colour metadata, channel layouts, MPEG-2 TS descriptors, and what is not defined yet.
    Other,
    /// Video metadata, which is valid whatever the frame type says.
    Metadata,
    Multitrack,
    Modifier,
}

impl Dialect {
    fn packet(self, packet_type: u8) -> Packet {
        match (self, packet_type) {
            (_, 0) => Packet::Config,
            (_, 1) => Packet::Frames,
            (_, 2) => Packet::End,
            (_, 7) => Packet::Modifier,
            (Dialect::Video { .. }, 3) => Packet::FramesNow,
            (Dialect::Video { .. }, 4) => Packet::Metadata,
            (Dialect::Video { .. }, 6) | (Dialect::Audio, 5) => Packet::Multitrack,
            _ => Packet::Other,
        }
    }

    fn codec(self, four_cc: [u8; 4]) -> Codec {
        match (self, &four_cc) {
            (Dialect::Video { .. }, b"avc1") => Codec::H264,
            (Dialect::Video { .. }, b"hvc1") => Codec::Hevc,
            (Dialect::Video { .. }, b"av01") => Codec::Av1,
            (Dialect::Video { .. }, b"vp09") => Codec::Vp9,
            (Dialect::Video { .. }, b"vp08") => Codec::Vp8,
            (Dialect::Audio, b"mp4a") => Codec::Aac,
            (Dialect::Audio, b"Opus") => Codec::Opus,
            (Dialect::Audio, b"fLaC") => Codec::Flac,
            (Dialect::Audio, b"ac-3") => Codec::Ac3,
            (Dialect::Audio, b"ec-3") => Codec::Eac3,
            (Dialect::Audio, b".mp3") => Codec::Mp3,
            _ => Codec::Unknown,
        }
    }
}

/// ExVideoTagHeader or ExAudioTagHeader behind its first byte, and the body.
fn enhanced(
    mut reader: Reader<'_>,
    dialect: Dialect,
    packet_type: u8,
    out: &mut Vec<TagSample>,
) -> Option<()> {
    let mut packet = dialect.packet(packet_type);
    let mut has_nanos = false;
    for _ in 0..MODIFIERS_MAX {
        if packet != Packet::Modifier {
            break;
        }
        let modifier = Modifier::read(&mut reader)?;
        packet = dialect.packet(modifier.next_packet_type);
        has_nanos |= modifier.nanos.is_some_and(|nanos| nanos > 0);
    }
    if let Dialect::Video { is_command: true, .. } = dialect
        && packet != Packet::Metadata
    {
        return None;
    }
    let end = reader.payload.len();
    match packet {
        Packet::Modifier => None,
        Packet::Multitrack => multitrack(reader, dialect, has_nanos, out),
        _ => {
            let four_cc = reader.array()?;
            let tag = TagBody { dialect, packet, has_nanos };
            tag.track(reader, four_cc, 0, end, out)
        }
    }
}

/// One ModEx modifier.
struct Modifier {
    /// TimestampOffsetNano, the only type defined: 0 to 999999 ns behind the tag's time.
    nanos: Option<u32>,
    next_packet_type: u8,
}

impl Modifier {
    const TIMESTAMP_OFFSET_NANO: u8 = 0;

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut size = usize::from(reader.byte()?) + 1;
        if size == 256 {
            size = usize::from(u16::from_be_bytes(reader.array()?)) + 1;
        }
        let nanos = { *reader }.u24().filter(|_| size >= 3);
        reader.at = reader.at.checked_add(size)?;
        let types = reader.byte()?;
        let is_offset = types >> 4 == Self::TIMESTAMP_OFFSET_NANO;
        Some(Modifier { nanos: nanos.filter(|_| is_offset), next_packet_type: types & 0x0f })
    }
}

fn multitrack(
    mut reader: Reader<'_>,
    dialect: Dialect,
    has_nanos: bool,
    out: &mut Vec<TagSample>,
) -> Option<()> {
    let header = reader.byte()?;
    let packet = dialect.packet(header & 0x0f);
    if matches!(packet, Packet::Multitrack | Packet::Modifier) {
        return None;
    }
    let (is_one_track, has_own_codecs) = match header >> 4 {
        0 => (true, false),
        1 => (false, false),
        2 => (false, true),
        _ => return None,
    };
    let mut four_cc = if has_own_codecs { [0; 4] } else { reader.array()? };
    let payload_end = reader.payload.len();
    for _ in 0..TRACKS_MAX {
        if has_own_codecs {
            four_cc = reader.array()?;
        }
        let track_id = reader.byte()?;
        let end = if is_one_track {
            payload_end
        } else {
            let size = reader.u24()? as usize;
            reader.at.checked_add(size).filter(|end| *end <= payload_end)?
        };
        TagBody { dialect, packet, has_nanos }.track(reader, four_cc, track_id, end, out)?;
        if end == payload_end {
            return Some(());
        }
        reader.at = end;
    }
    None
}

/// What the header of an enhanced tag says of all its tracks.
#[derive(Clone, Copy)]
struct TagBody {
    dialect: Dialect,
    packet: Packet,
    has_nanos: bool,
}

impl TagBody {
    /// One track's part of the body, which ends at `end`.
    fn track(
        self,
        mut reader: Reader<'_>,
        four_cc: [u8; 4],
        track_id: u8,
        end: usize,
        out: &mut Vec<TagSample>,
    ) -> Option<()> {
        let TagBody { dialect, packet, has_nanos } = self;
        let (track, is_key) = match dialect {
            Dialect::Video { is_key, .. } => (Track::Video, is_key),
            Dialect::Audio => (Track::Audio, false),
        };
        let kind = match packet {
            Packet::Config => SampleKind::Config,
            Packet::Frames | Packet::FramesNow => SampleKind::Frame,
            Packet::End => SampleKind::EndOfSequence,
            _ => SampleKind::Other,
        };
        let part = Part::new(track, kind, dialect.codec(four_cc));
        let mut part = Part { track_id, is_key, has_nanos, ..part };
        let is_reordered = track == Track::Video && matches!(&four_cc, b"avc1" | b"hvc1" | b"vvc1");
        if packet == Packet::Frames && is_reordered {
            let (cts_ms, start) = (reader.cts()?, reader.at);
            if start > end {
                return None;
            }
            part.cts_ms = cts_ms;
        }
        reader.push(out, part, end);
        Some(())
    }
}

#[cfg(test)]
mod tests;
