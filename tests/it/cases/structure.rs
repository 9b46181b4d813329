//! Streams that are put together oddly: headers, script data, key frames, sizes.

use bytes::Bytes;
use liverec::media::tag::{Tag, TagKind};

use super::{
    run::{Case, Wire, check},
    source::{AAC, H264, Program, Sources},
    tags::{Media, is_old_header, merged, script, tag},
};

const AT_OPEN: &str = "it shows the streams that it found when it opened the file";
pub const MOOV: &str = "Found duplicated MOOV Atom. Skipped it";
pub const MOOV_REASON: &str = "it keeps to the first initialisation segment";
const SHOWN: &str = "a lead-in is not hidden where parameters change later";
const UNDESCRIBED: &str = "pictures before their parameter sets";

#[test]
fn structure() {
    let sources = Sources::new();
    let usual = sources.usual(4);
    let avc = Media::of(&usual, TagKind::Video);
    let aac = Media::of(&usual, TagKind::Audio);
    let with_sound = |video: Vec<Tag>| merged(&[video, aac.old_aac()]);
    let encoded = |size: &str, options: &str| {
        Media::of(&sources.of_size(Program::Debian, size, 25, 2, options, ""), TagKind::Video)
    };
    let first = avc.part(..50);
    let then = |next: &Media, dialect: &dyn Fn(&Media) -> Vec<Tag>| {
        with_sound([first.old_video(7), dialect(&next.clone().moved(2000))].concat())
    };
    let old = |media: &Media| media.old_video(7);
    let main = encoded("160x90", &format!("{H264} -refs 4 -coder 1 -profile:v high"));
    assert_ne!(main.config, avc.config);
    let larger = encoded("320x180", H264);
    let hevc = "-c:v libx265 -preset ultrafast -g 25 -x265-params log-level=error:info=0";
    let hevc = sources.video(Program::Newer, 2, hevc);
    let opus = sources.audio(Program::Newer, 2, "-c:a libopus -ar 48000 -b:a 32k");
    let rate = |rate: u32, seconds: u32, options: &str| {
        sources.of_size(Program::Debian, "160x90", rate, seconds, options, AAC)
    };
    let vp9 = |size| {
        let options = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 -b:v 100k";
        Media::of(&sources.of_size(Program::Newer, size, 25, 2, options, ""), TagKind::Video)
    };
    let (small, wide) = (vp9("160x90"), vp9("320x180"));
    let once = H264.replace("-g 25", "-g 9999");
    check(
        "Structure of the stream",
        &[
            Case::new("repeated identical sequence headers", repeated_headers(&usual)),
            Case::new("changed SPS and PPS, same resolution", then(&main, &old)).allow(
                &["fmp4"],
                MOOV,
                MOOV_REASON,
            ),
            Case::new("changed resolution", then(&larger, &old)).allow(
                &["fmp4"],
                MOOV,
                MOOV_REASON,
            ),
            Case::new(
                "changed resolution and back",
                with_sound(
                    [
                        first.old_video(7),
                        larger.part(..25).moved(2000).old_video(7),
                        avc.part(75..).old_video(7),
                    ]
                    .concat(),
                ),
            )
            .allow(&["fmp4"], MOOV, MOOV_REASON),
            Case::new(
                "codec change, H.264 to HEVC",
                then(&hevc, &|media| media.enhanced_video(b"hvc1", true)),
            )
            .files("mp4", 2)
            .allow(&["flv"], "New video stream with index N", AT_OPEN)
            .allow(&["flv"], "ffmpeg finds 50 video packets of 100", AT_OPEN)
            .allow(&["ts"], "ffprobe finds 50 video packets of 100", AT_OPEN)
            .allow(&["fmp4"], MOOV, MOOV_REASON)
            .allow(&["fmp4"], "[NULL] sps_id N out of range", MOOV_REASON)
            .allow(
                &["fmp4"],
                "[NULL] missing picture in access unit with size N",
                MOOV_REASON,
            ),
            Case::new(
                "codec change, AAC to Opus",
                merged(&[
                    avc.old_video(7),
                    [aac.part(..86).old_aac(), opus.clone().moved(2000).enhanced_audio(b"Opus")]
                        .concat(),
                ]),
            )
            .files("mp4", 2)
            .allow(&["flv"], "New audio stream with index N", AT_OPEN)
            .allow(&["flv"], "ffmpeg finds 86 audio packets of 187", AT_OPEN)
            .allow(&["fmp4"], MOOV, MOOV_REASON)
            .allow(&["fmp4"], "ffprobe finds 185 audio packets of 187", MOOV_REASON),
            Case::new("several onMetaData", with_script(&usual, "onMetaData")),
            Case::new("onTextData", with_script(&usual, "onTextData"))
                .allow(&["flv"], "OnTextData packet is not implemented.", "it says so itself")
                .allow(&["flv"], "If you want to help, upload a sample of this file", "the same"),
            Case::new("onCuePoint", with_script(&usual, "onCuePoint")),
            Case::new("messages of no length", with_empty(&usual)),
            Case::new("first frame no key frame", with_sound(avc.part(5..).old_video(7))).allow(
                &["flv", "ts", "fmp4"],
                "[h264] co located POCs unavailable",
                "undecodable lead-in",
            ),
            Case::new(
                "first frame no key frame, changed resolution later",
                with_sound(
                    [avc.part(5..50).old_video(7), larger.clone().moved(2000).old_video(7)]
                        .concat(),
                ),
            )
            .allow(
                &["flv", "mp4", "ts", "fmp4"],
                "[h264] co located POCs unavailable",
                "undecodable lead-in",
            )
            .allow(&["fmp4"], MOOV, MOOV_REASON)
            .allow(&["mp4"], "Missing key frame while searching for timestamp", SHOWN)
            .allow(&["mp4"], "Cannot find an index entry before timestamp", SHOWN)
            .decoded_in(&["mp4"]),
            Case::new(
                "VP9 of another resolution behind the same record",
                merged(&[
                    Media {
                        config: small.config.clone(),
                        frames: [small.frames.clone(), wide.clone().moved(2000).frames].concat(),
                    }
                    .enhanced_video(b"vp09", false),
                    aac.old_aac(),
                ]),
            ),
            Case::new("sound without a sequence header", without_header(&usual, TagKind::Audio))
                .unread("flv", "it gives up at frames that nothing describes")
                .unread("aac", "there is nothing in it"),
            Case::new("frames before the first sequence headers", headers_late(&usual))
                .unread("flv", "it gives up at frames that nothing describes")
                .allow(&["ts"], "non-existing PPS N referenced", UNDESCRIBED)
                .allow(&["ts"], "[h264] decode_slice_header error", UNDESCRIBED)
                .allow(&["ts"], "[h264] no frame!", UNDESCRIBED),
            Case::new("no key frame for 60 s", rate(5, 66, &once)),
            Case::new("key frame only once", rate(25, 4, &once)),
            Case::new("every frame a key frame", rate(25, 3, &H264.replace("-g 25", "-g 1"))),
            Case::new("200 frames a second", rate(200, 3, H264)),
            Case::new("1 frame a second", rate(1, 12, "-c:v libx264 -preset ultrafast -g 3")),
            Case::new("one frame of 8 MiB", with_sound(huge(&avc).old_video(7)))
                .over(Wire::Chunks(65536)),
        ],
    );
}

