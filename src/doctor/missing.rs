//! Sessions that go on in the rows and whose journal is not there: its disk died, or is not mounted.

use std::fmt;

use super::{advice, report::Finding};
use crate::{
    db::{Db, DbError},
    domain::session::Session,
    journal::{Journal, JournalError, Left},
};

/// Sessions in a report, at most; there are never as many live ones.
const MAX_SESSIONS: i64 = 10_000;
/// Names in a report, at most.
const MAX_NAMES: usize = 1000;

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub enum MissingError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The journals cannot be listed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A session that has not ended, without data in its journal.
#[derive(Debug)]
pub struct MissingJournal {
    /// Which.
    pub session: Session,
    /// What is there instead, never [`Left::Data`]; or why that cannot be seen.
    pub left: Result<Left, JournalError>,
}

impl MissingJournal {
    /// Whether its folder is there without data, which the next start of the server ends.
    pub fn is_empty(&self) -> bool {
        matches!(self.left, Ok(Left::Empty))
    }
}

impl fmt::Display for MissingJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Session { id, path, .. } = &self.session;
        write!(f, "{id} {path}")?;
        match &self.left {
            Ok(Left::Obstructed(place)) => write!(f, ": {} is in the way", place.display()),
            Ok(Left::Empty) => f.write_str(": its folder has no data"),
            Ok(Left::Nothing | Left::Data) => Ok(()),
            Err(error) => write!(f, ": {error}"),
        }
    }
}

/// The sessions of a node that have not ended and have no data in their journals, oldest first. None
/// that is live is among them: its data are there before its row. Without `journal` there is no folder
/// at all.
///
/// # Errors
/// Rows or journals cannot be read.
pub async fn missing_journals(
    db: &Db,
    journal: Option<&Journal>,
    node_id: &str,
) -> Result<Vec<MissingJournal>, MissingError> {
    let sessions = db.unended_sessions(node_id, MAX_SESSIONS).await?;
    let missing = match journal {
        _ if sessions.is_empty() => Vec::new(),
        Some(journal) => {
            let here = journal.clone();
            journal.run_read(move || Ok::<_, JournalError>(among(&here, sessions))).await?
        }
        None => {
            let nothing = |session| MissingJournal { session, left: Ok(Left::Nothing) };
            sessions.into_iter().map(nothing).collect()
        }
    };
    let mut still = Vec::new();
    for journal in missing {
        // It may have been released since the first look.
        if db.session_has_ended(journal.session.id).await? == Some(false) {
            still.push(journal);
        }
    }
    Ok(still)
}

fn among(journal: &Journal, sessions: Vec<Session>) -> Vec<MissingJournal> {
    let look = |session: Session| MissingJournal { left: journal.left(session.id), session };
    let is_missing = |found: &MissingJournal| !matches!(found.left, Ok(Left::Data));
    sessions.into_iter().map(look).filter(is_missing).collect()
}

/// Reads only. At the start (`is_start`) nothing is said of folders without data, which the server
/// is about to end.
pub(super) async fn find(
    db: &Db,
    journal: Option<&Journal>,
    node_id: &str,
    is_start: bool,
) -> Finding {
    const CHECK: &str = "journals.missing";
    let mut missing = match missing_journals(db, journal, node_id).await {
        Ok(missing) => missing,
        Err(error) => {
            let text = error.to_string();
            let found = format!("whether a journal is missing cannot be seen: {text}");
            return Finding::warn(CHECK, found, advice::for_disk(&text));
        }
    };
    missing.retain(|journal| !(is_start && journal.is_empty()));
    if missing.is_empty() {
        return Finding::ok(CHECK, "every session that goes on has its journal");
    }
    let found = format!("{} sessions go on and their journals are not there", missing.len());
    let advice = match missing.iter().all(MissingJournal::is_empty) {
        true => {
            "bring the data back before the server starts again: everything goes on; else they end at its start"
        }
        false => {
            "mount the disk of data_dir/journal and start the server again: everything goes on; what is gone for good is ended by `liverec give-up SESSION`"
        }
    };
    let names = missing.iter().take(MAX_NAMES).map(ToString::to_string).collect();
    Finding { names, ..Finding::fail(CHECK, found, advice) }
}
