//! The master key, which opens the secret keys that the database holds sealed.
//!
//! Kept outside the database: in `api.master_key`, or else in `<data_dir>/master.key`, which only
//! its owner may read and which is made when it is first needed.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result, anyhow, bail};

use super::data_dir::read_small;
use crate::{
    api::key_ring::{MASTER_KEY_BYTES, MasterKey},
    config::Secret,
};

/// Name of the file in the data directory.
const FILE: &str = "master.key";

/// The configured master key, or that of the data directory.
///
/// # Errors
/// It is not 64 hexadecimal digits, or the file cannot be read or made.
pub fn load(configured: Option<&Secret>, data_dir: &Path) -> Result<MasterKey> {
    if let Some(configured) = configured {
        return parse(configured.expose()).context("api.master_key");
    }
    let file = data_dir.join(FILE);
    if let Some(text) = read_small(&file)? {
        return parse(text.trim()).with_context(|| file.display().to_string());
    }
    make(&file).with_context(|| format!("make {}", file.display()))?;
    // Somebody else may have made it at the same moment: what is there counts.
    match read_small(&file)? {
        Some(text) => parse(text.trim()).with_context(|| file.display().to_string()),
        None => bail!("{} has gone", file.display()),
    }
}

fn parse(text: &str) -> Result<MasterKey> {
    // What is wrong with it is not shown: it is a secret.
    let odd = || anyhow!("must be {} hexadecimal digits", 2 * MASTER_KEY_BYTES);
    let mut bytes = [0; MASTER_KEY_BYTES];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| odd())?;
    MasterKey::new(&bytes).map_err(|_| odd())
}

/// Makes the file whole or not at all; one that is there stays.
fn make(file: &Path) -> Result<()> {
    let bytes: [u8; MASTER_KEY_BYTES] = rand::random();
    let part = file.with_extension(format!("{}.part", std::process::id()));
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    let linked = writeln!(written, "{}", hex::encode(bytes))
        .and_then(|()| written.sync_all())
        .and_then(|()| match fs::hard_link(&part, file) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    fs::remove_file(&part)?;
    linked?;
    if let Some(folder) = file.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        load(None, dir.path()).unwrap();
        let file = dir.path().join(FILE);
        let first = fs::read_to_string(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        load(None, dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::write(&file, "short").unwrap();
        let refused = format!("{:#}", load(None, dir.path()).err().unwrap());
        assert!(refused.contains("64 hexadecimal digits") && !refused.contains("short"));
    }
}
