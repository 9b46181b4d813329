//! Enhanced RTMP v2 beyond codecs: modifiers, several tracks, metadata packets, ends of sequence.

use liverec::media::tag::{Tag, TagKind};

use super::{
    run::{Case, check},
    source::{AAC, H264, Program, Sources},
    tags::{Media, bytes24, ex_audio, ex_video, merged, tag},
};

/// AvMultitrackType.
#[derive(Clone, Copy)]
enum Layout {
    One = 0,
    Many = 1,
    ManyCodecs = 2,
}

/// A track in a message: id, FourCC, body behind the FourCC.
type Part<'a> = (u8, &'a [u8; 4], Vec<u8>);

const FIRST_TRACK_ONLY: &str = "it reads the first track of a message and stumbles over the rest";

#[test]
fn enhanced_rtmp() {
    let sources = Sources::new();
    let usual = sources.usual(3);
    let avc = Media::of(&usual, TagKind::Video);
    let aac = Media::of(&usual, TagKind::Audio);
    let size = |size: &str| {
        Media::of(&sources.of_size(Program::Debian, size, 25, 3, H264, ""), TagKind::Video)
    };
    let small = size("80x46");
    let vp9 =
        sources.video(Program::Newer, 3, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25");
    let av1 = sources.video(Program::Newer, 3, "-c:v libaom-av1 -usage realtime -cpu-used 8 -g 25");
    let other = sources.audio(Program::Debian, 3, &format!("{AAC} -ac 2"));
    let with_sound = |video: Vec<Tag>| merged(&[video, aac.old_aac()]);
    let with_pictures = |audio: Vec<Tag>| merged(&[avc.old_video(7), audio]);

    // The frame type of a metadata packet says nothing: OBS writes 0, ffmpeg that of a command.
    let coloured = |frame_type: u8| {
        let mut tags = avc.enhanced_video(b"avc1", false);
        tags.insert(1, colour_info(frame_type, 0));
        tags.insert(40, colour_info(frame_type, tags[40].time_ms));
        with_sound(tags)
    };
    let mut empty = av1.enhanced_video(b"av01", true);
    empty.insert(0, ex_video(true, 0, 0, &[b"av01"]));
    let mut ended = with_sound(av1.enhanced_video(b"av01", true));
    ended.push(ex_video(true, 2, 0, &[b"av01"]));
    ended.push(ex_audio(2, 0, &[b"mp4a"]));
    let mut restarted = usual.clone();
    let end = restarted.iter().position(|tag| tag.kind == TagKind::Video && tag.time_ms >= 1000);
    restarted.insert(end.unwrap(), tag(TagKind::Video, 0, &[&[0x17, 2, 0, 0, 0]]));

    check(
        "Enhanced RTMP v2",
        &[
            Case::new("nanosecond offset on video", with_sound(nanoseconds_video(&avc))),
            Case::new("nanosecond offset on audio", with_pictures(nanoseconds_audio(&aac, false))),
            Case::new(
                "two modifiers, one of 256 bytes",
                with_pictures(nanoseconds_audio(&aac, true)),
            ),
            Case::new(
                "multitrack video, OneTrack",
                with_sound(merged(&[
                    tracks(TagKind::Video, Layout::One, &[(0, b"avc1", &avc)]),
                    tracks(TagKind::Video, Layout::One, &[(1, b"avc1", &small)]),
                ])),
            ),
            Case::new(
                "multitrack video, OneTrack beside an old default track",
                with_sound(merged(&[
                    avc.old_video(7),
                    tracks(TagKind::Video, Layout::One, &[(1, b"vp09", &vp9)]),
                ])),
            ),
            Case::new(
                "multitrack video, ManyTracks",
                with_sound(tracks(
                    TagKind::Video,
                    Layout::Many,
                    &[(0, b"avc1", &avc), (1, b"avc1", &small)],
                )),
            )
            .unread("flv", FIRST_TRACK_ONLY),
            Case::new(
                "multitrack video, ManyTracks, default track last",
                with_sound(tracks(
                    TagKind::Video,
                    Layout::Many,
                    &[(7, b"avc1", &small), (0, b"avc1", &avc)],
                )),
            )
            .unread("flv", FIRST_TRACK_ONLY),
            Case::new(
                "multitrack video, ManyTracksManyCodecs",
                with_sound(tracks(
                    TagKind::Video,
                    Layout::ManyCodecs,
                    &[(0, b"avc1", &avc), (1, b"vp09", &vp9)],
                )),
            )
            .unread("flv", FIRST_TRACK_ONLY),
            Case::new(
                "multitrack audio, OneTrack beside an old default track",
                with_pictures(merged(&[
                    aac.old_aac(),
                    tracks(TagKind::Audio, Layout::One, &[(1, b"mp4a", &other)]),
                ])),
            ),
            Case::new(
                "multitrack audio, ManyTracks",
                with_pictures(tracks(
                    TagKind::Audio,
                    Layout::Many,
                    &[(0, b"mp4a", &aac), (3, b"mp4a", &other)],
                )),
            )
            .unread("flv", FIRST_TRACK_ONLY),
            Case::new("metadata packets (colour information), frame type 0", coloured(0))
                .unread("flv", "it takes a metadata packet of frame type 0 for a picture"),
            Case::new("metadata packets (colour information), frame type 5", coloured(5)),
            Case::new("first AV1 header empty", with_sound(empty)),
            Case::new("end of sequence with time 0 (AV1, AAC)", ended),
            Case::new("end of sequence with time 0 in mid-stream (H.264)", restarted),
        ],
    );
}

/// The byte behind a modifier: its type, and the packet type that follows.
fn behind(modifier: u8, next_packet: u8) -> u8 {
    modifier << 4 | next_packet
}

/// Modifier 0: nanoseconds to be added to the presentation time, behind its size less 1.
fn nanoseconds(time_ms: i64) -> [u8; 4] {
    let [_, offset @ ..] = u32::try_from(time_ms * 7919 % 1_000_000).unwrap().to_be_bytes();
    [2, offset[0], offset[1], offset[2]]
}

fn nanoseconds_video(media: &Media) -> Vec<Tag> {
    let mut tags = media.enhanced_video(b"avc1", false);
    for (tag, frame) in tags[1..].iter_mut().zip(&media.frames) {
        let body = frame.enhanced_body(b"avc1", false);
        let parts: [&[u8]; 4] = [&nanoseconds(frame.time_ms), &[behind(0, 1)], b"avc1", &body];
        *tag = ex_video(frame.is_key, 7, frame.time_ms, &parts);
    }
    tags
}

/// With `is_twice`, a second modifier that nobody has defined, whose size takes the long form.
fn nanoseconds_audio(media: &Media, is_twice: bool) -> Vec<Tag> {
    let mut tags = media.enhanced_audio(b"mp4a");
    for (tag, frame) in tags[1..].iter_mut().zip(&media.frames) {
        let mut second = vec![behind(0, 7), 255, 0, 255];
        second.extend_from_slice(&[0x5A; 256]);
        second.push(behind(14, 1));
        let rest = if is_twice { second } else { vec![behind(0, 1)] };
        let parts: [&[u8]; 4] = [&nanoseconds(frame.time_ms), &rest, b"mp4a", &frame.data];
        *tag = ex_audio(7, frame.time_ms, &parts);
    }
    tags
}

/// Messages that carry all these tracks: their configurations, then their frames by number. The
/// times are those of the first track.
fn tracks(kind: TagKind, layout: Layout, tracks: &[(u8, &[u8; 4], &Media)]) -> Vec<Tag> {
    let message = |packet: u8, is_key: bool, time_ms: i64, parts: &[Part<'_>]| {
        let mut body = vec![(layout as u8) << 4 | packet];
        if !matches!(layout, Layout::ManyCodecs) {
            body.extend_from_slice(parts[0].1);
        }
        for (id, four_cc, data) in parts {
            if matches!(layout, Layout::ManyCodecs) {
                body.extend_from_slice(*four_cc);
            }
            body.push(*id);
            if !matches!(layout, Layout::One) {
                body.extend_from_slice(&bytes24(i32::try_from(data.len()).unwrap()));
            }
            body.extend_from_slice(data);
        }
        match kind {
            TagKind::Video => ex_video(is_key, 6, time_ms, &[&body]),
            _ => ex_audio(5, time_ms, &[&body]),
        }
    };
    let first = tracks[0].2;
    let configs: Vec<Part<'_>> =
        tracks.iter().map(|(id, cc, media)| (*id, *cc, media.config.to_vec())).collect();
    let mut tags = vec![message(0, true, first.start_ms(), &configs)];
    for (number, frame) in first.frames.iter().enumerate() {
        let parts: Vec<Part<'_>> = tracks
            .iter()
            .filter_map(|(id, cc, media)| {
                Some((*id, *cc, media.frames.get(number)?.enhanced_body(cc, false)))
            })
            .collect();
        tags.push(message(1, frame.is_key, frame.time_ms, &parts));
    }
    tags
}

/// VideoPacketType.Metadata: the name `colorInfo` and what it says, in AMF0.
fn colour_info(frame_type: u8, time_ms: i64) -> Tag {
    let mut body = b"\x02\0\x09colorInfo\x03\0\x0bcolorConfig\x03".to_vec();
    for (name, number) in
        [("bitDepth", 8.0_f64), ("colorPrimaries", 1.0), ("transferCharacteristics", 1.0)]
    {
        body.extend_from_slice(&u16::try_from(name.len()).unwrap().to_be_bytes());
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(&number.to_be_bytes());
    }
    body.extend_from_slice(b"\0\0\x09\0\0\x09");
    tag(TagKind::Video, time_ms, &[&[0x80 | frame_type << 4 | 4], b"avc1", &body])
}
