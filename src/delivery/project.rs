//! From a media file's samples to the bytes of its objects: two walks over the same journal.
//!
//! The first walk computes what a head needs and measures the facts; the second emits head and
//! body in blocks, showing every packet to [`Evidence`] on its way. Everything is deterministic: the
//! same journal gives the same bytes. What a container does to samples is in `media`; this file only
//! picks the container's arm, what its body takes of a sample is in [`super::emit`].

use bytes::Bytes;

use crate::{
    domain::{
        container::Container,
        media_file::MediaFacts,
        recording::Span,
        verification::{ObjectEvidence, Verification},
    },
    journal::{Journal, JournalError},
    media::lazy_bytes::LazyBytes,
};

use super::{
    emit::Emit,
    evidence::Evidence,
    first_walk::{FirstWalk, Planned},
    hls::{HlsBody, HlsSettings},
    source::Source,
};

/// Room for what a sample may reach over the size of a block without growing it.
pub(super) const READ_OVER: usize = 64 << 10;

/// Why a product is made anew.
pub(super) const CHANGED: &str = "the journal has changed since it was looked at";

/// Why there is no product.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No frame lies in the file's stretch.
    #[error("no frame was recorded")]
    Empty,
    /// No frame is left of a journal of which something is missing: it is kept.
    #[error("no frame is left of a journal of which something is missing")]
    Lost,
    /// The container cannot carry what was pushed.
    #[error("{container} cannot be made: {reason}")]
    Unsupported {
        /// Which container.
        container: Container,
        /// Why, in words.
        reason: String,
    },
    /// The journal cannot be read.
    #[error("read the journal: {0}")]
    Journal(#[from] JournalError),
    /// What was stored while the file grew is not what its end asks for: it must be made anew.
    #[error("{0}")]
    Broken(&'static str),
}

impl ProjectError {
    /// True if trying again would give the same answer.
    pub fn is_final(&self) -> bool {
        match self {
            ProjectError::Empty | ProjectError::Lost | ProjectError::Unsupported { .. } => true,
            // One that could be repaired was, before this was said.
            ProjectError::Journal(error) => matches!(error, JournalError::Missing(_)),
            ProjectError::Broken(_) => false,
        }
    }
}

/// Which object of a file some bytes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// The file itself; for HLS the playlist.
    Main,
    /// An HLS initialisation segment by number, from 0.
    Init(u64),
    /// An HLS segment by number, from 0.
    Segment(u64),
}

impl Object {
    /// Its name in rows: `main`, `init-` and the number, or the number.
    pub fn name(self) -> String {
        match self {
            Object::Main => "main".to_owned(),
            Object::Init(number) => format!("init-{number}"),
            Object::Segment(number) => number.to_string(),
        }
    }

    /// Reads a name back; one that is not known is the main object's.
    pub fn parse(name: &str) -> Self {
        let init = name.strip_prefix("init-").and_then(|number| number.parse().ok());
        let segment = || name.parse().ok().map(Object::Segment);
        init.map(Object::Init).or_else(segment).unwrap_or(Object::Main)
    }
}

/// What comes next of a product.
#[derive(Debug)]
pub enum Block {
    /// Bytes of an object, behind those that came before.
    Bytes {
        /// Of this object.
        object: Object,
        /// The bytes.
        bytes: Bytes,
    },
    /// The object is complete.
    EndOfObject,
    /// The file still grows, and nothing more can be made of what there is by now.
    Starved,
    /// What came later contradicts what was made so far: it does not count, the product begins
    /// again with its first object. The same objects will be made, under the same names, and perhaps
    /// more. Happens a few times at most, and only while the file grows.
    Restart,
    /// The whole playlist as it is by now, to be put under the name of the main object. Does not
    /// count: it will be replaced, at last by the blocks of the main object itself.
    Playlist {
        /// The bytes.
        bytes: Bytes,
    },
    /// The product is complete.
    End,
}

/// The second walk of a single-object container.
pub(super) struct SingleBody {
    head: LazyBytes,
    tail: LazyBytes,
    emit: Emit,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
    Tail,
    Complete,
    End,
}

/// The second walk.
pub(super) enum Body {
    Single(SingleBody),
    Hls(Box<HlsBody>),
}

/// A product being made.
pub struct Projection {
    source: Source,
    facts: MediaFacts,
    total_len: u64,
    body: Body,
    evidence: Evidence,
    /// Bytes of a single object that were made and not given out.
    rest: Vec<u8>,
    /// The trail of the first walk.
    looked: u64,
}

