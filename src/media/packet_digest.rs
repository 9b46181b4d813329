//! SHA-256 over the packets of one track in blocks of 1,024: what lets a product be checked packet by
//! packet after the journal it was made from is gone.
//!
//! A packet is a coded frame of the default track (multitrack id 0) that is in the product; frames
//! without a byte of data are none. A block is the concatenation, for each of its packets, of:
//! length of the payload (32 bits), PTS, DTS (64 bits each), payload; all numbers big-endian. Times
//! and payloads are those of the product, so that a reader of the product needs nothing else:
//!
//! | container | PTS | DTS | payload |
//! |---|---|---|---|
//! | FLV | DTS + composition time, ms | ms modulo 2^32 | coded data as pushed |
//! | MP4 | ms of the movie, edit list applied | ms of the movie, edit list applied; 0 for the track's first packet | coded data as pushed |
//! | fragmented MP4 | ms, `tfdt` + durations + composition time | ms, `tfdt` + durations | coded data as pushed |
//! | MPEG-TS | 90 kHz modulo 2^33 | 90 kHz modulo 2^33 | AAC: raw frame without ADTS; H.264, HEVC: [`super::nal`]; else: frame |
//! | ADTS | 0 | 0 | raw AAC frame without its header |
//!
//! What the times of a product are is [`super::product_clock`]'s. MPEG-TS needs access unit
//! delimiters and parameter sets that were not in the pushed frame; its pictures are therefore
//! hashed without NAL units of these kinds, whoever put them there, each of the others with its
//! length in front as 32 bits.

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
        // At once: of small packets each call costs more than the bytes do.
        let mut head = [0; 20];
        head[..4].copy_from_slice(&len.to_be_bytes());
        head[4..12].copy_from_slice(&pts.to_be_bytes());
        head[12..].copy_from_slice(&dts.to_be_bytes());
        self.block.update(head);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_are_hashes_of_what_the_page_says(
            packets in prop::collection::vec((any::<i64>(), any::<i64>(), any::<[u8; 3]>()), 0..3000),
        ) {
            let mut digest = PacketDigest::default();
            packets.iter().for_each(|(pts, dts, payload)| digest.push(*pts, *dts, payload));
            let expected: Vec<[u8; 32]> = packets
                .chunks(BLOCK_PACKETS as usize)
                .map(|block| {
                    let bytes: Vec<u8> = block
                        .iter()
                        .flat_map(|(pts, dts, payload)| {
                            let [pts, dts] = [pts.to_be_bytes(), dts.to_be_bytes()];
                            [&[0, 0, 0, 3][..], &pts[..], &dts[..], &payload[..]].concat()
                        })
                        .collect();
                    Sha256::digest(bytes).into()
                })
                .collect();
            prop_assert_eq!(digest.finish(), expected);
        }
    }
}
