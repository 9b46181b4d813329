//! The second walk of an HLS product: initialisation segments, media segments one after the other,
//! the playlist last.
//!
//! A segment's samples are gathered first, because its tables say what is in it; their bytes are
//! read and muxed block by block. Where segments end is decided in `media::hls`.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    domain::container::Container,
    media::{
        config::Configs,
        hls::{
            Segment, SegmentType, Segmenter,
            fragments::{FragmentWriter, Gathered},
            inits::InitPlan,
            playlist::{self, init_name, segment_name},
        },
        sample::{Codec, Sample},
        ts::{Streams, TsMuxer},
    },
};

use super::{
    evidence::Evidence,
    project::{Block, Object, ProjectError, unsupported},
    source::Source,
};

/// How HLS products are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HlsSettings {
    /// Segment length in milliseconds.
    pub segment_ms: i64,
    /// What the segments are.
    pub segment_type: SegmentType,
}

/// All objects of one HLS media file.
pub struct HlsBody {
    segmenter: Segmenter,
    /// Span that the segmenter is in.
    at: Option<usize>,
    /// The segment being made, and the one behind it.
    gathered: VecDeque<Gathered>,
    /// The first sample behind those.
    held: Option<(usize, Sample)>,
    muxer: Muxer,
    stage: Stage,
    segments: Vec<Segment>,
    is_independent: bool,
}

/// What makes bytes of a segment's samples.
enum Muxer {
    Ts(TsSegment),
    Fmp4(Fmp4Segment),
}

struct TsSegment {
    muxer: TsMuxer,
    /// What the latest segment announced, at first that of the whole recording: a player may take
    /// no notice of a track that turns up later.
    streams: Streams,
    /// Span that the muxer is in.
    at: Option<usize>,
    /// Next sample to be written.
    next: usize,
}

struct Fmp4Segment {
    plan: InitPlan,
    /// For each span, what is added to its times to put it on the file's timeline.
    shifts_ms: Vec<i64>,
    writer: FragmentWriter,
    /// The samples whose data are still to be written; `None` before the head is.
    rest: Option<VecDeque<(usize, Sample)>>,
}

/// A block being made, and who is shown the packets in it.
struct Out<'a> {
    bytes: Vec<u8>,
    max: usize,
    evidence: &'a mut Evidence,
}

impl Out<'_> {
    fn is_full(&self) -> bool {
        self.bytes.len() >= self.max
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Init(usize),
    CompleteInit(usize),
    Gather,
    Write,
    CompleteSegment,
    Playlist,
    CompletePlaylist,
    End,
}

impl HlsBody {
    /// MPEG-TS segments of a recording with these codecs; all times are moved by `shift_ms`.
    pub fn ts(codecs: &[Codec], shift_ms: i64, segment_ms: i64) -> Self {
        let muxer = TsMuxer::new(&Configs::new(), shift_ms);
        let muxer = TsSegment { muxer, streams: Streams::of(codecs), at: None, next: 0 };
        Self::new(SegmentType::Ts, Muxer::Ts(muxer), segment_ms)
    }

    /// Fragmented MP4 segments as planned for samples that are moved by `shifts_ms`, one for each
    /// span.
    pub fn fmp4(plan: InitPlan, shifts_ms: Vec<i64>, segment_ms: i64) -> Self {
        let writer = FragmentWriter::new(plan.shift_ms);
        let muxer = Fmp4Segment { plan, shifts_ms, writer, rest: None };
        Self::new(SegmentType::Fmp4, Muxer::Fmp4(muxer), segment_ms)
    }

    fn new(segment_type: SegmentType, muxer: Muxer, segment_ms: i64) -> Self {
        Self {
            segmenter: Segmenter::new(&Configs::new(), segment_ms.unsigned_abs(), segment_type),
            at: None,
            gathered: VecDeque::new(),
            held: None,
            muxer,
            stage: Stage::Init(0),
            segments: Vec::new(),
            is_independent: true,
        }
    }

