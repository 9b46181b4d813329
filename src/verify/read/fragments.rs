//! Fragmented MP4 (ISO/IEC 14496-12 clause 8.8): the samples of one media segment, by what its
//! initialisation segment says.
//!
//! Times are those of the tracks' own timelines: no edit list is applied.

use shiguredo_mp4::boxes::{TfdtBox, TfhdBox, TrexBox, TrunBox};

use crate::verify::packet::{Packet, ReadError, Result, Sink};

use super::{
    input::{Input, PACKET_MAX},
    mp4::box_header,
    mp4_tables::{Track, children, decode, tracks},
};

/// Largest initialisation segment, in bytes.
const INIT_MAX_BYTES: u64 = 1 << 20;
/// Largest `moof`, in bytes.
const MOOF_MAX_BYTES: u64 = 64 << 20;
/// Samples in one fragment.
const SAMPLES_MAX: usize = 1 << 20;

/// What an initialisation segment says.
pub struct Init {
    tracks: Vec<(Track, Defaults)>,
}

/// What a fragment need not say.
#[derive(Debug, Clone, Copy, Default)]
struct Defaults {
    duration: u32,
    size: u32,
}

/// A sample of a fragment.
struct Sample {
    offset: u64,
    len: u32,
    track: usize,
    dts: i64,
    pts: i64,
}

/// Reads a whole initialisation segment.
pub fn init(input: &mut Input<'_>) -> Result<Init> {
    let mut bytes = Vec::new();
    input.up_to(INIT_MAX_BYTES + 1, &mut bytes)?;
    if bytes.len() as u64 > INIT_MAX_BYTES {
        let what = format!("an initialisation segment has more than {INIT_MAX_BYTES} bytes");
        return Err(ReadError::malformed(0, what));
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let at = (bytes.len() - rest.len()) as u64;
        let malformed = |what: String| ReadError::malformed(at, what);
        let (kind, len) = box_header(rest, rest.len() as u64)
            .ok_or_else(|| malformed("this is no box".to_owned()))?;
        let split = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
        let Some((whole, behind)) = split else {
            return Err(malformed("a box is cut short".to_owned()));
        };
        if kind == *b"moov" {
            return movie(whole).map_err(malformed);
        }
        rest = behind;
    }
    Err(ReadError::malformed(0, "an initialisation segment has no moov box"))
}

fn movie(moov: &[u8]) -> std::result::Result<Init, String> {
    let mut found: Vec<_> =
        tracks(moov)?.into_iter().map(|track| (track, Defaults::default())).collect();
    for (_, mvex) in children(moov)?.into_iter().filter(|(kind, _)| kind == b"mvex") {
        for (_, trex) in children(mvex)?.into_iter().filter(|(kind, _)| kind == b"trex") {
            let trex = decode::<TrexBox>(trex, "trex")?;
            if let Some((_, defaults)) = found.iter_mut().find(|(t, _)| t.id == trex.track_id) {
                defaults.duration = trex.default_sample_duration;
                defaults.size = trex.default_sample_size;
            }
        }
    }
    Ok(Init { tracks: found })
}

