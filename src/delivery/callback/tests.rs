//! The sender against real receivers on loopback, on every database.

mod faults;

use std::{
    collections::HashMap,
    future::{Future, pending},
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;

use super::*;
use crate::{
    db::callback::{
        CallbackCounts,
        testing::{callback, databases, enqueue, sqlite},
    },
    domain::callback::sign,
};

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

const KEY: &str = "CBKEYEXAMPLE";
/// Far beyond what any test needs; only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);

/// What a receiver got, in order.
type Received = Arc<Mutex<Vec<Value>>>;

/// A receiver that answers its n-th request with what `answer(n)` gives; `None` never answers.
async fn receiver(
    answer: impl Fn(usize) -> Option<StatusCode> + Clone + Send + Sync + 'static,
) -> (SocketAddr, Received) {
    let received = Received::default();
    let (log, calls) = (Arc::clone(&received), Arc::new(AtomicUsize::new(0)));
    let app = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
        let n = calls.fetch_add(1, Ordering::SeqCst);
        let status = answer(n);
        let has = |name: &str, value: &str| headers.get(name).is_some_and(|v| v == value);
        let event: Value = serde_json::from_slice(&body).unwrap();
        // With a key both are there, without one neither.
        let is_signed = match event["sign"].as_str().unwrap_or_default() {
            "" => !headers.contains_key("x-liverec-signature"),
            _ => {
                let signature = body_signature(KEY, &body);
                signature.is_some_and(|signature| has("x-liverec-signature", &signature))
            }
        };
        if has("content-type", "application/json") && is_signed {
            log.lock().unwrap().push(event);
        }
        async move {
            match status {
                Some(status) => (status, r#"{"code":0}"#).into_response(),
                None => pending().await,
            }
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, app).await });
    server.detach_all();
    (address, received)
}

fn settings() -> Settings {
    Settings {
        node_id: "node".to_owned(),
        timeout: HANG,
        retry_interval: Duration::from_millis(10),
        max_retries: 12,
        deny_networks: Vec::new(),
    }
}

/// Runs a sender until `test` is over; the sender must then stop by itself.
async fn with_sender(db: &Db, settings: Settings, test: impl Future<Output = ()>) {
    let token = CancellationToken::new();
    let sender = CallbackSender::new(settings, db.clone()).unwrap();
    let running = timeout(3 * HANG, sender.run(token.clone()));
    let test = async {
        test.await;
        token.cancel();
    };
    let (stopped, ()) = tokio::join!(running, test);
    stopped.expect("the sender stops");
}

async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let wait = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(HANG, wait).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

async fn until_counts(db: &Db, pending: u64, delivered: u64, failed: u64) {
    let wanted = CallbackCounts { pending, delivered, failed };
    until("counts", || async { db.count_callbacks().await.unwrap() == wanted }).await;
}

fn numbers(received: &Received) -> Vec<i64> {
    received.lock().unwrap().iter().map(|body| body["n"].as_i64().unwrap()).collect()
}

async fn results(db: &Db) -> Vec<(i64, String)> {
    let rows = sqlx::query_as("SELECT attempts, last_result FROM callback ORDER BY id");
    rows.fetch_all(db.pool()).await.unwrap()
}

#[tokio::test]
async fn delivers_signed_json_and_obeys_only_200() {
    for test in databases().await {
        let answers = [500, 302, 201, 200];
        let (address, received) =
            receiver(move |n| Some(StatusCode::from_u16(answers[n.min(3)]).unwrap())).await;
        let url = format!("http://{address}/hook?a=b");
        with_sender(&test.db, settings(), async {
            enqueue(&test.db, now_ms(), &[callback("a", &url, KEY, 7)]).await;
            until_counts(&test.db, 0, 1, 0).await;
        })
        .await;
        assert_eq!(numbers(&received), [7; 4], "a redirect that names no place is a refusal");
        assert_eq!(results(&test.db).await, [(4, "HTTP 200".to_owned())]);
        for body in received.lock().unwrap().iter() {
            let t = body["t"].as_i64().unwrap();
            let ahead = t - now_ms().div_euclid(1000);
            assert!((500..=600).contains(&ahead), "t is the time of sending plus 600: {ahead}");
            assert_eq!(body["sign"], sign(KEY, t));
        }
    }
}

