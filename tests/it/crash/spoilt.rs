//! Journal files whose heads are spoilt when the server starts.

use std::{fs, path::Path};

use liverec::media::tag::Tag;
use serde_json::Value;

use crate::{
    follow::heavy,
    support::{
        packets::Packets,
        pushing::{Source, journal_files},
        receiver::Receiver,
        run,
        server::{BACKENDS, Backend, Server},
    },
    verbatim::{FORMATS, recorder},
};

use super::{
    SERVER_STOPPED, assert_holds, half_pushed, here, leave_pushed, lost_end::LACKING, told,
};

/// What recovery says of each.
const MENDED: &str = "the head of a journal file was spoilt";

/// What the only file of a journal says of its session cannot be read any more, in none of its
/// places, but the rows know it.
#[test]
fn a_journal_with_a_spoilt_head_is_followed_by_its_rows() {
    for backend in BACKENDS {
        let (mut server, receiver, source, sent) = half_pushed(backend, 700);
        server.kill();
        let [only] = &journal_files(&server)[..] else { panic!("one file was to be written") };
        spoil(only, |head| head.fill(0));
        server.expect(MENDED);
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        assert_holds(&server, &files, &source, &sent);
        assert_eq!(server.logs.count(MENDED), 1);
    }
}

/// The first file, one in the middle and the last: a byte of each at another place.
#[test]
fn a_flipped_byte_in_the_heads_of_a_journal_costs_no_packet() {
    for (backend, part) in BACKENDS.into_iter().zip([3, 5]) {
        let flip = |head: &mut [u8]| head[head.len() / part] ^= 0x11;
        assert_costs_nothing(backend, flip);
    }
}

/// The same three, with nothing left of what is before their tags.
#[test]
fn heads_of_which_nothing_is_left_cost_no_packet() {
    for backend in BACKENDS {
        assert_costs_nothing(backend, |head| head.fill(0xee));
    }
}

/// The last file cannot be read any more, and nothing says what it held: all before it is stored, and
/// the files say that there was more.
#[test]
fn an_end_that_cannot_be_read_is_told() {
    const ASIDE: &str = "a journal file is put aside";
    for backend in BACKENDS {
        let (mut server, receiver, source, _) = long_pushed(backend);
        server.kill();
        let files = journal_files(&server);
        let last = files.last().unwrap();
        let spoilt = vec![0xee; fs::metadata(last).unwrap().len().try_into().unwrap()];
        fs::write(last, &spoilt).unwrap();
        fs::remove_file(last.with_extension("idx")).unwrap();
        server.expect(ASIDE);
        server.expect(LACKING);
        server.launch();
        for file in told(&receiver, SERVER_STOPPED, FORMATS.len()) {
            let ext: Value = serde_json::from_str(file["callback_ext"].as_str().unwrap()).unwrap();
            let gaps = ext["liverec"]["gaps"].as_array().unwrap();
            assert_eq!(gaps.len(), 1, "{ext:#}");
            assert_eq!(gaps[0]["cause"], "journal_lost", "{ext:#}");
            let url = here(&server, &file);
            let found = Packets::of(&url);
            assert!(found.audio.len() > 20, "{url}");
            if found.video.is_empty() {
                assert!(url.ends_with(".aac"), "{url}");
            } else {
                let pushed = Packets::of(source.name());
                let pushed = pushed.first(found.video.len(), found.audio.len());
                found.assert_payloads_and_times(&pushed, &url);
            }
            run(server.cli().args(["verify", file["file_id"].as_str().unwrap()]));
        }
        assert_eq!(server.logs.count(ASIDE), 1);
    }
}

/// The first byte of some frames, which says their codec and whether they are key frames: who reads the
/// FLV takes them for something else than the index does.
#[test]
fn an_flv_of_frames_whose_first_byte_rotted_is_what_its_journal_held() {
    const DAMAGED: &str = "a journal file is damaged";
    for backend in BACKENDS {
        let (mut server, receiver, ..) = half_pushed(backend, 700);
        server.kill();
        let [only] = &journal_files(&server)[..] else { panic!("one file was to be written") };
        let rotten = rot_first_bytes(only, &[(8, 200), (9, 300), (8, 301), (9, 302)]);
        server.expect(DAMAGED);
        server.launch();
        let files = told(&receiver, SERVER_STOPPED, FORMATS.len());
        server.stop();
        for with_journal in [true, false] {
            if !with_journal {
                fs::remove_dir_all(server.data_dir().join("journal")).unwrap();
            }
            for file in &files {
                let id = file["file_id"].as_str().unwrap();
                let output = server.cli().args(["verify", id]).output().unwrap();
                let report = String::from_utf8(output.stdout).unwrap();
                assert_eq!(output.status.code(), Some(0), "{report}");
                assert!(report.contains("is what its journal held, which was damaged"), "{report}");
                let is_flv = report.starts_with("flv");
                let all = format!("{rotten} packets had been damaged");
                assert!(!is_flv || report.contains(&all), "{report}");
                assert_eq!(report.contains("not read as what it was"), is_flv, "{report}");
            }
        }
    }
}

/// Changes the first byte behind the header of tags of a journal file, each given by its kind and how
/// many stand before the first such one to look at. Says how many were changed.
fn rot_first_bytes(path: &Path, which: &[(u8, usize)]) -> usize {
    let mut bytes = fs::read(path).unwrap();
    let (mut at, mut nth, mut rotten) = (prefix_len(path), 0, 0);
    while let Some(header) = bytes.get(at..at + 11) {
        let size = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let is_wanted = |(kind, from): &(u8, usize)| *kind == header[0] && nth >= *from;
        if which.get(rotten).is_some_and(is_wanted) {
            bytes[at + 11] ^= 0x5a;
            rotten += 1;
        }
        (at, nth) = (at + 11 + size + 4, nth + 1);
    }
    assert_eq!(rotten, which.len());
    fs::write(path, bytes).unwrap();
    rotten
}

fn assert_costs_nothing(backend: Backend, spoil_head: impl Fn(&mut [u8])) {
    let (mut server, receiver, source, sent) = long_pushed(backend);
    server.kill();
    let files = journal_files(&server);
    assert!(files.len() > 4, "{files:?}");
    for path in [&files[0], &files[files.len() / 2], &files[files.len() - 1]] {
        spoil(path, &spoil_head);
    }
    server.expect(MENDED);
    server.launch();
    let stored = told(&receiver, SERVER_STOPPED, FORMATS.len());
    assert_holds(&server, &stored, &source, &sent);
    assert_eq!(server.logs.count(MENDED), 3);
}

/// Changes what a journal file has before its tags.
fn spoil(path: &Path, change: impl FnOnce(&mut [u8])) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes[..prefix_len(path)]);
    fs::write(path, bytes).unwrap();
}

/// How much a journal file has before its tags; the index says it.
fn prefix_len(path: &Path) -> usize {
    let index = fs::read(path.with_extension("idx")).unwrap();
    u32::from_le_bytes(index[40..44].try_into().unwrap()) as usize
}

/// A push in several journal files that goes on when all of it is there.
pub fn long_pushed(backend: Backend) -> (Server, Receiver, Source, Vec<Tag>) {
    let settings = [("hls.segment_duration", "2s"), ("journal.unclaimed_max", "1MiB")];
    let (server, receiver) = recorder(backend, &FORMATS, 7200, &settings);
    let source = heavy(&server, 4);
    let sent = source.tags.clone();
    leave_pushed(&server, &sent);
    (server, receiver, source, sent)
}
