//! Pushes written down as wall-clock marks and frames.

use proptest::prelude::*;

use super::*;
use crate::media::testing::frame;

/// Unix milliseconds at which the first push begins.
const WALL_MS: i64 = 1_795_344_236_000;

fn mark(wall_ms: i64) -> Sample {
    Sample { kind: SampleKind::Clock, track: Track::Script, ..frame(Track::Script, wall_ms) }
}

/// A push of pictures every 40 ms and sound every 20 ms, in real time, marked once a second.
fn push(wall_ms: i64, first_ms: i64, length_ms: i64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for at in (0..length_ms).step_by(20) {
        if at % 1000 == 0 {
            samples.push(mark(wall_ms + at));
        }
        if at % 40 == 0 {
            samples.push(frame(Track::Video, first_ms + at));
        }
        samples.push(frame(Track::Audio, first_ms + at));
    }
    samples
}

/// How a push begins that has these samples.
fn opening(samples: &[Sample]) -> Option<Opening> {
    let mut search = Search::new(false);
    for sample in samples {
        if search.push(sample) {
            break;
        }
    }
    search.opening()
}

/// Decoding times on the file's timeline, and its gaps.
fn walk(rule: GapRule, pushes: &[Vec<Sample>]) -> (Vec<(Track, i64)>, Vec<Gap>, i64) {
    let mut timeline = Timeline::new(rule);
    let mut times = Vec::new();
    for (nth, samples) in pushes.iter().enumerate() {
        if nth > 0 {
            timeline.begin_push(opening(samples), "network");
        }
        for sample in samples {
            let shift_ms = timeline.push(sample);
            if track_of(sample).is_some() {
                times.push((sample.track, sample.dts_ms + shift_ms));
            }
        }
    }
    let (gaps, paused_ms) = timeline.finish();
    (times, gaps, paused_ms)
}

#[test]
fn what_is_lost_is_a_gap() {
    let samples = push(WALL_MS, 0, 10_000);
    // Three seconds in the middle, the beginning, and the end.
    for rule in [GapRule::Shown, GapRule::LeftOut] {
        let mut timeline = Timeline::new(rule);
        timeline.lose();
        for sample in &samples {
            let at_ms = sample.dts_ms - if track_of(sample).is_some() { 0 } else { WALL_MS };
            match at_ms {
                3_000..6_000 => timeline.lose(),
                _ => assert_eq!(timeline.push(sample), 0),
            }
        }
        timeline.lose();
        let (gaps, paused_ms) = timeline.finish();
        let gaps: Vec<_> = gaps
            .iter()
            .map(|gap| (gap.cause.as_str(), gap.at_ms, gap.wall_ms, gap.media_ms))
            .collect();
        let shown_ms = if rule == GapRule::Shown { 3_020 } else { 0 };
        let middle = ("journal_lost", 2_980, 3_020, shown_ms);
        assert_eq!(gaps, [("journal_lost", 0, 0, 0), middle, ("journal_lost", 9_980, 0, 0)]);
        assert_eq!(paused_ms, 3_000, "a frame lasts 20 ms");
    }
    // Between two pushes it is the cause.
    let mut timeline = Timeline::new(GapRule::LeftOut);
    for sample in &samples {
        timeline.push(sample);
    }
    timeline.lose();
    timeline.begin_push(opening(&samples), "network");
    let (gaps, _) = timeline.finish();
    assert_eq!((gaps.len(), gaps[0].cause.as_str()), (1, "journal_lost"));
}

#[test]
fn the_step_between_two_pushes_is_the_time_on_the_wall() {
    // The last frame, at 4980 ms, arrived at WALL_MS + 4980.
    let pushes = [push(WALL_MS, 777, 5000), push(WALL_MS + 12_480, 40, 2000)];
    let (times, gaps, paused_ms) = walk(GapRule::Shown, &pushes);
    assert_eq!((times[0].1, times[374].1), (777, 777 + 4980));
    assert_eq!(times[375].1, 777 + 12_480);
    assert_eq!(paused_ms, 7500 - 20, "the last frame lasts 20 ms");
    let gap = Gap { cause: "network".to_owned(), at_ms: 4980, wall_ms: 7500, media_ms: 7500 };
    assert_eq!(gaps, [gap]);
}

#[test]
fn hls_and_adts_go_on_at_once() {
    let pushes = [push(WALL_MS, 777, 5000), push(WALL_MS + 12_480, 40, 2000)];
    let (times, gaps, paused_ms) = walk(GapRule::LeftOut, &pushes);
    // The last picture, at 4960 ms, lasts 40 ms.
    assert_eq!((times[375].1, paused_ms), (777 + 5000, 0));
    let gap = Gap { cause: "network".to_owned(), at_ms: 4980, wall_ms: 7500, media_ms: 0 };
    assert_eq!(gaps, [gap]);
}

