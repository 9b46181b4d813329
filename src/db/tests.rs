//! Writers beside each other, and schemas of other versions.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{callback::testing::databases, *};

/// The longest single wait of writers that all come at once is what the queue is for: with polling
/// the unlucky ones wait many times longer than their turn. Printed, not asserted: disks differ.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_writers_take_turns() {
    const WRITERS: usize = 200;
    const EACH: usize = 5;
    for test in databases().await {
        let begun = Instant::now();
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let db = test.db.clone();
            writers.spawn(async move {
                let mut longest = Duration::ZERO;
                for _ in 0..EACH {
                    let asked = Instant::now();
                    let mut tx = db.begin().await.unwrap();
                    Db::next_number(&mut tx, "all").await.unwrap();
                    Db::next_number(&mut tx, &format!("of {writer}")).await.unwrap();
                    tx.commit().await.unwrap();
                    longest = longest.max(asked.elapsed());
                    // A reader waits for no writer.
                    db.setting("nothing").await.unwrap();
                }
                longest
            });
        }
        let mut longest = writers.join_all().await;
        longest.sort_unstable();
        println!(
            "{:?}: {} transactions of {WRITERS} writers in {:?}; the longest wait of a writer: median {:?}, worst {:?}",
            test.db.kind(),
            WRITERS * EACH,
            begun.elapsed(),
            longest[WRITERS / 2],
            longest[WRITERS - 1],
        );
        let mut tx = test.db.begin().await.unwrap();
        let next = Db::next_number(&mut tx, "all").await.unwrap();
        assert_eq!(
            usize::try_from(next),
            Ok(WRITERS * EACH + 1),
            "none is lost, none counted twice"
        );
    }
}

/// Whoever waits for a commit may go away: a client hangs up, a server stops.
#[tokio::test]
async fn a_commit_that_nobody_waits_for_goes_through() {
    for test in databases().await {
        let warnings = Warnings::default();
        let _guard = tracing::subscriber::set_default(warnings.clone().subscriber());
        for number in 1..=20 {
            let mut tx = test.db.begin().await.unwrap();
            assert_eq!(Db::next_number(&mut tx, "n").await.unwrap(), number);
            tokio::select! {
                biased;
                _ = test.db.commit(tx, "count") => panic!("it takes longer"),
                () = std::future::ready(()) => {}
            }
            // Every connection is used again, so that what the driver still had to say is heard.
            for _ in 0..20 {
                test.db.ping().await.unwrap();
            }
        }
        assert_eq!(warnings.text(), "", "{:?}", test.db.kind());
    }
}

#[derive(Clone, Default)]
struct Warnings(Arc<std::sync::Mutex<Vec<u8>>>);

impl Warnings {
    fn subscriber(self) -> impl tracing::Subscriber {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || self.clone())
            .finish()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_is_written_through_a_reader() {
    for test in databases().await {
        if test.db.kind() == Kind::Sqlite {
            let insert = "INSERT INTO setting (name, value) VALUES ('a', 'b')";
            let refused = sqlx::query(insert).execute(test.db.reader()).await.unwrap_err();
            assert!(refused.to_string().contains("readonly"), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("liverec.db").display());
    let db = Db::connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9001, 'of tomorrow', 1, X'00', 0)",
    )
    .execute(db.pool())
    .await
    .unwrap();
    db.close().await;
    for opened in [Db::connect(&url).await, Db::connect_beside(&url).await] {
        let error = opened.err().unwrap();
        assert!(matches!(error, DbError::Newer { found: 9001, .. }), "{error}");
        assert!(error.to_string().contains("newer version") && !error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn a_copy_is_consistent_while_rows_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("liverec.db").display());
    let db = Db::connect(&url).await.unwrap();
    let writer = db.clone();
    let writing = async move {
        for _ in 0..50 {
            let mut tx = writer.begin().await.unwrap();
            Db::next_number(&mut tx, "a").await.unwrap();
            Db::next_number(&mut tx, "b").await.unwrap();
            tx.commit().await.unwrap();
        }
    };
    let copy = folder.path().join("copy.db");
    let ((), copied) = tokio::join!(writing, Db::copy_sqlite(&url, &copy));
    copied.unwrap();
    assert!(Db::copy_sqlite(&url, &copy).await.is_err(), "a file that is there is left alone");
    let copy = Db::connect(&format!("sqlite://{}", copy.display())).await.unwrap();
    let mut tx = copy.begin().await.unwrap();
    let a = Db::next_number(&mut tx, "a").await.unwrap();
    assert_eq!(a, Db::next_number(&mut tx, "b").await.unwrap());
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_has_put_off_is_due() {
    use crate::db::{
        callback::testing::{insert_parents, media_file},
        media_file::Claim,
    };
    const AHEAD: i64 = 3 * 24 * 3_600_000;
    for test in databases().await {
        let db = &test.db;
        let file = media_file("a", crate::domain::ids::SessionId::new(0), 1000);
        insert_parents(db, &file).await;
        let mut tx = db.begin().await.unwrap();
        Db::insert_media_file(&mut tx, &file).await.unwrap();
        Db::end_media_file(&mut tx, file.id, Some(200), AHEAD, AHEAD).await.unwrap();
        tx.commit().await.unwrap();
        let claim = async |now_ms| {
            db.claim_media_file(Claim::Oldest, "node", "w", now_ms, 1000).await.unwrap().is_some()
        };
        assert_eq!(db.pull_back("other", 5000, 180_000).await.unwrap(), 0);
        assert!(!claim(5000).await);
        assert_eq!(db.pull_back("node", 5000, 180_000).await.unwrap(), 1);
        assert_eq!(db.pull_back("node", 5000, 180_000).await.unwrap(), 0);
        assert!(claim(5000).await);
        sqlx::query(
            "INSERT INTO callback_queue (queue, receiver, url, ready_ms, lease_owner, fence) \
             VALUES ('q', 'r', 'u', $1, '', 0), ('p', 'r', 'u', 5100, '', 0)",
        )
        .bind(AHEAD)
        .execute(db.pool())
        .await
        .unwrap();
        assert_eq!(db.pull_back("node", 5000, 180_000).await.unwrap(), 1);
        // The lease of a clock that is then set back.
        assert!(claim(AHEAD).await);
        assert!(!claim(7000).await);
        assert_eq!(db.pull_back("node", 7000, 180_000).await.unwrap(), 1);
        assert!(claim(7000).await);
    }
}
