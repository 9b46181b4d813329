//! MPEG transport stream (ISO/IEC 13818-1): the PES packets of one HLS segment, strictly.
//!
//! A segment stands on its own: it begins with its tables, and what is left open at its end is
//! complete. One access unit or audio frame is expected in a PES packet. Tables are
//! [`super::ts_tables`]'s.

use crate::media::{nal, sample::Codec};
use crate::verify::packet::{Lane, Packet, ReadError, Result, Sink};

use super::{
    adts,
    input::{Input, PACKET_MAX},
    ts_tables::{self, Stream},
};

/// Length of a transport packet.
const PACKET_LEN: u64 = 188;
const PID_PAT: u16 = 0;
const PID_NULL: u16 = 0x1fff;

/// One elementary stream and the PES packet of it that is coming together.
struct Elementary {
    stream: Stream,
    counter: Option<u8>,
    /// Where in the object the PES packet begins; none between two.
    begun_at: Option<u64>,
    pes: Vec<u8>,
}

/// One segment being read.
#[derive(Default)]
struct Segment {
    map_pid: Option<u16>,
    counters: [Option<u8>; 2],
    streams: Vec<Elementary>,
    picture: Vec<u8>,
}

/// Gives the packets of a whole segment.
pub fn read(input: &mut Input<'_>, sink: &mut Sink<'_>) -> Result<()> {
    let mut segment = Segment::default();
    let mut packet = Vec::with_capacity(PACKET_LEN as usize);
    loop {
        let at = input.at();
        input.up_to(PACKET_LEN, &mut packet)?;
        if packet.is_empty() {
            break;
        }
        if packet.len() as u64 != PACKET_LEN {
            return Err(ReadError::malformed(at, "the last transport packet is cut short"));
        }
        segment.packet(at, &packet, sink)?;
    }
    if segment.map_pid.is_none() {
        return Err(ReadError::malformed(0, "there is no program association table"));
    }
    for elementary in &mut segment.streams {
        elementary.complete(&mut segment.picture, sink)?;
    }
    Ok(())
}

impl Segment {
    fn packet(&mut self, at: u64, packet: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        let malformed = |what: String| Err(ReadError::malformed(at, what));
        let [0x47, high, low, control, rest @ ..] = packet else {
            return malformed("a transport packet does not begin with its sync byte".to_owned());
        };
        if high & 0x80 != 0 || control & 0xc0 != 0 {
            return malformed("a transport packet is marked as damaged or scrambled".to_owned());
        }
        let pid = u16::from_be_bytes([high & 0x1f, *low]);
        let is_start = high & 0x40 != 0;
        let (is_discontinuous, payload) = match control & 0x30 {
            0x10 => (false, Some(rest)),
            0x20 => (adaptation(at, rest)?.0, None),
            0x30 => {
                let (is_discontinuous, behind) = adaptation(at, rest)?;
                (is_discontinuous, Some(behind))
            }
            _ => return malformed("a transport packet has neither field nor payload".to_owned()),
        };
        let Some(payload) = payload.filter(|_| pid != PID_NULL) else { return Ok(()) };
        let known = match pid {
            PID_PAT => self.counters.first_mut(),
            _ if Some(pid) == self.map_pid => self.counters.last_mut(),
            _ => self.streams.iter_mut().find(|e| e.stream.pid == pid).map(|e| &mut e.counter),
        };
        let Some(known) = known else {
            return malformed(format!("no table names the stream {pid:#x}"));
        };
        let counter = control & 0xf;
        let expected = known.replace(counter).map(|last| (last + 1) & 0xf);
        if expected.is_some_and(|expected| expected != counter) && !is_discontinuous {
            return malformed(format!(
                "the continuity counter of stream {pid:#x} is {counter} where {} follows: a packet is missing",
                expected.unwrap_or(0)
            ));
        }
        if pid == PID_PAT {
            self.map_pid = Some(ts_tables::association(at, payload)?);
            return Ok(());
        }
        if Some(pid) == self.map_pid {
            return self.map(at, payload, sink);
        }
        match self.streams.iter_mut().find(|e| e.stream.pid == pid) {
            Some(elementary) => elementary.payload(at, is_start, payload, &mut self.picture, sink),
            None => Ok(()),
        }
    }

    /// Takes in a program map: streams that are in it no longer, or are of another kind, end.
    fn map(&mut self, at: u64, payload: &[u8], sink: &mut Sink<'_>) -> Result<()> {
        let map = ts_tables::map(at, payload)?;
        for elementary in &mut self.streams {
            if !map.contains(&elementary.stream) {
                elementary.complete(&mut self.picture, sink)?;
            }
        }
        self.streams.retain(|e| map.iter().any(|stream| stream.pid == e.stream.pid));
        for stream in map {
            if let Some(known) = self.streams.iter_mut().find(|e| e.stream.pid == stream.pid) {
                known.stream = stream;
                continue;
            }
            if self.streams.iter().any(|e| e.stream.lane == stream.lane) {
                let what = format!("there are two {} streams", stream.lane.as_str());
                return Err(ReadError::malformed(at, what));
            }
            let pes = Vec::new();
            self.streams.push(Elementary { stream, counter: None, begun_at: None, pes });
        }
        Ok(())
    }
}

