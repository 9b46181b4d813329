//! The part of a connection that decides about a publish: asks the rules, opens it, or says why
//! not, to the peer, the log and the metrics.

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, error, info, warn};

use super::Connection;
use crate::{
    domain::{
        publish_auth::{Fallback, Verdict},
        push_domain::{self, Refusal},
        session::{EndReason, Session},
    },
    ingest::{
        Event,
        cause::{Cause, refused},
        live::NoPlace,
        now_ms,
        pace::Pace,
        publish::{self, OpenError, Opening},
        source::ByteSource,
    },
    rtmp::session::PublishRequest,
};

/// What a publisher is told while the disk is too full for another stream.
const NO_ROOM: &str = "the server is low on disk space and takes no new streams";
/// What a publisher is told that the authentication server does not want.
const UNWANTED: &str = "the publish was not authorised";
/// Most of a name from outside that goes into the log.
const SHOWN_CHARS: usize = 200;

impl<S: ByteSource> Connection<S> {
    /// Decides about a publish and opens it. Nothing is read meanwhile.
    pub(super) async fn publish(
        &mut self,
        request: PublishRequest,
        token: &CancellationToken,
    ) -> Result<(), Cause> {
        self.write()?;
        let asked = push_domain::PublishRequest {
            app: &request.connect.app,
            tc_url: &request.connect.tc_url,
            key: &request.key,
            peer: self.route.peer.ip(),
            local: self.route.local.ip(),
            is_forwarded: self.route.is_forwarded,
        };
        let (context, now_s) = (self.context.clone(), now_ms() / 1000);
        // By what is in force when it is called, and the time at which the publish was asked for.
        let authorise = || {
            push_domain::authorise(&context.snapshot.load_full(), &asked, &context.policy, now_s)
        };
        let authorised = match authorise() {
            Ok(authorised) => authorised,
            Err(refusal) => return self.refuse(&request, &refusal),
        };
        let (path, signed) = (authorised.path.clone(), authorised.signed);
        let mut limits = authorised.limits;
        if self.context.journal.is_refusing() {
            info!(reason = "disk", stream.path = %path, "publish refused: {NO_ROOM}");
            return self.deny(request.stream, "disk", "NetStream.Publish.Denied", NO_ROOM);
        }
        let (peer, local) = (self.route.peer.ip(), self.route.local.ip());
        let mut session = publish::session(&self.context, authorised, peer, local);
        if let Some(gatekeeper) = self.context.gatekeeper.clone() {
            let since = Instant::now();
            let verdict = tokio::select! {
                verdict = gatekeeper.ask(&session) => verdict,
                () = token.cancelled() => return Err(Cause::Shutdown),
            };
            // The encoder need not answer for what this took.
            self.deadline += since.elapsed();
            if !self.lets_in(&session, verdict) {
                let event = Event::Refused { session: Box::new(session) };
                // Nobody listens any more only while the server stops.
                let _ = self.context.events.send(event).await;
                return self.deny(request.stream, "auth_url", "NetStream.Publish.Denied", UNWANTED);
            }
            match authorise() {
                Ok(authorised) => limits = authorised.limits,
                Err(refusal) => return self.refuse(&request, &refusal),
            }
            session = session.starting_at(now_ms());
        }
        let opening = Opening {
            context: self.context.clone(),
            session,
            limits,
            encoder: shown(request.connect.flash_ver()),
            wake: self.wake.clone(),
        };
        let deadline = match self.streams.is_empty() {
            true => self.deadline,
            false => Instant::now() + self.context.settings.handshake_timeout,
        };
        let mut opening = Box::pin(opening.run());
        let opened = tokio::select! {
            opened = &mut opening => opened,
            () = token.cancelled() => Err(OpenError::Stopping),
            () = sleep_until(deadline) => Err(OpenError::Late),
        };
        match opened {
            Ok(publishing) => {
                // Whoever forbids it from here on finds it among the streams that are live.
                if let Err(refusal) = authorise() {
                    publishing.close(EndReason::Forbidden).await;
                    return self.refuse(&request, &refusal);
                }
                info!(
                    stream.path = %path,
                    session.id = %publishing.live().session.id,
                    encoder = publishing.live().encoder,
                    signed,
                    "publish started"
                );
                self.session.accept(request.stream)?;
                self.streams.push((request.stream, publishing));
                (self.pace, self.last_data) = (Pace::new(), Instant::now());
                Ok(())
            }
            Err(error) => {
                if let OpenError::Stopping | OpenError::Late = error {
                    // Opening must run to its end, or something is left behind.
                    let finish = async move {
                        if let Ok(publishing) = opening.await {
                            publishing.close(EndReason::Closed).await;
                        }
                    };
                    self.tasks.spawn(finish.instrument(Span::current()));
                }
                self.cannot_open(&request, &path.to_string(), &error)
            }
        }
    }

