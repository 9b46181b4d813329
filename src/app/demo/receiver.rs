//! The demo's customer: takes callbacks over HTTP and checks their signatures.

use anyhow::{Result, anyhow};
use axum::{Router, extract::State, http::StatusCode, routing::post};
use bytes::Bytes;
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::domain::callback::sign;

/// Callbacks that may wait to be looked at.
const INBOX: usize = 64;

/// What arrived: a callback, or why it is none.
pub type Arrival = Result<Value>;

/// A place for callbacks to arrive at.
pub fn channel() -> (mpsc::Sender<Arrival>, mpsc::Receiver<Arrival>) {
    mpsc::channel(INBOX)
}

#[derive(Clone)]
struct Inbox {
    arrivals: mpsc::Sender<Arrival>,
    key: &'static str,
}

/// Receives until stopped.
pub async fn run(
    listener: TcpListener,
    arrivals: mpsc::Sender<Arrival>,
    key: &'static str,
    stop: CancellationToken,
) -> Result<()> {
    let router =
        Router::new().route("/callback", post(receive)).with_state(Inbox { arrivals, key });
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await?;
    Ok(())
}

async fn receive(State(inbox): State<Inbox>, body: Bytes) -> StatusCode {
    match inbox.arrivals.send(check(&body, inbox.key)).await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn check(body: &[u8], key: &str) -> Arrival {
    let event: Value = serde_json::from_slice(body)?;
    let t = event.get("t").and_then(Value::as_i64).unwrap_or_default();
    let signature = event.get("sign").and_then(Value::as_str).unwrap_or_default();
    if signature != sign(key, t) {
        return Err(anyhow!("a callback has a wrong signature"));
    }
    Ok(event)
}
