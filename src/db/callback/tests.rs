//! The outbox on every database.

use super::{testing::*, *};

const LEASE_MS: i64 = 1000;
const U: &str = "http://receiver/";

async fn claim(db: &Db, url: &str, now_ms: i64, limit: usize) -> Vec<DueCallback> {
    db.claim_callbacks(url, "owner/1", now_ms, LEASE_MS, limit).await.unwrap()
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
        assert_eq!(test.db.count_callbacks().await.unwrap(), CallbackCounts::default());
    }
}

#[tokio::test]
async fn first_attempts_of_a_stream_are_in_order_and_streams_do_not_wait_for_each_other() {
    for test in databases().await {
        let db = &test.db;
        let other = "http://other/";
        let events = [
            callback("a", U, "key", 1),
            callback("a", U, "key", 2),
            callback("b", U, "key", 3),
            callback("a", other, "key", 4),
        ];
        enqueue(db, 5, &events).await;
        assert_eq!(db.due_callback_urls(4).await.unwrap(), Vec::<String>::new());
        assert_eq!(db.due_callback_urls(5).await.unwrap(), [other, U]);

        let due = claim(db, U, 5, 10).await;
        assert_eq!(numbers(&due), [1, 3], "2 waits for 1");
        assert_eq!(due[0].event_type, 100);
        assert_eq!(due[0].sign_key, "key");
        assert!(claim(db, U, 6, 10).await.is_empty(), "under lease");
        assert_eq!(numbers(&claim(db, other, 6, 10).await), [4]);

        assert!(db.callback_failed(&due[0], Some(500), 7, "HTTP 500").await.unwrap());
        let second = claim(db, U, 8, 10).await;
        assert_eq!(numbers(&second), [2], "1 has been tried");
        assert!(db.callback_delivered(&second[0], 9, "HTTP 200").await.unwrap());

        let again = claim(db, U, 500, 10).await;
        assert_eq!((numbers(&again), again[0].attempts), (vec![1], 1));
        assert!(db.callback_failed(&again[0], None, 501, "HTTP 500").await.unwrap());
        let counts = CallbackCounts { pending: 2, delivered: 1, failed: 1 };
        assert_eq!(db.count_callbacks().await.unwrap(), counts);
    }
}

#[tokio::test]
async fn a_lease_that_ran_out_or_was_released_frees_the_row_and_fences_its_holder() {
    for test in databases().await {
        let db = &test.db;
        enqueue(db, 0, &[callback("a", U, "", 1)]).await;
        let lost = claim(db, U, 0, 1).await;
        assert_eq!(db.next_callback_due(0).await.unwrap(), Some(LEASE_MS));
        assert!(claim(db, U, LEASE_MS - 1, 1).await.is_empty());
        let taken = claim(db, U, LEASE_MS, 1).await;
        assert_eq!(numbers(&taken), [1]);
        assert!(!db.callback_delivered(&lost[0], LEASE_MS, "").await.unwrap());

        assert_eq!(db.release_callbacks("own_r/").await.unwrap(), 0, "no wildcards");
        assert_eq!(db.release_callbacks("owner/").await.unwrap(), 1);
        let last = claim(db, U, LEASE_MS, 1).await;
        assert!(!db.callback_failed(&taken[0], Some(1), LEASE_MS, "").await.unwrap());
        assert!(db.callback_failed(&last[0], Some(9999), LEASE_MS, "").await.unwrap());
        assert_eq!(db.next_callback_due(LEASE_MS).await.unwrap(), Some(9999));
        assert_eq!(db.next_callback_due(9999).await.unwrap(), None, "due now is not next");
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

#[tokio::test]
async fn finished_rows_lose_their_key_and_are_pruned_by_age_and_number() {
    for test in databases().await {
        let db = &test.db;
        let events: Vec<_> = (0..6).map(|n| callback(&format!("s{n}"), U, "secret", n)).collect();
        enqueue(db, 0, &events).await;
        let due = claim(db, U, 0, 5).await; // one stays pending
        for (callback, now_ms) in due.iter().zip([10, 20, 30, 40, 50]) {
            assert!(db.callback_delivered(callback, now_ms, "HTTP 200").await.unwrap());
        }
        let keys: i64 = sqlx::query("SELECT COUNT(*) AS n FROM callback WHERE sign_key = 'secret'")
            .fetch_one(db.pool())
            .await
            .map(|row| int(&row, "n").unwrap())
            .unwrap();
        assert_eq!(keys, 1);
        assert_eq!(db.prune_callbacks(20, 100).await.unwrap(), 1);
        assert_eq!(db.prune_callbacks(0, 3).await.unwrap(), 1);
        let counts = CallbackCounts { pending: 1, delivered: 3, failed: 0 };
        assert_eq!(db.count_callbacks().await.unwrap(), counts);
        assert_eq!(db.prune_callbacks(i64::MAX, 0).await.unwrap(), 3, "pending rows stay");
    }
}
