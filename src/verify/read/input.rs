//! Bytes of one object from its first to its last, and where they are.

use std::io::Read;

use crate::verify::packet::{ReadError, Result};

/// Longest packet in bytes. An RTMP message has at most 16 MiB; Annex B makes it a little longer.
pub const PACKET_MAX: u64 = 32 << 20;

/// Bytes skipped at a time.
const SKIP_BYTES: u64 = 64 << 10;

/// An object being read.
pub struct Input<'a> {
    source: &'a mut dyn Read,
    at: u64,
}

impl<'a> Input<'a> {
    /// Reads from the beginning.
    pub fn new(source: &'a mut dyn Read) -> Self {
        Input { source, at: 0 }
    }

    /// How many bytes were read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Replaces `out` by the next `len` bytes, or by those that are left. Memory grows with what
    /// really comes, whatever `len` says.
    pub fn up_to(&mut self, len: u64, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let read = (&mut *self.source).take(len).read_to_end(out)?;
        self.at += read as u64;
        Ok(())
    }

    /// Replaces `out` by the next `len` bytes.
    ///
    /// # Errors
    /// The object ends before; `what` is then said to be cut short.
    pub fn exactly(&mut self, len: u64, what: &str, out: &mut Vec<u8>) -> Result<()> {
        let from = self.at;
        self.up_to(len, out)?;
        if out.len() as u64 == len {
            return Ok(());
        }
        Err(ReadError::malformed(
            from,
            format!("{what} is cut short: the object has {} of its {len} bytes", out.len()),
        ))
    }

    /// The next `N` bytes; none at the end of the object.
    ///
    /// # Errors
    /// The object ends within them; `what` is then said to be cut short.
    pub fn array<const N: usize>(&mut self, what: &str) -> Result<Option<[u8; N]>> {
        let (from, mut bytes) = (self.at, Vec::with_capacity(N));
        self.up_to(N as u64, &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        bytes.first_chunk::<N>().copied().map(Some).ok_or_else(|| {
            ReadError::malformed(from, format!("{what} is cut short: the object ends in it"))
        })
    }

    /// Passes over bytes up to a place in the object.
    ///
    /// # Errors
    /// That place is before this one, or the object ends before it.
    pub fn skip_to(&mut self, place: u64, what: &str) -> Result<()> {
        let mut rest = place.checked_sub(self.at).ok_or_else(|| {
            ReadError::malformed(place, format!("{what} lies before what was read already"))
        })?;
        let mut scratch = Vec::new();
        while rest > 0 {
            self.exactly(rest.min(SKIP_BYTES), what, &mut scratch)?;
            rest -= scratch.len() as u64;
        }
        Ok(())
    }
}
