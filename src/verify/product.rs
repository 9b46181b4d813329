//! One check of one file, from its objects to the report. Blocking.

use std::{collections::BTreeSet, io};

use crate::{
    domain::{
        container::Container,
        media_file::MediaFile,
        verification::{JOURNAL_LOST, ObjectEvidence, Verification},
    },
    journal::Journal,
    storage::{ObjectInfo, StorageKey},
};

use super::{
    compare::Comparison,
    expected::{self, Product},
    integrity::{Hashed, lists_are_whole},
    object::Objects,
    packet::{ReadError, Result as Read},
    read::{adts, flv, fragments, input::Input, mp4, playlist, ts},
    report::{Difference, Report},
};

/// Everything that is needed.
pub struct Job {
    /// The row.
    pub file: MediaFile,
    /// Its main object.
    pub main: StorageKey,
    /// The store.
    pub objects: Objects,
    /// Journals of this node, if they can be reached.
    pub journal: Option<Journal>,
}

/// A check under way.
struct Check<'a> {
    job: &'a Job,
    summary: Option<&'a Verification>,
    comparison: Comparison,
    report: Report,
    /// Names in the summary of the objects that were looked at.
    seen: BTreeSet<&'a str>,
}

/// What reading one object came to.
enum Outcome<T> {
    Read(T),
    /// Its packets cannot be told, or not all of them.
    Unreadable,
}

impl Job {
    /// Checks everything.
    ///
    /// # Errors
    /// The store cannot be reached, or the check was given up.
    pub fn run(&self, summary: Option<Verification>) -> io::Result<Report> {
        let summary = summary.filter(|summary| summary.version > 0);
        let mut report =
            Report::new(self.file.id.to_string(), self.file.container, summary.clone());
        if summary.as_ref().is_some_and(|summary| !lists_are_whole(summary)) {
            let what = "the lists of the summary do not have the hashes that were made of them";
            report.differ([Difference::new(what)]);
        }
        let mut check = Check {
            job: self,
            summary: summary.as_ref(),
            comparison: Comparison::new(None, false),
            report,
            seen: BTreeSet::new(),
        };
        match self.file.container {
            Container::Flv => {
                let product = Product::Flv(summary.as_ref().map_or(0, |summary| summary.version));
                check.single(product, |input, sink| flv::read(input, sink))?;
            }
            Container::Aac => check.single(Product::Adts, |input, sink| adts::read(input, sink))?,
            Container::Mp4 => check.mp4()?,
            Container::Hls => check.hls()?,
        }
        let Check { mut report, comparison, seen, .. } = check;
        let recorded = summary.iter().flat_map(|summary| &summary.objects);
        let forgotten = recorded.filter(|o| !seen.contains(o.object.as_str()) && o.part <= 1);
        report.differ(forgotten.map(|object| Difference {
            object: Some(object.object.clone()),
            ..Difference::new("it was recorded, and the playlist does not name it")
        }));
        comparison.finish(summary.as_ref(), &mut report);
        Ok(report.conclude())
    }
}

impl<'a> Check<'a> {
    /// Packets begin to come: finds what they are to be compared with.
    fn begin(&mut self, product: Product) {
        let file = &self.job.file;
        // One for each span, in order.
        let known = self.summary.map_or(&[][..], |summary| summary.sessions.as_slice());
        let shifts: Vec<i64> = (0..file.spans.len())
            .map(|nth| known.get(nth).map_or(file.facts.shift_ms, |session| session.shift_ms))
            .collect();
        // Made of what was stored before its journal was lost: what it should hold is not known.
        let is_hls = file.container == Container::Hls;
        let is_remains = self.summary.is_some_and(|summary| {
            is_hls
                && summary.tracks.is_empty()
                && summary.gaps.iter().any(|gap| gap.cause == JOURNAL_LOST)
        });
        if is_remains {
            let note =
                "its journal was lost before it was made: it has what was stored before that";
            self.report.notes.push(note.to_owned());
        }
        let journal = self.job.journal.as_ref().filter(|_| !is_remains);
        let is_rotten = self.report.damaged_packets() > 0;
        let cursors = journal.and_then(|journal| {
            match expected::open(journal, product, &file.spans, &shifts, is_rotten) {
                Ok(cursors) => Some(cursors),
                Err(crate::journal::JournalError::Missing(_)) => None,
                Err(error) => {
                    let note = format!("the journal cannot be compared with: {error}");
                    self.report.notes.push(note);
                    None
                }
            }
        });
        // Of script data alone there are none to compare: its bytes have hashes.
        let has_digests = self.summary.is_some() && !is_remains;
        self.comparison = Comparison::new(cursors.filter(|c| !c.is_empty()), has_digests);
    }

    fn single(
        &mut self,
        product: Product,
        read: impl FnOnce(&mut Input<'_>, &mut super::packet::Sink<'_>) -> Read<()>,
    ) -> io::Result<()> {
        self.begin(product);
        let main = self.job.main.clone();
        self.object(&["main"], &main, |input, comparison, _| {
            read(input, &mut |packet| comparison.packet(packet))
        })?;
        Ok(())
    }

