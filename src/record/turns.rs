//! Whose turn it is: the followers of one stream's sessions work one after the other.
//!
//! What a session leaves behind (its end, its suspended recordings) must be in the rows before the
//! next one looks for something to continue, and event 0 of the one precedes event 1 of the other. A
//! session takes its place in the line when it is published or found. What an earlier process left
//! behind is found while streams are live already, so it is put in front of what was published since,
//! and nobody's turn comes before all of it has been found. While a session may still continue a
//! suspended recording it is unsettled, and no window is closed behind its back.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    domain::{ids::SessionId, session::Session, stream::StreamPath},
    journal::Progress,
};

/// Longest wait for the journal of the session before to be closed: its disk may be stuck.
const JOURNAL_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for its rows after that. They come as soon as the database takes them, and ours
/// would not be taken sooner.
const ROWS_WAIT: Duration = Duration::from_secs(600);

/// The lines of all streams of this node.
#[derive(Debug)]
pub struct Turns {
    lines: Mutex<HashMap<StreamPath, Vec<Arc<Place>>>>,
    changed: Notify,
    /// Everything that an earlier process left behind has its place.
    lined_up: CancellationToken,
}

#[derive(Debug)]
struct Place {
    session: SessionId,
    started_ms: i64,
    is_found: bool,
    /// Nothing suspended is going to be continued by this session any more.
    is_settled: AtomicBool,
    /// The session after this one goes on without waiting.
    is_overtaken: AtomicBool,
    progress: Option<watch::Receiver<Progress>>,
    left: CancellationToken,
}

impl Turns {
    /// Lines in which what was left behind takes its places until [`Turns::all_found`].
    pub fn new() -> Self {
        Self { lines: Mutex::default(), changed: Notify::new(), lined_up: CancellationToken::new() }
    }

    /// Takes the last place in the line of the session's stream. `progress` is that of its journal.
    pub fn enter(
        self: &Arc<Self>,
        session: &Session,
        progress: Option<watch::Receiver<Progress>>,
    ) -> Turn {
        self.take_place(session, progress, false)
    }

    /// Takes a place for a session of an earlier process: by its age among those, and before
    /// whatever was published since.
    pub fn enter_found(self: &Arc<Self>, session: &Session) -> Turn {
        self.take_place(session, None, true)
    }

    /// Says that whatever was left behind has its place.
    pub fn all_found(&self) {
        self.lined_up.cancel();
    }

    fn take_place(
        self: &Arc<Self>,
        session: &Session,
        progress: Option<watch::Receiver<Progress>>,
        is_found: bool,
    ) -> Turn {
        let place = Arc::new(Place {
            session: session.id,
            started_ms: session.started_ms,
            is_found,
            is_settled: AtomicBool::new(false),
            is_overtaken: AtomicBool::new(false),
            progress,
            left: CancellationToken::new(),
        });
        let mut lines = self.lock();
        let line = lines.entry(session.path.clone()).or_default();
        let at = match is_found {
            true => line.iter().position(|other| !other.is_found || other.session > session.id),
            false => None,
        };
        line.insert(at.unwrap_or(line.len()), place.clone());
        let before = place_before(line, &place);
        drop(lines);
        // Until everything is found somebody may yet be put in front of this one.
        let is_early = !self.lined_up.is_cancelled();
        Turn { turns: self.clone(), path: session.path.clone(), place, before, is_early }
    }

    /// Whether a session of the stream that began at or before `until_ms` (unix milliseconds) may
    /// still continue what is suspended.
    pub fn is_awaited(&self, path: &StreamPath, until_ms: i64) -> bool {
        self.lock().get(path).is_some_and(|line| {
            line.iter().any(|place| {
                place.started_ms <= until_ms && !place.is_settled.load(Ordering::Relaxed)
            })
        })
    }

    /// Notified when what is suspended, or may be ended, can have changed.
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamPath, Vec<Arc<Place>>>> {
        // Every change is one insertion or removal, so the map is whole even after a panic.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self::new()
    }
}

/// Who stands in front of a place.
fn place_before(line: &[Arc<Place>], place: &Arc<Place>) -> Option<Arc<Place>> {
    let at = line.iter().position(|other| Arc::ptr_eq(other, place))?;
    line.get(at.checked_sub(1)?).cloned()
}

/// A place in a line, left when dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    path: StreamPath,
    place: Arc<Place>,
    before: Option<Arc<Place>>,
    is_early: bool,
}

impl Turn {
    /// Waits until the session before has left. False if that takes too long: this session then
    /// goes on without it, and continues nothing.
    pub async fn wait(&mut self) -> bool {
        self.wait_at_most(JOURNAL_WAIT, ROWS_WAIT).await
    }

