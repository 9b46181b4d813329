//! The head of every file is read a second time, by `shiguredo_mp4`, which shares no code with the
//! writer or with `mp4-atom`; both must see the same samples in the same places.

use shiguredo_mp4::aux::SampleTableAccessor;
use shiguredo_mp4::boxes::{FtypBox, MoovBox, SampleEntry};
use shiguredo_mp4::{Decode, Either};

use super::read::{moov, seen, shift_ms};
use super::*;

/// The `moov` as the second reader sees it.
pub fn second_moov(layout: &Mp4File) -> MoovBox {
    let (_, ftyp_len) = FtypBox::decode(&layout.head).unwrap();
    let bytes = match layout.is_moov_last() {
        true => &layout.tail,
        false => layout.head.get(ftyp_len..).unwrap(),
    };
    let (moov, len) = MoovBox::decode(bytes).unwrap();
    assert!(!layout.is_moov_last() || len == layout.tail.len(), "nothing behind the moov");
    assert_eq!(moov.unknown_boxes, [], "every box is one that a reader knows");
    moov
}

/// Everything that both readers must agree on.
pub fn agree(layout: &Mp4File) {
    let (first, second) = (moov(layout), second_moov(layout));
    assert_eq!(first.trak.len(), second.trak_boxes.len());
    assert_eq!(second.mvhd_box.duration, layout.duration_ms);
    for (first, second) in first.trak.iter().zip(&second.trak_boxes) {
        assert_eq!(second.tkhd_box.duration, first.tkhd.duration);
        assert_eq!(second.mdia_box.mdhd_box.duration, first.mdia.mdhd.duration);
        let edits = second.edts_box.as_ref().unwrap().elst_box.as_ref().unwrap();
        let empty: i64 = edits
            .entries
            .iter()
            .filter(|edit| edit.media_time < 0)
            .map(|edit| edit.edit_duration as i64)
            .sum();
        let media_time = edits.entries.last().unwrap().media_time;
        assert_eq!(empty - media_time, shift_ms(first));
        let stbl = &second.mdia_box.minf_box.stbl_box;
        let wide = matches!(stbl.stco_or_co64_box, Either::B(_));
        assert_eq!(wide, first.mdia.minf.stbl.co64.is_some());
        let table = SampleTableAccessor::new(stbl).unwrap();
        let entries = &stbl.stsd_box.entries;
        let seen = seen(first);
        assert_eq!(table.sample_count() as usize, seen.len());
        for (sample, seen) in table.samples().zip(seen) {
            let pts = sample.timestamp() as i64 + sample.composition_time_offset().unwrap_or(0);
            assert_eq!(pts - media_time + empty, seen.pts_ms);
            assert_eq!(sample.timestamp() as i64 - media_time + empty, seen.dts_ms);
            assert_eq!((sample.data_offset(), sample.data_size()), (seen.offset, seen.size));
            assert_eq!(sample.is_sync_sample(), seen.is_sync);
            assert_eq!(sample.chunk().sample_entry_index() as u32 + 1, seen.entry);
            assert_eq!(sample.chunk().sample_entry(), &entries[seen.entry as usize - 1]);
        }
    }
}

/// The sample entries of the only track.
pub fn entries_of(layout: &Mp4File) -> Vec<SampleEntry> {
    let moov = second_moov(layout);
    moov.trak_boxes[0].mdia_box.minf_box.stbl_box.stsd_box.entries.clone()
}
