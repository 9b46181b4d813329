//! A disk that refuses: nothing that was pushed is lost.

use super::{
    broken_disk::{BrokenDisk, Script},
    *,
};

/// Pushes a stream; before tag `nth` the disk is broken by `hurt`, which says after how many
/// failures it is whole again. It is the disk that counts: a thread that watches it could come too
/// late for a writer that tries only so often.
fn record(roll_bytes: u64, at: usize, hurt: impl Fn(&mut Script)) {
    let tags = stream();
    let disk = BrokenDisk::default();
    let place = Place::on(Arc::new(disk.clone()), roll_bytes);
    let (session, mut writer) = place.begin();
    let end = place.runtime.block_on(async {
        for (nth, tag) in tags.iter().enumerate() {
            if nth == at {
                disk.set(&hurt);
            }
            writer.push(tag, wall_of(nth));
            if nth % 2 == 1 {
                writer.flush().await.unwrap();
            }
            writer.maintain(Instant::now()).await.unwrap();
        }
        writer.close("{}").await.unwrap()
    });
    assert!(disk.failures() > 0, "the fault was not met at tag {at}");
    let mut reader = place.reader(session);
    assert_eq!(read_tags(&mut reader), tags, "fault at tag {at}");
    assert_eq!(meaning(all_samples(&mut reader)), expected(&tags));
    assert_eq!(reader.end().unwrap(), end);
    let found = place.journal.recover(session).unwrap();
    assert_eq!(
        (found.rebuilt, found.cut_bytes, found.set_aside),
        (0, 0, 0),
        "closed whole, fault at tag {at}"
    );
    assert_eq!(read_tags(&mut place.reader(session)), tags);
}

#[test]
fn a_full_disk_holds_the_publisher() {
    for roll_bytes in [100, 1 << 20] {
        for at in [0, 1, 7, 24] {
            for room in [0, 1, 100, 211] {
                record(roll_bytes, at, |script| {
                    (script.room, script.heals_after) = (Some(room), Some(2));
                });
            }
        }
    }
}

#[test]
fn a_full_disk_that_cannot_be_cut() {
    for at in [0, 7, 20] {
        record(1 << 20, at, |script| {
            (script.room, script.cut_fails, script.heals_after) = (Some(150), true, Some(1));
        });
    }
}

#[test]
fn a_write_that_fails_begins_a_new_file() {
    for roll_bytes in [100, 1 << 20] {
        for at in [0, 1, 8, 20] {
            for writes in 0..4 {
                record(roll_bytes, at, |script| script.writes = Some(writes));
                record(roll_bytes, at, |script| {
                    (script.writes, script.cut_fails) = (Some(writes), true);
                    script.heals_after = Some(1);
                });
            }
        }
    }
}

#[test]
fn a_file_that_cannot_be_made() {
    for at in [0, 3, 9] {
        record(60, at, |script| (script.create_fails, script.heals_after) = (true, Some(2)));
    }
}

#[test]
fn short_writes_are_completed() {
    for at_a_time in [1, 3, 50] {
        let disk = BrokenDisk::default();
        disk.set(|script| script.at_a_time = Some(at_a_time));
        let place = Place::on(Arc::new(disk), 150);
        let (session, _) = place.record(&stream(), 6);
        assert_eq!(read_tags(&mut place.reader(session)), stream());
    }
}

#[test]
fn a_sync_that_fails_ends_its_file() {
    for roll_bytes in [100, 1 << 20] {
        for at in [0, 5, 20] {
            for syncs in 0..3 {
                record(roll_bytes, at, |script| script.syncs = Some(syncs));
            }
        }
    }
}

