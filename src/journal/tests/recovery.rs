//! Crashes and power losses: files cut at any byte, filled with zeros, without their index.

use std::path::Path;

use super::*;
use crate::{
    journal::{JournalError, index::HEADER_BYTES},
    media::flv::header::encode_tag,
};

/// What a reader gives back after recovery.
pub(super) fn recovered(place: &Place, session: SessionId) -> (Vec<Tag>, Vec<Sample>) {
    let mut reader = place.reader(session);
    (read_tags(&mut reader), all_samples(&mut reader))
}

/// Copies a session under a new root, so that it can be broken again and again.
pub(super) fn copy(from: &Place, session: SessionId) -> Place {
    let to = Place::new(1 << 20);
    let (source, target) = (from.folder(session), to.folder(session));
    fs::create_dir(&target).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
    }
    to
}

fn shorten(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Takes the seal off an index, as it is while its file is written.
pub(super) fn unseal(place: &Place, session: SessionId, number: u32) {
    let path = place.journal.folder(session).index(number);
    let mut bytes = fs::read(&path).unwrap();
    let mut header =
        crate::journal::index::IndexHeader::decode(bytes.first_chunk().unwrap()).unwrap();
    header.seal = None;
    bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
    fs::write(path, bytes).unwrap();
}

#[test]
fn cut_at_every_byte() {
    let place = Place::new(1 << 20);
    let tags = stream();
    let (session, end) = place.record(&tags, 5);
    let (all_tags, all_samples) = recovered(&place, session);
    assert_eq!(all_tags, tags);
    let (data, index) = files(&place, session).remove(0);
    let prefix = data.len() as u64 - end;
    let broken = copy(&place, session);
    let folder = broken.journal.folder(session);
    for cut in 0..data.len() as u64 {
        fs::write(folder.data(1), &data[..cut as usize]).unwrap();
        fs::write(folder.index(1), &index).unwrap();
        let found = broken.journal.recover(session).unwrap();
        if cut < prefix {
            assert_eq!((found.head, found.set_aside, found.progress.written), (None, 1, 0));
            assert!(matches!(broken.journal.reader(session), Err(JournalError::Missing(_))));
            continue;
        }
        let kept = |s: &&Sample| s.position + u64::from(s.tag_len) <= cut - prefix;
        let is_whole = |s: &Sample| {
            all_samples.iter().find(|f| f.position == s.position).filter(kept).is_some()
        };
        let samples: Vec<Sample> = all_samples.iter().copied().filter(is_whole).collect();
        let (tags, seen) = recovered(&broken, session);
        assert_eq!(seen, samples, "cut at {cut}");
        assert_eq!(tags, all_tags[..tags.len()]);
        let written = samples.iter().map(|s| s.position + u64::from(s.tag_len)).max().unwrap_or(0);
        assert_eq!(found.progress.written, written);
        assert_eq!((found.cut_bytes, found.rebuilt), (cut - prefix - written, 1));
        assert_eq!(found.head.as_deref(), Some(HEAD));
        // The index is the beginning of the one that was written.
        let again = fs::read(folder.index(1)).unwrap();
        assert_eq!(again[HEADER_BYTES..], index[HEADER_BYTES..again.len()]);
        // And now there is nothing left to do.
        let settled = broken.journal.recover(session).unwrap();
        assert_eq!((settled.cut_bytes, settled.rebuilt), (0, 0));
        assert_eq!(settled.progress, found.progress);
    }
}

#[test]
fn cut_at_every_byte_of_the_last_of_many_files() {
    let place = Place::new(100);
    let tags = stream();
    let (session, _) = place.record(&tags, 5);
    let all = files(&place, session);
    let (data, index) = all.last().unwrap();
    let last = all.len() as u32;
    assert!(last > 4);
    let broken = copy(&place, session);
    let folder = broken.journal.folder(session);
    let mut most = 0;
    for cut in 0..data.len() {
        fs::write(folder.data(last), &data[..cut]).unwrap();
        fs::write(folder.index(last), index).unwrap();
        let found = broken.journal.recover(session).unwrap();
        let seen = recovered(&broken, session).0;
        assert_eq!(seen, tags[..seen.len()]);
        assert!(seen.len() >= most, "a longer file holds no less");
        most = seen.len();
        assert_eq!(found.head.as_deref(), Some(HEAD));
        let _ = fs::remove_file(folder.path.join(format!("{last:08}.flv.damaged")));
    }
    assert!(most + 1 >= tags.len());
}

#[test]
fn zeros_and_garbage_at_the_end_are_no_tags() {
    let place = Place::new(1 << 20);
    let tags = stream();
    let (session, _) = place.record(&tags, 5);
    let (data, index) = files(&place, session).remove(0);
    for tail in [
        vec![0; 1],
        vec![0; 4096],
        vec![0xff; 77],
        vec![9; 5000],
        b"\x08\x00\x00\x01\0\0\0\0\0\0\0A\0\0\0\x0d".to_vec(),
    ] {
        let broken = copy(&place, session);
        let folder = broken.journal.folder(session);
        fs::write(folder.data(1), [&data[..], &tail[..]].concat()).unwrap();
        let found = broken.journal.recover(session).unwrap();
        assert_eq!(found.cut_bytes, tail.len() as u64);
        assert_eq!(recovered(&broken, session).0, tags);
        assert_eq!(files(&broken, session), [(data.clone(), index.clone())]);
    }
    // Zeros in place of the end, as after a power loss.
    for zeroed in [1, 30, 500] {
        let broken = copy(&place, session);
        let folder = broken.journal.folder(session);
        let mut bytes = data.clone();
        let from = bytes.len() - zeroed;
        bytes[from..].fill(0);
        fs::write(folder.data(1), &bytes).unwrap();
        unseal(&broken, session, 1);
        let found = broken.journal.recover(session).unwrap();
        assert_eq!(found.rebuilt, 1);
        let seen = recovered(&broken, session).0;
        assert_eq!(seen, tags[..seen.len()]);
        assert!(seen.len() < tags.len() || zeroed < 40);
    }
}

#[test]
fn an_index_is_made_again() {
    let tags = stream();
    for roll_bytes in [100, 1 << 20] {
        let place = Place::new(roll_bytes);
        let (session, _) = place.record(&tags, 5);
        let whole = files(&place, session);
        let broken = copy(&place, session);
        let folder = broken.journal.folder(session);
        let numbers = folder.numbers().unwrap();
        let check = |how: &str, number: u32| {
            let found = broken.journal.recover(session).unwrap();
            assert_eq!((found.rebuilt, found.cut_bytes), (1, 0), "{how} {number}");
            assert_eq!(files(&broken, session), whole, "{how} {number}");
        };
        for number in numbers {
            let path = folder.index(number);
            let good = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            check("missing", number);
            for len in [
                0,
                1,
                HEADER_BYTES - 1,
                HEADER_BYTES,
                HEADER_BYTES + 7,
                good.len() - 48,
                good.len() - 1,
            ] {
                // An index without records is whole without them.
                if len < good.len() {
                    shorten(&path, len as u64);
                    check("short", number);
                }
            }
            for at in (0..good.len()).step_by(13) {
                let mut bad = good.clone();
                bad[at] ^= 0x40;
                fs::write(&path, &bad).unwrap();
                check("changed", number);
            }
            fs::write(&path, [&good[..], &good[HEADER_BYTES..]].concat()).unwrap();
            check("long", number);
            fs::write(&path, vec![0; good.len()]).unwrap();
            check("zeros", number);
            unseal(&broken, session, number);
            check("unsealed", number);
        }
    }
}

#[test]
fn a_position_that_runs_backwards_costs_its_file_at_most() {
    for (is_plain, has_index) in [(false, true), (false, false), (true, true), (true, false)] {
        let place = Place::new(0);
        let tags: Vec<Tag> = (0..6).map(|nth| keyframe(nth * 40, 20)).collect();
        let (session, _) = place.record(&tags, 1);
        if is_plain {
            super::heads::make_plain(&place, session);
        }
        let folder = place.journal.folder(session);
        let path = folder.data(3);
        let mut bytes = fs::read(&path).unwrap();
        let key = b"\"base\":";
        let at = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len();
        bytes[at] = b'9';
        fs::write(&path, &bytes).unwrap();
        if !has_index {
            fs::remove_file(folder.index(3)).unwrap();
        }
        let found = place.journal.recover(session).unwrap();
        // Of an earlier version, and without its index, it has nothing that would prove it wrong.
        let is_lost = is_plain && !has_index;
        assert_eq!((found.set_aside, found.mended), if is_lost { (1, 0) } else { (0, 1) });
        assert_eq!(path.exists(), !is_lost);
        let mut reader = place.reader(session);
        assert!(reader.start() < reader.end().unwrap());
        let mut left = tags;
        if is_lost {
            left.remove(2);
        }
        super::heads::assert_settled(&place, session, &left, "base");
    }
}

#[test]
fn a_damaged_file_in_the_middle_costs_only_itself() {
    let place = Place::new(0);
    let tags: Vec<Tag> = (0..6).map(|nth| keyframe(nth * 40, 20)).collect();
    let (session, _) = place.record(&tags, 1);
    let folder = place.journal.folder(session);
    fs::write(folder.data(3), b"FLV").unwrap();
    let found = place.journal.recover(session).unwrap();
    assert_eq!((found.set_aside, found.rebuilt), (1, 0));
    let mut seen = tags.clone();
    seen.remove(2);
    assert_eq!(recovered(&place, session).0, seen);
    let mut reader = place.reader(session);
    let position = reader.header(2).unwrap().base;
    assert!(reader.read(position - 1, &mut [0]).is_err(), "nothing stands where the file was");
    assert!(reader.configs(0, u64::MAX).unwrap().iter().next().is_none());
    // A file that was not synced to its end, though the next one was begun.
    let len = fs::metadata(folder.data(4)).unwrap().len();
    shorten(&folder.data(4), len - 1);
    unseal(&place, session, 4);
    assert_eq!(place.journal.recover(session).unwrap().rebuilt, 1);
    seen.remove(2);
    assert_eq!(recovered(&place, session).0, seen);
}

#[test]
fn an_abandoned_writer_leaves_what_was_written() {
    let place = Place::new(150);
    let tags = stream();
    let (session, mut writer) = place.begin();
    for (nth, tag) in tags.iter().enumerate() {
        writer.push(tag, wall_of(nth));
        if nth == 15 {
            place.runtime.block_on(writer.flush()).unwrap();
        }
    }
    assert!(matches!(place.journal.recover(session), Err(JournalError::Live(_))));
    drop(writer);
    let found = place.journal.recover(session).unwrap();
    assert!(found.progress.closed && found.progress.has_video);
    assert_eq!(recovered(&place, session).0, tags[..16]);
    let end = place.reader(session).end().unwrap();
    assert_eq!(found.progress.written, end);
    assert_eq!(place.journal.recover(session).unwrap().rebuilt, 0);
    assert!(found.progress.wall_ms > wall_of(15) - 1000 && found.progress.wall_ms <= wall_of(15));
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn any_damage_is_survived(
        tags in any_stream(),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        let place = Place::new(300);
        let (session, _) = place.record(&tags, 5);
        let folder = place.journal.folder(session);
        let numbers = folder.numbers().unwrap();
        for (file, is_index, at, value) in hits {
            let number = numbers[file.index(numbers.len())];
            let path = if is_index { folder.index(number) } else { folder.data(number) };
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = value;
            fs::write(&path, bytes).unwrap();
        }
        if let Some((file, at)) = cut {
            let path = folder.data(numbers[file.index(numbers.len())]);
            let len = fs::metadata(&path).unwrap().len();
            shorten(&path, at.index(len as usize + 1) as u64);
        }
        let found = place.journal.recover(session).unwrap();
        if found.head.is_some() {
            let mut reader = place.reader(session);
            let samples = all_samples(&mut reader);
            let mut end = reader.start();
            for sample in &samples {
                if sample.tag_len > 0 {
                    prop_assert!(sample.position >= end);
                    end = sample.position + u64::from(sample.tag_len);
                }
                prop_assert!(sample.position < end);
                // Damage inside a tag of a sealed file is not looked for, but met without a panic.
                let _ = reader.payload(sample);
            }
            prop_assert_eq!(reader.end().unwrap(), found.progress.written);
            let _ = reader.notes(reader.start());
            let _ = reader.configs(reader.start(), end);
            let _ = reader.metadata(end);
        }
        let settled = place.journal.recover(session).unwrap();
        prop_assert_eq!((settled.rebuilt, settled.cut_bytes, settled.set_aside), (0, 0, 0));
    }
}

#[test]
fn what_a_given_up_file_holds_beyond_the_next_one_does_not_count() {
    let place = Place::new(0);
    let tags: Vec<Tag> = (0..4).map(|nth| keyframe(nth * 40, 20)).collect();
    let (session, end) = place.record(&tags, 1);
    // The write failed after the data, the file could not be cut, and the batch went into the
    // next file.
    let folder = place.journal.folder(session);
    let mut data = fs::read(folder.data(2)).unwrap();
    let whole = data.clone();
    encode_tag(TagKind::Video, tags[2].time_ms, &tags[2].payload, &mut data);
    fs::write(folder.data(2), data).unwrap();
    unseal(&place, session, 2);
    let samples = all_samples(&mut place.reader(session));
    let index = fs::read(folder.index(2)).unwrap();
    let stale = fs::read(folder.index(3)).unwrap();
    fs::write(folder.index(2), [&index, &stale[HEADER_BYTES..]].concat()).unwrap();
    // So a reader sees it while the writer goes on, and so recovery does.
    assert_eq!(all_samples(&mut place.reader(session)), samples);
    let found = place.journal.recover(session).unwrap();
    assert_eq!((found.rebuilt, found.progress.written), (1, end));
    assert_eq!(fs::read(folder.data(2)).unwrap(), whole);
    assert_eq!(recovered(&place, session).0, tags);
}

#[test]
fn nanoseconds_and_the_codec_of_a_frame_survive_a_new_index() {
    let place = Place::new(0);
    let tags = [
        audio_config(0, 0x10),
        audio(0, 9),
        // MP3 under the configuration of AAC has none.
        tag(TagKind::Audio, 20, b"\x2fmp3"),
        audio(40, 9),
        tag(TagKind::Video, 41, b"\x97\x02\0\0\x09\x01av01a"),
        tag(TagKind::Video, 42, b"\x97\x02\0\0\0\x01av01a"),
    ];
    let (session, _) = place.record(&tags, 1);
    let frames = |place: &Place| -> Vec<(u32, bool)> {
        let samples = all_samples(&mut place.reader(session)).into_iter();
        let frames = samples.filter(|sample| sample.kind == SampleKind::Frame);
        frames.map(|sample| (sample.config, sample.has_nanos)).collect()
    };
    let written = frames(&place);
    assert_eq!(written, [(1, false), (0, false), (1, false), (0, true), (0, false)]);
    for number in 1.. {
        let index = place.journal.folder(session).index(number);
        if !index.exists() {
            break;
        }
        fs::remove_file(index).unwrap();
    }
    assert!(place.journal.recover(session).unwrap().rebuilt > 0);
    assert_eq!(frames(&place), written);
}
