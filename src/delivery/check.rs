//! Whether the store has what was sent to it, before local data may go.
//!
//! The size is asked for at once, always. For the content there are three kinds of proof:
//!
//! - the directory store writes from memory, syncs, then renames: the acknowledgement is the proof;
//! - a tag that *is* the MD5 of the bytes (for an object in parts: the MD5 of the parts' MD5s and
//!   their number), as on AWS, MinIO and others without KMS encryption. Equality cannot be chance,
//!   so no profile of the store needs to be believed: a store whose tags are something else
//!   merely proves nothing;
//! - else the objects are read back and compared part by part with their SHA-256. That takes as long
//!   as the file, so it happens after the file is announced and before its journal is released.

use std::time::Duration;

use futures_util::StreamExt;
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    domain::{ids::FileId, media_file::MediaFile, verification::ObjectEvidence},
    storage::{ObjectStore, StorageError, StorageKey},
};

use super::{DeliverError, Delivery, product::key_of, project::Object};

/// How often it is looked for files to be read back.
const ROUND: Duration = Duration::from_secs(5);

/// What is known of a stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It is what was sent.
    Verified,
    /// It has the right size; it is still to be read back.
    Pending,
}

impl Proof {
    /// That of several objects.
    pub fn and(self, other: Proof) -> Proof {
        if self == Proof::Verified { other } else { self }
    }
}

/// The MD5 of some bytes, in hexadecimal digits.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

/// Whether a tag is this MD5.
pub fn is_md5(etag: &str, md5: &str) -> bool {
    etag.trim_matches('"').eq_ignore_ascii_case(md5)
}

/// The tag of an object made of parts with these MD5s in hexadecimal digits; `None` if one is none.
pub fn composite(parts: &[String]) -> Option<String> {
    let mut all = Md5::new();
    for part in parts {
        all.update(hex::decode(part.trim_matches('"')).ok().filter(|md5| md5.len() == 16)?);
    }
    Some(format!("{}-{}", hex::encode(all.finalize()), parts.len()))
}

/// Looks at an object that was just stored. `md5` is what its tag would be if that were an MD5.
///
/// # Errors
/// The store cannot be asked, or has no object of `size` bytes there.
pub async fn look(
    store: &dyn ObjectStore,
    key: &StorageKey,
    size: u64,
    md5: Option<&str>,
) -> Result<Proof, StorageError> {
    let found = store.head(key).await?;
    if found.as_ref().map(|object| object.size) != Some(size) {
        let has = found.map_or_else(|| "none".to_owned(), |object| format!("{}", object.size));
        let message = format!("{size} bytes were stored as {key}, the store has {has}");
        return Err(StorageError::Transient { action: "check an object", message });
    }
    let tag = found.map(|object| object.etag).unwrap_or_default();
    let is_proven = store.is_own_disk() || md5.is_some_and(|md5| is_md5(&tag, md5));
    Ok(if is_proven { Proof::Verified } else { Proof::Pending })
}

impl Delivery {
    /// Reads back what needs it, one file after the other, until stopped.
    pub(super) async fn read_back(self, token: CancellationToken) {
        let mut after: Option<FileId> = None;
        loop {
            let found = self.db.unverified_media_file(&self.settings.node_id, after).await;
            let Ok(Some(file)) = found else {
                // What failed is looked at again in the next round.
                after = None;
                tokio::select! {
                    () = token.cancelled() => return,
                    () = sleep(ROUND) => continue,
                }
            };
            after = Some(file.id);
            let outcome = tokio::select! {
                outcome = self.read_back_file(&file) => outcome,
                () = token.cancelled() => return,
            };
            if let Err(error) = outcome {
                info!(file.id = %file.id, %error, "a stored file could not be read back now; its journal is kept");
            }
        }
    }

    async fn read_back_file(&self, file: &MediaFile) -> Result<(), DeliverError> {
        let now_ms = (self.now_ms)();
        let Some(summary) = self.db.media_file_verification(file.id).await? else {
            return Ok(self.db.set_media_verified(file.id, now_ms).await?);
        };
        match self.differs(file, &summary.objects).await? {
            None => {
                self.db.set_media_verified(file.id, (self.now_ms)()).await?;
                info!(file.id = %file.id, objects = summary.objects.len(), "stored file read back: it is what was sent");
            }
            Some(what) => {
                error!(file.id = %file.id, what, "a stored file is not what was sent; it is made again from the journal");
                self.db.remake_media_file(file.id, &what, (self.now_ms)()).await?;
            }
        }
        Ok(())
    }

    /// What of a file's objects is not as it was sent; `None` if all is.
    async fn differs(
        &self,
        file: &MediaFile,
        parts: &[ObjectEvidence],
    ) -> Result<Option<String>, DeliverError> {
        let Ok(main) = StorageKey::parse(&file.storage_key) else {
            return Ok(Some("its key cannot be read".to_owned()));
        };
        for object in parts.chunk_by(|a, b| a.object == b.object) {
            let name = object.first().map_or("", |part| part.object.as_str());
            let key = key_of(&main, Object::parse(name), file.facts.segment_type);
            if !self.is_same(&key, object).await? {
                return Ok(Some(format!("object {key} is missing or differs")));
            }
        }
        Ok(None)
    }

    /// Reads one object and compares it part by part.
    pub(super) async fn is_same(
        &self,
        key: &StorageKey,
        parts: &[ObjectEvidence],
    ) -> Result<bool, DeliverError> {
        let size: u64 = parts.iter().map(|part| part.size_bytes).sum();
        let mut body = match self.store.get(key, None).await {
            Ok(body) if body.info.size == size => body,
            Ok(_) | Err(StorageError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut parts = parts.iter();
        let Some(mut part) = parts.next() else { return Ok(true) };
        let (mut hash, mut left) = (Sha256::new(), part.size_bytes);
        while let Some(block) = body.stream.next().await {
            let mut block = block?;
            while !block.is_empty() {
                if left == 0 {
                    if hex::encode(std::mem::take(&mut hash).finalize()) != part.sha256 {
                        return Ok(false);
                    }
                    let Some(next) = parts.next() else { return Ok(false) };
                    (part, left) = (next, next.size_bytes);
                }
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
                hash.update(block.split_to(here));
                left -= here as u64;
            }
        }
        Ok(left == 0 && parts.next().is_none() && hex::encode(hash.finalize()) == part.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_objects_in_parts_are_those_of_aws() {
        let parts = [md5_hex(b"a"), format!("\"{}\"", md5_hex(b"b").to_uppercase())];
        // printf 'MD5(a)MD5(b)' as 32 bytes | md5sum
        let joined = [hex::decode(md5_hex(b"a")).unwrap(), hex::decode(md5_hex(b"b")).unwrap()];
        assert_eq!(composite(&parts), Some(format!("{}-2", md5_hex(&joined.concat()))));
        assert_eq!(composite(&["opaque".to_owned()]), None);
        assert_eq!(md5_hex(b"a"), "0cc175b9c0f1b6a831c399e269772661");
        assert!(is_md5("\"0CC175B9C0F1B6A831C399E269772661\"", &md5_hex(b"a")));
        assert!(!is_md5("", &md5_hex(b"a")));
    }
}
