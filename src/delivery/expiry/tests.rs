//! Expiry over a directory store that fails when told to, and a clock of the test's own.

use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::{
    db::callback::testing::{TestDb, databases, insert_parents, media_file, sqlite},
    domain::{
        ids::{FileId, SessionId},
        media_file::MediaFileState,
    },
    media::hls::SegmentType,
    storage::{LocalStore, failing::FailingStore},
};

const T0: i64 = 1_795_344_236_000;
const DAY_MS: i64 = 24 * 3600 * 1000;

struct House {
    test: TestDb,
    store: FailingStore,
    expiry: Expiry,
    memory: Memory,
    _dir: TempDir,
}

/// Every test is a thread of its own process, so that one clock serves all; it only goes forward.
static NOW: AtomicI64 = AtomicI64::new(T0);

fn now() -> i64 {
    NOW.load(Ordering::SeqCst)
}

fn house(test: TestDb) -> House {
    house_at(test, now)
}

fn house_at(test: TestDb, now_ms: fn() -> i64) -> House {
    let dir = TempDir::new().unwrap();
    let store = FailingStore::new(Arc::new(LocalStore::open(dir.path()).unwrap()));
    let expiry = Expiry {
        db: test.db.clone(),
        store: Arc::new(store.clone()),
        node_id: "node".to_owned(),
        now_ms,
        boot: BootClock { id: "boot".to_owned() },
    };
    House { test, store, expiry, memory: Memory::default(), _dir: dir }
}

impl House {
    /// Stores a file that expires at `expire_ms` (0: never) with all its objects.
    async fn stored(&self, stream: &str, container: Container, expire_ms: i64) -> MediaFile {
        let mut file = media_file(stream, SessionId::new(0), T0);
        file.container = container;
        file.state = MediaFileState::Stored;
        file.expire_ms = expire_ms;
        let path = &file.path;
        let key = StorageKey::product(
            path.domain.as_str(),
            path.app.as_str(),
            path.stream.as_str(),
            file.id,
            container,
        );
        file.storage_key = key.as_str().to_owned();
        if container == Container::Hls {
            file.facts.objects = 6;
            file.facts.init_segments = 1;
            file.facts.segment_type = SegmentType::Fmp4;
        }
        for key in objects(&file) {
            self.store.put(&key, Bytes::from_static(b"x")).await.unwrap();
        }
        insert_parents(&self.test.db, &file).await;
        let mut tx = self.test.db.begin().await.unwrap();
        Db::insert_media_file(&mut tx, &file).await.unwrap();
        tx.commit().await.unwrap();
        file
    }

    async fn round(&mut self, at_ms: i64) -> Result<usize, ExpiryError> {
        self.expiry.round(&mut self.memory, at_ms).await
    }

    async fn state(&self, id: FileId) -> MediaFileState {
        self.test.db.media_file(id).await.unwrap().unwrap().state
    }

    async fn left(&self, file: &MediaFile) -> usize {
        let mut left = 0;
        for key in objects(file) {
            left += usize::from(self.store.head(&key).await.unwrap().is_some());
        }
        left
    }
}

fn objects(file: &MediaFile) -> Vec<StorageKey> {
    let main = StorageKey::parse(&file.storage_key).unwrap();
    let mut keys = vec![main.clone()];
    if file.container == Container::Hls {
        keys.push(main.init(0));
        keys.extend((0..4).map(|number| main.segment(number, SegmentType::Fmp4)));
    }
    keys
}

