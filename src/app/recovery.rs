//! What an earlier process left behind: its journals are made whole and followed to their end.
//!
//! All of it beside normal work; a publish never waits for it, nor does listening. Files whose rows
//! were complete already only need their journals readable for delivery. The others take their
//! places in line first: of a session that begins meanwhile the journal is written at once, its
//! rows when they have.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    db::{Db, DbError},
    doctor::{MissingJournal, missing_journals},
    domain::{ids::SessionId, journal_note::JournalHead},
    journal::{Journal, JournalError, Left, Recovered},
    record::{
        Found,
        turns::{Turn, Turns},
    },
};

use super::now_ms;

const RETRY: Duration = Duration::from_secs(1);
/// Between two tries at journals that the disk would not let be recovered.
const RECOVER_AGAIN: Duration = Duration::from_secs(2);
/// Heads of journals read at the same time.
const HEADS: usize = 4;
/// The newest journals, by which a later version of the program is known.
const NEWEST: usize = 4;

/// The sessions of an earlier process, whose journals nobody relies on before they were recovered.
///
/// # Errors
/// One of them was written by a later version of the program, or the disk refuses.
pub fn left_behind(journal: &Journal) -> Result<Vec<SessionId>> {
    let sessions = journal.sessions().context("list the journals")?;
    refuse_newer(journal, &sessions)?;
    journal.distrust(&sessions);
    Ok(sessions)
}

