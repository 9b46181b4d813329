//! Transport packets of 188 bytes, the two tables, and PES headers (ISO/IEC 13818-1 clause 2.4).
//!
//! Knows nothing of codecs or of what is in a PES packet.

/// Length of a transport packet.
pub const PACKET_LEN: usize = 188;
const HEADER_LEN: usize = 4;
const ROOM: usize = PACKET_LEN - HEADER_LEN;

const PID_PAT: u16 = 0;
const PID_PMT: u16 = 0x1000;
const PROGRAM: u16 = 1;

/// Adaptation field flags (clause 2.4.3.4).
const FLAG_DISCONTINUITY: u8 = 0x80;
const FLAG_RANDOM_ACCESS: u8 = 0x40;
const FLAG_PCR: u8 = 0x10;

/// What the adaptation field of a packet says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Adaptation {
    /// Program clock reference in 90 kHz units; only the low 33 bits count.
    pub pcr: Option<u64>,
    /// The clock does not continue the one before.
    pub is_discontinuous: bool,
    /// A decoder can start here.
    pub is_random_access: bool,
}

impl Adaptation {
    fn flags(self) -> u8 {
        let bit = |is_set, flag| if is_set { flag } else { 0 };
        bit(self.is_discontinuous, FLAG_DISCONTINUITY)
            | bit(self.is_random_access, FLAG_RANDOM_ACCESS)
            | bit(self.pcr.is_some(), FLAG_PCR)
    }

    /// Bytes of the field, its length byte included.
    fn len(self) -> usize {
        match (self.flags(), self.pcr) {
            (0, _) => 0,
            (_, None) => 2,
            (_, Some(_)) => 8,
        }
    }
}

/// Writes one packet and gives the number of payload bytes it took. Only packets with payload
/// advance the continuity counter.
fn packet(
    pid: u16,
    is_start: bool,
    counter: &mut u8,
    adaptation: Adaptation,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> usize {
    let end = out.len() + PACKET_LEN;
    let room = ROOM - adaptation.len();
    let (taken, _) = payload.split_at(payload.len().min(room));
    let field_len = ROOM - taken.len();
    let [pid_high, pid_low] = pid.to_be_bytes();
    let control = u8::from(field_len > 0) << 5 | u8::from(!taken.is_empty()) << 4;
    out.extend_from_slice(&[
        0x47,
        u8::from(is_start) << 6 | pid_high,
        pid_low,
        control | *counter & 0xf,
    ]);
    if !taken.is_empty() {
        *counter = (*counter + 1) & 0xf;
    }
    if field_len > 0 {
        out.push((field_len - 1) as u8);
    }
    if field_len > 1 {
        out.push(adaptation.flags());
        if let Some(pcr) = adaptation.pcr {
            // 33 bits of base, 6 reserved, 9 of extension, which is always 0.
            let field = (pcr & 0x1_ffff_ffff) << 15 | 0x7e00;
            let [_, _, field @ ..] = field.to_be_bytes();
            out.extend_from_slice(&field);
        }
        out.resize(end - taken.len(), 0xff);
    }
    out.extend_from_slice(taken);
    taken.len()
}

/// Writes one PES packet in as many transport packets as it needs.
pub(super) fn pes(
    pid: u16,
    counter: &mut u8,
    adaptation: Adaptation,
    mut pes: &[u8],
    out: &mut Vec<u8>,
) {
    let mut adaptation = adaptation;
    let mut is_start = true;
    while !pes.is_empty() {
        let taken = packet(pid, is_start, counter, adaptation, pes, out);
        pes = pes.get(taken..).unwrap_or_default();
        adaptation = Adaptation::default();
        is_start = false;
    }
}

/// Writes a packet that carries the clock and nothing else.
pub(super) fn clock(pid: u16, counter: u8, adaptation: Adaptation, out: &mut Vec<u8>) {
    // A packet without payload repeats the counter of the one before it.
    let mut last = counter.wrapping_sub(1) & 0xf;
    packet(pid, false, &mut last, adaptation, &[], out);
}

/// Appends a PES header (clause 2.4.3.6) whose length field is 0 until [`close_pes`]. Times are in
/// 90 kHz units, of which the low 33 bits count.
pub(super) fn pes_header(stream_id: u8, pts: u64, dts: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 1, stream_id, 0, 0]);
    // Marker bits, and data_alignment_indicator: an access unit starts right behind the header.
    out.push(0x84);
    if pts == dts {
        out.extend_from_slice(&[0x80, 5]);
        timestamp(0b0010, pts, out);
    } else {
        out.extend_from_slice(&[0xc0, 10]);
        timestamp(0b0011, pts, out);
        timestamp(0b0001, dts, out);
    }
}

fn timestamp(prefix: u8, time: u64, out: &mut Vec<u8>) {
    let bits = |shift: u32, width: u32| (time >> shift) & ((1 << width) - 1);
    let high = (bits(30, 3) as u8) << 1 | 1;
    let middle = (bits(15, 15) as u16) << 1 | 1;
    let low = (bits(0, 15) as u16) << 1 | 1;
    out.push(prefix << 4 | high);
    out.extend_from_slice(&middle.to_be_bytes());
    out.extend_from_slice(&low.to_be_bytes());
}

