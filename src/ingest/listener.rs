//! Accepts connections until told to stop, never more than are allowed at a time.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span, warn};

use super::{Ingest, cause::refused, connection::Connection, source::TcpSource};

/// Pause after a failed accept: there are no files left, and trying at once would only burn time.
const BACK_OFF: Duration = Duration::from_millis(100);
/// The same complaint is logged once in so long.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

impl Ingest {
    /// Serves publishers until `token` is cancelled, then ends every publish and returns when their
    /// journals are closed.
    pub async fn run(self, listener: TcpListener, token: CancellationToken) {
        let places = Arc::new(Semaphore::new(
            self.context.settings.max_connections.min(Semaphore::MAX_PERMITS),
        ));
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
            match self.connection(stream, peer) {
                Ok(connection) => {
                    let token = token.clone();
                    let serve = async move {
                        connection.run(token).await;
                        drop(place);
                    };
                    connections.spawn(serve.instrument(info_span!("connection", %peer)));
                }
                Err(error) => debug!(%peer, %error, "a connection was gone before it was served"),
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    fn connection(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<Connection<TcpSource>> {
        // Answers are small and waited for.
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Connection::new(self.context.clone(), TcpSource::Watched(stream), peer, local))
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
