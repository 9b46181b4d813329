//! FLV as a product: which tags of the journal are its body, and the head that goes before them.
//!
//! The body is the journal's own tags, byte for byte, one behind the other. The head (file header,
//! onMetaData with duration, size and key frames, configurations in force) is known only when all
//! samples have been seen: [`FlvHead`] is fed with them and then asked for it. Reading and writing
//! the bytes is the caller's.

pub mod header;
mod keyframes;
mod padding;
pub mod script;

use std::collections::BTreeMap;

use bytes::Bytes;

use self::header::{FileHeader, encode_tag, tag_len};
use self::keyframes::Keyframes;
use super::amf0::Value;
use super::sample::{Sample, SampleKind, Track};
use super::tag::TagKind;

/// A step between two frames of a track that says nothing about how long the last one lasts.
const STEP_MAX_MS: i64 = 10_000;
/// The largest head that can be asked for: its padding is inside one tag.
pub const RESERVE_MAX_BYTES: u64 = 8 << 20;

/// True if the whole tag of `sample` is in the body of an FLV file: everything the encoder sent.
/// Second and further samples of a tag have come with the first. The one onMetaData that moves to
/// the head is an exception that only [`FlvHead::push`] knows of.
pub fn takes(sample: &Sample) -> bool {
    sample.tag_len > 0
        && !matches!(sample.kind, SampleKind::Private | SampleKind::Repeated | SampleKind::Clock)
}

/// Why a head cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlvError {
    /// It does not fit, even without a single key frame.
    #[error("FLV head needs {needed} bytes, {reserved} are reserved")]
    HeadTooLarge {
        /// Bytes it takes without key frames.
        needed: u64,
        /// Bytes that were reserved.
        reserved: u64,
    },
    /// More than [`RESERVE_MAX_BYTES`] were reserved.
    #[error("FLV head cannot be padded to {0} bytes")]
    ReserveTooLarge(u64),
}

/// A finished file but for the bytes of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlvLayout {
    /// Everything before the body.
    pub head: Vec<u8>,
    /// Length of the head and the body.
    pub total_len: u64,
    /// From the first frame to the end of the last, in milliseconds.
    pub duration_ms: i64,
    /// Position of the tag that the head stands for and the body leaves out.
    pub skip_position: Option<u64>,
    /// True if the key frame list leaves key frames out.
    pub is_thinned: bool,
}

/// First and last time of one track, as far as it has been seen.
#[derive(Debug, Clone, Copy)]
struct Span {
    first_ms: i64,
    last_ms: i64,
    previous_ms: i64,
    step_ms: i64,
}

impl Span {
    fn new(dts_ms: i64) -> Self {
        Span { first_ms: dts_ms, last_ms: dts_ms, previous_ms: dts_ms, step_ms: 0 }
    }

    fn extend(&mut self, dts_ms: i64) {
        let step_ms = dts_ms.saturating_sub(self.previous_ms);
        if (1..=STEP_MAX_MS).contains(&step_ms) {
            self.step_ms = step_ms;
        }
        self.previous_ms = dts_ms;
        self.first_ms = self.first_ms.min(dts_ms);
        self.last_ms = self.last_ms.max(dts_ms);
    }

    /// A frame lasts until the next one; the last of all is taken to last as long as the one
    /// before it.
    fn end_ms(&self) -> i64 {
        self.last_ms.saturating_add(self.step_ms)
    }
}

/// Collects what the head of a file says, from the samples of the file in their order.
#[derive(Debug, Clone, Default)]
pub struct FlvHead {
    body_len: u64,
    /// Where in the body the tag of the last sample begins.
    tag_offset: u64,
    skip_position: Option<u64>,
    first_tag_ms: Option<i64>,
    /// By kind and number: between frames of two tracks lies nothing that lasts.
    spans: BTreeMap<(Track, u8), Span>,
    has_video: bool,
    has_audio: bool,
    keyframes: Keyframes,
}

impl FlvHead {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next sample; true if its tag is in the body. `moves_to_head` says that the
    /// sample's tag is an onMetaData ([`script::is_metadata`]) which the head should replace. The
    /// first such tag is left out of the body, later ones stay. A file that begins after the
    /// encoder's onMetaData passes false throughout, and that one's payload to [`Self::finish`].
    pub fn push(&mut self, sample: &Sample, moves_to_head: bool) -> bool {
        let is_taken = takes(sample);
        if is_taken && moves_to_head && self.skip_position.is_none() {
            self.skip_position = Some(sample.position);
            return false;
        }
        if is_taken {
            self.tag_offset = self.body_len;
            self.body_len += u64::from(sample.tag_len);
            self.first_tag_ms.get_or_insert(sample.dts_ms);
            match sample.track {
                Track::Video => self.has_video = true,
                Track::Audio => self.has_audio = true,
                Track::Script => {}
            }
        }
        if sample.kind == SampleKind::Frame {
            let span = self.spans.entry((sample.track, sample.track_id));
            span.or_insert_with(|| Span::new(sample.dts_ms)).extend(sample.dts_ms);
            if sample.track == Track::Video && sample.track_id == 0 && sample.keyframe {
                self.keyframes.push(sample.dts_ms, self.tag_offset);
            }
        }
        is_taken
    }

    /// The body has so many bytes before the next sample's tag: configurations that a push which
    /// continues the file does not begin with.
    pub fn insert(&mut self, len: u64) {
        self.body_len += len;
    }

