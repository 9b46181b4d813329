//! The index beside a journal file: a header of 72 bytes, then one record of 52 bytes for every
//! sample of every tag, in the order of the data. All numbers are little-endian.
//!
//! ```text
//! header   0 magic "LIVEREC\x01"  8 version u16  10 record size u16  12 file number u32
//!         16 session (16 bytes)  32 base u64     40 prefix length u32
//!         44 next configuration u32   48 notes before this file u32
//!         52 body length u64, all ones while the file is written   60 records u64
//!         68 CRC-32 of 0..68
//! record   0 position u64   8 dts_ms i64   16 tag length u32   20 data offset u32
//!         24 data length u32   28 cts_ms i32   32 configuration u32
//!         36 track u8  37 track id u8  38 kind u8  39 codec u8
//!         40 flags u8: 1 key frame, 2 nanosecond offset   41 zero (3)
//!         44 CRC-32 of the tag (see [`super::checksum`])   48 CRC-32 of 0..48
//! ```
//!
//! Version 1 had records of 48 bytes without the checksum of the tag; they are read, never written.
//!
//! The header and the tags at the start of a file (see [`super::prefix`]) have no record. The
//! body length and the number of records are filled in when data and index are known to have reached
//! the disk: only then is an index used as it is after a crash, else it is made again from the data.
//! What its whole records say of tags that are rotted or gone is believed all the same.

use uuid::Uuid;

use crate::{
    domain::ids::SessionId,
    media::{
        flv::header::{PAYLOAD_MAX, TAG_HEADER_LEN, TAG_TRAILER_LEN},
        sample::{Codec, Sample, SampleKind, Track},
    },
};

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 72;
/// Bytes of one record.
pub(super) const RECORD_BYTES: usize = 52;
/// Bytes of one record of version 1.
const OLD_RECORD_BYTES: usize = 48;

/// Beyond what any disk holds, so that sums of positions and lengths never overflow.
pub(super) const MAX_POSITION: u64 = 1 << 60;
/// The longest tag.
const MAX_TAG_LEN: u32 = (TAG_HEADER_LEN + PAYLOAD_MAX + TAG_TRAILER_LEN) as u32;

const MAGIC: [u8; 8] = *b"LIVEREC\x01";
const UNSEALED: u64 = u64::MAX;
/// Flags of a record; files written before there was a second one have it at 0.
const KEYFRAME: u8 = 1;
const NANOS: u8 = 2;

/// How the records of an index are laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Layout {
    /// Version 1, without checksums of the tags.
    Old,
    /// What is written.
    #[default]
    Current,
}

impl Layout {
    fn version(self) -> u16 {
        match self {
            Layout::Old => 1,
            Layout::Current => 2,
        }
    }

    /// Bytes of one record.
    pub fn record_bytes(self) -> usize {
        match self {
            Layout::Old => OLD_RECORD_BYTES,
            Layout::Current => RECORD_BYTES,
        }
    }

    /// Whole records in an index of so many bytes.
    pub fn records_in(self, index_len: u64) -> u64 {
        index_len.saturating_sub(HEADER_BYTES as u64) / self.record_bytes() as u64
    }

    /// Where a record stands in the index; as many records before it.
    pub fn record_offset(self, nth: u64) -> u64 {
        nth.saturating_mul(self.record_bytes() as u64).saturating_add(HEADER_BYTES as u64)
    }

    /// The record that `bytes` begins with; `None` when these are not the bytes of one.
    pub fn decode_record(self, bytes: &[u8]) -> Option<Sample> {
        match self {
            Layout::Old => decode_record::<OLD_RECORD_BYTES>(bytes.first_chunk()?),
            Layout::Current => decode_record::<RECORD_BYTES>(bytes.first_chunk()?),
        }
    }
}

/// What is known of a journal file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexHeader {
    /// How the records after it are laid out.
    pub layout: Layout,
    /// Whose journal.
    pub session: SessionId,
    /// Number of the file, from 1.
    pub number: u32,
    /// Logical position of the first byte after the prefix.
    pub base: u64,
    /// Bytes of the prefix.
    pub prefix_len: u32,
    /// Ordinal that the first new configuration in this file gets.
    pub next_config: u32,
    /// Notes in the files before this one.
    pub notes: u32,
    /// Present once the file is complete and safe on disk.
    pub seal: Option<Seal>,
}