#[test]
fn a_push_that_ran_ahead_of_the_wall_is_not_stepped_back_on() {
    let mut ahead = vec![mark(WALL_MS)];
    ahead.extend((0..600_000).step_by(40).map(|at| frame(Track::Video, at)));
    let pushes = [ahead, push(WALL_MS + 500, 0, 1000)];
    let (times, gaps, _) = walk(GapRule::Shown, &pushes);
    let first = times[15_000].1;
    assert_eq!(first, 600_000);
    assert_eq!((gaps[0].wall_ms, gaps[0].media_ms), (0, 40));
}

/// The end note of a push.
fn end(ended_ms: i64, arrived_ms: Option<i64>) -> Note {
    Note::End { reason: crate::domain::session::EndReason::Network, ended_ms, arrived_ms }
}

#[test]
fn what_came_in_a_burst_before_the_break_does_not_shorten_it() {
    // Three seconds of media in a tenth of one; the break lasts ten.
    let mut first = push(WALL_MS, 0, 2_000);
    first.extend(push(WALL_MS, 2_000, 3_000).into_iter().filter(|s| track_of(s).is_some()));
    let second = push(WALL_MS + 12_000, 0, 1_000);
    let gap_after = |note: Option<Note>| {
        let mut timeline = Timeline::new(GapRule::Shown);
        first.iter().for_each(|sample| _ = timeline.push(sample));
        note.iter().for_each(|note| timeline.note(note));
        let shift_ms = timeline.begin_push(opening(&second), "network");
        let (gaps, _) = timeline.finish();
        assert_eq!(shift_ms, 4_980 + gaps[0].media_ms);
        assert_eq!(gaps[0].wall_ms, gaps[0].media_ms);
        gaps[0].wall_ms
    };
    // The last mark was written at WALL_MS + 1000.
    assert_eq!(gap_after(Some(end(WALL_MS + 1_900, Some(WALL_MS + 1_200)))), 10_800);
    assert_eq!(gap_after(Some(end(WALL_MS + 1_300, None))), 10_700, "of an earlier version");
    assert_eq!(gap_after(Some(end(WALL_MS + 30_000, None))), 10_000);
    assert_eq!(gap_after(None), 10_000, "killed: no tag came a second after the mark");
}

/// What comes behind the last frame does not shorten the step to the next push.
#[test]
fn what_trails_the_last_frame_is_no_end_of_it() {
    // The last frame came at 1180 ms, the end note tells of what came at 1900.
    let second = push(WALL_MS + 4_000, 0, 1_000);
    let script = Sample { kind: SampleKind::Script, ..frame(Track::Script, 1_900) };
    let other = Sample { track_id: 1, ..frame(Track::Audio, 1_900) };
    let empty = Sample { kind: SampleKind::Other, ..frame(Track::Audio, 1_900) };
    let behinds = [None, Some(script), Some(other), Some(empty)];
    for (behind, step_ms) in behinds.into_iter().zip([2_100, 2_820, 2_820, 2_820]) {
        let mut timeline = Timeline::new(GapRule::Shown);
        let first = push(WALL_MS, 0, 1_200);
        first.iter().chain(&behind).for_each(|sample| _ = timeline.push(sample));
        timeline.note(&end(WALL_MS + 2_500, Some(WALL_MS + 1_900)));
        timeline.begin_push(opening(&second), "network");
        assert_eq!(timeline.finish().0[0].media_ms, step_ms, "{behind:?}");
    }
}

#[test]
fn pushes_without_a_default_track_are_placed_by_the_others() {
    let other =
        |sample: Sample| Sample { track_id: u8::from(track_of(&sample).is_some()), ..sample };
    let others = |wall_ms, first_ms, length_ms| -> Vec<Sample> {
        push(wall_ms, first_ms, length_ms).into_iter().map(other).collect()
    };
    let pushes = [
        others(WALL_MS, 500, 2_000),
        others(WALL_MS + 5_000, 90_000, 2_000),
        push(WALL_MS + 12_000, 0, 2_000),
        others(WALL_MS + 15_000, 7, 2_000),
        // Faster than the wall.
        others(WALL_MS + 15_000, 7, 2_000),
    ];
    let mut timeline = Timeline::new(GapRule::Shown);
    let mut begins = Vec::new();
    for (nth, samples) in pushes.iter().enumerate() {
        if nth > 0 {
            timeline.begin_push(opening(samples), "network");
        }
        let shifts: Vec<i64> = samples.iter().map(|sample| timeline.push(sample)).collect();
        assert!(shifts.iter().all(|shift_ms| *shift_ms == shifts[0]));
        begins.push(samples[1].dts_ms + shifts[0]);
    }
    assert_eq!(begins, [500, 5_500, 12_500, 15_500, 17_500]);
    let (gaps, _) = timeline.finish();
    let steps: Vec<_> = gaps.iter().map(|gap| (gap.at_ms, gap.wall_ms, gap.media_ms)).collect();
    let expected =
        [(1_980, 3_020, 3_020), (6_980, 5_020, 5_020), (13_980, 1_020, 1_020), (16_980, 0, 20)];
    assert_eq!(steps, expected);
}

