//! VP8: the header of a key frame (RFC 6386 clause 9.1). The configuration record is that of
//! [`super::vp9`].

use super::vp9::{VpConfig, level_of};

/// What the header of a key frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vp8KeyFrame {
    /// Version of the bit stream, 0 to 7, which is its profile.
    pub version: u8,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Vp8KeyFrame {
    /// Reads the header of a frame; none if it is no key frame of VP8.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let &[tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = frame.first_chunk()? else {
            return None;
        };
        // The upper two bits ask for scaling.
        let size = |bytes| u32::from(u16::from_le_bytes(bytes) & 0x3fff);
        (tag & 1 == 0).then_some(Vp8KeyFrame {
            version: tag >> 1 & 7,
            width: size([w0, w1]),
            height: size([h0, h1]),
        })
    }

    /// A configuration for a stream that came without one.
    pub fn config(&self) -> VpConfig {
        VpConfig {
            profile: self.version,
            level: level_of(self.width, self.height),
            bit_depth: 8,
            chroma: 1,
            is_full_range: false,
            // RFC 6386 clause 9.2 knows nothing but BT.601.
            color: [6, 6, 6],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn size_and_version_of_a_key_frame() {
        let frame = b"\x54\x01\x00\x9d\x01\x2a\x80\x02\x68\x41rest";
        let expected = Vp8KeyFrame { version: 2, width: 640, height: 360 };
        assert_eq!(Vp8KeyFrame::parse(frame), Some(expected.clone()));
        assert_eq!(expected.config().to_record(), [2, 21, 0x82, 6, 6, 6, 0, 0]);
        let mut inter = *frame;
        inter[0] |= 1;
        assert_eq!(Vp8KeyFrame::parse(&inter), None);
        assert_eq!(Vp8KeyFrame::parse(&frame[..9]), None);
        assert_eq!(Vp8KeyFrame::parse(b"\x54\x01\x00\x9d\x01\x2b\x80\x02\x68\x01"), None);
    }

    proptest! {
        #[test]
        fn no_frame_panics(frame in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = Vp8KeyFrame::parse(&frame).map(|key| key.config());
        }
    }
}
