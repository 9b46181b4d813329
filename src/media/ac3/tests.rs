//! Frames of ffmpeg, frames assembled field by field, and hostile bytes.

use proptest::prelude::*;

use super::*;

/// 48 kHz, 5.1, 384 kbit/s.
const AC3: &[u8] = b"\x0b\x77\x1e\x8b\x1c\x40\xeb\xf8\x40\x3e";
/// 44.1 kHz, stereo, 192 kbit/s.
const EAC3: &[u8] = b"\x0b\x77\x01\xa0\x74\x87\xc0\x00\x20\x84";

fn bytes(fields: &str) -> Vec<u8> {
    let bits: Vec<u8> = fields.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
    bits.chunks(8)
        .map(|chunk| (0..8).fold(0, |byte, at| byte << 1 | chunk.get(at).unwrap_or(&0)))
        .collect()
}

/// A sync frame of `words` 16-bit words.
fn substream(kind: u8, id: u8, words: usize, rest: &str) -> Vec<u8> {
    let mut frame = bytes(&format!("{:016b}{kind:02b}{id:03b}{:011b}{rest}", SYNC_WORD, words - 1));
    frame.resize(2 * words, 0);
    frame
}

#[test]
fn a_frame_of_ac3() {
    let frame = Ac3Frame::parse(AC3).unwrap();
    assert_eq!((frame.header.sample_rate, frame.header.channels()), (48_000, 6));
    assert_eq!(frame.to_specific_box(), *b"\x10\x3d\xc0");
    assert_eq!(Ac3Frame::parse(&AC3[..6]), None);
    assert_eq!(Ac3Frame::parse(EAC3), None);
    let mut reserved = AC3.to_vec();
    reserved[4] |= 0xc0;
    assert_eq!(Ac3Frame::parse(&reserved), None);
    // Stereo has a field that the other modes have not.
    let stereo = bytes(&format!("{SYNC_WORD:016b}{:016b} 01 011100 01000 000 010 00 1 0000", 0));
    let frame = Ac3Frame::parse(&stereo).unwrap();
    assert_eq!((frame.header.sample_rate, frame.header.channels()), (44_100, 3));
}

#[test]
fn a_frame_of_enhanced_ac3() {
    let frame = Eac3Frame::parse(EAC3).unwrap();
    assert_eq!((frame.sample_rate(), frame.channels(), frame.kbps), (44_100, 2, 192));
    assert_eq!(frame.to_specific_box(), b"\x06\x00\x60\x04\x00");
    assert_eq!(Eac3Frame::parse(AC3), None);
    assert_eq!(Eac3Frame::parse(&EAC3[..5]), None);
}

#[test]
fn a_dependent_substream_adds_channels() {
    // 48 kHz, six blocks, 5.1; then Lrs/Rrs in a frame of its own.
    let main = substream(0, 0, 384, "00 11 111 1 10000 00000 0");
    let surround = substream(1, 0, 128, "00 11 010 0 10000 00000 0 1 0000001000000000");
    let frame = Eac3Frame::parse(&[main.clone(), surround.clone()].concat()).unwrap();
    assert_eq!((frame.channels(), frame.kbps), (8, 256));
    assert_eq!(frame.programs, [Program { dependents: 1, locations: 2, ..frame.programs[0] }]);
    assert_eq!(frame.to_specific_box(), b"\x08\x00\x20\x0f\x02\x02");
    // The second stretch of time in one frame adds nothing.
    let twice = [main.clone(), surround.clone(), main.clone(), surround.clone()].concat();
    assert_eq!(Eac3Frame::parse(&twice), Some(frame.clone()));
    assert!(!frame.same_parameters(&Eac3Frame::parse(&main).unwrap()));
    assert_eq!(Eac3Frame::parse(&[surround, main].concat()), None);
}

#[test]
fn programs_and_half_rates() {
    // 16 kHz (fscod 3, fscod2 2) in mono twice, as programs of their own.
    let programs = [0, 1].map(|id| substream(0, id, 64, "11 10 001 0 10000")).concat();
    let frame = Eac3Frame::parse(&programs).unwrap();
    assert_eq!((frame.programs.len(), frame.sample_rate(), frame.channels()), (2, 16_000, 1));
    assert_eq!(frame.to_specific_box()[1] & 7, 1);
    assert_eq!(frame.to_specific_box().len(), 2 + 3 + 3);
    assert_eq!(Eac3Frame::parse(&substream(0, 0, 64, "11 11 001 0 10000")), None);
    assert_eq!(Eac3Frame::parse(&substream(3, 0, 64, "00 11 001 0 10000")), None);
    assert_eq!(Eac3Frame::parse(&substream(0, 0, 64, "00 11 001 0 01000")), None);
}

proptest! {
    #[test]
    fn no_frame_panics(rest in prop::collection::vec(any::<u8>(), 0..80)) {
        let frame = [&SYNC_WORD.to_be_bytes()[..], &rest].concat();
        for bytes in [&rest, &frame] {
            let _ = Ac3Frame::parse(bytes).map(|f| (f.header.channels(), f.to_specific_box()));
            if let Some(frame) = Eac3Frame::parse(bytes) {
                prop_assert!(frame.channels() > 0);
                let _ = frame.to_specific_box();
            }
        }
    }

    #[test]
    fn no_substreams_panic(subs in prop::collection::vec((0u8..3, 0u8..8, 6usize..9, any::<u64>()), 0..90)) {
        let frame = subs
            .into_iter()
            .flat_map(|(kind, id, words, rest)| substream(kind, id, words, &format!("00 11 111 1 10000{rest:064b}")))
            .collect::<Vec<u8>>();
        let _ = Eac3Frame::parse(&frame).map(|f| (f.channels(), f.to_specific_box()));
    }
}