/// Gives the samples of a whole media segment, fragment by fragment.
pub fn read(input: &mut Input<'_>, init: &Init, sink: &mut Sink<'_>) -> Result<()> {
    let (mut samples, mut data) = (Vec::<Sample>::new(), Vec::new());
    loop {
        let at = input.at();
        let Some(mut header) = input.array::<8>("a box header")?.map(Vec::from) else { break };
        if header.starts_with(&[0, 0, 0, 1]) {
            header.extend(input.array::<8>("a box header")?.unwrap_or_default());
        }
        let (kind, len) = box_header(&header, 0)
            .ok_or_else(|| ReadError::malformed(at, "this is no box, or one without a length"))?;
        let end = at.saturating_add(len);
        match &kind {
            b"moof" => {
                if !samples.is_empty() {
                    return Err(ReadError::malformed(at, "a fragment has no mdat box"));
                }
                if len > MOOF_MAX_BYTES {
                    return Err(ReadError::malformed(at, format!("moof has {len} bytes")));
                }
                input.exactly(end - input.at(), "a moof box", &mut data)?;
                let moof = [header, std::mem::take(&mut data)].concat();
                samples =
                    fragment(at, &moof, init).map_err(|what| ReadError::malformed(at, what))?;
                samples.sort_by_key(|sample| sample.offset);
            }
            b"mdat" => {
                for sample in samples.drain(..) {
                    let Some((track, _)) = init.tracks.get(sample.track) else { continue };
                    input.skip_to(sample.offset, "a sample")?;
                    if sample.offset.saturating_add(sample.len.into()) > end {
                        return Err(ReadError::malformed(at, "a sample reaches past its mdat"));
                    }
                    input.exactly(sample.len.into(), "a sample", &mut data)?;
                    let [pts, dts] = [sample.pts, sample.dts].map(|time| track.to_ms(time));
                    sink(Packet::frame(track.lane, pts, dts, &data));
                }
                input.skip_to(end, "an mdat box")?;
            }
            _ => input.skip_to(end, "a box")?,
        }
    }
    match samples.is_empty() {
        true => Ok(()),
        false => Err(ReadError::malformed(input.at(), "a fragment has no mdat box")),
    }
}

/// The samples of one `moof` that begins at `at`.
fn fragment(at: u64, moof: &[u8], init: &Init) -> std::result::Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    for (_, traf) in children(moof)?.into_iter().filter(|(kind, _)| kind == b"traf") {
        let (mut header, mut time, mut end) = (None, None, at);
        for (kind, bytes) in children(traf)? {
            match &kind {
                b"tfhd" => header = Some(decode::<TfhdBox>(bytes, "tfhd")?),
                b"tfdt" => {
                    let decoded = decode::<TfdtBox>(bytes, "tfdt")?.base_media_decode_time;
                    time = Some(i64::try_from(decoded).map_err(|_| "tfdt is too large")?);
                }
                b"trun" => {
                    let header = header.as_ref().ok_or("a trun comes before its tfhd")?;
                    let time = time.as_mut().ok_or("a fragment has no tfdt")?;
                    // A run whose samples are all alike takes no space: its number is checked first.
                    let count = bytes.get(12..).and_then(|rest| rest.first_chunk::<4>());
                    let count = count.map_or(0, |count| u32::from_be_bytes(*count) as usize);
                    if samples.len() + count > SAMPLES_MAX {
                        return Err(format!("a fragment has more than {SAMPLES_MAX} samples"));
                    }
                    let trun = decode::<TrunBox>(bytes, "trun")?;
                    run(at, header, &trun, init, (time, &mut end), &mut samples)?;
                }
                _ => {}
            }
        }
    }
    Ok(samples)
}

fn run(
    at: u64,
    header: &TfhdBox,
    trun: &TrunBox,
    init: &Init,
    (time, end): (&mut i64, &mut u64),
    samples: &mut Vec<Sample>,
) -> std::result::Result<(), String> {
    let known = init.tracks.iter().enumerate().find(|(_, (t, _))| t.id == header.track_id);
    let (track, (_, defaults)) = known
        .ok_or_else(|| format!("track {} is not in the initialisation segment", header.track_id))?;
    if let Some(offset) = trun.data_offset {
        let base = header.base_data_offset.unwrap_or(at);
        *end = base.checked_add_signed(offset.into()).ok_or("a run begins before the segment")?;
    }
    for sample in &trun.samples {
        let len = sample.size.or(header.default_sample_size).unwrap_or(defaults.size);
        let duration =
            sample.duration.or(header.default_sample_duration).unwrap_or(defaults.duration);
        if u64::from(len) > PACKET_MAX {
            return Err(format!("a sample has {len} bytes"));
        }
        let pts = time.saturating_add(sample.composition_time_offset.unwrap_or(0));
        samples.push(Sample { offset: *end, len, track, dts: *time, pts });
        *time = time.saturating_add(duration.into());
        *end = end.saturating_add(len.into());
    }
    Ok(())
}
