//! Stores one object from blocks that come in order, holding one part at a time in memory.
//!
//! An object of at most one part is put whole; a larger one goes in parts of one equal size, as
//! every S3-compatible store accepts. Knows nothing of containers or rows.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::storage::{ObjectStore, Part, Result, StorageKey, Upload};

/// Most parts of one object that stores accept.
const MAX_PARTS: u64 = 9_000;

/// The part size for an object expected to be of `expected_bytes`: the configured one, or larger
/// where that would need too many parts.
pub fn part_size(configured: u64, expected_bytes: u64) -> u64 {
    const ALIGN: u64 = 1 << 20;
    let needed = expected_bytes.div_ceil(MAX_PARTS).div_ceil(ALIGN) * ALIGN;
    configured.max(needed)
}

/// An object being stored.
pub struct Writer {
    store: Arc<dyn ObjectStore>,
    key: StorageKey,
    part_size: usize,
    pending: BytesMut,
    upload: Option<Upload>,
    parts: Vec<Part>,
    written: u64,
}

impl Writer {
    /// Begins an object; nothing is sent before a whole part has come together.
    pub fn new(store: Arc<dyn ObjectStore>, key: StorageKey, part_size: u64) -> Self {
        Self {
            store,
            key,
            part_size: usize::try_from(part_size).unwrap_or(usize::MAX).max(1),
            pending: BytesMut::new(),
            upload: None,
            parts: Vec::new(),
            written: 0,
        }
    }

    /// Appends a block.
    pub async fn write(&mut self, block: Bytes) -> Result<()> {
        self.written += block.len() as u64;
        self.pending.extend_from_slice(&block);
        // More than a part: the last part must not be empty, so an exact one waits.
        while self.pending.len() > self.part_size {
            let body = self.pending.split_to(self.part_size).freeze();
            self.send(body).await?;
        }
        Ok(())
    }

    async fn send(&mut self, body: Bytes) -> Result<()> {
        let upload = match self.upload.take() {
            Some(upload) => upload,
            None => self.store.start(&self.key, self.part_size as u64).await?,
        };
        let upload = self.upload.insert(upload);
        let number = u32::try_from(self.parts.len() + 1).unwrap_or(u32::MAX);
        self.parts.push(self.store.put_part(upload, number, body).await?);
        Ok(())
    }

    /// The store's id of the upload in parts, once there is one.
    pub fn upload_id(&self) -> Option<&str> {
        self.upload.as_ref().map(|upload| upload.id.as_str())
    }

    /// Completes the object: durable and readable when this returns. Answers its size.
    pub async fn finish(mut self) -> Result<u64> {
        let rest = std::mem::take(&mut self.pending).freeze();
        if self.upload.is_none() {
            self.store.put(&self.key, rest).await?;
            return Ok(self.written);
        }
        self.send(rest).await?;
        if let Some(upload) = &self.upload {
            self.store.complete(upload, &self.parts).await?;
        }
        Ok(self.written)
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