#[test]
fn tracks_are_never_moved_against_each_other() {
    let mut second = vec![mark(WALL_MS + 9_000), frame(Track::Audio, 500)];
    // Pictures come later with lower times.
    second.extend([frame(Track::Video, 300), frame(Track::Audio, 520), frame(Track::Video, 340)]);
    let (times, _, _) = walk(GapRule::Shown, &[push(WALL_MS, 0, 1000), second]);
    let second: Vec<i64> = times[75..].iter().map(|(_, at)| *at).collect();
    assert_eq!(second, [9_000, 8_800, 9_020, 8_840], "the mark was of the first to arrive");
}

#[test]
fn a_span_from_the_middle_of_a_push_has_frames_before_its_mark() {
    let samples =
        [frame(Track::Video, 100), frame(Track::Video, 400), mark(5_000), frame(Track::Video, 900)];
    let found = opening(&samples).unwrap();
    assert_eq!(found, Opening { dts_ms: 100, all_dts_ms: 100, wall_ms: Some(4_200) });
    assert_eq!(opening(&samples[..2]).unwrap().wall_ms, None);
    assert_eq!(opening(&samples[2..3]), None);
}

#[test]
fn what_comes_before_the_first_frame_does_not_hide_it() {
    let script = |at: i64| Sample { kind: SampleKind::Script, ..frame(Track::Script, at) };
    let first = push(WALL_MS, 0, 1_000);
    // Headers and then nothing for three seconds, or script data all the time, or a lot at once.
    let waits = vec![mark(WALL_MS + 9_000), script(0)];
    let mut speaks = Vec::new();
    for at in (0..3_000).step_by(100) {
        speaks.extend((at % 1000 == 0).then(|| mark(WALL_MS + 9_000 + at)));
        speaks.push(script(at));
    }
    let mut floods = vec![mark(WALL_MS + 9_000)];
    floods.extend((0..10_000).map(|_| script(0)));
    for mut second in [waits, speaks, floods] {
        second.extend(push(WALL_MS + 12_000, 60_000, 2_000));
        let (times, gaps, _) = walk(GapRule::Shown, &[first.clone(), second]);
        assert_eq!(times[75].1, 12_000);
        let gap =
            Gap { cause: "network".to_owned(), at_ms: 980, wall_ms: 11_020, media_ms: 11_020 };
        assert_eq!(gaps, [gap]);
    }
}

#[test]
fn how_a_push_begins_is_known_three_marks_behind_its_first_frame() {
    let samples = [&[mark(0), frame(Track::Video, 0)][..], &push(500, 500, 5_000)[..]].concat();
    let mut search = Search::new(false);
    let looked = samples.iter().take_while(|sample| !search.push(sample)).count();
    let marks = |samples: &[Sample]| samples.iter().filter(|s| s.kind == SampleKind::Clock).count();
    assert_eq!((marks(&samples[..looked]), samples[looked].kind), (3, SampleKind::Clock));
    assert!(search.is_over());
    // Of one without a mark, after so many samples; frames of other tracks count where all do.
    for (of_all_tracks, track_id, is_over) in
        [(false, 0, true), (true, 0, true), (false, 1, false), (true, 1, true)]
    {
        let frame = Sample { track_id, ..frame(Track::Audio, 0) };
        let mut search = Search::new(of_all_tracks);
        let looked = (0..10_000).take_while(|_| !search.push(&frame)).count();
        assert_eq!((looked, search.is_over()), (if is_over { 4096 } else { 10_000 }, is_over));
        assert!(search.opening().is_some() && search.first_frame().is_some());
    }
}

#[test]
fn a_file_that_begins_behind_the_last_mark_of_its_push_ends_when_that_did() {
    // Cut 300 ms behind a mark, and interrupted 400 ms later.
    let first: Vec<_> = push(WALL_MS, 0, 720).split_off(20);
    assert!(first.iter().all(|sample| sample.kind != SampleKind::Clock));
    let begun_ms = first[0].dts_ms;
    let second = push(WALL_MS + 6_000, 0, 1_000);
    let step_ms = |mark: Option<i64>, note: Option<Note>| {
        let mut timeline = Timeline::new(GapRule::Shown);
        timeline.begin_behind(mark);
        first.iter().for_each(|sample| _ = timeline.push(sample));
        note.iter().for_each(|note| timeline.note(note));
        timeline.begin_push(opening(&second), "network");
        timeline.finish().0[0].media_ms
    };
    assert_eq!(step_ms(None, None), 20, "nothing says when it was");
    assert_eq!(step_ms(Some(WALL_MS), Some(end(WALL_MS + 900, Some(WALL_MS + 700)))), 5_300);
    // Killed: by the mark and the times behind it.
    assert_eq!(step_ms(Some(WALL_MS), None), 6_000 - (700 - begun_ms));
}

