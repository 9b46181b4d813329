//! Suspended recordings on every database.

use super::*;
use crate::{
    db::callback::testing::*,
    domain::{
        container::Container,
        ids::DecimalId,
        media_file::{MediaFile, MediaFileState},
        plan::default_profile,
        recording::Origin,
        session::{EndReason, Session},
    },
};

const NODE: &str = "node";

async fn session(db: &Db, stream: &str, started_ms: i64, ended_ms: i64) -> SessionId {
    let session = Session {
        id: SessionId::new(started_ms),
        node_id: NODE.to_owned(),
        sequence: DecimalId(1),
        path: path(stream),
        stream_param: String::new(),
        user_ip: String::new(),
        node_ip: String::new(),
        started_ms,
        signed: false,
    };
    let mut tx = db.begin().await.unwrap();
    Db::insert_session(&mut tx, &session).await.unwrap();
    if ended_ms > 0 {
        Db::end_session(&mut tx, session.id, ended_ms, EndReason::Closed, (0, 0)).await.unwrap();
    }
    tx.commit().await.unwrap();
    session.id
}

/// A recording of the session with its first file growing in it.
async fn begin(db: &Db, stream: &str, session: SessionId) -> (Recording, FileId) {
    let recording = Recording {
        id: RecordingId::new(1000),
        session_id: DecimalId(7),
        origin: Origin::Rule,
        container: Container::Mp4,
        template: default_profile(Container::Mp4),
        started_ms: 1000,
        resume_window_s: 30,
    };
    let span = Span { session, from: 0, to: None };
    let mut file = media_file(stream, session, 1000);
    file.recording = recording.id;
    file.spans = vec![span];
    let mut tx = db.begin().await.unwrap();
    assert!(Db::insert_recording(&mut tx, &recording, NODE, &span).await.unwrap());
    Db::insert_media_file(&mut tx, &file).await.unwrap();
    tx.commit().await.unwrap();
    (recording, file.id)
}

async fn suspend(db: &Db, id: RecordingId, file: FileId, session: SessionId, ms: i64) -> bool {
    let mut tx = db.begin().await.unwrap();
    let is_new = Db::suspend_recording(&mut tx, id, session, 300, ms).await.unwrap();
    Db::suspend_media_file(&mut tx, file, session, 300, ms).await.unwrap();
    tx.commit().await.unwrap();
    is_new
}

async fn resume(
    db: &Db,
    found: &Suspended,
    file: FileId,
    attached: RecordingId,
    span: Span,
) -> bool {
    let mut tx = db.begin().await.unwrap();
    let is_ours = Db::resume_recording(&mut tx, found, file, attached, &span).await.unwrap();
    tx.commit().await.unwrap();
    is_ours
}

async fn end(db: &Db, found: &Suspended) -> bool {
    let mut tx = db.begin().await.unwrap();
    let is_new = Db::end_suspended_recording(&mut tx, found, 99_000).await.unwrap();
    tx.commit().await.unwrap();
    is_new
}

