//! The beginning of the video usability information of an HEVC SPS (ITU-T H.265 annex E), and the
//! fields in front of it (7.3.2.2), which have to be read for their length alone.

use h264_reader::rbsp::{BitRead, BitReaderError};

use super::{open_sps, read_size};
use crate::media::picture_form::{Color, PictureForm};

/// The most short-term reference picture sets that there may be.
const SETS_MAX: u32 = 64;
/// The most pictures in one of them.
const PICTURES_MAX: u32 = 16;
/// The most long-term reference pictures that there may be.
const LONG_TERM_MAX: u32 = 32;
/// aspect_ratio_idc: two numbers follow.
const EXTENDED_ASPECT: u8 = 255;
/// Pixel aspects by aspect_ratio_idc, from 1.
const ASPECTS: [(u16, u16); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// What an SPS says of pixels and colours; none if it is no SPS, or makes no sense.
pub(super) fn form(sps: &[u8]) -> Option<PictureForm> {
    read(sps).ok().flatten()
}

fn read(sps: &[u8]) -> Result<Option<PictureForm>, BitReaderError> {
    let Some(mut bits) = open_sps(sps) else { return Ok(None) };
    let bits = &mut bits;
    let (sub_layers, _) = read_size(bits)?;
    bits.read_ue("bit_depth_luma_minus8")?;
    bits.read_ue("bit_depth_chroma_minus8")?;
    let poc_bits = bits.read_ue("log2_max_pic_order_cnt_lsb_minus4")?.saturating_add(4);
    let has_all = bits.read_bit("sps_sub_layer_ordering_info_present_flag")?;
    for _ in if has_all { 0 } else { sub_layers }..=sub_layers {
        skip_ue(bits, 3)?;
    }
    // Block sizes and transform depths.
    skip_ue(bits, 6)?;
    if bits.read_bit("scaling_list_enabled_flag")?
        && bits.read_bit("sps_scaling_list_data_present_flag")?
    {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2, "amp_enabled_flag, sample_adaptive_offset_enabled_flag")?;
    if bits.read_bit("pcm_enabled_flag")? {
        bits.skip(8, "pcm_sample_bit_depth")?;
        skip_ue(bits, 2)?;
        bits.skip(1, "pcm_loop_filter_disabled_flag")?;
    }
    let sets = bits.read_ue("num_short_term_ref_pic_sets")?;
    if sets > SETS_MAX || poc_bits > 16 {
        return Ok(None);
    }
    let mut before = None;
    for _ in 0..sets {
        let Some(pictures) = skip_reference_set(bits, before)? else { return Ok(None) };
        before = Some(pictures);
    }
    if bits.read_bit("long_term_ref_pics_present_flag")? {
        let count = bits.read_ue("num_long_term_ref_pics_sps")?;
        if count > LONG_TERM_MAX {
            return Ok(None);
        }
        bits.skip(count * (poc_bits + 1), "lt_ref_pic_poc_lsb_sps")?;
    }
    bits.skip(2, "sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag")?;
    if !bits.read_bit("vui_parameters_present_flag")? {
        return Ok(Some(PictureForm::default()));
    }
    read_vui(bits).map(Some)
}

fn skip_ue(bits: &mut impl BitRead, count: usize) -> Result<(), BitReaderError> {
    (0..count).try_for_each(|_| bits.read_ue("a number").map(|_| ()))
}

/// scaling_list_data() of 7.3.4.
fn skip_scaling_lists(bits: &mut impl BitRead) -> Result<(), BitReaderError> {
    for size in 0..4 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            if !bits.read_bit("scaling_list_pred_mode_flag")? {
                bits.read_ue("scaling_list_pred_matrix_id_delta")?;
                continue;
            }
            if size > 1 {
                bits.read_se("scaling_list_dc_coef_minus8")?;
            }
            for _ in 0..if size == 0 { 16 } else { 64 } {
                bits.read_se("scaling_list_delta_coef")?;
            }
        }
    }
    Ok(())
}

