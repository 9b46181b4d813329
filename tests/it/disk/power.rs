//! Power loss: the process is killed, and of every journal file only what is known to have been
//! synced is left. All of that is in the products after the next start.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, OpenOptions},
    os::unix::fs::MetadataExt,
    path::Path,
    thread::sleep,
    time::Duration,
};

use super::{
    assert_holds, assert_nothing_left, journaled_bytes, live, rounds,
    shim::{self, Call, Shim},
};
use crate::{
    crash::{
        files_under,
        lost_end::{LACKING, gaps},
        told,
    },
    follow::heavy,
    support::{
        pushing::{as_in_product, frames, journaled_frames},
        server::{Backend, Server, eventually},
    },
    verbatim::{FORMATS, recorder},
};

const LOST: &str = "the end of a journal is lost";

/// More than is written at a time, in bytes: what an index may not know of yet.
const BEING_WRITTEN: u64 = 1 << 20;

/// What the power loss leaves behind the synced bytes of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing.
    Nothing,
    /// Zeros up to the length that was written.
    Zeros,
    /// Nothing, and all of the indexes: the system happened to write them first.
    Indexes,
    /// Nothing, and indexes are gone.
    NoIndexes,
    /// Nothing, and indexes end anywhere.
    TornIndexes,
    /// Nothing, and files are gone whose names had not been synced.
    NoNames,
}

#[test]
fn power_loss_leaves_what_was_synced() {
    lose_power(Left::Nothing);
}

#[test]
fn power_loss_leaves_zeros() {
    lose_power(Left::Zeros);
}

#[test]
fn power_loss_leaves_indexes() {
    lose_power(Left::Indexes);
}

#[test]
fn power_loss_takes_indexes() {
    lose_power(Left::NoIndexes);
}

#[test]
fn power_loss_tears_indexes() {
    lose_power(Left::TornIndexes);
}

#[test]
fn power_loss_takes_names() {
    lose_power(Left::NoNames);
}

fn lose_power(left: Left) {
    for round in 0..rounds(1, 20) {
        // A fixed row of moments: after about so many milliseconds of a push.
        let moment = Duration::from_millis(900 + 350 * (round as u64 * 7 % 20));
        let shim = Shim::build();
        let own = shim.settings();
        let settings = shim::with(&own, &[("journal.unclaimed_max", "1MiB")]);
        let (mut server, receiver) = recorder(Backend::Plain, &FORMATS, 7200, &settings);
        server.expect("a journal file is put aside");
        server.expect("the head of a journal file was spoilt");
        server.expect(LOST);
        server.expect(LACKING);
        let source = heavy(&server, 3);
        let (push, folder) = live(&server, "show", &source.tags);
        eventually("a journal", || (journaled_bytes(&folder) > 1 << 20).then_some(()));
        // However slow the machine is: something is to be there that has to survive.
        eventually("a part of it is synced", || has_synced(&shim.calls(), &folder).then_some(()));
        sleep(moment);
        server.kill();
        let sent = push.stop();
        let written = journaled_frames(&server).len();
        let calls = shim.calls();
        let before = journaled_bytes(&folder);
        let synced = cut(&server, &calls, left);
        let lost_bytes = before - journaled_bytes(&folder);
        assert!(synced > 0, "nothing was synced");

        server.launch();
        let files = told(&receiver, 5, FORMATS.len());
        // Frames, counted in tags of the product: headers and script data come on top.
        let upto = upto_frame(&sent, synced);
        let least = as_in_product(&sent[..upto]).len();
        let compared = assert_holds(&server, &files, &sent, Some(least));
        // What was received and is lost is told where an index, or a file without a head, shows it.
        let is_known = server.logs.count(LOST) > 0;
        assert!(!is_known || matches!(left, Left::Indexes | Left::NoNames));
        // All but what was just being written is in the indexes.
        assert!(is_known || left != Left::Indexes || lost_bytes < BEING_WRITTEN, "{lost_bytes}");
        let is_aside = server.logs.count("what it holds will be missing") > 0;
        let expected = if is_known || is_aside { &["journal_lost"][..] } else { &[] };
        files.iter().for_each(|file| assert_eq!(gaps(file), expected, "{file:#}"));
        assert_nothing_left(&server);
        println!(
            "power loss ({left:?}, after {moment:?}): {written} frames written, {synced} synced, {compared} packets compared, losses 0, {lost_bytes} bytes not synced, told of the rest: {is_known}"
        );
    }
}

fn upto_frame(sent: &[liverec::media::tag::Tag], count: usize) -> usize {
    (0..=sent.len()).find(|end| frames(&sent[..*end]).len() == count).unwrap()
}

/// Cuts the journal to what the log says was synced; gives the frames in that.
fn cut(server: &Server, calls: &[Call], left: Left) -> usize {
    let root = server.data_dir().join("journal");
    let synced = synced_lengths(calls);
    let named = lasting_names(calls);
    let mut lengths = Vec::new();
    for name in files_under(&root) {
        let path = Path::new(&name);
        let before = fs::metadata(path).unwrap();
        let is_index = name.ends_with(".idx");
        let keeps_name = left != Left::NoNames || named.contains(&name);
        if !keeps_name || is_index && left == Left::NoIndexes {
            fs::remove_file(path).unwrap();
            continue;
        }
        let mut length = synced.get(&before.ino()).copied().unwrap_or(0).min(before.len());
        if is_index && left == Left::Indexes {
            continue;
        }
        if is_index && left == Left::TornIndexes {
            length = length * 2 / 3;
        }
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(length).unwrap();
        lengths.push((file, before.len()));
    }
    let frames = journaled_frames(server).len();
    if left == Left::Zeros {
        for (file, length) in lengths {
            file.set_len(length).unwrap();
        }
    }
    frames
}

/// Whether half a MiB of a data file in this folder has been synced, and its name.
fn has_synced(calls: &[Call], folder: &Path) -> bool {
    let is_data = |path: &str| Path::new(path).starts_with(folder) && path.ends_with(".flv");
    let is_synced = |call: &Call| call.op == "sync" && call.result == 0 && call.size >= 1 << 19;
    calls.iter().any(|call| is_synced(call) && is_data(&call.path))
        && lasting_names(calls).iter().any(|name| is_data(name))
}

/// By inode: how long the file was when its last sync that is known to have ended began.
fn synced_lengths(calls: &[Call]) -> HashMap<u64, u64> {
    let mut lengths = HashMap::new();
    for call in calls {
        match call.op.as_str() {
            // A new file may have the number of one that is gone.
            "open" => {
                lengths.insert(call.inode, 0);
            }
            "sync" if call.result == 0 => {
                lengths.insert(call.inode, call.size);
            }
            _ => {}
        }
    }
    lengths
}

/// The names that survive: made or given before a sync of their folder.
fn lasting_names(calls: &[Call]) -> HashSet<String> {
    let (mut fresh, mut lasting) = (Vec::<String>::new(), HashSet::new());
    for call in calls {
        match call.op.as_str() {
            "open" => fresh.push(call.path.clone()),
            "rename" => fresh.push(call.to.clone()),
            "sync" => {
                let is_in = |name: &String| {
                    Path::new(name).parent().is_some_and(|parent| parent == Path::new(&call.path))
                };
                lasting.extend(fresh.extract_if(.., |name| is_in(name)));
            }
            _ => {}
        }
    }
    lasting
}
