//! The data directory: who holds it, which node it is, and the generated credentials.
//!
//! Foreign files in it are left alone.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{config::Credentials, journal::make_folder};

/// The directory, locked for this process for as long as this lives.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    secret_id: String,
    secret_key: String,
}

impl DataDir {
    /// Creates the directory if need be and takes its lock.
    ///
    /// # Errors
    /// Another process holds the lock; the message names it.
    pub fn lock(path: &Path) -> Result<Self> {
        match Self::lock_or_holder(path)? {
            Ok(held) => Ok(held),
            Err(holder) => {
                bail!("data_dir {} is in use by another liverec ({holder})", path.display())
            }
        }
    }

    /// The same; `None` where another process holds the lock.
    pub fn try_lock(path: &Path) -> Result<Option<Self>> {
        Ok(Self::lock_or_holder(path)?.ok())
    }

    fn lock_or_holder(path: &Path) -> Result<Result<Self, String>> {
        make_folder(path).with_context(|| format!("create data_dir {}", path.display()))?;
        let path =
            path.canonicalize().with_context(|| format!("find data_dir {}", path.display()))?;
        let file = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .with_context(|| format!("open {}", file.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message; the holder may be writing it this very moment.
                let _ = Read::by_ref(&mut lock).take(64).read_to_string(&mut holder);
                return Ok(Err(holder.trim().to_owned()));
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", file.display()));
            }
        }
        lock.set_len(0)
            .and_then(|()| write!(lock, "process {}", std::process::id()))
            .with_context(|| format!("write {}", file.display()))?;
        Ok(Ok(Self { path, _lock: lock }))
    }

    /// Unix milliseconds at which the process that holds the directory took it.
    pub fn held_since_ms(path: &Path) -> Result<i64> {
        let file = path.join("lock");
        let meta = fs::metadata(&file).with_context(|| format!("look at {}", file.display()))?;
        Ok(meta.mtime().saturating_mul(1000).saturating_add(meta.mtime_nsec() / 1_000_000))
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The id of this node, made once.
    pub fn node_id(&self) -> Result<String> {
        let file = self.path.join("node_id");
        if let Some(text) = read_small(&file)? {
            let id = Uuid::parse_str(text.trim())
                .with_context(|| format!("{} does not hold a node id", file.display()))?;
            return Ok(id.to_string());
        }
        let id = Uuid::new_v4().to_string();
        write_private(&file, &format!("{id}\n"))?;
        Ok(id)
    }

    /// The id of the node whose directory this is, held or not.
    ///
    /// # Errors
    /// It never was a server's.
    pub fn known_node_id(path: &Path) -> Result<String> {
        let file = path.join("node_id");
        let text = read_small(&file)?;
        let text = text.with_context(|| format!("there is no {}", file.display()))?;
        Ok(text.trim().to_owned())
    }

    /// The configured key pair, or the generated one of `credentials.toml`. The flag says that it
    /// was generated just now.
    pub fn credentials(&self, configured: Option<&Credentials>) -> Result<(String, String, bool)> {
        if let Some(configured) = configured {
            return Ok((
                configured.secret_id.clone(),
                configured.secret_key.expose().to_owned(),
                false,
            ));
        }
        let file = self.path.join("credentials.toml");
        if let Some(text) = read_small(&file)? {
            // The file holds the secret: an error must not quote it.
            let Ok(known) = toml::from_str::<CredentialsFile>(&text) else {
                bail!("{} is not readable: it must hold secret_id and secret_key", file.display());
            };
            return Ok((known.secret_id, known.secret_key, false));
        }
        let made = CredentialsFile {
            secret_id: format!("AKID{}", random_text(24)),
            secret_key: random_text(24),
        };
        write_private(&file, &toml::to_string(&made).context("write credentials.toml")?)?;
        Ok((made.secret_id, made.secret_key, true))
    }
}

/// The id of the node that a data directory belongs to, if it has one.
pub fn known_node_id(path: &Path) -> Option<String> {
    let text = read_small(&path.join("node_id")).ok().flatten()?;
    Uuid::parse_str(text.trim()).ok().map(|id| id.to_string())
}

/// Text of `bytes` random bytes.
pub fn random_text(bytes: usize) -> String {
    let random: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
    URL_SAFE_NO_PAD.encode(random).replace(['-', '_'], "x")
}

/// Makes an empty file that only its owner may read, unless it is there: the database holds keys.
pub fn create_private(file: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(|| format!("create {}", file.display())),
    }
}

/// The text of a small file; `None` if there is none.
pub fn read_small(file: &Path) -> Result<Option<String>> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("open {}", file.display())),
    };
    let mut text = String::new();
    opened
        .take(4096)
        .read_to_string(&mut text)
        .with_context(|| format!("read {}", file.display()))?;
    Ok(Some(text))
}

/// Writes a file that only its owner may read; it appears whole or not at all.
fn write_private(file: &Path, text: &str) -> Result<()> {
    let temporary = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut new = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        new.set_permissions(fs::Permissions::from_mode(0o600))?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&temporary, file)?;
        if let Some(parent) = file.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    };
    write().with_context(|| format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::lock(dir.path()).unwrap();
        let refused = DataDir::lock(dir.path()).err().unwrap().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        DataDir::lock(dir.path()).unwrap();
    }

    #[test]
    fn node_id_and_credentials_are_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::lock(dir.path()).unwrap();
        assert_eq!(data.node_id().unwrap(), data.node_id().unwrap());
        let (id, key, is_new) = data.credentials(None).unwrap();
        assert!(is_new && key.len() >= 32);
        assert_eq!(data.credentials(None).unwrap(), (id, key, false));
        let mode = fs::metadata(dir.path().join("credentials.toml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn damaged_credentials_are_refused_without_quoting_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("credentials.toml"), "secret_key = \"topsecret\"").unwrap();
        let data = DataDir::lock(dir.path()).unwrap();
        let error = format!("{:#}", data.credentials(None).err().unwrap());
        assert!(!error.contains("topsecret"), "{error}");
    }
}
