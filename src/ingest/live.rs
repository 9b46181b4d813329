//! Who is live: at most one session for each stream, the newest.
//!
//! A newcomer gets its place at once, whatever the older session still has to do with its disk;
//! the older one is told to end and finds, by the generation, that the place is no longer its to
//! clear.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{Notify, mpsc, watch};

use super::{Control, WaitingTasks};
use crate::{
    domain::{
        session::{EndReason, Session},
        stream::StreamPath,
    },
    journal::Progress,
};

/// A session that is live, for everybody but its own connection.
#[derive(Debug)]
pub struct LiveSession {
    /// Who, from where, since when.
    pub session: Session,
    /// How far its journal has come on disk.
    pub progress: watch::Receiver<Progress>,
    /// Notes for the journal. Full while the journal is held up by its disk.
    pub control: mpsc::Sender<Control>,
    /// Name and version that the encoder gave; possibly empty.
    pub encoder: String,
    /// Tasks that wait for a key frame of it.
    pub waiting: WaitingTasks,
    pub(super) place: Arc<PlaceState>,
}

impl LiveSession {
    /// Tells the session to end, without waiting. The first reason stands.
    pub fn end(&self, reason: EndReason) {
        self.place.end(reason);
    }

    /// True when it has ended or was told to.
    pub fn has_ended(&self) -> bool {
        self.place.end_reason().is_some()
    }

    /// Bytes of audio, video and script data received.
    pub fn received_bytes(&self) -> u64 {
        self.place.received_bytes.load(Ordering::Relaxed)
    }
}

/// What the holder of a place and those who want it to leave share.
#[derive(Debug)]
pub(super) struct PlaceState {
    generation: u64,
    is_signed: bool,
    end: OnceLock<EndReason>,
    wake: Arc<Notify>,
    pub(super) received_bytes: AtomicU64,
}

impl PlaceState {
    pub(super) fn end(&self, reason: EndReason) {
        if self.end.set(reason).is_ok() {
            self.wake.notify_one();
        }
    }

    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.end.get().copied()
    }
}

#[derive(Debug)]
struct Entry {
    state: Arc<PlaceState>,
    /// Once its journal is open.
    session: Option<Arc<LiveSession>>,
}

/// The registry of live sessions.
#[derive(Debug, Default)]
pub struct Live {
    entries: Mutex<HashMap<StreamPath, Entry>>,
    generations: AtomicU64,
}

/// Why a publisher gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlace {
    /// An unsigned publisher wanted the place of a signed one.
    #[error("a signed publisher of this stream is live")]
    Occupied,
    /// The domain has as many streams as it may.
    #[error("the domain has {0} streams live, as many as it may")]
    Full(usize),
}

/// What [`Live::others_of_domain`] counts.
fn others_of_domain(entries: &HashMap<StreamPath, Entry>, path: &StreamPath) -> usize {
    let is_other = |(other, entry): &(&StreamPath, &Entry)| {
        other.domain == path.domain && *other != path && entry.state.end_reason().is_none()
    };
    entries.iter().filter(is_other).count()
}

impl Live {
    /// The sessions that are live, in no order.
    pub fn list(&self) -> Vec<Arc<LiveSession>> {
        self.with(|entries| entries.values().filter_map(Entry::live).collect())
    }

    /// The live session of a stream.
    pub fn get(&self, path: &StreamPath) -> Option<Arc<LiveSession>> {
        self.with(|entries| entries.get(path).and_then(Entry::live))
    }

    /// How many other streams of a stream's domain have a place.
    pub fn others_of_domain(&self, path: &StreamPath) -> usize {
        self.with(|entries| others_of_domain(entries, path))
    }

