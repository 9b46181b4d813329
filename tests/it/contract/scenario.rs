//! Every action once with success, and once for each refusal that the server can be brought to by
//! parameters and rows alone. What needs a limit to be full, a stalled disk or a broken clock is tested
//! where those are made.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, FixedOffset, Utc};
use serde_json::{Value, json};

use super::clients::Client;

/// A stream that is live in the default domain while the scenario runs, and one that is recorded.
pub struct Streams<'a> {
    /// Its name.
    pub live: &'a str,
    /// Its name; one file of it is stored and announced.
    pub stored: &'a str,
}

/// What was asked and answered.
pub struct Script<'a> {
    client: &'a dyn Client,
    /// Answers by product and action.
    pub answers: Vec<(&'static str, &'static str, Value)>,
    /// Codes of refusals.
    pub codes: BTreeSet<String>,
}

const LIVE: &str = "live";
const VOD: &str = "vod";

impl<'a> Script<'a> {
    /// Asks for everything. `name` keeps apart what several clients make on one server.
    pub fn run(client: &'a dyn Client, name: &str, streams: &Streams<'_>) -> Self {
        let mut script = Self { client, answers: Vec::new(), codes: BTreeSet::new() };
        let domain = format!("{name}.example.com");
        let template = script.templates(&domain);
        script.rules(&domain, template);
        script.tasks(&domain, template);
        script.callbacks(&domain, streams);
        script.domains(name);
        script.streams(&domain, streams);
        script.files(streams);
        script.own(streams);
        script.dispatch();
        script
    }

    fn ok(&mut self, product: &'static str, action: &'static str, parameters: Value) -> Value {
        if !self.client.knows(product, action) {
            return Value::Null;
        }
        let answer = self.client.ask(product, action, &parameters);
        let answer = answer.unwrap_or_else(|code| panic!("{action} {parameters}: {code}"));
        self.answers.push((product, action, answer.clone()));
        answer
    }

    fn no(&mut self, product: &'static str, action: &'static str, parameters: Value, code: &str) {
        let is_known = self.client.knows(product, action);
        if !is_known || (self.client.is_slow() && self.codes.contains(code)) {
            return;
        }
        let answer = self.client.ask(product, action, &parameters);
        assert_eq!(answer.err().as_deref(), Some(code), "{action} {parameters}");
        self.codes.insert(code.to_owned());
    }