async fn file(db: &Db, id: FileId) -> MediaFile {
    db.media_file(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_recording_goes_on_in_the_next_session() {
    for test in databases().await {
        let db = &test.db;
        let first = session(db, "a", 1000, 5000).await;
        let (recording, file_id) = begin(db, "a", first).await;
        assert_eq!(db.suspended_recordings(NODE, None).await.unwrap(), []);
        assert!(suspend(db, recording.id, file_id, first, 5000).await);
        assert!(!suspend(db, recording.id, file_id, first, 6000).await, "it is suspended already");

        let found = db.suspended_recordings(NODE, Some(&path("a"))).await.unwrap();
        let suspended = Suspended {
            recording: recording.clone(),
            path: path("a"),
            since_ms: 5000,
            last_session: first,
        };
        assert_eq!(found, std::slice::from_ref(&suspended));
        assert_eq!(db.suspended_recordings(NODE, None).await.unwrap(), found);
        assert_eq!(db.suspended_recordings(NODE, Some(&path("b"))).await.unwrap(), []);
        assert_eq!(db.suspended_recordings("other", None).await.unwrap(), []);
        let over = Attachment { attached: recording.id, running: None };
        assert_eq!(db.attachments(first).await.unwrap(), [over]);

        let second = session(db, "a", 9000, 0).await;
        let span = Span { session: second, from: 0, to: None };
        let attached = RecordingId::new(9000);
        assert!(resume(db, &suspended, file_id, attached, span).await);
        assert!(!resume(db, &suspended, file_id, attached, span).await, "taken");
        assert!(!end(db, &suspended).await, "it goes on");
        assert_eq!(db.suspended_recordings(NODE, None).await.unwrap(), []);
        let growing = GrowingFile {
            id: file_id,
            ordinal: 0,
            start_ms: 1000,
            stretches: vec![
                Stretch {
                    span: Span { session: first, from: 0, to: Some(300) },
                    started_ms: 1000,
                    ended_ms: 5000,
                },
                Stretch { span, started_ms: 9000, ended_ms: 0 },
            ],
        };
        assert_eq!(db.growing_file(recording.id).await.unwrap(), Some(growing.clone()));
        let running = Attachment { attached, running: Some((recording.clone(), growing)) };
        assert_eq!(db.attachments(second).await.unwrap(), [running]);

        // Suspended again: the newer suspension counts.
        assert!(suspend(db, recording.id, file_id, second, 12_000).await);
        assert!(!end(db, &suspended).await, "another suspension");
        let found = db.suspended_recordings(NODE, None).await.unwrap();
        assert_eq!((found[0].since_ms, found[0].last_session), (12_000, second));
        assert!(end(db, &found[0]).await && !end(db, &found[0]).await);
        let ended = file(db, file_id).await;
        assert_eq!((ended.state, ended.facts.end_ms), (MediaFileState::Ended, 12_000));
        assert_eq!(ended.spans.len(), 2);
        assert!(!resume(db, &found[0], file_id, attached, span).await, "it has ended");
    }
}

#[tokio::test]
async fn a_file_that_does_not_go_on_is_as_it_was_suspended() {
    for test in databases().await {
        let db = &test.db;
        let first = session(db, "a", 1000, 5000).await;
        let (recording, file_id) = begin(db, "a", first).await;
        suspend(db, recording.id, file_id, first, 5000).await;
        let found = db.suspended_recordings(NODE, None).await.unwrap().remove(0);
        let second = session(db, "a", 9000, 0).await;
        let span = Span { session: second, from: 0, to: None };
        resume(db, &found, file_id, RecordingId::new(1), span).await;
        for is_first in [true, false] {
            let mut tx = db.begin().await.unwrap();
            let is_new = Db::end_suspended_media_file(&mut tx, file_id, 9000).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(is_new, is_first);
        }
        let ended = file(db, file_id).await;
        assert_eq!((ended.state, ended.facts.end_ms), (MediaFileState::Ended, 5000));
        assert_eq!(ended.spans, [Span { session: first, from: 0, to: Some(300) }]);
        assert_eq!(db.growing_file(recording.id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn rows_of_before_there_were_windows_are_read() {
    for test in databases().await {
        let db = &test.db;
        let first = session(db, "a", 1000, 0).await;
        let (recording, _) = begin(db, "a", first).await;
        sqlx::query("UPDATE recording_span SET attached_id = ''").execute(db.pool()).await.unwrap();
        let attachments = db.attachments(first).await.unwrap();
        assert_eq!(attachments.len(), 1);
        assert_eq!(attachments[0].attached, recording.id);
        assert!(attachments[0].running.is_some());
        assert_eq!(db.complete_sessions(NODE).await.unwrap(), []);
        let done = session(db, "b", 1000, 2000).await;
        assert_eq!(db.complete_sessions(NODE).await.unwrap(), [done]);
        assert_eq!(db.complete_sessions("other").await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_disk_fails_a_recording_once_until_it_is_resumed() {
    use crate::domain::journal_note::{StallCause, StoreFailure};
    for test in databases().await {
        let db = &test.db;
        let first = session(db, "a", 1000, 5000).await;
        let (recording, file_id) = begin(db, "a", first).await;
        assert_eq!(db.failure_of_recording(recording.id).await.unwrap(), None);
        let failure = |lost_bytes| StoreFailure {
            cause: StallCause::DiskFull,
            lost_tags: lost_bytes / 10,
            lost_bytes,
        };
        // Told live, then with what it cost, then by a start that knows nothing.
        for (lost_bytes, is_new) in [(0, true), (70, false), (0, false)] {
            let mut tx = db.begin().await.unwrap();
            let told = Db::fail_recording(&mut tx, recording.id, 4000, &failure(lost_bytes)).await;
            assert_eq!(told.unwrap(), is_new, "{lost_bytes}");
            Db::remark_media_file(&mut tx, file_id, "7 tags are missing").await.unwrap();
            tx.commit().await.unwrap();
        }
        assert_eq!(db.failure_of_recording(recording.id).await.unwrap(), Some(failure(70)));
        let file = db.media_file(file_id).await.unwrap().unwrap();
        assert_eq!(file.facts.irregularities, ["7 tags are missing"]);

        assert!(suspend(db, recording.id, file_id, first, 5000).await);
        let suspended = db.suspended_recordings(NODE, None).await.unwrap().remove(0);
        let second = session(db, "a", 6000, 0).await;
        let span = Span { session: second, from: 0, to: None };
        let mut tx = db.begin().await.unwrap();
        let attached = RecordingId::new(6000);
        assert!(Db::resume_recording(&mut tx, &suspended, file_id, attached, &span).await.unwrap());
        assert!(Db::fail_recording(&mut tx, recording.id, 7000, &failure(0)).await.unwrap());
        tx.commit().await.unwrap();
    }
}
