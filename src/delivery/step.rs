//! One step of an upload in parts: exactly one part is projected, stored, remembered.
//!
//! The same for a file that grows and for one that has ended. What was uploaded is not sent again.

use bytes::Bytes;
use tracing::{info, warn};

use crate::{
    db::{
        Db,
        media_file::{MediaPart, MediaUpload},
    },
    domain::media_file::{MediaFile, MediaFileState},
    storage::{COMPLETING, StorageError, StorageKey, Upload},
};

use super::{
    DeliverError, Delivery,
    first_walk::{FirstWalk, Planned},
    growing::{Growing, Place},
    layout::{Layout, Measured},
    part::PartBytes,
    product::key_of,
    project::{Body, Object, ProjectError, READ_OVER},
    uploads::{FileUpload, Unsent},
    view::View,
};

/// Version of the projector and of the layout: an upload begun by another one is not continued.
const PROJECTOR: i64 = 8;
/// The object that the parts are of.
pub(super) const MAIN: &str = "main";
/// Uploads of one file that are begun anew because the store refused a part: it may refuse them all.
const MAX_REFUSED: u32 = 5;
/// RecordInterval where the recording cannot be asked.
const USUAL_INTERVAL_MS: i64 = 7_200_000;

/// What a step came to.
pub(super) enum Step {
    /// A part of the body was stored.
    Part,
    /// There is not a whole part yet. So many bytes of it wait.
    Starved(u64),
    /// The body is at its end; these bytes are less than a part.
    Rest(Bytes),
}

impl Delivery {
    /// Finds the upload that an earlier process left, once. One that cannot go on is given up.
    pub(super) async fn load_upload(
        &self,
        file: &MediaFile,
        state: &mut FileUpload,
    ) -> Result<(), DeliverError> {
        if state.is_loaded {
            return Ok(());
        }
        let row = self.db.media_upload(file.id).await?.unwrap_or_default();
        let MediaUpload { projector, upload_id, part_size, reserve_bytes } = row;
        if !upload_id.is_empty() {
            match upload_id.split_once(':') {
                Some((MAIN, id)) if projector == PROJECTOR && part_size > 0 && !id.is_empty() => {
                    let upload = Upload { key: main_key(file), id: id.to_owned(), part_size };
                    state.upload = Some((upload, Layout { part_size, reserve: reserve_bytes }));
                    info!(upload.id = id, "the upload of a media file goes on");
                }
                _ => {
                    self.abort_earlier(file, &main_key(file)).await?;
                    self.db.forget_media_upload(file.id).await?;
                }
            }
        }
        state.is_loaded = true;
        Ok(())
    }

    /// Measures what there is of a file, and by how much its product is moved.
    pub(super) async fn measure(&self, view: &View) -> Result<(Measured, i64), DeliverError> {
        let (journal, view) = (self.journal.clone(), view.clone());
        let hls = self.settings.hls;
        self.read(move || {
            let mut source = view.open(&journal)?;
            let spans = view.file.spans.get(..source.spans()).unwrap_or_default();
            let (container, creation_s) = (view.file.container, view.creation_s());
            let first = FirstWalk::new(container, hls, creation_s, spans, view.causes.clone());
            let planned = first.walk(&mut source, view.file.facts.clone(), None)?;
            let Planned { facts, total_len, body: Body::Single(body), .. } = planned else {
                return Err(ProjectError::Broken("the product is not one object"));
            };
            let (head, tail) = body.into_ends();
            let body_len = total_len.saturating_sub(head.len() + tail.len());
            let head_len = head.len();
            let is_final = source.is_final();
            let measured =
                Measured { head_len, body_len, duration_ms: facts.duration_ms, is_final };
            Ok((measured, facts.shift_ms))
        })
        .await
    }

    /// Begins an upload in parts. That it is to be is noted before, its id before its first part:
    /// whatever becomes of this process, the next one can free it.
    pub(super) async fn begin_upload(
        &self,
        view: &View,
        measured: Measured,
        state: &mut FileUpload,
    ) -> Result<(), DeliverError> {
        let file = &view.file;
        let interval_ms = self.record_interval_ms(file).await?;
        let layout = Layout::plan(file.container, measured, interval_ms, self.settings.part_size);
        let mut note = MediaUpload {
            projector: PROJECTOR,
            upload_id: format!("{MAIN}:"),
            part_size: layout.part_size,
            reserve_bytes: layout.reserve,
        };
        // Should this go wrong, the row is asked what to free.
        state.is_loaded = false;
        self.db.begin_media_upload(file.id, &note).await?;
        let upload = self.store.start(&main_key(file), layout.part_size).await?;
        note.upload_id = format!("{MAIN}:{}", upload.id);
        if let Err(error) = self.db.begin_media_upload(file.id, &note).await {
            // Nobody else will ever know of it.
            let _ = self.store.abort(&upload).await;
            return Err(error.into());
        }
        info!(
            upload.id = %upload.id,
            part_size = layout.part_size,
            reserve_bytes = layout.reserve,
            "upload of a media file begun"
        );
        state.reset();
        state.upload = Some((upload, layout));
        Ok(())
    }

