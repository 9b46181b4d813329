//! FLV (Adobe FLV v10.1 annex E): every tag in order, strictly.
//!
//! The first tag, the server's own onMetaData, is not given. What is in a tag is told by
//! [`demux`], which the writer does not use: it copies tags as they are.

use crate::media::{
    demux::demux,
    sample::{SampleKind, TagSample, Track},
    tag::TagKind,
};
use crate::verify::packet::{Lane, Packet, ReadError, Result, Sink};

use super::input::Input;

/// Times in FLV have 32 bits.
pub const TIME_MASK: i64 = 0xffff_ffff;

/// Gives the packets of a whole FLV file.
pub fn read(input: &mut Input<'_>, sink: &mut Sink<'_>) -> Result<()> {
    let header = input.array::<13>("the file header")?;
    let Some(header) = header else { return Err(ReadError::malformed(0, "the object is empty")) };
    let [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0] = header else {
        return Err(ReadError::malformed(0, "this is no FLV file header"));
    };
    if flags & !5 != 0 {
        return Err(ReadError::malformed(4, "reserved bits of the file header are set"));
    }
    let (mut splitter, mut body) = (Splitter::default(), Vec::new());
    let mut is_first = true;
    loop {
        let at = input.at();
        let malformed = |what| Err(ReadError::malformed(at, what));
        let Some(header) = input.array::<11>("a tag header")? else { break };
        let [kind, s0, s1, s2, t0, t1, t2, t3, 0, 0, 0] = header else {
            return malformed("the stream id of a tag is not 0".to_owned());
        };
        let Some(kind) = TagKind::from_byte(kind) else {
            return malformed(format!("there is no tag type {kind}"));
        };
        let len = u32::from_be_bytes([0, s0, s1, s2]);
        input.exactly(len.into(), "the body of a tag", &mut body)?;
        let Some(back) = input.array::<4>("the back pointer of a tag")? else {
            return malformed("the object ends before the back pointer of a tag".to_owned());
        };
        if u32::from_be_bytes(back) != len + 11 {
            return malformed(format!(
                "a tag of {} bytes is followed by a back pointer of {}",
                len + 11,
                u32::from_be_bytes(back)
            ));
        }
        match (is_first, kind) {
            (true, TagKind::Script) => {}
            (true, _) => return malformed("the first tag is not script data".to_owned()),
            (false, _) => {
                let time_ms = u32::from_be_bytes([t3, t0, t1, t2]).into();
                splitter.split(kind, time_ms, &body, sink);
            }
        }
        is_first = false;
    }
    match is_first {
        true => Err(ReadError::malformed(13, "there is not one tag")),
        false => Ok(()),
    }
}

/// Divides tags into packets. The same for a tag of the product and one of the journal, so that
/// both are divided in one way.
#[derive(Default)]
pub struct Splitter {
    samples: Vec<TagSample>,
}

impl Splitter {
    /// Gives the frames of the default tracks in a tag, and the whole body as data unless a frame
    /// is all there is in it. `time_ms` is taken modulo 2^32.
    pub fn split(&mut self, kind: TagKind, time_ms: i64, body: &[u8], sink: &mut Sink<'_>) {
        let dts = time_ms & TIME_MASK;
        demux(kind, body, &mut self.samples);
        let frame_of = |sample: &TagSample| match (sample.kind, sample.track_id, sample.track) {
            (SampleKind::Frame, 0, Track::Video) => Some(Lane::Video),
            (SampleKind::Frame, 0, Track::Audio) => Some(Lane::Audio),
            _ => None,
        };
        let is_alone = self.samples.len() == 1;
        let mut is_told = false;
        for sample in &self.samples {
            let Some(lane) = frame_of(sample) else { continue };
            let (start, len) = (sample.data_offset as usize, sample.data_len as usize);
            let Some((prefix, data)) = body.split_at_checked(start) else { continue };
            let Some((payload, rest)) = data.split_at_checked(len) else { continue };
            is_told |= is_alone && rest.is_empty();
            let prefix = if is_alone { prefix } else { &[] };
            let pts = dts + i64::from(sample.cts_ms);
            sink(Packet { prefix, ..Packet::frame(lane, pts, dts, payload) });
        }
        if !is_told {
            let is_config = self.samples.iter().all(|sample| sample.kind == SampleKind::Config);
            sink(Packet { is_config, ..Packet::frame(Lane::Data, dts, dts, body) });
        }
    }
}
