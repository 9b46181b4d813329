//! What is recorded: the supervisor compares what [`plan`] wants with what is running.
//!
//! It wakes on every publish, unpublish, change of configuration and task edge. Starting and ending
//! a recording is a note in the session's journal ([`attach`]; where it begins is decided by
//! [`beginning`]); [`follow`] turns notes into rows, [`cut`] decides
//! where files end. A recording with a resume window outlives its session: [`turns`] puts the
//! sessions of a stream in order, [`continuation`] goes on with what is suspended, [`resume`] ends
//! what nothing came back for; [`give_up`] ends what an operator says is lost; [`watch`] notices what is
//! irregular. Nothing here touches a media byte or makes a product.

mod attach;
mod beginning;
mod continuation;
pub mod cut;
pub mod follow;
pub mod give_up;
pub mod resume;
mod rows;
pub mod tracker;
pub mod turns;
pub mod watch;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    domain::{
        container::Container,
        ids::SessionId,
        plan::{self, LiveStream, Wanted, plan},
        publish_auth,
        record_template::RecordTemplate,
        recording::Recording,
        session::Session,
    },
    ingest::{Event, LiveSession},
};

use attach::{Running, Terms};
use follow::{Follow, Shared};
use rows::Rows;
use turns::{Turn, Turns};

/// How long to sleep when no edge is known.
const IDLE: Duration = Duration::from_secs(60);
/// How often a recording that waits for a key frame, or for its journal to take a note, is tried.
const WAITING_POLL: Duration = Duration::from_millis(200);

/// Sessions of an earlier process that are followed at a time: they share disk and database with
/// streams that are live.
const BACKLOG: usize = 4;

/// Refused publishes that may wait to be announced.
const MAX_REFUSALS: usize = 256;

/// What the supervisor is told at start.
pub struct Settings {
    /// Format of a task without a template.
    pub default_task_format: Container,
    /// How old the last key frame may be for a recording to begin with it.
    pub max_preroll: Duration,
    /// How long a recording waits for its stream to come back; for HLS its template says it.
    pub resume_window: Duration,
}

impl Settings {
    fn resume_window_s(&self, template: &RecordTemplate, container: Container) -> i64 {
        let seconds = match container {
            Container::Hls => template.flow_continue_duration,
            Container::Flv | Container::Mp4 | Container::Aac => self.resume_window.as_secs(),
        };
        i64::try_from(seconds).unwrap_or(i64::MAX)
    }
}

/// Keeps the running recordings equal to the wanted ones.
pub struct Supervisor {
    settings: Settings,
    shared: Arc<Shared>,
    events: mpsc::Receiver<Event>,
    nudge: Arc<Notify>,
    running: HashMap<SessionId, Running>,
    followers: JoinSet<()>,
    turns: Arc<Turns>,
    backlog: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    abandon: CancellationToken,
}

impl Supervisor {
    /// `nudge` is notified after every change of configuration; `abandon` gives up whatever still
    /// waits for the database, at the end of the shutdown grace.
    pub fn new(
        settings: Settings,
        shared: Arc<Shared>,
        events: mpsc::Receiver<Event>,
        nudge: Arc<Notify>,
        turns: Arc<Turns>,
        abandon: CancellationToken,
    ) -> Self {
        Self {
            settings,
            shared,
            events,
            nudge,
            running: HashMap::new(),
            followers: JoinSet::new(),
            turns,
            backlog: Arc::new(Semaphore::new(BACKLOG)),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            abandon,
        }
    }

