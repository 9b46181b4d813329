//! Files lie in the folders that `CosBucketPath` names, whatever happens while they are stored.

use serde_json::{Value, json};

use crate::{
    doctor::{bad, examine, objects},
    follow::{PARTS, heavy, stored, wait_for_live_parts},
    support::{
        publisher::Pusher,
        pushing::{as_in_product, assert_same_tags, product_tags},
        receiver::{Receiver, SIGN_KEY},
        s3::Op,
        server::{BACKENDS, Server},
    },
    verbatim::format_of,
};

const MP4: &str = "/{RecordSource}/{Domain}/{AppName}/{StreamID}/{RecordId}-{RandomID}/\
    {StartYear}-{StartMonth}-{StartDay}-{StartHour}-{StartMinute}-{StartSecond}";
const FLV: &str = "/flv//a b/{EndYear}{EndMonth}{EndDay}{EndHour}{EndMinute}{EndSecond}";
const HLS: &str = "/../{StreamID}/{Nope}";

/// Those times as a path shows them, eight hours east of UTC.
fn shown(unix_s: &Value, form: &str) -> String {
    let east = chrono::FixedOffset::east_opt(8 * 3600).unwrap();
    let time = chrono::DateTime::from_timestamp(unix_s.as_i64().unwrap(), 0).unwrap();
    time.with_timezone(&east).format(form).to_string()
}

/// The key of the main object of a file.
fn key(file: &Value) -> String {
    let (_, path) = file["video_url"].as_str().unwrap().split_once("/vod/").unwrap();
    percent_encoding::percent_decode_str(path).decode_utf8().unwrap().into_owned()
}

fn assert_verified(server: &Server, file: &Value) {
    let id = file["file_id"].as_str().unwrap();
    let output = server.cli().args(["verify", id, "--json"]).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{report}");
}

#[test]
fn files_lie_where_the_pattern_says() {
    for backend in BACKENDS {
        let mut server = Server::start(backend, &PARTS);
        let receiver = Receiver::start();
        server.call_back(&receiver.url(), SIGN_KEY);
        let param =
            |path: &str| json!({ "Enable": 1, "RecordInterval": 1200, "CosBucketPath": path });
        let template = json!({
            "TemplateName": "cos", "CosStore": 1, "Mp4Param": param(MP4), "FlvParam": param(FLV),
            "HlsParam": param(HLS), "AacParam": param("/"),
        });
        let id = server.live("CreateLiveRecordTemplate", template)["TemplateId"].clone();
        server.live(
            "CreateLiveRecordRule",
            json!({ "DomainName": "live.local", "AppName": "live", "StreamName": "show", "TemplateId": id }),
        );
        let source = heavy(&server, 16);
        let mut pusher = Pusher::connect(server.rtmp, "show", 65536).accepted();
        pusher.send(&source.tags);
        wait_for_live_parts(&server, 2);
        if let Some(s3) = &server.s3 {
            assert_eq!(s3.count(Op::Create), 1, "a path that names the end waits for it");
        }
        // The path of a file that has begun stays what it is.
        server.kill();
        server.set("api.utc_offset", "-05:00");
        server.launch();
        let files = stored(&receiver, 4);
        let names = objects(&server);
        for file in &files {
            let (id, key) = (file["file_id"].as_str().unwrap(), key(file));
            let task = file["task_id"].as_str().unwrap();
            let folder = match format_of(file) {
                "mp4" => format!(
                    "origin/live.local/live/show/{task}-{id}/{}",
                    shown(&file["start_time"], "%Y-%m-%d-%H-%M-%S")
                ),
                "flv" => format!("flv/a%20b/{}", shown(&file["end_time"], "%Y%m%d%H%M%S")),
                "hls" => "%2E%2E/show/%7BNope%7D".to_owned(),
                "aac" => "live.local/live/show".to_owned(),
                other => panic!("{other}"),
            };
            let name = match format_of(file) {
                "hls" => "playlist.m3u8".to_owned(),
                format => format!("f0.{format}"),
            };
            assert_eq!(key, format!("{folder}/{id}/{name}"), "{file:#}");
            assert!(names.contains(&key), "{key}: {names:?}");
            assert_verified(&server, file);
        }
        let flv = files.iter().find(|file| format_of(file) == "flv").unwrap();
        let (_, path) = flv["video_url"].as_str().unwrap().split_once("/vod/").unwrap();
        let url = format!("{}/vod/{path}", server.base_url());
        assert_same_tags(&product_tags(&url), &as_in_product(&source.tags), &url);
        let (code, findings) = examine(&server, &[], &[]);
        assert_eq!(code, 0, "{:#?}", bad(&findings));
        let told = findings.iter().find(|finding| finding["check"] == "orphans.objects").unwrap();
        let told = told["found"].as_str().unwrap_or_default();
        assert!(told.contains(" 0 of them of others"), "{told}");
        drop(pusher);
    }
}
