//! Ready in seconds: files go up while they are recorded, and what is stored is what was sent,
//! whatever happens in between.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::Value;

use crate::{
    support::{
        ffmpeg::Codecs,
        packets::Packets,
        publisher::Pusher,
        pushing::{Source, as_in_product, assert_same_tags, product_tags},
        receiver::Receiver,
        s3::{Fault, Op},
        server::{BACKENDS, Backend, Server, eventually},
    },
    verbatim::{format_of, make_heavy_source, recorder},
};

/// The smallest that S3 takes; four of them are 20 MiB.
pub const PARTS: [(&str, &str); 1] = [("storage.s3.part_size", "5MiB")];

/// About 3 MiB a second.
pub fn heavy(server: &Server, seconds: u32) -> Source {
    let path = server.folder().join("source.flv");
    make_heavy_source(&path, seconds);
    Source::of(Codecs::H264Aac, path)
}

/// Parts that were stored while their files grew.
pub fn live_parts(server: &Server) -> usize {
    server.metric("liverec_delivery_parts_total{when=\"live\"}") as usize
}

pub fn wait_for_live_parts(server: &Server, count: usize) {
    eventually("parts of growing files in the store", || {
        (live_parts(server) >= count).then_some(())
    });
}

/// Each file once: a message whose delivery a kill interrupted may come twice.
pub fn stored(receiver: &Receiver, count: usize) -> Vec<Value> {
    eventually(&format!("{count} files"), || {
        let mut known = BTreeSet::new();
        let mut files = receiver.of_type(100);
        files.retain(|file| known.insert(file["file_id"].to_string()));
        assert!(files.len() <= count, "{files:#?}");
        (files.len() == count).then_some(files)
    })
}

/// The products hold what was sent, and nothing is left of uploads.
fn assert_holds(
    server: &Server,
    files: &[Value],
    source: &Source,
    sent: &[liverec::media::tag::Tag],
) {
    assert_same(server, files, source, sent);
    assert_eq!(open_uploads(server), Vec::<PathBuf>::new());
}

/// The products hold what was sent, and `liverec verify` says so.
fn assert_same(
    server: &Server,
    files: &[Value],
    source: &Source,
    sent: &[liverec::media::tag::Tag],
) {
    let here = |file: &Value| {
        let url = file["video_url"].as_str().unwrap();
        let (_, path) = url.split_once("/vod/").unwrap();
        format!("{}/vod/{path}", server.base_url())
    };
    for file in files {
        let id = file["file_id"].as_str().unwrap();
        let output = server.cli().args(["verify", id, "--json"]).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{report}");
    }
    let flv = here(files.iter().find(|file| format_of(file) == "flv").unwrap());
    assert_same_tags(&product_tags(&flv), &as_in_product(sent), &flv);
    if sent.len() == source.tags.len() {
        let mp4 = here(files.iter().find(|file| format_of(file) == "mp4").unwrap());
        Packets::of(&mp4).assert_payloads_and_times(&Packets::of(source.name()), &mp4);
    }
}

/// Files that the store keeps of uploads under way.
fn open_uploads(server: &Server) -> Vec<PathBuf> {
    let (folder, is_open): (_, fn(&str) -> bool) = match server.s3 {
        Some(_) => (server.folder().join("s3"), |name| name.starts_with(".upload")),
        None => (server.data_dir().join("vod/.tmp"), |_| true),
    };
    let found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    found.filter(|e| is_open(&e.file_name().to_string_lossy())).map(|e| e.path()).collect()
}

#[test]
fn parts_are_stored_while_the_stream_is_live() {
    for backend in BACKENDS {
        let (server, receiver) = recorder(backend, &["Flv", "Mp4"], 1200, &PARTS);
        let source = heavy(&server, 16);
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(&source.tags);
        wait_for_live_parts(&server, 4);
        assert!(!open_uploads(&server).is_empty());
        assert_eq!(receiver.of_type(100).len(), 0, "nothing is announced before its end");
        if let Some(s3) = &server.s3 {
            assert_eq!((s3.count(Op::Create), s3.count(Op::Complete)), (2, 0));
            let heads = s3.parts().into_values().flatten().filter(|(number, _)| *number == 1);
            assert_eq!(heads.count(), 0, "a head is known at the end");
        }
        pusher.finish();
        let files = stored(&receiver, 2);
        assert_holds(&server, &files, &source, &source.tags);
        if let Some(s3) = &server.s3 {
            assert_eq!((s3.count(Op::Create), s3.count(Op::Complete)), (2, 2), "begun once");
            let uploads: Vec<_> = s3.parts().into_values().collect();
            assert_eq!(uploads.len(), 2);
            uploads.iter().for_each(|parts| assert_part_order(parts));
            let bytes = uploads.iter().flatten().map(|(_, bytes)| bytes).sum::<u64>();
            let sizes = files.iter().map(|file| file["file_size"].as_u64().unwrap());
            assert_eq!(bytes, sizes.sum::<u64>(), "every byte is sent once");
        }
    }
}

