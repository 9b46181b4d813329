//! Which media messages say what time it is. Encoders send script data, headers, metadata and ends of
//! sequence with time 0 whenever they like; a clock that followed them would miscount its wraps.

use crate::media::tag::TagKind;

/// Packet types of the enhanced headers, the same for sound and pictures.
mod packet_type {
    pub const CODED_FRAMES: u8 = 1;
    pub const MULTITRACK_AUDIO: u8 = 5;
    pub const MULTITRACK_VIDEO: u8 = 6;
    pub const MOD_EX: u8 = 7;
    /// CodedFramesX of pictures.
    pub const CODED_FRAMES_X: u8 = 3;
}

/// Whether the timestamp of a message is one of a coded frame. What is not defined is taken for one.
pub(super) fn says_the_time(kind: TagKind, payload: &[u8]) -> bool {
    let Some(&first) = payload.first() else { return false };
    match kind {
        TagKind::Script => false,
        TagKind::Audio => match first >> 4 {
            9 => match packet_type_of(payload, packet_type::MULTITRACK_AUDIO) {
                // SequenceStart, SequenceEnd, MultichannelConfig.
                None | Some(0 | 2 | 4) => false,
                Some(_) => true,
            },
            // AAC: its configuration, or a frame.
            10 => payload.get(1).is_some_and(|packet_type| *packet_type != 0),
            _ => true,
        },
        // A command and no picture.
        TagKind::Video if first >> 4 & 7 == 5 => false,
        TagKind::Video if first & 0x80 != 0 => {
            match packet_type_of(payload, packet_type::MULTITRACK_VIDEO) {
                Some(packet_type::CODED_FRAMES | packet_type::CODED_FRAMES_X) => true,
                // SequenceStart, SequenceEnd, Metadata, MPEG2TSSequenceStart.
                None | Some(0 | 2 | 4 | 5) => false,
                Some(_) => true,
            }
        }
        TagKind::Video => match first & 0x0F {
            // AVC and HEVC: configuration, coded picture, end of sequence.
            7 | 12 => !matches!(payload.get(1), None | Some(0 | 2)),
            _ => true,
        },
    }
}

/// The packet type behind ModEx and multitrack headers; `None` where the message ends before.
fn packet_type_of(payload: &[u8], multitrack: u8) -> Option<u8> {
    let (first, mut rest) = payload.split_first()?;
    let mut packet_type = first & 0x0F;
    while packet_type == packet_type::MOD_EX {
        let (size, behind) = rest.split_first()?;
        let (size, behind) = match size {
            255 => {
                let (size, behind) = behind.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*size)), behind)
            }
            size => (usize::from(*size), behind),
        };
        let (next, behind) = behind.get(size + 1..)?.split_first()?;
        (packet_type, rest) = (next & 0x0F, behind);
    }
    match packet_type == multitrack {
        true => rest.first().map(|inner| inner & 0x0F),
        false => Some(packet_type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_coded_frames_say_the_time() {
        let (audio, video) = (TagKind::Audio, TagKind::Video);
        for (kind, payload) in [
            (audio, b"\xaf\x01\x21".as_slice()),
            (audio, b"\x2f"),
            (audio, b"\x91Opus\x00"),
            // ManyTracks of coded frames; the same behind a nanosecond offset.
            (audio, b"\x95\x11Opus\x00"),
            (audio, b"\x97\x02\x00\x00\x01\x05\x11Opus"),
            (video, b"\x17\x01\0\0\0"),
            (video, b"\x27\x01\0\0\0"),
            (video, b"\x12"),
            (video, b"\x91hvc1"),
            (video, b"\xa3hvc1"),
            (video, b"\x96\x11av01"),
            (video, b"\x97\xff\x00\x01\x00\x00\x01hvc1"),
        ] {
            assert!(says_the_time(kind, payload), "{payload:02x?}");
        }
        for (kind, payload) in [
            (TagKind::Script, b"\x02".as_slice()),
            (audio, b""),
            (audio, b"\xaf\x00\x12\x10"),
            (audio, b"\xaf"),
            (audio, b"\x90Opus"),
            (audio, b"\x92Opus"),
            (audio, b"\x94Opus"),
            (audio, b"\x95\x10Opus"),
            (audio, b"\x97\x02\x00\x00\x01\x02"),
            (audio, b"\x97\x02\x00"),
            (video, b"\x17\x00\0\0\0"),
            (video, b"\x17\x02\0\0\0"),
            (video, b"\x17"),
            (video, b"\x57\x00"),
            (video, b"\x90hvc1"),
            (video, b"\x92hvc1"),
            (video, b"\x94hvc1"),
            (video, b"\x96\x12av01"),
            (video, b"\x97\x00\x00\x00hvc1"),
        ] {
            assert!(!says_the_time(kind, payload), "{payload:02x?}");
        }
    }
}
