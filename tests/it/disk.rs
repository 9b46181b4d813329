//! The promise "durable" on a disk that is full, fails, hangs or loses its power: what was written is
//! in the products, what could not be written is said, and nobody else waits.
//!
//! `full` uses a small file system of its own, the others a fault layer under the program (`shim`).
//! Every test prints what it injected, compared and lost; `LIVEREC_TEST_LONG=1` makes them longer.

mod faults;
mod full;
mod mounts;
mod order;
mod power;
mod reads;
mod shim;
mod stuck;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    crash::{files_under, here},
    support::{
        is_long_run,
        packets::Packets,
        publisher::{LivePush, Pusher},
        pushing::{as_in_product, product_tags},
        receiver::Receiver,
        server::{Server, eventually},
    },
    verbatim::format_of,
};

use liverec::media::tag::Tag;

/// How often the random tests repeat: more in the long run.
fn rounds(short: usize, long: usize) -> usize {
    if is_long_run() { long } else { short }
}

/// Begins a push in real time of these tags to `key`; gives it and its journal's folder.
fn live(server: &Server, key: &str, tags: &[Tag]) -> (LivePush, PathBuf) {
    let before = sessions(server);
    let pusher = Pusher::connect(server.rtmp, key, 4096).accepted();
    let mut new = sessions(server);
    new.retain(|folder| !before.contains(folder));
    let [folder] = &new[..] else { panic!("one push made {new:?}") };
    (LivePush::start(pusher, tags.to_vec()), folder.clone())
}

/// The folders of all journals.
fn sessions(server: &Server) -> Vec<PathBuf> {
    let root = server.data_dir().join("journal");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// Bytes in the data files of a journal.
fn journaled_bytes(folder: &Path) -> u64 {
    let files = files_under(folder).into_iter().filter(|name| name.ends_with(".flv"));
    files.map(|name| fs::metadata(name).map_or(0, |data| data.len())).sum()
}

/// The files (events 100) of one stream, each once.
fn files_of(receiver: &Receiver, stream: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} files of {stream}"), || {
        let events = receiver.of_type(100).into_iter();
        let unique: BTreeMap<String, Value> = events
            .filter(|event| event["stream_id"] == stream)
            .map(|event| (event["file_id"].to_string(), event))
            .collect();
        (unique.len() >= count).then(|| unique.into_values().collect())
    })
}

/// The products hold the first of the tags that were sent, at least as many as they hold frames
/// before `least`; gives the number of packets compared. Without `least` they hold all.
fn assert_holds(server: &Server, files: &[Value], sent: &[Tag], least: Option<usize>) -> usize {
    let flv = files.iter().find(|file| format_of(file) == "flv").unwrap();
    let url = here(server, flv);
    let (found, expected) = (product_tags(&url), as_in_product(sent));
    for (nth, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(found == expected, "{url}: tag {nth} is {found:?} and not {expected:?}");
    }
    assert!(found.len() <= expected.len(), "{url} holds more than was sent");
    match least {
        None => assert_eq!(found.len(), expected.len(), "{url}: tags"),
        Some(least) => assert!(found.len() >= least, "{url}: {} of {least} tags", found.len()),
    }
    let whole = Packets::of(&url);
    let mut compared = whole.video.len() + whole.audio.len();
    for file in files.iter().filter(|file| format_of(file) != "flv") {
        let url = here(server, file);
        let found = Packets::of(&url);
        compared += found.video.len() + found.audio.len();
        match format_of(file) {
            "aac" => found.assert_payloads(&whole.sound(), &url),
            _ => {
                found.assert_payloads_and_times(&whole, &url);
            }
        }
    }
    compared
}

/// Causes of the gaps that the row of a file lists, with their lengths on the wall in milliseconds.
fn gaps(file: &Value) -> Vec<(String, i64)> {
    let ext: Value = serde_json::from_str(file["callback_ext"].as_str().unwrap()).unwrap();
    let gaps = ext["liverec"]["gaps"].as_array().unwrap();
    let gap =
        |gap: &Value| (gap["cause"].as_str().unwrap().to_owned(), gap["wall_ms"].as_i64().unwrap());
    gaps.iter().map(gap).collect()
}

/// Everything is stored: journals and what was on its way to the store are gone.
fn assert_nothing_left(server: &Server) {
    eventually("journals and uploads are gone", || {
        let uploads = files_under(&server.data_dir().join("vod/.tmp"));
        (sessions(server).is_empty() && uploads.is_empty()).then_some(())
    });
}
