//! What rots in a journal is noticed, in journals of this version and of the one before.

use super::*;
use crate::journal::is_intact;

/// Positions of the tags that are not what came.
fn damaged(reader: &mut Reader) -> Vec<u64> {
    let (samples, mut found) = (all_samples(reader), Vec::new());
    for sample in &samples {
        let (from, len) = match sample.tag_len {
            0 => (sample.data_position(), sample.data_len),
            len => (sample.position, len),
        };
        let mut bytes = vec![0; len as usize];
        reader.read(from, &mut bytes).unwrap();
        if !is_intact(sample, &bytes) && found.last() != Some(&sample.position) {
            found.push(sample.position);
        }
    }
    found
}

/// Changes a byte of the journal's only file.
fn rot(place: &Place, session: SessionId, at: u64) {
    let path = place.journal.folder(session).data(1);
    let mut data = fs::read(&path).unwrap();
    data[at as usize] ^= 0x10;
    fs::write(path, data).unwrap();
}

/// Makes an index what version 1 would have written: records of 48 bytes, each with its own
/// checksum, and nothing of the tags.
fn as_version_1(index: &[u8]) -> Vec<u8> {
    let with_crc = |bytes: &[u8]| [bytes, &crc32fast::hash(bytes).to_le_bytes()].concat();
    let mut header = index[..68].to_vec();
    header[8..12].copy_from_slice(&[1, 0, 48, 0]);
    let mut old = with_crc(&header);
    for record in index[72..].chunks_exact(52) {
        old.extend(with_crc(&record[..44]));
    }
    old
}

/// An index as a crash leaves it.
fn without_seal(index: &[u8]) -> Vec<u8> {
    let mut unsealed = index.to_vec();
    unsealed[52..60].fill(0xff);
    unsealed[60..68].fill(0);
    let crc = crc32fast::hash(&unsealed[..68]);
    unsealed[68..72].copy_from_slice(&crc.to_le_bytes());
    unsealed
}

#[test]
fn damage_is_noticed_tag_by_tag() {
    let place = Place::new(1 << 20);
    let tags = stream();
    let (session, end) = place.record(&tags, 5);
    let prefix = files(&place, session)[0].0.len() as u64 - end;
    let samples = all_samples(&mut place.reader(session));
    assert!(samples.iter().all(|sample| sample.crc.is_some()));
    assert!(damaged(&mut place.reader(session)).is_empty());
    for at in (0..end).step_by(3) {
        rot(&place, session, prefix + at);
        // What is complete is not looked at byte by byte after a crash.
        let found = place.journal.recover(session).unwrap();
        assert_eq!((found.rebuilt, found.cut_bytes), (0, 0));
        let hit = samples.iter().rev().find(|sample| sample.position <= at).unwrap();
        assert_eq!(damaged(&mut place.reader(session)), [hit.position], "byte {at}");
        rot(&place, session, prefix + at);
    }
}

#[test]
fn a_new_index_does_not_hide_what_the_old_one_knew() {
    let place = Place::new(1 << 20);
    let tags = [
        video_config(0, 1),
        keyframe(0, 100),
        // Two tracks in one tag.
        tag(TagKind::Video, 20, b"\x96\x11avc1\x00\0\0\x05\0\0\x01ab\x01\0\0\x05\0\0\x01cd"),
        inter(40, 100),
    ];
    let (session, end) = place.record(&tags, 5);
    let samples = all_samples(&mut place.reader(session));
    let further = samples.iter().find(|sample| sample.tag_len == 0).unwrap();
    let prefix = files(&place, session)[0].0.len() as u64 - end;
    rot(&place, session, prefix + further.data_position());
    let index = place.journal.folder(session).index(1);
    let written = fs::read(&index).unwrap();
    // A crash leaves the index without its seal; another one leaves some of it.
    let mut unsealed = without_seal(&written);
    fs::write(&index, &unsealed).unwrap();
    assert_eq!(place.journal.recover(session).unwrap().rebuilt, 1);
    assert_eq!(fs::read(&index).unwrap(), written);
    assert_eq!(damaged(&mut place.reader(session)), [further.position]);
    // A record that is no record costs its own checksum only.
    unsealed[72 + 7] ^= 1;
    fs::write(&index, &unsealed).unwrap();
    assert_eq!(place.journal.recover(session).unwrap().rebuilt, 1);
    assert_eq!(damaged(&mut place.reader(session)), [further.position]);
    // Without the index nobody can tell.
    fs::remove_file(&index).unwrap();
    assert_eq!(place.journal.recover(session).unwrap().rebuilt, 1);
    assert!(damaged(&mut place.reader(session)).is_empty());
    assert_eq!(all_samples(&mut place.reader(session)).len(), samples.len());
}

