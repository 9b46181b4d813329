//! Opens the configured store.

use std::sync::Arc;

use anyhow::{Context, Result};

use crate::{
    config::Storage,
    storage::{LocalStore, ObjectStore, S3Settings, S3Store},
};

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access<'a> {
    /// Everything, by the only process of this node.
    Write(&'a str),
    /// Looking at what is there, beside a server that writes.
    Read,
}

/// Bytes of a part of an object.
pub fn part_size(storage: &Storage) -> u64 {
    const LOCAL_PART: u64 = 8 << 20;
    match storage {
        Storage::Local { .. } => LOCAL_PART,
        Storage::S3(s3) => s3.part_bytes,
    }
}

/// The store itself; one that is only to be read is left as it is.
pub fn open(storage: &Storage, access: Access<'_>) -> Result<Arc<dyn ObjectStore>> {
    Ok(match storage {
        Storage::Local { dir } => {
            let store = match access {
                Access::Write(node_id) => LocalStore::open_for(dir, node_id),
                Access::Read => LocalStore::open_to_read(dir),
            };
            Arc::new(store.with_context(|| format!("open storage.local.dir {}", dir.display()))?)
        }
        Storage::S3(s3) => Arc::new(
            S3Store::new(S3Settings {
                endpoint: Some(s3.endpoint.as_str().to_owned()),
                region: s3.region.clone(),
                bucket: s3.bucket.clone(),
                prefix: s3.prefix.clone(),
                access_key_id: s3.access_key_id.clone(),
                secret_access_key: s3.secret_access_key.expose().to_owned(),
                path_style: s3.path_style,
                timeout: s3.timeout,
            })
            .context("set up the S3 client")?,
        ),
    })
}
