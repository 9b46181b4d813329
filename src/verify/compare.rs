//! The packets of a product, as they are read, against what they should be: packet by packet with
//! the journal, and block by block with the digests of the file's summary.
//!
//! Where both are there both are compared, so that a summary is known to be right before the
//! journal goes.

use crate::{
    domain::{
        container::Container,
        verification::{TrackEvidence, Verification},
    },
    media::packet_digest::{BLOCK_PACKETS, PacketDigest},
};

use super::{
    expected::{Cursor, Wanted},
    packet::{Lane, Packet},
    report::{Against, Difference, Report, TrackReport},
};

/// Compares one product.
pub struct Comparison {
    lanes: [LaneState; 3],
    /// There is a summary; of script data alone it has no digests, and none are wanted.
    has_digests: bool,
    /// There is a journal to compare with.
    has_journal: bool,
    /// Why the journal could not be read to its end.
    lost: Option<String>,
    /// Not all packets of the product could be told.
    is_cut: bool,
}

/// One lane.
#[derive(Default)]
struct LaneState {
    packets: u64,
    compared: u64,
    cursor: Option<Cursor>,
    /// The packet that should be next, where it was looked at before it was found.
    pending: Option<Wanted>,
    digest: PacketDigest,
    difference: Option<Difference>,
    added_configs: u64,
}

impl Comparison {
    /// Compares with what `cursors` give, if there are any, and later with a summary.
    pub fn new(cursors: Option<Vec<Cursor>>, has_digests: bool) -> Self {
        let mut lanes: [LaneState; 3] = Default::default();
        let has_journal = cursors.is_some();
        for cursor in cursors.into_iter().flatten() {
            if let Some(lane) = lanes.get_mut(cursor.lane() as usize) {
                lane.cursor = Some(cursor);
            }
        }
        Self { lanes, has_digests, has_journal, lost: None, is_cut: false }
    }

    /// The next packet of its lane.
    pub fn packet(&mut self, packet: Packet<'_>) {
        if self.is_cut {
            return;
        }
        let Some(lane) = self.lanes.get_mut(packet.lane as usize) else { return };
        if self.has_digests && packet.lane != Lane::Data {
            lane.digest.push(packet.pts, packet.dts, packet.payload);
        }
        if self.has_journal
            && lane.difference.is_none()
            && let Err(error) = lane.compare(&packet)
        {
            self.lost = Some(error.to_string());
            self.has_journal = false;
        }
        lane.packets += 1;
    }

    /// The packets that follow are behind a discontinuity.
    pub fn discontinue(&mut self) {
        let cursors = self.lanes.iter_mut().filter_map(|lane| lane.cursor.as_mut());
        cursors.for_each(Cursor::restart_clock);
    }

