//! One part on its way to the store: its bytes and their digests, sent unless the store has them.

use bytes::Bytes;
use futures_util::{StreamExt, future::join, stream::FuturesUnordered};
use sha2::{Digest, Sha256};

use crate::{
    db::media_file::MediaPart,
    media::lazy_bytes::LazyBytes,
    storage::{MAX_PARTS, Upload},
};

use super::{
    DeliverError, Delivery, check,
    objects::count_stored,
    project::{ProjectError, READ_OVER},
    step::MAIN,
    view::View,
};

/// Parts of one file that are on their way at once when its end is stored: while the store takes
/// one, the next is made.
const AT_ONCE: usize = 2;

/// A part to be stored.
pub(super) struct PartBytes {
    bytes: Bytes,
    /// Of the bytes.
    pub digests: Digests,
}

/// Digests of a part, in hexadecimal digits.
#[derive(Clone)]
pub(super) struct Digests {
    /// As the rows have it.
    pub sha256: String,
    /// `None` where it was not made yet: nobody asks for it before the store has answered.
    md5: Option<String>,
}

impl PartBytes {
    /// Hashes the bytes of a part. Takes long: not to be called where others wait.
    pub fn new(bytes: Bytes) -> Self {
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Self { digests: Digests { sha256, md5: None }, bytes }
    }

    /// Bytes of the part.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// What is stored behind one another, and under which numbers.
pub(super) struct Stretch {
    /// The next part is this one.
    pub number: u32,
    /// What is left.
    pub bytes: LazyBytes,
}

impl Delivery {
    /// Stores a part, unless the rows say that the store has these very bytes, and remembers it.
    /// Answers whether the store's tag is the MD5 of the bytes.
    pub(super) async fn send_part(
        &self,
        view: &View,
        upload: &Upload,
        number: u32,
        part: PartBytes,
    ) -> Result<bool, DeliverError> {
        if number > MAX_PARTS {
            return Err(ProjectError::Broken("the file has grown beyond what was planned").into());
        }
        let (id, size_bytes) = (view.file.id, part.len());
        let PartBytes { bytes, digests: Digests { sha256, md5 } } = part;
        let known = self.db.media_part(id, MAIN, number).await?;
        let hashing = self.md5_of(bytes.clone(), md5);
        let storing = async {
            match known {
                Some(known) if known.size_bytes == size_bytes && known.sha256 == sha256 => {
                    Ok::<_, DeliverError>(known.etag)
                }
                _ => {
                    let stored = self.store.put_part(upload, number, bytes).await?;
                    let etag = stored.etag;
                    let part = MediaPart { number, size_bytes, sha256, etag: etag.clone() };
                    self.db.put_media_part(id, MAIN, &part, (self.now_ms)()).await?;
                    count_stored(&view.file, std::slice::from_ref(&part));
                    Ok(etag)
                }
            }
        };
        let (etag, md5) = join(storing, hashing).await;
        let (etag, md5) = (etag?, md5?);
        Ok(md5.is_some_and(|md5| check::is_md5(&etag, &md5)))
    }

    /// The MD5 of a part, made while the store takes it. `None` where no tag of the store is asked for.
    async fn md5_of(
        &self,
        bytes: Bytes,
        known: Option<String>,
    ) -> Result<Option<String>, DeliverError> {
        match known {
            _ if self.store.is_own_disk() => Ok(None),
            Some(md5) => Ok(Some(md5)),
            None => self.read(move || Ok(Some(check::md5_hex(&bytes)))).await,
        }
    }

    /// Stores a stretch in parts of `part_size`, of which the last may be smaller. Answers the number
    /// of the last part that there is, and whether the store's tags are the MD5s of all of them.
    pub(super) async fn send_stretch(
        &self,
        view: &View,
        upload: &Upload,
        part_size: u64,
        stretch: Stretch,
    ) -> Result<(u32, bool), DeliverError> {
        let (mut last, mut are_md5) = (stretch.number.saturating_sub(1), true);
        let (mut is_over, mut failed) = (false, None);
        let mut on_way = FuturesUnordered::new();
        let making = self.next_part(stretch, part_size);
        tokio::pin!(making);
        loop {
            let may_make = !is_over && failed.is_none() && on_way.len() < AT_ONCE;
            tokio::select! {
                made = &mut making, if may_make => match made {
                    Ok(Some((part, stretch))) => {
                        last = stretch.number.saturating_sub(1);
                        on_way.push(self.send_part(view, upload, last, part));
                        making.set(self.next_part(stretch, part_size));
                    }
                    Ok(None) => is_over = true,
                    Err(error) => (is_over, failed) = (true, Some(error)),
                },
                Some(sent) = on_way.next() => match sent {
                    Ok(is_md5) => are_md5 &= is_md5,
                    Err(error) => failed = Some(error),
                },
                // None is left on its way, though another failed: a part that arrives after its
                // upload was given up would stay in the store, of an upload that nobody knows.
                else => break,
            }
        }
        failed.map_or(Ok((last, are_md5)), Err)
    }

    /// The first part of a stretch and what is left of it; `None` at its end.
    async fn next_part(
        &self,
        mut stretch: Stretch,
        part_size: u64,
    ) -> Result<Option<(PartBytes, Stretch)>, DeliverError> {
        if stretch.bytes.is_empty() {
            return Ok(None);
        }
        stretch.number = stretch.number.saturating_add(1);
        if stretch.bytes.skip_zeros(part_size) {
            return Ok(Some((self.zeros(part_size).await?, stretch)));
        }
        let want = usize::try_from(part_size).unwrap_or(usize::MAX).max(1);
        let buffers = self.uploads.buffers.clone();
        self.read(move || {
            let part = stretch.bytes.split(want).unwrap_or_else(|| {
                let left = usize::try_from(stretch.bytes.len()).unwrap_or(usize::MAX);
                let mut room = buffers.take(want.min(left).saturating_add(READ_OVER));
                stretch.bytes.read_into(&mut room, want);
                buffers.lend(room)
            });
            Ok(Some((PartBytes::new(part), stretch)))
        })
        .await
    }

    /// A whole part of zeros, of which heads have many: hashed once, and not kept.
    pub(super) async fn zeros(&self, part_size: u64) -> Result<PartBytes, DeliverError> {
        let len = usize::try_from(part_size).unwrap_or(usize::MAX);
        let mut room = self.uploads.buffers.take(len);
        room.resize(len, 0);
        let bytes = self.uploads.buffers.lend(room);
        if let Some(digests) = self.uploads.zeros(len) {
            return Ok(PartBytes { bytes, digests });
        }
        let mut zeros = self.read(move || Ok(PartBytes::new(bytes))).await?;
        zeros.digests.md5 = self.md5_of(zeros.bytes.clone(), None).await?;
        self.uploads.set_zeros(len, zeros.digests.clone());
        Ok(zeros)
    }
}
