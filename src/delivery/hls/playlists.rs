//! The playlists of an HLS product: the final one, and those of the segments that are complete while
//! it grows.

use crate::{
    domain::media_file::NotedSegment,
    media::hls::{
        Segment, SegmentType,
        playlist::{self, init_name, segment_name},
    },
};

use super::HlsBody;

impl HlsBody {
    /// That of the finished product.
    pub(super) fn playlist(&self) -> String {
        // Version 3 does not know the tag.
        let is_independent = self.settings.segment_type == SegmentType::Fmp4
            && self.plan.segments().iter().all(|segment| segment.is_independent);
        self.with_entries(|entries| {
            playlist::vod(self.header(is_independent), entries.iter().copied())
        })
    }

    /// The playlist while the file grows. That all segments are independent cannot be promised.
    pub(super) fn growing_playlist(&self) -> String {
        let target_s = self.plan.target_duration_s();
        self.with_entries(|entries| {
            playlist::event(self.header(false), entries.iter().copied(), target_s)
        })
    }

    /// What they say of a segment.
    pub(super) fn noted(&self, number: u64) -> Option<NotedSegment> {
        let planned = self.plan.segments().get(usize::try_from(number).ok()?)?;
        let Segment { duration_ms, is_discontinuous } = planned.segment();
        let init = self.plan.inits().and_then(|inits| inits.map_at(number));
        Some(NotedSegment { duration_ms, is_discontinuous, init: init.map(|init| init as u64) })
    }

    fn header(&self, is_independent: bool) -> playlist::Header {
        playlist::Header { segment_type: self.settings.segment_type, is_independent }
    }

    /// Shows the lines of the segments that are complete.
    fn with_entries(&self, write: impl FnOnce(&[playlist::Entry<'_>]) -> String) -> String {
        let segment_type = self.settings.segment_type;
        let init_of = |number| Some(init_name(self.plan.inits()?.map_at(number)? as u64));
        let names: Vec<(String, Option<String>)> = (0..self.made as u64)
            .map(|number| (segment_name(number, segment_type), init_of(number)))
            .collect();
        let planned = self.plan.segments();
        let entries: Vec<_> = names
            .iter()
            .zip(planned)
            .map(|((path, init), planned)| playlist::Entry {
                path,
                segment: planned.segment(),
                init: init.as_deref(),
            })
            .collect();
        write(&entries)
    }
}
