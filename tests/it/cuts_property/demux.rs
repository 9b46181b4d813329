//! Small readers of the products, made for these tests: they know what a random stream can lead to
//! and panic at anything else.

use std::collections::BTreeMap;

/// A frame as it stands in a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub is_video: bool,
    /// Milliseconds in MP4, 90 kHz in MPEG-TS.
    pub dts: i64,
    pub pts: i64,
    /// A NAL unit without what stands before it, or a frame of sound.
    pub payload: Vec<u8>,
}

/// A tag of an FLV file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlvTag {
    pub kind: u8,
    pub time_ms: u32,
    pub payload: Vec<u8>,
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// All tags of an FLV file.
pub fn flv(file: &[u8]) -> Vec<FlvTag> {
    assert_eq!((&file[..4], &file[5..13]), (&b"FLV\x01"[..], &b"\0\0\0\x09\0\0\0\0"[..]));
    let mut rest = &file[13..];
    let mut tags = Vec::new();
    while !rest.is_empty() {
        let length = number(&rest[1..4]) as usize;
        let time_ms = u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]);
        let payload = rest[11..11 + length].to_vec();
        assert_eq!(number(&rest[11 + length..15 + length]), 11 + length as u64);
        tags.push(FlvTag { kind: rest[0], time_ms, payload });
        rest = &rest[15 + length..];
    }
    tags
}

/// The frames of an ADTS stream.
pub fn adts(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !file.is_empty() {
        assert_eq!((file[0], file[1] & 0xf6), (0xff, 0xf0), "no ADTS header");
        let length = (number(&file[3..6]) >> 5 & 0x1fff) as usize;
        frames.push(file[7..length].to_vec());
        file = &file[length..];
    }
    frames
}

/// The boxes in `bytes`, by name, first ones first.
fn boxes(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (head, length) = match number(&bytes[..4]) {
            1 => (16, number(&bytes[8..16]) as usize),
            length => (8, length as usize),
        };
        found.push((&bytes[4..8], &bytes[head..length]));
        bytes = &bytes[length..];
    }
    found
}

fn inner<'a>(bytes: &'a [u8], path: &[&[u8]]) -> Option<&'a [u8]> {
    let [name, rest @ ..] = path else { return Some(bytes) };
    let (_, found) = boxes(bytes).into_iter().find(|(found, _)| found == name)?;
    inner(found, rest)
}

/// The entries of a table box: `width` numbers of four bytes each.
fn table(bytes: Option<&[u8]>, width: usize) -> Vec<Vec<u64>> {
    let Some(bytes) = bytes else { return Vec::new() };
    let entries: Vec<Vec<u64>> =
        bytes[8..].chunks(4 * width).map(|entry| entry.chunks(4).map(number).collect()).collect();
    assert_eq!(entries.len() as u64, number(&bytes[4..8]));
    entries
}

/// Run-length pairs, written out.
fn unroll(pairs: Vec<Vec<u64>>) -> Vec<u64> {
    pairs.iter().flat_map(|pair| std::iter::repeat_n(pair[1], pair[0] as usize)).collect()
}

/// The frames of an MP4 file in the order of the file, at the times of its edit lists.
pub fn mp4(file: &[u8]) -> Vec<Found> {
    let movie = inner(file, &[b"moov"]).expect("a moov");
    let mut frames = BTreeMap::new();
    for (name, track) in boxes(movie) {
        if name == b"trak" {
            mp4_track(file, track, &mut frames);
        }
    }
    let body: usize = boxes(file).iter().filter(|b| b.0 == b"mdat").map(|b| b.1.len()).sum();
    let taken: usize = frames.values().map(|(length, _)| length).sum();
    assert_eq!(taken, body, "mdat holds what no sample is");
    frames.into_values().map(|(_, frame)| frame).collect()
}

fn mp4_track(file: &[u8], track: &[u8], frames: &mut BTreeMap<u64, (usize, Found)>) {
    let media = inner(track, &[b"mdia"]).unwrap();
    let is_video = inner(media, &[b"hdlr"]).unwrap()[8..12] == *b"vide";
    let tables = inner(media, &[b"minf", b"stbl"]).unwrap();
    let box_of = |name: &[u8]| inner(tables, &[name]);
    let steps = unroll(table(box_of(b"stts"), 2));
    let offsets: Vec<i64> = unroll(table(box_of(b"ctts"), 2))
        .into_iter()
        .map(|offset| offset as u32 as i32)
        .map(i64::from)
        .collect();
    let sizes = box_of(b"stsz").unwrap();
    assert_eq!(number(&sizes[4..8]), 0, "sizes of their own");
    let sizes: Vec<u64> = sizes[12..].chunks(4).map(number).collect();
    let chunks: Vec<u64> = match box_of(b"co64") {
        Some(wide) => table(Some(wide), 2).iter().map(|pair| pair[0] << 32 | pair[1]).collect(),
        None => table(box_of(b"stco"), 1).into_iter().flatten().collect(),
    };
    let runs = table(box_of(b"stsc"), 3);
    let (empty_ms, media_ms) = edit(inner(track, &[b"edts", b"elst"]));

    let mut next = 0;
    let mut decode_ms = 0;
    for (nth, at) in chunks.iter().enumerate() {
        let run = runs.iter().rev().find(|run| run[0] <= nth as u64 + 1).unwrap();
        let mut at = *at;
        for _ in 0..run[1] {
            let length = sizes[next] as usize;
            let data = &file[at as usize..at as usize + length];
            let composed_ms = decode_ms + offsets.get(next).copied().unwrap_or(0);
            let pts = composed_ms - media_ms + empty_ms;
            let frame = Found { is_video, dts: decode_ms, pts, payload: bare(is_video, data) };
            assert!(frames.insert(at, (length, frame)).is_none(), "two samples at one place");
            decode_ms += steps[next] as i64;
            at += sizes[next];
            next += 1;
        }
    }
    assert_eq!((next, next), (sizes.len(), steps.len()));
}

