//! Presentation times are exact whatever the decoding times do, and both are where
//! [`ProductClock`](crate::media::product_clock::ProductClock) says.

use super::*;

fn offsets(layout: &Mp4File) -> Vec<i64> {
    let ctts = moov(layout).trak[0].mdia.minf.stbl.ctts.clone().unwrap_or_default();
    let runs = ctts.entries.iter();
    runs.flat_map(|e| std::iter::repeat_n(e.sample_offset, e.sample_count as usize)).collect()
}

fn deltas(layout: &Mp4File) -> Vec<u32> {
    let stts = &moov(layout).trak[0].mdia.minf.stbl.stts;
    let runs = stts.entries.iter();
    runs.flat_map(|e| std::iter::repeat_n(e.sample_delta, e.sample_count as usize)).collect()
}

fn ctts_version(layout: &Mp4File) -> Option<u8> {
    let at = layout.head.windows(4).position(|window| window == b"ctts")?;
    layout.head.get(at + 4).copied()
}

#[test]
fn no_composition_offset_is_negative() {
    let samples = [
        video(0, 0, true, 10),
        video(40, -8_388_608, false, 11),
        video(80, -1, false, 12),
        audio(10, 5),
    ];
    let layout = layout_of(&samples, None);
    check(&samples, &layout);
    // Presented before the keyframe it needs.
    assert_eq!((layout.start_ms, layout.irregularities.hidden_frames), (0, 1));
    assert_eq!(offsets(&layout), [8_388_608, 0, 8_388_607]);
    assert_eq!((ctts_version(&layout), deltas(&layout)), (Some(0), vec![40, 40, 40]));
    assert_eq!(layout.irregularities.early_decode_ms, 8_388_608);
    // The other track has no part in it.
    let moov = moov(&layout);
    assert_eq!((shift_ms(&moov.trak[0]), shift_ms(&moov.trak[1])), (-8_388_608, 10));
}

#[test]
fn positive_offsets_need_no_version() {
    let samples = [video(0, 80, true, 10), video(40, 160, false, 11), video(80, 0, false, 12)];
    let layout = layout_of(&samples, None);
    check(&samples, &layout);
    assert_eq!((ctts_version(&layout), offsets(&layout)), (Some(0), vec![80, 160, 0]));
    assert_eq!(layout.irregularities.early_decode_ms, 0);
}

#[test]
fn a_track_that_is_presented_before_it_is_decoded() {
    for cts_ms in [-1, -8_388_608] {
        let samples = [video(9_000_000, cts_ms, true, 10), video(9_000_040, 0, false, 11)];
        let layout = layout_of(&samples, None);
        check(&samples, &layout);
        assert_eq!(layout.start_ms, 9_000_000 + i64::from(cts_ms));
        assert_eq!(offsets(&layout), [0, -i64::from(cts_ms)]);
        assert_eq!(deltas(&layout), [40, 40]);
        assert_eq!(layout.irregularities.early_decode_ms, u64::from(cts_ms.unsigned_abs()));
    }
    // Sound earlier than the picture gives the picture an empty edit all the same.
    let samples =
        [audio(8_999_000, 5), video(9_000_000, -7, true, 10), video(9_000_040, -7, true, 11)];
    let layout = layout_of(&samples, None);
    check(&samples, &layout);
    assert_eq!(shift_ms(&moov(&layout).trak[0]), 993);
    assert!(offsets(&layout).is_empty());
}

#[test]
fn a_lead_in_without_keyframe_is_kept_and_hidden() {
    let samples = [
        audio(0, 5),
        video(0, 0, false, 10),
        video(40, 0, false, 11),
        video(80, 40, true, 500),
        video(120, 40, false, 13),
    ];
    let layout = layout_of(&samples, None);
    check(&samples, &layout);
    assert_eq!((layout.start_ms, layout.irregularities.hidden_frames), (0, 2));
    assert_eq!(
        moov(&layout).trak[0].edts.as_ref().unwrap().elst.as_ref().unwrap().entries[0]
            .segment_duration,
        120
    );
    // No keyframe at all: nothing to start at, nothing to hide.
    let layout = layout_of(&samples[..3], None);
    assert_eq!((layout.start_ms, layout.irregularities.hidden_frames), (0, 0));
}

