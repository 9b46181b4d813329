//! Listings: objects and open uploads under the prefix.

use super::{
    ATTEMPTS, S3Store,
    client::overrides,
    error::{is_missing, storage_error},
};
use crate::storage::{
    ListedObject, OpenUpload, Page, Result, StorageError,
    listing::{MAX_UPLOADS, PAGE_OBJECTS},
};

impl S3Store {
    /// One page of the objects below `under`; `after` is the server's own token.
    pub(super) async fn list_page(&self, under: &str, after: Option<&str>) -> Result<Page> {
        const ACTION: &str = "list objects";
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("{}{under}", self.prefix))
            .max_keys(i32::try_from(PAGE_OBJECTS).unwrap_or(1000))
            .set_continuation_token(after.map(str::to_owned));
        let sent =
            request.customize().config_override(overrides(ATTEMPTS, self.timeout)).send().await;
        let page = sent.map_err(|error| match is_missing(&error) {
            true => self.no_bucket(ACTION),
            false => storage_error(ACTION, &self.bucket, error),
        })?;
        let objects = page.contents.unwrap_or_default().into_iter();
        let objects = objects.filter_map(|object| {
            Some(ListedObject {
                name: object.key?.strip_prefix(&self.prefix)?.to_owned(),
                size: object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                modified_ms: object.last_modified.and_then(|t| t.to_millis().ok()).unwrap_or(0),
            })
        });
        let next = page.next_continuation_token.filter(|_| page.is_truncated == Some(true));
        Ok(Page { objects: objects.collect(), next })
    }

    /// Every open upload of names that begin with `under`, up to [`MAX_UPLOADS`].
    pub(super) async fn list_open_uploads(&self, under: &str) -> Result<Vec<OpenUpload>> {
        const ACTION: &str = "list open uploads";
        let under = format!("{}{under}", self.prefix);
        let mut uploads = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        while uploads.len() < MAX_UPLOADS {
            let request = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .set_prefix(Some(under.clone()).filter(|under| !under.is_empty()))
                .set_key_marker(key_marker.take())
                .set_upload_id_marker(id_marker.take());
            let sent =
                request.customize().config_override(overrides(ATTEMPTS, self.timeout)).send().await;
            let page = sent.map_err(|error| match is_missing(&error) {
                true => self.no_bucket(ACTION),
                false => storage_error(ACTION, &self.bucket, error),
            })?;
            let listed = page.uploads.unwrap_or_default();
            let is_empty = listed.is_empty();
            uploads.extend(listed.into_iter().filter_map(|upload| {
                Some(OpenUpload {
                    name: Some(upload.key?.strip_prefix(&self.prefix)?.to_owned()),
                    id: upload.upload_id?,
                    changed_ms: upload.initiated.and_then(|t| t.to_millis().ok()).unwrap_or(0),
                    bytes: None,
                })
            }));
            key_marker = page.next_key_marker.filter(|_| page.is_truncated == Some(true));
            id_marker = page.next_upload_id_marker;
            if key_marker.is_none() || is_empty {
                break;
            }
        }
        uploads.truncate(MAX_UPLOADS);
        Ok(uploads)
    }

    /// Aborts an upload by the name that the server has for it, which need not be a key.
    pub(super) async fn discard_upload(&self, upload: &OpenUpload) -> Result<()> {
        const ACTION: &str = "abort an upload";
        let Some(name) = &upload.name else { return Ok(()) };
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(format!("{}{name}", self.prefix))
            .upload_id(&upload.id);
        match request.customize().config_override(overrides(ATTEMPTS, self.timeout)).send().await {
            Err(error) if !is_missing(&error) => Err(storage_error(ACTION, name, error)),
            _ => Ok(()),
        }
    }

    /// What a 404 of a listing means.
    fn no_bucket(&self, action: &'static str) -> StorageError {
        let message = format!("NoSuchBucket: there is no bucket {}", self.bucket);
        StorageError::Refused { action, message }
    }
}