/// Refuses what a later version of the program has written. Looks at the newest journals only:
/// whatever wrote them also saw the older ones.
///
/// # Errors
/// There is such a journal, or the disk refuses.
fn refuse_newer(journal: &Journal, sessions: &[SessionId]) -> Result<()> {
    for session in sessions.iter().rev().take(NEWEST) {
        match journal.newer_format(*session) {
            Ok(None) | Err(JournalError::Missing(_)) => {}
            Ok(Some((found, known))) => bail!(
                "the journal of session {session} is of a newer version of liverec (format {found}, this program knows {known}): use that version"
            ),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Recovers what earlier processes left behind.
pub struct Recovery {
    /// Rows.
    pub db: Db,
    /// Journals.
    pub journal: Journal,
    /// The lines of the streams.
    pub turns: Arc<Turns>,
    /// This node.
    pub node_id: String,
    /// The journals that were there before anything could be published, oldest first.
    pub sessions: Vec<SessionId>,
    /// Who follows what is unfinished.
    pub found: mpsc::Sender<Found>,
    /// Turns true when everything has been handed over.
    pub recovered: watch::Sender<bool>,
}

impl Recovery {
    /// Recovers every session in turn and hands the unfinished ones to the supervisor.
    pub async fn run(self, abandon: CancellationToken) {
        tokio::select! {
            () = abandon.cancelled() => {}
            () = self.recover_all() => {}
        }
    }

    async fn recover_all(&self) {
        let mut left_behind = self.line_up().await;
        self.turns.all_found();
        self.tell_missing().await;
        let mut told = HashSet::new();
        while !left_behind.is_empty() {
            let mut again = Vec::new();
            for (session, turn) in left_behind {
                match self.recover(session).await {
                    Ok(Some(unfinished)) => {
                        if told.contains(&session) {
                            info!(session.id = %session, "a journal could be recovered after all");
                        }
                        if self.found.send(Found { turn, ..unfinished }).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => {}
                    // A full disk, say. It keeps its place in line.
                    Err(error) if error.is_transient() => {
                        if told.insert(session) {
                            error!(session.id = %session, %error, "a journal cannot be recovered yet; trying again");
                        }
                        again.push((session, turn));
                    }
                    Err(error) => error!(
                        session.id = %session, %error,
                        "a journal cannot be recovered; its folder is kept as it is"
                    ),
                }
            }
            left_behind = again;
            if !left_behind.is_empty() {
                sleep(RECOVER_AGAIN).await;
            }
        }
        self.recovered.send_replace(true);
    }

    /// Names the sessions whose journals are not there. They stay as they are: a disk may be mounted
    /// late, and whether it ever is only the operator knows.
    async fn tell_missing(&self) {
        let (db, journal) = (&self.db, Some(&self.journal));
        match missing_journals(db, journal, &self.node_id).await {
            Ok(missing) => missing.iter().for_each(|journal| self.tell(journal)),
            // The doctor looks, too.
            Err(error) => warn!(%error, "whether a journal is missing cannot be seen"),
        }
    }

    fn tell(&self, journal: &MissingJournal) {
        // Ends by itself, which is told then; but not if it has come since.
        if journal.is_empty() && self.sessions.contains(&journal.session.id) {
            return;
        }
        error!(
            session.id = %journal.session.id, found = %journal,
            "the journal of a session is missing: its recordings go on when it is there at a later start; if it is gone for good, `liverec give-up SESSION` ends them"
        );
    }

    /// Gives the sessions that may be unfinished their places in line, oldest first.
    async fn line_up(&self) -> Vec<(SessionId, Option<Turn>)> {
        let complete = self.retry(|| self.db.complete_sessions(&self.node_id)).await;
        let complete: HashSet<SessionId> = complete.into_iter().collect();
        let complete = &complete;
        stream::iter(self.sessions.clone())
            .map(|session| async move {
                match complete.contains(&session) {
                    true => (session, None),
                    false => (session, self.head(session).await),
                }
            })
            .buffered(HEADS)
            // One that cannot be read yet gets its place when it is recovered.
            .map(|(session, head)| {
                (session, head.map(|head| self.turns.enter_found(&head.session)))
            })
            .collect()
            .await
    }

    async fn head(&self, session: SessionId) -> Option<JournalHead> {
        let journal = self.journal.clone();
        let text = self.journal.run_read(move || journal.head(session)).await.ok().flatten();
        match text.and_then(|text| serde_json::from_str(&text).ok()) {
            Some(head) => Some(head),
            // Its row says the same.
            None => {
                let known = self.retry(|| self.db.session(session)).await;
                known.map(|session| JournalHead { session })
            }
        }
    }

    /// What the journal of a session would say of it, from its row, if it does not say so itself.
    async fn head_of_row(&self, session: SessionId) -> Result<Option<String>, JournalError> {
        let journal = self.journal.clone();
        if self.journal.run_read(move || journal.head(session)).await?.is_some() {
            return Ok(None);
        }
        let session = self.retry(|| self.db.session(session)).await;
        Ok(session.and_then(|session| serde_json::to_string(&JournalHead { session }).ok()))
    }

    async fn recover(&self, session: SessionId) -> Result<Option<Found>, JournalError> {
        let ended = self.retry(|| self.db.session_has_ended(session)).await;
        let has_ended = ended == Some(true);
        let left = self.left(session).await?;
        if let Left::Obstructed(place) = &left {
            match ended {
                Some(true) => self.keep(session, place).await,
                // What is behind it only the operator knows. It is told as missing.
                Some(false) => return Ok(None),
                // No row would tell of it.
                None => {}
            }
        }
        let recovered = match self.recover_journal(session).await {
            // Of those that had ended the janitor removes, meanwhile, what nobody needs.
            Err(JournalError::Missing(_) | JournalError::Live(_)) if has_ended => {
                return Ok(None);
            }
            recovered => recovered?,
        };
        let Some(recovered) = recovered else { return Ok(None) };
        if has_ended && recovered.head.is_none() {
            // Somebody may still have its data: what is there is kept as that of one that was given up.
            if self.left(session).await? == Left::Empty {
                self.retry(|| self.db.note_journal_lost(session, now_ms())).await;
            }
            return Ok(None);
        }
        // One that was given up is followed for what its rows had not heard of by then; what they know
        // to be over is not made again.
        if has_ended
            && (matches!(left, Left::Obstructed(_))
                || !self.retry(|| self.db.session_is_given_up(session)).await)
        {
            return Ok(None);
        }
        let head = recovered.head.as_deref().map(serde_json::from_str::<JournalHead>);
        let known = match head {
            Some(Ok(head)) => Some(head.session),
            // Its rows may know what its own head cannot say any more.
            _ => self.retry(|| self.db.session(session)).await,
        };
        let Some(session) = known else {
            // Nothing was ever acknowledged for it: a publish needs the head first.
            info!(session.id = %session, "a journal without a readable head is kept as it is");
            return Ok(None);
        };
        // Held until its rows are written.
        self.journal.set_floor(session.id, 0);
        // The sender may go: a closed progress needs no further word.
        let (_, progress) = watch::channel(recovered.progress);
        Ok(Some(Found { session, progress, turn: None }))
    }

    /// Keeps the journal of a session that has ended as that of one that was given up: what is in the way
    /// may be taken away, and all of it be made again.
    async fn keep(&self, session: SessionId, place: &Path) {
        if self.retry(|| self.db.note_journal_lost(session, now_ms())).await {
            error!(
                session.id = %session, place = %place.display(),
                "something is in the place of a journal file of a session that has ended; what is not stored yet is made without it, and the journal is kept for a week"
            );
        }
    }

    async fn left(&self, session: SessionId) -> Result<Left, JournalError> {
        let journal = self.journal.clone();
        self.journal.run_read(move || journal.left(session)).await
    }

    /// Makes a journal whole again, but for one of a newer version.
    async fn recover_journal(&self, session: SessionId) -> Result<Option<Recovered>, JournalError> {
        let head = self.head_of_row(session).await?;
        let journal = self.journal.clone();
        let recover = move || match journal.newer_format(session)? {
            // To this program it would look damaged.
            Some((format, _)) => {
                error!(session.id = %session, format, "a journal of a newer version is left alone");
                Ok(None)
            }
            None => journal.recover_as(session, head.as_deref()).map(Some),
        };
        self.journal.run_read(recover).await
    }

    /// Asks until the database answers.
    async fn retry<T, F>(&self, mut ask: impl FnMut() -> F) -> T
    where
        F: Future<Output = Result<T, DbError>>,
    {
        let mut is_warned = false;
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) if !is_warned => {
                    is_warned = true;
                    warn!(%error, "recovery waits for the database");
                }
                Err(_) => {}
            }
            sleep(RETRY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{db::callback::testing::sqlite, journal::Settings};

    /// The journal may be released, or in the janitor's hands, before its turn comes.
    #[tokio::test]
    async fn what_the_janitor_takes_meanwhile_is_no_damage() {
        let (test, dir) = (sqlite().await, tempfile::tempdir().unwrap());
        let settings = Settings {
            root: dir.path().join("journal"),
            sync_interval: Duration::from_secs(1),
            roll_bytes: 1 << 20,
        };
        let journal = Journal::open(settings).unwrap();
        let [ended, live, unknown] = std::array::from_fn(|_| SessionId::new(0));
        for session in [ended, live] {
            sqlx::query(
                "INSERT INTO session (id, node_id, domain, app, stream, body, started_ms, ended_ms, \
                 end_reason, has_journal) VALUES ($1, '', '', '', '', '', 0, 1, '', 1)",
            )
            .bind(session.to_string())
            .execute(test.db.pool())
            .await
            .unwrap();
        }
        let _in_hand = journal.create(live, "{}".to_owned(), 0).await.unwrap();
        let recovery = Recovery {
            db: test.db.clone(),
            journal,
            turns: Arc::new(Turns::new()),
            node_id: "node".to_owned(),
            sessions: Vec::new(),
            found: mpsc::channel(1).0,
            recovered: watch::channel(false).0,
        };
        assert!(recovery.recover(ended).await.unwrap().is_none());
        assert!(recovery.recover(live).await.unwrap().is_none());
        assert!(matches!(recovery.recover(unknown).await, Err(JournalError::Missing(_))));
    }
}
