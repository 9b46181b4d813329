//! The specification's bodies are the vectors.

use super::*;
use crate::domain::{
    callback_rule::CallbackRule,
    container::Container,
    ids::{RecordingId, SessionId},
    media_file::{MediaFacts, MediaFileState},
    record_template::RecordTemplate,
    recording::Origin,
};

const APP_ID: u64 = 1_250_000_000;
const KEY: &str = "CBKEYEXAMPLE";
const START_MS: i64 = 1_795_344_236_224;

fn path() -> StreamPath {
    StreamPath {
        domain: DomainName::parse("push.example.com").unwrap(),
        app: AppName::parse("live").unwrap(),
        stream: StreamName::parse("livetest").unwrap(),
    }
}

fn session() -> Session {
    Session {
        id: SessionId::new(0),
        node_id: "n".to_owned(),
        sequence: DecimalId(6_674_468_118_806_626_493),
        path: path(),
        stream_param: "txSecret=0a77540aef2de3351d87fab71cb7af1b&txTime=6B0418EC".to_owned(),
        user_ip: "10.0.0.2".to_owned(),
        node_ip: "10.0.0.1".to_owned(),
        started_ms: START_MS,
        signed: true,
    }
}

fn file(origin: Origin) -> MediaFile {
    MediaFile {
        id: DecimalId(5_285_890_000_000_000_001),
        recording: RecordingId::new(0),
        ordinal: 0,
        node_id: "n".to_owned(),
        path: path(),
        container: Container::Mp4,
        origin,
        session_id: DecimalId(1_820_625_260_475_124_043),
        template_id: 17016,
        sub_app_id: APP_ID,
        stream_param: "a=1&b=2".to_owned(),
        spans: Vec::new(),
        state: MediaFileState::Stored,
        error: String::new(),
        name: "n".to_owned(),
        cos_bucket_path: String::new(),
        utc_offset_s: 0,
        storage_key: "k".to_owned(),
        facts: MediaFacts {
            size_bytes: 31_869_806,
            duration_ms: 60_041,
            first_pts_ms: 80,
            start_ms: START_MS,
            end_ms: 1_795_344_296_809,
            video_codec: "h264".to_owned(),
            width: 1920,
            height: 1080,
            ..MediaFacts::default()
        },
        expire_ms: 0,
        storage_class: "STANDARD".to_owned(),
        class_id: 0,
        created_ms: 0,
        updated_ms: 0,
    }
}

fn text(map: Map<String, Value>) -> String {
    Value::Object(map).to_string()
}

#[test]
fn push_start_is_the_bytes_of_the_specification() {
    let mut body = push_started(&session(), APP_ID, 0, 0).body;
    body.insert("idc_id".to_owned(), 38.into()); // the sample's data centre
    let expected = r#"{"app":"push.example.com","appid":1250000000,"appname":"live","channel_id":"livetest","errcode":0,"errmsg":"ok","event_time":1795344236,"event_type":1,"height":0,"idc_id":38,"node":"10.0.0.1","sequence":"6674468118806626493","set_id":2,"sign":"38a0c23b8be3152cf069af15dc281490","stream_id":"livetest","stream_param":"txSecret=0a77540aef2de3351d87fab71cb7af1b&txTime=6B0418EC","t":1795344836,"user_ip":"10.0.0.2","width":0}"#;
    assert_eq!(text(signed(body, KEY, 1_795_344_236)), expected);
}

#[test]
fn push_end_has_reason_and_duration() {
    let event = push_ended(&session(), APP_ID, 1280, 720, EndReason::Replaced, START_MS + 61_500);
    assert_eq!(event.event_type, EventType::PushEnded);
    assert_eq!(event.body["event_type"], 0);
    assert_eq!(event.body["errcode"], 21);
    assert_eq!(event.body["push_duration"], "61500");
    assert_eq!(event.body["event_time"], 1_795_344_297);
    assert_eq!(event.body["sequence"], "6674468118806626493");
    assert_eq!((&event.body["width"], &event.body["height"]), (&json!(1280), &json!(720)));
    let mut start: Vec<_> = push_started(&session(), APP_ID, 0, 0).body.keys().cloned().collect();
    start.push("push_duration".to_owned());
    start.sort();
    assert_eq!(event.body.keys().cloned().collect::<Vec<_>>(), start);
    let early = push_ended(&session(), APP_ID, 0, 0, EndReason::Crashed, 0);
    assert_eq!(early.body["push_duration"], "0", "a clock set back gives no negative duration");
}

