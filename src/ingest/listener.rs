//! Accepts connections until told to stop, never more than are allowed at a time.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use super::{
    Context, Ingest,
    cause::refused,
    connection::{Connection, Route},
    proxy,
    source::TcpSource,
    tls::TlsSource,
};

/// Pause after a failed accept: there are no files left, and trying at once would only burn time.
const BACK_OFF: Duration = Duration::from_millis(100);
/// The same complaint is logged once in so long.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// A socket that publishers come to.
pub struct Door {
    /// Bound.
    pub listener: TcpListener,
    /// How to answer RTMPS; `None` is plain RTMP.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Ingest {
    /// Serves publishers until `token` is cancelled, then ends every publish and returns when their
    /// journals are closed.
    pub async fn run(self, doors: Vec<Door>, token: CancellationToken) {
        // Together they take rtmp.max_connections.
        let places = Arc::new(Semaphore::new(
            self.context.settings.max_connections.min(Semaphore::MAX_PERMITS),
        ));
        join_all(doors.into_iter().map(|door| self.serve(door, &places, &token))).await;
    }

    async fn serve(&self, door: Door, places: &Arc<Semaphore>, token: &CancellationToken) {
        let Door { listener, tls } = door;
        let mut connections = JoinSet::new();
        let (mut full, mut failing) = (Complaint::default(), Complaint::default());
        loop {
            let accepted = tokio::select! {
                () = token.cancelled() => break,
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(times) = failing.is_due() {
                        warn!(%error, times, "no connection can be accepted");
                    }
                    sleep(BACK_OFF).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                refused("connection_limit");
                if let Some(times) = full.is_due() {
                    info!(%peer, times, "connections are closed at once: there are rtmp.max_connections already");
                }
                continue;
            };
            let visitor = Visitor {
                context: self.context.clone(),
                stream,
                peer,
                tls: tls.clone(),
                _place: place,
            };
            connections.spawn(visitor.serve(token.clone()));
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }
}

/// A connection just accepted.
struct Visitor {
    context: Arc<Context>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    _place: OwnedSemaphorePermit,
}

impl Visitor {
    async fn serve(mut self, token: CancellationToken) {
        let route = tokio::select! {
            () = token.cancelled() => return,
            route = self.route() => route,
        };
        let peer = self.peer;
        let route = match route {
            Ok(route) => route,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                refused("proxy_protocol");
                info!(%peer, %error, "a connection is closed: it does not begin with a PROXY header (rtmp.proxy_protocol)");
                return;
            }
            Err(error) => {
                debug!(%peer, %error, "a connection was gone before it was served");
                return;
            }
        };
        let span = info_span!("connection", peer = %route.peer);
        let Self { context, stream, tls, _place, .. } = self;
        let source = TcpSource::Watched(stream);
        match tls {
            None => Connection::new(context, source, route).run(token).instrument(span).await,
            Some(config) => match TlsSource::new(source, config) {
                Ok(source) => {
                    Connection::new(context, source, route).run(token).instrument(span).await;
                }
                Err(error) => warn!(%peer, %error, "a TLS connection cannot be served"),
            },
        }
    }

    /// Where the connection comes from.
    async fn route(&mut self) -> io::Result<Route> {
        // Answers are small and waited for.
        self.stream.set_nodelay(true)?;
        let direct =
            Route { peer: self.peer, local: self.stream.local_addr()?, is_forwarded: false };
        if !self.context.settings.proxy_protocol {
            return Ok(direct);
        }
        let patience = self.context.settings.handshake_timeout;
        Ok(match timeout(patience, proxy::read(&mut self.stream)).await?? {
            Some((peer, local)) => Route { peer, local, is_forwarded: true },
            // The balancer itself, or whoever it does not name: nobody on this machine for sure.
            None => Route { is_forwarded: true, ..direct },
        })
    }
}

/// Something that may happen very often and is to be logged seldom.
#[derive(Default)]
struct Complaint {
    last: Option<Instant>,
    times: u64,
}

impl Complaint {
    /// Counts; gives how often it happened since it was last said, if it is to be said again.
    fn is_due(&mut self) -> Option<u64> {
        self.times += 1;
        if self.last.is_some_and(|last| last.elapsed() < COMPLAIN_EVERY) {
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.times))
    }
}
