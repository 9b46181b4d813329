//! ADTS (ISO/IEC 14496-3 annex 1.A.3.2): raw AAC frames behind their headers, strictly.

use crate::verify::packet::{Lane, Packet, ReadError, Result, Sink};

use super::input::Input;

/// Length of a header without CRC, which is the one that is written.
pub const HEADER_LEN: usize = 7;

/// Length of a frame with its header, as the header says it.
///
/// # Errors
/// It is no header that the server writes, in words.
pub fn frame_len(header: &[u8; HEADER_LEN]) -> std::result::Result<usize, String> {
    let [sync, flags, format, l0, l1, l2, fullness] = *header;
    if sync != 0xff || flags & 0xf6 != 0xf0 {
        return Err("there is no ADTS sync word".to_owned());
    }
    if flags & 1 == 0 {
        return Err("an ADTS header announces a CRC".to_owned());
    }
    if (format >> 2) & 0xf > 12 {
        return Err("an ADTS header has no sampling rate".to_owned());
    }
    if fullness & 3 != 0 {
        return Err("an ADTS header announces several raw data blocks".to_owned());
    }
    let len = usize::from(l0 & 3) << 11 | usize::from(l1) << 3 | usize::from(l2 >> 5);
    if len <= HEADER_LEN {
        return Err(format!("an ADTS frame says it has {len} bytes"));
    }
    Ok(len)
}

/// Gives the frames of a whole ADTS file.
pub fn read(input: &mut Input<'_>, sink: &mut Sink<'_>) -> Result<()> {
    let mut frame = Vec::new();
    loop {
        let at = input.at();
        let Some(header) = input.array("an ADTS header")? else { break };
        let len = frame_len(&header).map_err(|what| ReadError::malformed(at, what))?;
        input.exactly((len - HEADER_LEN) as u64, "an ADTS frame", &mut frame)?;
        sink(Packet::frame(Lane::Audio, 0, 0, &frame));
    }
    match input.at() {
        0 => Err(ReadError::malformed(0, "the object is empty")),
        _ => Ok(()),
    }
}