    async fn record_interval_ms(&self, file: &MediaFile) -> Result<i64, DeliverError> {
        let mut tx = self.db.begin().await?;
        let recording = Db::load_recording(&mut tx, file.recording).await?;
        drop(tx);
        Ok(recording.map_or(USUAL_INTERVAL_MS, |recording| {
            recording.template.param(file.container).record_interval.saturating_mul(1000)
        }))
    }

    /// Stores one more of the parts that lie inside the room for the head, as the zeros that they
    /// are unless the head reaches into them: then it is stored over them. False if all are there.
    pub(super) async fn pad(
        &self,
        view: &View,
        state: &mut FileUpload,
    ) -> Result<bool, DeliverError> {
        let Some((upload, layout)) = state.upload.clone() else { return Ok(false) };
        let Some(number) = layout.padding().nth(state.padded) else { return Ok(false) };
        let zeros = self.zeros(layout.part_size).await?;
        state.has_md5_tags &= self.send_part(view, &upload, number, zeros).await?;
        state.padded += 1;
        Ok(true)
    }

    /// Makes the next part of the body and stores it.
    pub(super) async fn step(
        &self,
        view: &View,
        state: &mut FileUpload,
    ) -> Result<Step, DeliverError> {
        let Some((upload, layout)) = state.upload.clone() else {
            return Err(ProjectError::Broken("there is no upload").into());
        };
        let want = usize::try_from(layout.part_size).unwrap_or(usize::MAX);
        let (part, place) = match state.unsent.take() {
            Some(unsent) => {
                let place = unsent.place.clone();
                let part = self.make_again(view, state, unsent, want).await?;
                (part, place)
            }
            None => {
                if state.growing.is_none() {
                    let (_, shift_ms) = self.measure(view).await?;
                    let (container, creation_s) = (view.file.container, view.creation_s());
                    state.growing = Some(Growing::new(container, creation_s, shift_ms));
                    state.number = layout.leading() + 1;
                    state.has_md5_tags = true;
                }
                match self.make(view, state, layout, want).await? {
                    Made::Part(part, place) => (part, place),
                    Made::Starved(waiting) => return Ok(Step::Starved(waiting)),
                    Made::Rest(bytes) => return Ok(Step::Rest(bytes)),
                }
            }
        };
        state.unsent = Some(Unsent { place, sha256: part.digests.sha256.clone() });
        state.has_md5_tags &= self.send_part(view, &upload, state.number, part).await?;
        state.unsent = None;
        state.number += 1;
        Ok(Step::Part)
    }

    /// Projects up to a part.
    async fn make(
        &self,
        view: &View,
        state: &mut FileUpload,
        layout: Layout,
        want: usize,
    ) -> Result<Made, DeliverError> {
        let Some(mut growing) = state.growing.take() else {
            return Err(ProjectError::Broken("the body is lost").into());
        };
        let (journal, view) = (self.journal.clone(), view.clone());
        let buffers = self.uploads.buffers.clone();
        let (growing, made) = self
            .read(move || {
                let mut source = view.open(&journal)?;
                growing.set_spans(&view.file.spans, view.causes.clone());
                let lead = if growing.is_at_start() { layout.lead() } else { 0 };
                if !source.is_final() {
                    let needed = lead.saturating_add(want as u64);
                    let waiting = growing.has(&mut source, needed)?;
                    if waiting < needed {
                        return Ok((growing, Made::Starved(waiting)));
                    }
                }
                let mut room = buffers.take(want.saturating_add(READ_OVER));
                if lead > 0 {
                    // It goes up with the head.
                    let lead = usize::try_from(lead).unwrap_or(usize::MAX);
                    room = growing.take_lead(&mut source, lead, room)?;
                    if room.len() < lead {
                        return Err(ProjectError::Broken("the file is shorter than it was"));
                    }
                    room.clear();
                }
                let place = growing.place().clone();
                let bytes = growing.take(&mut source, want, room)?;
                let (len, bytes) = (bytes.len(), buffers.lend(bytes));
                let made = match len == want {
                    true => Made::Part(PartBytes::new(bytes), place),
                    false if source.is_final() => Made::Rest(bytes),
                    false => {
                        growing.give_back(&bytes);
                        Made::Starved(len as u64)
                    }
                };
                Ok((growing, made))
            })
            .await?;
        state.growing = Some(growing);
        Ok(made)
    }

