//! Readers of the containers that the server writes, for checking what it wrote.
//!
//! They share nothing with the writers of [`crate::media`]: a mistake that both made would not be
//! found. Boxes of MP4 are decoded by `shiguredo_mp4` and playlists by `m3u8-rs`, which others keep.
//! FLV, ADTS and MPEG-TS are read here, from their specifications: no crate for FLV knows enhanced
//! RTMP with multitrack, none for ADTS is kept, and `mpeg2ts` panics on a program map whose
//! descriptors reach past their section and cannot be held to a size of packet. All readers are
//! strict, take any bytes without panic, and hold one packet at a time and tables of bounded size.

pub mod adts;
pub mod flv;
pub mod fragments;
pub mod input;
pub mod mp4;
pub mod mp4_tables;
pub mod playlist;
pub mod ts;
pub mod ts_tables;

#[cfg(test)]
mod tests;
