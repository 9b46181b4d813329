//! Sample entries: how a track's samples are coded (ISO/IEC 14496-12 clause 8.5.2, 14496-14,
//! 14496-15, Opus and FLAC in ISOBMFF).
//!
//! A codec's own configuration record goes into its box byte for byte as the encoder sent it:
//! `mp4-atom` would rebuild it and lose reserved bits and trailing bytes. A further codec is a
//! further arm of [`encode`].

use mp4_atom::esds::{DecoderConfig, DecoderSpecific, EsDescriptor};
use mp4_atom::{Audio, Encode, Esds, FixedPoint, Visual};

use super::boxes::{full, nested};
use super::{Error, Result};
use crate::media::aac::AudioSpecificConfig;
use crate::media::avc::AvcConfig;
use crate::media::config::ConfigError;
use crate::media::hevc::HevcConfig;
use crate::media::sample::Codec;

/// objectTypeIndication of MPEG-4 audio (14496-1 table 5).
const OBJECT_TYPE_MPEG4_AUDIO: u8 = 0x40;
/// streamType of audio (14496-1 table 6).
const STREAM_TYPE_AUDIO: u8 = 5;

/// A sample entry ready to be written.
#[derive(Debug, Clone)]
pub(super) struct SampleEntry {
    /// The whole box.
    pub bytes: Vec<u8>,
    /// Width in pixels; 0 for audio, or unknown.
    pub width: u16,
    /// Height in pixels; 0 for audio, or unknown.
    pub height: u16,
}

/// Why MP4 does not take this codec; none if it does.
pub(super) fn refusal(codec: Codec) -> Option<&'static str> {
    match codec {
        Codec::H264 | Codec::Hevc | Codec::Aac | Codec::Opus | Codec::Flac => None,
        Codec::Av1 | Codec::Vp9 | Codec::Vp8 => {
            Some("its configuration record does not give the picture size")
        }
        Codec::Ac3 | Codec::Eac3 | Codec::Mp3 => Some("it has no configuration record"),
        Codec::Legacy => Some("MP4 has no sample entry for it"),
        Codec::None | Codec::Unknown => Some("it is not known"),
    }
}

/// Makes the sample entry of a configuration record.
///
/// # Errors
/// The codec is none that MP4 takes, or its record cannot be read.
pub(super) fn encode(codec: Codec, record: &[u8]) -> Result<SampleEntry> {
    let config = |source| Error::Config { codec, source };
    match codec {
        Codec::H264 => {
            let avc = AvcConfig::parse(record).map_err(config)?;
            // Without parameter sets in the record they can only be among the samples.
            let kind = if avc.sps.is_empty() { b"avc3" } else { b"avc1" };
            visual(kind, (avc.width, avc.height), b"avcC", record)
        }
        Codec::Hevc => {
            let hevc = HevcConfig::parse(record).map_err(config)?;
            let kind = if hevc.sps.is_empty() { b"hev1" } else { b"hvc1" };
            visual(kind, (hevc.width, hevc.height), b"hvcC", record)
        }
        Codec::Aac => {
            let aac = AudioSpecificConfig::parse(record).map_err(config)?;
            // Channels that only the stream knows are announced as two, as everybody does.
            let channels = if aac.channels == 0 { 2 } else { aac.output_channels() };
            audio(b"mp4a", u16::from(channels), 16, aac.output_rate(), |out| {
                Ok(elementary_stream(record).encode(out)?)
            })
        }
        Codec::Opus => {
            let (channels, specific) =
                opus_specific(record).ok_or(config(ConfigError::Truncated("OpusHead")))?;
            audio(b"Opus", u16::from(channels), 16, 48_000, |out| {
                nested(out, b"dOps", |out| {
                    out.extend_from_slice(&specific);
                    Ok(())
                })
            })
        }
        Codec::Flac => {
            let flac =
                FlacHeader::parse(record).ok_or(config(ConfigError::Truncated("STREAMINFO")))?;
            audio(b"fLaC", flac.channels, flac.bits, flac.sample_rate, |out| {
                full(out, b"dfLa", 0, |out| {
                    out.extend_from_slice(&flac.blocks);
                    Ok(())
                })
            })
        }
        Codec::Av1
        | Codec::Vp9
        | Codec::Vp8
        | Codec::Ac3
        | Codec::Eac3
        | Codec::Mp3
        | Codec::Legacy
        | Codec::None
        | Codec::Unknown => {
            Err(Error::Unsupported { codec, reason: refusal(codec).unwrap_or_default() })
        }
    }
}

fn visual(
    kind: &[u8; 4],
    (width, height): (u32, u32),
    config_kind: &[u8; 4],
    record: &[u8],
) -> Result<SampleEntry> {
    let width = u16::try_from(width).unwrap_or(0);
    let height = u16::try_from(height).unwrap_or(0);
    let mut bytes = Vec::new();
    nested(&mut bytes, kind, |out| {
        Visual { data_reference_index: 1, width, height, ..Visual::default() }.encode(out)?;
        nested(out, config_kind, |out| {
            out.extend_from_slice(record);
            Ok(())
        })
    })?;
    Ok(SampleEntry { bytes, width, height })
}

