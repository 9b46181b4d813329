//! What the body of a product that is one object takes of each sample, in the second walk.

use crate::{
    domain::container::Container,
    journal::JournalError,
    media::{
        adts::{self, AdtsWriter},
        flv::{self, header::set_frame},
        mp4,
        sample::Sample,
    },
};

use super::{
    evidence::Evidence,
    flv_clock::{FlvClock, Placing},
    flv_plan::Insert,
    project::{ProjectError, unsupported},
    source::Source,
};

/// What the body takes of a sample.
#[derive(Clone)]
pub(super) enum Emit {
    /// The whole tag, except the one the head stands for; nothing but its time is ever changed.
    Flv {
        /// Span and position of that tag.
        skip_position: Option<(usize, u64)>,
        /// Where the tags of each span stand in time.
        placings: Vec<Placing>,
        /// Where the next tag stands.
        clock: FlvClock,
        /// What comes before some tags.
        inserts: Vec<Insert>,
    },
    /// The coded data.
    Mp4,
    /// A header and the coded data.
    Aac { span: Option<usize>, writer: AdtsWriter },
}

impl Emit {
    /// The tags of an FLV from its beginning on.
    pub(super) fn flv(
        skip_position: Option<(usize, u64)>,
        placings: Vec<Placing>,
        inserts: Vec<Insert>,
    ) -> Self {
        Emit::Flv { skip_position, placings, clock: FlvClock::default(), inserts }
    }

    /// Appends to `out` what the body has of a sample, and shows it to the summary, unless it is made
    /// once more.
    pub(super) fn take(
        &mut self,
        source: &mut Source,
        span: usize,
        sample: &Sample,
        evidence: Option<&mut Evidence>,
        out: &mut Vec<u8>,
    ) -> Result<(), ProjectError> {
        let has_data = match self {
            Emit::Flv { skip_position, placings, clock, inserts } => {
                // The first sample of a tag speaks for it.
                if sample.tag_len > 0 {
                    let here = (span, sample.position);
                    let place = |insert: &Insert| (insert.span, insert.position);
                    let first = inserts.partition_point(|insert| place(insert) < here);
                    let found = inserts.iter().skip(first);
                    for insert in found.take_while(|insert| place(insert) == here) {
                        out.extend_from_slice(&insert.tags);
                    }
                }
                if flv::takes(sample) {
                    source.check(span, sample)?;
                }
                let placing = placings.get(span).copied().unwrap_or_default();
                let (time_ms, _) = clock.time_ms(placing, sample);
                let is_skipped = *skip_position == Some((span, sample.position));
                if flv::takes(sample) && !is_skipped {
                    let start = out.len();
                    out.extend_from_slice(source.bytes(span, sample.position, sample.tag_len)?);
                    if let Some(tag) = out.get_mut(start..) {
                        set_frame(tag, sample.track.tag_kind(), time_ms);
                    }
                }
                // Further samples of a tag came with the first one.
                if let Some(evidence) = evidence
                    && (sample.is_video_frame() || sample.is_audio_frame())
                {
                    evidence.packet(span, sample, data(source, span, sample)?);
                }
                return Ok(());
            }
            Emit::Mp4 => mp4::takes(sample),
            Emit::Aac { span: at, writer } => {
                if *at != Some(span) {
                    *at = Some(span);
                    *writer = AdtsWriter::new(&source.configs(span)?);
                }
                let is_taken = adts::takes(sample);
                if is_taken {
                    let header = writer.header(sample).map_err(unsupported(Container::Aac))?;
                    out.extend_from_slice(&header);
                }
                is_taken
            }
        };
        if has_data {
            let data = source.packet(span, sample)?;
            if let Some(evidence) = evidence {
                evidence.packet(span, sample, data);
            }
            out.extend_from_slice(data);
        }
        Ok(())
    }
}

/// The coded data of a sample.
fn data<'a>(
    source: &'a mut Source,
    span: usize,
    sample: &Sample,
) -> Result<&'a [u8], JournalError> {
    source.bytes(span, sample.data_position(), sample.data_len)
}
