//! A reader of plain MP4 files of one video and one audio track, by the tables of ISO/IEC 14496-12
//! alone: it shares nothing with the writer.

use super::Found;

/// Video and audio packets with the presentation times of the movie, and DTS from each track's first.
pub fn tracks(file: &[u8]) -> [Vec<Found>; 2] {
    let moov = child(file, b"moov");
    let mut found = [Vec::new(), Vec::new()];
    for trak in children(moov).into_iter().filter(|(kind, _)| *kind == b"trak") {
        let media = child(trak.1, b"mdia");
        let is_audio = &child(media, b"hdlr")[8..12] == b"soun";
        let table = child(child(media, b"minf"), b"stbl");
        found[usize::from(is_audio)] = packets(file, table, shift(trak.1));
    }
    found
}

/// What the edit list adds to composition times; the scales of movie and media are the same here.
fn shift(trak: &[u8]) -> i64 {
    let edits = words(child(child(trak, b"edts"), b"elst"), 1);
    let mut empty = 0;
    for edit in edits.chunks_exact(3) {
        if edit[1] != u32::MAX {
            return empty - i64::from(edit[1]);
        }
        empty += i64::from(edit[0]);
    }
    panic!("no edit that shows anything")
}

fn packets(file: &[u8], table: &[u8], shift: i64) -> Vec<Found> {
    let runs = |name: &[u8; 4]| -> Vec<u32> {
        let Some((_, found)) = children(table).into_iter().find(|(kind, _)| *kind == name) else {
            return Vec::new();
        };
        let pairs = words(found, 1);
        pairs.chunks_exact(2).flat_map(|p| vec![p[1]; p[0] as usize]).collect()
    };
    let (durations, offsets) = (runs(b"stts"), runs(b"ctts"));
    let sizes = words(child(table, b"stsz"), 2);
    let chunks = words(child(table, b"stco"), 1);
    let in_chunk = words(child(table, b"stsc"), 1);
    let mut sizes = sizes.iter().map(|size| *size as usize);
    let mut found = Vec::new();
    let mut dts = 0;
    for (number, chunk) in (1..).zip(&chunks) {
        let entry = in_chunk.chunks_exact(3).take_while(|entry| entry[0] <= number).last().unwrap();
        let mut place = *chunk as usize;
        for size in sizes.by_ref().take(entry[1] as usize) {
            let nth = found.len();
            // Versions 0 and 1 of the box differ above 2^31 alone.
            let cts = i64::from(offsets.get(nth).map_or(0, |offset| *offset as i32));
            let payload = file[place..place + size].to_vec();
            found.push(Found { pts: dts + cts + shift, dts, shared_dts: dts + shift, payload });
            dts += i64::from(durations[nth]);
            place += size;
        }
    }
    assert_eq!(sizes.next(), None, "samples in no chunk");
    assert_eq!(found.len(), durations.len());
    found
}

/// The 32-bit numbers of a full box behind so many that come before its list.
fn words(full_box: &[u8], before: usize) -> Vec<u32> {
    let list = &full_box[4 + 4 * before..];
    list.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect()
}

fn child<'a>(bytes: &'a [u8], name: &[u8; 4]) -> &'a [u8] {
    let found = children(bytes).into_iter().find(|(kind, _)| *kind == name);
    found.unwrap_or_else(|| panic!("no box {}", String::from_utf8_lossy(name))).1
}

/// Kinds and contents of the boxes that follow each other.
fn children(mut bytes: &[u8]) -> Vec<(&[u8; 4], &[u8])> {
    let mut boxes = Vec::new();
    while !bytes.is_empty() {
        let size = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        let kind = bytes[4..8].try_into().unwrap();
        // Only mdat could be larger than that, and these files are small.
        assert!(size >= 8, "box of {size} bytes");
        boxes.push((kind, &bytes[8..size]));
        bytes = &bytes[size..];
    }
    boxes
}
