//! The S3-compatible store, on `aws-sdk-s3`.
//!
//! Only what every S3 server has is used: PUT, GET with a range, HEAD, DELETE and multipart uploads;
//! no checksum headers, no conditional writes; listings only for `liverec doctor`. Keys are
//! `<prefix>/<key>`.
//! Known quirks of servers are named where they are dealt with.

mod client;
mod error;
mod list;
mod upload;

use std::{ops::Range, time::Duration};

use aws_sdk_s3::{Client, primitives::ByteStream};
use bytes::Bytes;
use futures_util::{FutureExt, stream};

pub use self::client::S3Settings;
use self::{
    client::{overrides, sending},
    error::{is_forbidden, is_missing, status, storage_error, unsatisfied_size},
};
use super::{
    BoxFuture, ObjectBody, ObjectInfo, ObjectStore, OpenUpload, Page, Part, Result, StorageError,
    StorageKey, Upload,
};

/// How long a body may give nothing while somebody waits for it.
const STALL: Duration = Duration::from_secs(30);

/// How many times longer completing an upload may take; large objects are put together by then.
const COMPLETE: u32 = 10;

/// How long [`ObjectStore::check`] waits.
const CHECK: Duration = Duration::from_secs(5);

/// Attempts of what a player waits for.
const READ_ATTEMPTS: u32 = 3;

/// Attempts of everything else. Beyond that the caller's own, slower retries follow.
const ATTEMPTS: u32 = 5;

/// Name of the upload that [`ObjectStore::check`] may begin and abort; never an object.
const PROBE: &str = "liverec-check";

/// Objects in a bucket. Cheap to clone.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    /// Empty or ends with a slash.
    prefix: String,
    /// Bodies are signed where nothing else protects them.
    signs_bodies: bool,
    /// For an attempt without a large body.
    timeout: Duration,
}

impl S3Store {
    /// Makes a store. Connects to nothing; wrong settings are `Refused`, naming the setting.
    pub fn new(settings: S3Settings) -> Result<Self> {
        let prefix = settings.check()?;
        let client = settings.client();
        let signs_bodies = settings.is_plain_http();
        let timeout = settings.timeout;
        Ok(Self { client, bucket: settings.bucket, prefix, signs_bodies, timeout })
    }

    fn name(&self, key: &StorageKey) -> String {
        format!("{}{key}", self.prefix)
    }

