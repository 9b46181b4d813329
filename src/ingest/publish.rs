//! The life of one publish: from permission to an open journal with its recordings attached, then
//! tag after tag, then the closed journal. Knows no socket.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use tracing::{error, info, warn};

use super::{
    Context, Control, Event, WaitingTasks,
    live::{LiveSession, NoPlace, Place},
    now_ms,
};
use crate::{
    domain::{
        domain_limits::{DomainLimits, RateWatch},
        ids::{DecimalId, SessionId},
        journal_note::{JournalHead, Note},
        push_domain::Authorised,
        session::{EndReason, Session},
    },
    journal::{JournalError, Stall, Writer},
    media::tag::Tag,
};

/// Notes that may wait for a connection.
const CONTROLS: usize = 64;

/// The session of a publish that was authorised, between these addresses, from now on.
pub(super) fn session(
    context: &Context,
    authorised: Authorised,
    peer: IpAddr,
    local: IpAddr,
) -> Session {
    let started_ms = now_ms();
    Session {
        id: SessionId::new(started_ms),
        node_id: context.settings.node_id.clone(),
        sequence: DecimalId::next(started_ms),
        path: authorised.path,
        stream_param: authorised.stream_param,
        user_ip: peer.to_canonical().to_string(),
        node_ip: local.to_canonical().to_string(),
        started_ms,
        signed: authorised.signed,
    }
}

/// A publish that was authorised and is to be opened.
pub(super) struct Opening {
    pub(super) context: Arc<Context>,
    /// What it will be.
    pub(super) session: Session,
    /// What it may take.
    pub(super) limits: DomainLimits,
    pub(super) encoder: String,
    /// Notified when the publish is told to end.
    pub(super) wake: Arc<Notify>,
}

/// Why a publish could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// Somebody else has a better claim, or there is no room.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// The journal cannot be begun or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The head of the journal cannot be written as text.
    #[error("encode the head of a journal: {0}")]
    Head(#[from] serde_json::Error),
    /// It was told to end before it began.
    #[error("ended before it began: {}", .0.as_str())]
    Ended(EndReason),
    /// It took longer than a publisher is kept waiting.
    #[error("the journal or the supervisor does not answer in time")]
    Late,
    /// Nobody decides any more what is recorded.
    #[error("the server is stopping")]
    Stopping,
}

impl Opening {
    /// Takes the place, begins the journal and attaches what is to be recorded. When this is done
    /// the file says everything a recovery needs. Must run to its end: nothing is left behind then.
    pub(super) async fn run(self) -> Result<Publishing, OpenError> {
        let Opening { context, session, limits, encoder, wake } = self;
        let max_streams = limits.max_streams();
        let place = context.live.enter(&session.path, session.signed, wake, max_streams)?;
        let (id, started_ms) = (session.id, session.started_ms);
        let head = serde_json::to_string(&JournalHead { session: session.clone() })?;
        let writer = context.journal.create(id, head, started_ms).await?;
        let (control, controls) = mpsc::channel(CONTROLS);
        let live = Arc::new(LiveSession {
            session,
            progress: writer.progress(),
            control,
            encoder,
            waiting: WaitingTasks::default(),
            place: place.state.clone(),
        });
        if !place.show(live.clone()) {
            discard(&context, id, writer, EndReason::Replaced).await;
            return Err(OpenError::Ended(EndReason::Replaced));
        }
        let (ready, recordings) = oneshot::channel();
        if context.events.send(Event::Started { live: live.clone(), ready }).await.is_err() {
            discard(&context, id, writer, EndReason::Shutdown).await;
            return Err(OpenError::Stopping);
        }
        metrics::gauge!("liverec_streams_live").increment(1);
        let begun = Instant::now();
        let rate = RateWatch::new(&limits);
        let mut publishing =
            Publishing { context, place, live, writer, controls, begun, rate, tags: 0 };
        let Ok(recordings) = recordings.await else {
            publishing.close(EndReason::Shutdown).await;
            return Err(OpenError::Stopping);
        };
        let from = publishing.writer.position();
        for recording in recordings {
            let note = Note::Attach { recording: Box::new(recording), from };
            publishing.writer.note(&note.to_json());
        }
        if let Err(error) = publishing.writer.flush().await {
            publishing.close(EndReason::Journal).await;
            return Err(error.into());
        }
        if let Some(reason) = publishing.end_reason() {
            publishing.close(reason).await;
            return Err(OpenError::Ended(reason));
        }
        Ok(publishing)
    }
}

/// Removes a journal that nobody was told of.
async fn discard(context: &Context, id: SessionId, writer: Writer, reason: EndReason) {
    let note = Note::End { reason, ended_ms: now_ms(), arrived_ms: None };
    let closed = writer.close(&note.to_json()).await;
    let journal = context.journal.clone();
    let released = context.journal.run_read(move || journal.release(id, None)).await;
    if let Err(error) = closed.and(released) {
        warn!(session.id = %id, %error, "the journal of a publish that never began is left behind");
    }
}

