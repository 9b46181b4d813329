//! The first walk while its file still grows: what is known already, and what it costs to keep.

use crate::{
    domain::{recording::Span, verification::SessionEvidence},
    media::{config::Configs, sample::Sample},
};

use super::{
    emit::Emit,
    first_walk::{FirstWalk, Plan},
    flv_plan::Insert,
};

/// Bytes of memory that a sample takes in the tables of an MP4, about.
const SAMPLE_BYTES: usize = 7;
/// The same of a key frame in those of an FLV.
const KEYFRAME_BYTES: usize = 16;

impl FirstWalk {
    /// The file has these spans by now; the causes are those of [`FirstWalk::new`].
    pub(super) fn set_spans(&mut self, spans: &[Span], causes: Vec<String>) {
        self.causes = causes;
        for span in spans.iter().skip(self.sessions.len()) {
            self.sessions.push(Self::session_of(span));
        }
    }

    /// More configurations of the span that is being walked have become known.
    pub(super) fn add_configs(&mut self, configs: &Configs) {
        self.facts.push_configs(configs);
        self.observer.add_configs(configs);
        match &mut self.plan {
            Plan::Flv(flv) => flv.add_configs(configs.clone()),
            Plan::Mp4(Some(builder)) => builder.add_configs(configs),
            Plan::Mp4(None) | Plan::Aac { .. } | Plan::Hls(_) => {}
        }
    }

    /// What the summary says of a span whose product is moved by `moved_ms` as a whole.
    pub(super) fn session(&self, span: usize, moved_ms: i64) -> SessionEvidence {
        let mut session = self.sessions.get(span).cloned().unwrap_or_default();
        session.shift_ms = session.shift_ms.saturating_add(moved_ms);
        session
    }

    /// Tells the body what was decided about the sample that was pushed last, before it takes it.
    pub(super) fn guide(&self, emit: &mut Emit, span: usize, sample: &Sample) {
        let (Emit::Flv { skip_position, placings, inserts, .. }, Plan::Flv(flv)) =
            (emit, &self.plan)
        else {
            return;
        };
        if let Some((span, position, _)) = &flv.metadata {
            *skip_position = Some((*span, *position));
        }
        placings.extend(flv.placings().iter().skip(placings.len()));
        let is_new = |insert: &&Insert| (insert.span, insert.position) == (span, sample.position);
        let known = inserts.len();
        inserts.extend(flv.inserts.iter().skip(known).filter(is_new).cloned());
    }

    /// Whether [`FirstWalk::finish`] can say what the head is.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self.plan, Plan::Mp4(None))
    }

    /// Lets go of what takes memory: the head must then be found in another walk. False if there is
    /// nothing of that kind.
    pub(super) fn shed(&mut self) -> bool {
        match &mut self.plan {
            Plan::Mp4(builder) => builder.take().is_some(),
            _ => false,
        }
    }

    /// Bytes of memory, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let frames = self.facts.frames();
        match &self.plan {
            Plan::Mp4(Some(_)) => usize::try_from(frames).unwrap_or(usize::MAX) * SAMPLE_BYTES,
            Plan::Flv(flv) => flv.head.keyframes_kept() * KEYFRAME_BYTES,
            _ => 0,
        }
    }
}
