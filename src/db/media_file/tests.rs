//! Rows of media files on every database.

use super::*;
use crate::db::callback::testing::*;
use crate::domain::verification::{TrackEvidence, Verification};

mod search;

const NODE: &str = "node";
const NONE: i64 = i64::MAX;

async fn insert(db: &Db, file: &MediaFile) -> FileId {
    insert_parents(db, file).await;
    let mut tx = db.begin().await.unwrap();
    let id = Db::insert_media_file(&mut tx, file).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn end(db: &Db, id: FileId, to: Option<u64>, now_ms: i64) -> bool {
    let mut tx = db.begin().await.unwrap();
    let done = Db::end_media_file(&mut tx, id, to, now_ms, now_ms).await.unwrap();
    tx.commit().await.unwrap();
    done
}

async fn commit(db: &Db, file: &MediaFile, fence: Fence, now_ms: i64) -> Fenced {
    let mut tx = db.begin().await.unwrap();
    let done = Db::commit_stored_media_file(&mut tx, file, fence, now_ms).await.unwrap();
    tx.commit().await.unwrap();
    done
}

async fn claim(db: &Db, now_ms: i64) -> Option<(MediaFile, Fence)> {
    db.claim_media_file(Claim::Oldest, NODE, "w", now_ms, 100).await.unwrap()
}

/// Takes a file all the way to VOD storage.
async fn store(db: &Db, stream: &str, name: &str, now_ms: i64) -> MediaFile {
    let mut file = media_file(stream, SessionId::new(0), now_ms);
    insert(db, &file).await;
    end(db, file.id, Some(200), now_ms).await;
    let (claimed, fence) = claim(db, now_ms).await.unwrap();
    assert_eq!(claimed.id, file.id);
    file.name = name.to_owned();
    file.storage_key = format!("{stream}/f0.mp4");
    assert_eq!(commit(db, &file, fence, now_ms).await, Fenced::Done);
    file
}

#[tokio::test]
async fn a_row_comes_back_as_it_was_written_and_only_once_per_ordinal() {
    for test in databases().await {
        let db = &test.db;
        let mut file = media_file("录播", SessionId::new(0), 1000);
        file.origin = Origin::Task { task_id: "T".repeat(60) };
        file.stream_param = "a=1&b='; --".to_owned();
        file.facts.irregularities = vec!["x".to_owned()];
        file.spans.push(Span { session: SessionId::new(0), from: 7, to: Some(1 << 40) });
        assert_eq!(insert(db, &file).await, file.id);
        assert_eq!(db.media_file(file.id).await.unwrap().unwrap(), file);

        let again = MediaFile { id: DecimalId::next(2000), ..file.clone() };
        assert_eq!(insert(db, &again).await, file.id, "the id in the database counts");
        assert_eq!(db.media_file(again.id).await.unwrap(), None);
        let next = MediaFile { ordinal: 1, ..again };
        assert_eq!(insert(db, &next).await, next.id);

        let mut odd = media_file("odd", SessionId::new(0), 1);
        odd.stream_param = "a\0b".to_owned();
        insert(db, &odd).await;
        assert_eq!(db.media_file(odd.id).await.unwrap().unwrap().stream_param, "ab");
    }
}

#[tokio::test]
async fn spans_close_suspend_and_resume() {
    for test in databases().await {
        let db = &test.db;
        let mut file = media_file("a", SessionId::new(0), 1000);
        insert(db, &file).await;
        let second = Span { session: SessionId::new(0), from: 5, to: None };
        let parent = MediaFile { spans: vec![second], ..file.clone() };
        insert_parents(db, &parent).await;
        for _ in 0..2 {
            let mut tx = db.begin().await.unwrap();
            Db::suspend_media_file(&mut tx, file.id, file.spans[0].session, 300, 1500)
                .await
                .unwrap();
            Db::resume_media_file(&mut tx, file.id, &second).await.unwrap();
            tx.commit().await.unwrap();
        }
        assert!(end(db, file.id, Some(90), 2000).await);
        assert!(!end(db, file.id, Some(95), 3000).await, "ended is ended");
        file.spans[0].to = Some(300);
        file.spans.push(Span { to: Some(90), ..second });
        file.state = MediaFileState::Ended;
        file.facts.end_ms = 2000;
        file.updated_ms = 2000;
        assert_eq!(db.media_file(file.id).await.unwrap().unwrap(), file);
    }
}

#[tokio::test]
async fn work_is_claimed_in_order_of_ending_under_a_fenced_lease() {
    for test in databases().await {
        let db = &test.db;
        let files: Vec<_> = (0..3).map(|n| media_file("a", SessionId::new(0), 1000 + n)).collect();
        for file in &files {
            insert(db, file).await;
        }
        assert!(claim(db, NONE - 200).await.is_none(), "growing files are not claimed");
        end(db, files[1].id, Some(200), 2000).await;
        end(db, files[0].id, Some(200), 2001).await;
        assert_eq!(
            db.delivery_backlog(NODE).await.unwrap(),
            Backlog { files: 2, oldest_end_ms: 2000 }
        );
        assert!(
            db.claim_media_file(Claim::Oldest, "other", "w", 3000, 100).await.unwrap().is_none()
        );

        let (first, old) = claim(db, 3000).await.unwrap();
        assert_eq!((first.id, first.spans[0].to), (files[1].id, Some(200)));
        assert_eq!(claim(db, 3000).await.unwrap().0.id, files[0].id);
        assert!(claim(db, 3000).await.is_none());

        assert_eq!(db.renew_media_file(first.id, old, 3500).await.unwrap(), Fenced::Done);
        assert_ne!(claim(db, 3499).await.unwrap().0.id, first.id, "prolonged");
        let (again, new) = claim(db, 3500).await.unwrap();
        assert_eq!(again.id, first.id);
        assert_eq!(db.renew_media_file(first.id, old, 9999).await.unwrap(), Fenced::Lost);
        assert_eq!(db.postpone_media_file(first.id, old, 1, "", 1).await.unwrap(), Fenced::Lost);
        assert_eq!(commit(db, &first, old, 1).await, Fenced::Lost);
        assert_eq!(
            db.postpone_media_file(first.id, new, 5000, "no\0disk", 3600).await.unwrap(),
            Fenced::Done
        );
        let row = db.media_file(first.id).await.unwrap().unwrap();
        assert_eq!((row.state, row.error.as_str()), (MediaFileState::Ended, "nodisk"));

        assert_eq!(db.release_media_files_of(NODE).await.unwrap(), 1);
        let (released, fence) = claim(db, 3600).await.unwrap();
        assert_eq!(released.id, files[0].id);
        assert_eq!(db.release_media_file(released.id, fence).await.unwrap(), Fenced::Done);
        let (_, fence) = claim(db, 3600).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        let state = MediaFileState::Failed;
        let failed =
            Db::fail_media_file(&mut tx, released.id, fence, state, "opus", 3700).await.unwrap();
        assert_eq!(failed, Fenced::Done);
        tx.commit().await.unwrap();
        assert_eq!(claim(db, 5000).await.unwrap().0.id, first.id, "due again");
    }
}

#[tokio::test]
async fn concurrent_workers_share_the_work() {
    for test in databases().await {
        for n in 0..12 {
            let file = media_file("a", SessionId::new(0), 1000 + n);
            insert(&test.db, &file).await;
            end(&test.db, file.id, Some(1), 2000).await;
        }
        let worker = || async {
            let mut ids = Vec::new();
            while let Some((file, _)) = claim(&test.db, 2000).await {
                ids.push(file.id);
            }
            ids
        };
        let (a, b, c) = tokio::join!(worker(), worker(), worker());
        let mut ids = [a, b, c].concat();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 12);
    }
}

