//! The verification summary of a product, put together while its packets are read for the product
//! itself: nothing is read twice.
//!
//! Counted and hashed from samples, the encoder's bytes and the container's clock alone; no writer
//! of a container has a part in it. What is written into the row is `domain::verification`.

use std::collections::BTreeMap;

use crate::{
    domain::verification::{
        Gap, Irregularity, IrregularityKind, ObjectEvidence, SessionEvidence, TrackEvidence,
        VERSION, Verification,
    },
    media::{
        config::{CodecConfig, Configs},
        nal,
        packet_digest::PacketDigest,
        product_clock::{ProductClock, TimeRule},
        sample::{Codec, Sample, Track},
    },
};

use super::damage::Damage;

/// Length of NAL unit lengths where no configuration says it.
const USUAL_NAL_LENGTH_SIZE: u8 = 4;

/// What is known of the product before its packets are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The pushes, one for each span.
    pub sessions: Vec<SessionEvidence>,
    /// Where time passed without media.
    pub gaps: Vec<Gap>,
    /// What was irregular, counted.
    pub irregularities: BTreeMap<IrregularityKind, u64>,
}

/// Follows the packets of one product.
#[derive(Clone)]
pub struct Evidence {
    known: Known,
    rule: TimeRule,
    clock: ProductClock,
    /// Video, audio.
    tracks: [Packets; 2],
    /// Tracks that the product does not have, whatever packets are shown.
    left_out: Vec<Track>,
    /// By ordinal of the configuration in the session: how long the lengths of NAL units are.
    nal_lengths: BTreeMap<u32, (Codec, u8)>,
    /// A picture in canonical form; kept for its memory.
    picture: Vec<u8>,
}

/// The packets of one track so far.
#[derive(Debug, Clone, Default)]
struct Packets {
    codec: Option<Codec>,
    count: u64,
    bytes: u64,
    first_dts_ms: i64,
    last_dts_ms: i64,
    digest: PacketDigest,
}

impl Evidence {
    /// Of a product that tells time by `rule`.
    pub(super) fn new(rule: TimeRule, known: Known) -> Self {
        Self {
            known,
            rule,
            clock: ProductClock::new(rule),
            tracks: Default::default(),
            left_out: Vec::new(),
            nal_lengths: BTreeMap::new(),
            picture: Vec::new(),
        }
    }

    /// A product that is begun before all is known: so much is added to the times of a span.
    pub(super) fn set_session(&mut self, span: usize, session: SessionEvidence) {
        let sessions = &mut self.known.sessions;
        if span < sessions.len() {
            sessions.truncate(span);
        }
        sessions.resize(span, SessionEvidence::default());
        sessions.push(session);
    }

    /// All is known now. False if it is not what the packets were taken in with.
    pub(super) fn complete(&mut self, known: Known) -> bool {
        let seen = std::mem::take(&mut self.known.sessions);
        // A span without a sample was never met.
        let is_same = seen.len() <= known.sessions.len()
            && seen
                .iter()
                .zip(&known.sessions)
                .all(|(seen, known)| seen.session.is_empty() || seen == known);
        // The one kind that is counted here and not in the first walk.
        let malformed = self.known.irregularities.remove(&IrregularityKind::MalformedFrames);
        self.known = known;
        if let Some(count) = malformed {
            self.known.irregularities.insert(IrregularityKind::MalformedFrames, count);
        }
        is_same
    }

    /// The packets that follow refer to these configurations.
    pub(super) fn set_configs(&mut self, configs: &Configs) {
        if self.rule != TimeRule::Ts {
            return;
        }
        let length = |config: CodecConfig| match config {
            CodecConfig::Avc(avc) => Some((Codec::H264, avc.nal_length_size)),
            CodecConfig::Hevc(hevc) => Some((Codec::Hevc, hevc.nal_length_size)),
            _ => None,
        };
        self.nal_lengths = configs
            .iter()
            .filter(|(_, config)| (config.track, config.track_id) == (Track::Video, 0))
            .filter_map(|(ordinal, config)| Some((ordinal, length(config.parse().ok()?)?)))
            .collect();
    }

