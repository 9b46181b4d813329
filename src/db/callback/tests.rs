//! The outbox on every database.

use super::{log::LogSearch, replay::CallbackSearch, testing::*, *};

const LEASE_MS: i64 = 1000;
const U: &str = "http://receiver/";

async fn claim(db: &Db, url: &str, now_ms: i64, limit: usize) -> Vec<DueCallback> {
    db.claim_callbacks(&receiver(url), "owner/1", now_ms, LEASE_MS, limit).await.unwrap()
}

async fn note(db: &Db, callback: &DueCallback, now_ms: i64, verdict: Verdict) -> bool {
    let is_accepted = verdict == Verdict::Delivered;
    let attempt = Attempt {
        result_code: if is_accepted { 0 } else { 500 },
        response: "answer".to_owned(),
        result: if is_accepted { "HTTP 200" } else { "HTTP 500" }.to_owned(),
        sent_t: 600,
        sent_sign: "sign".to_owned(),
        ended_ms: now_ms,
    };
    db.note_attempt(callback, &attempt, verdict).await.unwrap()
}

async fn ready(db: &Db) -> Vec<(String, i64)> {
    let receivers = db.waiting_receivers().await.unwrap();
    receivers.into_iter().map(|r| (r.url, r.ready_ms)).collect()
}

