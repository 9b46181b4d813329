//! Journals of a later version: known as such before anything takes them for damaged ones.
//!
//! Of whatever a later version writes, only this is relied upon: a data file begins with an FLV
//! header and a private script tag whose JSON says `{"head":{"format":N}}`.

use std::{fs::File, io::Read};

use super::{
    Journal,
    error::{JournalError, Result},
    private::{FORMAT, MARKER},
};
use crate::{
    domain::ids::SessionId,
    media::flv::header::{FILE_HEADER_LEN, TAG_HEADER_LEN},
};

/// Most bytes of a head that are looked at: the writer's own limit for a text, and some more.
const MAX_HEAD_BYTES: u64 = 2 << 20;

impl Journal {
    /// The format of a session's journal if it is later than this program's, with that. Blocking.
    ///
    /// # Errors
    /// The disk refuses. What is missing or damaged is not of a later version.
    pub fn newer_format(&self, session: SessionId) -> Result<Option<(u64, u32)>> {
        let folder = self.folder(session);
        let Some(number) = folder.numbers()?.into_iter().next() else { return Ok(None) };
        let path = folder.data(number);
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(JournalError::io("open", &path))?;
        file.take(MAX_HEAD_BYTES)
            .read_to_end(&mut bytes)
            .map_err(JournalError::io("read", &path))?;
        Ok(format_of(&bytes)
            .filter(|format| *format > FORMAT.into())
            .map(|format| (format, FORMAT)))
    }
}

fn format_of(file: &[u8]) -> Option<u64> {
    let payload = file.get(FILE_HEADER_LEN + TAG_HEADER_LEN..)?.strip_prefix(MARKER)?;
    let (length, rest) = payload.split_first_chunk::<4>()?;
    let json = rest.get(..u32::from_be_bytes(*length) as usize)?;
    let head: serde_json::Value = serde_json::from_slice(json).ok()?;
    head.get("head")?.get("format")?.as_u64()
}