/// An accepted publish.
pub(super) struct Publishing {
    context: Arc<Context>,
    place: Place,
    live: Arc<LiveSession>,
    writer: Writer,
    controls: mpsc::Receiver<Control>,
    begun: Instant,
    /// Where its domain limits the bit rate.
    rate: Option<RateWatch>,
    tags: u64,
}

impl Publishing {
    /// The session.
    pub(super) fn live(&self) -> &LiveSession {
        &self.live
    }

    /// Takes in a tag that arrived at `wall_ms` (unix milliseconds).
    pub(super) fn push(&mut self, tag: &Tag, wall_ms: i64) {
        let bytes = tag.payload.len() as u64;
        self.place.state.received_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tags += 1;
        self.writer.push(tag, wall_ms);
    }

    /// Writes the notes that have arrived.
    pub(super) fn take_controls(&mut self) {
        while let Ok(control) = self.controls.try_recv() {
            match control {
                Control::Note(json) => self.writer.note(&json),
                Control::End(reason) => self.place.state.end(reason),
            }
        }
    }

    /// Why the publish is to end, if it is.
    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.place.state.end_reason()
    }

    /// Ends the publish if it has been above the bit rate of its domain for too long.
    pub(super) fn check_rate(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.begun);
        let bytes = self.live.received_bytes();
        if self.rate.as_mut().is_some_and(|rate| rate.is_exceeded(age, bytes)) {
            self.place.state.end(EndReason::BitRate);
        }
    }

    /// Lets the journal write; waits while the disk is slow. May be dropped and called again.
    pub(super) async fn maintain(&mut self, now: Instant) -> Result<(), JournalError> {
        self.writer.maintain(now).await
    }

    /// Since when the disk takes nothing of the journal.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        self.writer.stalled().map(|(since, _)| since)
    }

    /// Notes that the disk took nothing for a while, once that is over.
    pub(super) fn note_stall(&mut self) {
        if let Some(Stall { cause, lasted }) = self.writer.take_stall() {
            let until_ms = now_ms();
            let lasted_ms = i64::try_from(lasted.as_millis()).unwrap_or(i64::MAX);
            let from_ms = until_ms.saturating_sub(lasted_ms);
            self.writer.note(&Note::Stall { cause, from_ms, until_ms }.to_json());
        }
    }

    /// Gives the disk up: whoever follows the journal is told, and the publish is to end. What was
    /// received is still tried to be stored when it is closed.
    pub(super) fn fail(&mut self) {
        self.writer.fail();
        let stalled = self.writer.stalled();
        error!(
            session.id = %self.live.session.id,
            stream.path = %self.live.session.path,
            stalled_s = stalled.map_or(0, |(since, _)| since.elapsed().as_secs()),
            cause = stalled.map_or("", |(_, cause)| cause.as_str()),
            "a publisher is disconnected: its journal was not taken by the disk for journal.stall_timeout"
        );
        self.place.state.end(EndReason::Journal);
    }

    /// Ends the publish: notes the reason, closes the journal, tells the supervisor, gives the place
    /// back. Waits for as long as the disk does; the connection need not.
    pub(super) async fn close(mut self, reason: EndReason) {
        // Nobody sees it among the live ones any more, and nobody ends it for another reason.
        self.place.state.end(reason);
        self.controls.close();
        // What still waits for a key frame was to be recorded, and this is the last chance. These
        // first: whoever is not among them any more has sent its notes.
        for note in self.live.waiting.take_notes() {
            self.writer.note(&note);
        }
        self.take_controls();
        metrics::gauge!("liverec_streams_live").decrement(1);
        let Publishing { context, place, live, writer, begun, tags, .. } = self;
        let session = live.session.id;
        info!(
            session.id = %session,
            stream.path = %live.session.path,
            reason = reason.as_str(),
            bytes = live.received_bytes(),
            tags,
            duration_s = begun.elapsed().as_secs_f64(),
            "publish ended"
        );
        let ended_ms = now_ms();
        let last_position = writer.position();
        let arrived_ms = (tags > 0).then(|| writer.pushed().wall_ms);
        let note = Note::End { reason, ended_ms, arrived_ms };
        let patience = context.settings.stall_timeout;
        let closed = writer.close_within(&note.to_json(), patience).await;
        let end_position = closed.unwrap_or_else(|error| {
            error!(
                session.id = %session, %error,
                "the journal of a session could not be closed; the next start finishes it"
            );
            last_position
        });
        let ended = Event::Ended { session, reason, ended_ms, end_position };
        if context.events.send(ended).await.is_err() {
            warn!(session.id = %session, "nobody was told that a session ended; the next start finds it");
        }
        drop(place);
    }
}
