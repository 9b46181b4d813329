//! The life of one connection.
//!
//! Until something is published the socket is watched and answered at once. While something is, it
//! is looked at by the clock ([`super::pace`]): every look reads what is there, gives it to the
//! journals and lets them write. A journal that is slow holds back this connection alone.

mod admission;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use metrics::Counter;
use tokio::{
    sync::Notify,
    task::{JoinSet, yield_now},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info};

use self::admission::shown;
use super::{
    Context,
    cause::{Cause, refused},
    now_ms,
    outbound::Outbound,
    pace::Pace,
    publish::Publishing,
    source::ByteSource,
};
use crate::{
    domain::session::EndReason,
    rtmp::session::{Event, ServerSession},
};

/// Silence after which a peer is told how much arrived; one that waits for it is silent.
const ACKNOWLEDGE_AFTER: Duration = Duration::from_millis(100);
/// Rounds read of what had arrived when a connection ends.
const LAST_ROUNDS: usize = 16;
/// Most bytes read before the journals get their turn.
const ROUND_BYTES: usize = 256 << 10;
/// Room for a read while nothing is published.
const STRANGER_ROOM: usize = 4 << 10;
/// How long a peer may take to hear why it is disconnected.
const FAREWELL: Duration = Duration::from_secs(1);
/// Waiting so long for the journal says nothing about the peer's silence.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// Where a connection comes from and where it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    /// The publisher.
    pub(super) peer: SocketAddr,
    /// The address it connected to.
    pub(super) local: SocketAddr,
    /// Whether a balancer says so (`rtmp.proxy_protocol`) rather than the socket.
    pub(super) is_forwarded: bool,
}

/// One connection.
pub(super) struct Connection<S> {
    context: Arc<Context>,
    source: S,
    route: Route,
    session: ServerSession,
    outbound: Outbound,
    /// Accepted publishes by message stream.
    streams: Vec<(u32, Publishing)>,
    /// Journals being closed.
    tasks: JoinSet<()>,
    /// Notified when a publish is told to end.
    wake: Arc<Notify>,
    pace: Pace,
    /// Until when something must be published while nothing is.
    deadline: Instant,
    last_data: Instant,
    received: Counter,
}

impl<S: ByteSource> Connection<S> {
    /// A connection just accepted.
    pub(super) fn new(context: Arc<Context>, source: S, route: Route) -> Self {
        let now = Instant::now();
        Self {
            session: ServerSession::new(context.settings.max_message_bytes),
            deadline: now + context.settings.handshake_timeout,
            context,
            source,
            route,
            outbound: Outbound::default(),
            streams: Vec::new(),
            tasks: JoinSet::new(),
            wake: Arc::default(),
            pace: Pace::new(),
            last_data: now,
            received: metrics::counter!("liverec_ingest_bytes_total"),
        }
    }

    /// Serves until one side ends it, and then until every journal is closed.
    pub(super) async fn run(mut self, token: CancellationToken) {
        let Err(cause) = self.serve(&token).await;
        if let Cause::Shutdown | Cause::Network(_) = cause {
            // What has arrived belongs to the recording, also when it was an answer that failed.
            for _ in 0..LAST_ROUNDS {
                if !matches!(self.read(&token).await, Ok(true)) {
                    break;
                }
            }
        }
        // An encoder that closes has said all; any other end may cut a message anywhere.
        if matches!(cause, Cause::Closed) && self.session.finish().is_ok() {
            // A last command that cannot be read has no more effect.
            let _ = self.handle_events(now_ms(), &token).await;
        }
        cause.log(!self.streams.is_empty());
        for (id, publishing) in std::mem::take(&mut self.streams) {
            let reason = publishing.end_reason().unwrap_or(cause.end_reason());
            let _ = self.session.end(id, reason.event_code().1);
            self.tasks.spawn(publishing.close(reason).instrument(Span::current()));
        }
        if cause.has_listener() {
            let _ = timeout(FAREWELL, self.farewell()).await;
        }
        drop(self.source);
        while self.tasks.join_next().await.is_some() {}
    }

    async fn serve(&mut self, token: &CancellationToken) -> Result<Infallible, Cause> {
        loop {
            self.wait(token).await?;
            while self.read(token).await? {
                self.tend(token).await?;
                self.write()?;
                yield_now().await;
            }
            self.tend(token).await?;
            self.write()?;
        }
    }

    /// Waits until it is time to look at the socket.
    async fn wait(&mut self, token: &CancellationToken) -> Result<(), Cause> {
        if self.streams.is_empty() {
            return tokio::select! {
                () = token.cancelled() => Err(Cause::Shutdown),
                () = sleep_until(self.deadline) => Err(Cause::NoPublish),
                ready = self.source.ready(!self.outbound.is_empty()) => ready.map_err(Cause::Network),
            };
        }
        self.source.unwatch().map_err(Cause::Network)?;
        let next = self.pace.next(self.context.epoch, Instant::now());
        tokio::select! {
            () = token.cancelled() => Err(Cause::Shutdown),
            () = self.wake.notified() => Ok(()),
            () = sleep_until(next) => Ok(()),
        }
    }