    /// Follows the journals that were found at start, then serves until ingest has gone away and
    /// every follower is done.
    pub async fn run(mut self, mut found: mpsc::Receiver<Found>) {
        let mut intake_open = true;
        let mut recovery_open = true;
        while intake_open || recovery_open || !self.followers.is_empty() {
            let wait = self.reconcile();
            tokio::select! {
                event = self.events.recv(), if intake_open => match event {
                    Some(event) => self.on_event(event),
                    None => intake_open = false,
                },
                session = found.recv(), if recovery_open => match session {
                    Some(found) => self.follow_found(found),
                    None => recovery_open = false,
                },
                Some(joined) = self.followers.join_next() => if let Err(error) = joined {
                    tracing::error!(%error, "a follower stopped; its session is followed again at the next start");
                },
                // A task may be over whose recording is suspended.
                () = self.nudge.notified() => self.turns.changed().notify_one(),
                () = sleep(wait) => {}
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Started { live, ready } => {
                let recordings = self.start(live);
                if ready.send(recordings).is_err() {
                    info!("a publisher went away before its recordings were attached");
                }
            }
            Event::Refused { session } => self.tell_refused(*session),
            Event::Ended { session, .. } => {
                self.running.remove(&session);
            }
        }
    }

    /// Announces a publish that was not let in, beside everything else. Whoever is refused again and
    /// again while the database is away is not remembered without end.
    fn tell_refused(&mut self, session: Session) {
        let Ok(place) = self.refusals.clone().try_acquire_owned() else {
            info!(stream.path = %session.path, "a refused publish is not announced: too many are waiting for the database");
            return;
        };
        let rows = Rows { shared: self.shared.clone(), session };
        let abandon = self.abandon.clone();
        self.followers.spawn(async move {
            tokio::select! {
                () = abandon.cancelled() => {}
                () = rows.refuse(publish_auth::REFUSED) => {}
            }
            drop(place);
        });
    }

    /// Attaches what must record from the first byte on, and follows the journal.
    fn start(&mut self, live: Arc<LiveSession>) -> Vec<Recording> {
        let snapshot = self.shared.snapshot.load();
        let path = live.session.path.clone();
        let mut running = Running::new(plan::rule_template(&snapshot, &path), live);
        let now_ms = (self.shared.now_ms)();
        let wanted = plan(
            now_ms,
            &[running.as_live_stream()],
            &snapshot.record_tasks,
            &snapshot.record_templates,
            self.settings.default_task_format,
        );
        if !wanted.iter().any(Wanted::has_format) {
            info!(stream.path = %path, "no rule or task asks for a recording of this stream");
        }
        let recordings: Vec<Recording> =
            wanted.iter().flat_map(|w| running.begin(w, now_ms, &self.settings)).collect();
        let (session, progress) = (running.session(), running.progress());
        // Held until it is followed.
        self.shared.journal.set_floor(session.id, 0);
        self.spawn(Follow {
            shared: self.shared.clone(),
            turn: self.turns.enter(session, Some(progress.clone())),
            session: session.clone(),
            progress,
        });
        self.running.insert(session.id, running);
        recordings
    }

    fn follow_found(&mut self, found: Found) {
        let Found { session, progress, turn } = found;
        info!(session.id = %session.id, stream.path = %session.path, "finishing a session that was interrupted");
        let turn = turn.unwrap_or_else(|| self.turns.enter_found(&session));
        let follow = Follow { shared: self.shared.clone(), session, progress, turn };
        let (backlog, abandon) = (self.backlog.clone(), self.abandon.clone());
        self.followers.spawn(async move {
            // In the order of the sessions, so that none of a stream waits for one behind it.
            let _place = tokio::select! {
                () = abandon.cancelled() => None,
                place = backlog.acquire() => place.ok(),
            };
            follow.run(abandon).await;
        });
    }

    fn spawn(&mut self, follow: Follow) {
        self.followers.spawn(follow.run(self.abandon.clone()));
    }

    /// Begins what is wanted and not running, ends what is running and not wanted. Answers how
    /// long nothing can change by itself.
    fn reconcile(&mut self) -> Duration {
        let snapshot = self.shared.snapshot.load_full();
        let now_ms = (self.shared.now_ms)();
        let streams: Vec<LiveStream> = self.running.values().map(Running::as_live_stream).collect();
        let wanted = plan(
            now_ms,
            &streams,
            &snapshot.record_tasks,
            &snapshot.record_templates,
            self.settings.default_task_format,
        );
        let terms = Terms {
            settings: &self.settings,
            journal: &self.shared.journal,
            unclaimed_max_bytes: self.shared.unclaimed_max_bytes,
            now_ms,
        };
        let mut is_waiting = false;
        for want in &wanted {
            if let Some(running) = self.running.get_mut(&want.session) {
                is_waiting |= !running.attach(want, &terms);
            }
        }
        let wanted: BTreeSet<(SessionId, Option<&str>)> =
            wanted.iter().map(|w| (w.session, w.origin.task_id())).collect();
        for (session, running) in &mut self.running {
            let is_wanted = |task: &str| wanted.contains(&(*session, Some(task)));
            is_waiting |= !running.end_unwanted(is_wanted, &terms);
        }
        if is_waiting {
            return WAITING_POLL;
        }
        match plan::next_edge_ms(now_ms, &snapshot.record_tasks) {
            Some(edge) => {
                let ms = u64::try_from(edge.saturating_sub(now_ms)).unwrap_or(0);
                Duration::from_millis(ms).min(IDLE)
            }
            None => IDLE,
        }
    }
}

/// A journal found at start, already recovered.
pub struct Found {
    /// The session, from its journal's head.
    pub session: crate::domain::session::Session,
    /// Closed progress that says how far the journal reaches.
    pub progress: tokio::sync::watch::Receiver<crate::journal::Progress>,
    /// Its place among the sessions of its stream, if it could be taken before its recovery.
    pub turn: Option<Turn>,
}