#[tokio::test]
async fn gives_up_after_the_last_retry_and_counts_every_outcome() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics_page = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let test = sqlite().await;
    let (address, received) = receiver(|_| Some(StatusCode::INTERNAL_SERVER_ERROR)).await;
    let (denied, nothing) = receiver(|_| Some(StatusCode::OK)).await;
    let (live, _) = receiver(|_| Some(StatusCode::OK)).await;
    let denied = SocketAddr::from(([127, 0, 0, 2], denied.port()));
    let settings = Settings {
        max_retries: 2,
        deny_networks: vec!["127.0.0.2/32".parse().unwrap()],
        ..settings()
    };
    with_sender(&test.db, settings, async {
        let events = [
            callback("a", &format!("http://{address}/"), "", 1),
            callback("a", &format!("http://{denied}/"), "", 2),
            callback("a", &format!("http://{live}/"), "", 3),
        ];
        enqueue(&test.db, now_ms(), &events).await;
        until_counts(&test.db, 0, 1, 2).await;
    })
    .await;
    assert_eq!(numbers(&received), [1; 3], "once and two retries");
    assert!(!received.lock().unwrap()[0].as_object().unwrap().contains_key("sign"));
    assert!(numbers(&nothing).is_empty());
    let expected = [
        (3, "HTTP 500".to_owned()),
        (3, "127.0.0.2 is in callback.deny_networks".to_owned()),
        (1, "HTTP 200".to_owned()),
    ];
    assert_eq!(results(&test.db).await, expected);
    let page = metrics_page.render();
    let found: HashMap<&str, &str> = page
        .lines()
        .filter_map(|line| {
            line.strip_prefix("liverec_callbacks_total{outcome=\"")?.split_once("\"} ")
        })
        .collect();
    let counted = [("delivered", "1"), ("retried", "2"), ("denied", "3"), ("gave_up", "2")];
    assert_eq!(found, HashMap::from(counted));
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_in_time_is_tried_again() {
    for test in databases().await {
        let (address, received) = receiver(|n| (n > 0).then_some(StatusCode::OK)).await;
        let url = format!("http://{address}/");
        // Long enough for a loaded machine to accept the second request in.
        let settings = Settings { timeout: Duration::from_secs(2), ..settings() };
        with_sender(&test.db, settings, async {
            enqueue(&test.db, now_ms(), &[callback("a", &url, KEY, 1)]).await;
            until_counts(&test.db, 0, 1, 0).await;
        })
        .await;
        assert!(received.lock().unwrap().len() >= 2);
    }
}

#[tokio::test]
async fn dead_receivers_delay_no_other_and_stopping_frees_their_events() {
    for test in databases().await {
        let db = &test.db;
        let (live, received) = receiver(|_| Some(StatusCode::OK)).await;
        let (dead, _) = receiver(|_| None).await;
        // More dead URLs than there are shared slots, on one host, all before the live one.
        let events: Vec<_> = (0..120)
            .map(|n| callback(&format!("s{n}"), &format!("http://{dead}/{}", n % 40), "", n))
            .collect();
        enqueue(db, now_ms() - 1000, &events).await;
        with_sender(db, settings(), async {
            let url = format!("http://{live}/");
            let events: Vec<_> = (0..20).map(|n| callback(&format!("s{n}"), &url, "", n)).collect();
            enqueue(db, now_ms(), &events).await;
            until_counts(db, 120, 20, 0).await;
        })
        .await;
        let mut sent = numbers(&received);
        sent.sort_unstable();
        assert_eq!(sent, (0..20).collect::<Vec<_>>(), "each once");
        let (now_ms, mut free) = (now_ms(), 0);
        for waiting in db.waiting_receivers().await.unwrap() {
            let due = db.claim_callbacks(&waiting.receiver, "next", now_ms, 1, 100).await;
            free += due.unwrap().len();
        }
        assert_eq!(free, 120, "nothing stays leased");
    }
}

#[tokio::test]
async fn events_of_a_stream_arrive_in_order_though_one_is_refused() {
    for test in databases().await {
        let (address, received) =
            receiver(|n| Some(if n == 3 { StatusCode::BAD_GATEWAY } else { StatusCode::OK })).await;
        let url = format!("http://{address}/");
        let settings = Settings { retry_interval: Duration::from_millis(300), ..settings() };
        with_sender(&test.db, settings, async {
            let events: Vec<_> = (0..10).map(|n| callback("a", &url, KEY, n)).collect();
            for event in events.chunks(3) {
                enqueue(&test.db, now_ms(), event).await;
            }
            until_counts(&test.db, 0, 10, 0).await;
        })
        .await;
        assert_eq!(numbers(&received), [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9]);
    }
}

#[tokio::test]
async fn a_new_process_delivers_what_the_old_one_left() {
    for test in databases().await {
        let db = &test.db;
        let (address, received) = receiver(|_| Some(StatusCode::OK)).await;
        let url = format!("http://{address}/");
        let events: Vec<_> = (0..4).map(|n| callback(&format!("s{n}"), &url, KEY, n)).collect();
        enqueue(db, now_ms(), &events).await;
        // A killed process of this node had taken two, a living one of another node has one.
        let long_ms = 3_600_000;
        let mut alive = String::new();
        for (owner, rows) in [("node/killed", 2), ("other/alive", 1)] {
            let receiver = crate::db::callback::testing::receiver(&url);
            let taken =
                db.claim_callbacks(&receiver, owner, now_ms(), long_ms, rows).await.unwrap();
            assert_eq!(taken.len(), rows);
            alive = taken[0].stream_path.clone();
        }
        let again = Db::connect(&test.url).await.unwrap();
        with_sender(&again, settings(), until_counts(&again, 1, 3, 0)).await;
        let mut sent = numbers(&received);
        sent.sort_unstable();
        let mut all = vec![0, 1, 2, 3];
        all.retain(|n| !alive.ends_with(&format!("s{n}")));
        assert_eq!(sent, all, "one is still the other node's");
    }
}
