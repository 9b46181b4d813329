//! One step of an HLS file, growing or ended: about a part's worth of objects is made and stored.
//!
//! After a restart of the process everything is made again from the journal, in the same way, and
//! only what the store does not have is sent; see [`super::objects`].

use bytes::Bytes;
use tracing::info;

use crate::{
    db::media_file::{Fence, MediaUpload},
    domain::{
        container::Container,
        media_file::{DeliveryProgress, MediaFacts, MediaFile},
        recording::Span,
        verification::ObjectEvidence,
    },
    media::hls::SegmentType,
};

use super::{
    DeliverError, Delivery,
    check::Proof,
    finish::Turn,
    hls::GrowingHls,
    objects::{Coming, Stored},
    product::key_of,
    project::{Block, Object, ProjectError},
    source::Source,
    step::main_key,
    uploads::FileUpload,
    view::View,
};

/// Bytes projected at a time.
const BLOCK_BYTES: usize = 1 << 20;
/// Memory that the evidence of an object takes, about.
const OBJECT_BYTES: usize = 256;

/// What rows of the objects of a file say of how they were made: version and type of segments.
pub(super) fn projector(segment_type: SegmentType) -> i64 {
    match segment_type {
        SegmentType::Ts => 7,
        SegmentType::Fmp4 => 10,
    }
}

