//! The end of a file: what is left of its body, then its head, then the proof, then the commit.
//!
//! Large files go a part at a time here too, and the worker asks after each what to do next: so many
//! small ones are not behind one large one.

use bytes::Bytes;
use futures_util::future::join;
use tracing::info;

use crate::{
    db::media_file::{Fence, Fenced, MediaPart},
    domain::{
        container::Container,
        media_file::{DeliveryProgress, MediaFile},
    },
    journal::JournalError,
    media::lazy_bytes::LazyBytes,
    storage::Part,
};

use super::{
    DeliverError, Delivery,
    check::{self, Proof},
    damage,
    growing::Place,
    layout::{Layout, PARTS_WAITING},
    part::Stretch,
    project::ProjectError,
    step::{MAIN, Step, main_key},
    uploads::FileUpload,
    view::View,
};

/// What a turn of a worker at an ended file came to.
pub(super) enum Turn {
    /// The file is stored and committed.
    Done,
    /// There is more to do.
    More,
}

impl Delivery {
    /// Does as much of an ended file as one turn is for.
    pub(super) async fn take_turn(
        &self,
        file: &MediaFile,
        fence: Fence,
    ) -> Result<Turn, DeliverError> {
        let slot = self.uploads.of(file.id);
        let mut state = slot.lock().await;
        state.begin_step();
        let turn = self.turn_of(file, fence, &mut state).await;
        if let Err(DeliverError::Project(ProjectError::Journal(error))) = &turn
            && damage::may_be_repaired(error)
        {
            // It could be opened: that asks for its last index alone. The next attempt has more.
            let (journal, spans) = (self.journal.clone(), file.spans.clone());
            let repaired = self.journal.run_read(move || damage::repair(&journal, &spans)).await;
            if let Err(error) = repaired {
                info!(file.id = %file.id, %error, "the journal of a media file could not be repaired now");
            }
        }
        state.end_step();
        let memory_bytes = state.memory_bytes();
        drop(state);
        match &turn {
            Ok(Turn::Done) => self.uploads.forget(file.id),
            Ok(Turn::More) | Err(_) => self.uploads.settle(file.id, memory_bytes, 0),
        }
        turn
    }

    async fn turn_of(
        &self,
        file: &MediaFile,
        fence: Fence,
        state: &mut FileUpload,
    ) -> Result<Turn, DeliverError> {
        if !state.is_loaded {
            if file.container == Container::Hls && self.deliver_remains(file, fence).await? {
                return Ok(Turn::Done);
            }
            self.spare_what_is_stored(file).await?;
        }
        let causes = self.causes(&file.spans).await?;
        let view = View { file: file.clone(), causes, decided: None };
        if file.container == Container::Hls {
            return match self.hls_turn(&view, fence, state).await {
                // It was there when the file was looked at first.
                Err(DeliverError::Project(ProjectError::Journal(JournalError::Missing(_))))
                    if self.deliver_remains(file, fence).await? =>
                {
                    Ok(Turn::Done)
                }
                Err(DeliverError::Project(ProjectError::Lost))
                    if self.deliver_stored(file, fence).await? =>
                {
                    Ok(Turn::Done)
                }
                turn => turn,
            };
        }
        self.load_upload(file, state).await?;
        match self.turn(&view, fence, state).await {
            Err(error) => match self.is_begun_anew(file, state, &error).await? {
                true => Ok(Turn::More),
                false => Err(error),
            },
            turn => turn,
        }
    }

    async fn turn(
        &self,
        view: &View,
        fence: Fence,
        state: &mut FileUpload,
    ) -> Result<Turn, DeliverError> {
        if state.upload.is_none() {
            let needed = self.settings.part_size.saturating_mul(PARTS_WAITING);
            let mut is_short = state.is_whole || view.stretch() < needed;
            if !is_short {
                let (measured, _) = self.measure(view).await?;
                is_short = measured.body_len < needed;
                if !is_short {
                    self.begin_upload(view, measured, state).await?;
                }
            }
            if is_short {
                self.deliver(view.file.clone(), fence).await?;
                return Ok(Turn::Done);
            }
        }
        match self.step(view, state).await? {
            Step::Part | Step::Starved(_) => Ok(Turn::More),
            Step::Rest(rest) => {
                let done = self.complete(view, fence, state, rest.clone()).await;
                // Not done: it is made of what is left once more.
                if let (Err(_), Some(growing)) = (&done, &mut state.growing) {
                    growing.give_back(&rest);
                }
                done.map(|()| Turn::Done)
            }
        }
    }

