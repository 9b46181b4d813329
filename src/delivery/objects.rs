//! The objects of an HLS file on their way into the store, one after the other.
//!
//! What is no larger than a part is put whole, the rest goes in parts. The rows say what the store
//! has: after a restart the same objects are made again, and what has the same SHA-256 is not sent a
//! second time.

use bytes::{Bytes, BytesMut};
use metrics::counter;
use sha2::{Digest, Sha256};

use crate::{
    db::media_file::{MediaPart, MediaUpload},
    domain::media_file::{MediaFile, MediaFileState},
};

use super::{
    DeliverError, Delivery,
    check::{self, Proof},
    product::key_of,
    project::{Object, ProjectError},
    step::main_key,
    upload,
};

/// An object that comes together.
pub(super) struct Coming {
    pub object: Object,
    /// What the rows say of it.
    known: Vec<MediaPart>,
    /// Of the part that comes together.
    pending: BytesMut,
    to: To,
}

/// Where the bytes of an object go that is larger than a part.
enum To {
    /// It may be small.
    Undecided,
    /// The store has it: parts so far, and what the tags would be if they were MD5s.
    Same(Vec<MediaPart>, Vec<String>),
    /// The store.
    New { writer: Box<upload::Writer>, is_noted: bool },
}

/// An object that the store has.
pub(super) struct Stored {
    /// All of its parts.
    pub parts: Vec<MediaPart>,
    /// What is known of it.
    pub proof: Proof,
}

impl Stored {
    /// Bytes.
    pub fn size_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.size_bytes).sum()
    }
}

impl Delivery {
    /// An object begins.
    pub(super) async fn begin_object(
        &self,
        file: &MediaFile,
        object: Object,
    ) -> Result<Coming, DeliverError> {
        let known = self.db.media_parts(file.id, &object.name()).await?;
        Ok(Coming { object, known, pending: BytesMut::new(), to: To::Undecided })
    }

    /// Takes in more of an object.
    pub(super) async fn add_to_object(
        &self,
        file: &MediaFile,
        coming: &mut Coming,
        block: Bytes,
    ) -> Result<(), DeliverError> {
        if let To::New { writer, is_noted } = &mut coming.to {
            writer.write(block).await?;
            if let (Some(id), false) = (writer.upload_id(), *is_noted) {
                let upload_id = format!("{}:{id}", coming.object.name());
                self.note_object_upload(file, upload_id).await?;
                *is_noted = true;
            }
            return Ok(());
        }
        coming.pending.extend_from_slice(&block);
        let part_size = self.part_bytes();
        while coming.pending.len() > part_size {
            let part = coming.pending.split_to(part_size).freeze();
            match &mut coming.to {
                To::Same(parts, tags) => {
                    if let Err(error) = note_same(&coming.known, parts, tags, &part) {
                        // It is sent when it is made again.
                        self.forget_object(file, coming).await?;
                        return Err(error.into());
                    }
                }
                To::Undecided if is_same(coming.known.first(), &part, 1) => {
                    let (mut parts, mut tags) = (Vec::new(), Vec::new());
                    note_same(&coming.known, &mut parts, &mut tags, &part)?;
                    coming.to = To::Same(parts, tags);
                }
                _ => {
                    self.forget_object(file, coming).await?;
                    let key =
                        key_of(&main_key(file), coming.object, self.settings.hls.segment_type);
                    let (store, buffers) = (self.store.clone(), self.uploads.buffers.clone());
                    let part_size = self.settings.part_size;
                    let mut writer = upload::Writer::new(store, buffers, key, part_size, 0);
                    // Before it is begun: should its id never be learned, it is found by its key.
                    self.note_object_upload(file, format!("{}:", coming.object.name())).await?;
                    writer.write(part).await?;
                    writer.write(coming.pending.split().freeze()).await?;
                    coming.to = To::New { writer: Box::new(writer), is_noted: false };
                }
            }
        }
        Ok(())
    }

    /// The object is complete. `Err` with its bytes if it is small and could not be stored.
    pub(super) async fn complete_object(
        &self,
        file: &MediaFile,
        coming: Coming,
    ) -> Result<Stored, (Option<(Object, Bytes)>, DeliverError)> {
        let Coming { object, known, pending, to } = coming;
        let none = |error: DeliverError| (None, error);
        match to {
            To::Undecided => {
                let body = pending.freeze();
                let stored = self.put_object(file, object, &known, body.clone()).await;
                stored.map_err(|error| (Some((object, body)), error))
            }
            To::Same(mut parts, mut tags) => {
                let noted = note_same(&known, &mut parts, &mut tags, &pending);
                let is_whole = noted.is_ok() && parts.len() == known.len();
                let key = key_of(&main_key(file), object, self.settings.hls.segment_type);
                let size = parts.iter().map(|part| part.size_bytes).sum();
                let tag = check::composite(&tags);
                match check::look(&*self.store, &key, size, tag.as_deref()).await {
                    Ok(proof) if is_whole => Ok(Stored { parts, proof }),
                    looked => {
                        // It is sent when it is made again.
                        let id = file.id;
                        let forgotten = self.db.forget_media_object(id, &object.name()).await;
                        forgotten.map_err(|error| none(error.into()))?;
                        let error = ProjectError::Broken("an object is not what the rows say");
                        Err(none(looked.err().map_or(error.into(), DeliverError::from)))
                    }
                }
            }
            To::New { writer, .. } => {
                let (stored, proof) = writer.finish().await.map_err(|error| none(error.into()))?;
                let part = |(number, part): (u32, &upload::StoredPart)| MediaPart {
                    number,
                    size_bytes: part.size_bytes,
                    sha256: hex::encode(part.sha256),
                    etag: String::new(),
                };
                let parts: Vec<MediaPart> = (1..).zip(&stored).map(part).collect();
                self.note_object(file, object, &parts).await.map_err(none)?;
                self.note_object_upload(file, String::new()).await.map_err(none)?;
                Ok(Stored { parts, proof })
            }
        }
    }

