//! Reads a transport stream packet by packet, and refuses what a demultiplexer would.

use std::collections::BTreeMap;

use crate::media::ts::{PACKET_LEN, PID_HEVC, PID_VIDEO};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pes {
    pub pid: u16,
    pub pts: u64,
    pub dts: u64,
    pub is_random_access: bool,
    pub payload: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Parsed {
    /// In the order of their first packets.
    pub pes: Vec<Pes>,
    /// PID, value, discontinuity_indicator, and the number of PES packets begun before it.
    pub clocks: Vec<(u16, u64, bool, usize)>,
    /// Stream types and PIDs of each program map, and its version.
    pub maps: Vec<(u8, Vec<(u8, u16)>)>,
    counters: BTreeMap<u16, u8>,
}

fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn time(field: &[u8], prefix: u8) -> u64 {
    assert_eq!((field[0] >> 4, field[0] & 1, field[2] & 1, field[4] & 1), (prefix, 1, 1, 1));
    u64::from(field[0] >> 1 & 7) << 30 | (be(&field[1..3]) >> 1) << 15 | be(&field[3..5]) >> 1
}

impl Parsed {
    pub fn read(&mut self, stream: &[u8]) {
        assert_eq!(stream.len() % PACKET_LEN, 0);
        stream.chunks(PACKET_LEN).for_each(|packet| self.packet(packet));
    }

    fn packet(&mut self, packet: &[u8]) {
        assert_eq!(packet[0], 0x47);
        let pid = be(&packet[1..3]) as u16 & 0x1fff;
        let is_start = packet[1] & 0x40 != 0;
        let (has_field, has_payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        let counter = packet[3] & 0xf;
        if let Some(last) = self.counters.insert(pid, counter) {
            assert_eq!(counter, (last + u8::from(has_payload)) & 0xf, "continuity of {pid:#x}");
        }
        let mut rest = &packet[4..];
        let mut is_random_access = false;
        if has_field {
            let (field, after) = rest[1..].split_at(usize::from(rest[0]));
            rest = after;
            if let Some(flags) = field.first() {
                is_random_access = flags & 0x40 != 0;
                if flags & 0x10 != 0 {
                    assert_eq!((field[5] & 0x7e, field[6]), (0x7e, 0));
                    let clock = be(&field[1..7]) >> 15;
                    self.clocks.push((pid, clock, flags & 0x80 != 0, self.pes.len()));
                }
            }
        }
        assert_eq!(has_payload, !rest.is_empty());
        match pid {
            0 => assert_eq!(section(rest)[8..12], [0, 1, 0xf0, 0]),
            0x1000 => {
                let map = section(rest);
                assert_eq!(map[10..12], [0xf0, 0]);
                let streams = map[12..map.len() - 4].chunks(5);
                let streams = streams.map(|s| (s[0], be(&s[1..3]) as u16 & 0x1fff)).collect();
                self.maps.push((map[5] >> 1 & 0x1f, streams));
            }
            _ if is_start => self.start(pid, is_random_access, rest),
            _ if has_payload => {
                let pes = self.pes.iter_mut().rfind(|pes| pes.pid == pid).unwrap();
                pes.payload.extend_from_slice(rest);
            }
            _ => {}
        }
    }

    fn start(&mut self, pid: u16, is_random_access: bool, payload: &[u8]) {
        assert_eq!(payload[..3], [0, 0, 1]);
        assert_eq!(payload[3], if matches!(pid, PID_VIDEO | PID_HEVC) { 0xe0 } else { 0xc0 });
        assert_eq!(payload[6], 0x84);
        let header_len = usize::from(payload[8]);
        let (pts, dts) = match payload[7] {
            0x80 => (time(&payload[9..], 2), time(&payload[9..], 2)),
            0xc0 => (time(&payload[9..], 3), time(&payload[14..], 1)),
            other => panic!("{other:#x}"),
        };
        // The length field goes along, and is checked once all is there.
        let payload = [&payload[4..6], &[header_len as u8], &payload[9 + header_len..]].concat();
        self.pes.push(Pes { pid, pts, dts, is_random_access, payload });
    }

    fn finish(mut self) -> Self {
        for pes in &mut self.pes {
            let length = be(&pes.payload[..2]) as usize;
            let actual = 3 + usize::from(pes.payload[2]) + pes.payload.len() - 3;
            assert!(length == actual || (length == 0 && actual > 65535));
            pes.payload.drain(..3);
        }
        self
    }
}

/// A section without its pointer field, its CRC checked: over the whole section it gives 0.
fn section(payload: &[u8]) -> &[u8] {
    assert_eq!(payload[0], 0);
    let length = be(&payload[2..4]) as usize & 0xfff;
    let section = &payload[1..4 + length];
    let remainder = section.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    });
    assert_eq!(remainder, 0);
    section
}

pub fn parse(stream: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    parsed.read(stream);
    parsed.finish()
}
