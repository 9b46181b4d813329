//! Where things lie in the file: `ftyp`, `moov` or room for it, the header of `mdat`.

use super::boxes::MovieBox;
use super::{Error, Result};

/// The smallest `free` box; a smaller gap is filled inside `mdat`.
const FREE_HEADER: u64 = 8;

/// The largest head that is padded for: more than any recording needs, and a bound on memory.
const MAX_RESERVE: u64 = 1 << 30;

/// A head as short as it can be.
pub(super) fn front(ftyp: Vec<u8>, movie: &MovieBox<'_>, body_len: u64) -> Result<Vec<u8>> {
    let mut is_wide = needs_64_bits(body_len);
    let mut head = ftyp;
    let moov_at = head.len();
    loop {
        // The chunk offsets depend on the length of the moov they are in: once to measure it.
        movie.encode(0, is_wide, &mut head)?;
        let base = head.len() as u64 + mdat_header_len(body_len);
        head.truncate(moov_at);
        if !is_wide && needs_64_bits(base + body_len) {
            is_wide = true;
            continue;
        }
        movie.encode(base, is_wide, &mut head)?;
        encode_mdat_header(body_len, &mut head);
        return Ok(head);
    }
}

/// A head of exactly `reserve` bytes, and the tail if `moov` does not fit into it.
pub(super) fn within(
    reserve: u64,
    ftyp: Vec<u8>,
    movie: &MovieBox<'_>,
    body_len: u64,
) -> Result<(Vec<u8>, Vec<u8>)> {
    // A filled gap may make the mdat a few bytes longer than the body.
    let mdat_header = mdat_header_len(body_len + FREE_HEADER);
    if reserve > MAX_RESERVE || reserve < ftyp.len() as u64 + mdat_header {
        return Err(Error::Reserve(reserve));
    }
    let mut head = ftyp;
    let moov_at = head.len();
    // Made in its place, without a copy: that of a long recording is tens of megabytes.
    head.reserve_exact(usize::try_from(reserve).unwrap_or(0).saturating_sub(moov_at));
    movie.encode(reserve, needs_64_bits(reserve + body_len), &mut head)?;
    let fits = head.len() as u64 + mdat_header <= reserve;
    let tail = if fits { Vec::new() } else { head.split_off(moov_at) };
    let gap = reserve - mdat_header - head.len() as u64;
    let inside = if gap >= FREE_HEADER { 0 } else { gap };
    if gap >= FREE_HEADER {
        head.extend_from_slice(&(gap as u32).to_be_bytes());
        head.extend_from_slice(b"free");
        head.resize(head.len() + (gap - FREE_HEADER) as usize, 0);
    }
    encode_mdat_header_of(mdat_header, body_len + inside, &mut head);
    head.resize(head.len() + inside as usize, 0);
    Ok((head, tail))
}

fn needs_64_bits(end: u64) -> bool {
    end > u64::from(u32::MAX)
}

fn mdat_header_len(payload_len: u64) -> u64 {
    if needs_64_bits(payload_len + 8) { 16 } else { 8 }
}

fn encode_mdat_header(payload_len: u64, out: &mut Vec<u8>) {
    encode_mdat_header_of(mdat_header_len(payload_len), payload_len, out);
}

fn encode_mdat_header_of(header_len: u64, payload_len: u64, out: &mut Vec<u8>) {
    let size = header_len + payload_len;
    // A size of 1 says that the real one follows the kind.
    let short = if header_len == 8 { size as u32 } else { 1 };
    out.extend_from_slice(&short.to_be_bytes());
    out.extend_from_slice(b"mdat");
    if header_len == 16 {
        out.extend_from_slice(&size.to_be_bytes());
    }
}
