//! Where things lie in the file: `ftyp`, `moov` or room for it, the header of `mdat`.

use super::boxes::MovieBox;
use super::{Error, Result};
use crate::media::lazy_bytes::LazyBytes;

/// The smallest `free` box; a smaller gap is filled inside `mdat`.
const FREE_HEADER: u64 = 8;

/// The largest head that is padded for: more than any recording needs.
const MAX_RESERVE: u64 = 1 << 30;

/// A head as short as it can be.
pub(super) fn front(ftyp: Vec<u8>, movie: &MovieBox<'_>, body_len: u64) -> Result<LazyBytes> {
    let before_moov = ftyp.len() as u64;
    let mut is_wide = needs_64_bits(body_len);
    // The chunk offsets depend on the length of the moov they are in, which does not depend on them.
    let base_of = |moov_len| before_moov + moov_len + mdat_header_len(body_len);
    let mut base = base_of(movie.moov(0, is_wide)?.len());
    if !is_wide && needs_64_bits(base + body_len) {
        is_wide = true;
        base = base_of(movie.moov(0, is_wide)?.len());
    }
    let mut head = LazyBytes::from(ftyp);
    head.append(movie.moov(base, is_wide)?);
    head.push(mdat_header(mdat_header_len(body_len), body_len));
    Ok(head)
}

/// A head of exactly `reserve` bytes, and the tail if `moov` does not fit into it.
pub(super) fn within(
    reserve: u64,
    ftyp: Vec<u8>,
    movie: &MovieBox<'_>,
    body_len: u64,
) -> Result<(LazyBytes, LazyBytes)> {
    // A filled gap may make the mdat a few bytes longer than the body.
    let header_len = mdat_header_len(body_len + FREE_HEADER);
    let (mut head, mut tail) = (LazyBytes::from(ftyp), LazyBytes::default());
    if reserve > MAX_RESERVE || reserve < head.len() + header_len {
        return Err(Error::Reserve(reserve));
    }
    let moov = movie.moov(reserve, needs_64_bits(reserve + body_len))?;
    let fits = head.len() + moov.len() + header_len <= reserve;
    if fits { &mut head } else { &mut tail }.append(moov);
    let gap = reserve - header_len - head.len();
    let inside = if gap >= FREE_HEADER { 0 } else { gap };
    if gap >= FREE_HEADER {
        let size = u32::try_from(gap).map_err(|_| Error::Reserve(reserve))?;
        head.push([size.to_be_bytes(), *b"free"].concat());
        head.push_zeros(gap - FREE_HEADER);
    }
    let mut mdat = mdat_header(header_len, body_len + inside);
    mdat.resize(mdat.len() + inside as usize, 0);
    head.push(mdat);
    Ok((head, tail))
}

fn needs_64_bits(end: u64) -> bool {
    end > u64::from(u32::MAX)
}

fn mdat_header_len(payload_len: u64) -> u64 {
    if needs_64_bits(payload_len + 8) { 16 } else { 8 }
}

fn mdat_header(header_len: u64, payload_len: u64) -> Vec<u8> {
    let size = header_len + payload_len;
    // A size of 1 says that the real one follows the kind.
    let short = if header_len == 8 { size as u32 } else { 1 };
    let mut header = [short.to_be_bytes(), *b"mdat"].concat();
    if header_len == 16 {
        header.extend_from_slice(&size.to_be_bytes());
    }
    header
}
