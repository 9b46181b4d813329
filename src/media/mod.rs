//! Ground floor: bytes in, bytes out. No tokio, no disk, no clock, no vendor noun.
//!
//! Reading order: [`tag`] (what the journal keeps), [`sample`] (what a tag means), [`demux`] (from
//! one to the other), [`config`] and the codecs ([`avc`], [`hevc`], [`aac`]), [`amf0`] (script
//! data), then the containers: [`flv`], [`mp4`], [`ts`] and [`hls`], [`adts`]; last
//! [`packet_digest`] with [`product_clock`] and [`nal`], by which a product can be checked.

pub mod aac;
pub mod adts;
pub mod amf0;
pub mod avc;
pub mod config;
pub mod demux;
pub mod flv;
pub mod hevc;
pub mod hls;
pub mod mp4;
pub mod nal;
pub mod packet_digest;
pub mod product_clock;
pub mod sample;
pub mod tag;
pub mod ts;
