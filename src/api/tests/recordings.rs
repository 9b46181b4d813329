//! Templates and rules of recordings.

use serde_json::{Value, json};

use super::client::*;

#[tokio::test]
async fn a_record_template_is_read_back_as_the_vendor_does() {
    for server in servers().await {
        let body = json!({
            "TemplateName": "录制_1", "Description": "any text, 任意", "IsDelayLive": "0", "CosStore": 1,
            "Mp4Param": { "Enable": 1, "RecordInterval": "3600", "VodSubAppId": 1500000001, "VodFileName": "{StreamID}" },
            "HlsParam": { "Enable": 0, "RecordInterval": 30, "StorageMode": "Cold", "ClassId": 7 },
            "Mp3Param": { "Enable": 0, "RecordInterval": 100 },
            "HlsSpecialParam": { "FlowContinueDuration": 30 },
            "FlvSpecialParam": { "UploadInRecording": "true" },
            "RemoveWatermark": "false",
        });
        let id = server.ok("CreateLiveRecordTemplate", body).await["TemplateId"].clone();
        let template =
            server.ok("DescribeLiveRecordTemplate", json!({ "TemplateId": id })).await["Template"]
                .clone();
        let off = json!({
            "RecordInterval": 1800, "StorageTime": 0, "Enable": 0, "VodSubAppId": 1250000000, "VodFileName": "",
            "Procedure": "", "StorageMode": "normal", "ClassId": null, "CosBucketName": "", "CosBucketRegion": "",
            "CosBucketPath": "",
        });
        let with = |changes: Value| {
            let mut block = off.clone();
            block.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            block
        };
        let wanted = json!({
            "TemplateId": id, "TemplateName": "录制_1", "Description": "any text, 任意", "IsDelayLive": 0, "CosStore": 1,
            "FlvParam": off, "AacParam": off,
            "Mp4Param": with(json!({ "Enable": 1, "RecordInterval": 3600, "VodSubAppId": 1500000001, "VodFileName": "{StreamID}" })),
            "HlsParam": with(json!({ "RecordInterval": 30, "StorageMode": "cold", "ClassId": 7 })),
            "Mp3Param": with(json!({ "RecordInterval": 100 })),
            "HlsSpecialParam": { "FlowContinueDuration": 30 },
            "FlvSpecialParam": { "UploadInRecording": true },
            "RemoveWatermark": false,
        });
        assert_eq!(template, wanted);
        assert_eq!(
            server.ok("DescribeLiveRecordTemplates", json!({})).await["Templates"],
            json!([wanted])
        );
        assert_eq!(
            server.ok("DescribeLiveRecordTemplates", json!({ "IsDelayLive": 1 })).await["Templates"],
            json!([])
        );
        let known = server.state.snapshot.load();
        assert_eq!(
            known.record_templates[&id.as_i64().unwrap()].name,
            "录制_1",
            "in force when answered"
        );
    }
}

#[tokio::test]
async fn modify_changes_what_is_given_and_nothing_else() {
    for server in servers().await {
        let body = json!({
            "TemplateName": "t", "Description": "d", "Mp4Param": { "Enable": 1, "RecordInterval": 600, "StorageTime": 5 },
        });
        let id = server.ok("CreateLiveRecordTemplate", body).await["TemplateId"].clone();
        let change = json!({ "TemplateId": id, "TemplateName": "", "Mp4Param": { "RecordInterval": 700 }, "FlvParam": { "Enable": 1 } });
        server.ok("ModifyLiveRecordTemplate", change).await;
        let template =
            server.ok("DescribeLiveRecordTemplate", json!({ "TemplateId": id })).await["Template"]
                .clone();
        assert_eq!(template["TemplateName"], "t");
        assert_eq!(template["Mp4Param"]["Enable"], 1);
        assert_eq!(template["Mp4Param"]["RecordInterval"], 700);
        assert_eq!(template["Mp4Param"]["StorageTime"], 5);
        assert_eq!(template["FlvParam"]["Enable"], 1);

        let modify = "ModifyLiveRecordTemplate";
        assert_eq!(
            server.refused(modify, json!({ "TemplateId": id, "CosStore": 1 })).await,
            "UnknownParameter"
        );
        assert_eq!(
            server.refused(modify, json!({ "TemplateId": id, "IsDelayLive": 1 })).await,
            "UnknownParameter"
        );
        assert_eq!(
            server.refused(modify, json!({ "TemplateName": "x" })).await,
            "MissingParameter"
        );
        assert_eq!(
            server.refused(modify, json!({ "TemplateId": 999, "TemplateName": "x" })).await,
            "FailedOperation.NotFound"
        );
        let odd =
            json!({ "TemplateId": id, "TemplateName": "x", "FlvParam": { "RecordInterval": 59 } });
        assert_eq!(server.refused(modify, odd).await, "InvalidParameterValue");
        let template =
            server.ok("DescribeLiveRecordTemplate", json!({ "TemplateId": id })).await["Template"]
                .clone();
        assert_eq!(template["TemplateName"], "t", "a refused change stores nothing");
    }
}

