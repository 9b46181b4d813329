//! Ground floor: bytes in, bytes out. No tokio, no disk, no clock, no vendor noun.
//!
//! Reading order: [`tag`] (what the journal keeps), [`sample`] (what a tag means), [`demux`] (from
//! one to the other), [`config`] and the codecs ([`avc`], [`hevc`], [`av1`], [`vp9`], [`vp8`], [`aac`],
//! [`opus`], [`flac`], [`ac3`], [`mp3`]), [`frame_head`] (what only the frames say), [`amf0`] (script
//! data), then the containers: [`flv`], [`mp4`], [`ts`] and [`hls`], [`adts`]; last
//! [`packet_digest`] with [`product_clock`] and [`nal`], by which a product can be checked.

pub mod aac;
pub mod ac3;
pub mod adts;
pub mod amf0;
pub mod av1;
pub mod avc;
pub mod config;
pub mod demux;
pub mod flac;
pub mod flv;
pub mod frame_head;
pub mod hevc;
pub mod hls;
pub mod lazy_bytes;
pub mod mp3;
pub mod mp4;
pub mod nal;
pub mod opus;
pub mod packet_digest;
pub mod picture_form;
pub mod product_clock;
pub mod sample;
pub mod tag;
#[cfg(test)]
pub(crate) mod testing;
pub mod ts;
pub mod vp8;
pub mod vp9;