/// How long nothing is shown at first, and from where on the media is shown. One of each at most.
fn edit(list: Option<&[u8]>) -> (i64, i64) {
    let Some(list) = list else { return (0, 0) };
    let width = if list[0] == 1 { 8 } else { 4 };
    let (mut empty_ms, mut media_ms) = (0, None);
    for entry in list[8..].chunks(2 * width + 4) {
        let (duration, rest) = entry.split_at(width);
        if rest[..width].iter().all(|byte| *byte == 0xff) {
            assert_eq!((empty_ms, media_ms), (0, None), "an empty edit comes first and once");
            empty_ms = number(duration) as i64;
        } else {
            assert_eq!(media_ms, None, "one edit");
            media_ms = Some(number(&rest[..width]) as i64);
        }
    }
    (empty_ms, media_ms.unwrap())
}

/// A picture is one NAL unit here.
fn bare(is_video: bool, data: &[u8]) -> Vec<u8> {
    if !is_video {
        return data.to_vec();
    }
    assert_eq!(number(&data[..4]) as usize, data.len() - 4);
    data[4..].to_vec()
}

/// The frames of a fragmented MP4 segment, track after track; none of an initialisation segment.
pub fn fmp4(segment: &[u8]) -> Vec<Found> {
    let mut frames = Vec::new();
    let Some(moof) = inner(segment, &[b"moof"]) else {
        assert!(inner(segment, &[b"moov"]).is_some());
        return frames;
    };
    let moof_at = moof.as_ptr() as usize - 8 - segment.as_ptr() as usize;
    for (name, track) in boxes(moof) {
        if name != b"traf" {
            continue;
        }
        let header = inner(track, &[b"tfhd"]).unwrap();
        assert_eq!(header[..4], [0, 2, 0, 0], "places count from the moof");
        let is_video = number(&header[4..8]) == 1;
        let time = inner(track, &[b"tfdt"]).unwrap();
        let mut dts = number(&time[4..]) as i64;
        for (_, run) in boxes(track).into_iter().filter(|(name, _)| name == b"trun") {
            // Version 1; place, and four fields for every sample.
            assert_eq!(run[..4], [1, 0, 0xf, 1]);
            let mut at = moof_at + number(&run[8..12]) as usize;
            for fields in run[12..].chunks(16) {
                let [duration, size, _flags, offset] =
                    [0, 4, 8, 12].map(|field| number(&fields[field..field + 4]));
                let pts = dts + i64::from(offset as u32 as i32);
                let data = &segment[at..at + size as usize];
                frames.push(Found { is_video, dts, pts, payload: bare(is_video, data) });
                at += size as usize;
                dts += duration as i64;
            }
        }
    }
    frames
}

/// The frames of an MPEG-TS segment in the order in which they begin.
pub fn ts(segment: &[u8]) -> Vec<Found> {
    let mut maps = Vec::new();
    let mut streams: BTreeMap<u16, u8> = BTreeMap::new();
    let mut open: BTreeMap<u16, usize> = BTreeMap::new();
    let mut packets: Vec<(u8, Vec<u8>)> = Vec::new();
    for packet in segment.chunks(188) {
        assert_eq!((packet.len(), packet[0]), (188, 0x47));
        let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        let begins = packet[1] & 0x40 != 0;
        let adaptation = if packet[3] & 0x20 != 0 { 1 + usize::from(packet[4]) } else { 0 };
        if packet[3] & 0x10 == 0 {
            continue;
        }
        let payload = &packet[4 + adaptation..];
        if pid == 0 {
            maps.push(u16::from_be_bytes([payload[11] & 0x1f, payload[12]]));
        } else if maps.contains(&pid) {
            streams.extend(program(payload));
        } else {
            let kind = streams[&pid];
            if begins {
                open.insert(pid, packets.len());
                packets.push((kind, Vec::new()));
            }
            packets[open[&pid]].1.extend_from_slice(payload);
        }
    }
    packets.iter().map(|(kind, packet)| pes(*kind, packet)).collect()
}

/// PID and stream type of every stream of a program map.
fn program(payload: &[u8]) -> Vec<(u16, u8)> {
    let section = &payload[1..];
    let end = 3 + (number(&section[1..3]) & 0xfff) as usize - 4;
    let mut at = 12 + (number(&section[10..12]) & 0xfff) as usize;
    let mut streams = Vec::new();
    while at < end {
        streams.push((u16::from_be_bytes([section[at + 1] & 0x1f, section[at + 2]]), section[at]));
        at += 5 + (number(&section[at + 3..at + 5]) & 0xfff) as usize;
    }
    streams
}

fn pes(kind: u8, packet: &[u8]) -> Found {
    assert_eq!(packet[..3], [0, 0, 1]);
    let time = |at: usize| {
        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|n| i64::from(packet[at + n]));
        (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
    };
    let pts = time(9);
    let dts = if packet[7] & 0x40 != 0 { time(14) } else { pts };
    let data = &packet[9 + usize::from(packet[8])..];
    let is_video = kind != 0x0f;
    let payload = if is_video {
        // The picture is the last NAL unit; delimiter and parameter sets stand before it.
        let start = data.windows(4).rposition(|four| four == [0, 0, 0, 1]).unwrap();
        data[start + 4..].to_vec()
    } else {
        let [frame] = adts(data).try_into().expect("one frame in a packet");
        frame
    };
    Found { is_video, dts, pts, payload }
}
