//! `liverec backup DIR`: database, configuration, credentials and node id, while a server runs.
//!
//! Not the journals and not the products: those are data, and this is what gives them their names.
//! The copy is written beside its place and renamed, so it is there whole or not at all.
//!
//! Restoring is copying `liverec.db`, `credentials.toml`, `master.key` and `node_id` into the data directory
//! (with no `liverec.db-wal` or `-shm` of another database beside it) and starting with the
//! configuration of the backup. Unfinished recordings whose journals are in the data directory are
//! finished then.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    config::{Config, Sources, VARIABLE_PREFIX},
    db::Db,
};

use super::data_dir::create_private;

/// Files of the data directory that are copied as they are, if they are there.
const KEPT: [&str; 3] = ["credentials.toml", "master.key", "node_id"];

/// Writes a backup to `dir`, which must not be there yet or be empty.
///
/// # Errors
/// `dir` holds something, the database is not SQLite, or the disk refuses.
pub async fn backup(config: &Config, sources: &Sources, dir: &Path) -> Result<()> {
    let Some(database) = config.database.sqlite_file() else {
        bail!(
            "database.url names a PostgreSQL server: back it up with its own tools, such as \
             `pg_dump --format=custom --file=liverec.dump \"$DATABASE_URL\"`, and copy {} besides",
            KEPT.map(|name| config.data_dir.join(name).display().to_string()).join(" and ")
        );
    };
    ensure!(database.exists(), "there is no database {} yet", database.display());
    refuse_taken(dir)?;
    let dir = std::path::absolute(dir).with_context(|| format!("find {}", dir.display()))?;
    let parent = dir.parent().with_context(|| format!("{} has no parent", dir.display()))?;
    fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    let unfinished = Unfinished::create(&dir)?;
    write(config, sources, &unfinished.path).await?;
    fs::rename(&unfinished.path, &dir)
        .with_context(|| format!("rename {} to {}", unfinished.path.display(), dir.display()))?;
    sync(parent)?;
    writeln!(io::stdout(), "backup written to {}", dir.display()).context("write to stdout")
}

async fn write(config: &Config, sources: &Sources, to: &Path) -> Result<()> {
    // Made first, for its mode: it holds keys. SQLite writes into an empty file that is there.
    let copy = to.join("liverec.db");
    create_private(&copy)?;
    Db::copy_sqlite(config.database.as_str(), &copy).await?;
    sync(&copy)?;
    for name in KEPT {
        let file = config.data_dir.join(name);
        if file.exists() {
            let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            write_private(&to.join(name), &bytes)?;
        }
    }
    if let Some(file) = &sources.file {
        let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        write_private(&to.join("liverec.toml"), &bytes)?;
    }
    let overrides = overrides(sources);
    if !overrides.is_empty() {
        write_private(&to.join("liverec.env"), overrides.as_bytes())?;
    }
    sync(to)
}

/// What environment and flags say over the file, as lines for systemd's `EnvironmentFile`.
fn overrides(sources: &Sources) -> String {
    let environment = sources.environment.iter().filter_map(|(name, value)| {
        let name = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX))?;
        Some((name.to_owned(), value.to_str()?.to_owned()))
    });
    let flags = sources.flags.iter().map(|(key, value)| {
        let name = key.to_uppercase().replace('.', "__");
        (format!("{VARIABLE_PREFIX}{name}"), value.clone())
    });
    // A flag wins over a variable.
    let all: std::collections::BTreeMap<String, String> = environment.chain(flags).collect();
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
    all.iter().map(|(name, value)| format!("{name}=\"{}\"\n", quoted(value))).collect()
}

fn refuse_taken(dir: &Path) -> Result<()> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("look into {}", dir.display())),
        Ok(mut entries) => {
            ensure!(entries.next().is_none(), "{} is not empty", dir.display());
            Ok(())
        }
    }
}

/// A folder that goes away unless it was renamed.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    fn create(dir: &Path) -> Result<Self> {
        let mut name = dir.as_os_str().to_owned();
        name.push(format!(".{}.unfinished", std::process::id()));
        let path = PathBuf::from(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the rename there is nothing of this name.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        new.write_all(bytes)?;
        new.sync_all()
    };
    write().with_context(|| format!("write {}", file.display()))
}

fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .with_context(|| format!("sync {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overrides_the_file_is_written_down_once_and_quoted() {
        let sources = Sources {
            file: None,
            environment: vec![
                ("LIVEREC__API__SECRET_KEY".into(), "a\"b\\c".into()),
                ("LIVEREC__DATA_DIR".into(), "/old".into()),
                ("PATH".into(), "/bin".into()),
            ],
            flags: vec![("data_dir".to_owned(), "/new".to_owned())],
        };
        assert_eq!(
            overrides(&sources),
            "LIVEREC__API__SECRET_KEY=\"a\\\"b\\\\c\"\nLIVEREC__DATA_DIR=\"/new\"\n"
        );
    }
}
