//! The bytes of MPEG-TS segments: what a writer remembers from one segment to the next, and how it
//! writes one.

use crate::{
    domain::container::Container,
    media::{
        config::Configs,
        hls::fragments::Gathered,
        sample::Sample,
        ts::{Streams, TsMuxer},
    },
};

use super::{Out, plan::HlsPlan};
use crate::delivery::{
    project::{ProjectError, unsupported},
    source::Source,
};

pub(super) struct TsSegments {
    muxer: TsMuxer,
    /// What all segments so far announce at least: a player may take no notice of a track that turns
    /// up later.
    announced: Streams,
    /// What the latest segment announced.
    streams: Streams,
    /// Span that the muxer is in, and the highest configuration of it that was asked for.
    at: Option<(usize, u32)>,
    /// Next sample to be written.
    next: usize,
}

impl TsSegments {
    pub fn new() -> Self {
        Self {
            muxer: TsMuxer::new(&Configs::new(), 0),
            announced: Streams::default(),
            streams: Streams::default(),
            at: None,
            next: 0,
        }
    }

    /// The first segment is going to be written.
    pub fn begin(&mut self, plan: &HlsPlan) {
        self.announced = plan.announced();
        self.streams = self.announced;
    }

    /// Whether what was written is still what is planned.
    pub fn agrees(&self, plan: &HlsPlan) -> bool {
        self.announced == plan.announced()
    }

    /// Writes on; true when the segment is complete.
    pub fn write(
        &mut self,
        plan: &HlsPlan,
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
            self.enter(plan, *span, sample, source, out)?;
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

    /// What the sample refers to, where it is of another span or came with a configuration that was
    /// not there when the span was entered.
    fn enter(
        &mut self,
        plan: &HlsPlan,
        span: usize,
        sample: &Sample,
        source: &mut Source,
        out: &mut Out<'_>,
    ) -> Result<(), ProjectError> {
        let highest = match self.at {
            Some((at, highest)) if at == span => {
                if sample.config <= highest {
                    return Ok(());
                }
                highest
            }
            _ => {
                let shift_ms = plan.shift_ms(span).unwrap_or(0);
                self.muxer.set_offset(shift_ms);
                out.evidence.set_shift(span, shift_ms);
                0
            }
        };
        let configs = source.configs(span)?;
        let known = configs.iter().map(|(ordinal, _)| ordinal).max().unwrap_or(0);
        self.at = Some((span, highest.max(known).max(sample.config)));
        self.muxer.set_configs(&configs);
        out.evidence.set_configs(&configs);
        Ok(())
    }
}