#[tokio::test]
async fn journals_are_needed_until_their_files_are_made() {
    for test in databases().await {
        let db = &test.db;
        let session = SessionId::new(0);
        let file = media_file("a", session, 1000);
        let mut later = media_file("a", session, 1001);
        later.spans[0].from = 50;
        insert(db, &file).await;
        insert(db, &later).await;
        let needs = |stored, failed| db.needs_of_session(session, stored, failed);
        assert_eq!(needs(NONE, NONE).await.unwrap(), Some(50));
        end(db, later.id, Some(60), 2000).await;
        let (claimed, fence) = claim(db, 2000).await.unwrap();
        assert_eq!(commit(db, &claimed, fence, 3000).await, Fenced::Done);
        assert_eq!(needs(NONE, NONE).await.unwrap(), Some(100));
        assert_eq!(needs(2999, NONE).await.unwrap(), Some(50), "kept after delivery");

        end(db, file.id, Some(200), 4000).await;
        let (_, fence) = claim(db, 4000).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        let state = MediaFileState::Failed;
        let done = Db::fail_media_file(&mut tx, file.id, fence, state, "e", 5000).await.unwrap();
        assert_eq!(done, Fenced::Done);
        tx.commit().await.unwrap();
        assert_eq!(needs(NONE, 5000).await.unwrap(), None);
        assert_eq!(needs(NONE, 4999).await.unwrap(), Some(100));
        assert_eq!(db.needs_of_session(SessionId::new(0), 0, 0).await.unwrap(), None);

        let counts = db.count_media_files().await.unwrap();
        assert_eq!(counts.iter().map(|(_, n)| n).sum::<u64>(), 2);
        assert!(counts.contains(&(MediaFileState::Stored, 1)));
        assert!(counts.contains(&(MediaFileState::Recording, 0)));
    }
}

#[tokio::test]
async fn a_verification_summary_is_written_with_the_commit() {
    for test in databases().await {
        let db = &test.db;
        let file = media_file("a", SessionId::new(0), 1000);
        insert(db, &file).await;
        assert_eq!(db.media_file_verification(file.id).await.unwrap(), None);
        for packets in [7, 8] {
            let track = TrackEvidence { packets, blocks: vec!["ab".repeat(32)], ..<_>::default() };
            let summary = Verification { version: 1, tracks: vec![track], ..<_>::default() };
            let mut tx = db.begin().await.unwrap();
            Db::set_media_file_verification(&mut tx, file.id, &summary).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(db.media_file_verification(file.id).await.unwrap(), Some(summary));
        }
    }
}

