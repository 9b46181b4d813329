//! MPEG audio layers I to III: the header in front of every frame (ISO/IEC 11172-3 2.4.1.3,
//! 13818-3, and the unofficial MPEG-2.5). There is no configuration record.

/// Sampling rates of MPEG-1 by index, in Hz; MPEG-2 has half of them, MPEG-2.5 a quarter.
const SAMPLE_RATES: [u32; 3] = [44_100, 48_000, 32_000];

/// What a frame header says of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mp3Header {
    /// True for ISO/IEC 11172-3; false for the half and quarter sampling rates of 13818-3.
    pub is_mpeg1: bool,
    /// Layer, 1 to 3.
    pub layer: u8,
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// Channels, 1 or 2.
    pub channels: u8,
}

impl Mp3Header {
    /// Reads the header of a frame; none if there is none.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let &[0xff, second, third, fourth] = frame.first_chunk()? else { return None };
        let layer = 4 - (second >> 1 & 3);
        if second & 0xe0 != 0xe0 || layer == 4 || third >> 4 == 15 {
            return None;
        }
        let rate = *SAMPLE_RATES.get(usize::from(third >> 2 & 3))?;
        let divisor = match second >> 3 & 3 {
            3 => 1,
            2 => 2,
            0 => 4,
            _ => return None,
        };
        Some(Mp3Header {
            is_mpeg1: divisor == 1,
            layer,
            sample_rate: rate / divisor,
            channels: if fourth >> 6 == 3 { 1 } else { 2 },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(is_mpeg1: bool, layer: u8, sample_rate: u32, channels: u8) -> Option<Mp3Header> {
        Some(Mp3Header { is_mpeg1, layer, sample_rate, channels })
    }

    #[test]
    fn versions_layers_and_channels() {
        assert_eq!(Mp3Header::parse(b"\xff\xfb\x90\x64data"), header(true, 3, 44_100, 2));
        assert_eq!(Mp3Header::parse(b"\xff\xfa\x94\xc4"), header(true, 3, 48_000, 1));
        assert_eq!(Mp3Header::parse(b"\xff\xf3\x80\xc4"), header(false, 3, 22_050, 1));
        assert_eq!(Mp3Header::parse(b"\xff\xe3\x48\xc4"), header(false, 3, 8_000, 1));
        assert_eq!(Mp3Header::parse(b"\xff\xfd\x98\x04"), header(true, 2, 32_000, 2));
    }

    #[test]
    fn what_is_no_header() {
        for frame in [
            &b""[..],
            b"\xff\xfb\x90",
            b"\xfe\xfb\x90\x64",
            b"\xff\x7b\x90\x64",
            // Reserved version, layer, bit rate and sampling rate.
            b"\xff\xeb\x90\x64",
            b"\xff\xf9\x90\x64",
            b"\xff\xfb\xf0\x64",
            b"\xff\xfb\x9c\x64",
        ] {
            assert_eq!(Mp3Header::parse(frame), None, "{frame:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_frame_panics(frame in prop::collection::vec(any::<u8>(), 0..8)) {
            let _ = Mp3Header::parse(&frame);
        }
    }
}
