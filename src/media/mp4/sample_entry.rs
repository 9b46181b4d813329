//! Sample entries: how a track's samples are coded (ISO/IEC 14496-12 clause 8.5.2, 14496-14,
//! 14496-15; AV1, VP8 and VP9, Opus and FLAC in ISOBMFF; AC-3 and Enhanced AC-3 in ETSI TS 102 366
//! annex F).
//!
//! A codec's own configuration record goes into its box byte for byte as the encoder sent it:
//! `mp4-atom` would rebuild it and lose reserved bits and trailing bytes. What no record says is
//! taken from the head of a frame. A further codec is a further arm of [`encode`].

use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor};
use mp4_atom::{Audio, Encode, Esds, FixedPoint, Visual};

use super::boxes::{full, nested};
use super::{Error, Result};
use crate::media::config::CodecConfig;
use crate::media::frame_head::{FrameHead, describes_itself};
use crate::media::opus;
use crate::media::picture_form::PictureForm;
use crate::media::sample::Codec;
use crate::media::vp9::VpConfig;

/// objectTypeIndication of MPEG-4 audio (14496-1 table 5).
const OBJECT_TYPE_MPEG4_AUDIO: u8 = 0x40;
/// objectTypeIndication of MPEG-2 audio, layers I to III at half the sampling rates.
const OBJECT_TYPE_MPEG2_AUDIO: u8 = 0x69;
/// objectTypeIndication of MPEG-1 audio, layers I to III.
const OBJECT_TYPE_MPEG1_AUDIO: u8 = 0x6b;
/// streamType of audio (14496-1 table 6).
const STREAM_TYPE_AUDIO: u8 = 5;
/// Version of the full box that vpcC is.
const VPCC_VERSION: u32 = 1 << 24;

/// Length of the fields of vpcC.
const VPCC_BYTES: usize = 8;

/// A sample entry ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SampleEntry {
    /// The whole box.
    pub bytes: Vec<u8>,
    /// Width in pixels; 0 for audio, or unknown.
    pub width: u16,
    /// Width as it is to be shown, with 16 bits behind the point: pixels need not be square.
    pub width_16_16: u32,
    /// Height in pixels; 0 for audio, or unknown.
    pub height: u16,
}

/// Why MP4 does not take this codec; none if it does.
pub(super) fn refusal(codec: Codec) -> Option<&'static str> {
    match codec {
        Codec::H264
        | Codec::Hevc
        | Codec::Av1
        | Codec::Vp9
        | Codec::Vp8
        | Codec::Aac
        | Codec::Opus
        | Codec::Flac
        | Codec::Ac3
        | Codec::Eac3
        | Codec::Mp3 => None,
        Codec::Legacy => Some(
            "it is one of FLV's old codecs (Sorenson H.263, Screen Video or VP6; Speex, Nellymoser, \
             ADPCM, G.711 or PCM), which only an FLV product keeps",
        ),
        Codec::None | Codec::Unknown => Some("it is not known"),
    }
}

/// True if a configuration record alone does not make a full sample entry, so that the head of a
/// frame should be looked at.
pub(super) fn wants_frame(codec: Codec, config: Option<&CodecConfig>) -> bool {
    let is_full = match config {
        Some(CodecConfig::Av1(av1)) => av1.sequence.is_some(),
        _ => false,
    };
    describes_itself(codec) && !is_full
}

/// Makes the sample entry of a track from its configuration record and from the head of one of
/// its frames, whichever it has.
///
/// # Errors
/// The codec is none that MP4 takes, its record cannot be read, or what there is does not say
/// how the track is coded.
pub(super) fn encode(
    codec: Codec,
    record: Option<&[u8]>,
    frame: Option<&FrameHead>,
) -> Result<SampleEntry> {
    if let Some(reason) = refusal(codec) {
        return Err(Error::Unsupported { codec, reason });
    }
    let config = record
        .map(|record| CodecConfig::parse(codec, record))
        .transpose()
        .map_err(|source| Error::Config { codec, source })?;
    let size = frame.and_then(FrameHead::dimensions);
    let size = size.or_else(|| config.as_ref()?.dimensions()).unwrap_or_default();
    // The record says more of colours than a key frame of VP9 can.
    let form =
        config.as_ref().map(CodecConfig::form).filter(|form| *form != PictureForm::default());
    let form = form.or_else(|| frame?.form()).unwrap_or_default();
    let visual = |kind: &[u8; 4], size, config: &dyn Fn(&mut Vec<u8>) -> Result<()>| {
        visual(kind, size, &form, config)
    };
    let record = record.unwrap_or_default();
    match (config, frame) {
        (Some(CodecConfig::Avc(avc)), _) => {
            // Without parameter sets in the record they can only be among the samples.
            let kind = if avc.sps.is_empty() { b"avc3" } else { b"avc1" };
            visual(kind, size, &|out| plain(out, b"avcC", record))
        }
        (Some(CodecConfig::Hevc(hevc)), _) => {
            let kind = if hevc.sps.is_empty() { b"hev1" } else { b"hvc1" };
            visual(kind, size, &|out| plain(out, b"hvcC", record))
        }
        (Some(CodecConfig::Av1(_)), _) => visual(b"av01", size, &|out| plain(out, b"av1C", record)),
        (None, Some(FrameHead::Av1(sequence))) => {
            visual(b"av01", size, &|out| plain(out, b"av1C", &sequence.to_record()))
        }
        (Some(CodecConfig::Vp(_)), _) => {
            let kind = if codec == Codec::Vp8 { b"vp08" } else { b"vp09" };
            visual(kind, size, &|out| vp_config(out, VpConfig::without_box_header(record)))
        }
        (None, Some(FrameHead::Vp9(key))) => {
            visual(b"vp09", size, &|out| vp_config(out, &key.config.to_record()))
        }
        (None, Some(FrameHead::Vp8(key))) => {
            visual(b"vp08", size, &|out| vp_config(out, &key.config().to_record()))
        }
        (Some(CodecConfig::Aac(aac)), _) => {
            // Channels that only the stream knows are announced as two, as everybody does.
            let channels = if aac.channels == 0 { 2 } else { aac.output_channels() };
            audio(b"mp4a", channels, 16, aac.output_rate(), |out| {
                Ok(elementary_stream(OBJECT_TYPE_MPEG4_AUDIO, Some(record)).encode(out)?)
            })
        }
        (Some(CodecConfig::Opus(head)), _) => {
            audio(b"Opus", head.channels, 16, opus::OUTPUT_RATE, |out| {
                plain(out, b"dOps", &head.to_specific_box())
            })
        }
        (Some(CodecConfig::Flac(flac)), _) => {
            audio(b"fLaC", flac.channels, u16::from(flac.bits), flac.sample_rate, |out| {
                full(out, b"dfLa", 0, |out| {
                    out.extend_from_slice(&flac.blocks);
                    Ok(())
                })
            })
        }
        (_, Some(FrameHead::Ac3(head))) => {
            audio(b"ac-3", head.header.channels(), 16, head.header.sample_rate, |out| {
                plain(out, b"dac3", &head.to_specific_box())
            })
        }
        (_, Some(FrameHead::Eac3(head))) => {
            audio(b"ec-3", head.channels(), 16, head.sample_rate(), |out| {
                plain(out, b"dec3", &head.to_specific_box())
            })
        }
        (_, Some(FrameHead::Mp3(head))) => {
            let object_type =
                if head.is_mpeg1 { OBJECT_TYPE_MPEG1_AUDIO } else { OBJECT_TYPE_MPEG2_AUDIO };
            audio(b"mp4a", head.channels, 16, head.sample_rate, |out| {
                Ok(elementary_stream(object_type, None).encode(out)?)
            })
        }
        (_, None) | (Some(CodecConfig::Other { .. }), _) => Err(Error::Undescribed(codec)),
    }
}

