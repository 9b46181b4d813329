//! Receivers that do what receivers do: refuse for an hour, answer late, oddly or not at all, send
//! elsewhere, break the connection.

use std::sync::atomic::AtomicI64;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::db::callback::{log::LogSearch, replay::CallbackSearch};

/// A clock that stands still until it is moved.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn at(ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(ms)))
    }

    fn clock(&self) -> Clock {
        let hands = self.clone();
        Arc::new(move || hands.now_ms())
    }

    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn forward(&self, db: &Db, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
        db.outbox_changed().notify_one();
    }
}

/// Answers with these bytes, whatever comes; nothing closes the connection at once.
async fn raw(answer: &'static [u8]) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = socket.read(&mut buffer).await;
            if answer.is_empty() {
                // Unread bytes make the close a reset.
                let _ = socket.set_zero_linger();
            }
            let _ = socket.write_all(answer).await;
        }
    });
    server.detach_all();
    address
}

/// The last result of the only event after its only attempt.
async fn only_result(db: &Db, url: &str, settings: Settings) -> (i64, String) {
    let settings = Settings { max_retries: 0, ..settings };
    with_sender(db, settings, async {
        enqueue(db, now_ms(), &[callback("a", url, KEY, 1)]).await;
        until("an outcome", || async { db.count_callbacks().await.unwrap().pending == 0 }).await;
    })
    .await;
    let search = LogSearch {
        stream: "a".to_owned(),
        from_ms: 0,
        to_ms: i64::MAX,
        event_type: None,
        is_accepted: None,
        offset: 0,
        limit: 10,
    };
    let (_, log) = db.search_callback_log(&search).await.unwrap();
    (log[0].result_code, log[0].response.clone())
}

#[tokio::test]
async fn a_receiver_that_refuses_for_an_hour_costs_attempts_then_the_rest_arrives_in_order() {
    for test in databases().await {
        let db = &test.db;
        let is_back = Arc::new(AtomicUsize::new(0));
        let switch = Arc::clone(&is_back);
        let (address, received) = receiver(move |_| {
            Some(match switch.load(Ordering::SeqCst) {
                0 => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::OK,
            })
        })
        .await;
        let url = format!("http://{address}/");
        let hands = Hands::at(now_ms());
        let settings = Settings { retry_interval: Duration::from_secs(60), ..settings() };
        let start_ms = hands.now_ms();
        let sender =
            || CallbackSender::new(settings.clone(), db.clone()).unwrap().with_clock(hands.clock());
        let events: Vec<_> = (0..8).map(|n| callback("a", &url, KEY, n)).collect();
        enqueue(db, start_ms, &events).await;
        let token = CancellationToken::new();
        let hour = async {
            let attempts = async || -> i64 {
                sqlx::query_scalar("SELECT COUNT(*) FROM callback_delivery")
                    .fetch_one(db.pool())
                    .await
                    .unwrap()
            };
            for minute in 0..60 {
                // One attempt a minute, or two where one event is given up and the next begins.
                let seen = received.lock().unwrap().len() as i64;
                let what = format!("the attempt of minute {minute}");
                until(&what, || async { attempts().await > seen || attempts().await > minute })
                    .await;
                hands.forward(db, 60_000);
            }
            token.cancel();
        };
        tokio::join!(sender().run(token.clone()), hour);
        let counts = db.count_callbacks().await.unwrap();
        assert!((4..=5).contains(&counts.failed), "13 attempts each: {counts:?}");
        assert_eq!((counts.delivered, counts.failed + counts.pending), (0, 8));

        // Back after a restart of the server: what waited arrives, in order, then what is replayed.
        is_back.store(1, Ordering::SeqCst);
        received.lock().unwrap().clear();
        hands.forward(db, 60_000);
        let token = CancellationToken::new();
        let rest = async {
            until_counts(db, 0, counts.pending, counts.failed).await;
            let failed = CallbackSearch {
                stream: Some("a".to_owned()),
                state: Some("failed"),
                to_ms: i64::MAX,
                limit: 100,
                ..CallbackSearch::default()
            };
            let (total, found) = db.search_callbacks(&failed).await.unwrap();
            assert_eq!(total, counts.failed, "still visible");
            assert!(found.iter().all(|c| c.attempts == 13 && c.last_result == "HTTP 503"));
            for callback in &found {
                assert!(db.replay_callback(callback, &url, KEY, hands.now_ms()).await.unwrap());
            }
            db.outbox_changed().notify_one();
            until_counts(db, 0, 8, 0).await;
            token.cancel();
        };
        tokio::join!(sender().run(token.clone()), rest);
        let failed = counts.failed as i64;
        let expected: Vec<i64> = (failed..8).chain(0..failed).collect();
        assert_eq!(numbers(&received), expected, "each once");
    }
}

