//! What an earlier process left behind: its journals are made whole and followed to their end.
//!
//! Runs beside normal work; a publish never waits for it. Files whose rows were complete already
//! only need their journals readable for delivery.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    db::Db,
    domain::{ids::SessionId, journal_note::JournalHead},
    journal::{Journal, JournalError},
    record::Found,
};

const RETRY: Duration = Duration::from_secs(1);

/// Recovers every session in turn and hands the unfinished ones to the supervisor.
pub async fn run(
    db: Db,
    journal: Journal,
    sessions: Vec<SessionId>,
    found: mpsc::Sender<Found>,
    abandon: CancellationToken,
) {
    for session in sessions {
        let recovered = tokio::select! {
            () = abandon.cancelled() => return,
            recovered = recover(&db, &journal, session) => recovered,
        };
        match recovered {
            Ok(Some(unfinished)) => {
                if found.send(unfinished).await.is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(error) => error!(
                session.id = %session, %error,
                "a journal cannot be recovered; its folder is kept as it is"
            ),
        }
    }
}

async fn recover(
    db: &Db,
    journal: &Journal,
    session: SessionId,
) -> Result<Option<Found>, JournalError> {
    let reader = journal.clone();
    let recovered = journal.run_read(move || reader.recover(session)).await?;
    if has_ended(db, session).await {
        return Ok(None);
    }
    let head = recovered.head.as_deref().map(serde_json::from_str::<JournalHead>);
    let Some(Ok(head)) = head else {
        // Nothing was ever acknowledged for it: a publish needs the head first.
        info!(session.id = %session, "a journal without a readable head is kept as it is");
        return Ok(None);
    };
    // Held until its rows are written.
    journal.set_floor(session, 0);
    // The sender may go: a closed progress needs no further word.
    let (_, progress) = watch::channel(recovered.progress);
    Ok(Some(Found { session: head.session, progress }))
}

/// Whether the rows of a session are complete; asks until the database answers.
async fn has_ended(db: &Db, session: SessionId) -> bool {
    let mut is_warned = false;
    loop {
        match db.session_has_ended(session).await {
            Ok(ended) => return ended == Some(true),
            Err(error) if !is_warned => {
                is_warned = true;
                warn!(%error, "recovery waits for the database");
            }
            Err(_) => {}
        }
        sleep(RETRY).await;
    }
}
