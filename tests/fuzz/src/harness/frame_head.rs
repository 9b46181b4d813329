//! `media::frame_head`: any frame of a codec that describes itself says how it is coded or does not.

use crate::media::{
    config::Configs,
    frame_head::{FRAME_HEAD_BYTES, FrameHead, describes_itself},
    sample::Codec,
};

const CODECS: [Codec; 6] =
    [Codec::Av1, Codec::Vp9, Codec::Vp8, Codec::Ac3, Codec::Eac3, Codec::Mp3];

/// First byte: the codec. The rest: a frame.
pub fn run(mut data: &[u8]) {
    let codec = CODECS[usize::from(super::first(&mut data)) % CODECS.len()];
    assert!(describes_itself(codec));
    let data = &data[..data.len().min(FRAME_HEAD_BYTES)];
    if let Some(head) = FrameHead::parse(codec, data) {
        assert!(head.same_parameters(&head));
        let _ = (head.dimensions(), head.sampling_rate(), head.channels());
    }
    super::config::write_frame(codec, &Configs::new(), 0, data);
}
