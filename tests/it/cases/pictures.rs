//! Every way to code pictures, with sound beside them as most encoders send it.

use liverec::media::tag::{Tag, TagKind};

use super::{
    run::{Case, check},
    source::{AAC, H264, Program, Sources},
    tags::{Media, merged},
};

/// HEVC with B-frames.
const HEVC: &str = "-c:v libx265 -preset ultrafast -bf 2 -g 25 -x265-params log-level=error:info=0";
const AV1: &str = "-c:v libaom-av1 -usage realtime -cpu-used 8 -g 25";
const VP9: &str = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25";

#[test]
fn pictures() {
    let sources = Sources::new();
    let usual = sources.usual(3);
    let avc = Media::of(&usual, TagKind::Video);
    let sound = Media::of(&usual, TagKind::Audio).old_aac();
    let hevc = sources.video(Program::Newer, 3, HEVC);
    assert!(hevc.frames.iter().any(|frame| frame.cts_ms != 0), "no B-frames");
    let plain = sources.video(Program::Newer, 3, &HEVC.replace("-bf 2", "-bf 0"));
    assert!(plain.frames.iter().all(|frame| frame.cts_ms == 0));
    let av1 = sources.video(Program::Newer, 3, AV1);
    let vp9 = sources.video(Program::Newer, 3, VP9);
    let with_sound = |video: Vec<Tag>| merged(&[video, sound.clone()]);
    check(
        "Pictures",
        &[
            Case::new("H.264 with B-frames, AAC", usual).decoded(),
            Case::new("H.264 alone", avc.old_video(7)).decoded(),
            Case::new("H.264 as enhanced `avc1`", with_sound(avc.enhanced_video(b"avc1", false)))
                .decoded(),
            Case::new("HEVC with codec id 12", with_sound(hevc.old_video(12)))
                .unread("flv", "no ffmpeg knows codec id 12")
                .decoded(),
            Case::new("HEVC `hvc1`, CodedFrames", with_sound(hevc.enhanced_video(b"hvc1", false)))
                .decoded(),
            Case::new("HEVC `hvc1`, CodedFramesX", with_sound(plain.enhanced_video(b"hvc1", true)))
                .decoded(),
            Case::new("HEVC `hvc1`, both", with_sound(hevc.enhanced_video(b"hvc1", true)))
                .decoded(),
            Case::new("AV1 `av01`", with_sound(av1.enhanced_video(b"av01", true))).decoded(),
            Case::new("AV1 alone", av1.enhanced_video(b"av01", false)).decoded(),
            Case::new("VP9 `vp09`", with_sound(vp9.enhanced_video(b"vp09", true))).decoded(),
            Case::new("VP8 `vp08`", with_sound(sources.vp8(3).enhanced_video(b"vp08", true)))
                .unread("flv", "no ffmpeg knows `vp08`"),
            Case::new("Sorenson H.263", sources.make(Program::Debian, 2, "-c:v flv -g 25", AAC)),
            Case::new("Screen Video", sources.make(Program::Debian, 2, "-c:v flashsv -g 25", AAC)),
            Case::new(
                "H.264, MP3",
                sources.make(Program::Debian, 2, H264, "-c:a libmp3lame -b:a 64k"),
            )
            .decoded(),
        ],
    );
}