    /// Length of the body so far.
    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    /// Key frames that are remembered for the list so far.
    pub fn keyframes_kept(&self) -> usize {
        self.keyframes.kept()
    }

    /// From the first frame to the end of the last so far, in milliseconds.
    pub fn duration_ms(&self) -> i64 {
        let end_ms = self.spans.values().map(Span::end_ms).max();
        end_ms.map_or(0, |end_ms| end_ms.saturating_sub(self.origin_ms()))
    }

    /// Time of the first frame.
    fn origin_ms(&self) -> i64 {
        self.spans.values().map(|span| span.first_ms).min().unwrap_or(0)
    }

    /// Bytes to reserve for the head of a file with that many key frames.
    pub fn reserve_for(
        metadata: Option<&[u8]>,
        in_force: &[(Track, Bytes)],
        keyframes: u64,
    ) -> u64 {
        let mut example = FlvHead::new();
        example.keyframes.push(0, 0);
        let bare = example.build(metadata, in_force, Sizes::default()).len() as u64;
        bare + padding::MIN_LEN + keyframes::ENTRY_LEN * keyframes::listed(keyframes)
    }

    /// The head, and with it the file. `metadata` is the payload of the onMetaData to merge ours
    /// into, `in_force` the tag payloads of the configurations that the first frame needs where
    /// the file does not begin with them. With `reserved` bytes the head has exactly that length:
    /// key frames are thinned until it fits, and padding fills it up.
    ///
    /// # Errors
    /// The head does not fit into what was reserved; never without `reserved`.
    pub fn finish(
        &self,
        metadata: Option<&[u8]>,
        in_force: &[(Track, Bytes)],
        reserved: Option<u64>,
    ) -> Result<FlvLayout, FlvError> {
        let bare = self.build(metadata, in_force, Sizes::default()).len() as u64;
        let mut listed = self.keyframes.len();
        let mut sizes = Sizes::default();
        let mut head_len = bare + keyframes::ENTRY_LEN * listed;
        if let Some(reserved) = reserved {
            if reserved > RESERVE_MAX_BYTES {
                return Err(FlvError::ReserveTooLarge(reserved));
            }
            let needed = bare + padding::MIN_LEN;
            let room =
                reserved.checked_sub(needed).ok_or(FlvError::HeadTooLarge { needed, reserved })?;
            listed = listed.min(room / keyframes::ENTRY_LEN);
            sizes.padding = reserved - bare - keyframes::ENTRY_LEN * listed;
            head_len = reserved;
        }
        sizes.listed = listed;
        sizes.head_len = head_len;
        let head = self.build(metadata, in_force, sizes);
        debug_assert_eq!(head.len() as u64, head_len);
        Ok(FlvLayout {
            head,
            total_len: head_len + self.body_len,
            duration_ms: self.duration_ms(),
            skip_position: self.skip_position,
            is_thinned: listed < self.keyframes.seen_len(),
        })
    }

    fn build(&self, metadata: Option<&[u8]>, in_force: &[(Track, Bytes)], sizes: Sizes) -> Vec<u8> {
        let configures = |track| in_force.iter().any(|(configured, _)| *configured == track);
        let header = FileHeader {
            has_audio: self.has_audio || configures(Track::Audio),
            has_video: self.has_video || configures(Track::Video),
        };
        let in_force_len: u64 = in_force.iter().map(|(_, payload)| tag_len(payload.len())).sum();
        let payload = script::merge_metadata(metadata, self.additions(header, in_force_len, sizes));
        let mut head = header.encode().to_vec();
        encode_tag(TagKind::Script, 0, &payload, &mut head);
        let time_ms = self.first_tag_ms.unwrap_or(0);
        for (track, payload) in in_force {
            encode_tag(track.tag_kind(), time_ms, payload, &mut head);
        }
        head
    }

    /// Our keys. Numbers have a fixed width, so that the head's length does not depend on them.
    fn additions(
        &self,
        header: FileHeader,
        in_force_len: u64,
        sizes: Sizes,
    ) -> Vec<(&'static str, Value)> {
        let origin_ms = self.origin_ms();
        let last_ms = self.spans.values().map(|span| span.last_ms).max().unwrap_or(0);
        let mut additions = vec![
            ("duration", keyframes::seconds(self.duration_ms())),
            ("filesize", Value::Number((sizes.head_len + self.body_len) as f64)),
            ("hasMetadata", true.into()),
            ("hasVideo", header.has_video.into()),
            ("hasAudio", header.has_audio.into()),
            ("hasKeyframes", self.keyframes.last().is_some().into()),
            ("lasttimestamp", keyframes::seconds(last_ms.saturating_sub(origin_ms))),
        ];
        if let Some((time_ms, offset)) = self.keyframes.last() {
            let position = (sizes.head_len + offset) as f64;
            let start = sizes.head_len.saturating_sub(in_force_len);
            let list = self.keyframes.value(sizes.listed, origin_ms, sizes.head_len, start);
            additions.extend([
                ("lastkeyframetimestamp", keyframes::seconds(time_ms.saturating_sub(origin_ms))),
                ("lastkeyframelocation", Value::Number(position)),
                ("keyframes", list),
            ]);
        }
        additions.extend(padding::member(sizes.padding));
        additions
    }
}

/// What is settled before a head is written.
#[derive(Debug, Clone, Copy, Default)]
struct Sizes {
    head_len: u64,
    /// Key frames to list.
    listed: u64,
    /// Length of the padding member, 0 for none.
    padding: u64,
}

#[cfg(test)]
mod tests;
