//! `media::config` and a codec's own module: any record is read or refused, and every writer that
//! gets it does the same with the frames it belongs to.

use bytes::Bytes;

use crate::media::{
    adts::AdtsWriter,
    config::{CodecConfig, Configs, TrackConfig},
    mp4::Mp4Builder,
    sample::{Codec, Sample, SampleKind, TagSample, Track},
    ts::{Streams, TsMuxer},
};

/// Bytes before the record, as in a tag.
const BEFORE: usize = 5;

/// The data are the configuration record of `codec`.
pub fn run(codec: Codec, record: &[u8]) {
    let parsed = CodecConfig::parse(codec, record);
    if let Ok(config) = &parsed {
        assert_eq!(CodecConfig::parse(codec, record).as_ref(), Ok(config));
        assert!(config.same_parameters(config));
        assert!(config.dimensions().is_none_or(|(width, height)| width > 0 && height > 0));
    }
    if record.is_empty() {
        return;
    }
    let track = track_of(codec);
    let config = TagSample {
        track,
        track_id: 0,
        kind: SampleKind::Config,
        codec,
        keyframe: false,
        has_nanos: false,
        cts_ms: 0,
        data_offset: BEFORE as u32,
        data_len: record.len() as u32,
    };
    let payload = Bytes::from([&[0; BEFORE], record].concat());
    let config = TrackConfig::new(payload, &config).unwrap();
    assert_eq!(config.parse(), parsed);
    let mut configs = Configs::new();
    configs.insert(1, config);

    // The record stands for the coded data as well: parameter sets are NAL units.
    write_frame(codec, &configs, 1, record);
}

/// Gives every writer one frame; `config` is its configuration in `configs`, 0 is none.
pub fn write_frame(codec: Codec, configs: &Configs, config: u32, data: &[u8]) {
    let frame = Sample {
        position: 0,
        tag_len: (11 + BEFORE + data.len() + 4) as u32,
        data_offset: (11 + BEFORE) as u32,
        data_len: data.len() as u32,
        dts_ms: 0,
        cts_ms: 0,
        config,
        track: track_of(codec),
        track_id: 0,
        kind: SampleKind::Frame,
        codec,
        keyframe: true,
        has_nanos: false,
        crc: None,
    };
    let mut mp4 = Mp4Builder::new(configs, 0);
    mp4.wants_frame(&frame);
    let is_taken = mp4.push_with_frame(&frame, data).is_ok();
    let layout = mp4.finish(None);
    assert!(is_taken || layout.is_err());

    let mut segment = Vec::new();
    let mut ts = TsMuxer::new(configs, 0);
    ts.begin_segment(Streams::default(), &mut segment);
    let _ = ts.write_sample(&frame, data, &mut segment);
    assert_eq!(segment.len() % 188, 0);
    let _ = AdtsWriter::new(configs).header(&frame);
}

fn track_of(codec: Codec) -> Track {
    if codec as u8 >= Codec::Aac as u8 { Track::Audio } else { Track::Video }
}