    /// Stores what is left and the head, and commits.
    async fn complete(
        &self,
        view: &View,
        fence: Fence,
        state: &mut FileUpload,
        rest: Bytes,
    ) -> Result<(), DeliverError> {
        let Some((upload, layout)) = state.upload.clone() else {
            return Err(ProjectError::Broken("there is no upload").into());
        };
        let Some(mut growing) = state.growing.take() else {
            return Err(ProjectError::Broken("the body is lost").into());
        };
        let (journal, seen) = (self.journal.clone(), view.clone());
        let (growing, ends) = self
            .read(move || {
                let mut source = seen.open(&journal)?;
                let View { file, causes, .. } = seen;
                let reserve = layout.reserve;
                let ends = growing.finish(&mut source, &file.spans, causes, file.facts, reserve);
                Ok((growing, ends))
            })
            .await?;
        state.growing = Some(growing);
        let ends = ends?;
        let mut behind = LazyBytes::default();
        behind.push(rest);
        behind.append(ends.tail);
        let behind = Stretch { number: state.number, bytes: behind };
        // While the store takes what is left, what the first parts have of the body is made again.
        let sending = self.send_stretch(view, &upload, layout.part_size, behind);
        let (sent, lead) = join(sending, self.lead(view, state, layout)).await;
        let (last, have_md5) = sent?;
        state.has_md5_tags &= have_md5;
        let mut head = ends.head;
        head.push(lead?);
        if head.len() != u64::from(layout.leading()) * layout.part_size {
            return Err(ProjectError::Broken("the file is shorter than its first parts").into());
        }
        let head = Stretch { number: 1, bytes: head };
        let (sent, have_md5) = self.send_stretch(view, &upload, layout.part_size, head).await?;
        state.has_md5_tags &= have_md5;
        let last = sent.max(last);

        let rows = self.parts(&view.file, last).await?;
        let parts: Vec<Part> = rows
            .iter()
            .map(|row| Part { number: row.number, etag: row.etag.clone(), size: row.size_bytes })
            .collect();
        self.store.complete(&upload, &parts).await?;
        self.note(&view.file, fence, DeliveryProgress::Stored).await?;
        let etags: Vec<String> = rows.iter().map(|row| row.etag.clone()).collect();
        let size = parts.iter().map(|part| part.size).sum();
        let tag = state.has_md5_tags.then(|| check::composite(&etags)).flatten();
        let proof = check::look(&*self.store, &upload.key, size, tag.as_deref()).await?;
        if proof == Proof::Verified {
            self.note(&view.file, fence, DeliveryProgress::Verified).await?;
        }
        let objects = rows.into_iter().map(|row| row.evidence(MAIN)).collect();
        let Some(growing) = &state.growing else {
            return Err(ProjectError::Broken("the body is lost").into());
        };
        let mut file = view.file.clone();
        file.facts = ends.facts;
        (file.facts.size_bytes, file.facts.objects) = (size, 1);
        file.storage_key = main_key(&view.file).as_str().to_owned();
        self.commit(file, &growing.verification(objects), proof, fence).await
    }

    /// The beginning of the body, which is in the first parts.
    async fn lead(
        &self,
        view: &View,
        state: &mut FileUpload,
        layout: Layout,
    ) -> Result<Bytes, DeliverError> {
        match usize::try_from(layout.lead()).unwrap_or(usize::MAX) {
            0 => Ok(Bytes::new()),
            lead => {
                let bytes = self.again(view, state, Place::default(), lead).await?;
                let Some(growing) = state.growing.take() else {
                    return Err(ProjectError::Broken("the body is lost").into());
                };
                let (growing, bytes) = self
                    .read(move || match growing.is_lead(&bytes) {
                        true => Ok((growing, bytes)),
                        false => Err(ProjectError::Broken("the journal does not say what it said")),
                    })
                    .await?;
                state.growing = Some(growing);
                Ok(bytes)
            }
        }
    }

    /// The parts up to `last`, all of them.
    async fn parts(&self, file: &MediaFile, last: u32) -> Result<Vec<MediaPart>, DeliverError> {
        let mut rows = self.db.media_parts(file.id, MAIN).await?;
        rows.retain(|row| row.number <= last);
        match rows.len() == last as usize {
            true => Ok(rows),
            false => Err(ProjectError::Broken("the rows do not have every part").into()),
        }
    }

    pub(super) async fn note(
        &self,
        file: &MediaFile,
        fence: Fence,
        progress: DeliveryProgress,
    ) -> Result<(), DeliverError> {
        match self.db.set_media_progress(file.id, fence, progress).await? {
            Fenced::Done => Ok(()),
            Fenced::Lost => Err(DeliverError::LeaseLost),
        }
    }
}
