//! Stores one object from blocks that come in order, holding one part at a time in memory.
//!
//! An object of at most one part is put whole; a larger one goes in parts of one equal size, as
//! every S3-compatible store accepts. Every part is hashed while the store takes it: what is stored
//! can be checked without a second read. Knows nothing of containers or rows.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::storage::{ObjectStore, Part, Result, StorageError, StorageKey, Upload};

use super::{
    buffers::Buffers,
    check::{self, Proof},
};

/// Most parts of one object that stores accept.
const MAX_PARTS: u64 = 9_000;

/// The part size for an object expected to be of `expected_bytes`: the configured one, or larger
/// where that would need too many parts.
pub fn part_size(configured: u64, expected_bytes: u64) -> u64 {
    const ALIGN: u64 = 1 << 20;
    let needed = expected_bytes.div_ceil(MAX_PARTS).div_ceil(ALIGN) * ALIGN;
    configured.max(needed)
}

/// Size and SHA-256 of one part of a stored object, or of a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredPart {
    /// Bytes.
    pub size_bytes: u64,
    /// Of its bytes.
    pub sha256: [u8; 32],
}

/// An object being stored.
pub struct Writer {
    store: Arc<dyn ObjectStore>,
    key: StorageKey,
    part_size: usize,
    /// How much is thought to come, for room made at once instead of bit by bit.
    expected_bytes: u64,
    buffers: Arc<Buffers>,
    /// A block that came where a part begins: as long as nothing follows, it need not be copied.
    block: Bytes,
    /// Or what was put together.
    pending: Vec<u8>,
    upload: Option<Upload>,
    parts: Vec<Part>,
    /// Of each part, in hexadecimal digits.
    md5s: Vec<String>,
    stored: Vec<StoredPart>,
}

impl Writer {
    /// Begins an object of about `expected_bytes` (0 if nothing is known); nothing is sent before a
    /// whole part has come together.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        buffers: Arc<Buffers>,
        key: StorageKey,
        part_size: u64,
        expected_bytes: u64,
    ) -> Self {
        Self {
            store,
            key,
            expected_bytes,
            part_size: usize::try_from(part_size).unwrap_or(usize::MAX).max(1),
            buffers,
            block: Bytes::new(),
            pending: Vec::new(),
            upload: None,
            parts: Vec::new(),
            md5s: Vec::new(),
            stored: Vec::new(),
        }
    }

    /// Appends a block.
    pub async fn write(&mut self, mut block: Bytes) -> Result<()> {
        while !block.is_empty() {
            // Only when more comes: the last part must not be empty, so an exact one waits.
            if self.waiting() == self.part_size {
                self.send().await?;
            }
            let room = self.part_size - self.waiting();
            let next = block.split_to(room.min(block.len()));
            self.expected_bytes = self.expected_bytes.saturating_sub(next.len() as u64);
            if self.waiting() == 0 {
                self.block = next;
                continue;
            }
            if self.pending.is_empty() {
                let left = usize::try_from(self.expected_bytes).unwrap_or(usize::MAX);
                let known = self.block.len() + next.len();
                let room = left.saturating_add(known).min(self.part_size);
                self.pending = self.buffers.take(room);
                self.pending.extend_from_slice(&std::mem::take(&mut self.block));
            }
            self.pending.extend_from_slice(&next);
        }
        Ok(())
    }

    /// Bytes that have come and not been sent.
    fn waiting(&self) -> usize {
        self.block.len() + self.pending.len()
    }

    /// What has come together.
    fn take(&mut self) -> Bytes {
        match self.pending.is_empty() {
            true => std::mem::take(&mut self.block),
            false => self.buffers.lend(std::mem::take(&mut self.pending)),
        }
    }

    /// Remembers size and hashes of what was stored.
    fn note(&mut self, (stored, md5): (StoredPart, String)) {
        self.md5s.push(md5);
        self.stored.push(stored);
    }

    async fn send(&mut self) -> Result<()> {
        let body = self.take();
        let upload = match self.upload.take() {
            Some(upload) => upload,
            None => self.store.start(&self.key, self.part_size as u64).await?,
        };
        let upload = self.upload.insert(upload);
        let number = u32::try_from(self.parts.len() + 1).unwrap_or(u32::MAX);
        let hashing = digests(body.clone(), !self.store.is_own_disk());
        let (part, hashed) = join(self.store.put_part(upload, number, body), hashing).await;
        self.parts.push(part?);
        self.note(hashed?);
        Ok(())
    }

    /// Whether so many bytes more begin an upload in parts.
    pub fn begins_with(&self, bytes: usize) -> bool {
        self.upload.is_none() && self.waiting().saturating_add(bytes) > self.part_size
    }

    /// The store's id of the upload in parts, once there is one.
    pub fn upload_id(&self) -> Option<&str> {
        self.upload.as_ref().map(|upload| upload.id.as_str())
    }

    /// Completes the object: durable and readable when this returns. Answers its parts in order
    /// (one put whole is its own only part), and what the store's own word proves of it.
    pub async fn finish(mut self) -> Result<(Vec<StoredPart>, Proof)> {
        let tag = match self.upload.is_some() {
            false => {
                let body = self.take();
                let hashing = digests(body.clone(), !self.store.is_own_disk());
                let (put, hashed) = join(self.store.put(&self.key, body), hashing).await;
                put?;
                self.note(hashed?);
                self.md5s.first().cloned()
            }
            true => {
                self.send().await?;
                if let Some(upload) = &self.upload {
                    self.store.complete(upload, &self.parts).await?;
                }
                check::composite(&self.md5s)
            }
        };
        let size = self.stored.iter().map(|part| part.size_bytes).sum();
        let proof = check::look(&*self.store, &self.key, size, tag.as_deref()).await?;
        Ok((self.stored, proof))
    }

    /// Gives the object up and frees what the store holds of it.
    pub async fn abort(self) {
        if let Some(upload) = &self.upload
            && let Err(error) = self.store.abort(upload).await
        {
            tracing::info!(upload.id = %upload.id, %error, "an abandoned upload could not be aborted now");
        }
    }
}

/// Size and SHA-256 of some bytes and, where a tag is to be compared with it, the MD5, made beside the store's
/// own work.
async fn digests(bytes: Bytes, has_tag: bool) -> Result<(StoredPart, String)> {
    let hash = move || {
        let md5 = if has_tag { check::md5_hex(&bytes) } else { String::new() };
        let sha256 = Sha256::digest(&bytes).into();
        (StoredPart { size_bytes: bytes.len() as u64, sha256 }, md5)
    };
    spawn_blocking(hash).await.map_err(|error| StorageError::Transient {
        action: "hash what is stored",
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_only_where_there_would_be_too_many() {
        const MIB: u64 = 1 << 20;
        assert_eq!(part_size(8 * MIB, 0), 8 * MIB);
        assert_eq!(part_size(8 * MIB, 9_000 * 8 * MIB), 8 * MIB);
        assert_eq!(part_size(8 * MIB, 9_000 * 8 * MIB + 1), 9 * MIB);
    }
}