#[test]
fn after_a_failed_sync_the_file_is_a_new_one() {
    use std::os::unix::fs::MetadataExt;
    let disk = BrokenDisk::default();
    let place = Place::on(Arc::new(disk.clone()), 1 << 20);
    let (session, mut writer) = place.begin();
    let path = place.journal.folder(session).data(1);
    let inode = fs::metadata(&path).unwrap().ino();
    let tags = stream();
    let (early, late) = tags.split_at(10);
    for tag in early {
        writer.push(tag, WALL_MS);
    }
    disk.set(|script| script.syncs = Some(0));
    place.runtime.block_on(async {
        writer.flush().await.unwrap();
        while disk.failures() == 0 {
            writer.maintain(Instant::now()).await.unwrap();
            tokio::task::yield_now().await;
        }
        // The sync of the first file has failed; what comes now goes into the next one.
        while !place.journal.folder(session).data(2).exists() {
            writer.push(&late[0], WALL_MS);
            writer.flush().await.unwrap();
        }
        writer.close("{}").await.unwrap();
    });
    assert_ne!(fs::metadata(&path).unwrap().ino(), inode, "copied into a file that was synced");
    let seen = read_tags(&mut place.reader(session));
    assert_eq!(seen[..10], *early);
    assert!(seen[10..].iter().all(|tag| tag == &late[0]));
    let found = place.journal.recover(session).unwrap();
    assert_eq!((found.rebuilt, found.set_aside), (0, 0));
}

#[test]
fn a_full_disk_at_the_start_is_an_error() {
    let disk = BrokenDisk::default();
    let place = Place::on(Arc::new(disk.clone()), 1 << 20);
    disk.set(|script| script.room = Some(20));
    let session = SessionId::new(0);
    let create = || place.runtime.block_on(place.journal.create(session, HEAD.to_owned(), WALL_MS));
    let refused = create().err().unwrap();
    assert!(refused.is_transient(), "{refused}");
    assert_eq!(place.journal.sessions().unwrap(), [], "nothing is left behind");
    disk.set(|script| script.room = None);
    place.runtime.block_on(create().unwrap().close("{}")).unwrap();
}

/// Comes back when followers see all that was pushed.
async fn is_written(writer: &Writer) {
    let pushed = writer.position();
    let mut progress = writer.progress();
    let seen = progress.wait_for(|seen| seen.written == pushed);
    // Only so that a failure ends.
    let seen = tokio::time::timeout(Duration::from_secs(60), seen).await;
    seen.unwrap().unwrap();
}

#[test]
fn what_is_due_is_written_without_being_asked() {
    let place = Place::new(1 << 20);
    let (_, mut writer) = place.begin();
    place.runtime.block_on(async {
        let begun = Instant::now();
        // By age, at the moment that was asked for.
        writer.push(&inter(0, 10), WALL_MS);
        writer.maintain(begun).await.unwrap();
        assert_eq!(writer.progress().borrow().written, 0);
        let due = begun + Duration::from_millis(500);
        assert!(writer.deadline().unwrap() < due);
        writer.maintain(due).await.unwrap();
        is_written(&writer).await;
        // By size.
        writer.push(&inter(40, 256 << 10), WALL_MS);
        writer.maintain(due).await.unwrap();
        is_written(&writer).await;
        // At the end of a group of pictures, but not for every picture of an intra-only stream.
        writer.push(&keyframe(80, 10), WALL_MS);
        let before = writer.progress().borrow().written;
        writer.maintain(due).await.unwrap();
        assert_eq!(writer.progress().borrow().written, before);
        writer.maintain(due + Duration::from_millis(200)).await.unwrap();
        is_written(&writer).await;
        writer.close("{}").await.unwrap();
    });
}

#[test]
fn futures_may_be_dropped_while_the_disk_is_full() {
    let disk = BrokenDisk::default();
    let place = Place::on(Arc::new(disk.clone()), 200);
    let (session, mut writer) = place.begin();
    let tags = stream();
    place.runtime.block_on(async {
        disk.set(|script| script.room = Some(90));
        for (nth, tag) in tags.iter().enumerate() {
            writer.push(tag, wall_of(nth));
            let patience = Duration::from_micros(nth as u64 * 100);
            let _ = tokio::time::timeout(patience, writer.flush()).await;
            let _ = tokio::time::timeout(patience, writer.maintain(Instant::now())).await;
        }
        assert!(disk.failures() > 0);
        assert!(writer.progress().borrow().written < writer.position());
        disk.set(|script| script.room = None);
        writer.close("{}").await.unwrap();
    });
    assert_eq!(read_tags(&mut place.reader(session)), tags);
}
