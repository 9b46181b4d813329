//! What the server wires between a publisher and the store, without sockets: journal, follower,
//! delivery, over SQLite and either store. Nobody takes the events from the outbox.

use std::{fs, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use liverec::{
    db::Db,
    delivery::{Delivery, HlsSettings, Settings},
    domain::{
        callback_rule::CallbackRule,
        callback_template::CallbackTemplate,
        container::Container,
        ids::{DecimalId, FileId, RecordingId, SessionId},
        journal_note::{JournalHead, Note},
        media_file::MediaFileState,
        record_template::{RecordParam, RecordTemplate},
        recording::{Origin, Recording},
        session::{EndReason, Session},
        snapshot::Snapshot,
        stream::{AppName, DomainName, StreamName, StreamPath},
    },
    journal::{self, Journal, Writer},
    media::hls::SegmentType,
    record::{
        follow::{Follow, Shared},
        turns::Turns,
    },
    storage::{LocalStore, ObjectStore, S3Settings, S3Store},
};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::synth::Synth;
use crate::support::s3::{ACCESS_KEY_ID, BUCKET, SECRET_ACCESS_KEY};

const NODE: &str = "ready";
/// Longer than any file here: one that is cut by RecordInterval ends in the same way.
const RECORD_INTERVAL_S: i64 = 12 * 3600;
/// Workers of the server.
pub const WORKERS: usize = 2;

pub fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// The rooms of a server.
pub struct Node {
    pub db: Db,
    journal: Journal,
    shared: Arc<Shared>,
    turns: Arc<Turns>,
    tasks: JoinSet<()>,
    token: CancellationToken,
}

/// A publish whose file grows.
pub struct Publish {
    writer: Writer,
    synth: Synth,
    base_ms: i64,
    session: SessionId,
    pub file: FileId,
}

impl Node {
    /// Starts over an empty folder; `endpoint` names an S3 server, without it products go into the
    /// folder too.
    pub async fn start(folder: &Path, endpoint: Option<&str>, part_size: u64) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = folder.join("liverec.db");
        fs::File::create(&database).unwrap();
        let db = Db::connect(&format!("sqlite://{}", database.display())).await.unwrap();
        let journal = Journal::open(journal::Settings {
            root: folder.join("journal"),
            sync_interval: Duration::from_secs(1),
            roll_bytes: 32 << 20,
        })
        .unwrap();
        let store = store(folder, endpoint);
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot()));
        let shared = Arc::new(Shared {
            db: db.clone(),
            journal: journal.clone(),
            snapshot: snapshot.clone(),
            app_id: 1,
            utc_offset_s: 0,
            unclaimed_max_bytes: 64 << 20,
            now_ms,
        });
        let settings = Settings {
            node_id: NODE.to_owned(),
            app_id: 1,
            public_url: "http://127.0.0.1".to_owned(),
            utc_offset_s: 0,
            hls: HlsSettings {
                segment_ms: 10_000,
                segment_type: SegmentType::Ts,
                live_playlist: false,
            },
            part_size,
            workers: WORKERS,
        };
        let delivery =
            Delivery::new(settings, db.clone(), journal.clone(), store, snapshot, now_ms);
        let (mut tasks, token) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(delivery.run(token.clone()));
        let turns = Arc::new(Turns::new());
        turns.all_found();
        Self { db, journal, shared, turns, tasks, token }
    }

    /// Begins a publish that is recorded into `container` and began `age_ms` ago.
    pub async fn publish(
        &mut self,
        container: Container,
        name: &str,
        age_ms: i64,
        merge: u64,
    ) -> Publish {
        let base_ms = now_ms() - age_ms;
        let session = Session {
            id: SessionId::new(base_ms),
            node_id: NODE.to_owned(),
            sequence: DecimalId::next(base_ms),
            path: StreamPath {
                domain: DomainName::parse("push.test").unwrap(),
                app: AppName::parse("live").unwrap(),
                stream: StreamName::parse(name).unwrap(),
            },
            stream_param: String::new(),
            user_ip: "127.0.0.1".to_owned(),
            node_ip: "127.0.0.1".to_owned(),
            started_ms: base_ms,
            signed: true,
        };
        let head = serde_json::to_string(&JournalHead { session: session.clone() }).unwrap();
        let mut writer = self.journal.create(session.id, head, base_ms).await.unwrap();
        let note = Note::Attach { recording: Box::new(recording(container, base_ms)), from: 0 };
        writer.note(&note.to_json());
        for tag in Synth::head() {
            writer.push(&tag, base_ms);
        }
        writer.flush().await.unwrap();
        let progress = writer.progress();
        let follow = Follow {
            shared: self.shared.clone(),
            turn: self.turns.enter(&session, Some(progress.clone())),
            session: session.clone(),
            progress,
        };
        self.tasks.spawn(follow.run(CancellationToken::new()));
        let file = loop {
            let files = self.db.growing_media_files(NODE).await.unwrap();
            let ours = |file: &&liverec::db::media_file::GrowingMedia| {
                file.spans.iter().any(|span| span.session == session.id)
            };
            if let Some(file) = files.iter().find(ours) {
                break file.id;
            }
            sleep(Duration::from_millis(20)).await;
        };
        Publish { writer, synth: Synth::new(merge), base_ms, session: session.id, file }
    }

    /// Waits until everything written of these files is known to delivery and no part is due.
    pub async fn wait_caught_up(&self, publishes: &[Publish]) {
        for publish in publishes {
            let written = publish.writer.pushed().written;
            while self.journal.decided(publish.session).is_none_or(|decided| decided < written) {
                sleep(Duration::from_millis(20)).await;
            }
        }
        // It is looked for what has grown once a second.
        let (mut parts, mut still) = (usize::MAX, 0);
        while still < 3 {
            sleep(Duration::from_millis(700)).await;
            let mut now = 0;
            for publish in publishes {
                now += self.db.media_parts(publish.file, "main").await.unwrap().len();
            }
            still = if now == parts { still + 1 } else { 0 };
            parts = now;
        }
    }

    /// Waits until the row of a file says that it is stored; event 100 is committed with it.
    pub async fn wait_stored(&self, file: FileId) {
        loop {
            let row = self.db.media_file(file).await.unwrap().unwrap();
            if row.state == MediaFileState::Stored {
                return;
            }
            assert!(
                matches!(row.state, MediaFileState::Recording | MediaFileState::Ended),
                "{row:?}"
            );
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Events in the outbox.
    pub async fn events(&self) -> u64 {
        self.db.count_callbacks().await.unwrap().pending
    }

    /// Frees what the journal of a publish takes.
    pub async fn release(&self, session: SessionId) {
        let journal = self.journal.clone();
        self.journal.run_read(move || journal.release(session, None)).await.unwrap();
    }

    pub async fn stop(mut self) {
        self.token.cancel();
        while let Some(joined) = self.tasks.join_next().await {
            joined.unwrap();
        }
        self.db.close().await;
    }
}

impl Publish {
    /// Writes on to `to_ms` of media.
    pub async fn write(&mut self, to_ms: i64) {
        self.synth.write(&mut self.writer, self.base_ms, to_ms).await;
    }

    /// Hands what was pushed to the disk.
    pub async fn flush(&mut self) {
        self.writer.flush().await.unwrap();
    }

    /// The last byte has come.
    pub async fn close(self) -> SessionId {
        let note =
            Note::End { reason: EndReason::Unpublished, ended_ms: now_ms(), arrived_ms: None };
        self.writer.close(&note.to_json()).await.unwrap();
        self.session
    }
}

/// The S3 server at `endpoint`; without it, a directory in `folder`.
pub fn store(folder: &Path, endpoint: Option<&str>) -> Arc<dyn ObjectStore> {
    match endpoint {
        None => Arc::new(LocalStore::open(&folder.join("vod")).unwrap()),
        Some(endpoint) => Arc::new(
            S3Store::new(S3Settings {
                endpoint: Some(endpoint.to_owned()),
                region: "us-east-1".to_owned(),
                bucket: BUCKET.to_owned(),
                prefix: "rec/".to_owned(),
                access_key_id: ACCESS_KEY_ID.to_owned(),
                secret_access_key: SECRET_ACCESS_KEY.to_owned(),
                path_style: true,
                timeout: Duration::from_secs(60),
            })
            .unwrap(),
        ),
    }
}

fn recording(container: Container, started_ms: i64) -> Recording {
    let enabled =
        RecordParam { enable: true, record_interval: RECORD_INTERVAL_S, ..Default::default() };
    let mut template = RecordTemplate { id: 1, ..Default::default() };
    *match container {
        Container::Flv => &mut template.flv,
        Container::Hls => &mut template.hls,
        Container::Mp4 => &mut template.mp4,
        Container::Aac => &mut template.aac,
    } = enabled;
    Recording {
        id: RecordingId::new(started_ms),
        session_id: DecimalId::next(started_ms),
        origin: Origin::Rule,
        container,
        template,
        started_ms,
        resume_window_s: 0,
    }
}

/// Event 100 has an address, no other has.
fn snapshot() -> Snapshot {
    let template = CallbackTemplate {
        id: 1,
        record_url: "http://127.0.0.1:9/record".to_owned(),
        ..CallbackTemplate::default()
    };
    let rule = CallbackRule {
        domain: DomainName::parse("push.test").unwrap(),
        app: String::new(),
        template_id: 1,
        created_ms: 0,
        updated_ms: 0,
    };
    Snapshot {
        callback_templates: [(1, template)].into(),
        callback_rules: vec![rule],
        ..Snapshot::default()
    }
}
