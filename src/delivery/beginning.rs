//! How the pushes of a file begin: looked up out of turn, before their samples are walked over.

use crate::{journal::JournalError, media::sample::Sample};

use super::{source::Source, timeline::Search};

impl Source {
    /// Looks how the push of a span begins, into so many of its samples at most.
    pub(super) fn opening(
        &mut self,
        span: usize,
        of_all_tracks: bool,
        max: usize,
    ) -> Result<Search, JournalError> {
        let mut search = Search::new(of_all_tracks);
        if let Some((reader, from, to)) = self.reader(span)
            && from < to
        {
            for sample in reader.samples(from.max(reader.start()), to)?.take(max) {
                if search.push(&sample?) {
                    break;
                }
            }
        }
        Ok(search)
    }

    /// The first frame of a span, if it is one of its first `max` samples.
    pub fn first_frame(&mut self, span: usize, max: usize) -> Result<Option<Sample>, JournalError> {
        let search = self.opening(span, true, max)?;
        Ok(search.first_frame())
    }

    /// Unix milliseconds of the last arrival noted before a span that begins in the middle of a push.
    pub fn mark_before(&mut self, span: usize) -> Result<Option<i64>, JournalError> {
        match self.reader(span) {
            Some((reader, from @ 1.., _)) if from >= reader.start() => {
                reader.mark_before(from).map(Some)
            }
            _ => Ok(None),
        }
    }
}