    /// Reads what is there, at most a round. True if there may be more.
    async fn read(&mut self, token: &CancellationToken) -> Result<bool, Cause> {
        let wall_ms = now_ms();
        let mut total = 0;
        let outcome = loop {
            let room = if self.streams.is_empty() { STRANGER_ROOM } else { self.pace.room() };
            let mut buffer = self.context.buffers.take(room);
            let (read, room) = (self.source.try_read(buffer.space()), buffer.space().len());
            let read = match read {
                Ok(0) => break Err(Cause::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break Err(Cause::Network(error)),
            };
            total += read;
            self.session.receive(buffer.freeze(read))?;
            self.handle_events(wall_ms, token).await?;
            if read < room || total >= ROUND_BYTES {
                break Ok(read == room);
            }
        };
        let now = Instant::now();
        if total > 0 {
            self.received.increment(total as u64);
            self.last_data = now;
        } else if now.saturating_duration_since(self.last_data) >= ACKNOWLEDGE_AFTER {
            self.session.acknowledge()?;
        }
        self.pace.found(total);
        if self.streams.is_empty() && now >= self.deadline {
            return outcome.and(Err(Cause::NoPublish));
        }
        outcome
    }

    async fn handle_events(
        &mut self,
        wall_ms: i64,
        token: &CancellationToken,
    ) -> Result<(), Cause> {
        while let Some(event) = self.session.next_event()? {
            match event {
                Event::Tag { stream, tag } => {
                    if let Some((_, publishing)) =
                        self.streams.iter_mut().find(|(id, _)| *id == stream)
                    {
                        publishing.push(&tag, wall_ms);
                    }
                }
                Event::Publish(request) => self.publish(request, token).await?,
                Event::Unpublished { stream } => self.finish(stream, EndReason::Unpublished),
                Event::Refused { reason, description } => {
                    refused(reason);
                    info!(reason, "refused: {}", shown(&description));
                    if reason == "connect" {
                        return Err(Cause::Refused);
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes, writes, ends what is to end, looks for silence.
    async fn tend(&mut self, token: &CancellationToken) -> Result<(), Cause> {
        let now = Instant::now();
        let stall_timeout = self.context.settings.stall_timeout;
        for (_, publishing) in &mut self.streams {
            publishing.take_controls();
            publishing.check_rate(now);
            let patience = sleep_until(publishing.stalled_since().unwrap_or(now) + stall_timeout);
            let mut patience = pin!(patience);
            // Futures that are not waited for to the end are called again at the next look.
            while publishing.end_reason().is_none() {
                tokio::select! {
                    biased;
                    done = publishing.maintain(now) => { done?; break }
                    () = self.wake.notified() => {}
                    () = token.cancelled() => return Err(Cause::Shutdown),
                    () = &mut patience => publishing.fail(),
                }
            }
            // A call that hangs with nothing waiting behind it holds nobody up, yet it has failed.
            let is_late = |since: Instant| now.duration_since(since) >= stall_timeout;
            if publishing.end_reason().is_none() && publishing.stalled_since().is_some_and(is_late)
            {
                publishing.fail();
            }
            publishing.note_stall();
        }
        if now.elapsed() > LONG_WAIT {
            self.last_data = Instant::now();
        }
        let is_over = |(id, publishing): &(u32, Publishing)| {
            publishing.end_reason().map(|reason| (*id, reason))
        };
        let over: Vec<(u32, EndReason)> = self.streams.iter().filter_map(is_over).collect();
        for (id, reason) in over {
            self.session.end(id, reason.event_code().1)?;
            self.finish(id, reason);
            if self.streams.is_empty() {
                return Err(Cause::Ended);
            }
        }
        while self.tasks.try_join_next().is_some() {}
        let silence = now.saturating_duration_since(self.last_data);
        if !self.streams.is_empty() && silence > self.context.settings.idle_timeout {
            return Err(Cause::Idle);
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Cause> {
        let output = self.session.take_output();
        if !output.is_empty() {
            self.outbound.push(output);
        }
        self.outbound.write(&mut self.source).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Cause::Unread,
            _ => Cause::Network(error),
        })
    }

    /// Ends one publish; its journal is closed beside the connection.
    fn finish(&mut self, stream: u32, reason: EndReason) {
        let Some(index) = self.streams.iter().position(|(id, _)| *id == stream) else { return };
        let (_, publishing) = self.streams.swap_remove(index);
        self.tasks.spawn(publishing.close(reason).instrument(Span::current()));
        self.deadline = Instant::now() + self.context.settings.handshake_timeout;
    }

    /// Sends what is left to say and reads until the peer has closed: closing a socket with unread
    /// bytes in it would take our last words back.
    async fn farewell(&mut self) -> io::Result<()> {
        self.outbound.push(self.session.take_output());
        let mut scratch = self.context.buffers.take(STRANGER_ROOM);
        let mut has_said_all = false;
        loop {
            self.outbound.write(&mut self.source)?;
            if self.outbound.is_empty() && !has_said_all {
                has_said_all = true;
                self.source.shutdown()?;
            }
            match self.source.try_read(scratch.space()) {
                Ok(0) => return Ok(()),
                Ok(_) => yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.ready(!self.outbound.is_empty()).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
