//! Pushes that are copies of a file, the tags that such a push must arrive as, and what a journal
//! holds at this moment.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use liverec::media::tag::{Tag, TagKind};

use super::{
    ffmpeg::{Codecs, ffmpeg, ffmpeg7, make_source},
    publisher::{is_header, parse_tags, read_tags},
    run,
    server::{Server, fetch},
};

/// A file to push, and its tags as ffmpeg's `-c copy` sends them.
pub struct Source {
    codecs: Codecs,
    /// What is pushed.
    pub path: PathBuf,
    /// The tags that go over the wire: the same command writing to a file makes the same tags.
    pub tags: Vec<Tag>,
}

impl Source {
    /// Makes a source of so many seconds in the server's folder.
    pub fn make(server: &Server, codecs: Codecs, seconds: u32) -> Self {
        let path = server.folder().join("source.flv");
        make_source(codecs, seconds, &path);
        Self::of(codecs, path)
    }

    /// A source that is there already.
    pub fn of(codecs: Codecs, path: PathBuf) -> Self {
        let copy = path.with_extension("copy.flv");
        run(copying(codecs, &path).arg(&copy));
        let tags = read_tags(&copy);
        Self { codecs, path, tags }
    }

    /// A file whose tags went over the wire as they are.
    pub fn muxed(codecs: Codecs, path: PathBuf) -> Self {
        let tags = read_tags(&path);
        Self { codecs, path, tags }
    }

    /// Pushes it as fast as it goes, to its end.
    pub fn push(&self, url: &str) {
        run(&mut self.pushing(url, &[]));
    }

    /// The command that pushes it, with further options for the input, such as `-re`.
    pub fn pushing(&self, url: &str, options: &[&str]) -> Command {
        let mut command = program(self.codecs);
        command.args(options);
        add_copy(&mut command, &self.path);
        command.arg(url);
        command
    }

    /// The path as text.
    pub fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

fn program(codecs: Codecs) -> Command {
    match codecs {
        Codecs::HevcAac => ffmpeg7(),
        Codecs::H264Aac | Codecs::Aac => ffmpeg(),
    }
}

fn add_copy(command: &mut Command, path: &Path) {
    command.arg("-i").arg(path).args(["-map", "0", "-c", "copy", "-f", "flv"]);
}

fn copying(codecs: Codecs, path: &Path) -> Command {
    let mut command = program(codecs);
    add_copy(&mut command, path);
    command
}

/// Everything that is no frame left out.
pub fn frames(tags: &[Tag]) -> Vec<Tag> {
    tags.iter().filter(|tag| !is_header(tag)).cloned().collect()
}

/// The tags of an FLV product, without the onMetaData at its head.
pub fn product_tags(url: &str) -> Vec<Tag> {
    let mut tags = parse_tags(&fetch(url));
    let head = tags.remove(0);
    assert!(is_metadata(&head), "{url} begins with {head:?}");
    tags
}

/// Pushed tags as an FLV product must hold them behind its head: the first onMetaData is in the
/// head, and FLV has 32 bits for the time.
pub fn as_in_product(pushed: &[Tag]) -> Vec<Tag> {
    let mut tags = pushed.to_vec();
    if let Some(first) = tags.iter().position(is_metadata) {
        tags.remove(first);
    }
    for tag in &mut tags {
        tag.time_ms &= 0xffff_ffff;
    }
    tags
}

fn is_metadata(tag: &Tag) -> bool {
    tag.kind == TagKind::Script && tag.payload.starts_with(b"\x02\0\x0aonMetaData")
}

/// A tag of H.264 or AAC as one of track 1.
pub fn in_track_1(tag: &Tag) -> Tag {
    let payload = match (tag.kind, &tag.payload[..]) {
        (TagKind::Script, payload) => payload.to_vec(),
        (TagKind::Video, [head, packet, body @ ..]) => {
            let skipped = if *packet == 1 { 0 } else { 3 };
            let head = [0x80 | (head & 0x70) | 6, *packet];
            [&head, &b"avc1\x01"[..], &body[skipped..]].concat()
        }
        (TagKind::Audio, [_, packet, body @ ..]) => {
            [&[0x95, *packet], &b"mp4a\x01"[..], body].concat()
        }
        other => panic!("{other:?}"),
    };
    Tag { payload: Bytes::from(payload), ..tag.clone() }
}

/// The same tags in the same order; names the first difference.
pub fn assert_same_tags(found: &[Tag], expected: &[Tag], what: &str) {
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let same = found == expected;
        assert!(same, "{what}: tag {index} is {found:?} and not {expected:?}");
    }
    assert_eq!(found.len(), expected.len(), "{what}: number of tags");
}

/// The data files of all journals, oldest first within a session.
pub fn journal_files(server: &Server) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(sessions) = fs::read_dir(server.data_dir().join("journal")) else { return files };
    for session in sessions {
        let Ok(entries) = fs::read_dir(session.unwrap().path()) else { continue };
        files.extend(
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|e| e == "flv")),
        );
    }
    files.sort();
    files
}

/// The session that a file of a journal is of.
pub fn session_of(journal_file: &Path) -> String {
    journal_file.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

/// The whole frames that journals hold at this moment.
pub fn journaled_frames(server: &Server) -> Vec<Tag> {
    let mut tags = Vec::new();
    for path in journal_files(server) {
        tags.extend(whole_tags(&fs::read(path).unwrap_or_default()));
    }
    frames(&tags)
}

/// The whole frames that the journal of the newest push holds at this moment.
pub fn newest_frames(server: &Server) -> Vec<Tag> {
    let files = journal_files(server);
    let newest = files.last().and_then(|file| file.parent());
    let mut tags = Vec::new();
    for path in files.iter().filter(|file| file.parent() == newest) {
        tags.extend(whole_tags(&fs::read(path).unwrap_or_default()));
    }
    frames(&tags)
}

/// The tags of an FLV file that may end anywhere.
pub fn whole_tags(file: &[u8]) -> Vec<Tag> {
    let mut rest = file.get(13..).unwrap_or_default();
    let mut tags = Vec::new();
    while let Some(header) = rest.get(..11) {
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let Some(payload) = rest.get(11..11 + length) else { break };
        let Some(after) = rest.get(11 + length + 4..) else { break };
        let time = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
        let kind = TagKind::from_byte(header[0]).unwrap();
        tags.push(Tag { kind, time_ms: time.into(), payload: Bytes::copy_from_slice(payload) });
        rest = after;
    }
    tags
}
