//! What it costs that a hundred thousand events wait for a receiver that is dead.

use std::time::{Duration, Instant};

use super::{testing::*, *};

const DEAD: &str = "http://dead/";
const LIVE: &str = "http://live/";

/// Claims and notes `rounds` times for each receiver, as the sender does. The shortest round: the
/// machine has other work as well.
async fn rounds(db: &Db, rounds: i64) -> Duration {
    let mut shortest = Duration::MAX;
    for now_ms in 0..rounds {
        let started = Instant::now();
        enqueue(db, 0, &[callback("live", LIVE, "", now_ms)]).await;
        let receivers = db.waiting_receivers().await.unwrap();
        assert!(receivers.len() <= 2);
        for (url, verdict) in [(DEAD, Verdict::Again(now_ms)), (LIVE, Verdict::Delivered)] {
            let due = db.claim_callbacks(&receiver(url), "o/", now_ms, 9, 1).await.unwrap();
            for callback in due {
                let attempt = Attempt {
                    result_code: 1,
                    response: String::new(),
                    result: String::new(),
                    sent_t: 0,
                    sent_sign: String::new(),
                    ended_ms: now_ms,
                };
                assert!(db.note_attempt(&callback, &attempt, verdict).await.unwrap());
            }
        }
        shortest = shortest.min(started.elapsed());
    }
    shortest
}

/// Events for the dead receiver, `per_stream` of each stream, in large transactions.
async fn fill(db: &Db, events: i64, per_stream: i64) {
    let all: Vec<i64> = (0..events).collect();
    for chunk in all.chunks(5000) {
        let batch: Vec<_> =
            chunk.iter().map(|n| callback(&format!("s{}", n / per_stream), DEAD, "", *n)).collect();
        enqueue(db, 0, &batch).await;
    }
}

/// `LIVEREC_TEST_WAITING=100000 cargo test --release many -- --ignored --nocapture` prints what the
/// README says; here fewer must do.
#[tokio::test]
#[ignore = "prints figures"]
async fn figures_of_many_waiting() {
    let events = std::env::var("LIVEREC_TEST_WAITING").ok().and_then(|n| n.parse().ok());
    for per_stream in [1, 100, i64::MAX] {
        for test in databases().await {
            let kind = test.db.kind();
            let empty = rounds(&test.db, 200).await;
            fill(&test.db, events.unwrap_or(100_000), per_stream).await;
            let full = rounds(&test.db, 200).await;
            println!(
                "{kind:?}, {per_stream} events a stream: a round {empty:?} before, {full:?} with all waiting"
            );
        }
    }
}

/// Linear work would take fifty times as long.
#[tokio::test]
async fn a_dead_receiver_with_many_waiting_costs_hardly_more_than_one_with_few() {
    for per_stream in [1, i64::MAX] {
        for test in databases().await {
            fill(&test.db, 200, per_stream).await;
            rounds(&test.db, 20).await;
            let few = rounds(&test.db, 60).await;
            fill(&test.db, 10_000, per_stream).await;
            rounds(&test.db, 20).await;
            let many = rounds(&test.db, 60).await;
            // Fifty times as many wait: what grows with them would cost about fifty times as much.
            assert!(many < few * 25, "{:?}: {few:?}, then {many:?}", test.db.kind());
        }
    }
}
