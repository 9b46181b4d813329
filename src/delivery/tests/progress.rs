//! How far a file is goes forward only, through every state, whatever it is made of.

use super::*;

/// Each change of the state, as the database saw it.
const WATCH: [&str; 2] = [
    "CREATE TABLE seen (file_id TEXT NOT NULL, progress TEXT NOT NULL)",
    "CREATE TRIGGER watch AFTER UPDATE OF progress ON media_file WHEN old.progress <> new.progress \
     BEGIN INSERT INTO seen VALUES (new.id, new.progress); END",
];

impl House {
    fn run_sql(&self, text: &'static str) {
        self.runtime.block_on(sqlx::query(text).execute(self.test.db.pool())).unwrap();
    }

    /// What a file went through, in order.
    fn went_through(&self, id: FileId) -> Vec<String> {
        let seen = "SELECT progress FROM seen WHERE file_id = $1 ORDER BY rowid";
        let seen = sqlx::query_scalar(seen).bind(id.to_string()).fetch_all(self.test.db.pool());
        self.runtime.block_on(seen).unwrap()
    }
}

#[test]
fn a_file_goes_forward_through_every_state() {
    let house = House::new(|| WALL_MS + 1000);
    WATCH.iter().for_each(|text| house.run_sql(text));
    let containers = [Container::Mp4, Container::Flv, Container::Hls, Container::Aac];
    let small = house.place.push(WALL_MS, 0, METADATA);
    let large = house.place.push_heavy(WALL_MS, 60, 100_000);
    for (push, is_large) in [(&small, false), (&large, true)] {
        // The large one is of pictures alone.
        for container in containers.into_iter().filter(|c| !is_large || *c != Container::Aac) {
            let id = house.ended("any", container, push);
            while house.turn().is_some() {}
            assert_eq!(house.state(id), MediaFileState::Stored, "{container}");
            let seen = house.went_through(id);
            let whole = ["uploading", "stored", "verified", "announced"];
            // One that is put whole, or in one go, has no upload that could be gone on with.
            let is_right = seen == whole || !is_large && seen == whole[1..];
            assert!(is_right, "{container} large {is_large}: {seen:?}");
        }
    }
}
