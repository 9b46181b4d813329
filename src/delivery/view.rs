//! What a file is made of, at one moment: its row, why its pushes ended, and how far it is decided.

use super::{DeliverError, Delivery, project::ProjectError, source::Source};
use crate::{
    domain::{media_file::MediaFile, recording::Span},
    journal::Journal,
};

/// What a file is made of, at one moment.
#[derive(Clone)]
pub(super) struct View {
    /// The row.
    pub file: MediaFile,
    /// Why the push of each span but the last ended.
    pub causes: Vec<String>,
    /// Up to where it is known what belongs to it; `None` if it is complete.
    pub decided: Option<u64>,
}

impl View {
    /// Opens its journals. Blocking.
    pub fn open(&self, journal: &Journal) -> Result<Source, ProjectError> {
        let spans = &self.file.spans;
        Ok(match self.decided {
            Some(decided) => Source::open_growing(journal, self.file.container, spans, decided)?,
            None => Source::open_remaining(journal, spans)?,
        })
    }

    /// Journal bytes that can be read of it.
    pub fn stretch(&self) -> u64 {
        let len = |span: &Span| match span.to.or(self.decided) {
            // It may be long.
            Some(_) if span.has_unknown_end() => u64::MAX,
            to => to.unwrap_or(span.from).saturating_sub(span.from),
        };
        self.file.spans.iter().map(len).fold(0, u64::saturating_add)
    }

    /// Unix seconds that the product says it was made at.
    pub fn creation_s(&self) -> i64 {
        self.file.facts.start_ms.div_euclid(1000)
    }
}

impl Delivery {
    /// Reads journals where that delays nobody else.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, ProjectError> + Send + 'static,
    ) -> Result<T, DeliverError> {
        Ok(self.journal.run_read(job).await?)
    }
}
