//! What nobody owns: objects without a row, uploads without a row, journals without a session.
//!
//! Only names that this program gives are looked at, and of these only what is older than
//! [`SAFE_AGE_MS`]: what is being made has no row yet. Nothing is removed
//! that another database may own: files older than this database, or more files without a row than
//! with one, mean that the rows are missing, not that the objects are too many.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

use super::{advice, place::mebibytes, report::Finding};
use crate::{
    db::{Db, DbError},
    domain::{
        ids::{FileId, SessionId},
        media_file::MediaFileState,
    },
    journal::{Journal, JournalError},
    storage::{ObjectStore, OpenUpload, StorageError, StorageKey, Upload},
};

/// What changed later than this long ago is never an orphan, in milliseconds.
pub const SAFE_AGE_MS: i64 = 24 * 3_600_000;
/// Name of the uploads that the store's own check begins and aborts.
const CHECK_NAME: &str = "liverec-check";
/// Fewer files without a row than this are believed whatever there is beside them.
const FEW: usize = 20;
/// Names in a report, at most.
const MAX_NAMES: usize = 1000;
/// Orphans held at the same time, at most; the others are found by the next run.
const MAX_ORPHANS: usize = 1_000_000;

/// Why the search ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrphanError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What is searched, and what may be done with what is found.
pub(super) struct Search<'a> {
    pub db: &'a Db,
    pub store: &'a Arc<dyn ObjectStore>,
    pub journal: Option<&'a Journal>,
    pub journal_dir: &'a Path,
    pub now_ms: i64,
    /// Remove what is found.
    pub fixes: bool,
    /// Pages of objects looked at, at most.
    pub pages: usize,
}

/// An object without a row.
struct Orphan {
    key: StorageKey,
    bytes: u64,
}

