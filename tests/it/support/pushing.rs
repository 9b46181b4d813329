//! Pushes that are copies of a file, the file that such a push must become, and what a live
//! journal holds at this moment.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use liverec::media::tag::{Tag, TagKind};
use serde_json::Value;

use super::{
    ffmpeg::{Codecs, ffmpeg, ffmpeg7, make_source},
    publisher::{is_header, parse_tags, read_tags},
    run,
    server::{Server, fetch},
};

/// A file to push, and the same file as ffmpeg's `-c copy` writes it: tag for tag what it pushes.
pub struct Source {
    codecs: Codecs,
    /// What is pushed.
    pub path: PathBuf,
    /// The tags that go over the wire.
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
        assert!(tags.len() > 10);
        Self { codecs, path, tags }
    }

    /// Pushes it as fast as it goes, to its end.
    pub fn push(&self, url: &str) {
        run(self.pushing(url));
    }

    /// The command that pushes it.
    pub fn pushing(&self, url: &str) -> &'static mut Command {
        let mut command = copying(self.codecs, &self.path);
        command.arg(url);
        Box::leak(Box::new(command))
    }

    /// The path as text.
    pub fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

fn copying(codecs: Codecs, path: &Path) -> Command {
    let mut command = match codecs {
        Codecs::HevcAac => ffmpeg7(),
        Codecs::H264Aac | Codecs::Aac => ffmpeg(),
    };
    command.arg("-i").arg(path).args(["-map", "0", "-c", "copy", "-f", "flv"]);
    command
}

/// Everything but frames left out.
pub fn frames(tags: &[Tag]) -> Vec<Tag> {
    tags.iter().filter(|tag| !is_header(tag)).cloned().collect()
}
