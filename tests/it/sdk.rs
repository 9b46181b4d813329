//! The vendor's own Python SDK drives the recording schemes of the vendor's guide, in each of the
//! ways in which it can sign: what customers' code does must work when only endpoint and keys change.

pub mod driver;

use std::{
    path::Path,
    process::{Child, Command},
    thread::sleep,
    time::Duration,
};

use chrono::Utc;
use serde_json::{Value, json};

use self::driver::{SIGNINGS, Sdk, Signing};
use crate::support::{
    ffmpeg::{Codecs, ffmpeg, make_source},
    receiver::{Receiver, SIGN_KEY},
    run,
    server::{BACKENDS, Backend, SECRET_ID, SECRET_KEY, Server, eventually, fetch},
};

/// ffmpeg pushing in real time until it is stopped.
struct Push(Child);

impl Push {
    fn start(source: &Path, url: &str) -> Self {
        let mut command = ffmpeg();
        command.args(["-re", "-stream_loop", "-1", "-i"]).arg(source);
        Self(command.args(["-c", "copy", "-f", "flv", url]).spawn().unwrap())
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// As somebody who presses q.
    fn stop(mut self) {
        run(Command::new("kill").args(["-INT", &self.0.id().to_string()]));
        self.0.wait().unwrap();
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn push(source: &Path, url: &str) {
    run(ffmpeg().arg("-i").arg(source).args(["-c", "copy", "-f", "flv", url]));
}

/// What one way of signing has set up.
struct Schemes {
    sdk: Sdk,
    domain: String,
    whole: i64,
    single: i64,
    audio: i64,
}

impl Schemes {
    /// Callbacks and the rules of schemes one, two and five.
    fn set_up(server: &Server, receiver: &Receiver, signing: Signing) -> Self {
        let sdk = Sdk::start(server, signing);
        let domain = format!("{}.example.com", signing.name);
        let url = receiver.url();
        let callbacks = sdk.live(
            "CreateLiveCallbackTemplate",
            json!({
                "TemplateName": "guide", "CallbackKey": SIGN_KEY,
                "StreamBeginNotifyUrl": url, "StreamEndNotifyUrl": url,
                "RecordNotifyUrl": url, "RecordStatusNotifyUrl": url,
            }),
        );
        let id = &callbacks["TemplateId"];
        sdk.live(
            "CreateLiveCallbackRule",
            json!({"DomainName": domain, "AppName": "", "TemplateId": id}),
        );
        let whole = sdk
            .template(json!({"FlvParam": {"Enable": 1, "RecordInterval": 3600, "StorageTime": 0}}));
        let single = sdk
            .template(json!({"Mp4Param": {"Enable": 1, "RecordInterval": 3600, "StorageTime": 0}}));
        let audio = sdk.template(json!({"AacParam": {"Enable": 1, "RecordInterval": 3600}}));
        let rule = |app: &str, stream: &str, template: i64| {
            let scope = json!({"DomainName": domain, "AppName": app, "StreamName": stream, "TemplateId": template});
            sdk.live("CreateLiveRecordRule", scope);
        };
        sdk.live("CreateLiveRecordRule", json!({"DomainName": domain, "TemplateId": whole}));
        rule("live", "single", single);
        rule("live", "radio", audio);
        let rules = sdk.live("DescribeLiveRecordRules", json!({}));
        let ours = rules["Rules"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|rule| rule["DomainName"] == domain.as_str());
        assert_eq!(ours.count(), 3, "{rules}");
        Self { sdk, domain, whole, single, audio }
    }

    /// Names are unique over all domains, so that events can be told apart by stream.
    fn push_url(&self, server: &Server, stream: &str) -> String {
        format!("rtmp://{}/live/{stream}?domain={}", server.rtmp, self.domain)
    }

    fn events(&self, receiver: &Receiver, event_type: i64, stream: &str) -> Vec<Value> {
        let domain = if event_type == 332 { "domain" } else { "app" };
        let mut events = receiver.of_type(event_type);
        events.retain(|e| e[domain] == self.domain.as_str() && e["stream_id"] == stream);
        events
    }

    fn wait(&self, receiver: &Receiver, event_type: i64, stream: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} events {event_type} of {}/{stream}", self.domain);
        eventually(&what, || {
            let events = self.events(receiver, event_type, stream);
            (events.len() >= count).then_some(events)
        })
    }

    fn task(&self, stream: &str, mut parameters: Value) -> String {
        parameters["DomainName"] = json!(self.domain);
        parameters["AppName"] = json!("live");
        parameters["StreamName"] = json!(stream);
        self.sdk.live("CreateRecordTask", parameters)["TaskId"].as_str().unwrap().to_owned()
    }

    /// The whole story of a push that a rule records once, as the receiver heard it.
    fn check_rule(
        &self,
        receiver: &Receiver,
        stream: &str,
        format: &str,
        template: i64,
        param: &str,
    ) {
        let file = self.wait(receiver, 100, stream, 1).remove(0);
        let begun = self.wait(receiver, 1, stream, 1).remove(0);
        let ended = self.wait(receiver, 0, stream, 1).remove(0);
        let status = self.wait(receiver, 332, stream, 2);
        assert_eq!(file["file_format"], format, "{file}");
        assert_eq!(file["record_temp_id"], template.to_string(), "{file}");
        assert_eq!(file["stream_param"], param, "{file}");
        assert_eq!(file["appname"], "live");
        assert_eq!(begun["sequence"], ended["sequence"]);
        assert_eq!(begun["stream_param"], param);
        assert_eq!((&begun["errcode"], &ended["errcode"]), (&json!(0), &json!(1)), "{ended}");
        assert_eq!(file["task_id"], begun["sequence"], "a rule's task_id is the session");
        let mut said: Vec<&str> =
            status.iter().map(|s| s["record_event"].as_str().unwrap()).collect();
        said.sort_unstable();
        assert_eq!(said, ["record_ended", "record_start_succeeded"]);
        for event in &status {
            assert_eq!(event["session_id"], begun["sequence"], "{event}");
            assert!(event.get("task_id").is_none(), "{event}");
        }
        self.check_found(&file);
    }

    /// The VOD product finds what the event announced, and it plays.
    fn check_found(&self, file: &Value) {
        let (id, stream) = (&file["file_id"], &file["stream_id"]);
        let found =
            self.sdk.call("vod", "SearchMedia", json!({"FileIds": [id], "StreamIds": [stream]}));
        assert_eq!(found["TotalCount"], 1, "{found}");
        let basic = &found["MediaInfoSet"][0]["BasicInfo"];
        assert_eq!(basic["MediaUrl"], file["video_url"], "{basic}");
        assert_eq!(found["MediaInfoSet"][0]["FileId"], *id);
        let described = self.sdk.call("vod", "DescribeMediaInfos", json!({"FileIds": [id, "1"]}));
        assert_eq!(
            described["MediaInfoSet"][0]["BasicInfo"]["MediaUrl"], file["video_url"],
            "{described}"
        );
        assert_eq!(described["NotExistFileIdSet"], json!(["1"]));
        let bytes = fetch(file["video_url"].as_str().unwrap());
        let start: &[u8] = match file["file_format"].as_str().unwrap() {
            "flv" => b"FLV\x01",
            "hls" => b"#EXTM3U",
            "aac" => &[0xFF, 0xF1],
            _ => b"",
        };
        assert!(bytes.starts_with(start) && bytes.len() > 100, "{file}");
        if file["file_format"] != "hls" {
            assert_eq!(file["file_size"], bytes.len(), "{file}");
        }
        if file["file_format"] == "mp4" {
            assert_eq!(bytes.get(4..8), Some(&b"ftyp"[..]), "{file}");
        }
    }
}

#[test]
fn the_five_schemes_of_the_guide_on_sqlite_and_a_directory() {
    the_five_schemes(Backend::Plain);
}

#[test]
fn the_five_schemes_of_the_guide_on_postgresql_and_s3() {
    the_five_schemes(Backend::Services);
}

fn the_five_schemes(backend: Backend) {
    let server = Server::start(backend, &[("hls.segment_duration", "1s")]);
    let receiver = Receiver::start();
    let (source, radio) = (server.folder().join("source.flv"), server.folder().join("radio.flv"));
    make_source(Codecs::H264Aac, 4, &source);
    make_source(Codecs::Aac, 4, &radio);
    let all: Vec<Schemes> =
        SIGNINGS.map(|signing| Schemes::set_up(&server, &receiver, signing)).into();

    // Scheme three: a window in the near future, on a stream that is live before and after it.
    let now = Utc::now().timestamp();
    let (from, to) = (now + 4, now + 7);
    let windows: Vec<(String, Push)> = all
        .iter()
        .map(|s| {
            let template = s.single;
            let window =
                json!({"StartTime": from, "EndTime": to, "TemplateId": template, "StreamType": 0});
            let task = s.task("window", window);
            (task, Push::start(&source, &s.push_url(&server, "window")))
        })
        .collect();

    // Schemes one, two and five, one of them with a signature.
    for s in &all {
        let signed = server.signed_key(&s.domain, "live", "whole");
        assert!(signed.contains("txSecret=") && signed.contains(&s.domain), "{signed}");
        push(&source, &server.push_url(&signed));
        push(&source, &s.push_url(&server, "single"));
        push(&radio, &s.push_url(&server, "radio"));
        let param = format!("domain={}", s.domain);
        let (_, signed_param) = signed.split_once('?').unwrap();
        s.check_rule(&receiver, "whole", "flv", s.whole, signed_param);
        s.check_rule(&receiver, "single", "mp4", s.single, &param);
        s.check_rule(&receiver, "radio", "aac", s.audio, &param);
    }

    // Scheme four: a highlight of a stream that is live, until now.
    let mut highlights: Vec<(String, Push)> = all
        .iter()
        .map(|s| {
            let push = Push::start(&source, &s.push_url(&server, "highlight"));
            s.wait(&receiver, 1, "highlight", 1);
            (s.task("highlight", json!({"EndTime": Utc::now().timestamp() + 3600})), push)
        })
        .collect();
    sleep(Duration::from_secs(2));
    for (s, (task, push)) in all.iter().zip(&mut highlights) {
        s.sdk.live("StopRecordTask", json!({"TaskId": task}));
        let file = s.wait(&receiver, 100, "highlight", 1).remove(0);
        assert!(push.is_running(), "finished while the push goes on");
        assert!(s.events(&receiver, 0, "highlight").is_empty(), "the push goes on");
        assert_eq!(file["task_id"], task.as_str(), "{file}");
        assert_eq!(file["file_format"], "hls", "the default profile");
        assert_eq!(file["record_temp_id"], "", "{file}");
        assert!(file.get("stream_param").is_none(), "{file}");
        s.check_found(&file);
        // The rule of the domain records the whole push besides.
        let of_task = |e: &&Value| e["task_id"] == task.as_str();
        let status = s.wait(&receiver, 332, "highlight", 3);
        assert_eq!(status.iter().filter(of_task).count(), 2, "{status:#?}");
        let found = s.sdk.live(
            "DescribeRecordTask",
            json!({"StartTime": now - 60, "EndTime": now + 7200, "DomainName": s.domain, "StreamName": "highlight"}),
        );
        assert_eq!(found["TaskList"][0]["TaskId"], task.as_str(), "{found}");
        assert!(found["TaskList"][0]["Stopped"].as_i64().unwrap() >= now, "{found}");
    }
    for (s, (task, push)) in all.iter().zip(highlights) {
        push.stop();
        let files = s.wait(&receiver, 100, "highlight", 2);
        let rule = files.iter().find(|f| f["task_id"] != task.as_str()).unwrap();
        assert_eq!(rule["file_format"], "flv");
        assert_eq!(rule["record_temp_id"], s.whole.to_string());
    }

    for (s, (task, mut push)) in all.iter().zip(windows) {
        let file = s.wait(&receiver, 100, "window", 1).remove(0);
        assert!(push.is_running(), "the window ends before the push");
        assert_eq!(file["task_id"], task.as_str(), "{file}");
        assert_eq!(file["file_format"], "mp4");
        assert_eq!(file["record_temp_id"], s.single.to_string());
        // From the last key frame before the edge (they come every second) to the edge.
        let (start, end) =
            (file["start_time"].as_i64().unwrap(), file["end_time"].as_i64().unwrap());
        let duration = file["duration"].as_i64().unwrap();
        assert!(
            (from - 2..=from + 1).contains(&start) && (to - 1..=to + 1).contains(&end),
            "{from} {to} {file}"
        );
        assert!((2..=5).contains(&duration), "{file}");
        s.check_found(&file);
        push.stop();
        s.wait(&receiver, 100, "window", 2);
        let status = s.wait(&receiver, 332, "window", 4);
        assert_eq!(status.iter().filter(|e| e["task_id"] == task.as_str()).count(), 2);
    }
    for s in &all {
        for stream in ["whole", "single", "radio", "highlight", "window"] {
            s.wait(&receiver, 0, stream, 1);
            assert_eq!(s.events(&receiver, 1, stream).len(), 1);
            assert_eq!(s.events(&receiver, 0, stream).len(), 1);
        }
        for (stream, files) in
            [("whole", 1), ("single", 1), ("radio", 1), ("highlight", 2), ("window", 2)]
        {
            assert_eq!(s.events(&receiver, 100, stream).len(), files, "{stream}");
        }
    }
}

#[test]
fn refusals_are_exceptions_of_the_sdk_with_the_documented_code() {
    for backend in BACKENDS {
        let server = Server::start(backend, &[]);
        for signing in SIGNINGS {
            let sdk = Sdk::start(&server, signing);
            let domain = format!("{}.example.com", signing.name);
            let now = Utc::now().timestamp();
            let template = sdk.template(json!({"FlvParam": {"Enable": 1}}));
            let rule = json!({"DomainName": domain, "AppName": "live", "TemplateId": template});
            sdk.live("CreateLiveRecordRule", rule.clone());

            let live = |action, parameters, code| sdk.refused("live", action, parameters, code);
            live("CreateLiveRecordRule", rule, "FailedOperation.RuleAlreadyExist");
            live(
                "CreateLiveRecordRule",
                json!({"DomainName": domain, "StreamName": "s", "TemplateId": 999_999}),
                "InvalidParameter.ConfNotFound",
            );
            live(
                "CreateLiveRecordRule",
                json!({"DomainName": "not a domain", "TemplateId": template}),
                "InvalidParameter.DomainFormatError",
            );
            live(
                "DeleteLiveRecordTemplate",
                json!({"TemplateId": template}),
                "FailedOperation.ConfInUsed",
            );
            live(
                "DescribeLiveRecordTemplate",
                json!({"TemplateId": 999_999}),
                "FailedOperation.NotFound",
            );
            live(
                "ModifyLiveRecordTemplate",
                json!({"TemplateId": 999_999}),
                "FailedOperation.NotFound",
            );
            live(
                "DeleteLiveRecordRule",
                json!({"DomainName": domain, "AppName": "other"}),
                "FailedOperation.NotFound",
            );
            live("CreateLiveRecordTemplate", json!({"Description": "no name"}), "MissingParameter");
            live(
                "CreateLiveRecordTemplate",
                json!({"TemplateName": "t", "FlvParam": {"Enable": 1, "RecordInterval": 10}}),
                "InvalidParameterValue",
            );
            let task = |from: i64, to: i64| json!({"DomainName": domain, "AppName": "live", "StreamName": "s", "StartTime": from, "EndTime": to});
            live("CreateRecordTask", task(now - 20, now - 10), "InvalidParameter");
            live("CreateRecordTask", task(now + 20, now + 10), "InvalidParameter");
            live("CreateRecordTask", task(now, now + 25 * 3600), "InvalidParameter");
            live("StopRecordTask", json!({"TaskId": "x".repeat(60)}), "InvalidParameter");
            live("DeleteRecordTask", json!({"TaskId": "x".repeat(60)}), "InvalidParameter");
            live(
                "CreateLiveCallbackTemplate",
                json!({"TemplateName": "a/b", "RecordNotifyUrl": "http://127.0.0.1/"}),
                "InvalidParameter.ArgsNotMatch",
            );
            live(
                "CreateLiveCallbackRule",
                json!({"DomainName": domain, "AppName": "", "TemplateId": 999_999}),
                "InvalidParameter.ConfNotFound",
            );
            live(
                "DeleteLiveCallbackRule",
                json!({"DomainName": domain, "AppName": "none"}),
                "FailedOperation.NotFound",
            );
            live("NoSuchAction", json!({}), "InvalidAction");
            sdk.refused("vod", "SearchMedia", json!({"Tags": ["a"]}), "UnsupportedOperation");
            sdk.refused(
                "vod",
                "CreateLiveRecordTemplate",
                json!({"TemplateName": "t"}),
                "InvalidAction",
            );

            let empty = json!({});
            let action = "DescribeLiveRecordTemplates";
            let wrong = [SECRET_ID, "wrong"];
            sdk.refused_with(
                "live",
                action,
                empty.clone(),
                Some(wrong),
                "AuthFailure.SignatureFailure",
            );
            let unknown = ["AKIDNOBODY", SECRET_KEY];
            sdk.refused_with("live", action, empty, Some(unknown), "AuthFailure.SecretIdNotFound");
        }
    }
}
