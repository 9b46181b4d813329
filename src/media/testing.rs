//! Samples and configurations for tests: a new field of theirs is a line here, not one in every test.

use bytes::Bytes;

use super::config::TrackConfig;
use super::sample::{Codec, Sample, SampleKind, TagSample, Track};

/// A configuration whose whole tag payload is the record.
pub fn config(track: Track, codec: Codec, record: &[u8]) -> TrackConfig {
    let sample = TagSample {
        track,
        track_id: 0,
        kind: SampleKind::Config,
        codec,
        keyframe: false,
        has_nanos: false,
        cts_ms: 0,
        data_offset: 0,
        data_len: u32::try_from(record.len()).unwrap(),
    };
    TrackConfig::new(Bytes::copy_from_slice(record), &sample).unwrap()
}

/// A frame of ten bytes that any decoder could begin with: H.264 or AAC.
pub fn frame(track: Track, dts_ms: i64) -> Sample {
    Sample {
        position: 0,
        tag_len: 30,
        data_offset: 16,
        data_len: 10,
        dts_ms,
        cts_ms: 0,
        config: 1,
        track,
        track_id: 0,
        kind: SampleKind::Frame,
        codec: if track == Track::Video { Codec::H264 } else { Codec::Aac },
        keyframe: true,
        has_nanos: false,
        crc: None,
    }
}
