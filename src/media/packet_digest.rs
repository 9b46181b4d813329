//! SHA-256 over the packets of one track in blocks of 1,024: what lets a product be checked packet by
//! packet after the journal it was made from is gone.
//!
//! A block is the concatenation, for each of its packets, of: length of the payload (32 bits), PTS,
//! DTS (64 bits each), payload; all numbers big-endian. Times and payloads are those of the product,
//! so that a reader of the product needs nothing else:
//!
//! | container | time | payload |
//! |---|---|---|
//! | FLV | milliseconds, DTS modulo 2^32, PTS = DTS + composition time | coded data as pushed |
//! | MP4, fragmented MP4 | milliseconds of the movie timeline (before the edit list for DTS) | coded data as pushed |
//! | MPEG-TS | 90 kHz, modulo 2^33 | AAC: raw frame; MP3: frame; H.264, HEVC: see below |
//! | ADTS | always 0 | raw AAC frame |
//!
//! MPEG-TS needs access unit delimiters and parameter sets that were not in the pushed frame. Its
//! pictures are therefore hashed without NAL units of these kinds, whoever put them there, each of
//! the others with its length in front as 32 bits.

use sha2::{Digest, Sha256};

/// Packets in a block.
pub const BLOCK_PACKETS: u32 = 1024;

/// The digest of one track, fed packet by packet.
#[derive(Debug, Clone, Default)]
pub struct PacketDigest {
    block: Sha256,
    in_block: u32,
    blocks: Vec<[u8; 32]>,
}

impl PacketDigest {
    /// Takes in a packet.
    pub fn push(&mut self, pts: i64, dts: i64, payload: &[u8]) {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.block.update(len.to_be_bytes());
        self.block.update(pts.to_be_bytes());
        self.block.update(dts.to_be_bytes());
        self.block.update(payload);
        self.in_block += 1;
        if self.in_block == BLOCK_PACKETS {
            self.close();
        }
    }

    fn close(&mut self) {
        self.blocks.push(std::mem::take(&mut self.block).finalize().into());
        self.in_block = 0;
    }

    /// The digests of all blocks, the last of which may be short.
    pub fn finish(mut self) -> Vec<[u8; 32]> {
        if self.in_block > 0 {
            self.close();
        }
        self.blocks
    }
}
