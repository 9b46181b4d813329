//! The lines and the reserve, on a disk that says what it is told to.

use super::*;
use crate::journal::tests::broken_disk::BrokenDisk;

const MIB: u64 = 1 << 20;

fn space(disk: &BrokenDisk, settings: SpaceSettings) -> Space {
    Space::new(settings, PathBuf::from("/journal"), Arc::new(disk.clone()))
}

fn with_reserve() -> SpaceSettings {
    let reserve = Some(PathBuf::from("/nowhere/reserve"));
    SpaceSettings { warn_bytes: Some(100 * MIB), refuse_bytes: Some(40 * MIB), reserve }
}

fn has(disk: &BrokenDisk, free: u64) {
    disk.set(|script| (script.room, script.total) = (Some(free), 1 << 40));
}

#[test]
fn default_lines_are_sizes_or_parts_of_a_small_disk() {
    let lines = |total| Lines::of(&SpaceSettings::default(), total);
    assert_eq!(lines(1 << 40), Lines { warn: 5 << 30, refuse: 512 * MIB });
    // A laptop with 64 GiB may record until half a GiB is left, a stick until a fiftieth is.
    assert_eq!(lines(64 << 30), Lines { warn: 5 << 30, refuse: 512 * MIB });
    assert_eq!(lines(1000 * MIB), Lines { warn: 100 * MIB, refuse: 20 * MIB });
    let given = SpaceSettings { refuse_bytes: Some(7), ..SpaceSettings::default() };
    assert_eq!(Lines::of(&given, 1000 * MIB).refuse, 7);
}

#[test]
fn levels_are_left_only_with_something_to_spare() {
    let lines = Lines { warn: 800, refuse: 80 };
    let walk = [
        (800, Level::Ample),
        (799, Level::Low),
        (850, Level::Low),
        (79, Level::Refusing),
        (85, Level::Refusing),
        (90, Level::Low),
        (899, Level::Low),
        (900, Level::Ample),
        (0, Level::Refusing),
        (5000, Level::Ample),
    ];
    let mut level = Level::Ample;
    for (free, expected) in walk {
        level = lines.level(level, free);
        assert_eq!(level, expected, "{free} bytes free");
    }
}

#[test]
fn publishes_are_refused_below_the_line_and_taken_again() {
    let disk = BrokenDisk::default();
    let space = space(&disk, SpaceSettings { reserve: None, ..with_reserve() });
    for (free, is_refusing) in [(200, false), (90, false), (39, true), (41, true), (60, false)] {
        has(&disk, free * MIB);
        space.look().unwrap();
        assert_eq!(space.is_refusing(), is_refusing, "{free} MiB free");
        assert!(space.may_write(), "running ones go on");
    }
}

#[test]
fn a_disk_that_does_not_say_its_size_refuses_nothing() {
    let disk = BrokenDisk::default();
    disk.set(|script| (script.room, script.total) = (Some(0), 0));
    let space = space(&disk, SpaceSettings::default());
    space.look().unwrap();
    assert!(!space.is_refusing());
}

#[test]
fn the_reserve_is_given_up_once_and_made_again_with_room_to_spare() {
    let disk = BrokenDisk::default();
    let space = space(&disk, with_reserve());
    has(&disk, 200 * MIB);
    space.look().unwrap();
    let free = || disk.0.lock().unwrap().room.unwrap();
    assert_eq!(free(), 192 * MIB, "the reserve takes its room");

    has(&disk, 0);
    space.run_out();
    assert_eq!(free(), 8 * MIB, "the room is given back");
    assert!(space.is_refusing() && !space.may_write());
    space.run_out();
    assert_eq!(free(), 8 * MIB);
    for held in [8, 23] {
        has(&disk, held * MIB);
        assert!(!space.may_write(), "{held} MiB are for the ends of journals");
    }
    has(&disk, 24 * MIB);
    assert!(space.may_write());
    assert_eq!(free(), 16 * MIB, "there is a reserve again");
    space.look().unwrap();
    assert!(space.is_refusing(), "still below the line for new ones");
}

#[test]
fn without_a_reserve_nothing_is_held() {
    let disk = BrokenDisk::default();
    has(&disk, MIB);
    let space = space(&disk, with_reserve());
    space.look().unwrap();
    space.run_out();
    assert!(space.may_write(), "there was no room to make one");
}