/// What says codec and kind of a frame is in its first bytes: were those believed after they rotted,
/// the frame would be of a codec that nobody sent, or none, and nothing would tell of it.
#[test]
fn what_a_new_index_says_of_a_rotted_frame_is_what_came() {
    let place = Place::new(1 << 20);
    let audio = |time_ms| tag(TagKind::Audio, time_ms, b"\xaf\x01sound");
    let tags = [
        video_config(0, 1),
        keyframe(0, 20),
        tag(TagKind::Video, 20, b"\x96\x11avc1\x00\0\0\x05\0\0\x01ab\x01\0\0\x05\0\0\x01cd"),
        audio(21),
        inter(40, 20),
        audio(44),
    ];
    let (session, end) = place.record(&tags, 5);
    let folder = place.journal.folder(session);
    let (data, index) = (folder.data(1), folder.index(1));
    let (written, indexed) = (fs::read(&data).unwrap(), fs::read(&index).unwrap());
    let samples = all_samples(&mut place.reader(session));
    let prefix = written.len() as u64 - end;
    let frames = samples.iter().filter(|s| s.kind == SampleKind::Frame && s.tag_len > 0);
    for frame in frames {
        for at in 11..u64::from(frame.tag_len) - 4 {
            for bit in 0..8 {
                let mut rotted = written.clone();
                rotted[(prefix + frame.position + at) as usize] ^= 1 << bit;
                fs::write(&data, &rotted).unwrap();
                fs::write(&index, without_seal(&indexed)).unwrap();
                assert_eq!(place.journal.recover(session).unwrap().rebuilt, 1);
                let mut reader = place.reader(session);
                assert_eq!(damaged(&mut reader), [frame.position], "byte {at} bit {bit}");
                let found = all_samples(&mut place.reader(session));
                assert_eq!(found, samples, "byte {at} bit {bit} of {frame:?}");
                assert_eq!(fs::read(&data).unwrap(), rotted, "the bytes are kept as they are");
            }
        }
    }
}

#[test]
fn a_journal_of_version_1_is_read_as_it_is() {
    let place = Place::new(100);
    let tags = stream();
    let (session, _) = place.record(&tags, 5);
    let folder = place.journal.folder(session);
    let samples = all_samples(&mut place.reader(session));
    let count = files(&place, session).len() as u32;
    assert!(count > 4);
    for number in 1..=count {
        let index = folder.index(number);
        fs::write(&index, as_version_1(&fs::read(&index).unwrap())).unwrap();
    }
    let old: Vec<Sample> = samples.iter().map(|sample| Sample { crc: None, ..*sample }).collect();
    let check = || {
        let mut reader = place.reader(session);
        assert_eq!((all_samples(&mut reader), read_tags(&mut reader)), (old.clone(), tags.clone()));
        assert!(damaged(&mut reader).is_empty());
    };
    check();
    // It is sound, and stays what it is.
    let before = files(&place, session);
    assert_eq!(place.journal.recover(session).unwrap().rebuilt, 0);
    assert_eq!(files(&place, session), before);
    check();
    // A file that a crash has left is finished as one of this version.
    let index = folder.index(count);
    let mut header = fs::read(&index).unwrap();
    header[52..60].fill(0xff);
    let crc = crc32fast::hash(&header[..68]);
    header[68..72].copy_from_slice(&crc.to_le_bytes());
    fs::write(&index, header).unwrap();
    assert_eq!(place.journal.recover(session).unwrap().rebuilt, 1);
    let mut reader = place.reader(session);
    let mixed = all_samples(&mut reader);
    assert_eq!(read_tags(&mut reader), tags);
    assert_eq!(mixed.last(), samples.last());
    assert_eq!(mixed.first(), old.first());
    // Without checksums a tag is compared with its record.
    let mut data = fs::read(folder.data(1)).unwrap();
    let at = data.len() - 4;
    data[at] ^= 1;
    fs::write(folder.data(1), data).unwrap();
    assert_eq!(damaged(&mut place.reader(session)).len(), 1);
}