/// The segments that such a row speaks of, whatever the version.
pub(super) fn segment_type_of(projector: i64) -> SegmentType {
    match projector {
        4 | 6 | 8 | 10 => SegmentType::Fmp4,
        _ => SegmentType::Ts,
    }
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HlsStep {
    /// There may be more to make.
    More,
    /// Not before more has come.
    Starved,
    /// All objects are stored.
    End,
}

/// An HLS file whose objects are made.
pub(super) struct HlsUpload {
    growing: GrowingHls,
    /// What it was made of when it was looked at last.
    spans: Vec<Span>,
    /// What was measured, once the file was complete.
    facts: Option<MediaFacts>,
    /// Of the objects so far.
    objects: Vec<ObjectEvidence>,
    count: u32,
    proof: Proof,
    /// A complete object that the store did not take.
    unsent: Option<(Object, Bytes)>,
}

impl HlsUpload {
    /// Bytes of memory kept between two steps, about.
    pub fn memory_bytes(&self) -> usize {
        let unsent = self.unsent.as_ref().map_or(0, |(_, body)| body.len());
        self.growing.memory_bytes() + self.objects.len() * OBJECT_BYTES + unsent
    }

    /// Looks at all there is by now.
    fn look(&mut self, view: &View, source: &mut Source) -> Result<(), ProjectError> {
        if self.facts.is_some() {
            return Ok(());
        }
        let spans = &view.file.spans;
        self.growing.set_spans(spans, view.causes.clone());
        self.growing.look_ahead(source)?;
        self.spans.clone_from(spans);
        if source.is_final() {
            self.facts = Some(self.growing.finish(source, view.file.facts.clone())?);
        }
        Ok(())
    }

    fn count_in(&mut self, object: Object, stored: Stored) -> u64 {
        let size_bytes = stored.size_bytes();
        self.proof = self.proof.and(stored.proof);
        self.count += 1;
        let name = object.name();
        self.objects.extend(stored.parts.into_iter().map(|part| part.evidence(&name)));
        size_bytes
    }

    /// What was made does not count.
    fn begin_again(&mut self) {
        self.objects.clear();
        (self.count, self.proof) = (0, Proof::Verified);
    }
}

impl Delivery {
    /// Finds out, once, whether the store has objects of a file from an earlier process. Those that are to
    /// be made in another way go: not before there is something to make them of.
    async fn load_objects(
        &self,
        file: &MediaFile,
        state: &mut FileUpload,
    ) -> Result<(), DeliverError> {
        if state.is_loaded {
            return Ok(());
        }
        let row = self.db.media_upload(file.id).await?.unwrap_or_default();
        if !row.upload_id.is_empty() {
            self.abort_earlier(file, &main_key(file)).await?;
        }
        let wanted = projector(self.settings.hls.segment_type);
        if row.projector == wanted {
            if !row.upload_id.is_empty() {
                self.note_object_upload(file, String::new()).await?;
            }
        } else {
            self.remove_objects(file, |_| true).await?;
            let part_size = self.settings.part_size;
            let note = MediaUpload { projector: wanted, part_size, ..MediaUpload::default() };
            self.db.begin_media_upload(file.id, &note).await?;
        }
        state.is_loaded = true;
        Ok(())
    }

    /// Makes and stores about a part's worth of objects.
    pub(super) async fn hls_step(
        &self,
        view: &View,
        state: &mut FileUpload,
    ) -> Result<HlsStep, DeliverError> {
        let earlier = state.hls.take();
        let spans = &view.file.spans;
        let earlier = earlier.filter(|hls| hls.growing.fits(&hls.spans, spans));
        let mut hls = earlier.unwrap_or_else(|| {
            let creation_s = view.file.facts.start_ms.div_euclid(1000);
            Box::new(HlsUpload {
                growing: GrowingHls::new(self.settings.hls, creation_s),
                spans: Vec::new(),
                facts: None,
                objects: Vec::new(),
                count: 0,
                proof: Proof::Verified,
                unsent: None,
            })
        });
        let (journal, seen) = (self.journal.clone(), view.clone());
        let (hls, source) = self
            .read(move || {
                let mut source = seen.open(&journal)?;
                hls.look(&seen, &mut source)?;
                Ok((hls, source))
            })
            .await?;
        self.load_objects(&view.file, state).await?;
        let mut coming = None;
        let step = self.make_objects(&view.file, state, (hls, source), &mut coming).await;
        if let Some(coming) = coming {
            self.drop_object(coming).await;
        }
        // Whatever failed, an upload may be open that only the row knows of: it is asked what to free.
        state.is_loaded &= step.is_ok();
        step
    }

    /// Does so; what is to be kept of `hls` goes back to `state`.
    async fn make_objects(
        &self,
        file: &MediaFile,
        state: &mut FileUpload,
        (mut hls, mut source): (Box<HlsUpload>, Source),
        coming: &mut Option<Coming>,
    ) -> Result<HlsStep, DeliverError> {
        let mut sent = 0;
        if let Some((object, body)) = hls.unsent.take() {
            let known = self.db.media_parts(file.id, &object.name()).await?;
            match self.put_object(file, object, &known, body.clone()).await {
                Ok(stored) => sent += hls.count_in(object, stored),
                Err(error) => {
                    hls.unsent = Some((object, body));
                    state.hls = Some(hls);
                    return Err(error);
                }
            }
        }
        let step = loop {
            if sent >= self.settings.part_size {
                break HlsStep::More;
            }
            let block;
            (hls, source, block) = self
                .read(move || {
                    let block = hls.growing.next_block(&mut source, BLOCK_BYTES)?;
                    Ok((hls, source, block))
                })
                .await?;
            match block {
                Block::Bytes { object, bytes } => {
                    if coming.is_none() {
                        *coming = Some(self.begin_object(file, object).await?);
                    }
                    if let Some(coming) = coming {
                        self.add_to_object(file, coming, bytes).await?;
                    }
                }
                Block::EndOfObject => {
                    let Some(complete) = coming.take() else { continue };
                    let object = complete.object;
                    if let Object::Segment(number) = object
                        && let Some(noted) = hls.growing.noted(number)
                    {
                        self.db.note_media_segment(file.id, number, noted).await?;
                    }
                    match self.complete_object(file, complete).await {
                        Ok(stored) => sent += hls.count_in(object, stored),
                        Err((None, error)) => return Err(error),
                        Err((unsent, error)) => {
                            hls.unsent = unsent;
                            state.hls = Some(hls);
                            return Err(error);
                        }
                    }
                }
                Block::Restart => {
                    info!(
                        "a later sample changes what an HLS file begins with: its objects are made again"
                    );
                    hls.begin_again();
                    self.db.forget_noted_segments(file.id).await?;
                }
                Block::Playlist { bytes } => {
                    // The next one has all that this one has.
                    if let Err(error) = self.store.put(&main_key(file), bytes).await {
                        info!(%error, "the playlist of a growing HLS file could not be stored now");
                    }
                }
                Block::Starved => break HlsStep::Starved,
                Block::End => break HlsStep::End,
            }
        };
        state.hls = Some(hls);
        Ok(step)
    }

    /// Does as much of an ended HLS file as one turn is for.
    pub(super) async fn hls_turn(
        &self,
        view: &View,
        fence: Fence,
        state: &mut FileUpload,
    ) -> Result<Turn, DeliverError> {
        match self.hls_step(view, state).await? {
            HlsStep::More => return Ok(Turn::More),
            HlsStep::Starved => {
                state.hls = None;
                return Err(ProjectError::Broken("segments are missing").into());
            }
            HlsStep::End => {}
        }
        let Some(hls) = &state.hls else {
            return Err(ProjectError::Broken("the objects are lost").into());
        };
        let mut file = view.file.clone();
        file.facts = hls.facts.clone().unwrap_or_default();
        file.facts.size_bytes = hls.objects.iter().map(|object| object.size_bytes).sum();
        file.facts.objects = hls.count;
        file.storage_key = main_key(&file).as_str().to_owned();
        // Of a journal that was longer before the power failed.
        let has = |name: &str| hls.objects.iter().any(|object| object.object == name);
        self.remove_objects(&file, |name| !has(name)).await?;
        self.note(&file, fence, DeliveryProgress::Stored).await?;
        if hls.proof == Proof::Verified {
            self.note(&file, fence, DeliveryProgress::Verified).await?;
        }
        let summary = hls.growing.verification(hls.objects.clone());
        self.commit(file, &summary, hls.proof, fence).await?;
        Ok(Turn::Done)
    }

    /// Removes those objects of an HLS file from the store that the rows have and `is_wrong` names.
    async fn remove_objects(
        &self,
        file: &MediaFile,
        is_wrong: impl Fn(&str) -> bool,
    ) -> Result<(), DeliverError> {
        let names = self.db.media_objects(file.id).await?;
        if !names.iter().any(|name| is_wrong(name)) {
            return Ok(());
        }
        let row = self.db.media_upload(file.id).await?.unwrap_or_default();
        let segment_type = segment_type_of(row.projector);
        for name in names.iter().filter(|name| is_wrong(name)) {
            self.store.delete(&key_of(&main_key(file), Object::parse(name), segment_type)).await?;
        }
        Ok(())
    }

    /// Nothing comes of an HLS file: what the store has of it is removed, a growing playlist first.
    pub(super) async fn remove_product(&self, file: &MediaFile) -> Result<(), DeliverError> {
        if file.container != Container::Hls {
            return Ok(());
        }
        // One that cannot be made a second time may be in the store since the first.
        if !self.db.media_objects(file.id).await?.is_empty() {
            self.store.delete(&main_key(file)).await?;
        }
        self.remove_objects(file, |_| true).await
    }
}

/// Journal bytes from which on a file is worth another look, of which so many were looked at.
pub(super) fn look_at(state: &FileUpload, stretch: u64) -> u64 {
    let pace = state.hls.as_ref().and_then(|hls| hls.growing.pace(stretch));
    stretch.saturating_add(pace.unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_every_version_say_what_their_objects_are() {
        for segment_type in SegmentType::ALL {
            assert_eq!(segment_type_of(projector(segment_type)), segment_type);
        }
        assert_eq!([3, 5, 7].map(segment_type_of), [SegmentType::Ts; 3]);
        assert_eq!([4, 6, 8].map(segment_type_of), [SegmentType::Fmp4; 3]);
    }
}