    /// Takes the place of a stream, unless `max_streams` others of its domain are live. Whoever holds it
    /// is told to end. `wake` is notified when the new holder is.
    pub(super) fn enter(
        self: &Arc<Self>,
        path: &StreamPath,
        is_signed: bool,
        wake: Arc<Notify>,
        max_streams: Option<usize>,
    ) -> Result<Place, NoPlace> {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let end = OnceLock::new();
        let state = Arc::new(PlaceState {
            generation,
            is_signed,
            end,
            wake,
            received_bytes: AtomicU64::new(0),
        });
        self.with(|entries| {
            if let Some(max) = max_streams
                && others_of_domain(entries, path) >= max
            {
                return Err(NoPlace::Full(max));
            }
            match entries.get(path) {
                None => {}
                Some(old)
                    if old.state.is_signed && !is_signed && old.state.end_reason().is_none() =>
                {
                    return Err(NoPlace::Occupied);
                }
                Some(old) => old.state.end(EndReason::Replaced),
            }
            entries.insert(path.clone(), Entry { state: state.clone(), session: None });
            Ok(())
        })?;
        Ok(Place { live: self.clone(), path: path.clone(), state })
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<StreamPath, Entry>) -> T) -> T {
        // Every change is one insertion or removal, so the map is whole even after a panic.
        f(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entry {
    fn live(&self) -> Option<Arc<LiveSession>> {
        self.session.clone().filter(|session| !session.has_ended())
    }
}

/// The place of one stream, held by its connection until the journal is closed; given back when
/// dropped, unless somebody newer has it.
#[derive(Debug)]
pub(super) struct Place {
    live: Arc<Live>,
    path: StreamPath,
    pub(super) state: Arc<PlaceState>,
}

impl Place {
    /// Shows the session to everybody. False if the place has been taken over meanwhile.
    pub(super) fn show(&self, session: Arc<LiveSession>) -> bool {
        self.live.with(|entries| match entries.get_mut(&self.path) {
            Some(entry) if entry.state.generation == self.state.generation => {
                entry.session = Some(session);
                true
            }
            _ => false,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever still looks at the session sees that it is over.
        self.state.end(EndReason::Closed);
        self.live.with(|entries| {
            let is_ours = |entry: &Entry| entry.state.generation == self.state.generation;
            if entries.get(&self.path).is_some_and(is_ours) {
                entries.remove(&self.path);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        ids::{DecimalId, SessionId},
        stream::{AppName, DomainName, StreamName},
    };

    fn path() -> StreamPath {
        StreamPath {
            domain: DomainName::parse("live.local").unwrap(),
            app: AppName::parse("live").unwrap(),
            stream: StreamName::parse("s").unwrap(),
        }
    }

    fn session(place: &Place, signed: bool) -> Arc<LiveSession> {
        let session = Session {
            id: SessionId::new(0),
            node_id: String::new(),
            sequence: DecimalId(1),
            path: path(),
            stream_param: String::new(),
            user_ip: String::new(),
            node_ip: String::new(),
            started_ms: 0,
            signed,
        };
        let (_, progress) = watch::channel(Progress::default());
        let (control, _) = mpsc::channel(1);
        Arc::new(LiveSession {
            session,
            progress,
            control,
            encoder: String::new(),
            waiting: WaitingTasks::default(),
            place: place.state.clone(),
        })
    }

    fn enter(live: &Arc<Live>, signed: bool) -> Result<Place, NoPlace> {
        live.enter(&path(), signed, Arc::default(), None)
    }

    #[test]
    fn the_newest_holds_the_place() {
        let live = Arc::new(Live::default());
        let first = enter(&live, true).unwrap();
        assert!(live.list().is_empty());
        let shown = session(&first, true);
        assert!(first.show(shown.clone()));
        assert_eq!(live.get(&path()).unwrap().session.id, shown.session.id);

        let second = enter(&live, true).unwrap();
        assert_eq!(first.state.end_reason(), Some(EndReason::Replaced));
        assert!(shown.has_ended() && live.list().is_empty());
        let newer = session(&second, true);
        assert!(second.show(newer.clone()));
        // The old one leaves late and takes nothing with it.
        assert!(!first.show(shown));
        drop(first);
        assert_eq!(live.list().len(), 1);
        newer.end(EndReason::Dropped);
        newer.end(EndReason::Idle);
        assert_eq!(second.state.end_reason(), Some(EndReason::Dropped));
        assert!(live.list().is_empty());
        drop(second);
        assert!(live.get(&path()).is_none());
    }

    #[test]
    fn one_that_never_came_to_be_is_replaced_too() {
        let live = Arc::new(Live::default());
        let first = enter(&live, true).unwrap();
        let second = enter(&live, true).unwrap();
        let third = enter(&live, true).unwrap();
        assert_eq!(first.state.end_reason(), Some(EndReason::Replaced));
        assert_eq!(second.state.end_reason(), Some(EndReason::Replaced));
        assert_eq!(third.state.end_reason(), None);
    }

    #[test]
    fn an_unsigned_publisher_never_displaces_a_signed_one() {
        let live = Arc::new(Live::default());
        let signed = enter(&live, true).unwrap();
        assert_eq!(enter(&live, false).unwrap_err(), NoPlace::Occupied);
        assert!(signed.state.end_reason().is_none());
        // It may follow one that has ended, though its journal is still being closed.
        signed.state.end(EndReason::Unpublished);
        let unsigned = enter(&live, false).unwrap();
        assert!(enter(&live, false).is_ok());
        assert!(unsigned.state.end_reason().is_some());
    }
}
