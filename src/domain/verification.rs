//! The verification summary of a media file: what was put into it, counted and hashed while it was
//! made, so that anybody can check a stored product without the journal it came from.
//!
//! Kept in the file's row and told in event 100. How packets are hashed is in
//! [`crate::media::packet_digest`]; how a product is checked against this is the verifier's.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Version of the meaning of these fields. 2: decoding times in MP4 count from a track's first packet,
/// and frames before the first configuration of their track are in it. 3: `moved_headers` in FLV.
/// 4: those between frames, too. 5: those of a push without a frame, and however many.
pub const VERSION: u32 = 5;

/// The longest JSON text of a summary in an event, in bytes. Receivers keep events in columns and
/// queues with limits; whoever wants all of a long file's hashes asks for the row.
pub const EVENT_MAX_BYTES: usize = 64 << 10;

/// Everything that can be checked about one media file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verification {
    /// [`VERSION`] of the writer; 0 for a file made before there were summaries.
    pub version: u32,
    /// The tracks in the product: video before audio.
    pub tracks: Vec<TrackEvidence>,
    /// The pushes it was made from, in order: one per span.
    pub sessions: Vec<SessionEvidence>,
    /// Where time passed without media.
    pub gaps: Vec<Gap>,
    /// What was not as a tidy stream has it.
    pub irregularities: Vec<Irregularity>,
    /// The first of the tags that the journal does not hold as they came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedPacket>,
    /// Every stored part, or every object of an HLS file, in the order of the product.
    pub objects: Vec<ObjectEvidence>,
    /// SHA-256, in hexadecimal, of the lines `object/number size sha256\n` of [`Self::objects`].
    pub objects_sha256: String,
}

impl Verification {
    /// Sets the hashes of all lists from the lists.
    pub fn seal(&mut self) {
        for track in &mut self.tracks {
            track.blocks_sha256 = sha256_of_lines(track.blocks.iter().cloned());
        }
        self.objects_sha256 = sha256_of_lines(self.objects.iter().map(|o| {
            let ObjectEvidence { object, part, size_bytes, sha256 } = o;
            format!("{object}/{part} {size_bytes} {sha256}")
        }));
    }

    /// The form for an event, of at most [`EVENT_MAX_BYTES`] bytes of JSON: all of it where it fits.
    /// Where it does not, the lists that grow with the file are left out, first `blocks` and
    /// `objects`, then `gaps` and `sessions`; `blocks_left_out` and so on say how long they are, and
    /// the hashes of the first two are still there.
    pub fn for_event(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        for lists in [["blocks", "objects"], ["gaps", "sessions"]] {
            if value.to_string().len() <= EVENT_MAX_BYTES {
                break;
            }
            for list in lists {
                leave_out(&mut value, list);
                let tracks = value.get_mut("tracks").and_then(Value::as_array_mut);
                tracks.into_iter().flatten().for_each(|track| leave_out(track, list));
            }
        }
        value
    }
}

/// Puts the length of a list in the place of the list.
fn leave_out(value: &mut Value, list: &str) {
    if let Some(object) = value.as_object_mut()
        && let Some(Value::Array(items)) = object.remove(list)
    {
        object.insert(format!("{list}_left_out"), items.len().into());
    }
}

fn sha256_of_lines(lines: impl Iterator<Item = String>) -> String {
    let mut hash = Sha256::new();
    for line in lines {
        hash.update(line);
        hash.update(b"\n");
    }
    hex::encode(hash.finalize())
}

/// One track of the product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrackEvidence {
    /// `video` or `audio`.
    pub track: String,
    /// Codec name of its first packet.
    pub codec: String,
    /// Packets in the product.
    pub packets: u64,
    /// Bytes of their payloads, as they came from the encoder.
    pub bytes: u64,
    /// Decoding time of the first packet on its encoder's clock, milliseconds.
    pub first_dts_ms: i64,
    /// Decoding time of the last packet on its encoder's clock, milliseconds.
    pub last_dts_ms: i64,
    /// SHA-256, in hexadecimal, of every block of 1,024 packets; the last block may be shorter.
    pub blocks: Vec<String>,
    /// SHA-256, in hexadecimal, of the lines `sha256\n` of [`Self::blocks`].
    pub blocks_sha256: String,
}

/// One push that a file was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionEvidence {
    /// Session id.
    pub session: String,
    /// Constant added to all times of this push in this file, the same for both tracks, milliseconds.
    pub shift_ms: i64,
}

/// Cause of a gap where a part of the journal was gone when the file was made.
pub const JOURNAL_LOST: &str = "journal_lost";

/// A stretch of time without media inside a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gap {
    /// Why: the end reason of the interrupted push (`network`, `replaced`, `crashed`, ...), or
    /// `clock_jump` where the encoder's clock jumped forward, [`JOURNAL_LOST`]; `disk_full`, `disk_error` or `disk_stuck` where the
    /// disk took nothing and the encoder was held back.
    pub cause: String,
    /// Where in the product, milliseconds of its own timeline.
    pub at_ms: i64,
    /// Wall-clock time that passed, milliseconds.
    pub wall_ms: i64,
    /// Time that the product's timeline shows for it, milliseconds.
    pub media_ms: i64,
}