fn plain(out: &mut Vec<u8>, kind: &[u8; 4], body: &[u8]) -> Result<()> {
    nested(out, kind, |out| {
        out.extend_from_slice(body);
        Ok(())
    })
}

fn vp_config(out: &mut Vec<u8>, record: &[u8]) -> Result<()> {
    full(out, b"vpcC", VPCC_VERSION, |out| {
        out.extend_from_slice(record);
        // The size of codecInitializationData, which an encoder may leave out: there is none.
        out.resize(out.len() + VPCC_BYTES.saturating_sub(record.len()), 0);
        Ok(())
    })
}

/// What the stream itself says of the shape of pixels and of colours, for readers that do not look
/// into it (ISO/IEC 14496-12 clauses 12.1.4 and 12.1.5); nothing where it says nothing.
fn picture_form(out: &mut Vec<u8>, form: &PictureForm) -> Result<()> {
    if let Some((across, down)) = form.pixel_aspect.filter(|(across, down)| across != down) {
        nested(out, b"pasp", |out| {
            out.extend_from_slice(&u32::from(across).to_be_bytes());
            out.extend_from_slice(&u32::from(down).to_be_bytes());
            Ok(())
        })?;
    }
    let Some(color) = &form.color else { return Ok(()) };
    nested(out, b"colr", |out| {
        out.extend_from_slice(b"nclx");
        for code in [color.primaries, color.transfer, color.matrix] {
            out.extend_from_slice(&u16::from(code).to_be_bytes());
        }
        out.push(u8::from(color.is_full_range) << 7);
        Ok(())
    })
}

fn visual(
    kind: &[u8; 4],
    (width, height): (u32, u32),
    form: &PictureForm,
    config: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<SampleEntry> {
    let width = u16::try_from(width).unwrap_or(0);
    let height = u16::try_from(height).unwrap_or(0);
    let mut bytes = Vec::new();
    nested(&mut bytes, kind, |out| {
        Visual { data_reference_index: 1, width, height, ..Visual::default() }.encode(out)?;
        config(out)?;
        picture_form(out, form)
    })?;
    Ok(SampleEntry { bytes, width, width_16_16: form.shown_width_16_16(width), height })
}

fn audio(
    kind: &[u8; 4],
    channel_count: u8,
    sample_size: u16,
    sample_rate: u32,
    config: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<SampleEntry> {
    let mut bytes = Vec::new();
    nested(&mut bytes, kind, |out| {
        Audio {
            data_reference_index: 1,
            channel_count: u16::from(channel_count),
            sample_size,
            // The field has 16 integer bits; a higher rate stands in the codec's own box alone.
            sample_rate: FixedPoint::from(u16::try_from(sample_rate).unwrap_or(0)),
        }
        .encode(out)?;
        config(out)
    })?;
    Ok(SampleEntry { bytes, width: 0, width_16_16: 0, height: 0 })
}

fn elementary_stream(object_type: u8, record: Option<&[u8]>) -> Esds {
    Esds {
        es_desc: EsDescriptor {
            dec_config: DecoderConfig {
                object_type_indication: object_type,
                stream_type: STREAM_TYPE_AUDIO,
                dec_specific: record.map(|record| DecoderSpecific {
                    raw: record.to_vec(),
                    ..DecoderSpecific::default()
                }),
                ..DecoderConfig::default()
            },
            ..EsDescriptor::default()
        },
    }
}