    async fn make_again(
        &self,
        view: &View,
        state: &mut FileUpload,
        unsent: Unsent,
        want: usize,
    ) -> Result<PartBytes, DeliverError> {
        let Unsent { place, sha256 } = unsent;
        let bytes = self.again(view, state, place, want).await?;
        let part = self.read(move || Ok(PartBytes::new(bytes))).await?;
        match part.digests.sha256 == sha256 {
            true => Ok(part),
            false => Err(ProjectError::Broken("the journal does not say what it said").into()),
        }
    }

    /// Bytes of the body that were made before.
    pub(super) async fn again(
        &self,
        view: &View,
        state: &mut FileUpload,
        place: Place,
        want: usize,
    ) -> Result<Bytes, DeliverError> {
        let Some(growing) = state.growing.take() else {
            return Err(ProjectError::Broken("the body is lost").into());
        };
        let (journal, view) = (self.journal.clone(), view.clone());
        let buffers = self.uploads.buffers.clone();
        let (growing, bytes) = self
            .read(move || {
                let mut source = view.open(&journal)?;
                let room = buffers.take(want.saturating_add(READ_OVER));
                let bytes = growing.again(&mut source, &place, want, room)?;
                Ok((growing, buffers.lend(bytes)))
            })
            .await?;
        state.growing = Some(growing);
        Ok(bytes)
    }

    /// Gives an upload up, to begin anew.
    pub(super) async fn give_up_upload(
        &self,
        file: &MediaFile,
        state: &mut FileUpload,
    ) -> Result<(), DeliverError> {
        self.abort_earlier(file, &main_key(file)).await?;
        self.db.forget_media_upload(file.id).await?;
        state.broken += 1;
        state.reset();
        Ok(())
    }

    /// Whether an upload of which the store refused something is not the one that the rows know: some
    /// stores refuse a part of an upload that they have lost, and list none of it, or only a late one.
    async fn is_lost(
        &self,
        file: &MediaFile,
        upload: &Upload,
        action: &str,
    ) -> Result<bool, DeliverError> {
        let listed = match self.store.list_parts(upload).await {
            // Whoever may list its parts may complete it: what is left is half of it.
            Ok(_) if action == COMPLETING => return Ok(true),
            Ok(listed) => listed,
            // Where nothing is granted it may still be there.
            Err(error) => return Ok(matches!(error, StorageError::NoSuchUpload { .. })),
        };
        let known = self.db.media_parts(file.id, MAIN).await?;
        let is_listed = |part: &MediaPart| listed.iter().any(|it| it.number == part.number);
        // With no part in the rows there is nothing to lose.
        Ok(known.is_empty() || !known.iter().all(is_listed))
    }

    /// True if what failed is the upload itself: it was given up and the file begins anew.
    pub(super) async fn is_begun_anew(
        &self,
        file: &MediaFile,
        state: &mut FileUpload,
        error: &DeliverError,
    ) -> Result<bool, DeliverError> {
        let is_wrong = matches!(error, DeliverError::Project(ProjectError::Broken(_)));
        let Some((upload, _)) = &state.upload else { return Ok(false) };
        let is_gone = match error {
            DeliverError::Storage(StorageError::NoSuchUpload { .. }) => true,
            DeliverError::Storage(StorageError::Refused { action, .. })
                if state.broken < MAX_REFUSED =>
            {
                self.is_lost(file, upload, action).await?
            }
            _ => false,
        };
        if !(is_wrong || is_gone) {
            return Ok(false);
        }
        warn!(%error, "the upload of a media file is given up; its product is made anew from the journal");
        // Then without assumptions, when the end is there.
        state.is_whole |= is_wrong && file.state == MediaFileState::Ended;
        self.give_up_upload(file, state).await?;
        Ok(true)
    }
}

/// What was projected.
enum Made {
    Part(PartBytes, Place),
    Starved(u64),
    Rest(Bytes),
}

/// Key of a file's main object.
pub(super) fn main_key(file: &MediaFile) -> StorageKey {
    let main = StorageKey::product_in(&file.folders(), file.id, file.container);
    key_of(&main, Object::Main, Default::default())
}
