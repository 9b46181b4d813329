//! What a stream says of the shape of its pixels and of its colours (ITU-T H.273), where it does. A
//! codec's own module reads it; containers repeat it for readers that do not look into the stream.

/// The form of pictures besides their size in pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PictureForm {
    /// Width and height of a pixel in units of each other, neither of them 0; none if nothing is said.
    pub pixel_aspect: Option<(u16, u16)>,
    /// Colours; none if nothing is said.
    pub color: Option<Color>,
}

/// How numbers become colours: codes of ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color {
    /// ColourPrimaries.
    pub primaries: u8,
    /// TransferCharacteristics.
    pub transfer: u8,
    /// MatrixCoefficients.
    pub matrix: u8,
    /// VideoFullRangeFlag.
    pub is_full_range: bool,
}

impl Color {
    /// Code of all three that says nothing.
    pub const UNSPECIFIED: u8 = 2;

    /// These codes; none if they say nothing at all.
    pub fn new([primaries, transfer, matrix]: [u8; 3], is_full_range: bool) -> Option<Self> {
        let is_said = [primaries, transfer, matrix] != [Self::UNSPECIFIED; 3] || is_full_range;
        is_said.then_some(Color { primaries, transfer, matrix, is_full_range })
    }

    /// The kind of high dynamic range: `hdr10` (SMPTE ST 2084) or `hlg` (ARIB STD-B67); none if it is
    /// none of these.
    pub fn high_range(self) -> Option<&'static str> {
        match self.transfer {
            16 => Some("hdr10"),
            18 => Some("hlg"),
            _ => None,
        }
    }
}

impl PictureForm {
    /// The width at which a picture of so many pixels is to be shown at its full height, with 16 bits
    /// behind the point.
    pub fn shown_width_16_16(&self, width: u16) -> u32 {
        let plain = u32::from(width) << 16;
        let Some((across, down)) = self.pixel_aspect.filter(|(_, down)| *down > 0) else {
            return plain;
        };
        let shown = (u64::from(plain) * u64::from(across)).div_euclid(u64::from(down));
        // A lie: nothing is that wide.
        u32::try_from(shown).ok().filter(|shown| *shown > 0).unwrap_or(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_range_is_told_by_the_transfer() {
        let kind = |transfer| Color::new([9, transfer, 9], false).unwrap().high_range();
        assert_eq!([1, 16, 18].map(kind), [None, Some("hdr10"), Some("hlg")]);
    }

    #[test]
    fn width_with_pixels_that_are_not_square() {
        let shown = |pixel_aspect| {
            PictureForm { pixel_aspect, color: None }.shown_width_16_16(1440) as f64 / 65536.0
        };
        assert_eq!(
            (shown(None), shown(Some((1, 1))), shown(Some((4, 3)))),
            (1440.0, 1440.0, 1920.0)
        );
        assert!((shown(Some((12, 11))) - 1570.909).abs() < 0.001);
        assert_eq!((shown(Some((65535, 1))), shown(Some((3, 0)))), (1440.0, 1440.0));
    }

    #[test]
    fn codes_that_say_nothing() {
        assert_eq!(Color::new([2, 2, 2], false), None);
        assert!(Color::new([2, 2, 2], true).is_some() && Color::new([1, 2, 2], false).is_some());
    }
}
