//! What rotted where it came and stands elsewhere too: a codec configuration or onMetaData is repeated
//! in the head of each later file for as long as it is in force.
//!
//! A tag, or the record in one of several tracks, is given only if its checksum proves it.

use super::{
    checksum,
    error::Result,
    prefix::{Health, Prefix},
    reader::Reader,
    tracker::InForce,
};
use crate::media::{
    config::TrackConfig,
    flv::header::encode_tag,
    sample::{Sample, SampleKind},
};

impl Reader {
    /// The whole tag that `sample` is the first one of, as it came, if it is one that later files
    /// repeat. To be asked where its own bytes have rotted.
    ///
    /// # Errors
    /// A head cannot be read.
    pub fn copy_of_tag(&mut self, sample: &Sample) -> Result<Option<Vec<u8>>> {
        if sample.crc.is_none() || sample.tag_len == 0 {
            return Ok(None);
        }
        let payload = match sample.kind {
            SampleKind::Config => {
                self.repeated_config(sample)?.map(|config| config.tag_payload().clone())
            }
            SampleKind::Script => {
                self.in_heads_behind(sample, |in_force| in_force.metadata.clone())?
            }
            _ => None,
        };
        Ok(payload.and_then(|payload| {
            let mut tag = Vec::with_capacity(sample.tag_len as usize);
            encode_tag(sample.track.tag_kind(), sample.dts_ms, &payload, &mut tag);
            checksum::is_intact(sample, &tag).then_some(tag)
        }))
    }

    /// The configuration with the ordinal of `sample`, from a head behind it.
    pub(super) fn repeated_config(&mut self, sample: &Sample) -> Result<Option<TrackConfig>> {
        self.in_heads_behind(sample, |in_force| {
            let mut configs = in_force.configs.iter();
            let found = configs.find(|known| known.ordinal == sample.config && known.ordinal > 0);
            found.map(|known| known.config.clone())
        })
    }

    /// Looks into the heads of the files behind the one that `sample` stands in, as far as they can be
    /// read, up to the first that is whole: what that does not repeat was in force no longer.
    fn in_heads_behind<T>(
        &mut self,
        sample: &Sample,
        look: impl Fn(&InForce) -> Option<T>,
    ) -> Result<Option<T>> {
        self.grow();
        for nth in self.locate(sample.position)? + 1..self.files() {
            let number = self.number(nth)?;
            let path = self.folder.data(number);
            // What is copied here is no worse off than without it.
            let Ok(prefix) = Prefix::load(&path, self.folder.session, number) else { continue };
            let found = look(&prefix.state.in_force);
            if found.is_some() || prefix.health == Health::Whole {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
