//! Reads the boxes of a file with `mp4-atom`, as a player would.

use mp4_atom::{Decode, Header, Moov, StszSamples, Trak};

use super::Mp4File;

/// Top-level boxes: kind, start, header length, payload length. The last may reach past the end.
pub fn top_level(mut file: &[u8]) -> Vec<(String, u64, u64, u64)> {
    let (mut boxes, mut at) = (Vec::new(), 0);
    while !file.is_empty() {
        let before = file.len();
        let header = Header::decode(&mut file).unwrap();
        let header_len = (before - file.len()) as u64;
        let size = header.size.unwrap() as u64;
        boxes.push((header.kind.to_string(), at, header_len, size));
        at += header_len + size;
        file = &file[file.len().min(size as usize)..];
    }
    boxes
}

pub fn moov(layout: &Mp4File) -> Moov {
    let bytes = if layout.is_moov_last() { &layout.tail } else { &layout.head };
    let boxes = top_level(bytes);
    let (_, at, ..) = boxes.iter().find(|(kind, ..)| kind == "moov").unwrap();
    Moov::decode(&mut &bytes[*at as usize..]).unwrap()
}

/// One sample as a player would see it; times on the movie's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub offset: u64,
    pub size: u32,
    pub pts_ms: i64,
    pub dts_ms: i64,
    pub is_sync: bool,
    pub entry: u32,
}

pub fn shift_ms(trak: &Trak) -> i64 {
    let edits = &trak.edts.as_ref().unwrap().elst.as_ref().unwrap().entries;
    let (empty, shown) = match edits.as_slice() {
        [shown] => (0, shown),
        [empty, shown] => {
            assert_eq!(empty.media_time, None);
            (empty.segment_duration as i64, shown)
        }
        other => panic!("{other:?}"),
    };
    empty - shown.media_time.unwrap() as i64
}

pub fn seen(trak: &Trak) -> Vec<Seen> {
    let stbl = &trak.mdia.minf.stbl;
    let StszSamples::Different { sizes } = &stbl.stsz.samples else { panic!() };
    let repeat = |count: u32, value: i64| std::iter::repeat_n(value, count as usize);
    let deltas: Vec<i64> = stbl
        .stts
        .entries
        .iter()
        .flat_map(|e| repeat(e.sample_count, e.sample_delta.into()))
        .collect();
    let offsets: Vec<i64> = match &stbl.ctts {
        Some(ctts) => {
            ctts.entries.iter().flat_map(|e| repeat(e.sample_count, e.sample_offset)).collect()
        }
        None => vec![0; sizes.len()],
    };
    assert_eq!((deltas.len(), offsets.len()), (sizes.len(), sizes.len()));
    assert_eq!(trak.mdia.mdhd.duration, deltas.iter().sum::<i64>() as u64);
    let chunks: Vec<u64> = match (&stbl.stco, &stbl.co64) {
        (Some(stco), None) => stco.entries.iter().map(|o| u64::from(*o)).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        other => panic!("{other:?}"),
    };
    let mut samples = Vec::new();
    let mut decode_ms = shift_ms(trak);
    for (number, chunk) in (1u32..).zip(chunks) {
        let run = stbl.stsc.entries.iter().rfind(|e| e.first_chunk <= number).unwrap();
        let mut offset = chunk;
        for _ in 0..run.samples_per_chunk {
            let index = samples.len();
            samples.push(Seen {
                offset,
                size: sizes[index],
                pts_ms: decode_ms + offsets[index],
                dts_ms: decode_ms,
                is_sync: stbl.stss.as_ref().is_none_or(|s| s.entries.contains(&(index as u32 + 1))),
                entry: run.sample_description_index,
            });
            offset += u64::from(sizes[index]);
            decode_ms += deltas[index];
        }
    }
    assert_eq!(samples.len(), sizes.len());
    samples
}
