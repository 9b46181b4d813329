//! Hundreds of files that end in the same second, small ones and a large one.

use tokio::time::sleep;

use super::*;

/// Small files.
const SMALL: usize = 500;

/// Every part of the large one hangs until all the others are announced: none of them waits for it, and
/// each is announced once.
#[test]
fn five_hundred_files_that_end_together_are_not_behind_a_large_one() {
    let house = House::new(|| WALL_MS + 1000);
    // The oldest of them.
    let large = house.ended("large", Container::Mp4, &house.place.push_heavy(WALL_MS, 60, 100_000));
    let containers = [Container::Mp4, Container::Flv, Container::Hls, Container::Aac];
    let small: Vec<FileId> = (0..SMALL)
        .map(|nth| {
            let push = house.place.push(WALL_MS, 0, METADATA);
            house.ended(&format!("s{nth}"), containers[nth % containers.len()], &push)
        })
        .collect();
    let gate = house.store.hold("/large/");
    let token = CancellationToken::new();
    let running = house.runtime.spawn(house.delivery.clone().run(token.clone()));
    let wait_for = |count: usize| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(240);
        while house.announced() < count as i64 {
            assert!(std::time::Instant::now() < deadline, "{} of {count}", house.announced());
            house.runtime.block_on(async { sleep(std::time::Duration::from_millis(50)).await });
        }
    };
    wait_for(SMALL);
    assert!(house.store.count("put_part") > 0, "the large one was begun");
    assert_eq!(house.state(large), MediaFileState::Ended);
    assert!(small.iter().all(|id| house.state(*id) == MediaFileState::Stored));
    gate.add_permits(1);
    wait_for(SMALL + 1);
    token.cancel();
    house.runtime.block_on(running).unwrap();
    assert_eq!(house.announced(), SMALL as i64 + 1, "each once");
    assert_eq!(house.state(large), MediaFileState::Stored);
    house.assert_no_upload_is_open();
}
