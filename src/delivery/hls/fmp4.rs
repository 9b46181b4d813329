//! The bytes of fragmented MP4 segments: what a writer remembers from one segment to the next, and
//! how it writes one.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    domain::container::Container,
    media::{
        hls::{
            fragments::{FragmentWriter, Gathered},
            inits::Init,
        },
        sample::Sample,
    },
};

use super::{Out, plan::HlsPlan};
use crate::delivery::{
    project::{ProjectError, unsupported},
    source::Source,
};

pub(super) struct Fmp4Segments {
    /// What is added to the times on the file's timeline.
    shift_ms: i64,
    writer: FragmentWriter,
    /// How many initialisation segments are written.
    inits: usize,
    /// That of the latest segment.
    in_force: Option<Init>,
    /// Span of the latest sample.
    at: Option<usize>,
    /// The samples whose data are still to be written; `None` before the head is.
    rest: Option<VecDeque<(usize, Sample)>>,
}

impl Fmp4Segments {
    pub fn new() -> Self {
        Self {
            shift_ms: 0,
            writer: FragmentWriter::new(0),
            inits: 0,
            in_force: None,
            at: None,
            rest: None,
        }
    }

    /// A segment is going to be written. Gives the initialisation segment that must be written
    /// before, with its number.
    pub fn begin(
        &mut self,
        plan: &HlsPlan,
        number: usize,
    ) -> Result<Option<(u64, Bytes)>, ProjectError> {
        let Some(planner) = plan.inits() else { return Ok(None) };
        if number == 0 {
            self.shift_ms = planner.shift_ms();
            self.writer = FragmentWriter::new(self.shift_ms);
        }
        let Some(init) = plan.init_of(number) else { return Ok(None) };
        self.in_force = Some(init);
        if init.number < self.inits {
            return Ok(None);
        }
        self.inits = init.number + 1;
        let bytes = planner.encode(&init).map_err(unsupported(Container::Hls))?;
        Ok(Some((init.number as u64, bytes.into())))
    }

    /// Whether what was written up to this segment is still what is planned.
    pub fn agrees(&self, plan: &HlsPlan, last: usize) -> bool {
        plan.inits().is_some_and(|planner| planner.shift_ms() == self.shift_ms)
            && plan.init_of(last) == self.in_force
    }

    /// Writes on; true when the segment is complete.
    pub fn write(
        &mut self,
        plan: &HlsPlan,
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
            let placing_ms = plan.placing_ms(span);
            if self.at != Some(span) {
                self.at = Some(span);
                out.evidence.set_shift(span, placing_ms.saturating_add(self.shift_ms));
            }
            let pushed = sample.moved_by(placing_ms.saturating_neg());
            let data = source.packet(span, &pushed)?;
            out.evidence.packet(span, &pushed, data);
            out.bytes.extend_from_slice(data);
        }
        Ok(false)
    }
}
