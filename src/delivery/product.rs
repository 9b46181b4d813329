//! One product of one object: projected from the journal block by block and stored at once.
//!
//! Claiming, committing and giving up are [`super`]'s; this file only gets the bytes into the store.

use bytes::Bytes;
use futures_util::future::join;
use tracing::info;

use crate::{
    db::media_file::{Fence, Fenced, MediaUpload},
    domain::{
        media_file::{DeliveryProgress, MediaFile},
        recording::Span,
        verification::ObjectEvidence,
    },
    media::hls::SegmentType,
    storage::{StorageKey, Upload},
};

use super::{
    DeliverError, Delivery,
    check::Proof,
    project::{Object, Projection, READ_OVER},
    step::{MAIN, main_key},
    strays,
    upload::{self, StoredPart},
};

/// What the row of an upload says that is never continued: it holds no parts of the body alone.
const PROJECTOR: i64 = 1;
/// How often the store is asked to free an upload that it refuses to.
const ABORT_TRIES: u32 = 8;

impl Delivery {
    /// Makes and stores the product of a file that is one object, at once, then commits it.
    pub(super) async fn deliver(
        &self,
        mut file: MediaFile,
        fence: Fence,
    ) -> Result<(), DeliverError> {
        let spans = file.spans.clone();
        let causes = self.causes(&spans).await?;
        let (journal, container) = (self.journal.clone(), file.container);
        let (facts, hls) = (file.facts.clone(), self.settings.hls);
        let projection = self
            .read(move || Projection::open(&journal, container, &spans, causes, facts, hls))
            .await?;
        let main = main_key(&file);
        self.abort_earlier(&file, &main).await?;
        self.db.forget_media_upload(file.id).await?;
        let total_len = projection.total_len();
        let part_size = upload::part_size(self.settings.part_size, total_len);
        let (store, buffers) = (self.store.clone(), self.uploads.buffers.clone());
        let mut writer = upload::Writer::new(store, buffers, main.clone(), part_size, total_len);
        let mut is_noted = false;
        let mut left = total_len;
        let (mut projection, mut part) = self.next_part_of(projection, part_size, left).await?;
        while !part.is_empty() {
            if writer.begins_with(part.len()) {
                // Before it is begun: should its id never be learned, it is found by its key.
                self.note_upload(&file, fence, "", part_size).await?;
            }
            left = left.saturating_sub(part.len() as u64);
            // While the store takes one, the next is made.
            let making = self.next_part_of(projection, part_size, left);
            let (written, made) = join(writer.write(part), making).await;
            if let (Some(id), false) = (writer.upload_id(), is_noted) {
                is_noted = true;
                self.note_upload(&file, fence, id, part_size).await?;
            }
            if let Err(error) = written {
                writer.abort().await;
                return Err(error.into());
            }
            (projection, part) = made?;
        }
        let (parts, proof) = writer.finish().await?;
        file.facts = projection.facts().clone();
        file.facts.size_bytes = parts.iter().map(|part| part.size_bytes).sum();
        file.facts.objects = 1;
        file.storage_key = main.as_str().to_owned();
        self.note(&file, fence, DeliveryProgress::Stored).await?;
        if proof == Proof::Verified {
            self.note(&file, fence, DeliveryProgress::Verified).await?;
        }
        let evidence = projection.finish(evidence_of(&parts).collect());
        self.commit(file, &evidence, proof, fence).await
    }

    /// As much of a product as one part has, `left` bytes of it being thought to come; empty at its
    /// end.
    async fn next_part_of(
        &self,
        mut projection: Projection,
        part_size: u64,
        left: u64,
    ) -> Result<(Projection, Bytes), DeliverError> {
        let buffers = self.uploads.buffers.clone();
        let want = usize::try_from(part_size).unwrap_or(usize::MAX).max(1);
        self.read(move || {
            let room = want.min(usize::try_from(left).unwrap_or(usize::MAX));
            let bytes = projection.read_into(buffers.take(room.saturating_add(READ_OVER)), want)?;
            Ok((projection, buffers.lend(bytes)))
        })
        .await
    }

    /// Why the push of each span but the last ended.
    pub(super) async fn causes(&self, spans: &[Span]) -> Result<Vec<String>, DeliverError> {
        let mut causes = Vec::with_capacity(spans.len());
        // Only an interruption inside the file is asked for its cause.
        for span in spans.iter().rev().skip(1).rev() {
            let reason = self.db.session_end_reason(span.session).await?;
            causes.push(reason.unwrap_or_else(|| "unknown".to_owned()));
        }
        Ok(causes)
    }

    /// Remembers an upload in parts, so that a later attempt can free what the store holds of it.
    async fn note_upload(
        &self,
        file: &MediaFile,
        fence: Fence,
        id: &str,
        part_size: u64,
    ) -> Result<(), DeliverError> {
        let upload = MediaUpload {
            projector: PROJECTOR,
            upload_id: format!("{MAIN}:{id}"),
            part_size,
            reserve_bytes: 0,
        };
        match self.db.set_media_upload(file.id, fence, &upload).await? {
            Fenced::Done => Ok(()),
            Fenced::Lost => Err(DeliverError::LeaseLost),
        }
    }

    /// Frees what the store holds of an upload that an earlier attempt at this file left open. If
    /// the store refuses that for good, it costs space there (a lifecycle rule ends that), never the
    /// product.
    ///
    /// # Errors
    /// The store, or the database, cannot do it now: to be tried again before the upload is forgotten.
    pub(super) async fn abort_earlier(
        &self,
        file: &MediaFile,
        main: &StorageKey,
    ) -> Result<(), DeliverError> {
        let Some(earlier) = self.db.media_upload(file.id).await? else { return Ok(()) };
        let Some((name, id)) = earlier.upload_id.split_once(':') else { return Ok(()) };
        let key = key_of(main, Object::parse(name), self.settings.hls.segment_type);
        let upload = Upload { key: key.clone(), id: id.to_owned(), part_size: earlier.part_size };
        if id.is_empty() {
            self.note_stray(file, &key).await?;
        }
        let mut tries = 0;
        let freed = loop {
            let freed = match id.is_empty() {
                // The process that was to begin it died, or the store's answer was lost.
                true => strays::free_all(&*self.store, &key).await,
                false => self.store.abort(&upload).await,
            };
            tries += 1;
            // A refusal may be of the moment; what is not freed now is never heard of again.
            match &freed {
                Err(error) if !error.is_transient() && tries < ABORT_TRIES => {}
                _ => break freed,
            }
        };
        match freed {
            Err(error) if error.is_transient() => Err(error.into()),
            // Nothing is granted now, such as with wrong credentials, or only this never is.
            Err(error) if self.store.check().await.is_err() => Err(error.into()),
            Err(error) => {
                info!(upload.id = id, %error, "an abandoned upload could not be aborted");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// What the summary says of the stored object.
fn evidence_of(parts: &[StoredPart]) -> impl Iterator<Item = ObjectEvidence> {
    (1..).zip(parts).map(|(part, stored)| ObjectEvidence {
        object: MAIN.to_owned(),
        part,
        size_bytes: stored.size_bytes,
        sha256: hex::encode(stored.sha256),
    })
}

/// Key of one of a file's objects.
pub(super) fn key_of(main: &StorageKey, object: Object, segment_type: SegmentType) -> StorageKey {
    match object {
        Object::Main => main.clone(),
        Object::Init(number) => main.init(number),
        Object::Segment(number) => main.segment(number, segment_type),
    }
}