/// st_ref_pic_set() of 7.3.7 behind one of `before` pictures; gives the pictures in it. None if it
/// makes no sense.
fn skip_reference_set(
    bits: &mut impl BitRead,
    before: Option<u32>,
) -> Result<Option<u32>, BitReaderError> {
    if let Some(before) = before
        && bits.read_bit("inter_ref_pic_set_prediction_flag")?
    {
        bits.skip(1, "delta_rps_sign")?;
        bits.read_ue("abs_delta_rps_minus1")?;
        let mut pictures = 0;
        for _ in 0..=before {
            let is_there =
                bits.read_bit("used_by_curr_pic_flag")? || bits.read_bit("use_delta_flag")?;
            pictures += u32::from(is_there);
        }
        return Ok((pictures <= PICTURES_MAX).then_some(pictures));
    }
    let negative = bits.read_ue("num_negative_pics")?;
    let positive = bits.read_ue("num_positive_pics")?;
    if negative > PICTURES_MAX || positive > PICTURES_MAX {
        return Ok(None);
    }
    for _ in 0..negative + positive {
        bits.read_ue("delta_poc_minus1")?;
        bits.skip(1, "used_by_curr_pic_flag")?;
    }
    Ok(Some(negative + positive))
}

/// vui_parameters() of E.2.1 as far as the colours.
fn read_vui(bits: &mut impl BitRead) -> Result<PictureForm, BitReaderError> {
    let mut form = PictureForm::default();
    if bits.read_bit("aspect_ratio_info_present_flag")? {
        form.pixel_aspect = match bits.read_var::<u8>(8, "aspect_ratio_idc")? {
            EXTENDED_ASPECT => {
                let (across, down) =
                    (bits.read_var(16, "sar_width")?, bits.read_var(16, "sar_height")?);
                (across > 0 && down > 0).then_some((across, down))
            }
            idc => usize::from(idc).checked_sub(1).and_then(|nth| ASPECTS.get(nth).copied()),
        };
    }
    if bits.read_bit("overscan_info_present_flag")? {
        bits.skip(1, "overscan_appropriate_flag")?;
    }
    if bits.read_bit("video_signal_type_present_flag")? {
        bits.skip(3, "video_format")?;
        let is_full_range = bits.read_bit("video_full_range_flag")?;
        let mut codes = [Color::UNSPECIFIED; 3];
        if bits.read_bit("colour_description_present_flag")? {
            for code in &mut codes {
                *code = bits.read_var(8, "colour_description")?;
            }
        }
        form.color = Color::new(codes, is_full_range);
    }
    Ok(form)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// x265, 160x90, Main 10, pixels of 4:3, colours of BT.2100 PQ.
    const WIDE: &[u8] = b"\x42\x01\x01\x02\x20\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x1e\xa0\
        \x14\x20\x61\xf2\x36\x59\x59\xa4\x93\x2b\xc3\x9a\x84\x88\x04\x82\x00\x00\x03\x00\x02\x00\x00\
        \x03\x00\x32\x10";
    /// Square pixels, and nothing of colours.
    const PLAIN: &[u8] = b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x78\xa0\
        \x03\xc0\x80\x10\xe5\x96\x56\x69\x24\xca\xf0\x16\x80\x80\x00\x00\x03\x00\x80\x00\x00\x0c\x84";

    #[test]
    fn what_an_encoder_says() {
        let form = form(WIDE).unwrap();
        assert_eq!(form.pixel_aspect, Some((4, 3)));
        assert_eq!(form.color, Color::new([9, 16, 9], false));
        let plain = PictureForm { pixel_aspect: Some((1, 1)), color: None };
        assert_eq!(super::form(PLAIN), Some(plain));
    }

    #[test]
    fn nothing_else_is_read() {
        assert_eq!(form(b""), None);
        assert_eq!(form(b"\x40\x01\x0c"), None);
        for len in 2..WIDE.len() - 12 {
            let read = form(&WIDE[..len]);
            assert!(read.is_none_or(|read| read == PictureForm::default()), "{len}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = form(&[&WIDE[..19], bytes.as_slice()].concat());
        }
    }
}
