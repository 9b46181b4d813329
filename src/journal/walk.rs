//! The FLV tags of a journal file, one after the other (FLV v10.1 E.3, E.4.1).
//!
//! Stricter than a player: what this accepts is exactly what the writer writes, since it decides
//! where a torn file ends.

use std::io::{self, Read};

use crate::media::{
    flv::header::{
        FILE_HEADER_LEN, FileHeader, TAG_HEADER_LEN, TAG_TRAILER_LEN, TagHeader, encode_tag_trailer,
    },
    tag::TagKind,
};

/// Header of every journal file, with the first back pointer. It claims audio and video; which of
/// them come is not known yet, and players look at the tags.
pub(super) fn file_header() -> [u8; FILE_HEADER_LEN] {
    FileHeader { has_audio: true, has_video: true }.encode()
}

/// Reads tags until the first that is not whole.
pub(super) struct Walk<R> {
    input: R,
    payload: Vec<u8>,
    len: u64,
}

/// A tag as it stands in the file.
pub(super) struct RawTag<'a> {
    /// Its header.
    pub header: [u8; TAG_HEADER_LEN],
    /// Its kind.
    pub kind: TagKind,
    /// Its time, 32 bits of it.
    pub time: u32,
    /// What it carries.
    pub payload: &'a [u8],
}

impl RawTag<'_> {
    /// All of it, back pointer included.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.header, self.payload, &encode_tag_trailer(self.payload.len() as u32)].concat()
    }
}

impl<R: Read> Walk<R> {
    /// `input` stands at the beginning of a file. `None` if it does not begin like a journal file.
    pub fn open(mut input: R) -> io::Result<Option<Self>> {
        let mut header = [0; FILE_HEADER_LEN];
        let is_ours = fill(&mut input, &mut header)? && header == file_header();
        let len = header.len() as u64;
        Ok(is_ours.then_some(Walk { input, payload: Vec::new(), len }))
    }

    /// `input` stands where a tag begins, behind so many bytes of the file.
    pub fn resume(input: R, len: u64) -> Self {
        Walk { input, payload: Vec::new(), len }
    }

    /// Bytes of the file up to the end of the last tag.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The next tag; `None` at the end and where no whole tag follows.
    ///
    /// # Errors
    /// The file cannot be read; that says nothing about what is in it.
    pub fn next(&mut self) -> io::Result<Option<RawTag<'_>>> {
        let mut bytes = [0; TAG_HEADER_LEN];
        if !fill(&mut self.input, &mut bytes)? {
            return Ok(None);
        }
        let header = TagHeader::decode(&bytes);
        let Some(kind) = header.kind().filter(|_| header.stream_id == 0) else { return Ok(None) };
        self.payload.resize(header.data_size as usize, 0);
        let mut trailer = [0; TAG_TRAILER_LEN];
        let is_whole =
            fill(&mut self.input, &mut self.payload)? && fill(&mut self.input, &mut trailer)?;
        if !is_whole || trailer != encode_tag_trailer(header.data_size) {
            return Ok(None);
        }
        self.len += header.tag_len();
        Ok(Some(RawTag { header: bytes, kind, time: header.time_ms, payload: &self.payload }))
    }
}

/// Fills `buf`; false if the input ends before.
fn fill(input: &mut impl Read, buf: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buf) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