/// Part 1 comes last, each comes once, and all but the one with the highest number have one size:
/// some stores take no others.
fn assert_part_order(parts: &[(u32, u64)]) {
    let numbers: Vec<u32> = parts.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.last(), Some(&1), "part 1 comes after all others: {numbers:?}");
    let by_number = BTreeMap::from_iter(parts.iter().copied());
    let highest = u32::try_from(parts.len()).unwrap();
    assert!(highest >= 4, "{parts:?}");
    assert!(by_number.keys().copied().eq(1..=highest), "each once: {numbers:?}");
    let (tail, size) = (by_number[&highest], 5 << 20);
    assert!(by_number.range(..highest).all(|(_, bytes)| *bytes == size), "one size: {parts:?}");
    assert!((1..=size).contains(&tail), "{parts:?}");
}

#[test]
fn an_upload_goes_on_after_a_kill() {
    for backend in BACKENDS {
        let (mut server, receiver) = recorder(backend, &["Flv", "Mp4"], 1200, &PARTS);
        let source = heavy(&server, 16);
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(&source.tags);
        wait_for_live_parts(&server, 4);
        let before = open_uploads(&server);
        let sent = server.s3.as_ref().map(|s3| s3.count(Op::UploadPart));
        server.kill();
        server.launch();
        let files = stored(&receiver, 2);
        assert_holds(&server, &files, &source, &source.tags);
        assert!(!before.is_empty());
        if let (Some(s3), Some(sent)) = (&server.s3, sent) {
            assert_eq!((s3.count(Op::Create), s3.count(Op::Complete)), (2, 2), "the same uploads");
            // What was on its way when the process died is sent again, nothing else.
            let all: usize = files.iter().map(parts_of).sum();
            assert!(s3.count(Op::UploadPart) <= all + 2, "{sent} before, {all} needed");
        }
    }
}

fn parts_of(file: &Value) -> usize {
    let size = file["file_size"].as_u64().unwrap();
    usize::try_from(size.div_ceil(5 << 20)).unwrap()
}

/// As when the lifecycle rule of a bucket has removed incomplete uploads.
#[test]
fn an_upload_that_is_gone_begins_anew() {
    let (server, files, source) =
        begun_anew_after(|server| server.s3.as_ref().unwrap().expire_uploads());
    assert_same(&server, &files, &source, &source.tags);
    // What the tests' store keeps of an upload that expired is no upload any more.
    assert!(server.s3.as_ref().unwrap().open_uploads().is_empty());
}

/// As with stores that refuse the parts of an upload that they have lost, and list a late one of it.
/// That one stays with them.
#[test]
fn an_upload_of_which_the_store_has_lost_parts_begins_anew() {
    let (server, files, source) = begun_anew_after(|server| {
        for path in open_uploads(server) {
            match path.to_string_lossy().ends_with(".part-2") {
                true => fs::rename(&path, path.with_extension("part-9000")),
                false => fs::remove_file(&path),
            }
            .unwrap();
        }
    });
    assert_same(&server, &files, &source, &source.tags);
}

/// What became of a stream whose uploads the store loses while it is live.
fn begun_anew_after(loss: impl FnOnce(&Server)) -> (Server, Vec<Value>, Source) {
    let (mut server, receiver) = recorder(Backend::Services, &["Flv", "Mp4"], 1200, &PARTS);
    let source = heavy(&server, 12);
    let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
    let (last, most) = source.tags.split_last().unwrap();
    pusher.send(most);
    // Both have some: of 14 whole ones each the first goes up last.
    wait_for_live_parts(&server, 16);
    server.expect("the upload of a media file is given up");
    server.expect("a media file could not be stored");
    loss(&server);
    pusher.send(std::slice::from_ref(last));
    pusher.finish();
    let files = stored(&receiver, 2);
    (server, files, source)
}

#[test]
fn a_lost_answer_to_complete_is_no_loss() {
    let (mut server, receiver) = recorder(Backend::Services, &["Flv", "Mp4"], 1200, &PARTS);
    let source = heavy(&server, 12);
    let s3 = server.s3.as_ref().unwrap();
    s3.inject(Op::Complete, 1, 1, Fault::LoseResponse);
    s3.inject(Op::UploadPart, 3, 2, Fault::Status(503));
    let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
    pusher.send(&source.tags);
    wait_for_live_parts(&server, 4);
    pusher.finish();
    server.expect("a media file could not be stored");
    let files = stored(&receiver, 2);
    assert_holds(&server, &files, &source, &source.tags);
}

#[test]
fn small_files_do_not_wait_behind_a_large_one() {
    let (server, receiver) = recorder(Backend::Services, &["Flv", "Mp4"], 1200, &PARTS);
    let source = heavy(&server, 24);
    let small: Vec<_> = source.tags[..60].to_vec();
    let s3 = server.s3.as_ref().unwrap();
    // The large one has everything still before it when it ends.
    s3.inject(Op::UploadPart, 1, 10_000, Fault::Delay(std::time::Duration::from_millis(400)));
    let mut large = Pusher::connect(server.rtmp, "show", 65536).accepted();
    large.send(&source.tags);
    large.finish();
    let many = 12;
    for _ in 0..many {
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(&small);
        pusher.finish();
    }
    let files = stored(&receiver, 2 * (many + 1));
    let sizes: Vec<u64> = files.iter().map(|file| file["file_size"].as_u64().unwrap()).collect();
    let large = |size: &u64| *size > 20 << 20;
    let last_small = sizes.iter().rposition(|size| !large(size)).unwrap();
    let last_large = sizes.iter().rposition(large).unwrap();
    assert!(last_small < last_large, "{sizes:?}");
}
