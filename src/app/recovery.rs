//! What an earlier process left behind: its journals are made whole and followed to their end.
//!
//! Runs beside normal work; a publish never waits for it. Files whose rows were complete already
//! only need their journals readable for delivery. The others take their places in line first, so
//! that a session that begins now finds what they leave behind.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    db::{Db, DbError},
    domain::{ids::SessionId, journal_note::JournalHead},
    journal::{Journal, JournalError},
    record::{
        Found,
        turns::{Turn, Turns},
    },
};

const RETRY: Duration = Duration::from_secs(1);

/// A session with a journal of an earlier process.
pub struct LeftBehind {
    session: SessionId,
    /// Its place among the sessions of its stream, if it may be unfinished and says which that is.
    turn: Option<Turn>,
}

/// Gives the sessions that may be unfinished their places in line, oldest first. To be called
/// before anything can be published.
///
/// # Errors
/// The database does not answer.
pub async fn line_up(
    db: &Db,
    journal: &Journal,
    turns: &Arc<Turns>,
    node_id: &str,
    sessions: Vec<SessionId>,
) -> Result<Vec<LeftBehind>, DbError> {
    let complete: HashSet<SessionId> = db.complete_sessions(node_id).await?.into_iter().collect();
    let mut left_behind = Vec::with_capacity(sessions.len());
    for session in sessions {
        let mut turn = None;
        if !complete.contains(&session) {
            let reading = journal.clone();
            let head = journal
                .run_read(move || reading.reader(session).map(|reader| reader.head().to_owned()))
                .await;
            // One that cannot be read yet gets its place when it is recovered.
            let head = head.ok().and_then(|head| serde_json::from_str::<JournalHead>(&head).ok());
            turn = head.map(|head| turns.enter(&head.session, None));
        }
        left_behind.push(LeftBehind { session, turn });
    }
    Ok(left_behind)
}

/// Recovers every session in turn and hands the unfinished ones to the supervisor. `recovered`
/// turns true when all have been.
pub async fn run(
    db: Db,
    journal: Journal,
    sessions: Vec<LeftBehind>,
    found: mpsc::Sender<Found>,
    recovered: watch::Sender<bool>,
    abandon: CancellationToken,
) {
    for LeftBehind { session, turn } in sessions {
        let handed_over = hand_over(&db, &journal, session, turn, &found);
        let is_open = tokio::select! {
            () = abandon.cancelled() => return,
            is_open = handed_over => is_open,
        };
        if !is_open {
            return;
        }
    }
    recovered.send_replace(true);
}

/// Recovers one session. False if nobody takes what is found any more.
async fn hand_over(
    db: &Db,
    journal: &Journal,
    session: SessionId,
    turn: Option<Turn>,
    found: &mpsc::Sender<Found>,
) -> bool {
    match recover(db, journal, session).await {
        Ok(Some(unfinished)) => return found.send(Found { turn, ..unfinished }).await.is_ok(),
        Ok(None) => {}
        Err(error) => error!(
            session.id = %session, %error,
            "a journal cannot be recovered; its folder is kept as it is"
        ),
    }
    true
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
    Ok(Some(Found { session: head.session, progress, turn: None }))
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