    /// Packets that follow would be counted wrong: some before them cannot be told.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// All packets were there: says in the report how they compared.
    pub fn finish(mut self, summary: Option<&Verification>, report: &mut Report) {
        if self.has_journal && !self.is_cut {
            self.find_missing();
        }
        if let Some(lost) = &self.lost {
            report.notes.push(format!("the journal is not there any more: {lost}"));
        }
        report.against = match (self.has_journal, self.has_digests) {
            (true, _) => Against::Journal,
            (false, true) => Against::Digests,
            (false, false) => Against::Nothing,
        };
        let (has_journal, is_cut) = (self.has_journal, self.is_cut);
        let is_stored_as_recorded = report.has_hashes && report.differences.is_empty();
        // Its digests are of what the index says of a frame; of one of which codec or kind rotted, a
        // reader is told something else by the bytes, which are those that were recorded.
        let is_told_apart = is_stored_as_recorded
            && report.container == Container::Flv
            && report.damaged_packets() > 0;
        let mut same_blocks = [0; 3];
        let mut differences = Vec::new();
        let mut altered: Option<Difference> = None;
        let mut are_digests_same = self.has_digests && !is_cut;
        let mut is_told_otherwise = false;
        for (name, lane) in Lane::ALL.into_iter().zip(self.lanes) {
            let evidence = summary
                .and_then(|summary| summary.tracks.iter().find(|t| t.track == name.as_str()));
            if lane.packets == 0 && evidence.is_none() && lane.difference.is_none() {
                continue;
            }
            if lane.added_configs > 0 {
                report.notes.push(format!(
                    "{} codec configurations were repeated by the server",
                    lane.added_configs
                ));
            }
            let mut track =
                TrackReport { track: name.as_str(), packets: lane.packets, compared: None };
            let mut by_journal = None;
            if has_journal {
                track.compared = Some(lane.compared);
                by_journal = lane.difference;
            }
            let mut by_digests = None;
            if self.has_digests && name != Lane::Data {
                let (same, difference) = blocks(name, evidence, lane.packets, lane.digest, is_cut);
                if !has_journal {
                    track.compared = Some(same);
                }
                if let Some(blocks) = same_blocks.get_mut(name as usize) {
                    *blocks = same;
                }
                is_told_otherwise |= is_told_apart && difference.is_some();
                by_digests = difference.filter(|_| !is_told_apart);
                are_digests_same &= by_digests.is_none();
            }
            if altered.is_none() {
                altered.clone_from(&by_journal);
            }
            // What the journal has named more exactly need not be said twice.
            differences.extend(by_journal.or(by_digests));
            report.tracks.push(track);
        }
        if is_told_otherwise {
            report.notes.push(
                "a damaged packet is not read as what it was, so blocks of packets have other digests; \
                 the bytes of the product are those that were recorded"
                    .to_owned(),
            );
        }
        // The digests were made of the journal when the product was, and the product still has
        // them, to the byte: if anything was altered since, it is the journal.
        if let Some(altered) = altered
            && is_stored_as_recorded
            && are_digests_same
        {
            report.notes.push(
                "the journal was altered after the product was made; the product has the sizes, \
                 SHA-256 and digests that were recorded then"
                    .to_owned(),
            );
            report.journal_difference = Some(altered);
            report.against = Against::Digests;
            for track in &mut report.tracks {
                let lane = Lane::ALL.into_iter().find(|lane| lane.as_str() == track.track);
                track.compared = lane
                    .filter(|lane| *lane != Lane::Data)
                    .and_then(|lane| same_blocks.get(lane as usize).copied());
            }
            return;
        }
        report.differ(differences);
        if is_cut && report.differences.is_empty() {
            report.differ([Difference::new("not all packets can be read")]);
        }
    }

