//! Sessions that go on in the rows and whose journal is not there: its disk died, or is not mounted.

use std::collections::HashSet;

use super::{advice, report::Finding};
use crate::{
    db::{Db, DbError},
    domain::session::Session,
    journal::{Journal, JournalError},
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

/// The sessions of a node that have not ended and have no folder, oldest first. None that is live is
/// among them: its folder is there before its row. Without `journal` there is no folder at all.
///
/// # Errors
/// Rows or journals cannot be read.
pub async fn missing_journals(
    db: &Db,
    journal: Option<&Journal>,
    node_id: &str,
) -> Result<Vec<Session>, MissingError> {
    let mut missing = db.unended_sessions(node_id, MAX_SESSIONS).await?;
    if let (Some(journal), false) = (journal, missing.is_empty()) {
        let listing = journal.clone();
        let there = journal.run_read(move || listing.sessions()).await?;
        let there: HashSet<_> = there.into_iter().collect();
        missing.retain(|session| !there.contains(&session.id));
    }
    let mut still = Vec::new();
    for session in missing {
        // Its journal may have been released since the first look.
        if db.session_has_ended(session.id).await? == Some(false) {
            still.push(session);
        }
    }
    Ok(still)
}

/// Reads only.
pub(super) async fn find(db: &Db, journal: Option<&Journal>, node_id: &str) -> Finding {
    const CHECK: &str = "journals.missing";
    let missing = match missing_journals(db, journal, node_id).await {
        Ok(missing) => missing,
        Err(error) => {
            let text = error.to_string();
            let found = format!("whether a journal is missing cannot be seen: {text}");
            return Finding::warn(CHECK, found, advice::for_disk(&text));
        }
    };
    if missing.is_empty() {
        return Finding::ok(CHECK, "every session that goes on has its journal");
    }
    let found = format!("{} sessions go on and their journals are not there", missing.len());
    let advice = "mount the disk of data_dir/journal and start the server again: everything goes on; what is gone for good is ended by `liverec give-up SESSION`";
    let names = missing.iter().take(MAX_NAMES);
    let names = names.map(|session| format!("{} {}", session.id, session.path)).collect();
    Finding { names, ..Finding::fail(CHECK, found, advice) }
}
