//! The disk lost the end of a journal that its index knows of: what is left is stored, and every file
//! says that there was more.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    start::to_the_end,
    support::{
        packets::Packets,
        pushing::journal_files,
        server::{BACKENDS, Server, eventually},
    },
    verbatim::FORMATS,
};

use super::{
    SERVER_STOPPED, here,
    no_data::{emptied, removed, removed_with_its_index},
    shorten,
    spoilt::long_pushed,
    told,
};

const LOST: &str = "the end of a journal is lost";
pub const LACKING: &str = "a media file lacks what its journal has lost";

fn half(last: &Path) {
    shorten(last, fs::metadata(last).unwrap().len() / 2);
}

fn zeros(last: &Path) {
    let mut bytes = fs::read(last).unwrap();
    let from = bytes.len() / 2;
    bytes[from..].fill(0);
    fs::write(last, bytes).unwrap();
}

#[test]
fn an_end_that_the_disk_has_lost_is_told() {
    let hurts: [fn(&Path); 4] = [half, emptied, removed, zeros];
    for (hurt, backend) in hurts.into_iter().zip(BACKENDS.into_iter().cycle()) {
        let (mut server, receiver, source, _) = long_pushed(backend);
        server.kill();
        hurt(journal_files(&server).last().unwrap());
        server.expect(LOST);
        server.expect(LACKING);
        server.expect("a journal file is put aside: it is empty");
        server.launch();
        server.logs.wait_for(LOST);
        server.logs.wait_for(LACKING);
        assert_eq!(server.logs.count(LOST), 1);
        // It is not forgotten, and not news either.
        server.kill();
        server.launch();
        for file in told(&receiver, SERVER_STOPPED, FORMATS.len()) {
            assert_eq!(gaps(&file), ["journal_lost"], "{file:#}");
            let url = here(&server, &file);
            let found = Packets::of(&url);
            assert!(found.audio.len() > 20, "{url}");
            if !url.ends_with(".aac") {
                let pushed = Packets::of(source.name());
                let pushed = pushed.first(found.video.len(), found.audio.len());
                found.assert_payloads_and_times(&pushed, &url);
            }
            assert_verified(&server, &file);
        }
        assert_eq!(server.logs.count(LOST), 0);
    }
}

/// The same of the first file and of one in the middle, be there an index or not: the positions show it.
#[test]
fn a_hole_is_told() {
    type Hurt = (fn(usize) -> usize, fn(&Path));
    let hurts: [Hurt; 5] = [
        (|count| count / 2, half),
        (|count| count / 2, zeros),
        (|count| count / 2, removed),
        (|count| count / 2, removed_with_its_index),
        (|_| 0, removed_with_its_index),
    ];
    for ((which, hurt), backend) in hurts.into_iter().zip(BACKENDS.into_iter().cycle()) {
        let (mut server, receiver, _, _) = long_pushed(backend);
        server.kill();
        let files = journal_files(&server);
        hurt(&files[which(files.len())]);
        server.expect(LACKING);
        server.launch();
        for file in told(&receiver, SERVER_STOPPED, FORMATS.len()) {
            assert_eq!(gaps(&file), ["journal_lost"], "{file:#}");
            assert_verified(&server, &file);
        }
        eventually("a word of each", || {
            (server.logs.count(LACKING) == FORMATS.len()).then_some(())
        });
        // It is no news at another start.
        server.kill();
        server.launch();
        server.logs.wait_for("doctor: data directory, database, clock and store are fine");
        assert_eq!(server.logs.count(LACKING), 0);
    }
}

/// Causes of the gaps of a file, as its event tells them.
pub fn gaps(file: &Value) -> Vec<String> {
    let ext: Value = serde_json::from_str(file["callback_ext"].as_str().unwrap()).unwrap();
    let gaps = ext["liverec"]["gaps"].as_array().unwrap();
    gaps.iter().map(|gap| gap["cause"].as_str().unwrap().to_owned()).collect()
}

/// The product is what is left, and that it is not all is said.
fn assert_verified(server: &Server, file: &Value) {
    let mut verify = server.cli();
    verify.args(["verify", file["file_id"].as_str().unwrap()]);
    let (code, told, stderr) = to_the_end(verify);
    assert_eq!(code, 0, "{told}{stderr}");
    assert!(told.contains("of which a part was lost"), "{told}");
}