/// The discontinuity indicator of an adaptation field, and what follows the field.
fn adaptation(at: u64, rest: &[u8]) -> Result<(bool, &[u8])> {
    let split = rest.split_first().and_then(|(len, rest)| rest.split_at_checked(usize::from(*len)));
    let Some((field, behind)) = split else {
        return Err(ReadError::malformed(at, "an adaptation field is longer than its packet"));
    };
    Ok((field.first().is_some_and(|flags| flags & 0x80 != 0), behind))
}

impl Elementary {
    fn payload(
        &mut self,
        at: u64,
        is_start: bool,
        payload: &[u8],
        picture: &mut Vec<u8>,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        if is_start {
            self.complete(picture, sink)?;
            self.begun_at = Some(at);
        } else if self.begun_at.is_none() {
            let what = format!("stream {:#x} goes on with no PES packet begun", self.stream.pid);
            return Err(ReadError::malformed(at, what));
        }
        if (self.pes.len() + payload.len()) as u64 > PACKET_MAX {
            let what = format!("a PES packet has more than {PACKET_MAX} bytes");
            return Err(ReadError::malformed(at, what));
        }
        self.pes.extend_from_slice(payload);
        Ok(())
    }

    /// Gives the PES packet that has come together.
    fn complete(&mut self, picture: &mut Vec<u8>, sink: &mut Sink<'_>) -> Result<()> {
        let Some(at) = self.begun_at.take() else { return Ok(()) };
        let packet = self.split(picture);
        let done = packet.map(sink).map_err(|what| ReadError::malformed(at, what));
        self.pes.clear();
        done
    }

    /// Header and payload of the PES packet (clause 2.4.3.6).
    fn split<'a>(&'a self, picture: &'a mut Vec<u8>) -> std::result::Result<Packet<'a>, String> {
        let Some((header, rest)) = self.pes.split_first_chunk::<9>() else {
            return Err("a PES packet ends in its header".to_owned());
        };
        let [0, 0, 1, id, l0, l1, flags, fields, header_len] = *header else {
            return Err("a PES packet does not begin with a start code".to_owned());
        };
        let kind = if self.stream.lane == Lane::Video { 0xe0 } else { 0xc0 };
        if id & if kind == 0xe0 { 0xf0 } else { 0xe0 } != kind || flags & 0xf0 != 0x80 {
            return Err(format!("a PES packet has the stream id {id:#x} and flags {flags:#x}"));
        }
        let said = usize::from(u16::from_be_bytes([l0, l1]));
        if said != 0 && said + 6 != self.pes.len() {
            let there = self.pes.len() - 6;
            return Err(format!("a PES packet says it has {said} bytes, there are {there}"));
        }
        let Some((header, payload)) = rest.split_at_checked(header_len.into()) else {
            return Err("a PES packet ends in its header".to_owned());
        };
        let time = |at: usize, prefix| {
            let bytes = header.get(at..).and_then(|rest| rest.first_chunk::<5>());
            bytes.and_then(|bytes| timestamp(*bytes, prefix)).ok_or("a PES packet has no such time")
        };
        let (pts, dts) = match fields {
            0x80 => time(0, 2).map(|pts| (pts, pts))?,
            0xc0 => (time(0, 3)?, time(5, 1)?),
            _ => return Err(format!("a PES packet has the fields {fields:#x}")),
        };
        let payload = match self.stream.codec {
            Codec::H264 | Codec::Hevc => {
                picture.clear();
                nal::canonical_annex_b(self.stream.codec, payload, picture);
                picture
            }
            Codec::Aac => raw_frame(payload)?,
            _ => payload,
        };
        Ok(Packet::frame(self.stream.lane, pts, dts, payload))
    }
}

/// A time of 33 bits between its marker bits.
fn timestamp(bytes: [u8; 5], prefix: u8) -> Option<i64> {
    let [a, b, c, d, e] = bytes.map(i64::from);
    let has_markers = a & 1 == 1 && c & 1 == 1 && e & 1 == 1;
    (has_markers && a >> 4 == i64::from(prefix))
        .then_some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
}

/// The one AAC frame of a PES packet, without its header.
fn raw_frame(payload: &[u8]) -> std::result::Result<&[u8], String> {
    let Some((header, frame)) = payload.split_first_chunk() else {
        return Err("an ADTS header is cut short".to_owned());
    };
    let len = adts::frame_len(header)?;
    match payload.len() == len {
        true => Ok(frame),
        false => {
            Err(format!("an ADTS frame of {len} bytes is in a PES packet with {}", payload.len()))
        }
    }
}