    /// Whether a publish may begin after what was said about it.
    fn lets_in(&self, session: &Session, verdict: Verdict) -> bool {
        let path = &session.path;
        match (verdict, self.context.settings.auth_fallback) {
            (Verdict::Accepted, _) => true,
            (Verdict::Refused(why), _) => {
                info!(reason = "auth_url", stream.path = %path, "publish refused by publish.auth_url: {why}");
                false
            }
            (Verdict::Unanswered(why), Fallback::Open) => {
                warn!(stream.path = %path, "publish.auth_url gave no answer, the publish is let in (publish.auth_fail): {why}");
                true
            }
            (Verdict::Unanswered(why), Fallback::Closed) => {
                warn!(reason = "auth_url", stream.path = %path, "publish refused: publish.auth_url gave no answer (publish.auth_fail): {why}");
                false
            }
        }
    }

    fn refuse(&mut self, request: &PublishRequest, refusal: &Refusal) -> Result<(), Cause> {
        let bare = |text: &str| shown(text.split_once('?').map_or(text, |(name, _)| name));
        let (app, name) = (bare(&request.connect.app), bare(&request.key));
        info!(
            reason = refusal.reason(),
            ?app,
            ?name,
            "publish refused: {}",
            shown(&refusal.to_string())
        );
        let code = if refusal.is_bad_name() {
            "NetStream.Publish.BadName"
        } else {
            "NetStream.Publish.Denied"
        };
        self.deny(request.stream, refusal.reason(), code, &refusal.to_string())
    }

    fn cannot_open(
        &mut self,
        request: &PublishRequest,
        path: &str,
        error: &OpenError,
    ) -> Result<(), Cause> {
        let (reason, code) = match error {
            OpenError::NoPlace(NoPlace::Occupied) => ("occupied", "NetStream.Publish.BadName"),
            OpenError::NoPlace(NoPlace::Full(_)) => ("domain_streams", "NetStream.Publish.Denied"),
            OpenError::Ended(_) => ("replaced", "NetStream.Publish.BadName"),
            OpenError::Stopping => ("shutdown", "NetStream.Publish.Denied"),
            OpenError::Late | OpenError::Journal(_) | OpenError::Head(_) => {
                ("journal", "NetStream.Publish.Denied")
            }
        };
        if reason == "journal" {
            error!(stream.path = path, %error, "publish refused: it cannot be stored");
            // Paths and disks are no business of the peer's.
            return self.deny(request.stream, reason, code, "the server cannot store the stream");
        }
        info!(reason, stream.path = path, "publish refused: {error}");
        self.deny(request.stream, reason, code, &error.to_string())
    }

    fn deny(
        &mut self,
        stream: u32,
        reason: &'static str,
        code: &str,
        description: &str,
    ) -> Result<(), Cause> {
        refused(reason);
        self.session.refuse(stream, code, description)?;
        if self.streams.is_empty() { Err(Cause::Refused) } else { Ok(()) }
    }
}

/// Text from outside, short enough for a log line.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).filter(|c| !c.is_control()).collect()
}