    /// Stores a small object, unless the store has these very bytes.
    pub(super) async fn put_object(
        &self,
        file: &MediaFile,
        object: Object,
        known: &[MediaPart],
        body: Bytes,
    ) -> Result<Stored, DeliverError> {
        let key = key_of(&main_key(file), object, self.settings.hls.segment_type);
        let (size, md5) = (body.len() as u64, check::md5_hex(&body));
        let parts = vec![part_of(&body, 1)];
        if let [known] = known
            && parts.first() == Some(known)
            && let Ok(proof) = check::look(&*self.store, &key, size, Some(&md5)).await
        {
            return Ok(Stored { parts, proof });
        }
        if !known.is_empty() {
            self.db.forget_media_object(file.id, &object.name()).await?;
        }
        self.store.put(&key, body).await?;
        let proof = check::look(&*self.store, &key, size, Some(&md5)).await?;
        self.note_object(file, object, &parts).await?;
        Ok(Stored { parts, proof })
    }

    /// Gives up what has come of an object.
    pub(super) async fn drop_object(&self, coming: Coming) {
        if let To::New { writer, .. } = coming.to {
            writer.abort().await;
        }
    }

    async fn forget_object(&self, file: &MediaFile, coming: &Coming) -> Result<(), DeliverError> {
        if !coming.known.is_empty() {
            self.db.forget_media_object(file.id, &coming.object.name()).await?;
        }
        Ok(())
    }

    async fn note_object(
        &self,
        file: &MediaFile,
        object: Object,
        parts: &[MediaPart],
    ) -> Result<(), DeliverError> {
        self.db.put_media_object(file.id, &object.name(), parts, (self.now_ms)()).await?;
        count_stored(file, parts);
        Ok(())
    }

    /// Remembers an upload in parts of one object, or that there is none, so that a later process
    /// can free what the store holds of it.
    pub(super) async fn note_object_upload(
        &self,
        file: &MediaFile,
        upload_id: String,
    ) -> Result<(), DeliverError> {
        let upload = MediaUpload {
            projector: super::hls_step::projector(self.settings.hls.segment_type),
            upload_id,
            part_size: self.settings.part_size,
            reserve_bytes: 0,
        };
        Ok(self.db.note_object_upload(file.id, &upload).await?)
    }

    fn part_bytes(&self) -> usize {
        usize::try_from(self.settings.part_size).unwrap_or(usize::MAX).max(1)
    }
}

/// Counts parts of a file that the store has taken, in the metrics.
pub(super) fn count_stored(file: &MediaFile, parts: &[MediaPart]) {
    let is_live = file.state == MediaFileState::Recording;
    let when = if is_live { "live" } else { "ended" };
    let bytes = parts.iter().map(|part| part.size_bytes).sum();
    counter!("liverec_delivery_parts_total", "when" => when).increment(parts.len() as u64);
    counter!("liverec_delivery_part_bytes_total", "when" => when).increment(bytes);
}

fn part_of(bytes: &[u8], number: u32) -> MediaPart {
    let sha256 = hex::encode(Sha256::digest(bytes));
    MediaPart { number, size_bytes: bytes.len() as u64, sha256, etag: String::new() }
}

fn is_same(known: Option<&MediaPart>, bytes: &[u8], number: u32) -> bool {
    known.is_some_and(|known| *known == part_of(bytes, number))
}

/// One more part of an object that the store has.
fn note_same(
    known: &[MediaPart],
    parts: &mut Vec<MediaPart>,
    tags: &mut Vec<String>,
    bytes: &[u8],
) -> Result<(), ProjectError> {
    let number = u32::try_from(parts.len() + 1).unwrap_or(u32::MAX);
    let part = part_of(bytes, number);
    tags.push(check::md5_hex(bytes));
    let is_known = known.get(parts.len()) == Some(&part);
    parts.push(part);
    match is_known {
        true => Ok(()),
        false => Err(ProjectError::Broken("an object is not what the rows say")),
    }
}
