//! Checksums of tags: what lies in a journal is shown to be what came.
//!
//! Made of the bytes in memory when a tag is taken in, kept in its index records, compared where its
//! bytes are read for a product. Journals of a version that wrote none are compared with what the
//! index says of the tag itself: its kind, length and time.

use crate::media::{
    flv::header::{
        TAG_HEADER_LEN, TAG_TRAILER_LEN, TagHeader, encode_tag_header, encode_tag_trailer,
    },
    sample::{Sample, SampleKind},
};

/// Writes the checksums of a tag, which stands in a file as `header`, `payload` and back pointer,
/// into its samples.
pub(super) fn stamp(samples: &mut [Sample], header: &[u8; TAG_HEADER_LEN], payload: &[u8]) {
    let Some((first, further)) = samples.split_first_mut() else { return };
    first.crc = Some(of_tag(header, payload));
    for sample in further {
        sample.crc = Some(crc32fast::hash(data_of(sample, payload).unwrap_or_default()));
    }
}

/// The checksum of a whole tag.
pub(super) fn of_tag(header: &[u8; TAG_HEADER_LEN], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(payload);
    crc.update(&encode_tag_trailer(payload.len() as u32));
    crc.finalize()
}

/// True if these bytes are those that came: of the whole tag for the first sample of one, of its
/// data for a further one (whose tag length is 0).
pub fn is_intact(sample: &Sample, bytes: &[u8]) -> bool {
    match sample.crc {
        Some(crc) => crc == crc32fast::hash(bytes),
        None => sample.tag_len == 0 || is_plausible(sample, bytes),
    }
}

/// The same by the payload of a tag alone, whatever stands around it.
pub(super) fn is_payload_intact(sample: &Sample, payload: &[u8]) -> bool {
    let Some(crc) = sample.crc else { return true };
    if sample.tag_len > 0 {
        let kind = sample.track.tag_kind();
        let header = encode_tag_header(kind, payload.len() as u32, sample.dts_ms);
        return crc == of_tag(&header, payload);
    }
    data_of(sample, payload).is_some_and(|data| crc == crc32fast::hash(data))
}

/// The data of a sample in the payload of its tag.
fn data_of<'a>(sample: &Sample, payload: &'a [u8]) -> Option<&'a [u8]> {
    let start = (sample.data_offset as usize).saturating_sub(TAG_HEADER_LEN);
    payload.get(start..start.saturating_add(sample.data_len as usize))
}

/// True if a tag begins and ends as its index record says.
fn is_plausible(sample: &Sample, tag: &[u8]) -> bool {
    let (Some(header), Some(trailer)) = (tag.first_chunk(), tag.last_chunk::<TAG_TRAILER_LEN>())
    else {
        return false;
    };
    let header = TagHeader::decode(header);
    // The time of a clock mark is that of the wall.
    let is_in_time = sample.kind == SampleKind::Clock || header.time_ms == sample.dts_ms as u32;
    header.kind() == Some(sample.track.tag_kind())
        && header.stream_id == 0
        && header.tag_len() == u64::from(sample.tag_len)
        && *trailer == encode_tag_trailer(header.data_size)
        && is_in_time
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{flv::header::encode_tag, sample::Track, tag::TagKind, testing};

    /// A tag of two samples, and its bytes.
    fn tag() -> ([Sample; 2], Vec<u8>) {
        let (payload, time_ms) = (b"\x27\x01\0\0\0abcdef", (1i64 << 40) + 5);
        let mut bytes = Vec::new();
        encode_tag(TagKind::Video, time_ms, payload, &mut bytes);
        let base = Sample { dts_ms: time_ms, ..testing::frame(Track::Video, 0) };
        let first = Sample { data_offset: 16, data_len: 3, tag_len: bytes.len() as u32, ..base };
        let further = Sample { data_offset: 19, tag_len: 0, ..first };
        let mut samples = [first, further];
        let header = encode_tag_header(TagKind::Video, payload.len() as u32, time_ms);
        stamp(&mut samples, &header, payload);
        (samples, bytes)
    }

    #[test]
    fn any_changed_bit_is_noticed() {
        let ([first, further], mut bytes) = tag();
        assert!(is_intact(&first, &bytes) && is_intact(&further, &bytes[19..22]));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_intact(&first, &bytes), "bit {bit}");
            assert_eq!(is_intact(&further, &bytes[19..22]), !(19..22).contains(&(bit / 8)));
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(!is_intact(&first, &bytes[..bytes.len() - 1]) && !is_intact(&first, &[]));
    }

    #[test]
    fn without_a_checksum_what_is_around_the_payload_is_compared() {
        let ([first, further], mut bytes) = tag();
        let (first, further) = (Sample { crc: None, ..first }, Sample { crc: None, ..further });
        assert!(is_intact(&first, &bytes) && is_intact(&further, &[]));
        let payload = TAG_HEADER_LEN..bytes.len() - TAG_TRAILER_LEN;
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(is_intact(&first, &bytes), payload.contains(&at), "byte {at}");
            bytes[at] ^= 1;
        }
        assert!(!is_intact(&first, &bytes[..10]) && !is_intact(&first, &[]));
    }
}