#[test]
fn record_file_of_a_rule_is_the_bytes_of_the_specification() {
    let summary = Verification { version: 1, ..Verification::default() };
    let url = "http://host/path/file.mp4";
    let mut body = file_stored(&file(Origin::Rule), &summary, APP_ID, url).body;
    let mut ext: Map<String, Value> =
        serde_json::from_str(body["callback_ext"].as_str().unwrap()).unwrap();
    assert_eq!(ext.remove("liverec"), Some(serde_json::to_value(&summary).unwrap()));
    body.insert("callback_ext".to_owned(), Value::Object(ext).to_string().into());
    let video_id = format!("1250000000_{}", hex::encode(Md5::digest("5285890000000000001")));
    let expected = format!(
        r#"{{"app":"push.example.com","appid":1250000000,"appname":"live","callback_ext":"{{\"resolution\":\"1920x1080\",\"session_id\":\"1820625260475124043\",\"video_codec\":\"h264\"}}","channel_id":"livetest","duration":60,"end_time":1795344296,"end_time_usec":809000,"event_type":100,"file_format":"mp4","file_id":"5285890000000000001","file_size":31869806,"media_start_time":80,"record_bps":0,"record_file_id":"5285890000000000001","record_temp_id":"17016","sign":"38a0c23b8be3152cf069af15dc281490","start_time":1795344236,"start_time_usec":224000,"stream_id":"livetest","stream_param":"a=1&b=2","t":1795344836,"task_id":"1820625260475124043","video_id":"{video_id}","video_url":"http://host/path/file.mp4"}}"#
    );
    assert_eq!(text(signed(body, KEY, 1_795_344_236)), expected);
    assert_eq!(video_id.len(), "1250000000_".len() + 32);
}

#[test]
fn record_file_of_a_task_has_its_id_and_no_stream_param() {
    let mut file = file(Origin::Task { task_id: "T".repeat(60) });
    file.template_id = 0;
    let body = file_stored(&file, &<_>::default(), APP_ID, "u").body;
    assert_eq!(body["task_id"], "T".repeat(60));
    assert_eq!(body["record_temp_id"], "");
    assert!(!body.contains_key("stream_param"));
}