#[tokio::test]
async fn what_is_over_goes_once_with_all_its_objects_and_nothing_else_does() {
    for test in databases().await {
        let mut house = house(test);
        let old = house.stored("a", Container::Mp4, now() - 1).await;
        let hls = house.stored("a", Container::Hls, now()).await;
        let young = house.stored("a", Container::Hls, now() + 1).await;
        let for_ever = house.stored("a", Container::Flv, 0).await;
        assert_eq!(house.round(0).await.unwrap(), 2);
        assert_eq!(house.round(2000).await.unwrap(), 0);
        for (file, state, left) in [
            (&old, MediaFileState::Deleted, 0),
            (&hls, MediaFileState::Deleted, 0),
            (&young, MediaFileState::Stored, 6),
            (&for_ever, MediaFileState::Stored, 1),
        ] {
            assert_eq!(house.state(file.id).await, state, "{}", file.id);
            assert_eq!(house.left(file).await, left, "{}", file.id);
        }
        assert_eq!(house.store.count("delete"), 1 + 6, "nothing is asked for twice");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_asked_a_few_times_and_then_in_the_next_round() {
    let mut house = house(sqlite().await);
    let mut files = Vec::new();
    for _ in 0..250 {
        files.push(house.stored("a", Container::Aac, now() - 5).await);
    }
    house.store.set_down(true);
    assert!(house.round(0).await.is_err());
    assert_eq!(house.store.count("delete"), FAILURES);
    house.store.set_down(false);
    // Cut off in the middle of a file: the objects are gone, the row is not, and that is no harm.
    house.store.delete(&objects(&files[7])[0]).await.unwrap();
    assert_eq!(house.round(2000).await.unwrap(), 250);
    for file in &files {
        assert_eq!(house.state(file.id).await, MediaFileState::Deleted);
    }
}

#[tokio::test]
async fn one_file_that_cannot_be_removed_holds_up_no_other() {
    let mut house = house(sqlite().await);
    let stuck = house.stored("stuck", Container::Hls, now() - 9).await;
    let mut others = Vec::new();
    for _ in 0..120 {
        others.push(house.stored("a", Container::Mp4, now() - 5).await);
    }
    house.store.refuse("/stuck/");
    assert_eq!(house.round(0).await.unwrap(), 120);
    assert_eq!(house.state(stuck.id).await, MediaFileState::Stored, "the row goes last");
    assert!(house.round(2000).await.is_err());
    for file in &others {
        assert_eq!(house.left(file).await, 0);
    }
}

#[tokio::test]
async fn ten_thousand_at_once() {
    let mut house = house(sqlite().await);
    let first = house.stored("a", Container::Mp4, now() - 5).await;
    let mut tx = house.test.db.begin().await.unwrap();
    for ordinal in 1..10_000 {
        let id = FileId::next(T0);
        let key = first.storage_key.replace(&first.id.to_string(), &id.to_string());
        let spans = Vec::new();
        let file = MediaFile { id, ordinal, storage_key: key, spans, ..first.clone() };
        Db::insert_media_file(&mut tx, &file).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(house.round(0).await.unwrap(), 10_000);
    assert_eq!(house.test.db.expired_media_files(i64::MAX, None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_clock_that_leaps_forward_deletes_nothing_until_it_is_confirmed() {
    static LEAPING: AtomicI64 = AtomicI64::new(T0);
    fn leaping() -> i64 {
        LEAPING.load(Ordering::SeqCst)
    }
    for test in databases().await {
        LEAPING.store(T0, Ordering::SeqCst);
        let mut house = house_at(test, leaping);
        let file = house.stored("a", Container::Mp4, T0 + 30 * DAY_MS).await;
        assert_eq!(house.round(0).await.unwrap(), 0);
        LEAPING.store(T0 + 400 * DAY_MS, Ordering::SeqCst);
        assert_eq!(house.round(2000).await.unwrap(), 0);
        let row = house.test.db.expiry_clock("node").await.unwrap().unwrap();
        let leapt_ms = T0 + 400 * DAY_MS;
        assert_eq!(row, ExpiryClock { trusted_ms: T0, paused_since_ms: leapt_ms });
        // A restart changes nothing about that.
        house.memory = Memory::default();
        assert_eq!(house.round(0).await.unwrap(), 0);
        assert_eq!(house.left(&file).await, 1);
        // What is stored by a clock that is behind counts from what was believed.
        let mut tx = house.test.db.begin().await.unwrap();
        let from = Db::storage_time_from_ms(&mut tx, "node", 5).await.unwrap();
        let ahead = Db::storage_time_from_ms(&mut tx, "node", T0 + 7).await.unwrap();
        let unknown = Db::storage_time_from_ms(&mut tx, "other", 5).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!((from, ahead, unknown), (T0, T0 + 7, 5));
        // The operator says that it is right.
        let confirmed = ExpiryClock { trusted_ms: leapt_ms, paused_since_ms: 0 };
        house.test.db.set_expiry_clock("node", confirmed).await.unwrap();
        assert_eq!(house.round(4000).await.unwrap(), 1);
        assert_eq!(house.left(&file).await, 0);
    }
}

/// A machine that begins with the time of last week and is put right while it runs.
#[tokio::test]
async fn what_was_stored_before_the_clock_was_put_right_does_not_expire_young() {
    for test in databases().await {
        NOW.store(T0, Ordering::SeqCst);
        let mut house = house(test);
        assert_eq!(house.round(0).await.unwrap(), 0);
        let earlier = house.stored("a", Container::Mp4, now() + DAY_MS).await;
        let young = house.stored("b", Container::Mp4, now() + 2000 + DAY_MS).await;
        let announce = async |file: &MediaFile, at_ms| {
            let mut tx = house.test.db.begin().await.unwrap();
            Db::announce_media_file(&mut tx, file.id, 0, at_ms).await.unwrap();
            tx.commit().await.unwrap();
        };
        announce(&earlier, T0 - DAY_MS).await;
        announce(&young, T0 + 2000).await;

        NOW.store(T0 + 5000 + 6 * DAY_MS, Ordering::SeqCst);
        assert_eq!(house.round(5000).await.unwrap(), 0, "the clock is in doubt");
        let clock = ExpiryClock { trusted_ms: now(), paused_since_ms: 0 };
        house.test.db.set_expiry_clock("node", clock).await.unwrap();
        NOW.fetch_add(2000, Ordering::SeqCst);
        assert_eq!(house.round(7000).await.unwrap(), 1);
        assert_eq!(house.left(&earlier).await, 0, "not known to be young");
        assert_eq!(house.left(&young).await, 1);

        NOW.fetch_add(DAY_MS, Ordering::SeqCst);
        assert_eq!(house.round(7000 + DAY_MS).await.unwrap(), 1);
        assert_eq!(house.left(&young).await, 0);
    }
}

/// The same, but the clock is put right while the server is off.
#[tokio::test]
async fn a_clock_put_right_while_the_server_was_off_makes_nothing_old() {
    for boot in ["boot", "another"] {
        NOW.store(T0, Ordering::SeqCst);
        let mut house = house(sqlite().await);
        assert_eq!(house.round(0).await.unwrap(), 0);
        let young = house.stored("b", Container::Mp4, now() + 2000 + DAY_MS).await;
        let mut tx = house.test.db.begin().await.unwrap();
        Db::announce_media_file(&mut tx, young.id, 0, T0 + 2000).await.unwrap();
        tx.commit().await.unwrap();
        NOW.fetch_add(4000, Ordering::SeqCst);
        assert_eq!(house.round(4000).await.unwrap(), 0);

        // Another process, six days later by the clock and five seconds by the machine.
        house.memory = Memory::default();
        house.expiry.boot.id = boot.to_owned();
        NOW.store(T0 + 9000 + 6 * DAY_MS, Ordering::SeqCst);
        let removed = usize::from(boot != "boot");
        assert_eq!(house.round(9000).await.unwrap(), removed, "{boot}: six days may be true");
        NOW.fetch_add(DAY_MS, Ordering::SeqCst);
        assert_eq!(house.round(9000 + DAY_MS).await.unwrap(), 1 - removed);
    }
}