    fn mp4(&mut self) -> io::Result<()> {
        let is_of_version_1 = self.summary.is_some_and(|summary| summary.version < 2);
        self.begin(if is_of_version_1 { Product::Mp4OfVersion1 } else { Product::Mp4 });
        let (main, objects) = (self.job.main.clone(), self.job.objects.clone());
        self.object(&["main"], &main, |input, comparison, info| {
            let mut tracks = mp4::movie(info.size, &mut |range| objects.range(&main, range))?;
            tracks.iter_mut().for_each(|track| track.is_of_version_1 = is_of_version_1);
            mp4::read(input, &tracks, &mut |packet| comparison.packet(packet))
        })?;
        Ok(())
    }

    fn hls(&mut self) -> io::Result<()> {
        let main = self.job.main.clone();
        let mut text = Vec::new();
        let entries = self.object(&["main"], &main, |input, _, _| {
            input.up_to(playlist::PLAYLIST_MAX_BYTES, &mut text)?;
            playlist::parse(&main, &text)
                .map_err(|what| ReadError::malformed(0, format!("this is no playlist: {what}")))
        })?;
        let Outcome::Read(entries) = entries else { return Ok(()) };
        let is_fragmented = entries.iter().any(|entry| entry.init.is_some());
        self.begin(if is_fragmented { Product::Fragmented } else { Product::Ts });
        let mut init: Option<(StorageKey, Option<fragments::Init>)> = None;
        for (number, entry) in entries.iter().enumerate() {
            if let Some(key) = &entry.init
                && init.as_ref().is_none_or(|(known, _)| known != key)
            {
                let names = [stem(key), "init"];
                let read = self.object(&names, key, |input, _, _| fragments::init(input))?;
                init = Some((
                    key.clone(),
                    match read {
                        Outcome::Read(init) => Some(init),
                        Outcome::Unreadable => None,
                    },
                ));
            }
            let known = entry.init.as_ref().and(init.as_ref());
            if entry.is_discontinuous {
                self.comparison.discontinue();
            }
            let number = number.to_string();
            self.object(&[&number], &entry.key, |input, comparison, _| {
                let sink = &mut |packet: super::packet::Packet<'_>| comparison.packet(packet);
                match known {
                    None => ts::read(input, sink),
                    Some((_, Some(init))) => fragments::read(input, init, sink),
                    Some((_, None)) => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    /// Reads one object to its end, whatever is in it, and compares its bytes. `names` are those it
    /// may have in the summary.
    fn object<T>(
        &mut self,
        names: &[&str],
        key: &StorageKey,
        read: impl FnOnce(&mut Input<'_>, &mut Comparison, &ObjectInfo) -> Read<T>,
    ) -> io::Result<Outcome<T>> {
        let recorded = self.summary.map_or(&[][..], |summary| summary.objects.as_slice());
        let parts = parts(recorded, names);
        let name = match parts.first() {
            Some(part) => part.object.as_str(),
            None => key.components().last().unwrap_or_default(),
        };
        if let Some(part) = parts.first() {
            self.seen.insert(&part.object);
        }
        let differ = |what: &str, expected: Option<String>| Difference {
            object: Some(name.to_owned()),
            expected,
            ..Difference::new(what)
        };
        let Some(info) = self.job.objects.head(key)? else {
            self.comparison.cut();
            let expected = Some(format!("object {key}"));
            self.report.differ([differ("it is not in the store", expected)]);
            return Ok(Outcome::Unreadable);
        };
        // What was added need not be read to be known.
        let recorded = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.size_bytes));
        let found = info.size;
        let mut info = info;
        if !parts.is_empty() && found > recorded {
            info.size = recorded;
            self.report.differ([Difference {
                found: Some(format!("{found} bytes, of which the first {recorded} were read")),
                ..differ("the object is longer than it was", Some(format!("{recorded} bytes")))
            }]);
        }
        let mut hashed = Hashed::new(self.job.objects.open(key, &info), name, parts);
        let outcome = read(&mut Input::new(&mut hashed), &mut self.comparison, &info);
        let outcome = match outcome {
            Err(ReadError::Io(error)) => return Err(error),
            outcome => outcome,
        };
        let (bytes, differences) = hashed.finish()?;
        self.report.objects += 1;
        self.report.bytes += bytes;
        if parts.is_empty() && self.summary.is_some() && self.report.has_hashes {
            self.report.differ([differ("it is not in the summary", None)]);
        }
        self.report.differ(differences);
        match outcome {
            Ok(value) => Ok(Outcome::Read(value)),
            Err(error) => {
                self.comparison.cut();
                self.report.differ([differ(&format!("it cannot be read {error}"), None)]);
                Ok(Outcome::Unreadable)
            }
        }
    }
}

/// The parts of the object that has one of these names; they stand side by side, in order.
fn parts<'a>(recorded: &'a [ObjectEvidence], names: &[&str]) -> &'a [ObjectEvidence] {
    for name in names {
        let Some(first) = recorded.iter().position(|part| part.object == *name) else { continue };
        let rest = recorded.get(first..).unwrap_or_default();
        let len = rest.iter().take_while(|part| part.object == *name).count();
        return rest.get(..len).unwrap_or_default();
    }
    &[]
}

/// The name of an object without its folder and extension.
fn stem(key: &StorageKey) -> &str {
    let name = key.components().last().unwrap_or_default();
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