fn numbers(due: &[DueCallback]) -> Vec<i64> {
    due.iter().map(|c| c.body["n"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn an_event_lives_and_dies_with_its_transaction() {
    for test in databases().await {
        let mut tx = test.db.begin().await.unwrap();
        Db::enqueue_callbacks(&mut tx, 1, &[callback("a", U, "key", 1)]).await.unwrap();
        tx.rollback().await.unwrap();
        assert!(claim(&test.db, U, 10, 10).await.is_empty());
        assert_eq!(ready(&test.db).await, []);
        assert_eq!(test.db.count_callbacks().await.unwrap(), CallbackCounts::default());
    }
}

#[tokio::test]
async fn events_of_a_stream_wait_for_each_other_and_streams_and_receivers_do_not() {
    for test in databases().await {
        let db = &test.db;
        let other = "http://other/";
        enqueue(db, 4, &[callback("a", other, "key", 4)]).await;
        let events =
            [callback("a", U, "key", 1), callback("a", U, "key", 2), callback("b", U, "key", 3)];
        enqueue(db, 5, &events).await;
        assert_eq!(ready(db).await, [(other.to_owned(), 4), (U.to_owned(), 5)]);
        assert!(claim(db, U, 4, 10).await.is_empty(), "not due");

        let due = claim(db, U, 5, 10).await;
        assert_eq!(numbers(&due), [1, 3], "2 waits for 1");
        assert_eq!((due[0].event_type, due[0].sign_key.as_str()), (100, "key"));
        assert!(claim(db, U, 6, 10).await.is_empty(), "under lease");
        assert_eq!(numbers(&claim(db, other, 6, 10).await), [4]);

        assert!(note(db, &due[0], 7, Verdict::Again(500)).await);
        assert!(note(db, &due[1], 7, Verdict::Delivered).await);
        assert!(claim(db, U, 499, 10).await.is_empty(), "2 waits while 1 is to be tried again");
        let again = claim(db, U, 500, 10).await;
        assert_eq!((numbers(&again), again[0].attempts), (vec![1], 1));
        assert!(note(db, &again[0], 501, Verdict::GivenUp).await);
        let second = claim(db, U, 501, 10).await;
        assert_eq!(numbers(&second), [2], "1 is given up");
        assert!(note(db, &second[0], 502, Verdict::Delivered).await);
        assert_eq!(ready(db).await, [(other.to_owned(), 6 + LEASE_MS)], "nothing is left for it");
        let counts = CallbackCounts { pending: 1, delivered: 2, failed: 1 };
        assert_eq!(db.count_callbacks().await.unwrap(), counts);
    }
}

#[tokio::test]
async fn a_lease_that_ran_out_or_was_released_frees_the_row_and_fences_its_holder() {
    for test in databases().await {
        let db = &test.db;
        enqueue(db, 0, &[callback("a", U, "", 1)]).await;
        let lost = claim(db, U, 0, 1).await;
        assert_eq!(ready(db).await, [(U.to_owned(), LEASE_MS)]);
        assert!(claim(db, U, LEASE_MS - 1, 1).await.is_empty());
        let taken = claim(db, U, LEASE_MS, 1).await;
        assert_eq!(numbers(&taken), [1]);
        assert!(!note(db, &lost[0], LEASE_MS, Verdict::Delivered).await);

        assert_eq!(db.release_callbacks("own_r/", 7).await.unwrap(), 0, "no wildcards");
        assert_eq!(db.release_callbacks("owner/", LEASE_MS).await.unwrap(), 1);
        let last = claim(db, U, LEASE_MS, 1).await;
        assert!(!note(db, &taken[0], LEASE_MS, Verdict::Again(1)).await);
        assert!(note(db, &last[0], LEASE_MS, Verdict::Again(9999)).await);
        assert_eq!(ready(db).await, [(U.to_owned(), 9999)]);
    }
}

#[tokio::test]
async fn concurrent_claims_take_every_row_once() {
    for test in databases().await {
        let events: Vec<_> = (0..40).map(|n| callback(&format!("s{n}"), U, "", n)).collect();
        enqueue(&test.db, 0, &events).await;
        let worker = || async {
            let mut mine = Vec::new();
            // A claim may come back empty only because another was faster, so ask more often.
            for _ in 0..60 {
                mine.extend(numbers(&claim(&test.db, U, 0, 2).await));
            }
            mine
        };
        let (a, b, c) = tokio::join!(worker(), worker(), worker());
        let mut all = [a, b, c].concat();
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
    }
}

/// Whoever enqueues into a queue that is just running empty must not be forgotten.
#[tokio::test]
async fn no_event_is_left_behind_by_a_queue_that_closes() {
    for test in databases().await {
        let db = &test.db;
        let enqueuer = async {
            for n in 0..100 {
                enqueue(db, 0, &[callback("a", U, "", n)]).await;
            }
        };
        let sender = async {
            let mut seen = Vec::new();
            while seen.len() < 100 {
                for due in claim(db, U, 0, 1).await {
                    assert!(note(db, &due, 0, Verdict::Delivered).await);
                    seen.extend(numbers(&[due]));
                }
                tokio::task::yield_now().await;
            }
            seen
        };
        let both = async { tokio::join!(enqueuer, sender).1 };
        let seen = tokio::time::timeout(std::time::Duration::from_secs(60), both).await;
        assert_eq!(seen.expect("none is forgotten"), (0..100).collect::<Vec<_>>());
        assert_eq!(ready(db).await, []);
    }
}

fn keep(waiting_since_ms: i64, over_since_ms: i64, rows: u64) -> Keep {
    Keep { waiting_since_ms, over_since_ms, rows }
}

#[tokio::test]
async fn finished_rows_lose_their_key_and_are_pruned_by_age_and_number_with_their_log() {
    for test in databases().await {
        let db = &test.db;
        let events: Vec<_> = (0..6).map(|n| callback(&format!("s{n}"), U, "secret", n)).collect();
        enqueue(db, 0, &events).await;
        let due = claim(db, U, 0, 5).await; // one stays pending
        for (callback, now_ms) in due.iter().zip([10, 20, 30, 40, 50]) {
            assert!(note(db, callback, now_ms, Verdict::Delivered).await);
        }
        let count = async |what: &'static str| -> i64 {
            let row = sqlx::query(what).fetch_one(db.pool()).await.unwrap();
            int(&row, "n").unwrap()
        };
        let keys = "SELECT COUNT(*) AS n FROM callback WHERE sign_key = 'secret'";
        assert_eq!(count(keys).await, 1);
        assert_eq!(db.prune_callbacks(keep(0, 20, 100), 60).await.unwrap().deleted, 1);
        assert_eq!(db.prune_callbacks(keep(0, 0, 3), 60).await.unwrap().deleted, 1);
        let counts = CallbackCounts { pending: 1, delivered: 3, failed: 0 };
        assert_eq!(db.count_callbacks().await.unwrap(), counts);
        assert_eq!(count("SELECT COUNT(*) AS n FROM callback_delivery").await, 3);

        let pruned = db.prune_callbacks(keep(1, 0, 100), 60).await.unwrap();
        assert_eq!((pruned.expired, pruned.deleted), (1, 0));
        let counts = CallbackCounts { pending: 0, delivered: 3, failed: 1 };
        assert_eq!(db.count_callbacks().await.unwrap(), counts);
        assert!(claim(db, U, 10_000, 5).await.is_empty(), "its queue is empty");
        assert_eq!(ready(db).await, [], "and closed");
        assert_eq!(db.prune_callbacks(keep(0, i64::MAX, 0), 60).await.unwrap().deleted, 4);
    }
}

#[tokio::test]
async fn every_attempt_is_logged_and_only_the_newest_stay() {
    for test in databases().await {
        let db = &test.db;
        enqueue(db, 5, &[callback("a", U, "key", 1)]).await;
        for now_ms in 0..30 {
            let due = claim(db, U, 5 + now_ms, 1).await;
            assert!(note(db, &due[0], 5 + now_ms, Verdict::Again(6 + now_ms)).await);
        }
        let due = claim(db, U, 100, 1).await;
        assert!(note(db, &due[0], 100, Verdict::Delivered).await);
        let search = LogSearch {
            stream: "a".to_owned(),
            from_ms: 5,
            to_ms: 5,
            event_type: Some(100),
            is_accepted: None,
            offset: 0,
            limit: 3,
        };
        let (total, page) = db.search_callback_log(&search).await.unwrap();
        assert_eq!((total, page.len()), (20, 3), "the newest twenty");
        assert_eq!((page[0].ended_ms, page[0].result_code, page[1].ended_ms), (100, 0, 34));
        let body: Value = serde_json::from_str(&page[0].request).unwrap();
        assert_eq!(
            (&body["n"], &body["t"], &body["sign"]),
            (&1.into(), &600.into(), &"sign".into())
        );
        let accepted = LogSearch { is_accepted: Some(true), ..search.clone() };
        assert_eq!(db.search_callback_log(&accepted).await.unwrap().0, 1);
        for none in [
            LogSearch { stream: "b".to_owned(), ..search.clone() },
            LogSearch { is_accepted: Some(false), stream: "b".to_owned(), ..search.clone() },
            LogSearch { from_ms: 6, to_ms: 9, ..search.clone() },
            LogSearch { event_type: Some(0), ..search.clone() },
        ] {
            assert_eq!(db.search_callback_log(&none).await.unwrap().0, 0, "{none:?}");
        }
    }
}

#[tokio::test]
async fn what_is_over_is_found_and_sent_again_as_it_was_in_front_of_what_came_later() {
    for test in databases().await {
        let db = &test.db;
        enqueue(db, 5, &[callback("a", U, "old", 1), callback("a", U, "old", 2)]).await;
        let first = claim(db, U, 5, 1).await;
        assert!(note(db, &first[0], 6, Verdict::GivenUp).await);
        let failed = CallbackSearch {
            stream: Some("a".to_owned()),
            state: Some("failed"),
            to_ms: 10,
            limit: 10,
            ..CallbackSearch::default()
        };
        let (total, found) = db.search_callbacks(&failed).await.unwrap();
        assert_eq!((total, found[0].id.as_str()), (1, first[0].id.as_str()));
        assert_eq!((found[0].attempts, found[0].last_result.as_str()), (1, "HTTP 500"));
        let moved = "http://moved/";
        assert!(db.replay_callback(&found[0], moved, "new", 9).await.unwrap());
        assert!(!db.replay_callback(&found[0], moved, "new", 9).await.unwrap(), "it is pending");
        let again = claim(db, moved, 9, 5).await;
        assert_eq!((numbers(&again), again[0].id.as_str()), (vec![1], first[0].id.as_str()));
        assert_eq!((again[0].attempts, again[0].sign_key.as_str()), (0, "new"));
        assert!(note(db, &again[0], 10, Verdict::GivenUp).await);
        assert!(db.replay_callback(&found[0], U, "new", 11).await.unwrap());
        assert_eq!(numbers(&claim(db, U, 11, 5).await), [1], "before 2");
        let by_id = CallbackSearch {
            id: Some(first[0].id.clone()),
            to_ms: i64::MAX,
            limit: 1,
            ..CallbackSearch::default()
        };
        assert_eq!(db.search_callbacks(&by_id).await.unwrap().1[0].replays, 2);
    }
}

#[tokio::test]
async fn what_an_earlier_version_enqueued_is_taken_over() {
    for test in databases().await {
        let db = &test.db;
        enqueue(db, 5, &[callback("a", U, "key", 1), callback("a", U, "key", 2)]).await;
        for statement in
            ["DELETE FROM callback_queue", "UPDATE callback SET queue = '', stream = ''"]
        {
            sqlx::query(statement).execute(db.pool()).await.unwrap();
        }
        assert!(claim(db, U, 9, 5).await.is_empty());
        assert_eq!(db.adopt_callbacks().await.unwrap(), 2);
        assert_eq!(db.adopt_callbacks().await.unwrap(), 0);
        let due = claim(db, U, 9, 5).await;
        assert_eq!(numbers(&due), [1]);
        assert!(note(db, &due[0], 10, Verdict::Delivered).await);
        let of_stream =
            CallbackSearch { stream: Some("a".to_owned()), to_ms: 9, ..CallbackSearch::default() };
        assert_eq!(db.search_callbacks(&of_stream).await.unwrap().0, 2);
    }
}

/// A URL and a stream together may be longer than an index of PostgreSQL takes.
#[tokio::test]
async fn the_longest_names_fit() {
    for test in databases().await {
        // Not compressible.
        let noise: String =
            (0..40).map(|n| digest(&[&n.to_string()]) + &digest(&["x", &n.to_string()])).collect();
        let url = format!("http://receiver/{}", noise.get(..2000).unwrap());
        let stream = noise.get(..255).unwrap();
        enqueue(&test.db, 0, &[callback(stream, &url, "", 1)]).await;
        assert_eq!(numbers(&claim(&test.db, &url, 0, 1).await), [1]);
    }
}