#[test]
fn nothing_before_or_behind_is_no_gap() {
    let empty = vec![mark(WALL_MS)];
    let pushes = [empty.clone(), push(WALL_MS + 60_000, 500, 100), empty];
    let (times, gaps, _) = walk(GapRule::Shown, &pushes);
    assert_eq!((times[0].1, gaps), (500, Vec::new()));
}

#[test]
fn jumps_of_the_encoders_clock_are_gaps() {
    let mut samples = push(WALL_MS, 0, 3000);
    let mut later = push(WALL_MS + 33_000, 10_803_000, 1000);
    samples.append(&mut later);
    let (times, gaps, paused_ms) = walk(GapRule::Shown, &[samples.clone()]);
    assert_eq!(times[225].1, 10_803_000);
    let gap =
        |media_ms| Gap { cause: "clock_jump".to_owned(), at_ms: 2980, wall_ms: 30_020, media_ms };
    assert_eq!((gaps, paused_ms), (vec![gap(10_800_020)], 10_800_000));
    let (times, gaps, paused_ms) = walk(GapRule::LeftOut, &[samples]);
    assert_eq!((times[225].1, times[226].1), (3000, 3000));
    assert_eq!((gaps, paused_ms), (vec![gap(0)], 0));
}

#[test]
fn a_track_that_starts_elsewhere_is_no_jump() {
    let samples = [frame(Track::Video, 0), frame(Track::Audio, 90_000), frame(Track::Video, 40)];
    let (_, gaps, _) = walk(GapRule::Shown, &[samples.to_vec()]);
    assert_eq!(gaps, []);
}

proptest! {
    #[test]
    fn no_push_steps_back_on_any_track(
        pushes in prop::collection::vec((0i64..100_000, -5000i64..5000, 0i64..3000), 1..6),
        rule in prop::sample::select(vec![GapRule::Shown, GapRule::LeftOut]),
    ) {
        // Wall clocks that may be set back, times that begin anywhere.
        let pushes: Vec<_> = pushes
            .iter()
            .map(|(first, wall, length)| push(WALL_MS + wall, *first, *length))
            .collect();
        let (times, _, _) = walk(rule, &pushes);
        let mut last = [i64::MIN; 2];
        for (track, at) in times {
            let last = &mut last[usize::from(track == Track::Audio)];
            prop_assert!(at > *last, "{at} after {last}");
            *last = at;
        }
    }
}

#[test]
fn a_clock_that_jumps_at_every_frame_has_no_endless_list() {
    let mut timeline = Timeline::new(GapRule::Shown);
    for nth in 0..1_500 {
        timeline.push(&frame(Track::Video, nth * 20_000));
    }
    assert_eq!(timeline.unlisted_gaps(), 499);
    assert_eq!(timeline.finish().0.len(), GAPS_MAX);
}

#[test]
fn a_long_interruption_is_one_gap_and_no_jump() {
    let pushes = [push(WALL_MS, 0, 3_000), push(WALL_MS + 15_000, 70_000, 3_000)];
    for rule in [GapRule::Shown, GapRule::LeftOut] {
        let (_, gaps, _) = walk(rule, &pushes);
        let causes: Vec<_> = gaps.iter().map(|gap| gap.cause.as_str()).collect();
        assert_eq!(causes, ["network"]);
    }
}

#[test]
fn a_stuck_disk_is_a_gap_that_moves_nothing() {
    // The encoder was held for five seconds and left three of them out.
    let before = push(WALL_MS, 0, 2000);
    let after = push(WALL_MS + 7000, 5000, 1000);
    for rule in [GapRule::Shown, GapRule::LeftOut] {
        let mut timeline = Timeline::new(rule);
        let mut shifts: Vec<i64> = before.iter().map(|sample| timeline.push(sample)).collect();
        timeline.begin_stall("disk_full", 5000);
        shifts.extend(after.iter().map(|sample| timeline.push(sample)));
        assert!(shifts.iter().all(|shift_ms| *shift_ms == 0));
        let (gaps, paused_ms) = timeline.finish();
        let cause = "disk_full".to_owned();
        assert_eq!(gaps, [Gap { cause, at_ms: 1980, wall_ms: 5000, media_ms: 3020 }]);
        assert_eq!(paused_ms, 0);
    }
}
