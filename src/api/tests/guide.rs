//! The example requests of the vendor's recording guide, byte for byte; only its placeholder for the
//! common parameters is filled in.

use axum::{body::Body, http::Request};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha1::Sha1;

use super::client::*;

/// When the guide's examples lie in the near future.
const THEN_S: i64 = 1_597_010_000;
const HOST: &str = "live.tencentcloudapi.com";

const EXAMPLES: [&str; 4] = [
    "Action=CreateRecordTask&AppName=live&DomainName=mytest.live.push.com&StreamName=livetest&StartTime=1597017600&EndTime=1597024800&TemplateId=0&",
    "Action=CreateLiveRecordTemplate&TemplateName=templat&Description=test&Mp4Param.Enable=1&Mp4Param.RecordInterval=3600&Mp4Param.StorageTime=0&",
    "Action=CreateRecordTask&StreamName=livetest&AppName=live&DomainName=mytest.live.push.com&StartTime=1597017600&EndTime=1597024800&TemplateId=17016&",
    "Action=CreateRecordTask&StreamName=test&AppName=live&DomainName=mytest.live.push.com&EndTime=1597024800&",
];

/// `GET https://live.tencentcloudapi.com/?<example><common parameters>`.
fn get(example: &str) -> Request<Body> {
    let common = format!(
        "Region=ap-guangzhou&Timestamp={THEN_S}&Nonce=11886&SecretId={SECRET_ID}&Version={LIVE}"
    );
    let query = format!("{example}{common}");
    let mut sorted: Vec<&str> = query.split('&').collect();
    sorted.sort_unstable();
    let text = format!("GET{HOST}/?{}", sorted.join("&"));
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET_KEY.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let uri = format!("/?{query}&{}", encoded(&[("Signature", &signature)]));
    Request::builder().uri(uri).header("Host", HOST).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn the_guides_examples_work_as_they_are_printed() {
    for server in servers().await {
        let server = server.with(|state| state.clock = || THEN_S * 1000);
        let mut answers = Vec::new();
        for example in EXAMPLES {
            let answer = server.send(get(example)).await;
            assert!(answer.get("Error").is_none(), "{example}: {answer}");
            answers.push(answer);
        }
        let snapshot = server.state.snapshot.load();
        let template = answers[1]["TemplateId"].as_i64().unwrap();
        let template = &snapshot.record_templates[&template];
        assert_eq!((template.name.as_str(), template.description.as_str()), ("templat", "test"));
        assert!(template.mp4.enable && !template.flv.enable && !template.hls.enable);
        assert_eq!((template.mp4.record_interval, template.mp4.storage_time), (3600, 0));
        let task = |index: usize| {
            let id = answers[index]["TaskId"].as_str().unwrap();
            snapshot.record_tasks.iter().find(|task| task.id == id).unwrap()
        };
        for (index, start_s, stream) in
            [(0, 1_597_017_600, "livetest"), (2, 1_597_017_600, "livetest"), (3, THEN_S, "test")]
        {
            let task = task(index);
            assert_eq!((task.start_s, task.end_s), (start_s, 1_597_024_800));
            assert_eq!(json!(task.path.stream), stream);
            assert_eq!(task.path.to_string(), format!("mytest.live.push.com/live/{stream}"));
        }
    }
}