    /// The next block, of about `max` bytes.
    pub(super) fn next_block(
        &mut self,
        source: &mut Source,
        max: usize,
        evidence: &mut Evidence,
    ) -> Result<Block, ProjectError> {
        loop {
            match self.stage {
                Stage::Init(number) => match self.muxer.take_init(number) {
                    Some(bytes) => {
                        self.stage = Stage::CompleteInit(number);
                        let object = Object::Init(number as u64);
                        return Ok(Block::Bytes { object, bytes });
                    }
                    None => self.stage = Stage::Gather,
                },
                Stage::CompleteInit(number) => {
                    self.stage = Stage::Init(number + 1);
                    return Ok(Block::EndOfObject);
                }
                Stage::Gather => self.begin_segment(source)?,
                Stage::Write => {
                    let object = Object::Segment(self.segments.len() as u64 - 1);
                    let bytes = self.write(source, max, evidence)?;
                    return Ok(Block::Bytes { object, bytes });
                }
                Stage::CompleteSegment => {
                    self.gathered.pop_front();
                    self.stage = Stage::Gather;
                    return Ok(Block::EndOfObject);
                }
                Stage::Playlist => {
                    self.stage = Stage::CompletePlaylist;
                    let bytes = self.playlist().into();
                    return Ok(Block::Bytes { object: Object::Main, bytes });
                }
                Stage::CompletePlaylist => {
                    self.stage = Stage::End;
                    return Ok(Block::EndOfObject);
                }
                Stage::End => return Ok(Block::End),
            }
        }
    }

    /// Gathers the next segment and, because its last samples last up to it, the one behind.
    fn begin_segment(&mut self, source: &mut Source) -> Result<(), ProjectError> {
        while self.gathered.len() < 2 {
            let Some(gathered) = self.gather(source)? else { break };
            self.gathered.push_back(gathered);
        }
        self.stage = match self.gathered.front() {
            Some(gathered) => {
                self.segments.push(gathered.segment);
                self.is_independent &= gathered.is_independent();
                Stage::Write
            }
            None => Stage::Playlist,
        };
        Ok(())
    }

    /// The samples of one more segment.
    fn gather(&mut self, source: &mut Source) -> Result<Option<Gathered>, ProjectError> {
        let mut samples: Vec<_> = self.held.take().into_iter().collect();
        let segment = loop {
            let Some((span, sample)) = source.next_sample()? else { break self.segmenter.finish() };
            if !self.segmenter.takes(&sample) {
                continue;
            }
            let sample = sample.moved_by(self.muxer.shift_ms(span));
            match self.at {
                Some(at) if at == span => {}
                Some(_) => self.segmenter.next_session(&source.configs(span)?),
                None => self.segmenter.set_configs(&source.configs(span)?),
            }
            self.at = Some(span);
            if let Some(segment) = self.segmenter.push(&sample) {
                self.held = Some((span, sample));
                break Some(segment);
            }
            samples.push((span, sample));
        };
        Ok(segment.map(|segment| Gathered { segment, samples }))
    }

    fn write(
        &mut self,
        source: &mut Source,
        max: usize,
        evidence: &mut Evidence,
    ) -> Result<Bytes, ProjectError> {
        let Some(gathered) = self.gathered.front() else { return Ok(Bytes::new()) };
        let mut out = Out { bytes: Vec::with_capacity(max + (64 << 10)), max, evidence };
        let is_complete = match &mut self.muxer {
            Muxer::Ts(muxer) => muxer.write(gathered, source, &mut out)?,
            Muxer::Fmp4(muxer) => muxer.write(gathered, self.gathered.get(1), source, &mut out)?,
        };
        let out = out.bytes;
        if is_complete {
            self.stage = Stage::CompleteSegment;
        }
        Ok(out.into())
    }

