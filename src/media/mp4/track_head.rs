//! A `trak` (ISO/IEC 14496-12 clause 8.3) down to its sample tables: what plain and fragmented files
//! say of a track alike. The tables themselves are the caller's.

use mp4_atom::{Dinf, Dref, Edts, Encode, FourCC, Hdlr, Smhd, Url, Vmhd};

use super::Result;
use super::boxes::{counted, full, nested_before};
use super::headers::{TrackHeader, encode_mdhd, encode_tkhd};
use super::sample_entry::SampleEntry;
use crate::media::sample::Track;

/// What is said of a track outside its tables.
pub(super) struct TrackHead<'a> {
    pub track: Track,
    pub track_id: u32,
    /// Seconds since 1904-01-01.
    pub creation_time: u64,
    /// On the movie's timeline; 0 where fragments say it.
    pub duration_ms: u64,
    /// Of the samples; 0 where fragments say it.
    pub media_duration_ms: u64,
    pub edits: Option<Edts>,
    /// In the order of their numbers.
    pub entries: &'a [&'a SampleEntry],
}

impl TrackHead<'_> {
    /// Writes the `trak` up to `stsd`; what stands behind that, `tables_len` bytes, is written by
    /// the caller.
    pub fn encode(&self, out: &mut Vec<u8>, tables_len: u64) -> Result<()> {
        nested_before(out, b"trak", tables_len, |out| {
            self.encode_tkhd(out)?;
            if let Some(edits) = &self.edits {
                edits.encode(out)?;
            }
            nested_before(out, b"mdia", tables_len, |out| {
                self.encode_media_headers(out)?;
                nested_before(out, b"minf", tables_len, |out| {
                    if self.is_audio() {
                        Smhd::default().encode(out)?;
                    } else {
                        Vmhd::default().encode(out)?;
                    }
                    Dinf { dref: Dref { entries: vec![Url::default().into()] } }.encode(out)?;
                    nested_before(out, b"stbl", tables_len, |out| {
                        full(out, b"stsd", 0, |out| {
                            counted(out, self.entries.iter(), |out, entry| {
                                out.extend_from_slice(&entry.bytes)
                            })
                        })
                    })
                })
            })
        })
    }

    fn is_audio(&self) -> bool {
        self.track == Track::Audio
    }

    fn encode_tkhd(&self, out: &mut Vec<u8>) -> Result<()> {
        let largest =
            |size: fn(&SampleEntry) -> u32| self.entries.iter().map(|entry| size(entry)).max();
        let header = TrackHeader {
            track_id: self.track_id,
            creation_time: self.creation_time,
            duration_ms: self.duration_ms,
            is_audio: self.is_audio(),
            width_16_16: largest(|entry| entry.width_16_16).unwrap_or(0),
            height_16_16: largest(|entry| u32::from(entry.height) << 16).unwrap_or(0),
        };
        encode_tkhd(&header, out)
    }

    fn encode_media_headers(&self, out: &mut Vec<u8>) -> Result<()> {
        encode_mdhd(self.creation_time, self.media_duration_ms, out)?;
        let (handler, name) =
            if self.is_audio() { (b"soun", "SoundHandler") } else { (b"vide", "VideoHandler") };
        Ok(Hdlr { handler: FourCC::new(handler), name: name.into() }.encode(out)?)
    }
}
