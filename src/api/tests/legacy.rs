//! Legacy record tasks.

use serde_json::json;

use super::client::*;

fn with(extra: serde_json::Value) -> serde_json::Value {
    let mut body = json!({ "StreamName": "s", "StartTime": "2026-11-22 18:50:00", "EndTime": "2026-11-22 19:50:00" });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_legacy_task_from_creation_to_deletion() {
    for server in servers().await {
        let extra = json!({ "FileFormat": "MP4", "StreamParam": "record_interval%3d3600%26storage_time%3d60" });
        let id = server.ok("CreateLiveRecord", with(extra)).await["TaskId"].as_u64().unwrap();
        let task = server.state.snapshot.load().record_tasks[0].clone();
        assert_eq!(
            (task.id.as_str(), task.path.to_string().as_str()),
            (id.to_string().as_str(), "live.local/live/s")
        );
        assert_eq!((task.start_s, task.end_s), (NOW_S + 364, NOW_S + 3964));
        let profile = task.profile.unwrap();
        assert!(profile.mp4.enable && !profile.flv.enable);
        assert_eq!((profile.mp4.record_interval, profile.mp4.storage_time), (3600, 60));
        // As the vendor's text asks for: the encoded form.
        let extra = json!({ "StartTime": "2026-11-22+18%3a50%3a00", "AppName": "a", "DomainName": "push.example.com" });
        let other = server.ok("CreateLiveRecord", with(extra)).await["TaskId"].as_u64().unwrap();
        assert_eq!(other, id + 1);

        let window = json!({ "StartTime": NOW_S - 10, "EndTime": NOW_S + 90_000 });
        assert_eq!(server.ok("DescribeRecordTask", window).await["TaskList"], json!([]));
        for action in ["StopRecordTask", "DeleteRecordTask"] {
            assert_eq!(
                server.refused(action, json!({ "TaskId": id.to_string() })).await,
                "InvalidParameter"
            );
        }
        let named = json!({ "StreamName": "s", "TaskId": id });
        server.ok("StopLiveRecord", named.clone()).await;
        assert!(server.state.snapshot.load().record_tasks.iter().any(|task| task.stopped_ms != 0));
        server.ok("DeleteLiveRecord", named.clone()).await;
        for action in ["StopLiveRecord", "DeleteLiveRecord"] {
            assert_eq!(server.refused(action, named.clone()).await, "ResourceNotFound.TaskId");
            let wrong = json!({ "StreamName": "t", "TaskId": other });
            assert_eq!(server.refused(action, wrong).await, "ResourceNotFound.TaskId");
        }
    }
}

#[tokio::test]
async fn legacy_parameters_are_checked() {
    let server = servers().await.remove(0);
    for (extra, code) in [
        (json!({ "StreamName": "" }), "MissingParameter"),
        (json!({ "StartTime": "" }), "MissingParameter"),
        (json!({ "EndTime": null }), "MissingParameter"),
        (json!({ "EndTime": "2026-11-22" }), "InvalidParameterValue"),
        (json!({ "EndTime": "2026-11-22 18:00:00" }), "InvalidParameter"),
        (json!({ "FileFormat": "mp3" }), "InvalidParameterValue"),
        (json!({ "FileFormat": "mkv" }), "InvalidParameterValue"),
        (json!({ "RecordType": "audio" }), "InvalidParameterValue"),
        (json!({ "RecordType": "smell" }), "InvalidParameterValue"),
        (json!({ "Highlight": 2 }), "InvalidParameterValue"),
        (json!({ "Highlight": 1 }), "ResourceUnavailable.StreamNotExist"),
        // Nobody looks at StartTime then.
        (json!({ "Highlight": 1, "StartTime": "now" }), "ResourceUnavailable.StreamNotExist"),
        (json!({ "Highlight": 1, "StartTime": [1] }), "ResourceUnavailable.StreamNotExist"),
        (json!({ "Highlight": 1, "EndTime": "soon" }), "InvalidParameterValue"),
        (json!({ "StreamParam": "record_interval=60" }), "InvalidParameterValue"),
        (json!({ "StreamParam": "other=1" }), "InvalidParameterValue"),
        (json!({ "StreamParam": "storage_time=x" }), "InvalidParameterValue"),
    ] {
        assert_eq!(server.refused("CreateLiveRecord", with(extra.clone())).await, code, "{extra}");
    }
    server
        .ok("CreateLiveRecord", with(json!({ "RecordType": "Audio", "FileFormat": "AAC" })))
        .await;
    let mp3 = json!({ "TemplateName": "t", "Mp3Param": { "Enable": 1 } });
    assert_eq!(server.refused("CreateLiveRecordTemplate", mp3).await, "InvalidParameterValue");
}