/// What can be irregular. Nothing of it costs a byte of a frame, except where it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IrregularityKind {
    /// A decoding time before the one before it on its track.
    BackwardStep,
    /// A track that goes on with other parameters or another codec.
    ParameterChange,
    /// Pictures that do not begin with a key frame, or more than 60 s without one.
    MissingKeyframe,
    /// Frames before the first configuration of their track. In MP4 if one follows, AAC not in HLS and
    /// AAC.
    UndescribedFrames,
    /// AAC frames longer than their header in MPEG-TS and AAC files can say; they are left out there.
    OversizedFrames,
    /// Frames that an MP4's edit list hides because nothing before them can be decoded.
    HiddenFrames,
    /// Frames whose presentation time the container could not keep.
    MovedFrames,
    /// Milliseconds by which an MP4 track is decoded before its time, because a frame of it is shown
    /// that much before it is decoded.
    EarlyDecodeMs,
    /// Configurations that cannot be read; the one before stays in force.
    DamagedConfigs,
    /// Pictures in MPEG-TS whose NAL units could not be told apart; they are in it as they came.
    MalformedFrames,
    /// Packets whose time the encoder moved by a part of a millisecond, which only FLV keeps.
    NanosecondOffset,
    /// Packets of further tracks (multitrack id other than 0), which only FLV has.
    OtherTracks,
    /// The encoder said that a sequence ends.
    EndOfSequence,
    /// Headers and script data of a push that goes on in an FLV, whose own times cannot be right there:
    /// they stand where the push begins, or between its frames where the frame before them does.
    MovedHeaders,
    /// Gaps beyond the thousand that are listed.
    UnlistedGaps,
    /// Tags that the journal does not hold as they came; the first ones are listed. They are in the
    /// file as the journal has them.
    DamagedPackets,
}

impl IrregularityKind {
    /// The name in the summary.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BackwardStep => "backward_step",
            Self::ParameterChange => "parameter_change",
            Self::MissingKeyframe => "missing_keyframe",
            Self::UndescribedFrames => "undescribed_frames",
            Self::OversizedFrames => "oversized_frames",
            Self::HiddenFrames => "hidden_frames",
            Self::MovedFrames => "moved_frames",
            Self::EarlyDecodeMs => "early_decode_ms",
            Self::DamagedConfigs => "damaged_configs",
            Self::MalformedFrames => "malformed_frames",
            Self::NanosecondOffset => "nanosecond_offset",
            Self::OtherTracks => "other_tracks",
            Self::EndOfSequence => "end_of_sequence",
            Self::MovedHeaders => "moved_headers",
            Self::UnlistedGaps => "unlisted_gaps",
            Self::DamagedPackets => "damaged_packets",
        }
    }
}

/// A tag that the journal does not hold as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DamagedPacket {
    /// Session id.
    pub session: String,
    /// Logical position in the journal of that session.
    pub position: u64,
    /// `video`, `audio` or `script`.
    pub track: String,
}

/// Something worth knowing, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Irregularity {
    /// A stable name; see [`IrregularityKind`].
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// One stored part of an object, or a whole one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectEvidence {
    /// `main` (the file itself, or the playlist), `init-` and a number (an HLS initialisation segment), or a segment's
    /// number from 0.
    pub object: String,
    /// Number of the part within the object, from 1; 1 for an object stored whole.
    pub part: u32,
    /// Bytes.
    pub size_bytes: u64,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(number: usize) -> ObjectEvidence {
        let sha256 = format!("{number:064x}");
        ObjectEvidence { object: number.to_string(), part: 1, size_bytes: 5, sha256 }
    }

    #[test]
    fn lists_are_hashed_as_lines() {
        let blocks = vec!["aa".to_owned(), "bb".to_owned()];
        let track = TrackEvidence { blocks, ..TrackEvidence::default() };
        let objects = vec![ObjectEvidence { sha256: "cc".to_owned(), ..object(7) }];
        let mut all = Verification { tracks: vec![track], objects, ..Verification::default() };
        all.seal();
        assert_eq!(all.tracks[0].blocks_sha256, hex::encode(Sha256::digest("aa\nbb\n")));
        assert_eq!(all.objects_sha256, hex::encode(Sha256::digest("7/1 5 cc\n")));
    }

    #[test]
    fn an_event_has_all_of_it_or_the_lengths_of_what_is_left_out() {
        let track = TrackEvidence { blocks: vec!["aa".to_owned()], ..TrackEvidence::default() };
        let mut all = Verification { tracks: vec![track], ..Verification::default() };
        all.objects = (0..500).map(object).collect();
        all.seal();
        assert_eq!(serde_json::from_value::<Verification>(all.for_event()).unwrap(), all);

        all.objects = (0..1000).map(object).collect();
        all.gaps = vec![Gap::default()];
        let event = all.for_event();
        assert_eq!((&event["objects_left_out"], &event["objects"]), (&1000.into(), &Value::Null));
        assert_eq!(event["tracks"][0]["blocks_left_out"], 1);
        assert_eq!(event["gaps"].as_array().unwrap().len(), 1);
        assert_eq!(event["objects_sha256"], all.objects_sha256);

        all.gaps = vec![Gap::default(); 5000];
        let event = all.for_event();
        assert_eq!(event["gaps_left_out"], 5000);
        assert!(event.to_string().len() < 2000);
    }
}