fn audio(
    kind: &[u8; 4],
    channel_count: u16,
    sample_size: u16,
    sample_rate: u32,
    config: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<SampleEntry> {
    let mut bytes = Vec::new();
    nested(&mut bytes, kind, |out| {
        Audio {
            data_reference_index: 1,
            channel_count,
            sample_size,
            // The field has 16 integer bits; a higher rate stands in the codec's own box alone.
            sample_rate: FixedPoint::from(u16::try_from(sample_rate).unwrap_or(0)),
        }
        .encode(out)?;
        config(out)
    })?;
    Ok(SampleEntry { bytes, width: 0, height: 0 })
}

fn elementary_stream(record: &[u8]) -> Esds {
    Esds {
        es_desc: EsDescriptor {
            dec_config: DecoderConfig {
                object_type_indication: OBJECT_TYPE_MPEG4_AUDIO,
                stream_type: STREAM_TYPE_AUDIO,
                dec_specific: Some(DecoderSpecific {
                    raw: record.to_vec(),
                    ..DecoderSpecific::default()
                }),
                ..DecoderConfig::default()
            },
            ..EsDescriptor::default()
        },
    }
}

/// Channels and body of `dOps` from an OpusHead (RFC 7845 clause 5.1): the same fields without
/// the magic, version 0, big-endian.
fn opus_specific(head: &[u8]) -> Option<(u8, Vec<u8>)> {
    let fields = head.strip_prefix(b"OpusHead")?;
    let (&[_version, channels, skip0, skip1, r0, r1, r2, r3, gain0, gain1], mapping) =
        fields.split_first_chunk()?;
    let mut body = vec![0, channels, skip1, skip0, r3, r2, r1, r0, gain1, gain0];
    // Family 0 has no table; others have stream count, coupled count and one byte a channel.
    let mapping_len = if *mapping.first()? == 0 { 1 } else { 3 + usize::from(channels) };
    body.extend_from_slice(mapping.get(..mapping_len)?);
    Some((channels, body))
}

/// What a sample entry says of a FLAC stream, and its metadata blocks.
struct FlacHeader {
    channels: u16,
    bits: u16,
    sample_rate: u32,
    blocks: Vec<u8>,
}

impl FlacHeader {
    /// Reads a FLAC stream header (RFC 9639 clause 8), with or without the `fLaC` marker, or a
    /// bare STREAMINFO.
    fn parse(record: &[u8]) -> Option<Self> {
        const STREAMINFO_LEN: usize = 34;
        let blocks = record.strip_prefix(b"fLaC").unwrap_or(record);
        let blocks = if blocks.len() == STREAMINFO_LEN {
            [&[0x80, 0, 0, STREAMINFO_LEN as u8], blocks].concat()
        } else {
            blocks.to_vec()
        };
        let (&[kind, 0, 0, 34], info) = blocks.split_first_chunk()? else { return None };
        let packed = u32::from_be_bytes(*info.get(10..STREAMINFO_LEN)?.first_chunk()?);
        (kind & 0x7f == 0).then_some(FlacHeader {
            channels: (packed >> 9 & 7) as u16 + 1,
            bits: (packed >> 4 & 0x1f) as u16 + 1,
            sample_rate: packed >> 12,
            blocks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_fields_change_their_byte_order() {
        let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
        let (channels, body) = opus_specific(head).unwrap();
        assert_eq!(channels, 2);
        assert_eq!(body, b"\x00\x02\x01\x38\x00\x00\xbb\x80\x00\x00\x00");
        let surround = b"OpusHead\x01\x03\x38\x01\x80\xbb\x00\x00\x00\x00\x01\x02\x01\x00\x02\x01";
        assert_eq!(&opus_specific(surround).unwrap().1[10..], b"\x01\x02\x01\x00\x02\x01");
        assert!(opus_specific(&surround[..22]).is_none());
    }

    #[test]
    fn flac_header_with_and_without_marker() {
        let mut info = vec![0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0];
        // 44100 Hz, 2 channels, 16 bits.
        info.extend_from_slice(&(44_100u32 << 12 | 1 << 9 | 15 << 4).to_be_bytes());
        info.resize(34, 0);
        let marked = [b"fLaC\x80\x00\x00\x22", info.as_slice()].concat();
        for record in [&info, &marked] {
            let flac = FlacHeader::parse(record).unwrap();
            assert_eq!((flac.channels, flac.bits, flac.sample_rate), (2, 16, 44_100));
            assert_eq!(flac.blocks, marked[4..]);
        }
        assert!(FlacHeader::parse(&marked[..20]).is_none());
    }
}
