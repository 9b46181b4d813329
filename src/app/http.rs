//! Serves HTTP: bounded in connections, in all and of one client, and in the time a client may take to
//! say what it wants and to take its answer.
//!
//! What is answered is `api`; this file only accepts, and lets answers under way end when stopping.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::peers::Peers;

/// Connections at the same time; further ones wait in the listener's queue.
const MAX_CONNECTIONS: usize = 2048;
/// From the first byte of a request, or the end of the last one, to the end of its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that takes nothing of an answer for so long is let go.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for answers under way when stopping.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Pause after a failed accept, such as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Accepts until stopped; with `tls` over HTTPS.
pub async fn run(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    peers: Peers,
    token: CancellationToken,
) {
    let tls = tls.map(TlsAcceptor::from);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut is_failing = false;
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = token.cancelled() => break,
            accepted = async {
                // Nobody closes the semaphore.
                let slot = slots.clone().acquire_owned().await.ok();
                (slot, listener.accept().await)
            } => accepted,
        };
        match accepted {
            (slot, Ok((socket, peer))) => {
                is_failing = false;
                let Some(counted) = peers.enter(peer.ip()) else {
                    metrics::counter!("liverec_refusals_total", "reason" => "http_peer")
                        .increment(1);
                    debug!(%peer, "an HTTP connection is closed at once: its address has too many");
                    continue;
                };
                let router = router.clone().layer(Extension(ConnectInfo(peer)));
                let (token, tls) = (token.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(socket, router, token).await,
                        Some(tls) => serve_tls(socket, &tls, router, token).await,
                    }
                    drop((slot, counted));
                });
            }
            (_, Err(error)) => {
                if !is_failing {
                    is_failing = true;
                    warn!(%error, "HTTP connections cannot be accepted; trying again");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_PATIENCE, all).await.is_err() {
        connections.abort_all();
    }
}

async fn serve_tls(socket: TcpStream, tls: &TlsAcceptor, router: Router, token: CancellationToken) {
    let accepted = tokio::select! {
        () = token.cancelled() => return,
        accepted = timeout(HEADER_TIMEOUT, tls.accept(socket)) => accepted,
    };
    match accepted {
        Ok(Ok(socket)) => serve(socket, router, token).await,
        Ok(Err(error)) => debug!(%error, "an HTTPS connection failed before its first request"),
        Err(_) => debug!("an HTTPS connection ended: its handshake took too long"),
    }
}

async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    token: CancellationToken,
) {
    let service = TowerToHyperService::new(router);
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(WRITE_TIMEOUT));
    let connection = http1::Builder::new()
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(Box::pin(socket)), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = token.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "an HTTP connection ended with an error");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    /// HTTP itself refuses what is too long before anybody here sees the request: README says so.
    #[tokio::test]
    async fn what_is_too_long_for_http_has_no_envelope() {
        let router = Router::new().fallback(get(|| async { "seen" }));
        let one = |bytes: usize| format!("A: {}\r\n", "a".repeat(bytes));
        for (bytes, headers, wanted) in [
            (60_000, one(1), "HTTP/1.1 200"),
            (70_000, one(1), "HTTP/1.1 414"),
            (10, one(1).repeat(90), "HTTP/1.1 200"),
            (10, one(1).repeat(110), "HTTP/1.1 431"),
        ] {
            let (mut client, server) = duplex(1 << 20);
            let served = tokio::spawn(serve(server, router.clone(), CancellationToken::new()));
            let query = "x".repeat(bytes);
            let request = format!("GET /?{query} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(wanted), "{bytes}, {}: {answer}", headers.len());
            served.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_its_answer_is_let_go() {
        let router = Router::new().route("/", get(|| async { "x".repeat(1 << 20) }));
        let (mut client, server) = duplex(1000);
        let begun = Instant::now();
        let served = tokio::spawn(serve(server, router, CancellationToken::new()));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        // It takes a little now and then, and then no more.
        for _ in 0..3 {
            sleep(WRITE_TIMEOUT / 2).await;
            client.read_exact(&mut [0; 1000]).await.unwrap();
        }
        assert!(!served.is_finished());
        served.await.unwrap();
        let took = begun.elapsed();
        assert!(took >= WRITE_TIMEOUT * 5 / 2 && took < WRITE_TIMEOUT * 4, "{took:?}");
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_say_what_it_wants_is_let_go() {
        let (mut client, server) = duplex(1000);
        let begun = Instant::now();
        let served = tokio::spawn(serve(server, Router::new(), CancellationToken::new()));
        client.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
        served.await.unwrap();
        assert!(begun.elapsed() < HEADER_TIMEOUT * 2, "{:?}", begun.elapsed());
    }
}
