//! What a record template may hold, and what is refused by which name.

use super::*;

fn template() -> RecordTemplate {
    RecordTemplate { name: "录制_a-1".to_owned(), ..RecordTemplate::default() }
}

fn refusal(change: impl FnOnce(&mut RecordTemplate)) -> String {
    let mut template = template();
    change(&mut template);
    template.check().map_or_else(|e| e.to_string(), |()| "accepted".to_owned())
}

#[test]
fn names() {
    assert_eq!(refusal(|_| ()), "accepted");
    assert_eq!(refusal(|t| t.name = "〇龥𠀀x".to_owned()), "accepted");
    for odd in ["a b", "a.b", "é", "名。", "a\n"] {
        assert!(refusal(|t| t.name = odd.to_owned()).starts_with("TemplateName holds"), "{odd}");
    }
    assert_eq!(refusal(|t| t.name.clear()), "TemplateName is empty");
    assert_eq!(refusal(|t| t.name = "a".repeat(255)), "accepted");
    assert!(refusal(|t| t.name = "a".repeat(256)).starts_with("TemplateName is 256 bytes"));
}

#[test]
fn ranges_hold_for_enabled_formats_only() {
    type Block = fn(&mut RecordTemplate) -> &mut RecordParam;
    let blocks: [(Block, i64, i64); 3] =
        [(|t| &mut t.flv, 60, 43200), (|t| &mut t.mp4, 60, 43200), (|t| &mut t.aac, 60, 7200)];
    for (block, min, max) in blocks {
        for (interval, is_allowed) in [(min - 1, false), (min, true), (max, true), (max + 1, false)]
        {
            let set = |enable| {
                refusal(|t| {
                    *block(t) =
                        RecordParam { enable, record_interval: interval, ..RecordParam::default() }
                })
            };
            assert_eq!(set(false), "accepted");
            assert_eq!(set(true) == "accepted", is_allowed, "{interval}");
        }
    }
    let odd = RecordParam { enable: true, record_interval: 5, ..RecordParam::default() };
    assert_eq!(refusal(|t| t.hls = odd.clone()), "accepted");
    assert_eq!(refusal(|t| t.mp3 = RecordParam { enable: false, ..odd.clone() }), "accepted");
    assert_eq!(
        refusal(|t| t.mp3 = odd),
        "Mp3Param.Enable must be 0: MP3 needs encoding, which this server does not do"
    );
    let kept =
        |enable, storage_time| RecordParam { enable, storage_time, ..RecordParam::default() };
    assert_eq!(refusal(|t| t.hls = kept(true, 129_600_000)), "accepted");
    assert_eq!(refusal(|t| t.hls = kept(false, 129_600_001)), "accepted");
    assert_eq!(
        refusal(|t| t.hls = kept(true, 129_600_001)),
        "HlsParam.StorageTime must be from 0 to 129600000"
    );
    assert_eq!(
        refusal(|t| t.hls = kept(true, -1)),
        "HlsParam.StorageTime must be from 0 to 129600000"
    );
}

#[test]
fn other_fields() {
    type Change = fn(&mut RecordTemplate);
    let cases: [(Change, &str); 8] = [
        (
            |t| t.description = "d".repeat(1025),
            "Description is 1025 bytes long, at most 1024 are allowed",
        ),
        (
            |t| t.flow_continue_duration = 1801,
            "HlsSpecialParam.FlowContinueDuration must be from 0 to 1800",
        ),
        (|t| t.cos_store = 2, "CosStore must be 0 or 1"),
        (|t| t.mp4.storage_mode = "hot".to_owned(), "Mp4Param.StorageMode must be normal or cold"),
        (
            |t| t.mp4.vod_file_name = "a\u{0}".to_owned(),
            "Mp4Param.VodFileName holds a control character",
        ),
        (
            |t| t.mp4.vod_file_name = "a".repeat(256),
            "Mp4Param.VodFileName is longer than 255 characters",
        ),
        (
            |t| t.mp4.procedure = "p".repeat(256),
            "Mp4Param.Procedure is 256 bytes long, at most 255 are allowed",
        ),
        (
            |t| (t.aac.enable, t.aac.cos_bucket_path) = (true, "a".to_owned()),
            "AacParam.CosBucketPath must be a path that begins with /",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(refusal(change), message);
    }
    let upload = |t: &mut RecordTemplate| {
        (t.flv.enable, t.flv_upload_in_recording) = (true, true);
        t.flv.vod_file_name = "{StreamID}_{EndYear}".to_owned();
    };
    assert!(matches!(
        {
            let mut t = template();
            upload(&mut t);
            t.check()
        },
        Err(TemplateError::FileName { field: "FlvParam", .. })
    ));
}