    async fn wait_at_most(&mut self, journal_wait: Duration, rows_wait: Duration) -> bool {
        if std::mem::take(&mut self.is_early) {
            if timeout(rows_wait, self.turns.lined_up.cancelled()).await.is_err() {
                warn!(stream.path = %self.path, "what an earlier process left behind is not found in time; going on without it");
                return false;
            }
            let lines = self.turns.lock();
            self.before = lines.get(&self.path).and_then(|line| place_before(line, &self.place));
        }
        let Some(before) = self.before.take() else { return true };
        if let Some(mut progress) = before.progress.clone() {
            // A writer that went away without closing has ended too.
            let closed = progress.wait_for(|progress| progress.closed);
            let is_closed = tokio::select! {
                biased;
                _ = closed => true,
                () = before.left.cancelled() => true,
                () = sleep(journal_wait) => false,
            };
            if !is_closed {
                warn!(stream.path = %self.path, "the journal of the replaced session is not closed in time; going on without it");
                before.is_overtaken.store(true, Ordering::Relaxed);
                return false;
            }
        }
        if timeout(rows_wait, before.left.cancelled()).await.is_err() {
            warn!(stream.path = %self.path, "the rows of the session before are late; going on without them");
            before.is_overtaken.store(true, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Whether the session after this one went on already: it has not waited for what this one
    /// leaves behind.
    pub fn is_overtaken(&self) -> bool {
        self.place.is_overtaken.load(Ordering::Relaxed)
    }

    /// Says that this session continues nothing more.
    pub fn settle(&self) {
        if !self.place.is_settled.swap(true, Ordering::Relaxed) {
            self.turns.changed.notify_one();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = self.turns.lock();
        if let Some(line) = lines.get_mut(&self.path) {
            line.retain(|place| !Arc::ptr_eq(place, &self.place));
            if line.is_empty() {
                lines.remove(&self.path);
            }
        }
        drop(lines);
        self.place.left.cancel();
        self.turns.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        ids::DecimalId,
        stream::{AppName, DomainName, StreamName},
    };

    fn lined_up() -> Arc<Turns> {
        let turns = Arc::new(Turns::new());
        turns.all_found();
        turns
    }

    fn session(stream: &str, started_ms: i64) -> Session {
        Session {
            id: SessionId::new(started_ms),
            node_id: String::new(),
            sequence: DecimalId(1),
            path: StreamPath {
                domain: DomainName::parse("live.local").unwrap(),
                app: AppName::parse("live").unwrap(),
                stream: StreamName::parse(stream).unwrap(),
            },
            stream_param: String::new(),
            user_ip: String::new(),
            node_ip: String::new(),
            started_ms,
            signed: false,
        }
    }

    #[tokio::test]
    async fn sessions_of_a_stream_take_turns() {
        let turns = lined_up();
        let (_writer, progress) = watch::channel(Progress { closed: true, ..Progress::default() });
        let mut first = turns.enter(&session("a", 1), Some(progress));
        let mut second = turns.enter(&session("a", 2), None);
        let mut third = turns.enter(&session("a", 3), None);
        assert!(turns.enter(&session("b", 4), None).wait().await, "another stream");
        assert!(first.wait().await);
        let waits = tokio::spawn(async move {
            assert!(second.wait_at_most(Duration::ZERO, ROWS_WAIT).await);
            second
        });
        sleep(Duration::from_millis(50)).await;
        assert!(!waits.is_finished(), "a closed journal is worth waiting for");
        drop(first);
        let second = waits.await.unwrap();
        assert!(!second.is_overtaken());
        drop(second);
        assert!(third.wait().await);
        drop(third);
        assert!(turns.lock().is_empty());
    }

    #[tokio::test]
    async fn a_stuck_journal_is_overtaken() {
        let turns = lined_up();
        let (writer, progress) = watch::channel(Progress::default());
        let first = turns.enter(&session("a", 1), Some(progress.clone()));
        let mut second = turns.enter(&session("a", 2), Some(progress));
        assert!(!second.wait_at_most(Duration::from_millis(1), ROWS_WAIT).await);
        assert!(first.is_overtaken() && !second.is_overtaken());
        let mut third = turns.enter(&session("a", 3), None);
        drop(writer);
        drop(second);
        assert!(third.wait().await, "the one before it has left");
    }

    #[tokio::test]
    async fn a_window_stays_open_for_sessions_that_began_in_it() {
        let turns = lined_up();
        let early = session("a", 10);
        assert!(!turns.is_awaited(&early.path, 10));
        let turn = turns.enter(&early, None);
        assert!(turns.is_awaited(&early.path, 10));
        assert!(!turns.is_awaited(&early.path, 9), "it came too late");
        turn.settle();
        assert!(!turns.is_awaited(&early.path, 10));
        turns.changed().notified().await;
        let other = turns.enter(&session("a", 11), None);
        assert!(turns.is_awaited(&early.path, 11));
        drop(other);
        assert!(!turns.is_awaited(&early.path, 11));
    }
    #[tokio::test]
    async fn what_is_found_goes_before_what_was_published_meanwhile() {
        let turns = Arc::new(Turns::new());
        let [first, second, third] = [1, 2, 3].map(|at| session("a", at));
        let (_writer, progress) = watch::channel(Progress { closed: true, ..Progress::default() });
        let mut live = turns.enter(&third, Some(progress.clone()));
        let mut next = turns.enter(&session("a", 4), Some(progress));
        let mut hasty = turns.enter(&session("b", 5), None);
        assert!(!hasty.wait_at_most(Duration::ZERO, Duration::ZERO).await, "not all is found");
        let mut later_found = turns.enter_found(&second);
        let mut found = turns.enter_found(&first);
        turns.all_found();
        assert!(found.wait().await, "the oldest is first");
        assert!(!later_found.wait_at_most(Duration::ZERO, Duration::ZERO).await);
        drop(found);
        assert!(!live.wait_at_most(Duration::ZERO, Duration::ZERO).await);
        drop((later_found, live));
        assert!(next.wait().await);
    }
}
