//! Every way to code sound, alone or beside H.264, and tracks that begin apart.

use bytes::Bytes;
use liverec::media::tag::{Tag, TagKind};

use super::{
    run::{Case, check},
    source::{AAC, Program, Sources},
    structure::{MOOV, MOOV_REASON},
    tags::{Media, merged},
};

#[test]
fn sound() {
    let sources = Sources::new();
    let usual = sources.usual(3);
    let avc = Media::of(&usual, TagKind::Video);
    let aac = Media::of(&usual, TagKind::Audio);
    let encoded = |options| sources.audio(Program::Newer, 3, options);
    let beside = |audio: Vec<Tag>| merged(&[avc.old_video(7), audio]);
    let old = |options: &str| sources.make(Program::Debian, 2, "", options);
    let mp3 = encoded("-c:a libmp3lame -b:a 64k");
    let mono = encoded("-c:a libmp3lame -b:a 32k -ar 22050 -ac 1");
    let changed = [mp3.part(..38).old_audio(0x2F), mono.part(38..).old_audio(0x2F)].concat();
    let opus = encoded("-c:a libopus -ar 48000 -b:a 32k");
    let flac = encoded("-c:a flac");
    let long = sources.usual(8);
    let (video, audio) = (Media::of(&long, TagKind::Video), Media::of(&long, TagKind::Audio));
    let late = |media: &Media| media.clone().moved(5000);
    check(
        "Sound",
        &[
            Case::new("AAC-LC alone", aac.old_aac()).decoded(),
            Case::new("AAC-LC as enhanced `mp4a`", beside(aac.enhanced_audio(b"mp4a"))).decoded(),
            Case::new("HE-AAC, explicit signalling", beside(he_aac(&sources).old_aac())),
            Case::new("Opus", beside(opus.enhanced_audio(b"Opus"))).decoded(),
            Case::new("Opus alone", opus.enhanced_audio(b"Opus")).decoded(),
            Case::new("FLAC", beside(flac.enhanced_audio(b"fLaC"))).decoded(),
            Case::new(
                "AC-3",
                beside(encoded("-c:a ac3 -ar 48000 -b:a 96k").enhanced_audio(b"ac-3")),
            )
            .decoded(),
            Case::new(
                "E-AC-3",
                beside(encoded("-c:a eac3 -ar 48000 -b:a 96k").enhanced_audio(b"ec-3")),
            )
            .decoded(),
            Case::new("MP3 with sound format 2", beside(mp3.old_audio(0x2F))).decoded(),
            Case::new("MP3 as enhanced `.mp3`", beside(mp3.enhanced_audio(b".mp3"))).decoded(),
            Case::new("MP3 that goes on with half the sampling rate, mono", beside(changed)).allow(
                &["fmp4"],
                MOOV,
                MOOV_REASON,
            ),
            Case::new("Speex", old("-c:a libspeex -ar 16000 -ac 1")),
            Case::new("Nellymoser 16 kHz", old("-c:a nellymoser -ar 16000 -ac 1")),
            Case::new("G.711 A-law", old("-c:a pcm_alaw -ar 8000 -ac 1")),
            Case::new("G.711 mu-law", old("-c:a pcm_mulaw -ar 8000 -ac 1")),
            Case::new("ADPCM", old("-c:a adpcm_swf -ar 22050 -ac 1")),
            Case::new("PCM, little endian", old("-c:a pcm_s16le -ar 11025 -ac 1")),
            Case::new(
                "audio 5 s before video",
                merged(&[late(&video).old_video(7), audio.old_aac()]),
            )
            .decoded(),
            Case::new(
                "video 5 s before audio",
                merged(&[video.old_video(7), late(&audio).old_aac()]),
            )
            .decoded(),
        ],
    );
}

/// No encoder here makes HE-AAC. Its core is AAC-LC at half the rate, and a decoder takes frames
/// without an SBR extension: an explicit configuration (ISO/IEC 14496-3 1.6.2.1: object type 5,
/// core 22.05 kHz, output 44.1 kHz, then object type 2) over such frames is what such an encoder
/// sends while it has nothing to add.
fn he_aac(sources: &Sources) -> Media {
    let mut media = sources.audio(Program::Debian, 3, &format!("{AAC} -ar 22050 -ac 2"));
    // 00101 0111 0010 0100 00010 000: SBR, 22.05 kHz, two channels, 44.1 kHz, AAC-LC.
    media.config = Bytes::from_static(&[0b0010_1011, 0b1001_0010, 0b0000_1000, 0]);
    media
}