    /// The product does not have these tracks after all.
    pub(super) fn leave_out(&mut self, tracks: Vec<Track>) {
        self.left_out = tracks;
    }

    /// `shift_ms` is added to the times of this span's packets.
    pub(super) fn set_shift(&mut self, span: usize, shift_ms: i64) {
        if let Some(session) = self.known.sessions.get_mut(span) {
            session.shift_ms = shift_ms;
        }
    }

    /// The product is made anew: no packet has been seen.
    pub(super) fn begin_again(&mut self) {
        self.known.irregularities.remove(&IrregularityKind::MalformedFrames);
        self.clock = ProductClock::new(self.rule);
        self.tracks = Default::default();
        self.nal_lengths.clear();
    }

    /// The packets that follow are behind a discontinuity.
    pub(super) fn restart_clock(&mut self) {
        self.clock.restart();
    }

    /// Takes in a coded frame that is in the product; `data` is what the encoder sent of it. What is
    /// no packet (another track, no data) is passed over.
    pub(super) fn packet(&mut self, span: usize, sample: &Sample, data: &[u8]) {
        let [video, audio] = &mut self.tracks;
        let packets = match sample.track {
            _ if data.is_empty() => return,
            Track::Video if sample.is_video_frame() => video,
            Track::Audio if sample.is_audio_frame() => audio,
            _ => return,
        };
        if packets.count == 0 {
            packets.codec = Some(sample.codec);
            packets.first_dts_ms = sample.dts_ms;
        }
        packets.count += 1;
        packets.bytes += data.len() as u64;
        packets.last_dts_ms = sample.dts_ms;
        let shift_ms = self.known.sessions.get(span).map_or(0, |session| session.shift_ms);
        let (pts, dts) = self.clock.times(sample, shift_ms);
        let is_picture = matches!(sample.codec, Codec::H264 | Codec::Hevc);
        if self.rule != TimeRule::Ts || !is_picture {
            packets.digest.push(pts, dts, data);
            return;
        }
        // Where a record could not be read, the one before it stays in force.
        let in_force = self.nal_lengths.range(..=sample.config).next_back();
        let length = match in_force {
            Some((_, (codec, length))) if *codec == sample.codec => *length,
            _ => USUAL_NAL_LENGTH_SIZE,
        };
        self.picture.clear();
        if !nal::canonical_nal_units(sample.codec, data, length, &mut self.picture) {
            *self.known.irregularities.entry(IrregularityKind::MalformedFrames).or_default() += 1;
        }
        packets.digest.push(pts, dts, &self.picture);
    }

    /// The summary of the product, which is stored in these objects.
    pub(super) fn finish(mut self, objects: Vec<ObjectEvidence>, damage: Damage) -> Verification {
        self.known.irregularities.insert(IrregularityKind::DamagedPackets, damage.count);
        let [video, audio] = self.tracks;
        let tracks = [("video", Track::Video, video), ("audio", Track::Audio, audio)];
        let irregularities = self.known.irregularities.into_iter();
        let mut verification = Verification {
            version: VERSION,
            tracks: tracks
                .into_iter()
                .filter(|(_, track, packets)| packets.count > 0 && !self.left_out.contains(track))
                .map(|(name, _, packets)| packets.finish(name))
                .collect(),
            sessions: self.known.sessions,
            gaps: self.known.gaps,
            damaged: damage.first,
            irregularities: irregularities
                .filter(|(_, count)| *count > 0)
                .map(|(kind, count)| Irregularity { kind: kind.as_str().to_owned(), count })
                .collect(),
            objects,
            objects_sha256: String::new(),
        };
        verification.seal();
        verification
    }
}

impl Packets {
    fn finish(self, name: &str) -> TrackEvidence {
        TrackEvidence {
            track: name.to_owned(),
            codec: self.codec.map_or_else(String::new, |codec| codec.as_str().to_owned()),
            packets: self.count,
            bytes: self.bytes,
            first_dts_ms: self.first_dts_ms,
            last_dts_ms: self.last_dts_ms,
            blocks: self.digest.finish().iter().map(hex::encode).collect(),
            blocks_sha256: String::new(),
        }
    }
}
