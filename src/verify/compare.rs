//! The packets of a product, as they are read, against what they should be: packet by packet with
//! the journal, and block by block with the digests of the file's summary.
//!
//! Where both are there both are compared, so that a summary is known to be right before the
//! journal goes.

use crate::{
    domain::verification::{TrackEvidence, Verification},
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
    /// There is a summary with digests.
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
                TrackReport { track: name.as_str(), packets: lane.packets, compared: 0 };
            let mut differences = Vec::new();
            if has_journal {
                track.compared = lane.compared;
                differences.extend(lane.difference);
            }
            if self.has_digests && name != Lane::Data {
                let (same, difference) = blocks(name, evidence, lane.packets, lane.digest, is_cut);
                if !has_journal {
                    track.compared = same;
                }
                // What the journal has named more exactly need not be said twice.
                differences.extend(difference.filter(|_| differences.is_empty()));
            }
            report.differ(differences);
            report.tracks.push(track);
        }
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
