//! A customer's callback receiver: keeps what arrives and checks every signature.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use liverec::domain::callback::sign;
use serde_json::Value;

use super::server::eventually;

/// The key that callbacks must be signed with.
pub const SIGN_KEY: &str = "CBKEYTEST";

#[derive(Clone, Default)]
struct Inbox {
    events: Arc<Mutex<Vec<Value>>>,
    /// Answers 500 this many times before it accepts.
    refusals: Arc<Mutex<usize>>,
}

/// Serves a router on a free port, for as long as the process lives.
pub fn serve(router: Router) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    address
}

/// Receives for as long as the process lives.
pub struct Receiver {
    address: SocketAddr,
    inbox: Inbox,
}

impl Receiver {
    /// Starts on a free port.
    pub fn start() -> Self {
        let inbox = Inbox::default();
        let router = Router::new().route("/callback", post(receive)).with_state(inbox.clone());
        Self { address: serve(router), inbox }
    }

    /// Where callbacks go.
    pub fn url(&self) -> String {
        format!("http://{}/callback", self.address)
    }

    /// The next callbacks are refused so many times.
    pub fn refuse(&self, times: usize) {
        *self.inbox.refusals.lock().unwrap_or_else(PoisonError::into_inner) = times;
    }

    /// Every callback accepted so far.
    pub fn events(&self) -> Vec<Value> {
        self.inbox.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The callbacks of one kind so far.
    pub fn of_type(&self, event_type: i64) -> Vec<Value> {
        self.events().into_iter().filter(|e| e["event_type"] == event_type).collect()
    }

    /// Waits for so many callbacks of one kind.
    pub fn wait_for(&self, event_type: i64, count: usize) -> Vec<Value> {
        eventually(&format!("callback {event_type}, {count} times"), || {
            let events = self.of_type(event_type);
            (events.len() >= count).then_some(events)
        })
    }
}

async fn receive(State(inbox): State<Inbox>, body: String) -> StatusCode {
    {
        let mut refusals = inbox.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if *refusals > 0 {
            *refusals -= 1;
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
    }
    let event: Value = serde_json::from_str(&body).unwrap();
    let t = event["t"].as_i64().unwrap();
    assert_eq!(event["sign"].as_str().unwrap(), sign(SIGN_KEY, t), "{event}");
    inbox.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    StatusCode::OK
}