/// Fills in the length of the PES packet that `pes` is. One too long for the field keeps 0, which
/// only video may have.
pub(super) fn close_pes(pes: &mut [u8]) {
    let length = u16::try_from(pes.len().saturating_sub(6)).unwrap_or(0);
    if let Some(field) = pes.get_mut(4..6) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// One elementary stream of the program map.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapEntry {
    pub stream_type: u8,
    pub pid: u16,
}

/// Writes the program association table.
pub(super) fn association_table(counter: &mut u8, out: &mut Vec<u8>) {
    let [program, pid] = [PROGRAM.to_be_bytes(), (0xe000 | PID_PMT).to_be_bytes()];
    section(PID_PAT, 0x00, 0, counter, &[program, pid].concat(), out);
}

/// Writes the program map. `version` has to be another one when the map is another one.
pub(super) fn program_map(
    version: u8,
    pcr_pid: u16,
    entries: impl Iterator<Item = MapEntry>,
    counter: &mut u8,
    out: &mut Vec<u8>,
) {
    let mut body = (0xe000 | pcr_pid).to_be_bytes().to_vec();
    body.extend_from_slice(&[0xf0, 0]);
    for entry in entries {
        body.push(entry.stream_type);
        body.extend_from_slice(&(0xe000 | entry.pid).to_be_bytes());
        body.extend_from_slice(&[0xf0, 0]);
    }
    section(PID_PMT, 0x02, version, counter, &body, out);
}

/// Writes a table of one section in one packet (clause 2.4.4).
fn section(pid: u16, table: u8, version: u8, counter: &mut u8, body: &[u8], out: &mut Vec<u8>) {
    // Behind the length: 5 bytes of header, the body, 4 of CRC.
    let length = 5 + body.len() + 4;
    let mut payload = vec![0, table];
    payload.extend_from_slice(&(0xb000 | length as u16).to_be_bytes());
    payload.extend_from_slice(&PROGRAM.to_be_bytes());
    payload.extend_from_slice(&[0xc1 | (version & 0x1f) << 1, 0, 0]);
    payload.extend_from_slice(body);
    let crc = crc32(payload.get(1..).unwrap_or_default());
    payload.extend_from_slice(&crc.to_be_bytes());
    // The rest of a packet with a section is stuffed behind the section.
    payload.resize(ROOM, 0xff);
    packet(pid, true, counter, Adaptation::default(), &payload, out);
}

/// CRC_32 of annex A.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            let carry = if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            crc << 1 ^ carry
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_a_known_table() {
        // A PAT as ffmpeg writes it: its CRC is 2ab104b2.
        let pat = b"\x00\xb0\x0d\x00\x01\xc1\x00\x00\x00\x01\xf0\x00";
        assert_eq!(crc32(pat), 0x2ab1_04b2);
        let mut out = Vec::new();
        association_table(&mut 0, &mut out);
        assert_eq!(out[..21], *b"\x47\x40\x00\x10\x00\x00\xb0\x0d\x00\x01\xc1\x00\x00\x00\x01\xf0\x00\x2a\xb1\x04\xb2");
        assert_eq!((out.len(), out[187]), (PACKET_LEN, 0xff));
    }

    #[test]
    fn every_payload_length_makes_whole_packets() {
        for len in 1..800 {
            for adaptation in [
                Adaptation::default(),
                Adaptation { is_random_access: true, ..Adaptation::default() },
                Adaptation { pcr: Some(0x1_2345_6789), ..Adaptation::default() },
            ] {
                let (mut out, mut counter) = (Vec::new(), 14);
                let payload: Vec<u8> = (0..len).map(|b| b as u8).collect();
                pes(0x100, &mut counter, adaptation, &payload, &mut out);
                assert_eq!(out.len() % PACKET_LEN, 0);
                assert_eq!(counter, (14 + (out.len() / PACKET_LEN) as u8) & 0xf);
                let parsed: Vec<u8> = out
                    .chunks(PACKET_LEN)
                    .flat_map(|p| match p[3] >> 4 {
                        1 => p[4..].to_vec(),
                        3 => p[5 + usize::from(p[4])..].to_vec(),
                        _ => panic!("no payload"),
                    })
                    .collect();
                assert_eq!(parsed, payload);
            }
        }
    }

    #[test]
    fn times_and_clock_have_33_bits() {
        let mut out = Vec::new();
        pes_header(0xe0, 0x1_2345_6789, (1 << 33) + 1, &mut out);
        assert_eq!(out[6..9], *b"\x84\xc0\x0a");
        assert_eq!(out[9..], *b"\x39\x8d\x15\xcf\x13\x11\x00\x01\x00\x03");
        let mut packet = Vec::new();
        let adaptation = Adaptation { pcr: Some((1 << 33) + 3), ..Adaptation::default() };
        clock(0x100, 0, adaptation, &mut packet);
        assert_eq!(packet[..12], *b"\x47\x01\x00\x2f\xb7\x10\x00\x00\x00\x01\xfe\x00");
        assert_eq!(packet.len(), PACKET_LEN);
    }
}
