//! Delivery in this process: a store that refuses for an hour of a clock of the test's own, and what
//! is damaged meanwhile.

mod given_up;
mod progress;
mod together;

use std::{
    collections::HashMap,
    io,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{
    project::tests::{HLS, METADATA, Place, Push, WALL_MS, span},
    workers::LEASE_MS,
    *,
};
use crate::{
    db::{
        callback::testing::{TestDb, media_file, receiver, sqlite},
        media_file::Claim,
    },
    domain::{
        callback_rule::CallbackRule,
        callback_template::CallbackTemplate,
        container::Container,
        ids::{FileId, RecordingId},
        recording::{Recording, Span},
    },
    storage::{LocalStore, failing::FailingStore},
};

const HOUR_MS: i64 = 3_600_000;
/// Of the injected clock.
const STEP_MS: i64 = 1000;
const PART: u64 = 16 << 10;

/// Only the test of the outage looks at it.
static NOW: AtomicI64 = AtomicI64::new(WALL_MS);

fn injected_now() -> i64 {
    NOW.load(Ordering::SeqCst)
}

pub(super) struct House {
    pub(super) test: TestDb,
    pub(super) place: Place,
    store: FailingStore,
    pub(super) delivery: Delivery,
    pub(super) runtime: tokio::runtime::Runtime,
    _dir: TempDir,
}

impl House {
    pub(super) fn new(now_ms: fn() -> i64) -> Self {
        let dir = TempDir::new().unwrap();
        let store = FailingStore::new(Arc::new(LocalStore::open(dir.path()).unwrap()));
        let place = Place::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let test = runtime.block_on(sqlite());
        let path = media_file("any", crate::domain::ids::SessionId::new(0), 0).path;
        let mut snapshot = Snapshot::default();
        snapshot.callback_rules.push(CallbackRule {
            domain: path.domain,
            app: String::new(),
            template_id: 1,
            created_ms: 0,
            updated_ms: 0,
        });
        let url = receiver("http://127.0.0.1:9/");
        let template = CallbackTemplate { id: 1, record_url: url, ..CallbackTemplate::default() };
        snapshot.callback_templates.insert(1, template);
        let settings = Settings {
            node_id: "node".to_owned(),
            app_id: 1,
            public_url: "http://localhost".to_owned(),
            utc_offset_s: 0,
            hls: HLS,
            part_size: PART,
            workers: 2,
        };
        let delivery = Delivery::new(
            settings,
            test.db.clone(),
            place.journal.clone(),
            Arc::new(store.clone()),
            Arc::new(ArcSwap::from_pointee(snapshot)),
            now_ms,
        );
        Self { test, place, store, delivery, runtime, _dir: dir }
    }

    /// The row of an ended file of a push.
    pub(super) fn ended(&self, stream: &str, container: Container, push: &Push) -> FileId {
        self.ended_with(stream, container, span(push))
    }

    /// The same of a stretch.
    fn ended_with(&self, stream: &str, container: Container, span: Span) -> FileId {
        let mut file = media_file(stream, span.session, WALL_MS);
        file.container = container;
        file.spans = vec![span];
        file.state = MediaFileState::Ended;
        file.facts.end_ms = WALL_MS;
        let recording = Recording {
            id: RecordingId::new(WALL_MS),
            session_id: file.session_id,
            origin: file.origin.clone(),
            container,
            template: crate::domain::plan::default_profile(container),
            started_ms: WALL_MS,
            resume_window_s: 0,
        };
        file.recording = recording.id;
        self.runtime.block_on(async {
            sqlx::query(
                "INSERT INTO session (id, node_id, domain, app, stream, body, started_ms, ended_ms, \
                 end_reason, has_journal) VALUES ($1, 'node', '', '', '', '', 0, 1, 'network', 1) \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(span.session.to_string())
            .execute(self.test.db.pool())
            .await
            .unwrap();
            let mut tx = self.test.db.begin().await.unwrap();
            Db::insert_recording(&mut tx, &recording, "node", &file.spans[0]).await.unwrap();
            Db::insert_media_file(&mut tx, &file).await.unwrap();
            tx.commit().await.unwrap();
        });
        file.id
    }

    async fn set_state(&self, id: FileId, state: &str) {
        let set = sqlx::query("UPDATE media_file SET state = $2 WHERE id = $1");
        set.bind(id.to_string()).bind(state).execute(self.test.db.pool()).await.unwrap();
    }

    /// Makes what can be made of a file while it grows, then ends it.
    fn grow(&self, id: FileId) {
        self.runtime.block_on(async {
            self.set_state(id, "recording").await;
            let mut before = usize::MAX;
            while std::mem::replace(&mut before, self.store.count("put_part")) != before {
                self.delivery.go_ahead(super::uploads::Due { id, decided: None }).await;
            }
            self.set_state(id, "ended").await;
        });
    }

    /// Takes what is due one turn further; which file that was.
    pub(super) fn turn(&self) -> Option<FileId> {
        self.runtime.block_on(async {
            let now_ms = (self.delivery.now_ms)();
            let claimed = self
                .test
                .db
                .claim_media_file(Claim::Oldest, "node", "test", now_ms, LEASE_MS)
                .await;
            let (file, fence) = claimed.unwrap()?;
            let id = file.id;
            self.delivery.handle(file, fence, &CancellationToken::new()).await;
            Some(id)
        })
    }

    pub(super) fn state(&self, id: FileId) -> MediaFileState {
        self.runtime.block_on(self.test.db.media_file(id)).unwrap().unwrap().state
    }

    /// Events 100 in the outbox.
    fn announced(&self) -> i64 {
        self.runtime.block_on(async {
            let count = sqlx::query_scalar("SELECT COUNT(*) FROM callback WHERE event_type = 100");
            count.fetch_one(self.test.db.pool()).await.unwrap()
        })
    }

    fn assert_no_upload_is_open(&self) {
        assert_eq!(self.runtime.block_on(self.store.list_uploads()).unwrap(), []);
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Wrong credentials, for an hour and a half: nothing is given up, the pauses grow to a minute, an
/// operator hears of each file once an hour, and everything is stored when the store takes it again.
#[test]
fn a_store_that_refuses_for_hours_is_asked_again_until_it_takes_everything() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let house = House::new(injected_now);
    let small = house.place.push(WALL_MS, 0, METADATA);
    let large = house.place.push_heavy(WALL_MS, 60, 4000);
    let files = [
        house.ended("small", Container::Mp4, &small),
        house.ended("small", Container::Flv, &small),
        house.ended("small", Container::Hls, &small),
        house.ended("large", Container::Mp4, &large),
    ];
    // It goes wrong when an upload is under way.
    while house.store.count("put_part") < 2 {
        assert!(house.turn().is_some());
    }
    let before = house.announced();
    house.store.refuse("");
    let mut tries: HashMap<FileId, Vec<i64>> = HashMap::new();
    let end_ms = WALL_MS + 3 * HOUR_MS / 2;
    while injected_now() < end_ms {
        match house.turn() {
            Some(id) => tries.entry(id).or_default().push(injected_now()),
            None => _ = NOW.fetch_add(STEP_MS, Ordering::SeqCst),
        }
    }
    assert_eq!(house.announced(), before);
    assert!(tries.contains_key(&files[3]));
    for (id, times) in &tries {
        assert_eq!(house.state(*id), MediaFileState::Ended, "not given up");
        let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!((2000..=2000 + STEP_MS).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses.iter().all(|pause| (2000..=60_000 + STEP_MS).contains(pause)), "{pauses:?}");
        assert!(pauses.is_sorted_by(|a, b| *b >= a - STEP_MS), "{pauses:?}");
        assert!(pauses.iter().rev().take(60).all(|pause| *pause >= 60_000), "{pauses:?}");
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let told = text.lines().filter(|line| line.contains("could not be stored")).count();
    assert_eq!(told, 2 * tries.len(), "{text}");
    assert_eq!(text.lines().count(), told, "{text}");

    house.store.accept();
    while injected_now() < end_ms + 70_000 {
        if house.turn().is_none() {
            NOW.fetch_add(STEP_MS, Ordering::SeqCst);
        }
    }
    assert!(files.iter().all(|id| house.state(*id) == MediaFileState::Stored));
    assert_eq!(house.announced(), 4);
    house.assert_no_upload_is_open();
}

/// The first bytes of the body are read when it begins, and once more for the first parts at its end.
#[test]
fn what_has_rotted_when_the_first_parts_are_made_is_told() {
    for container in [Container::Mp4, Container::Flv] {
        let house = House::new(|| WALL_MS);
        let push = house.place.push_heavy(WALL_MS, 600, 10_000);
        let id = house.ended("rots", container, &push);
        house.grow(id);
        assert!(house.store.count("put_part") > 2);
        let folder = std::fs::read_dir(house.place.journal.path(push.session)).unwrap();
        let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let second = |data: &[u8]| data.windows(400).position(|bytes| bytes == [1; 400]);
        let found = paths.iter().find_map(|path| {
            let data = std::fs::read(path).unwrap();
            second(&data).map(|at| (path, data, at))
        });
        let (path, mut data, at) = found.unwrap();
        data[at + 200] ^= 0x10;
        std::fs::write(path, data).unwrap();
        while house.turn().is_some() {}
        assert_eq!(house.state(id), MediaFileState::Stored);
        let summary = house.test.db.media_file_verification(id);
        let summary = house.runtime.block_on(summary).unwrap().unwrap();
        assert_eq!(summary.damaged.len(), 1, "{container}: {:?}", summary.irregularities);
    }
}

/// A step at an HLS file that was dropped has left an upload which only the row knows of.
#[test]
fn an_object_on_its_way_when_a_step_was_dropped_leaves_no_upload() {
    let house = House::new(|| WALL_MS);
    let push = house.place.push_heavy(WALL_MS, 60, 10_000);
    let id = house.ended("dropped", Container::Hls, &push);
    house.runtime.block_on(async {
        house.set_state(id, "recording").await;
        let begun = async {
            while house.store.count("put_part") < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = house.delivery.go_ahead(super::uploads::Due { id, decided: None }) => panic!("it is over"),
            () = begun => {}
        }
        assert_eq!(house.store.list_uploads().await.unwrap().len(), 1);
        house.set_state(id, "ended").await;
    });
    while house.turn().is_some() {}
    assert_eq!(house.state(id), MediaFileState::Stored);
    house.assert_no_upload_is_open();
}

/// The whole would be as much longer as its longest time is.
#[test]
fn a_clock_that_stands_still_makes_no_part_of_gigabytes() {
    let house = House::new(|| WALL_MS);
    let push = house.place.push_still(WALL_MS, 200, 600_000);
    let id = house.ended("still", Container::Flv, &push);
    house.grow(id);
    let upload = house.runtime.block_on(house.test.db.media_upload(id)).unwrap().unwrap();
    assert!(upload.part_size <= 128 << 20, "parts of {} MiB", upload.part_size >> 20);
    while house.turn().is_some() {}
    assert_eq!(house.state(id), MediaFileState::Stored);
}

/// Of what recovery has put aside nobody knows that it was nothing.
#[test]
fn a_journal_of_which_all_was_put_aside_is_not_empty() {
    for container in [Container::Mp4, Container::Flv, Container::Hls] {
        let house = House::new(|| WALL_MS);
        let push = house.place.push_heavy(WALL_MS, 24, 50);
        let id = house.ended("spoilt", container, &push);
        if container == Container::Hls {
            house.grow(id);
            // Another process.
            house.delivery.uploads.forget(id);
        }
        let stored = house.store.count("put");
        let folder = house.place.journal.path(push.session);
        let path = folder.join("00000001.flv");
        let mut data = std::fs::read(&path).unwrap();
        let place = |wanted: &[u8]| data.windows(wanted.len()).position(|bytes| bytes == wanted);
        let (begin, end) = (place(&[0x17, 1, 0, 0, 0]).unwrap() - 11, place(&[3; 45]).unwrap());
        data[begin..end].fill(0);
        std::fs::write(&path, data).unwrap();
        std::fs::remove_file(path.with_extension("idx")).unwrap();
        while house.turn().is_some() {}
        assert!(
            folder.join("00000001.flv.damaged").exists() && !folder.join("00000002.flv").exists()
        );
        if container != Container::Hls {
            assert_eq!(house.state(id), MediaFileState::Failed, "{container}");
            continue;
        }
        // The store had its first segments.
        assert!(stored > 0);
        assert_eq!((house.state(id), house.store.count("delete")), (MediaFileState::Stored, 0));
        let file = house.runtime.block_on(house.test.db.media_file(id)).unwrap().unwrap();
        assert_eq!((file.facts.duration_ms, file.facts.objects), (20_000, 3));
    }
}

/// Only the last index says whether a journal can be read.
#[test]
fn an_index_in_the_middle_that_is_gone_is_made_again() {
    static NOW: AtomicI64 = AtomicI64::new(WALL_MS);
    for is_gone in [true, false] {
        let house = House::new(|| NOW.fetch_add(STEP_MS, Ordering::SeqCst));
        let push = house.place.push_heavy(WALL_MS, 24, 1000);
        let id = house.ended("indexes", Container::Mp4, &push);
        let folder = house.place.journal.path(push.session);
        assert!(folder.join("00000004.idx").exists());
        let index = folder.join("00000002.idx");
        match is_gone {
            true => std::fs::remove_file(index).unwrap(),
            false => std::fs::write(index, b"rot").unwrap(),
        }
        (0..10).for_each(|_| _ = house.turn());
        let file = house.runtime.block_on(house.test.db.media_file(id)).unwrap().unwrap();
        assert_eq!(file.state, MediaFileState::Stored, "{}", file.error);
    }
}