/// Both sequence headers again before every key frame, as some encoders send them.
fn repeated_headers(tags: &[Tag]) -> Vec<Tag> {
    let header = |kind| tags.iter().find(|tag| is_old_header(tag, kind)).unwrap().clone();
    let headers = [header(TagKind::Video), header(TagKind::Audio)];
    let mut out = Vec::new();
    for tag in tags {
        if tag.time_ms > 0 && tag.payload.starts_with(&[0x17, 1]) {
            out.extend(headers.clone().map(|header| Tag { time_ms: tag.time_ms, ..header }));
        }
        out.push(tag.clone());
    }
    assert_eq!(out.len(), tags.len() + 2 * 3);
    out
}

fn with_script(tags: &[Tag], name: &str) -> Vec<Tag> {
    let mut out = Vec::new();
    for (number, tag) in tags.iter().enumerate() {
        out.push(tag.clone());
        if number % 50 == 49 {
            out.push(script(name, &format!("number {number}"), tag.time_ms));
        }
    }
    out
}

/// Messages without a body, and bodies without data behind their header.
fn with_empty(tags: &[Tag]) -> Vec<Tag> {
    let mut out = Vec::new();
    for (number, next) in tags.iter().enumerate() {
        out.push(next.clone());
        if number % 60 == 59 {
            let time_ms = next.time_ms;
            out.push(tag(TagKind::Video, time_ms, &[]));
            out.push(tag(TagKind::Audio, time_ms, &[]));
            out.push(tag(TagKind::Script, time_ms, &[]));
            out.push(tag(TagKind::Video, time_ms, &[&[0x27, 1, 0, 0, 0]]));
            out.push(tag(TagKind::Video, time_ms, &[&[0x17, 0, 0, 0, 0]]));
            out.push(tag(TagKind::Audio, time_ms, &[&[0xAF, 1]]));
        }
    }
    out
}

/// The sequence header of one track never comes.
fn without_header(tags: &[Tag], kind: TagKind) -> Vec<Tag> {
    tags.iter().filter(|tag| !is_old_header(tag, kind)).cloned().collect()
}

/// The sequence headers come half a second late.
fn headers_late(tags: &[Tag]) -> Vec<Tag> {
    let is_header =
        |tag: &Tag| is_old_header(tag, TagKind::Video) || is_old_header(tag, TagKind::Audio);
    let (headers, rest): (Vec<Tag>, Vec<Tag>) = tags.iter().cloned().partition(is_header);
    let at = rest.iter().position(|tag| tag.time_ms >= 500).unwrap();
    let headers = headers.into_iter().map(|header| Tag { time_ms: 500, ..header });
    rest[..at].iter().cloned().chain(headers).chain(rest[at..].iter().cloned()).collect()
}

/// The second key frame with a NAL unit of filler data (type 12) behind it.
fn huge(media: &Media) -> Media {
    let mut media = media.clone();
    let frame = media.frames.iter_mut().filter(|frame| frame.is_key).nth(1).unwrap();
    let length = (8 << 20) - frame.data.len() - 4;
    let mut data = frame.data.to_vec();
    data.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
    data.push(12);
    data.resize(data.len() + length - 2, 0xFF);
    data.push(0x80);
    assert_eq!(data.len(), 8 << 20);
    frame.data = Bytes::from(data);
    media
}