#[tokio::test]
async fn record_templates_are_checked_and_counted() {
    for server in servers().await {
        let create = "CreateLiveRecordTemplate";
        for (body, wanted) in [
            (json!({ "TemplateName": "a b" }), "InvalidParameterValue"),
            (json!({ "TemplateName": "a".repeat(256) }), "InvalidParameterValue"),
            (json!({ "TemplateName": "a", "Mp4Param": { "Enable": 2 } }), "InvalidParameterValue"),
            (json!({ "TemplateName": "a", "Mp4Param": { "Enable": "yes" } }), "InvalidParameter"),
            (json!({ "TemplateName": "a", "Mp4Param": 1 }), "InvalidParameter"),
            (json!({ "TemplateName": "a", "Mp4Param": { "VodSubAppId": -1 } }), "InvalidParameter"),
            (
                json!({ "TemplateName": "a", "Mp4Param": { "Enable": 1, "RecordInterval": 43201 } }),
                "InvalidParameterValue",
            ),
            (
                json!({ "TemplateName": "a", "AacParam": { "Enable": 1, "RecordInterval": 7201 } }),
                "InvalidParameterValue",
            ),
            (
                json!({ "TemplateName": "a", "Mp4Param": { "VodFileName": "a\nb" } }),
                "InvalidParameter.InvalidVodFileName",
            ),
            (
                json!({ "TemplateName": "a", "HlsSpecialParam": { "FlowContinueDuration": 1801 } }),
                "InvalidParameterValue",
            ),
            (json!({ "TemplateName": "a", "RemoveWatermark": "maybe" }), "InvalidParameter"),
        ] {
            assert_eq!(server.refused(create, body.clone()).await, wanted, "{body}");
        }
        for n in 0..50 {
            server.ok(create, json!({ "TemplateName": format!("t{n}") })).await;
        }
        assert_eq!(
            server.refused(create, json!({ "TemplateName": "t" })).await,
            "InternalError.ConfOutLimit"
        );
        assert_eq!(
            server.refused("DescribeLiveRecordTemplate", json!({ "TemplateId": 999 })).await,
            "FailedOperation.NotFound"
        );
        assert_eq!(
            server.refused("DeleteLiveRecordTemplate", json!({ "TemplateId": 999 })).await,
            "FailedOperation.NotFound"
        );
    }
}

#[tokio::test]
async fn record_rules() {
    for server in servers().await {
        let id = server
            .ok("CreateLiveRecordTemplate", json!({ "TemplateName": "t" }))
            .await["TemplateId"]
            .clone();
        let create = "CreateLiveRecordRule";
        let domain = json!({ "DomainName": "Push.Example.COM.", "TemplateId": id });
        server.ok(create, domain.clone()).await;
        assert_eq!(server.refused(create, domain).await, "FailedOperation.RuleAlreadyExist");
        let same = json!({ "DomainName": "push.example.com", "AppName": "", "StreamName": null, "TemplateId": id });
        assert_eq!(server.refused(create, same).await, "FailedOperation.RuleAlreadyExist");
        server.ok(create, json!({ "DomainName": "push.example.com", "AppName": "live", "StreamName": "s", "TemplateId": id })).await;
        let rule = |app: &str, stream: &str| {
            json!({
                "CreateTime": "2026-11-22 18:43:56", "UpdateTime": "2026-11-22 18:43:56", "TemplateId": id,
                "DomainName": "push.example.com", "AppName": app, "StreamName": stream,
            })
        };
        let rules = server.ok("DescribeLiveRecordRules", json!({})).await["Rules"].clone();
        assert_eq!(rules, json!([rule("", ""), rule("live", "s")]));
        let known = server.state.snapshot.load_full();
        assert_eq!(known.record_rules.len(), 2);
        let registered: Vec<&str> = known.push_domains.keys().map(|d| d.as_str()).collect();
        assert_eq!(registered, ["push.example.com"]);

        assert_eq!(
            server.refused("DeleteLiveRecordTemplate", json!({ "TemplateId": id })).await,
            "FailedOperation.ConfInUsed"
        );
        let unknown = json!({ "DomainName": "d.com", "TemplateId": 999 });
        assert_eq!(server.refused(create, unknown).await, "InvalidParameter.ConfNotFound");
        for bad in ["not a domain", "http://d.com", "127.0.0.1", "::1", "localhost", "a/b"] {
            let body = json!({ "DomainName": bad, "TemplateId": id });
            assert_eq!(
                server.refused(create, body).await,
                "InvalidParameter.DomainFormatError",
                "{bad}"
            );
        }
        assert_eq!(server.refused(create, json!({ "TemplateId": id })).await, "MissingParameter");
        assert_eq!(
            server.refused(create, json!({ "DomainName": "d.com" })).await,
            "MissingParameter"
        );
        let odd = json!({ "DomainName": "d.com", "TemplateId": id, "AppName": "a\n" });
        assert_eq!(server.refused(create, odd).await, "InvalidParameter");

        let delete = "DeleteLiveRecordRule";
        assert_eq!(
            server
                .refused(delete, json!({ "DomainName": "push.example.com", "AppName": "live" }))
                .await,
            "FailedOperation.NotFound"
        );
        server
            .ok(
                delete,
                json!({ "DomainName": "push.example.com", "AppName": "live", "StreamName": "s" }),
            )
            .await;
        server.ok(delete, json!({ "DomainName": "push.example.com", "AppName": "" })).await;
        assert!(server.state.snapshot.load().record_rules.is_empty());
        server.ok("DeleteLiveRecordTemplate", json!({ "TemplateId": id })).await;
    }
}
