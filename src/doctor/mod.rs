//! Checks what the server stands on (data directory, database, clock, object store), says what to do
//! about what is wrong, and finds what nobody owns.
//!
//! Not the way in: `app` makes a [`Doctor`] for the command `liverec doctor` and for the start of the
//! server, `api` asks one for LiverecDoctor. Nothing but [`Depth::Fix`] removes anything that was
//! there before; probes take back what they write.

mod advice;
mod database;
mod missing;
mod orphans;
mod place;
pub mod report;
mod store;

use std::{path::PathBuf, sync::Arc};

use tokio::{sync::Semaphore, task::spawn_blocking};

pub use self::{
    database::unreachable,
    missing::{MissingJournal, missing_journals},
    orphans::SAFE_AGE_MS,
    report::{Finding, Report, Status},
};
use crate::{
    db::Db,
    journal::{Journal, SpaceSettings},
    storage::ObjectStore,
};

/// Pages of objects that are searched for orphans while somebody waits for an answer.
const FEW_PAGES: usize = 20;

/// How far an examination goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Reads only: at the start of the server.
    Look,
    /// Writes probes and takes them back; looks for orphans among the first objects.
    Probe,
    /// The same, among all objects.
    Search,
    /// Removes orphans and confirms the clock.
    Fix,
}

/// What is examined. What cannot be opened is left out; who opens says why.
#[derive(Clone)]
pub struct Doctor {
    /// The data directory.
    pub data_dir: PathBuf,
    /// When the server warns of little room, and refuses.
    pub space: SpaceSettings,
    /// This node, where it is known.
    pub node_id: Option<String>,
    /// Rows.
    pub db: Option<Db>,
    /// Products.
    pub store: Option<Arc<dyn ObjectStore>>,
    /// Journals, where there are any.
    pub journal: Option<Journal>,
    /// Whether the server itself asks, which holds the data directory.
    pub is_server: bool,
    /// Unix milliseconds.
    pub now_ms: fn() -> i64,
    /// One examination at a time.
    pub turn: Arc<Semaphore>,
}

/// Another examination is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another examination is going on")]
pub struct Busy;

impl Doctor {
    /// Examines everything.
    ///
    /// # Errors
    /// Another examination is going on.
    pub async fn examine(&self, depth: Depth) -> Result<Report, Busy> {
        let _turn = self.turn.clone().try_acquire_owned().map_err(|_| Busy)?;
        let mut report = Report::default();
        report.findings.extend(self.place(depth).await);
        let has_rows = self.database(depth, &mut report).await;
        if let (Some(db), Some(node_id), true) = (&self.db, &self.node_id, has_rows) {
            let journal = self.journal.as_ref();
            report.findings.push(missing::find(db, journal, node_id, depth == Depth::Look).await);
        }
        let has_objects = match &self.store {
            Some(store) => {
                let (findings, is_there) = match depth {
                    Depth::Look => store::look(store, (self.now_ms)()).await,
                    Depth::Probe | Depth::Search | Depth::Fix => {
                        store::probe(store, (self.now_ms)()).await
                    }
                };
                report.findings.extend(findings);
                is_there
            }
            None => false,
        };
        let knows_age = has_rows && self.clock(depth, &mut report).await;
        if let (Some(db), Some(store), true, true) =
            (&self.db, &self.store, has_rows && has_objects, depth != Depth::Look)
        {
            let search = orphans::Search {
                db,
                store,
                journal: self.journal.as_ref(),
                journal_dir: &self.data_dir.join("journal"),
                now_ms: (self.now_ms)(),
                // By a doubtful clock everything may look old.
                fixes: depth == Depth::Fix && knows_age,
                pages: if depth == Depth::Probe { FEW_PAGES } else { usize::MAX },
            };
            report.findings.extend(search.run().await);
        }
        Ok(report)
    }

    async fn place(&self, depth: Depth) -> Vec<Finding> {
        let (directory, is_server) = (self.data_dir.clone(), self.is_server);
        let space = self.space.clone();
        let now_ms = (self.now_ms)();
        let looked = spawn_blocking(move || {
            let mut findings = place::look(&directory, &space, is_server);
            if depth != Depth::Look && findings.iter().all(|f| f.check != "data_dir") {
                findings.extend(place::probe(&directory, now_ms));
            }
            findings
        });
        looked.await.unwrap_or_else(|error| {
            let found = format!("the check did not finish: {error}");
            vec![Finding::fail("data_dir", found, "look at the kernel's log: the disk may hang")]
        })
    }

    async fn database(&self, depth: Depth, report: &mut Report) -> bool {
        let Some(db) = &self.db else { return false };
        let (findings, has_rows) =
            database::look(db, self.node_id.as_deref(), (self.now_ms)()).await;
        report.findings.extend(findings);
        if has_rows && depth != Depth::Look {
            report.findings.push(database::probe(db).await);
        }
        has_rows
    }

    async fn clock(&self, depth: Depth, report: &mut Report) -> bool {
        let (Some(db), Some(node_id)) = (&self.db, &self.node_id) else { return true };
        let confirms = depth == Depth::Fix;
        let (finding, knows_age) = database::clock(db, node_id, (self.now_ms)(), confirms).await;
        report.findings.push(finding);
        knows_age
    }
}
