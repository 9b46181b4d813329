//! The bytes of one object against the sizes and hashes that were written down when it was stored,
//! part by part, in the same pass in which its packets are read.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::domain::verification::{ObjectEvidence, Verification};

use super::report::Difference;

/// Differences of one object that are kept: the first ones say enough.
const KEPT: usize = 3;

/// An object whose bytes are hashed as they are read.
pub struct Hashed<'a, R> {
    inner: R,
    object: &'a str,
    /// The parts not complete yet; the first one is being read.
    parts: std::slice::Iter<'a, ObjectEvidence>,
    part: Option<&'a ObjectEvidence>,
    in_part: u64,
    hash: Sha256,
    read: u64,
    /// Bytes of all recorded parts; none if nothing was recorded.
    recorded: Option<u64>,
    differences: Vec<Difference>,
}

impl<'a, R: Read> Hashed<'a, R> {
    /// Reads `inner`, the object of this name in reports, against what is recorded of its parts in
    /// order; without any, bytes are only counted.
    pub fn new(inner: R, object: &'a str, parts: &'a [ObjectEvidence]) -> Self {
        let sum = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.size_bytes));
        let recorded = (!parts.is_empty()).then_some(sum);
        let mut parts = parts.iter();
        Self {
            inner,
            object,
            part: parts.next(),
            parts,
            in_part: 0,
            hash: Sha256::new(),
            read: 0,
            recorded,
            differences: Vec::new(),
        }
    }

    /// Reads what is left. Gives how many bytes the object has, and what is wrong with them.
    pub fn finish(mut self) -> io::Result<(u64, Vec<Difference>)> {
        let mut scratch = vec![0; 64 << 10];
        while self.read(&mut scratch)? > 0 {}
        match (self.recorded, self.part) {
            (Some(recorded), Some(part)) if self.read < recorded => self.differ(
                format!("the object is cut short in part {}", part.part),
                format!("{recorded} bytes"),
                format!("{} bytes", self.read),
            ),
            (Some(recorded), _) if self.read > recorded => self.differ(
                "the object is longer than it was".to_owned(),
                format!("{recorded} bytes"),
                format!("{} bytes", self.read),
            ),
            _ => {}
        }
        Ok((self.read, self.differences))
    }

    fn differ(&mut self, what: String, expected: String, found: String) {
        if self.differences.len() < KEPT {
            self.differences.push(Difference {
                object: Some(self.object.to_owned()),
                expected: Some(expected),
                found: Some(found),
                ..Difference::new(what)
            });
        }
    }

    /// Takes in bytes of the part being read, at most up to its end.
    fn take(&mut self, bytes: &[u8]) {
        self.read += bytes.len() as u64;
        let Some(part) = self.part else { return };
        self.hash.update(bytes);
        self.in_part += bytes.len() as u64;
        if self.in_part < part.size_bytes {
            return;
        }
        let found = hex::encode(std::mem::take(&mut self.hash).finalize());
        if found != part.sha256 {
            let from = self.read - self.in_part;
            let what = format!("part {} (bytes {from} to {}) was altered", part.part, self.read);
            self.differ(what, format!("sha256 {}", part.sha256), format!("sha256 {found}"));
        }
        self.in_part = 0;
        self.part = self.parts.next();
    }
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.part.map_or(u64::MAX, |part| part.size_bytes.saturating_sub(self.in_part));
        let max = usize::try_from(left).unwrap_or(usize::MAX).clamp(1, buf.len().max(1));
        let Some(buf) = buf.get_mut(..max) else { return Ok(0) };
        let len = self.inner.read(buf)?;
        self.take(buf.get(..len).unwrap_or_default());
        Ok(len)
    }
}

/// Whether the lists of a summary still have the hashes that were made of them.
pub fn lists_are_whole(summary: &Verification) -> bool {
    let mut sealed = summary.clone();
    sealed.seal();
    sealed == *summary
}