#[tokio::test]
async fn an_upload_is_noted_under_the_lease() {
    for test in databases().await {
        let db = &test.db;
        let file = media_file("a", SessionId::new(0), 1000);
        insert(db, &file).await;
        end(db, file.id, Some(200), 1500).await;
        let (_, fence) = claim(db, 1500).await.unwrap();
        assert_eq!(db.media_upload(file.id).await.unwrap(), Some(MediaUpload::default()));
        let upload = MediaUpload {
            projector: 3,
            upload_id: "u".to_owned(),
            part_size: 8 << 20,
            reserve_bytes: 1 << 20,
        };
        assert_eq!(db.set_media_upload(file.id, Fence(99), &upload).await.unwrap(), Fenced::Lost);
        assert_eq!(db.set_media_upload(file.id, fence, &upload).await.unwrap(), Fenced::Done);
        assert_eq!(db.media_upload(file.id).await.unwrap(), Some(upload));
    }
}

#[tokio::test]
async fn stray_uploads_are_due_until_they_are_forgotten() {
    for test in databases().await {
        let db = &test.db;
        let file = DecimalId(7);
        assert_eq!(db.due_stray_uploads(i64::MAX, 9).await.unwrap(), []);
        db.note_stray_upload(file, "a/f0.mp4", 1000, 6000).await.unwrap();
        db.note_stray_upload(file, "a/f1.mp4", 1000, 5000).await.unwrap();
        let keys = async |now_ms, limit| {
            let due = db.due_stray_uploads(now_ms, limit).await.unwrap();
            due.into_iter().map(|stray| stray.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(4999, 9).await, [""; 0]);
        assert_eq!(keys(6000, 9).await, ["a/f1.mp4", "a/f0.mp4"]);
        assert_eq!(keys(6000, 1).await, ["a/f1.mp4"]);
        assert_eq!(keys(999, 9).await.len(), 2, "the clock was set back");

        let stray = db.due_stray_uploads(6000, 1).await.unwrap().remove(0);
        assert_eq!((stray.file, stray.noted_ms), (file, 1000));
        db.defer_stray_upload(&stray, 6000, 12_000).await.unwrap();
        assert_eq!(keys(6000, 9).await, ["a/f0.mp4"]);
        assert_eq!(keys(12_000, 9).await, ["a/f0.mp4", "a/f1.mp4"]);

        // Noted anew meanwhile: what was seen before says nothing.
        db.note_stray_upload(file, "a/f1.mp4", 20_000, 25_000).await.unwrap();
        db.forget_stray_upload(&stray).await.unwrap();
        db.defer_stray_upload(&stray, 20_000, 90_000).await.unwrap();
        assert_eq!(keys(25_000, 9).await, ["a/f0.mp4", "a/f1.mp4"]);
        for stray in db.due_stray_uploads(25_000, 9).await.unwrap() {
            db.forget_stray_upload(&stray).await.unwrap();
        }
        assert_eq!(keys(25_000, 9).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_small_file_is_taken_before_older_large_ones() {
    for test in databases().await {
        let db = &test.db;
        let mut ids = Vec::new();
        for (number, bytes) in [(0, 1000), (1, 500), (2, 400)] {
            let mut file = media_file("a", SessionId::new(0), 1000);
            file.ordinal = number;
            insert(db, &file).await;
            let from = file.spans[0].from;
            end(db, file.id, Some(from + bytes), 1000 + number).await;
            ids.push(file.id);
        }
        let mut taken = Vec::new();
        while let Some((file, _)) =
            db.claim_media_file(Claim::Smallest, NODE, "w", 5000, 100).await.unwrap()
        {
            taken.push(file.id);
        }
        assert_eq!(taken, [ids[2], ids[1], ids[0]]);
    }
}

#[tokio::test]
async fn a_file_of_a_new_push_is_taken_before_what_older_pushes_left() {
    for test in databases().await {
        let db = &test.db;
        let mut ids = Vec::new();
        // The third is too large; the last is of the newest push and has ended last.
        for (pushed_ms, bytes, ended_ms) in
            [(2000, 500, 4001), (1000, 500, 4002), (3000, 1000, 4003), (3000, 500, 4004)]
        {
            let file = media_file("a", SessionId::new(pushed_ms), pushed_ms);
            insert(db, &file).await;
            let from = file.spans[0].from;
            end(db, file.id, Some(from + bytes), ended_ms).await;
            ids.push(file.id);
        }
        let mut taken = Vec::new();
        while let Some((file, _)) =
            db.claim_media_file(Claim::Newest(500), NODE, "w", 5000, 100).await.unwrap()
        {
            taken.push(file.id);
        }
        assert_eq!(taken, [ids[3], ids[0], ids[1]]);
        assert_eq!(claim(db, 5000).await.unwrap().0.id, ids[2]);
    }
}
