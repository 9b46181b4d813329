//! Journals as an encoder of 100 kbit/s would have left them, written as fast as the disk takes them.
//!
//! 25 pictures a second with a key frame every two seconds (68 kbit/s) and AAC at 44.1 kHz
//! (32 kbit/s). The coded data are noise of the right length: nothing here is decoded.

use bytes::Bytes;
use liverec::{
    journal::Writer,
    media::tag::{Tag, TagKind},
};
use tokio::time::Instant;

const AVC: &[u8] =
    b"\x17\0\0\0\0\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\
    \xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\
    \xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
const AAC: &[u8] = b"\xaf\0\x12\x10";
const METADATA: &[u8] =
    b"\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x05width\x40\x84\0\0\0\0\0\0\0\0\x09";
/// Bytes of a key frame, of another picture, of an AAC frame.
const KEYFRAME: usize = 3_000;
const PICTURE: usize = 286;
const SOUND: usize = 93;
/// Tags between two looks at the writer, as a connection would.
const READ_TAGS: usize = 64;

/// Where a stream stands.
pub struct Synth {
    /// Every frame stands for so many, and is as long: the same bytes of fewer samples.
    merge: u64,
    pictures: u64,
    sounds: u64,
    noise: u64,
}

impl Synth {
    /// At its beginning. `merge` frames are put into one (1: as an encoder sends them).
    pub fn new(merge: u64) -> Self {
        Self { merge, pictures: 0, sounds: 0, noise: 0x9e37_79b9_7f4a_7c15 }
    }

    /// Tags of the headers.
    pub fn head() -> [Tag; 3] {
        let tag = |kind, payload: &'static [u8]| Tag {
            kind,
            time_ms: 0,
            payload: Bytes::from_static(payload),
        };
        [tag(TagKind::Script, METADATA), tag(TagKind::Video, AVC), tag(TagKind::Audio, AAC)]
    }

    /// Writes on to `to_ms` on the encoder's clock, whose 0 is `base_ms` (unix milliseconds).
    pub async fn write(&mut self, writer: &mut Writer, base_ms: i64, to_ms: i64) {
        let mut since = 0;
        loop {
            let tag = self.next();
            writer.push(&tag, base_ms + tag.time_ms);
            since += 1;
            if since == READ_TAGS {
                since = 0;
                writer.maintain(Instant::now()).await.unwrap();
            }
            if tag.time_ms >= to_ms {
                return;
            }
        }
    }

    /// The next tag in order of time.
    fn next(&mut self) -> Tag {
        let picture_ms = self.pictures * 40;
        let sound_ms = self.sounds * 1024 * 1000 / 44_100;
        if picture_ms > sound_ms {
            self.sounds += self.merge;
            // No two alike, as with every encoder: the head cannot say it in one number.
            let len = SOUND - 8 + (self.noise % 16) as usize;
            return self.tag(TagKind::Audio, sound_ms, &[0xaf, 1], len);
        }
        let is_key = self.pictures.is_multiple_of(50);
        self.pictures += self.merge;
        let (head, nal, len) = match is_key {
            true => (0x17, 0x65, KEYFRAME),
            false => (0x27, 0x41, PICTURE),
        };
        let nal_len = (len * self.merge as usize - 4) as u32;
        let [a, b, c, d] = nal_len.to_be_bytes();
        self.tag(TagKind::Video, picture_ms, &[head, 1, 0, 0, 0, a, b, c, d, nal], len)
    }

    /// A tag of `len` bytes of data for each frame merged into it, `head` included.
    fn tag(&mut self, kind: TagKind, time_ms: u64, head: &[u8], len: usize) -> Tag {
        let before_data = match kind {
            TagKind::Video => 5,
            _ => 2,
        };
        let total = before_data + len * self.merge as usize;
        let mut payload = Vec::with_capacity(total + 8);
        payload.extend_from_slice(head);
        while payload.len() < total {
            // xorshift64
            self.noise ^= self.noise << 13;
            self.noise ^= self.noise >> 7;
            self.noise ^= self.noise << 17;
            payload.extend_from_slice(&self.noise.to_ne_bytes());
        }
        payload.truncate(total);
        Tag { kind, time_ms: time_ms as i64, payload: payload.into() }
    }
}
