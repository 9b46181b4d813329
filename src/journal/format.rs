//! Journals of a later version: known as such before anything takes them for damaged ones.
//!
//! Of whatever a later version writes, only this is relied upon: a data file begins with an FLV
//! header and a private script tag whose JSON says `{"head":{"format":N}}`; and that a checksum that
//! looks like ours is one.

use std::{fs::File, io::Read};

use super::{
    Journal,
    error::{JournalError, Result},
    private::{FORMAT, MARKER, has_true_crc},
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
        // One head that is spoilt says nothing, the next one does.
        for number in folder.numbers()? {
            let path = folder.data(number);
            let mut bytes = Vec::new();
            let file = File::open(&path).map_err(JournalError::io("open", &path))?;
            file.take(MAX_HEAD_BYTES)
                .read_to_end(&mut bytes)
                .map_err(JournalError::io("read", &path))?;
            if let Some(format) = format_of(&bytes) {
                return Ok((format > FORMAT.into()).then_some((format, FORMAT)));
            }
        }
        Ok(None)
    }
}

fn format_of(file: &[u8]) -> Option<u64> {
    let payload = file.get(FILE_HEADER_LEN + TAG_HEADER_LEN..)?.strip_prefix(MARKER)?;
    let (length, rest) = payload.split_first_chunk::<4>()?;
    let json = rest.get(..u32::from_be_bytes(*length) as usize)?;
    // A flipped byte must not look like a later version, which keeps the server from starting.
    if has_true_crc(json) == Some(false) {
        return None;
    }
    let head: serde_json::Value = serde_json::from_slice(json).ok()?;
    head.get("head")?.get("format")?.as_u64()
}
