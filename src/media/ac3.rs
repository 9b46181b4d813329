//! AC-3 and Enhanced AC-3: what a sync frame says of its stream (ETSI TS 102 366 clauses 4.3, 4.4
//! and E.1), and the boxes made from it (annex F). There is no configuration record.

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

/// Starts every sync frame.
const SYNC_WORD: u16 = 0x0b77;
/// Sampling rates by fscod, in Hz.
const SAMPLE_RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Full-range channels by acmod.
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
/// Frame size codes that have a meaning.
const FRAME_SIZE_CODES: u8 = 38;
/// Substreams taken from one Enhanced AC-3 frame: eight programs with eight extensions each.
const SUBSTREAMS_MAX: usize = 72;
/// strmtyp of a substream that adds channels to the one before it.
const DEPENDENT: u8 = 1;
/// strmtyp without a meaning.
const RESERVED: u8 = 3;
/// The bits of chan_loc that stand for two channels: all but Cs, Ts, Cvh and LFE2.
const LOCATION_PAIRS: u16 = 0b0_0111_0011;

/// What stands in the header of an AC-3 frame, or of a substream of an Enhanced AC-3 frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ac3Header {
    /// fscod, 0 to 2; 3 for the half sampling rates of Enhanced AC-3.
    pub rate_code: u8,
    /// Sampling rate in Hz.
    pub sample_rate: u32,
    /// bsid.
    pub bsid: u8,
    /// bsmod, 0 to 7; 0 for Enhanced AC-3, which says it only in optional metadata.
    pub bsmod: u8,
    /// acmod, 0 to 7.
    pub acmod: u8,
    /// lfeon.
    pub has_lfe: bool,
}

impl Ac3Header {
    /// Channels with the low frequency one.
    pub fn channels(&self) -> u8 {
        CHANNELS.get(usize::from(self.acmod)).copied().unwrap_or(0) + u8::from(self.has_lfe)
    }
}

/// An AC-3 frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ac3Frame {
    /// Its header.
    pub header: Ac3Header,
    /// The upper bits of frmsizecod: the nominal bit rate.
    pub bit_rate_code: u8,
}

impl Ac3Frame {
    /// Reads the beginning of a frame; none if it is none of AC-3.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        Self::read(&mut BitReader::new(frame)).ok().flatten()
    }

    fn read(bits: &mut impl BitRead) -> Result<Option<Self>, BitReaderError> {
        let sync: u16 = bits.read_var(16, "syncword")?;
        bits.skip(16, "crc1")?;
        let rate_code: u8 = bits.read_var(2, "fscod")?;
        let size_code: u8 = bits.read_var(6, "frmsizecod")?;
        let bsid: u8 = bits.read_var(5, "bsid")?;
        let bsmod = bits.read_var(3, "bsmod")?;
        let acmod: u8 = bits.read_var(3, "acmod")?;
        if acmod & 1 == 1 && acmod != 1 {
            bits.skip(2, "cmixlev")?;
        }
        if acmod & 4 != 0 {
            bits.skip(2, "surmixlev")?;
        }
        if acmod == 2 {
            bits.skip(2, "dsurmod")?;
        }
        let has_lfe = bits.read_bit("lfeon")?;
        // From 9 to 10 the sampling rate is divided, which dac3 cannot say.
        let is_known = sync == SYNC_WORD && bsid <= 8 && size_code < FRAME_SIZE_CODES;
        Ok(SAMPLE_RATES.get(usize::from(rate_code)).filter(|_| is_known).map(|&sample_rate| {
            let header = Ac3Header { rate_code, sample_rate, bsid, bsmod, acmod, has_lfe };
            Ac3Frame { header, bit_rate_code: size_code >> 1 }
        }))
    }

    /// Body of the dac3 box.
    pub fn to_specific_box(&self) -> [u8; 3] {
        let Ac3Header { rate_code, bsid, bsmod, acmod, has_lfe, .. } = self.header;
        let fields = [
            (2, rate_code),
            (5, bsid),
            (3, bsmod),
            (3, acmod),
            (1, u8::from(has_lfe)),
            (5, self.bit_rate_code),
            (5, 0),
        ];
        let [_, a, b, c] = pack(&fields).to_be_bytes();
        [a, b, c]
    }
}

/// One program of an Enhanced AC-3 frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Header of its independent substream.
    pub header: Ac3Header,
    /// Dependent substreams that add channels to it.
    pub dependents: u8,
    /// The channels that these add, as chan_loc says it.
    pub locations: u16,
}

/// An Enhanced AC-3 frame: the programs whose sync frames it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eac3Frame {
    /// Bit rate of all substreams in kbit/s, as this frame has it.
    pub kbps: u16,
    /// The programs, at least one.
    pub programs: Vec<Program>,
}

/// One sync frame of Enhanced AC-3.
struct Substream {
    is_dependent: bool,
    id: u8,
    header: Ac3Header,
    bytes: usize,
    /// Blocks of 256 samples.
    blocks: u32,
    locations: u16,
}