    async fn put_object(&self, key: &StorageKey, body: Bytes) -> Result<()> {
        let limit = self.timeout + sending(body.len());
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.name(key))
            .content_type(key.content_type())
            .body(ByteStream::from(body))
            .customize()
            .config_override(overrides(ATTEMPTS, limit));
        let request = if self.signs_bodies { request } else { request.disable_payload_signing() };
        request.send().await.map(|_| ()).map_err(|e| storage_error("store an object", key, e))
    }

    async fn head_object(&self, key: &StorageKey) -> Result<Option<ObjectInfo>> {
        let request = self.client.head_object().bucket(&self.bucket).key(self.name(key));
        match request
            .customize()
            .config_override(overrides(READ_ATTEMPTS, self.timeout))
            .send()
            .await
        {
            Ok(head) => Ok(Some(object_info(length(head.content_length)?, head.e_tag))),
            // Also what a missing bucket looks like: the answer to HEAD has no body that could say so.
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(storage_error("look at an object", key, error)),
        }
    }

    async fn get_object(&self, key: &StorageKey, range: Option<Range<u64>>) -> Result<ObjectBody> {
        const ACTION: &str = "read an object";
        // Servers read positions as signed; no object is that large.
        const MAX_POSITION: u64 = i64::MAX as u64;
        if range.as_ref().is_some_and(|range| range.start >= range.end.min(MAX_POSITION)) {
            return Err(self.out_of_range(key).await);
        }
        let header = range.as_ref().map(|range| match range.end {
            end if end > MAX_POSITION => format!("bytes={}-", range.start),
            end => format!("bytes={}-{}", range.start, end - 1),
        });
        let request =
            self.client.get_object().bucket(&self.bucket).key(self.name(key)).set_range(header);
        let sent = match request
            .customize()
            .config_override(overrides(READ_ATTEMPTS, self.timeout))
            .send()
            .await
        {
            Ok(sent) => sent,
            Err(error) if status(&error) == Some(416) => {
                return Err(match unsatisfied_size(&error) {
                    Some(size) => StorageError::Range { size },
                    None => self.out_of_range(key).await,
                });
            }
            Err(error) => return Err(storage_error(ACTION, key, error)),
        };
        let length = length(sent.content_length)?;
        let (answered, size) = match sent.content_range.as_deref().map(parse_content_range) {
            Some(Some(parsed)) => parsed,
            None => (0..length, length),
            Some(None) => {
                let message =
                    "the store answered with a Content-Range that cannot be read".to_owned();
                return Err(StorageError::Transient { action: ACTION, message });
            }
        };
        if range.as_ref().is_some_and(|range| answered != (range.start..range.end.min(size))) {
            let message = format!(
                "the store answered with bytes {answered:?} of {size} instead of {range:?}"
            );
            return Err(StorageError::Refused { action: ACTION, message });
        }
        let info = object_info(size, sent.e_tag);
        Ok(ObjectBody {
            info,
            range: answered,
            stream: Box::pin(blocks(sent.body, length, ACTION)),
        })
    }

    /// The error for a range outside an object, whose size the store did not say.
    async fn out_of_range(&self, key: &StorageKey) -> StorageError {
        match self.head_object(key).await {
            Ok(Some(object)) => StorageError::Range { size: object.size },
            Ok(None) => StorageError::NotFound { key: key.to_string() },
            Err(error) => error,
        }
    }

    async fn check_bucket(&self) -> Result<()> {
        const ACTION: &str = "check the bucket";
        let request = self.client.head_bucket().bucket(&self.bucket);
        let Err(error) = request.customize().config_override(overrides(1, CHECK)).send().await
        else {
            return Ok(());
        };
        if is_missing(&error) {
            let message = format!("NoSuchBucket: there is no bucket {}", self.bucket);
            return Err(StorageError::Refused { action: ACTION, message });
        }
        if !is_forbidden(&error) {
            return Err(storage_error(ACTION, &self.bucket, error));
        }
        // HEAD of a bucket needs the right to list it, which these credentials may lack. An upload
        // that is begun and aborted leaves nothing and needs the right to write.
        let key = format!("{}{PROBE}", self.prefix);
        let id = self.create_upload(&key, "application/octet-stream", 1, CHECK).await?;
        let request =
            self.client.abort_multipart_upload().bucket(&self.bucket).key(&key).upload_id(id);
        let aborted = request.customize().config_override(overrides(1, CHECK)).send().await;
        aborted.map(|_| ()).map_err(|e| storage_error(ACTION, &self.bucket, e))
    }
}

impl ObjectStore for S3Store {
    fn put<'a>(&'a self, key: &'a StorageKey, body: Bytes) -> BoxFuture<'a, Result<()>> {
        self.put_object(key, body).boxed()
    }

    fn start<'a>(&'a self, key: &'a StorageKey, part_size: u64) -> BoxFuture<'a, Result<Upload>> {
        async move {
            let id = self
                .create_upload(&self.name(key), key.content_type(), ATTEMPTS, self.timeout)
                .await?;
            Ok(Upload { key: key.clone(), id, part_size })
        }
        .boxed()
    }

