//! What came out of checking one file, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::domain::{
    container::Container,
    verification::{DamagedPacket, Gap, IrregularityKind, JOURNAL_LOST, Verification},
};

/// Differences that a report keeps.
const DIFFERENCES_MAX: usize = 16;
/// Gaps that a person is shown.
const GAPS_SHOWN: usize = 8;

/// What the packets of a product were compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The journal, packet by packet.
    Journal,
    /// The digests of its summary, block by block: the journal is gone.
    Digests,
    /// Nothing: the journal is gone, and an earlier version that wrote no summary made the file, or it
    /// was made of what was stored before its journal was lost.
    Nothing,
}

impl Against {
    /// The word for it in answers of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Against::Journal => "journal",
            Against::Digests => "digests",
            Against::Nothing => "nothing",
        }
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What, in words.
    pub what: String,
    /// Object, by its name in the summary (`main`, `init`, a segment's number) or else in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// `video`, `audio`, or `data` for what else is in an FLV file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<&'static str>,
    /// Number of the packet in its track, from 0; where a block of packets differs, of its first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<u64>,
    /// What should be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

impl Difference {
    /// One that is known in words only.
    pub fn new(what: impl Into<String>) -> Self {
        Difference { what: what.into(), ..Difference::default() }
    }
}

/// What was read of one track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrackReport {
    /// `video`, `audio` or `data`.
    pub track: &'static str,
    /// Packets found in the product.
    pub packets: u64,
    /// Packets that were found to be as they should; none if there is nothing to compare them with
    /// but the hashes of whole objects.
    pub compared: Option<u64>,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Which file.
    pub file_id: String,
    /// Its container.
    pub container: Container,
    /// True if everything that was looked at is as it should be, and there was something to compare
    /// packets with.
    pub verified: bool,
    /// What packets were compared with.
    pub against: Against,
    /// Objects read.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// True if sizes and SHA-256 of objects were compared with the file's summary.
    pub has_hashes: bool,
    /// Tracks.
    pub tracks: Vec<TrackReport>,
    /// Differences, the first ones first; never more than a few.
    pub differences: Vec<Difference>,
    /// The first place where the journal is not what it was when the product was made. The product
    /// is not to blame: it is as it was recorded then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_difference: Option<Difference>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// The summary that was kept when the file was made.
    pub summary: Option<Verification>,
}

impl Report {
    /// Nothing seen yet.
    pub fn new(file_id: String, container: Container, summary: Option<Verification>) -> Self {
        Report {
            file_id,
            container,
            verified: false,
            against: Against::Nothing,
            objects: 0,
            bytes: 0,
            has_hashes: summary.as_ref().is_some_and(|s| !s.objects.is_empty()),
            tracks: Vec::new(),
            differences: Vec::new(),
            journal_difference: None,
            notes: Vec::new(),
            summary,
        }
    }

    /// Adds what is not as it should be.
    pub fn differ(&mut self, differences: impl IntoIterator<Item = Difference>) {
        let room = DIFFERENCES_MAX.saturating_sub(self.differences.len());
        self.differences.extend(differences.into_iter().take(room));
    }

    /// Packets that had rotted in the journal before the product was made.
    pub fn damaged_packets(&self) -> u64 {
        let kind = IrregularityKind::DamagedPackets.as_str();
        let seen = self.summary.iter().flat_map(|summary| &summary.irregularities);
        seen.filter(|seen| seen.kind == kind).map(|seen| seen.count).sum()
    }

    /// Whether a part of the journal was gone before the product was made.
    fn lacks_some(&self) -> bool {
        let mut gaps = self.summary.iter().flat_map(|summary| &summary.gaps);
        gaps.any(|gap| gap.cause == JOURNAL_LOST)
    }

    /// Everything was looked at: draws the conclusion.
    pub fn conclude(mut self) -> Self {
        let damaged = self.damaged_packets();
        if damaged > 0 {
            let listed = self.summary.iter().flat_map(|summary| &summary.damaged);
            let first = listed.take(3).map(|DamagedPacket { session, position, track }| {
                format!("; {track} at position {position} of session {session}")
            });
            self.notes.push(format!(
                "{damaged} packets had been damaged in the journal before the product was made, which \
                 has them as they were found{}",
                first.collect::<String>()
            ));
        }
        self.verified = self.differences.is_empty() && self.against != Against::Nothing;
        self
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(object) = &self.object {
            write!(f, "object {object}: ")?;
        }
        if let Some(track) = self.track {
            write!(f, "{track}")?;
            match self.packet {
                Some(packet) => write!(f, " packet {packet}: ")?,
                None => write!(f, ": ")?,
            }
        }
        f.write_str(&self.what)?;
        for (name, value) in [("expected", &self.expected), ("found", &self.found)] {
            if let Some(value) = value {
                write!(f, "\n    {name:8} {value}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    /// The report as a person reads it; lines end with a line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let damaged = self.damaged_packets();
        let verdict = match (self.verified, self.differences.is_empty()) {
            (true, _) if damaged > 0 => "is what its journal held, which was damaged",
            (true, _) if self.lacks_some() => "is what its journal held, of which a part was lost",
            (true, _) => "is what was sent",
            (false, false) => "DIFFERS from what was sent",
            (false, true) => "cannot be verified",
        };
        writeln!(f, "{} file {} {verdict}", self.container, self.file_id)?;
        let hashes = match self.has_hashes {
            true => "against the recorded sizes and SHA-256",
            false => "no sizes and SHA-256 were recorded",
        };
        writeln!(f, "  objects  {}, {} bytes, {hashes}", self.objects, self.bytes)?;
        let against = match self.against {
            Against::Journal => "against the journal, packet by packet",
            Against::Digests => match self.journal_difference {
                None => "against the recorded digests, 1024 packets at a time (no journal)",
                Some(_) => "against the recorded digests, 1024 packets at a time",
            },
            Against::Nothing => {
                "with nothing to compare with (the journal is gone, no digests were recorded)"
            }
        };
        writeln!(f, "  packets  {against}")?;
        for TrackReport { track, packets, compared } in &self.tracks {
            match compared {
                Some(same) => writeln!(f, "    {track:6} {packets} found, {same} the same")?,
                None => writeln!(f, "    {track:6} {packets} found, not compared one by one")?,
            }
        }
        let gaps = self.summary.as_ref().map_or(&[][..], |summary| &summary.gaps);
        for Gap { cause, at_ms, wall_ms, media_ms } in gaps.iter().take(GAPS_SHOWN) {
            writeln!(
                f,
                "  gap      at {at_ms} ms: {cause}, {wall_ms} ms passed, {media_ms} ms shown"
            )?;
        }
        if let Some(more @ 1..) = gaps.len().checked_sub(GAPS_SHOWN) {
            writeln!(f, "  gaps     {more} more")?;
        }
        for note in &self.notes {
            writeln!(f, "  note     {note}")?;
        }
        if let Some(difference) = &self.journal_difference {
            writeln!(f, "  first difference of the journal: {difference}")?;
        }
        for (nth, difference) in self.differences.iter().enumerate() {
            let name = if nth == 0 { "first difference" } else { "difference" };
            writeln!(f, "  {name}: {difference}")?;
        }
        Ok(())
    }
}
