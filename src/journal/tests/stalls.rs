//! A disk that takes nothing for a while, or not any more: what the writer says of it, what it holds
//! and what it gives up.

use super::{
    broken_disk::{BrokenDisk, Script},
    *,
};
use crate::{
    domain::stall::{StallCause, StoreFailure},
    journal::{SpaceSettings, Stall},
};

/// Only so that a failure ends.
const PATIENCE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

fn place(disk: &BrokenDisk) -> Place {
    Place::on(Arc::new(disk.clone()), 1 << 20)
}

/// A journal with a first part on disk.
fn begun(place: &Place, tags: &[Tag]) -> (SessionId, Writer) {
    let (session, mut writer) = place.begin();
    place.runtime.block_on(async {
        push(&mut writer, tags);
        writer.flush().await.unwrap();
    });
    assert_eq!((writer.stalled(), writer.take_stall()), (None, None));
    (session, writer)
}

fn push(writer: &mut Writer, tags: &[Tag]) {
    for tag in tags {
        writer.push(tag, WALL_MS);
    }
}

/// Lets the writer try until the disk has refused something.
async fn until_refused(writer: &mut Writer, disk: &BrokenDisk) {
    let before = disk.failures();
    while disk.failures() == before {
        let _ = tokio::time::timeout(Duration::from_millis(1), writer.flush()).await;
    }
}

#[test]
fn a_stall_is_told_once_with_its_cause() {
    type Hurt = fn(&mut Script);
    let causes: [(Hurt, StallCause); 2] = [
        (|script| script.room = Some(0), StallCause::DiskFull),
        (|script| (script.writes, script.create_fails) = (Some(0), true), StallCause::DiskError),
    ];
    let tags = stream();
    for (hurt, expected) in causes {
        let disk = BrokenDisk::default();
        let place = place(&disk);
        let (session, mut writer) = begun(&place, &tags[..10]);
        place.runtime.block_on(async {
            disk.set(hurt);
            push(&mut writer, &tags[10..]);
            until_refused(&mut writer, &disk).await;
            // A late answer to a job may still be on its way.
            while !matches!(writer.stalled(), Some((_, cause)) if cause == expected) {
                let _ = tokio::time::timeout(Duration::from_millis(1), writer.flush()).await;
            }
            assert_eq!(writer.take_stall(), None, "it is not over");
            disk.set(|script| *script = Script { failures: script.failures, ..Script::default() });
            writer.flush().await.unwrap();
            let Some(Stall { cause, lasted }) = writer.take_stall() else { panic!("no stall") };
            assert!(lasted > Duration::ZERO);
            // That no file could be made then either was a consequence.
            assert_eq!(cause, expected);
            assert_eq!((writer.stalled(), writer.take_stall()), (None, None));
            writer.close("{}").await.unwrap();
        });
        assert_eq!(read_tags(&mut place.reader(session)), tags);
    }
}

#[test]
fn a_disk_that_refuses_to_the_end_costs_what_is_counted() {
    let disk = BrokenDisk::default();
    let place = place(&disk);
    let tags = stream();
    let (session, mut writer) = begun(&place, &tags[..10]);
    let progress = writer.progress();
    let written = progress.borrow().written;
    place.runtime.block_on(async {
        disk.set(|script| script.room = Some(0));
        push(&mut writer, &tags[10..]);
        until_refused(&mut writer, &disk).await;
        let pushed = writer.position();
        writer.fail();
        let told = progress.borrow().failure;
        assert_eq!(told.map(|failure| failure.lost_tags), Some(0), "nothing is lost yet");
        let end = writer.close_within("{}", Duration::from_millis(50)).await.unwrap();
        assert_eq!(end, written);
        let seen = *progress.borrow();
        assert!(seen.closed);
        let Some(StoreFailure { cause, lost_tags, lost_bytes }) = seen.failure else { panic!() };
        assert_eq!(cause, StallCause::DiskFull);
        assert_eq!(lost_tags, tags.len() as u64 - 10);
        // The end note was to be written, too.
        assert!(lost_bytes > pushed - written);
    });
    disk.set(|script| script.room = None);
    assert_eq!(read_tags(&mut place.reader(session)), tags[..10]);
    let found = place.journal.recover(session).unwrap();
    assert_eq!((found.cut_bytes, found.rebuilt, found.set_aside), (0, 0, 0), "closed whole");
}