    fn put_part<'a>(
        &'a self,
        upload: &'a Upload,
        number: u32,
        body: Bytes,
    ) -> BoxFuture<'a, Result<Part>> {
        self.upload_part(upload, number, body).boxed()
    }

    fn complete<'a>(&'a self, upload: &'a Upload, parts: &'a [Part]) -> BoxFuture<'a, Result<()>> {
        self.complete_upload(upload, parts).boxed()
    }

    fn abort<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<()>> {
        self.abort_upload(upload).boxed()
    }

    fn list_parts<'a>(&'a self, upload: &'a Upload) -> BoxFuture<'a, Result<Vec<Part>>> {
        self.uploaded_parts(upload).boxed()
    }

    fn head<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Option<ObjectInfo>>> {
        self.head_object(key).boxed()
    }

    fn get<'a>(
        &'a self,
        key: &'a StorageKey,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'a, Result<ObjectBody>> {
        self.get_object(key, range).boxed()
    }

    fn delete<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<()>> {
        async move {
            let request = self.client.delete_object().bucket(&self.bucket).key(self.name(key));
            match request
                .customize()
                .config_override(overrides(ATTEMPTS, self.timeout))
                .send()
                .await
            {
                Ok(_) => Ok(()),
                Err(error) => match storage_error("delete an object", key, error) {
                    StorageError::NotFound { .. } => Ok(()),
                    error => Err(error),
                },
            }
        }
        .boxed()
    }

    fn list<'a>(&'a self, under: &'a str, after: Option<&'a str>) -> BoxFuture<'a, Result<Page>> {
        self.list_page(under, after).boxed()
    }

    fn list_uploads(&self) -> BoxFuture<'_, Result<Vec<OpenUpload>>> {
        self.list_open_uploads("").boxed()
    }

    fn uploads_of<'a>(&'a self, key: &'a StorageKey) -> BoxFuture<'a, Result<Vec<OpenUpload>>> {
        async move {
            // The listing is of everything that begins like it.
            let mut uploads = self.list_open_uploads(key.as_str()).await?;
            uploads.retain(|upload| upload.name.as_deref() == Some(key.as_str()));
            Ok(uploads)
        }
        .boxed()
    }

    fn discard<'a>(&'a self, upload: &'a OpenUpload) -> BoxFuture<'a, Result<()>> {
        self.discard_upload(upload).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<()>> {
        self.check_bucket().boxed()
    }
}

fn object_info(size: u64, etag: Option<String>) -> ObjectInfo {
    let etag = etag.unwrap_or_default();
    let etag = etag.strip_prefix("W/").unwrap_or(&etag).trim_matches('"').to_owned();
    ObjectInfo { size, etag }
}

fn length(content_length: Option<i64>) -> Result<u64> {
    content_length.and_then(|n| u64::try_from(n).ok()).ok_or_else(|| StorageError::Transient {
        action: "read an object",
        message: "the store did not say how long it is".to_owned(),
    })
}

/// Parses `bytes a-b/size`.
fn parse_content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size): (u64, u64, u64) =
        (first.parse().ok()?, last.parse().ok()?, size.parse().ok()?);
    (first <= last && last < size).then(|| (first..last + 1, size))
}

/// The blocks of a body of `length` bytes; an error if it stalls, breaks off or is too long.
fn blocks(
    body: ByteStream,
    length: u64,
    action: &'static str,
) -> impl futures_util::Stream<Item = Result<Bytes>> {
    let broken = move |message: String| StorageError::Transient { action, message };
    stream::try_unfold((body, length), move |(mut body, left)| async move {
        let next = tokio::time::timeout(STALL, body.next()).await;
        match next.map_err(|_| broken("the store sent nothing for 30 s".to_owned()))? {
            Some(Ok(block)) => match left.checked_sub(block.len() as u64) {
                Some(left) => Ok(Some((block, (body, left)))),
                None => Err(broken("the store sent more than it said".to_owned())),
            },
            Some(Err(error)) => Err(broken(error::chain(&error))),
            None if left > 0 => {
                Err(broken(format!("the store broke off {left} bytes before the end")))
            }
            None => Ok(None),
        }
    })
}

#[cfg(test)]
mod tests;