    fn find_missing(&mut self) {
        for (name, lane) in Lane::ALL.into_iter().zip(&mut self.lanes) {
            if lane.difference.is_some() {
                continue;
            }
            match lane.wanted() {
                Ok(Some(wanted)) => {
                    lane.difference = Some(Difference {
                        track: Some(name.as_str()),
                        packet: Some(lane.compared),
                        expected: Some(told(wanted.pts, wanted.dts, &wanted.payload, 0)),
                        ..Difference::new("it is missing, as is every one behind it")
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    self.lost = Some(error.to_string());
                    self.has_journal = false;
                    return;
                }
            }
        }
    }
}

impl LaneState {
    fn wanted(&mut self) -> Result<Option<Wanted>, crate::journal::JournalError> {
        if let Some(pending) = self.pending.take() {
            return Ok(Some(pending));
        }
        match &mut self.cursor {
            Some(cursor) => cursor.next(),
            None => Ok(None),
        }
    }

    fn compare(&mut self, packet: &Packet<'_>) -> Result<(), crate::journal::JournalError> {
        let wanted = self.wanted()?;
        let what = match &wanted {
            None => Some("it was not sent".to_owned()),
            Some(wanted) => difference(wanted, packet),
        };
        let Some(what) = what else {
            self.compared += 1;
            return Ok(());
        };
        if packet.is_config {
            // A product may begin with configurations that were in force where it begins.
            self.added_configs += 1;
            self.pending = wanted;
            return Ok(());
        }
        let from = match &wanted {
            Some(wanted) if wanted.payload != packet.payload => {
                same_bytes(&wanted.payload, packet.payload)
            }
            _ => 0,
        };
        let expected = wanted.map(|wanted| told(wanted.pts, wanted.dts, &wanted.payload, from));
        self.difference = Some(Difference {
            track: Some(packet.lane.as_str()),
            packet: Some(self.packets),
            expected,
            found: Some(told(packet.pts, packet.dts, packet.payload, from)),
            ..Difference::new(what)
        });
        Ok(())
    }
}

/// What is not the same, in words.
fn difference(wanted: &Wanted, found: &Packet<'_>) -> Option<String> {
    if wanted.payload != found.payload {
        let from = same_bytes(&wanted.payload, found.payload);
        return Some(format!("its data were altered, from byte {from} on"));
    }
    if wanted.dts != found.dts {
        return Some("its decoding time was altered".to_owned());
    }
    if wanted.pts != found.pts {
        return Some("its presentation time was altered".to_owned());
    }
    (wanted.prefix != found.prefix).then(|| "the header of its tag was altered".to_owned())
}

/// Bytes at the beginning that both have.
fn same_bytes(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// A packet for a report: its times, its length, and some of its bytes `from` one on.
fn told(pts: i64, dts: i64, payload: &[u8], from: usize) -> String {
    const SHOWN: usize = 16;
    let rest = payload.get(from..).unwrap_or_default();
    let (shown, dots) = match rest.get(..SHOWN) {
        Some(shown) if rest.len() > SHOWN => (shown, "..."),
        _ => (rest, ""),
    };
    let (len, shown) = (payload.len(), hex::encode(shown));
    format!("pts {pts} dts {dts}, {len} bytes, from byte {from}: {shown}{dots}")
}

/// Packets whose blocks have the recorded digest, and the first block that has not. Where packets
/// are missing at the end only whole blocks are looked at.
fn blocks(
    lane: Lane,
    evidence: Option<&TrackEvidence>,
    packets: u64,
    digest: PacketDigest,
    is_cut: bool,
) -> (u64, Option<Difference>) {
    let size = u64::from(BLOCK_PACKETS);
    let differ = |what: String, packet, expected: String, found: String| {
        Some(Difference {
            track: Some(lane.as_str()),
            packet,
            expected: Some(expected),
            found: Some(found),
            ..Difference::new(what)
        })
    };
    let (recorded, count) = evidence.map_or((&[][..], 0), |e| (e.blocks.as_slice(), e.packets));
    let mut same = 0;
    for (nth, found) in (0..).zip(digest.finish()) {
        let (first, end) = (nth * size, packets.min((nth + 1) * size));
        if is_cut && end < (nth + 1) * size {
            break;
        }
        let (expected, found) = (recorded.get(nth as usize), hex::encode(found));
        if expected == Some(&found) {
            same = end;
            continue;
        }
        if end < (nth + 1) * size && packets != count {
            break;
        }
        let what = format!("it or one behind it, up to packet {}, was altered", end - 1);
        let expected = expected.map_or("no such packets".to_owned(), |e| format!("sha256 {e}"));
        return (same, differ(what, Some(first), expected, format!("sha256 {found}")));
    }
    if packets != count && !is_cut {
        let what = "there are not as many packets as were recorded".to_owned();
        return (same, differ(what, None, count.to_string(), packets.to_string()));
    }
    (same, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        container::Container,
        verification::{ObjectEvidence, VERSION},
    };

    /// A product of two pictures and a script tag; its journal, its digests and its bytes are as
    /// they should be, or are not, or are not there.
    fn check(
        has_journal: bool,
        is_journal_same: bool,
        are_digests_same: Option<bool>,
        are_bytes_same: Option<bool>,
    ) -> Report {
        let mut digest = PacketDigest::default();
        (0..2).for_each(|nth| {
            digest.push(nth, nth, if are_digests_same == Some(false) { b"x" } else { b"a" })
        });
        let track = TrackEvidence {
            track: "video".to_owned(),
            packets: 2,
            blocks: digest.finish().iter().map(hex::encode).collect(),
            ..TrackEvidence::default()
        };
        let summary = Verification {
            version: VERSION,
            tracks: are_digests_same.map(|_| track).into_iter().collect(),
            objects: are_bytes_same.map(|_| ObjectEvidence::default()).into_iter().collect(),
            ..Verification::default()
        };
        let mut comparison = Comparison::new(None, are_digests_same.is_some());
        for nth in 0..2 {
            comparison.packet(Packet::frame(Lane::Video, nth, nth, b"a"));
        }
        comparison.packet(Packet::frame(Lane::Data, 0, 0, b"s"));
        comparison.has_journal = has_journal;
        for (lane, count) in comparison.lanes.iter_mut().zip([2, 0, 1]) {
            lane.compared = count;
            if count == 2 && !is_journal_same {
                lane.difference = Some(Difference::new("by the journal"));
            }
        }
        let mut report = Report::new("7".to_owned(), Container::Flv, Some(summary.clone()));
        if are_bytes_same == Some(false) {
            report.differ([Difference::new("by the bytes")]);
        }
        comparison.finish(Some(&summary), &mut report);
        report.conclude()
    }

    #[test]
    fn who_is_to_blame() {
        let (yes, no) = (Some(true), Some(false));
        let (by_bytes, by_journal) = ("by the bytes", "by the journal");
        let by_digests = "it or one behind it, up to packet 1, was altered";
        // Journal there, the same; digests the same; bytes the same: what is said.
        type Case<'a> = (bool, bool, Option<bool>, Option<bool>, &'a [&'a str], bool);
        let cases: [Case<'_>; 18] = [
            (true, true, yes, yes, &[], false),
            (true, true, yes, no, &[by_bytes], false),
            (true, true, no, yes, &[by_digests], false),
            (true, true, no, no, &[by_bytes, by_digests], false),
            (true, false, yes, yes, &[], true),
            (true, false, yes, no, &[by_bytes, by_journal], false),
            (true, false, no, yes, &[by_journal], false),
            (true, false, no, no, &[by_bytes, by_journal], false),
            // An earlier version recorded less.
            (true, true, yes, None, &[], false),
            (true, false, yes, None, &[by_journal], false),
            (true, true, None, None, &[], false),
            (true, false, None, None, &[by_journal], false),
            (true, false, None, yes, &[by_journal], false),
            // The journal is gone.
            (false, true, yes, yes, &[], false),
            (false, true, yes, no, &[by_bytes], false),
            (false, true, no, yes, &[by_digests], false),
            (false, true, no, no, &[by_bytes, by_digests], false),
            (false, true, None, None, &[], false),
        ];
        for (has_journal, journal, digests, bytes, expected, is_altered) in cases {
            let report = check(has_journal, journal, digests, bytes);
            let case = format!("{has_journal} {journal} {digests:?} {bytes:?}: {report}");
            let told: Vec<&str> = report.differences.iter().map(|d| d.what.as_str()).collect();
            assert_eq!(told, expected, "{case}");
            assert_eq!(report.journal_difference.is_some(), is_altered, "{case}");
            let against = match (has_journal && !is_altered, digests) {
                (true, _) => Against::Journal,
                (false, Some(_)) => Against::Digests,
                (false, None) => Against::Nothing,
            };
            assert_eq!(report.against, against, "{case}");
            assert_eq!(report.verified, told.is_empty() && against != Against::Nothing, "{case}");
        }
        let report = check(true, false, yes, yes);
        insta::assert_snapshot!(report, @r"
        flv file 7 is what was sent
          objects  0, 0 bytes, against the recorded sizes and SHA-256
          packets  against the recorded digests, 1024 packets at a time
            video  2 found, 2 the same
            data   1 found, not compared one by one
          note     the journal was altered after the product was made; the product has the sizes, SHA-256 and digests that were recorded then
          first difference of the journal: by the journal
        ");
    }
}
