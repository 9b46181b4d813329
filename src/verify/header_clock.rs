//! Where the headers and script data of an FLV stand in time.
//!
//! A push that goes on with a file has one constant added to all its times. What comes before its first
//! frame may have times that are not of its clock: with the constant they would stand before what the
//! file already has, or far behind the frames. Those stand where the push begins. The writer says the
//! same in code of its own.

use crate::{
    delivery::source::Source,
    domain::recording::Span,
    journal::JournalError,
    media::sample::{CLOCK_JUMP_MS, Sample, SampleKind},
};

/// So far into a push its first frame is looked for.
const LOOK_SAMPLES: usize = 4096;

/// Follows all samples of a file.
pub(super) struct HeaderClock {
    /// By span whether it is of another push than the one before.
    are_new: Vec<bool>,
    at: Option<usize>,
    /// The latest frame so far.
    latest_ms: Option<i64>,
    /// The push goes on with what was there.
    resumed: Option<Start>,
}

struct Start {
    /// Before the first frame of the push.
    is_ahead: bool,
    earliest_ms: i64,
    at_ms: i64,
}

impl HeaderClock {
    pub(super) fn new(spans: &[Span]) -> Self {
        let behind = spans.iter().skip(1);
        let changes = spans.iter().zip(behind).map(|(one, next)| one.session != next.session);
        let are_new = std::iter::once(false).chain(changes).collect();
        Self { are_new, at: None, latest_ms: None, resumed: None }
    }

    /// The time of the next sample's tag in the product.
    pub(super) fn time_ms(
        &mut self,
        source: &mut Source,
        span: usize,
        sample: &Sample,
        shift_ms: i64,
    ) -> Result<i64, JournalError> {
        let is_frame = |sample: &Sample| sample.kind == SampleKind::Frame;
        if self.at.replace(span) != Some(span) && self.are_new.get(span) == Some(&true) {
            let opening = source.first_samples(span, LOOK_SAMPLES)?;
            let first = opening.iter().find(|sample| is_frame(sample));
            self.resumed = first.zip(self.latest_ms).map(|(first, earliest_ms)| Start {
                is_ahead: true,
                earliest_ms,
                at_ms: earliest_ms.max(first.dts_ms.saturating_add(shift_ms)),
            });
        }
        let own_ms = sample.dts_ms.saturating_add(shift_ms);
        if is_frame(sample) {
            self.latest_ms = self.latest_ms.max(Some(own_ms));
            if let Some(start) = &mut self.resumed {
                start.is_ahead = false;
            }
            return Ok(own_ms);
        }
        Ok(match &self.resumed {
            Some(start) if start.is_ahead => {
                let is_before = own_ms < start.earliest_ms;
                let is_behind = own_ms.saturating_sub(start.at_ms) > CLOCK_JUMP_MS;
                if is_before || is_behind { start.at_ms } else { own_ms }
            }
            Some(start) if own_ms < 0 => start.at_ms,
            _ => own_ms,
        })
    }
}