#[test]
fn record_status_is_the_bytes_of_the_specification() {
    let mut recording = Recording {
        id: RecordingId::new(0),
        session_id: DecimalId(2_918_085_116_267_032_069),
        origin: Origin::Rule,
        container: Container::Hls,
        template: RecordTemplate::default(),
        started_ms: 0,
        resume_window_s: 0,
    };
    let seq = DecimalId(3_266_441_426_274_648_065);
    let make = |r: &Recording| {
        record_status(r, &path(), APP_ID, RecordEvent::StartSucceeded, seq, 1_795_344_236_000).body
    };
    let expected = r#"{"appid":1250000000,"appname":"live","domain":"push.example.com","event_time":1795344236,"event_type":332,"record_detail":"{\"codec_temp_id\":0,\"file_format\":2,\"record_bps\":0,\"record_content\":1,\"source_type\":1,\"start_model\":1}","record_event":"record_start_succeeded","seq":"3266441426274648065","session_id":"2918085116267032069","sign":"38a0c23b8be3152cf069af15dc281490","stream_id":"livetest","t":1795344836}"#;
    assert_eq!(text(signed(make(&recording), KEY, 1_795_344_236)), expected);

    recording.origin = Origin::Task { task_id: "task".to_owned() };
    let body = make(&recording);
    assert_eq!(body["task_id"], "task");
    assert!(body["record_detail"].as_str().unwrap().contains(r#""start_model":5"#));
}

#[test]
fn without_key_neither_t_nor_sign() {
    let body = signed(push_started(&session(), APP_ID, 0, 0).body, "", 1);
    assert!(!body.contains_key("t") && !body.contains_key("sign"));
}

#[test]
fn each_event_has_its_own_url() {
    let template = CallbackTemplate {
        stream_begin_url: "http://h/1".to_owned(),
        record_url: "http://h/100".to_owned(),
        record_status_url: "http://h/332".to_owned(),
        key: KEY.to_owned(),
        ..CallbackTemplate::default()
    };
    let start = NewCallback::new(&template, push_started(&session(), APP_ID, 0, 0)).unwrap();
    assert_eq!((start.url.as_str(), start.sign_key.as_str()), ("http://h/1", KEY));
    let file =
        NewCallback::new(&template, file_stored(&file(Origin::Rule), &<_>::default(), APP_ID, "u"))
            .unwrap();
    assert_eq!(file.url, "http://h/100");
    let end = push_ended(&session(), APP_ID, 0, 0, EndReason::Closed, START_MS);
    assert_eq!(NewCallback::new(&template, end), None, "no URL, no event");
}

#[test]
fn a_stream_has_the_template_of_its_rule() {
    let mut snapshot = Snapshot {
        callback_rules: vec![CallbackRule {
            domain: DomainName::parse("push.example.com").unwrap(),
            app: String::new(),
            template_id: 2,
            created_ms: 0,
            updated_ms: 0,
        }],
        callback_templates: (1..=2)
            .map(|id| (id, CallbackTemplate { id, ..CallbackTemplate::default() }))
            .collect(),
        ..Snapshot::default()
    };
    assert_eq!(template_for(&snapshot, &path()).map(|t| t.id), Some(2));
    snapshot.callback_templates.remove(&2);
    assert_eq!(template_for(&snapshot, &path()), None);
}

#[test]
fn the_signature_of_the_body_is_the_published_vector() {
    // RFC 4231, test case 2.
    let signature = body_signature("Jefe", b"what do ya want for nothing?").unwrap();
    let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(signature, expected);
    assert_eq!(body_signature("", b"x"), None);
}

#[test]
fn a_template_gets_the_levels_it_names_and_errors_if_it_names_none() {
    let wanted = |levels: &[&str]| {
        let levels: Vec<String> = levels.iter().map(|l| (*l).to_owned()).collect();
        [ExceptionLevel::Info, ExceptionLevel::Warning, ExceptionLevel::Error]
            .map(|level| level.is_wanted(&levels))
    };
    assert_eq!(wanted(&[]), [false, false, true]);
    assert_eq!(wanted(&["info"]), [true, false, false]);
    assert_eq!(wanted(&["alarm", "error"]), [false, true, true]);
    let template = CallbackTemplate {
        record_exception_url: "http://r/".to_owned(),
        record_exception_levels: vec!["warning".to_owned()],
        ..CallbackTemplate::default()
    };
    let of = |what| {
        let event = stream_exception_of(
            DecimalId(5),
            Container::Hls,
            &path(),
            APP_ID,
            (what, 3, "why"),
            START_MS,
        );
        NewCallback::new(&template, event)
    };
    assert_eq!(of(RecordException::WriteError), None);
    let body = of(RecordException::NoVideo).unwrap().body;
    let expected = r#"{"appid":1250000000,"domain":"push.example.com","event_type":341,"exception":{"desc":"why","occurs":3,"type":-18},"exception_level":"warning","file_format":"ts","interface":"general_callback","path":"live","session_id":"5","stream_id":"livetest","timestamp":1795344236}"#;
    assert_eq!(text(body), expected);
}

#[test]
fn a_push_exception_lists_what_happened() {
    let abnormal = [Abnormal {
        what: PushException::VideoBack,
        count: 2,
        detail: vec![("by 5 ms".to_owned(), START_MS)],
    }];
    let event = push_exception(&session(), APP_ID, &abnormal, START_MS + 1);
    assert_eq!(event.event_type.number(), 321);
    assert_eq!(path_of(&event.body), Some(path()));
    assert_eq!(path_of(&push_started(&session(), APP_ID, 0, 0).body), Some(path()));
    let expected = r#"{"abnormal_event":[{"count":2,"customer_visible":"true","detail":[{"desc":"by 5 ms","occur_time":1795344236224}],"event_key":"video_timestamp_back","type":1,"type_desc_cn":"视频时间戳回退","type_desc_en":"Video timestamp went back"}],"appid":1250000000,"data_time":1795344236225,"domain":"push.example.com","event_type":321,"interface":"general_callback","path":"live","report_interval":5000,"sequence":"6674468118806626493","stream_id":"livetest","stream_param":"txSecret=0a77540aef2de3351d87fab71cb7af1b&txTime=6B0418EC","timeout":5000,"user_ip":"10.0.0.2"}"#;
    assert_eq!(text(event.body), expected);
}
