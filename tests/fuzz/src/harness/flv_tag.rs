//! `media::demux` and what reads script data: any payload has samples that lie inside it.

use bytes::Bytes;

use crate::media::{
    config::TrackConfig,
    demux::demux,
    flv::script,
    sample::{SampleKind, TagSample, Track},
    tag::TagKind,
};

/// First byte: kind of the tag. The rest: its payload.
pub fn run(mut data: &[u8]) {
    let kind = match super::first(&mut data) % 3 {
        0 => TagKind::Audio,
        1 => TagKind::Video,
        _ => TagKind::Script,
    };
    let mut samples = Vec::new();
    demux(kind, data, &mut samples);
    assert!(!samples.is_empty());
    let payload = Bytes::copy_from_slice(data);
    for sample in &samples {
        check(sample, &payload);
    }
    if kind == TagKind::Script {
        let is_metadata = script::is_metadata(data);
        assert!(!is_metadata || script::decode_script(data).is_ok());
        let merged = script::merge_metadata(Some(data), vec![("duration", 1.5.into())]);
        assert!(script::decode_script(&merged).is_ok_and(|merged| merged.name == "onMetaData"));
    }
}

fn check(sample: &TagSample, payload: &Bytes) {
    let start = sample.data_offset as usize;
    let end = start + sample.data_len as usize;
    assert!(payload.get(start..end).is_some(), "{sample:?} in {} bytes", payload.len());
    assert!((-8_388_608..=8_388_607).contains(&sample.cts_ms));
    let is_media = matches!(sample.kind, SampleKind::Frame | SampleKind::Config);
    assert!(!is_media || start < end);
    assert!(sample.track == Track::Video || sample.cts_ms == 0);
    let config = TrackConfig::new(payload.clone(), sample);
    assert_eq!(config.is_some(), sample.kind == SampleKind::Config);
    if let Some(config) = config {
        assert_eq!(config.record(), &payload[start..end]);
        assert!(config.same_parameters(&config));
    }
}