impl Projection {
    /// Walks the file once. `causes` says for each span why its push ended; `facts` has the arrival
    /// times and what the cut remarked.
    pub fn open(
        journal: &Journal,
        container: Container,
        spans: &[Span],
        causes: Vec<String>,
        facts: MediaFacts,
        hls: HlsSettings,
    ) -> Result<Self, ProjectError> {
        let mut source = Source::open_remaining(journal, spans)?;
        let creation_s = facts.start_ms.div_euclid(1000);
        let first = FirstWalk::new(container, hls, creation_s, spans, causes);
        let planned = first.walk(&mut source, facts, None)?;
        let Planned { facts, total_len, body, rule, known, left_out } = planned;
        let mut evidence = Evidence::new(rule, known);
        evidence.leave_out(left_out);
        let looked = source.trail;
        source.rewind();
        Ok(Self { source, facts, total_len, body, evidence, rest: Vec::new(), looked })
    }

    /// What was measured; sizes are filled in as objects are stored.
    pub fn facts(&self) -> &MediaFacts {
        &self.facts
    }

    /// Bytes of the largest object, as far as it can be known before it is made.
    pub fn total_len(&self) -> u64 {
        self.total_len
    }

    /// The next block, of about `max` bytes.
    pub fn next_block(&mut self, max: usize) -> Result<Block, ProjectError> {
        match &mut self.body {
            Body::Single(single) => single.next_block(&mut self.source, max, &mut self.evidence),
            Body::Hls(hls) => hls.next_block(&mut self.source, max, &mut self.evidence),
        }
    }

    /// The next `want` bytes of a product that is one object, in the empty `out`; fewer only at its
    /// end. Room for [`READ_OVER`] more is of use.
    pub(super) fn read_into(
        &mut self,
        mut out: Vec<u8>,
        want: usize,
    ) -> Result<Vec<u8>, ProjectError> {
        let Body::Single(single) = &mut self.body else {
            return Err(ProjectError::Broken("the product is not one object"));
        };
        out.append(&mut self.rest);
        single.append(&mut self.source, want, &mut self.evidence, &mut out)?;
        if single.is_at_its_end() && self.source.trail != self.looked {
            return Err(ProjectError::Broken(CHANGED));
        }
        if out.len() > want {
            self.rest = out.split_off(want);
        }
        Ok(out)
    }

    /// The verification summary, when all blocks have been taken and stored as these objects.
    pub fn finish(self, objects: Vec<ObjectEvidence>) -> Verification {
        self.evidence.finish(objects, self.source.into_damage())
    }
}

impl SingleBody {
    pub(super) fn new(head: LazyBytes, tail: LazyBytes, emit: Emit) -> Self {
        Self { head, tail, emit, stage: Stage::Head }
    }

    /// What stands before the body and what behind it.
    pub(super) fn into_ends(self) -> (LazyBytes, LazyBytes) {
        (self.head, self.tail)
    }

    /// All samples were taken.
    fn is_at_its_end(&self) -> bool {
        matches!(self.stage, Stage::Complete | Stage::End)
    }

    fn next_block(
        &mut self,
        source: &mut Source,
        max: usize,
        evidence: &mut Evidence,
    ) -> Result<Block, ProjectError> {
        let mut bytes = Vec::new();
        self.append(source, max, evidence, &mut bytes)?;
        Ok(match self.stage {
            _ if !bytes.is_empty() => Block::Bytes { object: Object::Main, bytes: bytes.into() },
            Stage::End => Block::End,
            _ => {
                self.stage = Stage::End;
                Block::EndOfObject
            }
        })
    }

    /// Makes more until `out` has `want` bytes, or a few more where a sample ends; fewer only at the
    /// end.
    fn append(
        &mut self,
        source: &mut Source,
        want: usize,
        evidence: &mut Evidence,
        out: &mut Vec<u8>,
    ) -> Result<(), ProjectError> {
        while out.len() < want {
            match self.stage {
                Stage::Head => {
                    self.head.read_into(out, want);
                    if self.head.is_empty() {
                        self.stage = Stage::Body;
                    }
                }
                Stage::Body => match source.next_sample()? {
                    Some((span, sample)) => {
                        self.emit.take(source, span, &sample, Some(&mut *evidence), out)?;
                    }
                    None => self.stage = Stage::Tail,
                },
                Stage::Tail if !self.tail.is_empty() => self.tail.read_into(out, want),
                Stage::Tail => self.stage = Stage::Complete,
                Stage::Complete | Stage::End => break,
            }
        }
        Ok(())
    }
}

/// Names the container in an error of its writer.
pub(super) fn unsupported<E: std::fmt::Display>(
    container: Container,
) -> impl Fn(E) -> ProjectError {
    move |error| ProjectError::Unsupported { container, reason: error.to_string() }
}

#[cfg(test)]
pub(super) mod tests;