    /// How long the playlist plays: the sum of its segments so far.
    pub(super) fn duration_ms(&self) -> i64 {
        let total = self.segments.iter().map(|segment| segment.duration_ms).sum::<u64>();
        i64::try_from(total).unwrap_or(i64::MAX)
    }

    fn playlist(&self) -> String {
        let (segment_type, plan) = match &self.muxer {
            Muxer::Ts(_) => (SegmentType::Ts, None),
            Muxer::Fmp4(muxer) => (SegmentType::Fmp4, Some(&muxer.plan)),
        };
        // Version 3 does not know the tag.
        let is_independent = self.is_independent && segment_type == SegmentType::Fmp4;
        let header = playlist::Header { segment_type, is_independent };
        let init_of = |number| Some(init_name(plan?.map_at(number)? as u64));
        let names: Vec<(String, Option<String>)> = (0..self.segments.len() as u64)
            .map(|number| (segment_name(number, segment_type), init_of(number)))
            .collect();
        let entries = names.iter().zip(&self.segments).map(|((path, init), segment)| {
            playlist::Entry { path, segment: *segment, init: init.as_deref() }
        });
        playlist::vod(header, entries)
    }
}

impl Muxer {
    /// What is added to the times of a span before all times are moved together.
    fn shift_ms(&self, span: usize) -> i64 {
        match self {
            Muxer::Ts(_) => 0,
            Muxer::Fmp4(muxer) => muxer.shifts_ms.get(span).copied().unwrap_or(0),
        }
    }

    /// The bytes of an initialisation segment, once.
    fn take_init(&mut self, number: usize) -> Option<Bytes> {
        match self {
            Muxer::Ts(_) => None,
            Muxer::Fmp4(muxer) => muxer.plan.inits.get_mut(number).map(std::mem::take),
        }
        .map(Bytes::from)
    }
}

impl TsSegment {
    /// Writes on; true when the segment is complete.
    fn write(
        &mut self,
        gathered: &Gathered,
        source: &mut Source,
        out: &mut Out<'_>,
    ) -> Result<bool, ProjectError> {
        if self.next == 0 {
            for (_, sample) in &gathered.samples {
                self.streams.observe(sample);
            }
            self.muxer.begin_segment(self.streams, &mut out.bytes);
        }
        while let Some((span, sample)) = gathered.samples.get(self.next) {
            if out.is_full() {
                return Ok(false);
            }
            if self.at != Some(*span) {
                self.at = Some(*span);
                let configs = source.configs(*span)?;
                self.muxer.set_configs(&configs);
                out.evidence.set_configs(&configs);
            }
            let data = source.packet(*span, sample)?;
            out.evidence.packet(*span, sample, data);
            self.muxer
                .write_sample(sample, data, &mut out.bytes)
                .map_err(unsupported(Container::Hls))?;
            self.next += 1;
        }
        self.next = 0;
        Ok(true)
    }
}

impl Fmp4Segment {
    /// Writes on; true when the segment is complete.
    fn write(
        &mut self,
        gathered: &Gathered,
        next: Option<&Gathered>,
        source: &mut Source,
        out: &mut Out<'_>,
    ) -> Result<bool, ProjectError> {
        let rest = match &mut self.rest {
            Some(rest) => rest,
            None => {
                let head = self.writer.head(gathered, next).map_err(unsupported(Container::Hls))?;
                out.bytes.extend_from_slice(&head);
                if gathered.segment.is_discontinuous {
                    out.evidence.restart_clock();
                }
                self.rest.insert(gathered.in_data_order().copied().collect())
            }
        };
        while !out.is_full() {
            let Some((span, sample)) = rest.pop_front() else {
                self.rest = None;
                return Ok(true);
            };
            let shift_ms = self.shifts_ms.get(span).copied().unwrap_or(0);
            let pushed = sample.moved_by(shift_ms.saturating_neg());
            let data = source.packet(span, &pushed)?;
            out.evidence.packet(span, &pushed, data);
            out.bytes.extend_from_slice(data);
        }
        Ok(false)
    }
}