impl Eac3Frame {
    /// Reads the sync frames at the beginning of a frame, which may be cut off; none if it does
    /// not begin with an independent substream. Substreams of a second stretch of time, which
    /// repeat what is known, are not looked at.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let mut programs: Vec<(u8, Program)> = Vec::new();
        let (mut bytes, mut rest) = (0, frame);
        let first = Substream::read(&mut BitReader::new(frame)).ok().flatten()?;
        for _ in 0..SUBSTREAMS_MAX {
            let Some(sub) = Substream::read(&mut BitReader::new(rest)).ok().flatten() else {
                break;
            };
            if sub.is_dependent {
                let (_, program) = programs.last_mut()?;
                program.dependents = program.dependents.saturating_add(1).min(15);
                program.locations |= sub.locations;
            } else if programs.iter().any(|(id, _)| *id == sub.id) {
                break;
            } else {
                programs
                    .push((sub.id, Program { header: sub.header, dependents: 0, locations: 0 }));
            }
            bytes += sub.bytes;
            rest = rest.get(sub.bytes..).unwrap_or_default();
        }
        let bits = bytes as u64 * 8 * u64::from(first.header.sample_rate);
        let per_second = u64::from(256 * first.blocks) * 1000;
        let kbps = (bits + per_second / 2) / per_second;
        let programs: Vec<Program> = programs.into_iter().map(|(_, program)| program).collect();
        (!programs.is_empty())
            .then(|| Eac3Frame { kbps: u16::try_from(kbps).unwrap_or(u16::MAX), programs })
    }

    /// Sampling rate of the first program in Hz.
    pub fn sample_rate(&self) -> u32 {
        self.programs.first().map_or(0, |program| program.header.sample_rate)
    }

    /// Channels of the first program with those that dependent substreams add.
    pub fn channels(&self) -> u8 {
        let Some(program) = self.programs.first() else { return 0 };
        let pairs = (program.locations & LOCATION_PAIRS).count_ones();
        program.header.channels() + (program.locations.count_ones() + pairs) as u8
    }

    /// True if a decoder sees no difference: the bit rate may vary.
    pub fn same_parameters(&self, other: &Self) -> bool {
        self.programs == other.programs
    }

    /// Body of the dec3 box.
    pub fn to_specific_box(&self) -> Vec<u8> {
        let programs = self.programs.get(..self.programs.len().min(8)).unwrap_or_default();
        let count = programs.len().saturating_sub(1) as u16;
        let mut body = (self.kbps.min(0x1fff) << 3 | count).to_be_bytes().to_vec();
        for Program { header, dependents, locations } in programs {
            let fields = [
                (2, header.rate_code),
                (5, header.bsid),
                // reserved and asvc.
                (2, 0),
                (3, header.bsmod),
                (3, header.acmod),
                (1, u8::from(header.has_lfe)),
                (3, 0),
                (4, *dependents),
                // The first bit of chan_loc, or a reserved one.
                (1, (locations >> 8) as u8),
            ];
            body.extend_from_slice(&pack(&fields).to_be_bytes()[1..]);
            if *dependents > 0 {
                body.push(*locations as u8);
            }
        }
        body
    }
}

impl Substream {
    fn read(bits: &mut impl BitRead) -> Result<Option<Self>, BitReaderError> {
        let sync: u16 = bits.read_var(16, "syncword")?;
        let kind: u8 = bits.read_var(2, "strmtyp")?;
        let id = bits.read_var(3, "substreamid")?;
        let words: u16 = bits.read_var(11, "frmsiz")?;
        let rate_code: u8 = bits.read_var(2, "fscod")?;
        let second: u8 = bits.read_var(2, "fscod2, numblkscod")?;
        let acmod: u8 = bits.read_var(3, "acmod")?;
        let has_lfe = bits.read_bit("lfeon")?;
        let bsid: u8 = bits.read_var(5, "bsid")?;
        let full = SAMPLE_RATES.get(usize::from(rate_code));
        let (rate, blocks) = match full {
            Some(rate) => (Some(*rate), [1, 2, 3, 6][usize::from(second & 3)]),
            None => (SAMPLE_RATES.get(usize::from(second)).map(|rate| rate / 2), 6),
        };
        let Some(sample_rate) = rate else { return Ok(None) };
        if sync != SYNC_WORD || kind == RESERVED || !(11..=16).contains(&bsid) {
            return Ok(None);
        }
        let is_dependent = kind == DEPENDENT;
        let locations = if is_dependent { locations(bits, acmod)? } else { 0 };
        let header = Ac3Header { rate_code, sample_rate, bsid, bsmod: 0, acmod, has_lfe };
        let bytes = 2 * (usize::from(words) + 1);
        Ok(Some(Substream { is_dependent, id, header, bytes, blocks, locations }))
    }
}

/// chan_loc of a dependent substream, from its chanmap; 0 if it has none.
fn locations(bits: &mut impl BitRead, acmod: u8) -> Result<u16, BitReaderError> {
    for _ in 0..if acmod == 0 { 2 } else { 1 } {
        bits.skip(5, "dialnorm")?;
        if bits.read_bit("compre")? {
            bits.skip(8, "compr")?;
        }
    }
    if !bits.read_bit("chanmape")? {
        return Ok(0);
    }
    let map: u16 = bits.read_var(16, "chanmap")?;
    // Bit 0 of chanmap is its most significant one; bits 5 to 12 and 14 have a place in chan_loc,
    // whose bit 0 is the least significant one.
    let places = (5..=12).chain([14]).zip(0..);
    Ok(places.map(|(from, to)| (map >> (15 - from) & 1) << to).fold(0, |all, bit| all | bit))
}

/// Fields, each with its width in bits, side by side.
fn pack(fields: &[(u32, u8)]) -> u32 {
    fields
        .iter()
        .fold(0, |packed, (width, value)| packed << width | u32::from(*value) & ((1 << width) - 1))
}

#[cfg(test)]
mod tests;
