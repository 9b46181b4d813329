//! Clocks that stand still, step back or jump, and presentation far from decoding.

use liverec::media::tag::{Tag, TagKind};

use super::{
    run::{Case, check},
    source::{H264, Program, Sources},
    tags::{Frame, Media, merged, retimed},
};

const NEGATIVE: &str = "presentation before decoding, as it was pushed";

const AGAIN: &str = "it takes segments for parts of one file, where no time comes twice";

#[test]
fn steps() {
    let sources = Sources::new();
    let usual = sources.usual(4);
    let video = Media::of(&usual, TagKind::Video);
    let audio = Media::of(&usual, TagKind::Audio);
    let long = sources.usual(20);
    let plain = sources.make(Program::Debian, 4, &H264.replace("-bf 2", "-bf 0"), "");
    let plain = Media::of(&plain, TagKind::Video);
    let with_sound = |video: &Media| merged(&[video.old_video(7), audio.old_aac()]);
    let from = |at_ms: i64, by_ms: i64, kinds: &'static [TagKind]| {
        move |tag: &Tag| {
            let moves = tag.time_ms >= at_ms && kinds.contains(&tag.kind);
            tag.time_ms + if moves { by_ms } else { 0 }
        }
    };
    const VIDEO: &[TagKind] = &[TagKind::Video];
    const AUDIO: &[TagKind] = &[TagKind::Audio];
    const BOTH: &[TagKind] = &[TagKind::Video, TagKind::Audio];
    check(
        "Steps and jumps of the clock",
        &[
            Case::new("equal decoding times of pictures", with_sound(&equal(&plain))).allow(
                &["fmp4"],
                "ffprobe finds 98 video packets of 100",
                AGAIN,
            ),
            Case::new(
                "equal times of sound",
                merged(&[video.old_video(7), equal(&audio).old_aac()]),
            ),
            Case::new("pictures step back by 200 ms", retimed(&usual, from(2000, -200, VIDEO))),
            Case::new("sound steps back by 100 ms", retimed(&usual, from(2000, -100, AUDIO)))
                .files("mp4", 2)
                .allow(&["fmp4"], "ffprobe finds 170 audio packets of 174", AGAIN),
            Case::new("both step back by 500 ms", retimed(&usual, from(2000, -500, BOTH)))
                .files("mp4", 2)
                .allow(&["fmp4"], "ffprobe finds 89 video packets of 100", AGAIN)
                .allow(&["fmp4"], "ffprobe finds 153 audio packets of 174", AGAIN),
            Case::new("pictures step back by 12 s", retimed(&long, from(15_000, -12_000, VIDEO)))
                .files("mp4", 2)
                .allow(&["fmp4"], "ffprobe finds 475 video packets of 500", AGAIN),
            Case::new("both step back by 12 s", retimed(&long, from(15_000, -12_000, BOTH)))
                .files("mp4", 2)
                .allow(&["fmp4"], "ffprobe finds 475 video packets of 500", AGAIN)
                .allow(&["fmp4"], "ffprobe finds 820 audio packets of 863", AGAIN),
            Case::new("both jump forward by 30 s", retimed(&usual, from(2000, 30_000, BOTH))),
            Case::new("both jump forward by 3 h", retimed(&usual, from(2000, 10_800_000, BOTH))),
            Case::new("pictures jump forward by 30 s", retimed(&usual, from(2000, 30_000, VIDEO))),
            Case::new(
                "negative composition offsets, -200 ms",
                with_sound(&offset(&plain, |_| -200)),
            )
            .allow(&["flv"], "Negative cts, previous timestamps might be wrong.", NEGATIVE)
            .allow(
                &["flv", "ts"],
                "Invalid timestamps stream=N, pts=N, dts=N",
                NEGATIVE,
            ),
            Case::new(
                "composition offsets of both signs",
                with_sound(&offset(&plain, |number| if number % 2 == 0 { -120 } else { 80 })),
            )
            .allow(&["flv"], "Negative cts, previous timestamps might be wrong.", NEGATIVE)
            .allow(
                &["flv", "ts"],
                "Invalid timestamps stream=N, pts=N, dts=N",
                NEGATIVE,
            ),
            Case::new(
                "one composition offset of -8388608 ms",
                with_sound(&offset(&plain, |number| if number == 30 { -8_388_608 } else { 0 })),
            )
            .allow(
                &["flv"],
                "Negative cts, previous timestamps might be wrong.",
                NEGATIVE,
            ),
            Case::new(
                "one composition offset of 8388607 ms",
                with_sound(&offset(&plain, |number| if number == 30 { 8_388_607 } else { 0 })),
            )
            .allow(
                &["flv"],
                "invalid timestamps N N",
                "presentation two hours after decoding",
            ),
        ],
    );
}

/// Every fifth frame has the time of the one before it.
fn equal(media: &Media) -> Media {
    let mut media = media.clone();
    for number in (5..media.frames.len()).step_by(5) {
        media.frames[number].time_ms = media.frames[number - 1].time_ms;
    }
    media
}

fn offset(media: &Media, cts_ms: impl Fn(usize) -> i32) -> Media {
    let frames = media.frames.iter().enumerate();
    let frames = frames.map(|(number, frame)| Frame { cts_ms: cts_ms(number), ..frame.clone() });
    Media { config: media.config.clone(), frames: frames.collect() }
}
