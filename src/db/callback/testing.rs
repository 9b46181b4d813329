//! Databases and rows for tests: SQLite always, PostgreSQL too where `LIVEREC_TEST_POSTGRES_URL`
//! names a server on which databases may be created.

use sqlx::Connection;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    db::Db,
    domain::{
        callback::{Event, EventType, NewCallback},
        callback_template::CallbackTemplate,
        container::Container,
        ids::{DecimalId, RecordingId, SessionId},
        media_file::{MediaFacts, MediaFile, MediaFileState},
        recording::{Origin, Span},
        stream::{AppName, DomainName, StreamName, StreamPath},
    },
};

/// A fresh, migrated database; the directory lives as long as it.
pub struct TestDb {
    pub db: Db,
    pub url: String,
    _dir: Option<TempDir>,
}

/// Every database that can be tested here.
pub async fn databases() -> Vec<TestDb> {
    let mut all = vec![sqlite().await];
    if let Ok(server) = std::env::var("LIVEREC_TEST_POSTGRES_URL") {
        let name = format!("liverec_{}", Uuid::now_v7().simple());
        let mut admin = sqlx::postgres::PgConnection::connect(&server).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        let url = url.to_string();
        all.push(TestDb { db: Db::connect(&url).await.unwrap(), url, _dir: None });
    }
    all
}

/// A fresh SQLite database.
pub async fn sqlite() -> TestDb {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("test.db").display());
    TestDb { db: Db::connect(&url).await.unwrap(), url, _dir: Some(dir) }
}

pub fn path(stream: &str) -> StreamPath {
    StreamPath {
        domain: DomainName::parse("push.example.com").unwrap(),
        app: AppName::parse("live").unwrap(),
        stream: StreamName::parse(stream).unwrap(),
    }
}

/// What callbacks to a URL are claimed by.
pub fn receiver(url: &str) -> String {
    super::receiver_of(url)
}

/// An event of `stream` to `url`, its body being numbered by `n`.
pub fn callback(stream: &str, url: &str, key: &str, n: i64) -> NewCallback {
    let template = CallbackTemplate {
        record_url: url.to_owned(),
        key: key.to_owned(),
        ..CallbackTemplate::default()
    };
    let names = [("app", "push.example.com"), ("appname", "live"), ("stream_id", stream)];
    let mut body: serde_json::Map<_, _> =
        names.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    body.insert("n".to_owned(), n.into());
    let event = Event { event_type: EventType::RecordFile, path: path(stream), body };
    NewCallback::new(&template, event).unwrap()
}

/// Enqueues in a transaction of its own.
pub async fn enqueue(db: &Db, now_ms: i64, callbacks: &[NewCallback]) {
    let mut tx = db.begin().await.unwrap();
    Db::enqueue_callbacks(&mut tx, now_ms, callbacks).await.unwrap();
    tx.commit().await.unwrap();
    db.outbox_changed().notify_one();
}

/// A growing file of a new recording of `stream`, not in the database.
pub fn media_file(stream: &str, session: SessionId, created_ms: i64) -> MediaFile {
    MediaFile {
        id: DecimalId::next(created_ms),
        recording: RecordingId::new(0),
        ordinal: 0,
        node_id: "node".to_owned(),
        path: path(stream),
        container: Container::Mp4,
        origin: Origin::Rule,
        session_id: DecimalId(7),
        template_id: 1,
        sub_app_id: 1_250_000_000,
        stream_param: String::new(),
        spans: vec![Span { session, from: 100, to: None }],
        state: MediaFileState::Recording,
        error: String::new(),
        name: String::new(),
        cos_bucket_path: String::new(),
        utc_offset_s: 0,
        storage_key: String::new(),
        facts: MediaFacts { start_ms: created_ms, ..MediaFacts::default() },
        expire_ms: 0,
        storage_class: "STANDARD".to_owned(),
        class_id: 0,
        created_ms,
        updated_ms: created_ms,
    }
}

/// Writes the session and recording that a file's row refers to, where they are missing.
pub async fn insert_parents(db: &Db, file: &MediaFile) {
    for span in &file.spans {
        sqlx::query(
            "INSERT INTO session (id, node_id, domain, app, stream, body, started_ms, ended_ms, \
             end_reason, has_journal) VALUES ($1, '', '', '', '', '', 0, 0, '', 1) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(span.session.to_string())
        .execute(db.pool())
        .await
        .unwrap();
    }
    sqlx::query(
        "INSERT INTO recording (id, node_id, session_id, task_id, container, body, started_ms, \
         ended_ms, lease_owner, lease_until, fence) VALUES ($1, '', $2, '', '', '', 0, 0, '', 0, 0) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(file.recording.to_string())
    .bind(file.spans[0].session.to_string())
    .execute(db.pool())
    .await
    .unwrap();
}
