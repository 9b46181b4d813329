//! Multipart uploads: begin, store parts in any order, complete, abort, list.

use std::time::Duration;

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;

use super::{
    ATTEMPTS, COMPLETE, S3Store,
    client::{OnlyIfRefused, overrides, sending},
    error::{is_forbidden, storage_error, upload_error},
};
use crate::storage::{COMPLETING, MAX_PARTS, Part, Result, StorageError, Upload, check_parts};

/// How often a listing is asked for that the server refuses.
const LISTINGS: usize = 3;

impl S3Store {
    /// Begins an upload; answers its id. Where the store does not say that it has not, there may be
    /// one, and another attempt would leave it open for ever: that is the caller's to clear up first.
    pub(super) async fn create_upload(
        &self,
        key: &str,
        content_type: &str,
        attempts: u32,
        limit: Duration,
    ) -> Result<String> {
        const ACTION: &str = "begin an upload";
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type);
        let overrides = overrides(attempts, limit).retry_classifier(OnlyIfRefused);
        let sent = request.customize().config_override(overrides).send().await;
        match sent.map_err(|e| storage_error(ACTION, key, e))?.upload_id {
            Some(id) if !id.is_empty() => Ok(id),
            _ => Err(StorageError::Transient {
                action: ACTION,
                message: "the store named no upload id".to_owned(),
            }),
        }
    }

    pub(super) async fn upload_part(
        &self,
        upload: &Upload,
        number: u32,
        body: Bytes,
    ) -> Result<Part> {
        const ACTION: &str = "store a part";
        let size = body.len() as u64;
        if size == 0 || size > upload.part_size || !(1..=MAX_PARTS).contains(&number) {
            let message = format!(
                "part {number} of {size} bytes does not fit parts of {} bytes",
                upload.part_size
            );
            return Err(StorageError::Refused { action: ACTION, message });
        }
        let limit = self.timeout + sending(body.len());
        let request = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(self.name(&upload.key))
            .upload_id(&upload.id)
            .part_number(number as i32)
            .body(ByteStream::from(body))
            .customize()
            .config_override(overrides(ATTEMPTS, limit));
        let request = if self.signs_bodies { request } else { request.disable_payload_signing() };
        let sent = request.send().await.map_err(|e| upload_error(ACTION, upload, e))?;
        Ok(Part { number, etag: sent.e_tag.unwrap_or_default(), size })
    }

    pub(super) async fn complete_upload(&self, upload: &Upload, parts: &[Part]) -> Result<()> {
        let size = check_parts(upload, parts)?;
        let done = parts.iter().map(|part| {
            let etag = Some(part.etag.clone()).filter(|etag| !etag.is_empty());
            CompletedPart::builder().part_number(part.number as i32).set_e_tag(etag).build()
        });
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.name(&upload.key))
            .upload_id(&upload.id)
            .multipart_upload(
                CompletedMultipartUpload::builder().set_parts(Some(done.collect())).build(),
            );
        let sent = request
            .customize()
            .config_override(overrides(ATTEMPTS, self.timeout * COMPLETE))
            .send()
            .await;
        let Err(error) = sent else { return Ok(()) };
        let error = upload_error(COMPLETING, upload, error);
        // The answer of an attempt that worked may have been lost, and the next one is told that
        // there is no such upload (s3s-fs: AccessDenied). The object itself knows.
        match self.head_object(&upload.key).await {
            Ok(Some(object)) if object.size == size && has_parts(&object.etag, parts.len()) => {
                // Or it is an earlier upload's, with the same bytes, and this one is still open.
                self.abort_upload(upload).await
            }
            Ok(_) => Err(error),
            // Not known: the upload must not be given up for that.
            Err(unknown) if matches!(error, StorageError::NoSuchUpload { .. }) => Err(unknown),
            Err(_) => Err(error),
        }
    }

    pub(super) async fn abort_upload(&self, upload: &Upload) -> Result<()> {
        let key = self.name(&upload.key);
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(&upload.id);
        let sent =
            request.customize().config_override(overrides(ATTEMPTS, self.timeout)).send().await;
        let Err(error) = sent else { return Ok(()) };
        let is_forbidden = is_forbidden(&error);
        match upload_error("abort an upload", upload, error) {
            StorageError::NoSuchUpload { .. } => Ok(()),
            // s3s-fs says AccessDenied for an upload it does not know.
            error if is_forbidden => match self.is_open(upload).await {
                true => Err(error),
                false => Ok(()),
            },
            error => Err(error),
        }
    }

    /// Whether an upload is there, as far as the server says. One without parts is taken not to be
    /// where uploads cannot be listed: it holds nothing.
    async fn is_open(&self, upload: &Upload) -> bool {
        for _ in 0..LISTINGS {
            if let Ok(open) = self.list_open_uploads(upload.key.as_str()).await {
                return open.iter().any(|open| open.id == upload.id);
            }
        }
        match self.uploaded_parts(upload).await {
            Ok(parts) => !parts.is_empty(),
            Err(StorageError::NoSuchUpload { .. }) => false,
            Err(_) => true,
        }
    }

    pub(super) async fn uploaded_parts(&self, upload: &Upload) -> Result<Vec<Part>> {
        const ACTION: &str = "list the parts of an upload";
        let mut parts = Vec::new();
        let mut marker = None;
        // A page has up to 1000 parts; the bound is against a server that never ends.
        for _ in 0..MAX_PARTS {
            let request = self
                .client
                .list_parts()
                .bucket(&self.bucket)
                .key(self.name(&upload.key))
                .upload_id(&upload.id)
                .set_part_number_marker(marker.take());
            let sent =
                request.customize().config_override(overrides(ATTEMPTS, self.timeout)).send().await;
            let page = sent.map_err(|e| upload_error(ACTION, upload, e))?;
            for part in page.parts.unwrap_or_default() {
                let number = part.part_number.and_then(|n| u32::try_from(n).ok());
                let (Some(number @ 1..=MAX_PARTS), Some(Ok(size))) =
                    (number, part.size.map(u64::try_from))
                else {
                    let message = "the store listed a part without a number or size".to_owned();
                    return Err(StorageError::Transient { action: ACTION, message });
                };
                parts.push(Part { number, etag: part.e_tag.unwrap_or_default(), size });
            }
            marker = page.next_part_number_marker.filter(|_| page.is_truncated == Some(true));
            if marker.is_none() {
                break;
            }
        }
        // s3s-fs lists them in the order of its directory.
        parts.sort_by_key(|part| part.number);
        Ok(parts)
    }
}

/// Whether an object may be the one made of this many parts: the tag of a multipart object ends
/// with the number of its parts on AWS and most others. A tag without one says nothing.
pub(super) fn has_parts(etag: &str, count: usize) -> bool {
    match etag.rsplit_once('-').map(|(_, n)| n.parse::<usize>()) {
        Some(Ok(n)) => n == count,
        _ => true,
    }
}