#[test]
fn a_call_that_is_out_is_heard_before_anything_is_given_up() {
    let disk = BrokenDisk::default();
    let place = place(&disk);
    let tags = stream();
    let (session, mut writer) = begun(&place, &tags[..10]);
    place.runtime.block_on(async {
        disk.set(|script| script.is_stuck = true);
        push(&mut writer, &tags[10..]);
        let _ = tokio::time::timeout(Duration::from_millis(5), writer.flush()).await;
        assert!(matches!(writer.stalled(), Some((_, StallCause::DiskStuck))));
        writer.fail();
        let progress = writer.progress();
        let closing = writer.close_within("{}", Duration::from_millis(5));
        let mut closing = std::pin::pin!(closing);
        // Far beyond its patience.
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut closing).await.is_err());
        disk.set(|script| script.is_stuck = false);
        tokio::time::timeout(PATIENCE, closing).await.unwrap().unwrap();
        assert_eq!(progress.borrow().failure.map(|failure| failure.lost_tags), Some(0));
    });
    assert_eq!(read_tags(&mut place.reader(session)), tags);
}

#[test]
fn a_stuck_file_holds_no_other() {
    let disk = BrokenDisk::default();
    let place = place(&disk);
    let tags = stream();
    let (_, mut stuck) = begun(&place, &tags[..10]);
    let (session, mut free) = begun(&place, &tags[..10]);
    place.runtime.block_on(async {
        disk.set(|script| script.is_stuck = true);
        push(&mut stuck, &tags[10..]);
        let _ = tokio::time::timeout(Duration::from_millis(5), stuck.flush()).await;
        assert!(stuck.stalled().is_some());
        // It has one call out, however often it is asked.
        for _ in 0..10 {
            let _ = tokio::time::timeout(Duration::from_millis(1), stuck.flush()).await;
        }
        let waiting = disk.0.lock().unwrap().waiting;
        assert_eq!(waiting, 1);
        disk.set(|script| script.only_stuck = script.waiting);
        push(&mut free, &tags[10..]);
        tokio::time::timeout(PATIENCE, free.flush()).await.unwrap().unwrap();
        disk.set(|script| script.is_stuck = false);
        free.close("{}").await.unwrap();
        stuck.close("{}").await.unwrap();
    });
    assert_eq!(read_tags(&mut place.reader(session)), tags);
}

#[test]
fn on_a_full_disk_the_reserve_is_for_ends() {
    let disk = BrokenDisk::default();
    disk.set(|script| (script.room, script.total) = (Some(200 * MIB), 1 << 40));
    let reserve = Some(PathBuf::from("/nowhere/reserve"));
    let space = SpaceSettings { reserve, ..SpaceSettings::default() };
    let place = Place::with(Arc::new(disk.clone()), 1 << 20, space);
    place.journal.shared.space.look().unwrap();
    let tags = stream();
    let (ends, mut ending) = begun(&place, &tags[..10]);
    let (_, mut going_on) = begun(&place, &tags[..10]);
    place.runtime.block_on(async {
        disk.set(|script| script.room = Some(30));
        push(&mut ending, &tags[10..]);
        until_refused(&mut ending, &disk).await;
        // What the reserve gave back is not for what merely goes on.
        let given_back = loop {
            let _ = tokio::time::timeout(Duration::from_millis(5), ending.flush()).await;
            if place.journal.is_refusing() && ending.stalled().is_some() {
                break disk.0.lock().unwrap().room.unwrap();
            }
        };
        push(&mut going_on, &tags[10..]);
        let _ = tokio::time::timeout(Duration::from_millis(20), going_on.flush()).await;
        assert_eq!(disk.0.lock().unwrap().room, Some(given_back), "the reserve is touched");
        assert!(given_back > 4 * MIB);
        // An end is.
        tokio::time::timeout(PATIENCE, ending.close("{}")).await.unwrap().unwrap();
        assert!(disk.0.lock().unwrap().room.unwrap() < given_back);
        disk.set(|script| script.room = Some(100 * MIB));
        going_on.flush().await.unwrap();
        assert!(matches!(going_on.take_stall(), Some(Stall { cause: StallCause::DiskFull, .. })));
        going_on.close("{}").await.unwrap();
    });
    assert_eq!(read_tags(&mut place.reader(ends)), tags);
}