    fn templates(&mut self, domain: &str) -> i64 {
        let param = json!({
            "Enable": 1, "RecordInterval": 3600, "StorageTime": 0, "VodSubAppId": 0,
            "VodFileName": "{StreamID}_{StartYear}-{StartMonth}-{StartDay}", "Procedure": "p",
            "StorageMode": "normal", "ClassId": 0,
        });
        let body = json!({
            "TemplateName": "contract_1", "Description": "录制 a&b=c+d/~", "Mp4Param": param,
            "HlsParam": { "Enable": 0, "RecordInterval": 600 }, "IsDelayLive": 0, "CosStore": 0,
            "HlsSpecialParam": { "FlowContinueDuration": 30 }, "RemoveWatermark": false,
            "FlvSpecialParam": { "UploadInRecording": true },
        });
        let id = self.ok(LIVE, "CreateLiveRecordTemplate", body)["TemplateId"].clone();
        let with = |more: Value| {
            let mut body = json!({ "TemplateName": "t" });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        for (more, code) in [
            (json!({ "FlvParam": { "Enable": 1, "RecordInterval": 10 } }), "InvalidParameterValue"),
            (json!({ "Mp3Param": { "Enable": 1 } }), "InvalidParameterValue"),
            (
                json!({ "FlvParam": { "Enable": 1, "VodFileName": "a\nb" } }),
                "InvalidParameter.InvalidVodFileName",
            ),
        ] {
            self.no(LIVE, "CreateLiveRecordTemplate", with(more), code);
        }
        let modified = json!({ "TemplateId": id, "Description": "d", "FlvParam": { "Enable": 1 } });
        self.ok(LIVE, "ModifyLiveRecordTemplate", modified);
        self.ok(LIVE, "DescribeLiveRecordTemplate", json!({ "TemplateId": id }));
        self.ok(LIVE, "DescribeLiveRecordTemplates", json!({}));
        let none = json!({ "TemplateId": 999_999 });
        for action in ["ModifyLiveRecordTemplate", "DescribeLiveRecordTemplate"] {
            self.no(LIVE, action, none.clone(), "FailedOperation.NotFound");
        }
        let spare = self.ok(
            LIVE,
            "CreateLiveRecordTemplate",
            json!({ "TemplateName": domain.replace('.', "_") }),
        );
        let spare = json!({ "TemplateId": spare["TemplateId"] });
        self.ok(LIVE, "DeleteLiveRecordTemplate", spare.clone());
        self.no(LIVE, "DeleteLiveRecordTemplate", spare, "FailedOperation.NotFound");
        id.as_i64().unwrap()
    }

    fn rules(&mut self, domain: &str, template: i64) {
        let rule = json!({ "DomainName": domain, "AppName": "live", "TemplateId": template });
        self.ok(LIVE, "CreateLiveRecordRule", rule.clone());
        self.no(LIVE, "CreateLiveRecordRule", rule, "FailedOperation.RuleAlreadyExist");
        let other = |domain: &str, template: i64| json!({ "DomainName": domain, "AppName": "x", "TemplateId": template });
        self.no(
            LIVE,
            "CreateLiveRecordRule",
            other(domain, 999_999),
            "InvalidParameter.ConfNotFound",
        );
        self.no(
            LIVE,
            "CreateLiveRecordRule",
            other("not a domain", template),
            "InvalidParameter.DomainFormatError",
        );
        self.ok(LIVE, "DescribeLiveRecordRules", json!({}));
        let used = json!({ "TemplateId": template });
        self.no(LIVE, "DeleteLiveRecordTemplate", used, "FailedOperation.ConfInUsed");
        let scope = json!({ "DomainName": domain, "AppName": "live", "StreamName": "" });
        self.ok(LIVE, "DeleteLiveRecordRule", scope.clone());
        self.no(LIVE, "DeleteLiveRecordRule", scope, "FailedOperation.NotFound");
    }

    fn tasks(&mut self, domain: &str, template: i64) {
        let now = Utc::now().timestamp();
        let task = |start: i64, end: i64| {
            json!({
                "StreamName": "s", "DomainName": domain, "AppName": "live", "StartTime": start,
                "EndTime": end, "StreamType": 0, "TemplateId": template, "Extension": "",
            })
        };
        let made = self.ok(LIVE, "CreateRecordTask", task(now + 600, now + 1200));
        let id = json!({ "TaskId": made["TaskId"] });
        for (start, end) in [(now - 20, now - 10), (now + 20, now + 10), (now, now + 25 * 3600)] {
            self.no(LIVE, "CreateRecordTask", task(start, end), "InvalidParameter");
        }
        let window = json!({
            "StartTime": now - 60, "EndTime": now + 3600, "DomainName": domain, "AppName": "live",
            "StreamName": "s",
        });
        let listed = self.ok(LIVE, "DescribeRecordTask", window);
        assert_eq!(listed["TaskList"][0]["TaskId"], made["TaskId"]);
        let odd = json!({ "StartTime": now, "EndTime": now - 1 });
        self.no(LIVE, "DescribeRecordTask", odd, "InvalidParameter");
        self.ok(LIVE, "StopRecordTask", id.clone());
        self.ok(LIVE, "DeleteRecordTask", id.clone());
        for action in ["StopRecordTask", "DeleteRecordTask"] {
            self.no(LIVE, action, id.clone(), "InvalidParameter");
        }
        // The old family, in local times.
        let local = |at: DateTime<Utc>| {
            let zone = FixedOffset::east_opt(8 * 3600).unwrap();
            at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
        };
        let legacy = |format: &str| {
            json!({
                "StreamName": "s", "AppName": "live", "DomainName": domain, "FileFormat": format,
                "StartTime": local(Utc::now() + Duration::minutes(10)),
                "EndTime": local(Utc::now() + Duration::minutes(20)), "RecordType": "video",
            })
        };
        let id = self.ok(LIVE, "CreateLiveRecord", legacy("mp4"))["TaskId"].clone();
        self.no(LIVE, "CreateLiveRecord", legacy("mp3"), "InvalidParameterValue");
        let highlight = json!({ "StreamName": "nobody", "DomainName": domain, "Highlight": 1 });
        self.no(LIVE, "CreateLiveRecord", highlight, "ResourceUnavailable.StreamNotExist");
        let named = json!({ "StreamName": "s", "TaskId": id });
        self.ok(LIVE, "StopLiveRecord", named.clone());
        self.ok(LIVE, "DeleteLiveRecord", named);
        let none = json!({ "StreamName": "s", "TaskId": 999_999 });
        for action in ["StopLiveRecord", "DeleteLiveRecord"] {
            self.no(LIVE, action, none.clone(), "ResourceNotFound.TaskId");
        }
    }

    fn callbacks(&mut self, domain: &str, streams: &Streams<'_>) {
        let url = "http://127.0.0.1:9/";
        let body = json!({
            "TemplateName": "contract", "Description": "d", "CallbackKey": "key",
            "StreamBeginNotifyUrl": url, "StreamEndNotifyUrl": url, "RecordNotifyUrl": url,
            "RecordStatusNotifyUrl": url, "PushExceptionNotifyUrl": url,
            "RecordExceptionNotifyUrl": url, "RecordExceptionLevels": ["error"],
        });
        let id = self.ok(LIVE, "CreateLiveCallbackTemplate", body)["TemplateId"].clone();
        let odd = json!({ "TemplateName": "a/b", "RecordNotifyUrl": url });
        self.no(LIVE, "CreateLiveCallbackTemplate", odd, "InvalidParameter.ArgsNotMatch");
        let odd = json!({ "TemplateName": "a", "RecordNotifyUrl": "ftp://host/" });
        self.no(LIVE, "CreateLiveCallbackTemplate", odd, "InvalidParameter.UrlNotSafe");
        let named = json!({ "TemplateId": id });
        let modified = json!({ "TemplateId": id, "Description": "e" });
        self.ok(LIVE, "ModifyLiveCallbackTemplate", modified);
        self.ok(LIVE, "DescribeLiveCallbackTemplate", named.clone());
        self.ok(LIVE, "DescribeLiveCallbackTemplates", json!({}));
        let rule = json!({ "DomainName": domain, "AppName": "live", "TemplateId": id });
        self.ok(LIVE, "CreateLiveCallbackRule", rule.clone());
        self.no(LIVE, "CreateLiveCallbackRule", rule, "FailedOperation.RuleAlreadyExist");
        let none = json!({ "DomainName": domain, "AppName": "x", "TemplateId": 999_999 });
        self.no(LIVE, "CreateLiveCallbackRule", none, "InvalidParameter.ConfNotFound");
        self.ok(LIVE, "DescribeLiveCallbackRules", json!({}));
        self.no(LIVE, "DeleteLiveCallbackTemplate", named.clone(), "FailedOperation.ConfInUsed");
        let scope = json!({ "DomainName": domain, "AppName": "live" });
        self.ok(LIVE, "DeleteLiveCallbackRule", scope.clone());
        self.no(LIVE, "DeleteLiveCallbackRule", scope, "FailedOperation.NotFound");
        self.ok(LIVE, "DeleteLiveCallbackTemplate", named.clone());
        for action in ["DescribeLiveCallbackTemplate", "DeleteLiveCallbackTemplate"] {
            self.no(LIVE, action, named.clone(), "FailedOperation.NotFound");
        }
        let log = |end: Duration| {
            json!({
                "StartTime": utc(Utc::now() - Duration::hours(1)), "EndTime": utc(Utc::now() + end),
                "StreamName": streams.stored, "PageNum": 1, "PageSize": 20,
            })
        };
        let told = self.ok(LIVE, "DescribeCallbackRecordsList", log(Duration::minutes(1)));
        assert!(told.is_null() || told["TotalNum"].as_i64().unwrap() > 0, "{told}");
        let long = log(Duration::days(3));
        self.no(LIVE, "DescribeCallbackRecordsList", long, "InvalidParameterValue");
    }

    fn domains(&mut self, name: &str) {
        let push = json!({ "DomainName": format!("push.{name}.example.com"), "DomainType": 0 });
        let play = json!({
            "DomainName": format!("play.{name}.example.com"), "DomainType": 1, "PlayType": 1,
        });
        for domain in [&push, &play] {
            self.ok(LIVE, "AddLiveDomain", domain.clone());
            self.no(LIVE, "AddLiveDomain", domain.clone(), "FailedOperation.DomainAdded");
        }
        let odd = json!({ "DomainName": "a b", "DomainType": 0 });
        self.no(LIVE, "AddLiveDomain", odd, "InvalidParameter.DomainFormatError");
        let odd = json!({ "DomainName": "a.example.com", "DomainType": 7 });
        self.no(LIVE, "AddLiveDomain", odd, "InvalidParameterValue");
        let named = json!({ "DomainName": push["DomainName"] });
        let none = json!({ "DomainName": "nobody.example.com" });
        self.ok(LIVE, "ForbidLiveDomain", named.clone());
        self.ok(LIVE, "EnableLiveDomain", named.clone());
        self.ok(LIVE, "DescribeLiveDomain", named.clone());
        self.ok(LIVE, "DescribeLiveDomain", json!({ "DomainName": play["DomainName"] }));
        for action in ["ForbidLiveDomain", "EnableLiveDomain"] {
            self.no(LIVE, action, none.clone(), "ResourceNotFound");
        }
        self.no(LIVE, "DescribeLiveDomain", none.clone(), "ResourceNotFound.DomainNotExist");
        self.ok(LIVE, "DescribeLiveDomains", json!({ "PageSize": 100, "PageNum": 1 }));
        let odd = json!({ "PageNum": 0 });
        self.no(LIVE, "DescribeLiveDomains", odd, "InvalidParameterValue");
        let keys = json!({
            "DomainName": push["DomainName"], "Enable": 1, "MasterAuthKey": "abcdef0123",
            "BackupAuthKey": "0123abcdef", "AuthDelta": 60,
        });
        self.ok(LIVE, "ModifyLivePushAuthKey", keys);
        self.ok(LIVE, "DescribeLivePushAuthKey", named.clone());
        let odd = json!({ "DomainName": push["DomainName"], "Enable": 1, "MasterAuthKey": "a b" });
        self.no(LIVE, "ModifyLivePushAuthKey", odd, "InvalidParameterValue");
        self.no(LIVE, "DescribeLivePushAuthKey", none, "ResourceNotFound.PushDomainNoRecord");
        for mut domain in [push, play] {
            domain.as_object_mut().unwrap().remove("PlayType");
            self.ok(LIVE, "DeleteLiveDomain", domain.clone());
            self.no(LIVE, "DeleteLiveDomain", domain, "ResourceNotFound.DomainNotExist");
        }
    }

    fn streams(&mut self, domain: &str, streams: &Streams<'_>) {
        let online = self.ok(LIVE, "DescribeLiveStreamOnlineList", json!({}));
        assert!(online["OnlineInfo"].to_string().contains(streams.live), "{online}");
        let odd = json!({ "PageSize": 1 });
        self.no(LIVE, "DescribeLiveStreamOnlineList", odd, "InvalidParameterValue");
        let named =
            json!({ "DomainName": "live.local", "AppName": "live", "StreamName": streams.live });
        let state = self.ok(LIVE, "DescribeLiveStreamState", named);
        assert_eq!(state["StreamState"], "active");
        let named = json!({ "DomainName": domain, "AppName": "live", "StreamName": domain });
        self.ok(LIVE, "DropLiveStream", named.clone());
        let mut ban = named.clone();
        ban["Reason"] = json!("r");
        ban["ResumeTime"] = json!(utc(Utc::now() + Duration::hours(1)));
        self.ok(LIVE, "ForbidLiveStream", ban.clone());
        ban["ResumeTime"] = json!("tomorrow");
        self.no(LIVE, "ForbidLiveStream", ban, "InvalidParameterValue");
        self.ok(LIVE, "DescribeLiveForbidStreamList", json!({}));
        self.ok(LIVE, "ResumeLiveStream", named);
        let missing = json!({ "DomainName": domain, "AppName": "live", "StreamName": "" });
        self.no(LIVE, "DropLiveStream", missing, "MissingParameter");
        let window = |days: i64| {
            json!({
                "DomainName": "live.local", "StartTime": utc(Utc::now() - Duration::days(days)),
                "EndTime": utc(Utc::now()),
            })
        };
        let past = self.ok(LIVE, "DescribeLiveStreamPublishedList", window(1));
        assert!(past["PublishInfo"].to_string().contains(streams.stored), "{past}");
        self.ok(LIVE, "DescribeLiveStreamEventList", window(1));
        for action in ["DescribeLiveStreamPublishedList", "DescribeLiveStreamEventList"] {
            self.no(LIVE, action, window(40), "InvalidParameterValue");
        }
        let counted = |kind: &str| {
            let mut body = window(1);
            body.as_object_mut().unwrap().remove("DomainName");
            body["LiveType"] = json!(kind);
            body["PushDomains"] = json!(["live.local"]);
            body
        };
        self.ok(LIVE, "DescribeConcurrentRecordStreamNum", counted("NormalLive"));
        let odd = counted("Anything");
        self.no(LIVE, "DescribeConcurrentRecordStreamNum", odd, "InvalidParameterValue");
    }

    fn files(&mut self, streams: &Streams<'_>) {
        let search = json!({ "StreamIds": [streams.stored], "Limit": 10 });
        let found = self.ok(VOD, "SearchMedia", search);
        assert_eq!(found["TotalCount"], 1, "{found}");
        let id = &found["MediaInfoSet"][0]["FileId"];
        self.ok(VOD, "DescribeMediaInfos", json!({ "FileIds": [id, "1"] }));
        let ids: Vec<String> = (0..21).map(|n| n.to_string()).collect();
        let many = json!({ "FileIds": ids });
        self.no(VOD, "DescribeMediaInfos", many, "InvalidParameterValue.FileIdsOverLimit");
        let odd = json!({ "SourceTypes": ["Nothing"] });
        self.no(VOD, "SearchMedia", odd, "InvalidParameterValue.SourceTypes");
        let odd = json!({ "Offset": 5001, "Limit": 10 });
        self.no(VOD, "SearchMedia", odd, "InvalidParameterValue.Offset");
        let odd = json!({ "Sort": { "Field": "Size", "Order": "Asc" } });
        self.no(VOD, "SearchMedia", odd, "InvalidParameterValue.Sort");
        let foreign = json!({ "SubAppId": 4_242_424 });
        self.no(VOD, "SearchMedia", foreign, "InvalidParameterValue.SubAppId");
        self.no(VOD, "SearchMedia", json!({ "Tags": ["a"] }), "UnsupportedOperation");
        self.ok(VOD, "LiverecVerifyFile", json!({ "FileId": id }));
        let none = json!({ "FileId": "5285890000000000001" });
        self.no(VOD, "LiverecVerifyFile", none, "ResourceNotFound.FileNotExist");
    }

    fn own(&mut self, streams: &Streams<'_>) {
        let named =
            json!({ "DomainName": "live.local", "AppName": "live", "StreamName": streams.live });
        self.ok(LIVE, "LiverecExplainRecord", named);
        let limits = json!({ "DomainName": "live.local", "MaxStreams": 1000 });
        self.ok(LIVE, "LiverecModifyDomainLimits", limits);
        let none = json!({ "DomainName": "nobody.example.com", "MaxStreams": 1 });
        self.no(LIVE, "LiverecModifyDomainLimits", none, "ResourceNotFound.DomainNotExist");
        self.ok(LIVE, "LiverecDescribeDomainLimits", json!({}));
        self.ok(LIVE, "LiverecDescribeRecordings", json!({}));
        self.ok(LIVE, "LiverecDescribeAudit", json!({}));
        self.ok(LIVE, "LiverecDescribeCallbacks", json!({}));
        self.ok(LIVE, "LiverecReplayCallback", json!({ "StreamName": streams.stored }));
        self.ok(LIVE, "LiverecDoctor", json!({}));
        for action in ["LiverecDescribeRecordings", "LiverecDescribeAudit"] {
            self.no(LIVE, action, json!({ "PageSize": 0 }), "InvalidParameterValue");
        }
        self.no(LIVE, "LiverecReplayCallback", json!({}), "MissingParameter");
        let odd = json!({ "Nothing": 1 });
        self.no(LIVE, "LiverecDoctor", odd, "UnknownParameter");
    }

    fn dispatch(&mut self) {
        self.no(LIVE, "DescribeLiveWatermarks", json!({}), "UnsupportedOperation");
        self.no(LIVE, "NoSuchAction", json!({}), "InvalidAction");
        self.no(VOD, "NoSuchAction", json!({}), "InvalidAction");
    }
}

fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
