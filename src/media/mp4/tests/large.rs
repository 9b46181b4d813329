//! Files past 4 GiB, made of samples that nobody has to store.

use super::*;

const GIB: u64 = 1 << 30;

#[test]
fn sizes_around_4_gib() {
    const LIMIT: u64 = u32::MAX as u64;
    let body = |last: u64| {
        let mut samples = vec![video(0, 0, true, 1 << 30); 3];
        samples.extend([audio(0, 9), video(40, 0, false, last as u32), audio(23, 7)]);
        samples
    };
    let head = layout_of(&body(1 << 20), None).head.len() as u64;
    let largest = LIMIT - head - (3 << 30) - 16;
    for last in [largest, largest + 1, largest + 100, u64::from(u32::MAX) - 5] {
        for reserve in [None, Some(8 << 20)] {
            let samples = body(last);
            let layout = layout_of(&samples, reserve);
            check(&samples, &layout);
            let is_wide = layout.head.len() as u64 + layout.body_len > LIMIT;
            assert_eq!(is_wide, last > largest || reserve.is_some());
            assert_eq!(moov(&layout).trak[0].mdia.minf.stbl.co64.is_some(), is_wide);
        }
    }
    let samples = vec![video(0, 0, true, 1 << 20); 5000];
    let layout = layout_of(&samples, None);
    assert_eq!(top_level(&layout.head).last().unwrap().2, 16, "mdat has a 64-bit size");
}

#[test]
fn samples_past_4_gib_are_where_the_table_says() {
    for reserve in [None, Some(1 << 20), Some(100)] {
        // Six hours of pictures of 1 MiB, with sound between: 5.3 GiB.
        let samples: Vec<Sample> = (0..5400)
            .flat_map(|index| {
                let picture = video(index * 4000, 0, index % 10 == 0, 1 << 20);
                [picture, audio(index * 4000 + 7, 371), audio(index * 4000 + 30, 372)]
            })
            .collect();
        let layout = layout_of(&samples, reserve);
        check(&samples, &layout);
        assert_eq!(layout.is_moov_last(), reserve == Some(100));
        assert!(layout.body_len > 5 * GIB && layout.total_len > layout.body_len);
        let boxes = top_level(&layout.head);
        let (kind, start, header_len, size) = boxes.last().unwrap();
        assert_eq!((kind.as_str(), *header_len), ("mdat", 16));
        assert_eq!(start + header_len + size, layout.total_len - layout.tail.len() as u64);
        let moov = moov(&layout);
        let [video, audio] = moov.trak.as_slice() else { panic!() };
        for (trak, size) in [(video, 1 << 20), (audio, 372)] {
            assert!(trak.mdia.minf.stbl.stco.is_none());
            let last = *seen(trak).last().unwrap();
            assert!(last.offset > 5 * GIB && last.size == size);
        }
        // The very last sample ends the body.
        let last = *seen(audio).last().unwrap();
        assert_eq!(last.offset + 372, layout.head.len() as u64 + layout.body_len);
    }
}
