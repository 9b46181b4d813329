//! A `trak` (ISO/IEC 14496-12 clause 8.3) down to its sample tables: what plain and fragmented files
//! say of a track alike. The tables themselves are the caller's.

use mp4_atom::{Dinf, Dref, Edts, Encode, FourCC, Hdlr, Mdhd, Smhd, Tkhd, Url, Vmhd};

use super::boxes::{counted, full, nested};
use super::sample_entry::SampleEntry;
use super::{Result, TIMESCALE};
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
    /// Writes the `trak`; `tables` writes what stands behind `stsd`.
    pub fn encode(
        &self,
        out: &mut Vec<u8>,
        tables: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        nested(out, b"trak", |out| {
            self.encode_tkhd(out)?;
            if let Some(edits) = &self.edits {
                edits.encode(out)?;
            }
            nested(out, b"mdia", |out| {
                self.encode_media_headers(out)?;
                nested(out, b"minf", |out| {
                    if self.is_audio() {
                        Smhd::default().encode(out)?;
                    } else {
                        Vmhd::default().encode(out)?;
                    }
                    Dinf { dref: Dref { entries: vec![Url::default().into()] } }.encode(out)?;
                    nested(out, b"stbl", |out| {
                        full(out, b"stsd", 0, |out| {
                            counted(out, self.entries.iter(), |out, entry| {
                                out.extend_from_slice(&entry.bytes)
                            })
                        })?;
                        tables(out)
                    })
                })
            })
        })
    }

    fn is_audio(&self) -> bool {
        self.track == Track::Audio
    }

    fn encode_tkhd(&self, out: &mut Vec<u8>) -> Result<()> {
        let width = self.entries.iter().map(|entry| entry.width).max().unwrap_or(0);
        let height = self.entries.iter().map(|entry| entry.height).max().unwrap_or(0);
        Ok(Tkhd {
            creation_time: self.creation_time,
            modification_time: self.creation_time,
            track_id: self.track_id,
            duration: self.duration_ms,
            enabled: true,
            in_movie: true,
            volume: u8::from(self.is_audio()).into(),
            width: width.into(),
            height: height.into(),
            ..Tkhd::default()
        }
        .encode(out)?)
    }

    fn encode_media_headers(&self, out: &mut Vec<u8>) -> Result<()> {
        Mdhd {
            creation_time: self.creation_time,
            modification_time: self.creation_time,
            timescale: TIMESCALE,
            duration: self.media_duration_ms,
            language: "und".into(),
        }
        .encode(out)?;
        let (handler, name) =
            if self.is_audio() { (b"soun", "SoundHandler") } else { (b"vide", "VideoHandler") };
        Ok(Hdlr { handler: FourCC::new(handler), name: name.into() }.encode(out)?)
    }
}