/// How much a complete file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal {
    /// Bytes of data after the prefix.
    pub body_len: u64,
    /// Index records.
    pub records: u64,
}

impl IndexHeader {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&self.layout.version().to_le_bytes());
        let record_bytes = self.layout.record_bytes() as u16;
        out[10..12].copy_from_slice(&record_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.number.to_le_bytes());
        out[16..32].copy_from_slice(self.session.0.as_bytes());
        out[32..40].copy_from_slice(&self.base.to_le_bytes());
        out[40..44].copy_from_slice(&self.prefix_len.to_le_bytes());
        out[44..48].copy_from_slice(&self.next_config.to_le_bytes());
        out[48..52].copy_from_slice(&self.notes.to_le_bytes());
        let Seal { body_len, records } =
            self.seal.unwrap_or(Seal { body_len: UNSEALED, records: 0 });
        out[52..60].copy_from_slice(&body_len.to_le_bytes());
        out[60..68].copy_from_slice(&records.to_le_bytes());
        let crc = crc32fast::hash(&out[..68]);
        out[68..72].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` when these are not the bytes of a whole header of a known version.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let is_whole = bytes[0..8] == MAGIC && u32_at(bytes, 68) == crc32fast::hash(&bytes[..68]);
        let layout = [Layout::Current, Layout::Old].into_iter().find(|layout| {
            is_whole
                && u16_at(bytes, 8) == layout.version()
                && usize::from(u16_at(bytes, 10)) == layout.record_bytes()
        })?;
        let session = Uuid::from_slice(&bytes[16..32]).ok()?;
        let seal = Seal { body_len: u64_at(bytes, 52), records: u64_at(bytes, 60) };
        let seal = (seal.body_len != UNSEALED).then_some(seal);
        let header = IndexHeader {
            layout,
            session: SessionId(session),
            number: u32_at(bytes, 12),
            base: u64_at(bytes, 32),
            prefix_len: u32_at(bytes, 40),
            next_config: u32_at(bytes, 44),
            notes: u32_at(bytes, 48),
            seal,
        };
        let is_possible =
            header.base <= MAX_POSITION && seal.is_none_or(|seal| seal.body_len <= MAX_POSITION);
        is_possible.then_some(header)
    }
}

/// Appends the record of `sample`, whose tag has its checksum.
pub(super) fn encode_record(sample: &Sample, out: &mut Vec<u8>) {
    let mut record = [0; RECORD_BYTES];
    record[0..8].copy_from_slice(&sample.position.to_le_bytes());
    record[8..16].copy_from_slice(&sample.dts_ms.to_le_bytes());
    record[16..20].copy_from_slice(&sample.tag_len.to_le_bytes());
    record[20..24].copy_from_slice(&sample.data_offset.to_le_bytes());
    record[24..28].copy_from_slice(&sample.data_len.to_le_bytes());
    record[28..32].copy_from_slice(&sample.cts_ms.to_le_bytes());
    record[32..36].copy_from_slice(&sample.config.to_le_bytes());
    record[36] = sample.track as u8;
    record[37] = sample.track_id;
    record[38] = sample.kind as u8;
    record[39] = sample.codec as u8;
    record[40] =
        if sample.keyframe { KEYFRAME } else { 0 } | if sample.has_nanos { NANOS } else { 0 };
    record[44..48].copy_from_slice(&sample.crc.unwrap_or(0).to_le_bytes());
    let crc = crc32fast::hash(&record[..48]);
    record[48..52].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&record);
}

/// `None` when these are not the bytes of a record. Both layouts are the same up to byte 44.
fn decode_record<const N: usize>(bytes: &[u8; N]) -> Option<Sample> {
    if u32_at(bytes, N - 4) != crc32fast::hash(&bytes[..N - 4]) {
        return None;
    }
    let sample = Sample {
        position: u64_at(bytes, 0),
        dts_ms: u64_at(bytes, 8) as i64,
        tag_len: u32_at(bytes, 16),
        data_offset: u32_at(bytes, 20),
        data_len: u32_at(bytes, 24),
        cts_ms: u32_at(bytes, 28) as i32,
        config: u32_at(bytes, 32),
        track: Track::from_byte(bytes[36])?,
        track_id: bytes[37],
        kind: SampleKind::from_byte(bytes[38])?,
        codec: Codec::from_byte(bytes[39])?,
        keyframe: bytes[40] & KEYFRAME != 0,
        has_nanos: bytes[40] & NANOS != 0,
        crc: (N == RECORD_BYTES).then(|| u32_at(bytes, 44)),
    };
    // Whoever can make a checksum must not make readers ask for gigabytes or count in circles.
    let is_possible = sample.position <= MAX_POSITION
        && sample.tag_len <= MAX_TAG_LEN
        && sample.data_offset.saturating_add(sample.data_len) <= MAX_TAG_LEN;
    is_possible.then_some(sample)
}

// The offsets are constants within fixed-size arrays.
fn u16_at<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Sample {
        Sample {
            position: 0x1_2345_6789,
            tag_len: 4711,
            data_offset: 16,
            data_len: 4691,
            dts_ms: -5,
            cts_ms: -8_388_608,
            config: 3,
            track: Track::Video,
            track_id: 7,
            kind: SampleKind::Frame,
            codec: Codec::Hevc,
            keyframe: true,
            has_nanos: true,
            crc: Some(0xcafe_f00d),
        }
    }

    fn header() -> IndexHeader {
        IndexHeader {
            layout: Layout::Current,
            session: SessionId::new(0),
            number: 9,
            base: 1 << 40,
            prefix_len: 300,
            next_config: 5,
            notes: 2,
            seal: None,
        }
    }

    #[test]
    fn record_layout_is_fixed() {
        let mut out = Vec::new();
        encode_record(&sample(), &mut out);
        insta::assert_snapshot!(
            hex::encode(&out),
            @"8967452301000000fbffffffffffffff671200001000000053120000000080ff0300000000070002030000000df0fecaecde4037"
        );
    }

    #[test]
    fn no_number_of_records_is_too_large_to_be_refused() {
        for (layout, bytes) in [(Layout::Old, 48), (Layout::Current, 52)] {
            assert_eq!((layout.record_offset(0), layout.record_offset(2)), (72, 72 + 2 * bytes));
            assert_eq!(layout.record_offset(u64::MAX), u64::MAX);
            let records = [71, 71 + bytes, 72 + bytes].map(|len| layout.records_in(len));
            assert_eq!(records, [0, 0, 1]);
        }
    }

    #[test]
    fn what_no_tag_can_have_is_no_record() {
        let decode = |sample: Sample| {
            let mut out = Vec::new();
            encode_record(&sample, &mut out);
            Layout::Current.decode_record(&out)
        };
        let good = Sample { position: MAX_POSITION, tag_len: MAX_TAG_LEN, ..sample() };
        assert_eq!(decode(good), Some(good));
        assert_eq!(decode(Sample { position: MAX_POSITION + 1, ..good }), None);
        assert_eq!(decode(Sample { tag_len: MAX_TAG_LEN + 1, ..good }), None);
        assert_eq!(decode(Sample { data_offset: u32::MAX, ..good }), None);
        assert_eq!(decode(Sample { data_len: MAX_TAG_LEN - 15, ..good }), None);
        let header = header();
        let decode = |header: IndexHeader| IndexHeader::decode(&header.encode());
        assert_eq!(decode(IndexHeader { base: u64::MAX, ..header.clone() }), None);
        let seal = Some(Seal { body_len: u64::MAX - 1, records: 1 });
        assert_eq!(decode(IndexHeader { seal, ..header }), None);
    }

    /// As version 1 wrote them: with both flags, and before there was a second one.
    const OLD_RECORDS: [(&str, bool); 2] = [
        (
            "8967452301000000fbffffffffffffff671200001000000053120000000080ff0300000000070002030000001c1a5ac5",
            true,
        ),
        (
            "8967452301000000fbffffffffffffff671200001000000053120000000080ff03000000000700020100000097d2536f",
            false,
        ),
    ];

    #[test]
    fn records_of_version_1_are_read() {
        for (record, has_nanos) in OLD_RECORDS {
            let record = hex::decode(record).unwrap();
            let read = Layout::Old.decode_record(&record);
            assert_eq!(read, Some(Sample { has_nanos, crc: None, ..sample() }));
            let beyond = [&record[..], &[0; 4]].concat();
            assert_eq!(Layout::Current.decode_record(&beyond), None);
            assert_eq!(Layout::Old.decode_record(&record[1..]), None);
        }
    }

    #[test]
    fn any_changed_bit_is_noticed() {
        let mut out = Vec::new();
        encode_record(&sample(), &mut out);
        let record: [u8; RECORD_BYTES] = out.try_into().unwrap();
        assert_eq!(decode_record(&record), Some(sample()));
        let header = header();
        assert_eq!(IndexHeader::decode(&header.encode()), Some(header.clone()));
        let header = IndexHeader { seal: Some(Seal { body_len: 1 << 33, records: 77 }), ..header };
        assert_eq!(IndexHeader::decode(&header.encode()), Some(header.clone()));
        for bit in 0..RECORD_BYTES * 8 {
            let mut bad = record;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_record(&bad), None, "bit {bit}");
        }
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = header.encode();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(IndexHeader::decode(&bad), None, "bit {bit}");
        }
        assert_eq!(IndexHeader::decode(&[0; HEADER_BYTES]), None);
        assert_eq!(decode_record::<RECORD_BYTES>(&[0; RECORD_BYTES]), None);
    }

    proptest! {
        #[test]
        fn records_and_headers_round_trip(
            numbers: [u32; 6],
            position in 0..=MAX_POSITION,
            tag_len in 0..=MAX_TAG_LEN,
            data_offset in 0..=MAX_TAG_LEN,
            part in 0.0..1.0f64,
            (dts_ms, cts_ms, track_id, keyframe) in any::<(i64, i32, u8, bool)>(),
            (track, kind, codec) in (0..3u8, 0..8u8, prop::sample::select(vec![0u8, 1, 5, 16, 21, 254, 255])),
            seal in prop::option::of((0..=MAX_POSITION, any::<u64>())),
        ) {
            let sample = Sample {
                position,
                tag_len,
                data_offset,
                data_len: (f64::from(MAX_TAG_LEN - data_offset) * part) as u32,
                dts_ms,
                cts_ms,
                config: numbers[0],
                track: Track::from_byte(track).unwrap(),
                track_id,
                kind: SampleKind::from_byte(kind).unwrap(),
                codec: Codec::from_byte(codec).unwrap(),
                keyframe,
                has_nanos: !keyframe,
                crc: Some(numbers[5]),
            };
            let mut out = Vec::new();
            encode_record(&sample, &mut out);
            prop_assert_eq!(Layout::Current.decode_record(&out), Some(sample));
            let header = IndexHeader {
                layout: if keyframe { Layout::Current } else { Layout::Old },
                session: SessionId::new(i64::from(numbers[1])),
                number: numbers[2],
                base: position,
                prefix_len: numbers[3],
                next_config: numbers[4],
                notes: numbers[5],
                seal: seal.map(|(body_len, records)| Seal { body_len, records }),
            };
            prop_assert_eq!(IndexHeader::decode(&header.encode()), Some(header));
        }

        #[test]
        fn any_bytes_with_a_checksum_are_survived(
            mut bytes in prop::collection::vec(any::<u8>(), HEADER_BYTES),
            as_record: bool,
        ) {
            if as_record {
                for layout in [Layout::Old, Layout::Current] {
                    let covered = layout.record_bytes() - 4;
                    let crc = crc32fast::hash(&bytes[..covered]);
                    bytes[covered..covered + 4].copy_from_slice(&crc.to_le_bytes());
                    layout.decode_record(&bytes);
                }
            } else {
                let crc = crc32fast::hash(&bytes[..68]);
                bytes[68..72].copy_from_slice(&crc.to_le_bytes());
                IndexHeader::decode(bytes.first_chunk().unwrap());
            }
        }
    }
}