#[tokio::test]
async fn only_the_status_counts_whatever_the_body_says() {
    let answers: [(&[u8], i64, &str); 5] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{\"code\":1}", 0, "{\"code\":1}"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<hi>", 0, "<hi>"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbroken off", 0, "broken off"),
        (b"HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\noops", 500, "oops"),
        (b"HTTP/1.1 204 No\r\n\r\n", 204, "HTTP 204"),
    ];
    for (answer, code, response) in answers {
        let test = sqlite().await;
        let url = format!("http://{}/", raw(answer).await);
        let result = only_result(&test.db, &url, settings()).await;
        assert_eq!(result, (code, response.to_owned()));
    }
}

#[tokio::test]
async fn what_is_no_answer_is_a_failure_with_its_reason() {
    let reset = raw(b"").await;
    let no_tls = raw(b"HTTP/1.1 400 this is not TLS\r\n\r\n").await;
    let garbage = raw(b"SSH-2.0-OpenSSH\r\n").await;
    for url in
        [format!("http://{reset}/"), format!("https://{no_tls}/"), format!("http://{garbage}/")]
    {
        let test = sqlite().await;
        let (code, reason) = only_result(&test.db, &url, settings()).await;
        assert_eq!(code, 1, "{url}: {reason}");
        assert!(!reason.is_empty());
    }
    let test = sqlite().await;
    let (silent, _) = receiver(|_| None).await;
    let settings = Settings { timeout: Duration::from_millis(200), ..settings() };
    let (code, reason) = only_result(&test.db, &format!("http://{silent}/"), settings).await;
    assert_eq!((code, reason.as_str()), (2, "no answer within 200ms"));
}

#[tokio::test]
async fn redirects_are_followed_only_where_they_lead_back_with_the_body() {
    let (elsewhere, stray) = receiver(|_| Some(StatusCode::OK)).await;
    let received = Received::default();
    let log = Arc::clone(&received);
    let to = format!("http://{elsewhere}/stolen");
    let redirect = |status: u16, to: String| {
        let status = StatusCode::from_u16(status).unwrap();
        move || async move { (status, [("location", to)]) }
    };
    let app = Router::new()
        .route("/permanent", axum::routing::post(redirect(308, "/moved".to_owned())))
        .route("/temporary", axum::routing::post(redirect(307, "permanent".to_owned())))
        .route("/get", axum::routing::post(redirect(302, "/moved".to_owned())))
        .route("/see", axum::routing::post(redirect(303, "/moved".to_owned())))
        .route("/away", axum::routing::post(redirect(307, to)))
        .route("/loop", axum::routing::post(redirect(307, "/loop".to_owned())))
        .route(
            "/moved",
            axum::routing::any(move |headers: HeaderMap, body: Bytes| async move {
                let signature = headers["x-liverec-signature"].to_str().unwrap().to_owned();
                assert_eq!(Some(signature), body_signature(KEY, &body));
                assert!(headers.contains_key("x-liverec-callback-id"));
                log.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                StatusCode::OK
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, app).await });
    for (path, code) in
        [("permanent", 0), ("temporary", 0), ("get", 302), ("see", 303), ("away", 307), ("loop", 1)]
    {
        let test = sqlite().await;
        let url = format!("http://{address}/{path}");
        let (found, response) = only_result(&test.db, &url, settings()).await;
        assert_eq!(found, code, "{path}: {response}");
    }
    assert_eq!(numbers(&received), [1, 1]);
    assert_eq!(numbers(&stray), Vec::<i64>::new());
}
