//! Names under `.tmp`, and clearing away what was left there.
//!
//! An id is eight bytes that say whose it is and eight random ones, written as a UUID: of a small
//! object the node that writes it, of an upload the key that it is for. Both are short hashes: what
//! is removed wrongly because two are equal is stored again, as after any other fault.

use std::{fs, io, path::PathBuf, time::SystemTime};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Files, LEFTOVER_AGE, is_absent};
use crate::storage::StorageKey;

/// The tag of somebody or something.
pub(super) fn tag_of(kind: &str, name: &str) -> [u8; 8] {
    let hash = Sha256::digest(format!("{kind} {name}"));
    std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default())
}

/// A new id with this tag.
pub(super) fn tagged(tag: [u8; 8]) -> Uuid {
    let (tag, random) = (u64::from_be_bytes(tag), Uuid::new_v4().as_u64_pair().1);
    Uuid::from_u64_pair(tag, random)
}

fn has_tag(id: &str, tag: [u8; 8]) -> bool {
    Uuid::try_parse(id).is_ok_and(|id| id.as_u64_pair().0 == u64::from_be_bytes(tag))
}

/// The id in a name under `.tmp`, if this store made a file of that name.
fn id_of(name: &str) -> Option<&str> {
    let id = match (name.strip_prefix("put-"), name.rsplit_once('.')) {
        (Some(id), _) => id,
        (None, Some((id, "body" | "parts"))) => id,
        _ => return None,
    };
    Uuid::try_parse(id).is_ok().then_some(id)
}

/// Whether a name under `.tmp` is of an upload of this key.
pub(super) fn is_upload_of(name: &str, key: &StorageKey) -> bool {
    let id = id_of(name).filter(|_| !name.starts_with("put-"));
    id.is_some_and(|id| has_tag(id, tag_of("key", key.as_str())))
}

/// Whether this store made the file with this name under `.tmp`.
pub(super) fn is_own_temporary(name: &str) -> bool {
    id_of(name).is_some()
}

impl Files {
    /// A new name under `.tmp` for a file that nothing refers to.
    pub(super) fn temporary(&self) -> PathBuf {
        let id = self.writer.map_or_else(Uuid::now_v7, tagged);
        self.tmp.join(format!("put-{id}"))
    }

    /// Removes what is older than a week, and small objects of earlier processes of this node.
    pub(super) fn remove_leftovers(&self, now: SystemTime) -> io::Result<()> {
        for entry in fs::read_dir(&self.tmp)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((name, id)) = name.to_str().and_then(|name| Some((name, id_of(name)?))) else {
                continue;
            };
            let is_ours = name.starts_with("put-") && self.writer.is_some_and(|w| has_tag(id, w));
            // A file that has just gone is another process's, in a shared directory.
            let modified = match entry.metadata().and_then(|meta| meta.modified()) {
                Err(error) if is_absent(&error) => continue,
                modified => modified?,
            };
            if is_ours || now.duration_since(modified).unwrap_or_default() > LEFTOVER_AGE {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

fn remove(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}
