//! The second walk of an HLS product: segments one after the other, the playlist last.
//!
//! A segment's samples are gathered first, because its tables say what is in it; their bytes are
//! read and muxed block by block. Where segments end is decided in `media::hls`.

use bytes::Bytes;

use crate::{
    domain::container::Container,
    media::{
        hls::{self, Segment, Segmenter, playlist},
        sample::{Codec, Sample},
        ts::{self, Streams, TsMuxer},
    },
};

use super::{
    evidence::Evidence,
    project::{Block, Object, ProjectError, unsupported},
    source::Source,
};

/// Segments and playlist of one media file.
pub struct HlsBody {
    offset_ms: i64,
    segmenter: Segmenter,
    muxer: TsMuxer,
    /// Span that the segmenter and the muxer are in.
    at: (Option<usize>, Option<usize>),
    /// Samples of the segment being made, and the first one of the next.
    gathered: Vec<(usize, Sample)>,
    held: Option<(usize, Sample)>,
    /// Next of `gathered` to be written.
    next: usize,
    stage: Stage,
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Gather,
    Write,
    CompleteSegment,
    Playlist,
    CompletePlaylist,
    End,
}

impl HlsBody {
    /// For a file with these codecs that begins with these samples.
    pub fn new(codecs: &[Codec], first: &[Sample], segment_ms: i64) -> Result<Self, ts::Error> {
        if let Some(error) = hls::unsupported(codecs) {
            return Err(error);
        }
        let none = crate::media::config::Configs::new();
        let offset_ms = ts::offset_ms(first);
        Ok(Self {
            offset_ms,
            segmenter: Segmenter::new(&none, segment_ms.unsigned_abs()),
            muxer: TsMuxer::new(&none, offset_ms),
            at: (None, None),
            gathered: Vec::new(),
            held: None,
            next: 0,
            stage: Stage::Gather,
            segments: Vec::new(),
        })
    }

    /// Constant added to the encoder's times, in milliseconds.
    pub fn shift_ms(&self) -> i64 {
        self.offset_ms
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
                Stage::Gather => self.gather(source)?,
                Stage::Write => {
                    let object = Object::Segment(self.segments.len() as u64 - 1);
                    let bytes = self.write(source, max, evidence)?;
                    return Ok(Block::Bytes { object, bytes });
                }
                Stage::CompleteSegment => {
                    self.gathered.clear();
                    self.next = 0;
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

    /// Gathers the samples of the next segment.
    fn gather(&mut self, source: &mut Source) -> Result<(), ProjectError> {
        self.gathered.extend(self.held.take());
        let segment = loop {
            let Some((span, sample)) = source.next_sample()? else { break self.segmenter.finish() };
            if !hls::takes(&sample) {
                continue;
            }
            match self.at.0 {
                Some(at) if at == span => {}
                Some(_) => self.segmenter.next_session(&source.configs(span)?),
                None => self.segmenter.set_configs(&source.configs(span)?),
            }
            self.at.0 = Some(span);
            if let Some(segment) = self.segmenter.push(&sample) {
                self.held = Some((span, sample));
                break Some(segment);
            }
            self.gathered.push((span, sample));
        };
        match segment {
            Some(segment) => {
                self.segments.push(segment);
                self.stage = Stage::Write;
            }
            None => self.stage = Stage::Playlist,
        }
        Ok(())
    }

    fn write(
        &mut self,
        source: &mut Source,
        max: usize,
        evidence: &mut Evidence,
    ) -> Result<Bytes, ProjectError> {
        let mut out = Vec::with_capacity(max + (64 << 10));
        if self.next == 0 {
            let mut streams = Streams::default();
            for (_, sample) in &self.gathered {
                streams.observe(sample);
            }
            self.muxer.begin_segment(streams, &mut out);
        }
        while let Some((span, sample)) = self.gathered.get(self.next) {
            if out.len() >= max {
                return Ok(out.into());
            }
            if self.at.1 != Some(*span) {
                self.at.1 = Some(*span);
                let configs = source.configs(*span)?;
                self.muxer.set_configs(&configs);
                evidence.set_configs(&configs);
            }
            let data = source.bytes(*span, sample.data_position(), sample.data_len)?;
            evidence.packet(*span, sample, data);
            self.muxer.write_sample(sample, data, &mut out).map_err(unsupported(Container::Hls))?;
            self.next += 1;
        }
        self.stage = Stage::CompleteSegment;
        Ok(out.into())
    }

    fn playlist(&self) -> String {
        let paths: Vec<String> =
            (0..self.segments.len()).map(|number| format!("{number}.ts")).collect();
        let entries = paths
            .iter()
            .zip(&self.segments)
            .map(|(path, segment)| playlist::Entry { path, segment: *segment });
        playlist::vod(entries)
    }
}
