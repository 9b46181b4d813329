//! From a media file's samples to the bytes of its objects: two walks over the same journal.
//!
//! The first walk computes what a head needs and measures the facts; the second emits head and
//! body in blocks. Everything is deterministic: the same journal gives the same bytes. What a
//! container does to samples is in `media`; this file only picks the container's arm.

use bytes::Bytes;

use crate::{
    domain::{container::Container, media_file::MediaFacts, recording::Span},
    journal::{Journal, JournalError},
    media::{
        adts::{self, AdtsWriter},
        flv, mp4,
        sample::Sample,
    },
};

use super::{first_walk::FirstWalk, hls::HlsBody, source::Source};

/// Room for what a sample may reach over the size of a block without growing it.
const READ_OVER: usize = 64 << 10;

/// Why there is no product.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No frame lies in the file's stretch.
    #[error("no frame was recorded")]
    Empty,
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
}

impl ProjectError {
    /// True if trying again would give the same answer.
    pub fn is_final(&self) -> bool {
        match self {
            ProjectError::Empty | ProjectError::Unsupported { .. } => true,
            ProjectError::Journal(_) => false,
        }
    }
}

/// Which object of a file some bytes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// The file itself; for HLS the playlist.
    Main,
    /// An HLS segment by number, from 0.
    Segment(u64),
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
    /// The product is complete.
    End,
}

/// The second walk of a single-object container.
pub(super) struct SingleBody {
    head: Vec<u8>,
    tail: Vec<u8>,
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

/// What the body takes of a sample.
pub(super) enum Emit {
    /// The whole tag, except the one the head stands for.
    Flv { skip_position: Option<(usize, u64)> },
    /// The coded data.
    Mp4,
    /// A header and the coded data.
    Aac { span: Option<usize>, writer: AdtsWriter },
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
}

impl Projection {
    /// Walks the file once. `facts` has the arrival times and what the cut remarked.
    pub fn open(
        journal: &Journal,
        container: Container,
        spans: &[Span],
        facts: MediaFacts,
        hls_segment_ms: i64,
    ) -> Result<Self, ProjectError> {
        let mut source = Source::open(journal, spans)?;
        let mut first = FirstWalk::new(container, hls_segment_ms, facts.start_ms.div_euclid(1000));
        let mut at = None;
        while let Some((span, sample)) = source.next_sample()? {
            if at != Some(span) {
                at = Some(span);
                first.begin_span(&mut source, span)?;
            }
            first.push(&mut source, span, &sample)?;
        }
        let (facts, total_len, body) = first.finish(&mut source, facts)?;
        source.rewind();
        Ok(Self { source, facts, total_len, body })
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
            Body::Single(single) => single.next_block(&mut self.source, max),
            Body::Hls(hls) => hls.next_block(&mut self.source, max),
        }
    }
}

impl SingleBody {
    pub(super) fn new(head: Vec<u8>, tail: Vec<u8>, emit: Emit) -> Self {
        Self { head, tail, emit, stage: Stage::Head }
    }

    fn next_block(&mut self, source: &mut Source, max: usize) -> Result<Block, ProjectError> {
        let bytes = match self.stage {
            Stage::Head => {
                self.stage = Stage::Body;
                std::mem::take(&mut self.head)
            }
            Stage::Body => {
                let mut out = Vec::with_capacity(max + READ_OVER);
                while out.len() < max {
                    let Some((span, sample)) = source.next_sample()? else {
                        self.stage = Stage::Tail;
                        break;
                    };
                    self.emit.take(source, span, &sample, &mut out)?;
                }
                out
            }
            Stage::Tail => {
                self.stage = Stage::Complete;
                std::mem::take(&mut self.tail)
            }
            Stage::Complete => {
                self.stage = Stage::End;
                return Ok(Block::EndOfObject);
            }
            Stage::End => return Ok(Block::End),
        };
        Ok(Block::Bytes { object: Object::Main, bytes: bytes.into() })
    }
}

impl Emit {
    fn take(
        &mut self,
        source: &mut Source,
        span: usize,
        sample: &Sample,
        out: &mut Vec<u8>,
    ) -> Result<(), ProjectError> {
        match self {
            Emit::Flv { skip_position } => {
                if flv::takes(sample) && *skip_position != Some((span, sample.position)) {
                    source.read(span, sample.position, sample.tag_len, out)?;
                }
            }
            Emit::Mp4 => {
                if mp4::takes(sample) {
                    source.read(span, sample.data_position(), sample.data_len, out)?;
                }
            }
            Emit::Aac { span: at, writer } => {
                if *at != Some(span) {
                    *at = Some(span);
                    *writer = AdtsWriter::new(&source.configs(span)?);
                }
                if adts::takes(sample) {
                    let header = writer.header(sample).map_err(unsupported(Container::Aac))?;
                    out.extend_from_slice(&header);
                    source.read(span, sample.data_position(), sample.data_len, out)?;
                }
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
