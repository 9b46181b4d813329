//! How long a product is said to be: as long as it plays.

use super::*;

/// The sum of all EXTINF of the playlist that a product ends with.
fn played_ms(product: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(product);
    let playlist = text.rsplit_once("#EXTM3U").unwrap().1;
    let lengths = playlist.lines().filter_map(|line| line.strip_prefix("#EXTINF:"));
    lengths.map(|s| (s.trim_end_matches(',').parse::<f64>().unwrap() * 1000.0).round() as i64).sum()
}

#[test]
fn hls_is_as_long_as_its_playlist_plays() {
    const JUMP_MS: i64 = 3 * 3600 * 1000;
    let place = Place::new();
    let mut tags = place.push(WALL_MS, 0, METADATA).tags;
    tags.iter_mut().filter(|tag| tag.time_ms >= 800).for_each(|tag| tag.time_ms += JUMP_MS);
    let jumped = place.record(WALL_MS, tags);
    let pushes = two_pushes(&place);
    for (spans, expected_ms) in
        [(vec![span(&jumped)], 2_000), (pushes.iter().map(span).collect(), 4_000)]
    {
        for segment_type in [SegmentType::Ts, SegmentType::Fmp4] {
            let hls = HlsSettings { segment_type, ..HLS };
            let (file, facts, summary) = place.make_as(Container::Hls, &spans, hls);
            assert_eq!(facts.duration_ms, played_ms(&file), "{segment_type:?}");
            assert_eq!(summary.gaps.len(), 1);
            assert!(
                (expected_ms..=expected_ms + 40).contains(&facts.duration_ms),
                "{segment_type:?}: {}",
                facts.duration_ms
            );
            assert_eq!(facts.fps, 25, "{segment_type:?}");
        }
    }
    // MP4 plays the jump.
    let (_, facts, _) = place.make(Container::Mp4, &[span(&jumped)]);
    assert_eq!(facts.duration_ms, JUMP_MS + 2_040);
}