impl Search<'_> {
    /// Every kind, each a finding.
    pub(super) async fn run(&self) -> Vec<Finding> {
        let found = [
            ("orphans.objects", self.objects().await),
            ("orphans.uploads", self.uploads().await),
            ("orphans.journals", self.journals().await),
        ];
        let findings = found.into_iter().map(|(check, outcome)| match outcome {
            Ok(finding) => finding,
            // The checks of store and database say what is wrong with those.
            Err(error) => {
                let text = error.to_string();
                let found = format!("cannot be searched for: {text}");
                Finding::warn(check, found, advice::for_store(&text))
            }
        });
        findings.collect()
    }

    async fn objects(&self) -> Result<Finding, OrphanError> {
        const CHECK: &str = "orphans.objects";
        let first_ms = self.db.first_start_ms().await?.unwrap_or(i64::MAX);
        let (mut orphans, mut foreign) = (BTreeMap::<FileId, Vec<Orphan>>::new(), 0u64);
        let (mut looked_at, mut owned, mut older, mut held) = (0u64, 0usize, 0u64, 0usize);
        let mut young = 0u64;
        let (mut after, mut is_whole) = (None::<String>, false);
        let mut last_owned = None;
        for _ in 0..self.pages {
            let page = self.store.list("", after.as_deref()).await?;
            let mut ours = Vec::new();
            for object in page.objects {
                looked_at += 1;
                let key = StorageKey::parse(&object.name).ok();
                match key.and_then(|key| key.file_id().map(|id| (id, key))) {
                    Some((id, key)) => ours.push((id, key, object.size, object.modified_ms)),
                    None => foreign += 1,
                }
            }
            let mut ids: Vec<FileId> = ours.iter().map(|(id, ..)| *id).collect();
            ids.dedup();
            let states = self.db.media_file_states(&ids).await?;
            for (id, key, bytes, modified_ms) in ours {
                if is_owned(&states, id) {
                    owned += usize::from(last_owned.replace(id) != Some(id));
                    continue;
                }
                if !self.is_old(modified_ms) || !self.is_old(made_ms(id)) {
                    young += 1;
                    continue;
                }
                if made_ms(id) < first_ms {
                    older += 1;
                } else if held < MAX_ORPHANS {
                    held += 1;
                    orphans.entry(id).or_default().push(Orphan { key, bytes });
                }
            }
            after = page.next;
            if after.is_none() {
                is_whole = true;
                break;
            }
        }
        let all: Vec<&Orphan> = orphans.values().flatten().collect();
        let bytes: u64 = all.iter().map(|orphan| orphan.bytes).sum();
        let scope = match is_whole {
            true => format!("{looked_at} objects, {foreign} of them of others"),
            false => format!("the first {looked_at} objects"),
        };
        let scope = match young {
            0 => scope,
            young => {
                format!("{scope}; {young} without a row are younger than a day and not judged yet")
            }
        };
        let names = all.iter().take(MAX_NAMES).map(|orphan| orphan.key.to_string()).collect();
        let finding = if all.is_empty() && older == 0 {
            Finding::ok(CHECK, format!("none among {scope}"))
        } else if all.is_empty() {
            let found = format!("{older} objects are of files older than this database");
            Finding::warn(
                CHECK,
                found,
                "the rows of an earlier database are missing; these objects are never removed from here",
            )
        } else if orphans.len() > FEW && orphans.len() > owned {
            let found = format!(
                "{} files without a row, {owned} with one: {} objects, {}",
                orphans.len(),
                all.len(),
                mebibytes(bytes)
            );
            Finding::warn(
                CHECK,
                found,
                "this looks like missing rows (another database, a restored backup, a shared prefix), so nothing is removed: look at database.url and storage.s3.prefix",
            )
        } else if self.fixes {
            for orphan in &all {
                self.store.delete(&orphan.key).await?;
            }
            Finding::ok(
                CHECK,
                format!("removed {} objects without a row, {}", all.len(), mebibytes(bytes)),
            )
        } else {
            let found = format!(
                "{} objects of {} files have no row, {} (among {scope})",
                all.len(),
                orphans.len(),
                mebibytes(bytes)
            );
            Finding::warn(CHECK, found, "`liverec doctor --fix` removes them")
        };
        Ok(Finding { names, ..finding })
    }

    async fn uploads(&self) -> Result<Finding, OrphanError> {
        const CHECK: &str = "orphans.uploads";
        let known = self.db.known_upload_ids().await?;
        let open = self.store.list_uploads().await?;
        let total = open.len();
        let ids: Vec<FileId> = open.iter().filter_map(file_of).collect();
        let states = self.db.media_file_states(&ids).await?;
        let is_orphan = |upload: &OpenUpload| {
            let is_ours = upload
                .name
                .as_deref()
                .is_none_or(|name| file_of(upload).is_some() || name == CHECK_NAME);
            let is_wanted = file_of(upload).is_some_and(|id| {
                matches!(states.get(&id), Some(MediaFileState::Recording | MediaFileState::Ended))
            });
            is_ours && !is_wanted && !known.contains(&upload.id) && self.is_old(upload.changed_ms)
        };
        let orphans: Vec<OpenUpload> = open.into_iter().filter(is_orphan).collect();
        let mut bytes = 0u64;
        for upload in &orphans {
            bytes = bytes.saturating_add(match upload.bytes {
                Some(bytes) => bytes,
                None => self.bytes_of(upload).await,
            });
        }
        let names = orphans
            .iter()
            .take(MAX_NAMES)
            .map(|upload| format!("{} {}", upload.name.as_deref().unwrap_or(".tmp"), upload.id))
            .collect();
        let finding = if orphans.is_empty() {
            Finding::ok(CHECK, format!("none among {total} open uploads"))
        } else if self.fixes {
            for upload in &orphans {
                self.store.discard(upload).await?;
            }
            let found =
                format!("removed {} abandoned uploads, {}", orphans.len(), mebibytes(bytes));
            Finding::ok(CHECK, found)
        } else {
            let found = format!("{} abandoned uploads, {}", orphans.len(), mebibytes(bytes));
            Finding::warn(CHECK, found, "`liverec doctor --fix` removes them")
        };
        Ok(Finding { names, ..finding })
    }

    /// What an upload holds, as far as the store says.
    async fn bytes_of(&self, upload: &OpenUpload) -> u64 {
        let key = upload.name.as_deref().and_then(|name| StorageKey::parse(name).ok());
        let Some(key) = key else { return 0 };
        let upload = Upload { key, id: upload.id.clone(), part_size: 0 };
        let parts = self.store.list_parts(&upload).await.unwrap_or_default();
        parts.iter().map(|part| part.size).sum()
    }

    /// A journal that no row knows and whose head cannot be read: no start will make rows of it.
    async fn journals(&self) -> Result<Finding, OrphanError> {
        const CHECK: &str = "orphans.journals";
        let Some(journal) = self.journal else {
            return Ok(Finding::ok(CHECK, "there are no journals"));
        };
        let listing = journal.clone();
        let sessions = journal.run_read(move || listing.sessions()).await?;
        let (total, mut orphans, mut bytes, mut later) = (sessions.len(), Vec::new(), 0, 0);
        for session in sessions {
            if self.db.session_has_ended(session).await?.is_some() {
                continue;
            }
            let folder = self.journal_dir.join(session.to_string());
            let (changed_ms, held) = match fs::metadata(&folder) {
                Ok(meta) => contents(&folder, meta.mtime()),
                Err(_) => continue,
            };
            if !self.is_old(changed_ms) {
                continue;
            }
            let reading = journal.clone();
            let head = journal
                .run_read(move || match reading.newer_format(session)? {
                    // To this program it looks damaged.
                    Some(_) => Ok(()),
                    None => reading.reader(session).map(|_| ()),
                })
                .await;
            match head {
                Ok(()) => later += 1,
                Err(JournalError::Damaged { .. } | JournalError::Missing(_)) => {
                    bytes += held;
                    orphans.push(session);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let names: Vec<String> = orphans.iter().take(MAX_NAMES).map(SessionId::to_string).collect();
        let finding = if self.fixes && !orphans.is_empty() {
            let mut freed = 0;
            for session in &orphans {
                let (releasing, session) = (journal.clone(), *session);
                freed += journal.run_read(move || releasing.release(session, None)).await?;
            }
            let found = format!(
                "removed {} journals that nothing can be made of, {}",
                orphans.len(),
                mebibytes(freed)
            );
            Finding::ok(CHECK, found)
        } else if !orphans.is_empty() {
            let found = format!(
                "{} journals have no session and no readable head, {}",
                orphans.len(),
                mebibytes(bytes)
            );
            Finding::warn(
                CHECK,
                found,
                "nothing can be made of them; `liverec doctor --fix` removes them",
            )
        } else if later > 0 {
            let found = format!(
                "{later} journals have no rows yet and can be recovered, here or by a newer version"
            );
            Finding::warn(
                CHECK,
                found,
                "they are recovered at the next start of the server, never removed",
            )
        } else {
            Finding::ok(CHECK, format!("none among {total} journals"))
        };
        Ok(Finding { names, ..finding })
    }

    fn is_old(&self, changed_ms: i64) -> bool {
        changed_ms < self.now_ms.saturating_sub(SAFE_AGE_MS)
    }
}

/// Whether a row says that objects of this file are wanted.
fn is_owned(states: &HashMap<FileId, MediaFileState>, id: FileId) -> bool {
    match states.get(&id) {
        Some(MediaFileState::Deleted | MediaFileState::Empty) | None => false,
        // A failed file may be made again.
        Some(_) => true,
    }
}

fn file_of(upload: &OpenUpload) -> Option<FileId> {
    StorageKey::parse(upload.name.as_deref()?).ok()?.file_id()
}

/// When a file was begun, by its id, unix milliseconds.
fn made_ms(id: FileId) -> i64 {
    i64::try_from(id.0 >> 20).unwrap_or(i64::MAX)
}

/// When anything in a folder changed last (unix milliseconds), and the bytes that it holds.
fn contents(folder: &Path, own_mtime_s: i64) -> (i64, u64) {
    let (mut changed_s, mut bytes) = (own_mtime_s, 0);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if let Ok(meta) = entry.metadata() {
            changed_s = changed_s.max(meta.mtime());
            bytes += meta.len();
        }
    }
    (changed_s.saturating_mul(1000), bytes)
}
