//! What is found, and how often it is told.

use proptest::prelude::*;

use super::*;
use crate::media::testing;

/// A journal in the making.
struct Stream {
    watch: Watch,
    position: u64,
    wall_ms: i64,
    reports: Vec<Report>,
}

impl Stream {
    fn new() -> Self {
        Self { watch: Watch::new(0), position: 0, wall_ms: 0, reports: Vec::new() }
    }

    fn push(&mut self, sample: Sample) {
        self.position += 10;
        let sample = Sample { position: self.position, ..sample };
        self.reports.extend(self.watch.push(&sample));
    }

    fn video(&mut self, dts_ms: i64, keyframe: bool) {
        self.push(Sample { keyframe, config: 1, ..testing::frame(Track::Video, dts_ms) });
    }

    fn audio(&mut self, dts_ms: i64) {
        self.push(Sample { config: 1, codec: Codec::Aac, ..testing::frame(Track::Audio, dts_ms) });
    }

    fn clock(&mut self, wall_ms: i64) {
        self.wall_ms = wall_ms;
        let kind = SampleKind::Clock;
        self.push(Sample { kind, ..testing::frame(Track::Script, wall_ms) });
    }

    /// Regular pictures and sound from `from_s` to `to_s`, a key frame each second.
    fn regular(&mut self, from_s: i64, to_s: i64) {
        for second in from_s..to_s {
            self.clock(second * 1000);
            for part in 0..10 {
                self.video(second * 1000 + part * 100, part == 0);
                self.audio(second * 1000 + part * 100 + 20);
            }
        }
    }

    fn end(mut self) -> Vec<Report> {
        self.reports.extend(self.watch.finish(self.position + 1));
        self.reports
    }
}

/// Numbers and counts.
type Counts = Vec<(i64, u64)>;

/// Numbers and counts of events 321 and 341.
fn told(report: &Report) -> (Counts, Counts) {
    (
        report.push.iter().map(|a| (a.what.number(), a.count)).collect(),
        report.record.iter().map(|(what, count, _)| (what.number(), *count)).collect(),
    )
}

/// What the only report says.
fn only(stream: Stream) -> (Counts, Counts) {
    let reports = stream.end();
    assert_eq!(reports.len(), 1, "{reports:#?}");
    told(&reports[0])
}

#[test]
fn a_regular_stream_is_not_told_of() {
    let mut stream = Stream::new();
    stream.regular(0, 600);
    assert_eq!(stream.end(), []);
}

#[test]
fn steps_of_the_clocks_are_told() {
    let mut stream = Stream::new();
    stream.regular(0, 2);
    stream.video(1_800, false); // 100 ms back
    stream.audio(5_000); // 3080 ms forward
    assert_eq!(only(stream), (vec![(1, 1), (4, 1)], vec![(-8, 1), (-11, 1)]));
}

#[test]
fn a_track_that_stops_is_told_once_until_it_is_back() {
    let mut stream = Stream::new();
    stream.regular(0, 1);
    for ms in 0..50 {
        stream.video(1_000 + ms * 100, ms % 10 == 0);
    }
    stream.audio(6_000);
    stream.video(6_020, true);
    for ms in 0..50 {
        stream.audio(6_000 + ms * 100);
    }
    let (push, _) = only(stream);
    // The sound itself jumped over the time it was away.
    assert_eq!(push, [(4, 1), (6, 1), (7, 1)]);
}

#[test]
fn codecs_headers_sizes_and_long_groups_are_told() {
    let mut stream = Stream::new();
    stream.push(Sample { codec: Codec::H264, config: 0, ..testing::frame(Track::Video, 0) });
    stream.push(Sample { codec: Codec::H264, config: 0, ..testing::frame(Track::Video, 100) });
    stream.push(Sample { codec: Codec::Hevc, config: 1, ..testing::frame(Track::Video, 200) });
    stream.push(Sample { codec: Codec::Legacy, ..testing::frame(Track::Audio, 200) });
    stream.watch.video_header(1, Some((1280, 720)));
    stream.watch.video_header(2, Some((1280, 720)));
    stream.watch.video_header(3, Some((640, 360)));
    stream.watch.video_header(4, None);
    for ms in 3..130 {
        let frame = testing::frame(Track::Video, ms * 100);
        stream.push(Sample { codec: Codec::Hevc, config: 1, keyframe: ms == 3, ..frame });
    }
    let (push, record) = only(stream);
    // No sound for long, too.
    assert_eq!(push, [(7, 1), (8, 1), (10, 1), (13, 1), (14, 1), (16, 1)]);
    assert_eq!(record, [(-17, 1), (-100, 1), (-120, 1), (-132, 1)]);
}

#[test]
fn a_broken_encoder_is_told_once_a_minute() {
    let mut stream = Stream::new();
    let mut n = 0;
    for second in 0..600 {
        stream.clock(second * 1000);
        for _ in 0..50 {
            n += 1;
            stream.video(if n % 2 == 0 { 0 } else { 50_000 }, true);
        }
    }
    let reports = stream.end();
    let times: Vec<i64> = reports.iter().map(|r| r.at_ms / 1000).collect();
    assert_eq!(times, [5, 65, 125, 185, 245, 305, 365, 425, 485, 545, 599]);
    let count: u64 = reports.iter().flat_map(|r| &r.push).map(|a| a.count).sum();
    assert_eq!(count, 600 * 50 - 1, "every one is counted");
    assert!(reports.iter().flat_map(|r| &r.push).all(|a| a.detail.len() <= MAX_DETAILS));
}

#[test]
fn sound_alone_is_not_told_of_pictures() {
    let mut stream = Stream::new();
    stream.regular(0, 1);
    stream.video(9_000, true);
    stream.audio(9_000);
    let report = stream.end().remove(0);
    let of = |container| report.of_container(container).map(|r| r.0.number()).collect::<Vec<_>>();
    assert_eq!(of(Container::Aac), [-8]);
    assert_eq!(of(Container::Mp4), [-8, -9]);
}

proptest! {
    /// Reading again from the beginning after a report tells what was not told, and nothing twice.
    #[test]
    fn what_was_told_is_not_told_again(
        steps in prop::collection::vec((0i64..4000, any::<bool>()), 1..300),
        stop in 0usize..300,
    ) {
        let run = |told_to: Option<u64>, until: usize| {
            let mut stream = Stream::new();
            stream.watch.restore(told_to);
            for (n, (dts_ms, is_video)) in steps.iter().take(until).enumerate() {
                stream.clock(n as i64 * 1000);
                match is_video {
                    true => stream.video(*dts_ms, true),
                    false => stream.audio(*dts_ms),
                }
            }
            stream
        };
        let count = |reports: &[Report]| -> u64 {
            reports.iter().flat_map(|r| &r.push).map(|a| a.count).sum()
        };
        let whole = count(&run(None, steps.len()).end());
        // The first reader is killed, so nothing is told at its end.
        let before = run(None, stop).reports;
        let told_to = before.last().map(|report| report.position);
        let after = run(told_to, steps.len()).end();
        prop_assert_eq!(count(&before) + count(&after), whole);
    }
}