#[test]
fn a_lead_in_is_shown_where_parameters_change_later() {
    let mut samples = vec![
        video(0, 0, false, 10),
        video(40, 80, false, 11),
        video(80, 40, true, 500),
        video(120, 40, true, 13),
    ];
    samples[3].config = 3;
    let layout = layout_of(&samples, None);
    check(&samples, &layout);
    assert_eq!((layout.start_ms, layout.irregularities.hidden_frames), (0, 0));
    assert_eq!(layout.irregularities.parameter_changes, 1);
    assert_eq!(shift_ms(&moov(&layout).trak[0]), 0);
}

#[test]
fn equal_decoding_times() {
    let samples = [
        video(0, 40, true, 10),
        video(0, 80, false, 10),
        video(0, 120, false, 10),
        video(40, 120, false, 10),
    ];
    let layout = layout_of(&samples, None);
    check(&samples, &layout);
    assert_eq!(deltas(&layout), [0, 0, 40, 40]);
    assert_eq!(layout.irregularities, Irregularities::default());
    assert_eq!(layout.duration_ms, 160);
}

#[test]
fn backward_steps() {
    let samples = [
        video(9000, 0, true, 10),
        video(9040, 0, false, 11),
        video(8000, 0, true, 12),
        video(8040, 0, false, 12),
        video(9080, 0, false, 13),
    ];
    let layout = layout_of(&samples, None);
    check(&samples, &layout);
    assert_eq!(layout.irregularities.backward_steps, 1);
    assert_eq!(layout.irregularities.moved_frames, 0);
    assert_eq!(
        (ctts_version(&layout), offsets(&layout)[..3].to_vec()),
        (Some(0), vec![1040, 1040, 0])
    );
    // Audio is not presented earlier than what came before it.
    let layout = layout_of(&[audio(100, 5), audio(90, 5), audio(113, 5), audio(i64::MIN, 5)], None);
    let pts: Vec<i64> = seen(&moov(&layout).trak[0]).iter().map(|s| s.pts_ms).collect();
    assert_eq!(pts, [0, 0, 13, 13]);
    assert_eq!((layout.irregularities.backward_steps, layout.irregularities.moved_frames), (2, 2));
}

#[test]
fn a_step_back_of_ten_seconds_is_absorbed() {
    let mut samples = vec![video(20_000, 40, true, 10), video(20_040, 40, false, 10)];
    samples.extend((0..300).map(|index| video(10_040 + index * 40, 40, index == 0, 11)));
    let layout = layout_of(&samples, None);
    check(&samples, &layout);
    // The written clock stands still until the encoder's has caught up.
    assert_eq!(deltas(&layout)[..253], [&[40][..], &[0; 251], &[40]].concat());
    assert_eq!(offsets(&layout)[..3], [10_000, 10_000, 0]);
    assert_eq!(layout.irregularities.moved_frames, 0);
}

#[test]
fn the_last_sample_lasts_as_long_as_the_one_before_it() {
    let last = |times: &[i64]| {
        let samples: Vec<_> = times.iter().map(|ms| video(*ms, 0, true, 9)).collect();
        let layout = layout_of(&samples, None);
        check(&samples, &layout);
        let end_ms = layout.duration_ms as i64 + layout.start_ms;
        assert_eq!(end_ms, times.last().unwrap() + i64::from(*deltas(&layout).last().unwrap()));
        (deltas(&layout).last().copied().unwrap(), layout.duration_ms)
    };
    assert_eq!(last(&[0, 40, 80]), (40, 120));
    assert_eq!(last(&[0, 33, 67, 100]), (33, 133));
    // An equal time says nothing, nor does a gap; ten seconds are still a slow frame rate.
    assert_eq!(last(&[0, 40, 40]), (40, 80));
    assert_eq!(last(&[0, 40, 10_800_040]), (40, 10_800_080));
    assert_eq!(last(&[0, 40, 10_040]), (10_000, 20_040));
    assert_eq!(last(&[500]), (40, 40));
}

#[test]
fn the_duration_of_the_movie_is_that_of_its_longest_track() {
    let mut samples = vec![audio(0, 5), audio(23, 5), audio(46, 5)];
    samples.extend([video(5_000, 80, true, 9), video(5_040, 80, false, 9)]);
    let layout = layout_of(&samples, None);
    check(&samples, &layout);
    let moov = moov(&layout);
    let [video, audio] = moov.trak.as_slice() else { panic!() };
    assert_eq!((moov.mvhd.duration, video.tkhd.duration, audio.tkhd.duration), (5_160, 5_160, 69));
    assert_eq!((video.mdia.mdhd.duration, audio.mdia.mdhd.duration), (80, 69));
    assert_eq!((shift_ms(video), shift_ms(audio)), (5_000, 0));
}
