//! In which order files reach the disk, from the log of every call: nothing is removed before what
//! takes its place is safe.

use super::{
    assert_holds, assert_nothing_left, live,
    shim::{self, Call, Shim},
};
use crate::{
    crash::told,
    follow::heavy,
    support::{
        ffmpeg::Codecs,
        pushing::Source,
        server::{Backend, eventually},
    },
    verbatim::{FORMATS, recorder},
};

#[test]
fn nothing_is_removed_before_its_product_is_safe() {
    let shim = Shim::build();
    let own = shim.settings();
    // Small files, so that there are several.
    let settings = shim::with(&own, &[("journal.unclaimed_max", "1MiB")]);
    let (server, receiver) = recorder(Backend::Plain, &FORMATS, 7200, &settings);
    let source = heavy(&server, 3);
    let (push, folder) = live(&server, "show", &source.tags);
    eventually("three journal files", || folder.join("00000003.flv").exists().then_some(()));
    let sent = push.stop();
    let files = told(&receiver, 1, FORMATS.len());
    assert_holds(&server, &files, &sent, None);
    assert_nothing_left(&server);

    let calls = shim.calls();
    let folder = folder.to_str().unwrap();
    let journals = journal_files_are_safe(&calls, folder);
    let products = products_are_safe(&calls, folder);
    println!(
        "order of {} calls: {journals} journal files and {products} objects checked, 0 out of order",
        calls.len()
    );
}

/// Neither a directory store nor SQLite syncs the data directory for it.
#[test]
fn the_folder_of_all_journals_lasts_beside_services() {
    let shim = Shim::build();
    let own = shim.settings();
    let (server, receiver) = recorder(Backend::Services, &["Flv"], 7200, &shim::with(&own, &[]));
    let source = Source::make(&server, Codecs::H264Aac, 4);
    let (push, folder) = live(&server, "show", &source.tags);
    let folder = folder.to_str().unwrap();
    let is_named = |call: &Call| call.op == "sync" && call.path == folder;
    let calls = eventually("the names in the folder are synced", || {
        let mut calls = shim.calls();
        let first = after(&calls, 0, is_named)?;
        calls.truncate(first + 1);
        Some(calls)
    });
    assert_eq!(folders_are_safe(&calls, folder), 2, "the journal's, and that of all");
    push.stop();
    told(&receiver, 1, 1);
}

/// Index of the first call at or after `from` that `is` the one.
fn after(calls: &[Call], from: usize, is: impl Fn(&Call) -> bool) -> Option<usize> {
    (from..calls.len()).find(|nth| is(&calls[*nth]))
}

/// Every data file of the journal: its bytes, its name and its index are synced before it goes.
fn journal_files_are_safe(calls: &[Call], folder: &str) -> usize {
    let is_data = |path: &str| path.starts_with(folder) && path.ends_with(".flv");
    // A name in a folder whose own name is lost is lost.
    let first = after(calls, 0, |call| call.op == "sync" && call.path == folder);
    let first = first.expect("the names in the folder are synced");
    assert_eq!(folders_are_safe(&calls[..=first], folder), 2, "the journal's, and that of all");
    let mut checked = 0;
    for (at, named) in calls.iter().enumerate() {
        if named.op != "rename" || !is_data(&named.to) {
            continue;
        }
        let gone = after(calls, at, |call| call.op == "unlink" && call.path == named.to);
        let gone = gone.unwrap_or_else(|| panic!("{} is never removed", named.to));
        let is_folder_synced = |call: &Call| call.op == "sync" && call.path == folder;
        assert!(after(&calls[..gone], at, is_folder_synced).is_some(), "name of {}", named.to);
        let index = named.to.replace(".flv", ".idx");
        for path in [&named.to, &index] {
            let written = calls[..gone].iter().rposition(|call| {
                call.op == "write" && (call.path == *path || call.path == format!("{path}.new"))
            });
            let is_synced = |call: &Call| call.op == "sync" && call.path == *path;
            let synced = after(&calls[..gone], written.unwrap(), is_synced);
            assert!(synced.is_some(), "{path} is removed with unsynced bytes");
        }
        checked += 1;
    }
    assert!(checked >= 3, "{checked} journal files");
    checked
}

/// Every object: synced, named, its name synced, its row committed; only then the journal goes.
fn products_are_safe(calls: &[Call], folder: &str) -> usize {
    let is_object = |path: &str| path.contains("/vod/") && !path.contains("/.tmp/");
    let gone = after(calls, 0, |call| call.op == "unlink" && call.path.starts_with(folder));
    let gone = gone.expect("the journal is removed");
    let (mut checked, mut made) = (0, 0);
    for (at, named) in calls.iter().enumerate() {
        if named.op != "rename" || !is_object(&named.to) {
            continue;
        }
        assert!(at < gone, "the journal went before {} was made", named.to);
        let of_object = |call: &&Call| call.inode == named.inode;
        let written = calls[..at].iter().rposition(|call| call.op == "write" && of_object(&call));
        let is_synced = |call: &Call| call.op == "sync" && call.inode == named.inode;
        let synced = after(&calls[..at], written.unwrap(), is_synced);
        assert!(synced.is_some(), "{} is named before its bytes are synced", named.to);
        let (parent, _) = named.to.rsplit_once('/').unwrap();
        let lasting = after(&calls[..gone], at, |call| call.op == "sync" && call.path == parent);
        let lasting = lasting.unwrap_or_else(|| panic!("the name of {} is not synced", named.to));
        made += folders_are_safe(&calls[..=lasting], parent);
        let is_commit = |call: &Call| call.op == "sync" && call.path.contains("liverec.db");
        assert!(
            after(&calls[..gone], lasting, is_commit).is_some(),
            "the journal went before the row of {} was committed",
            named.to
        );
        checked += 1;
    }
    assert!(checked >= FORMATS.len(), "{checked} objects");
    assert!(made >= FORMATS.len(), "{made} folders made for {checked} objects");
    checked
}

/// Every folder above an object that was made by now: its name is synced before the sync of the
/// object's own, which is the last thing that a store does before the row may say `stored`. Gives
/// how many there are.
fn folders_are_safe(calls: &[Call], folder: &str) -> usize {
    let is_above = |path: &str| folder == path || folder.starts_with(&format!("{path}/"));
    let mut checked = 0;
    for (at, made) in calls.iter().enumerate() {
        // The data directory itself is made before it is looked at.
        if made.op != "mkdir" || !is_above(&made.path) || !made.path.contains("/data/") {
            continue;
        }
        let (parent, _) = made.path.rsplit_once('/').unwrap();
        let is_synced = |call: &Call| call.op == "sync" && call.path == parent;
        let synced = after(calls, at, is_synced);
        assert!(synced.is_some(), "the name of the folder {} is not synced", made.path);
        checked += 1;
    }
    checked
}
