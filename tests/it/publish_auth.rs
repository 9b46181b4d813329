//! `publish.auth_url`: a customer's server is asked before a publish begins.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use liverec::domain::callback::{body_signature, sign};
use serde_json::{Value, json};

use crate::support::{
    publisher::Pusher,
    receiver::{Receiver, SIGN_KEY, serve},
    server::{BACKENDS, Backend, Server, eventually},
};

const KEY: &str = "AUTHKEY";

/// What the authentication server does next.
#[derive(Clone, Copy)]
enum Mood {
    Accept,
    Forbid,
    Code,
    Fail,
    Hang,
    /// Yes, after longer than the handshake may take.
    SlowAccept,
    /// A refusal behind more than 4 KiB.
    LongCode,
    /// A refusal whose body comes late, but in time.
    LateCode,
    /// No JSON, though it looks like some.
    Broken,
}

#[derive(Clone)]
struct Auth {
    mood: Arc<Mutex<Mood>>,
    asked: Arc<Mutex<Vec<Value>>>,
}

async fn answer(State(auth): State<Auth>, headers: HeaderMap, body: Bytes) -> Response {
    let question: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(question["sign"], sign(KEY, question["t"].as_i64().unwrap()));
    let signature = headers["x-liverec-signature"].to_str().unwrap();
    assert_eq!(Some(signature.to_owned()), body_signature(KEY, &body));
    auth.asked.lock().unwrap().push(question);
    let mood = *auth.mood.lock().unwrap();
    match mood {
        Mood::Accept => "welcome".into_response(),
        Mood::Forbid => StatusCode::FORBIDDEN.into_response(),
        Mood::Code => r#"{"code":5}"#.into_response(),
        Mood::Fail => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::SlowAccept => {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            "welcome".into_response()
        }
        Mood::LongCode => {
            format!("{{\"msg\":\"{}\",\"code\":5}}", "x".repeat(9000)).into_response()
        }
        Mood::LateCode => {
            let late = futures_util::stream::once(async {
                tokio::time::sleep(Duration::from_millis(1500)).await;
                Ok::<_, std::io::Error>(Bytes::from_static(b"{\"code\":5}"))
            });
            axum::body::Body::from_stream(late).into_response()
        }
        Mood::Broken => r#"{"code":5,}"#.into_response(),
        Mood::Hang => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            "too late".into_response()
        }
    }
}

impl Auth {
    fn start() -> (Self, SocketAddr) {
        let auth = Self { mood: Arc::new(Mutex::new(Mood::Accept)), asked: Arc::default() };
        let router = Router::new().route("/auth", post(answer)).with_state(auth.clone());
        (auth, serve(router))
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

fn refusal(server: &Server) -> String {
    let (code, text) = Pusher::connect(server.rtmp, "s?a=b", 4096).refusal();
    assert_eq!(code, "NetStream.Publish.Denied");
    text
}

#[test]
fn whoever_the_customer_does_not_want_is_refused_and_announced() {
    for backend in BACKENDS {
        let (auth, address) = Auth::start();
        let url = format!("http://{address}/auth");
        let settings = [
            ("publish.auth_url", url.as_str()),
            ("publish.auth_key", KEY),
            ("publish.auth_fail", "closed"),
        ];
        let mut server = Server::start(backend, &settings);
        server.expect("publish.auth_url gave no answer");
        let receiver = Receiver::start();
        server.call_back(&receiver.url(), SIGN_KEY);

        let stream = json!({ "DomainName": "live.local", "AppName": "live", "StreamName": "s" });
        let told = server.live("LiverecExplainRecord", stream)["ObstacleList"].to_string();
        assert!(told.contains("publish.auth_fail is closed") && !told.contains("/auth"), "{told}");
        Pusher::connect(server.rtmp, "s?a=b", 4096).accepted().finish();
        let began = &receiver.wait_for(1, 1)[0];
        let asked = &auth.asked()[0];
        for field in ["app", "appname", "stream_id", "stream_param", "user_ip", "sequence"] {
            assert_eq!(asked[field], began[field], "{field}");
        }
        assert_eq!(
            (&asked["interface"], &asked["stream_param"]),
            (&json!("publish_auth"), &json!("a=b"))
        );
        receiver.wait_for(0, 1);

        let mut ended = 1;
        for mood in [
            Mood::Forbid,
            Mood::Code,
            Mood::LongCode,
            Mood::LateCode,
            Mood::Broken,
            Mood::Fail,
            Mood::Hang,
        ] {
            auth.is(mood);
            assert!(refusal(&server).contains("not authorised"));
            ended += 1;
            let event = receiver.wait_for(0, ended).pop().unwrap();
            let asked = auth.asked().pop().unwrap();
            assert_eq!((&event["errcode"], &event["push_duration"]), (&json!(19), &json!("0")));
            assert_eq!(event["sequence"], asked["sequence"], "the same push is told of");
        }
        assert_eq!(receiver.of_type(1).len(), 1, "no refused push has begun");
        assert_eq!(server.metric("liverec_refusals_total{reason=\"auth_url\"}"), 7.0);
        auth.is(Mood::Accept);
        Pusher::connect(server.rtmp, "s", 4096).accepted().finish();
    }
}

#[test]
fn a_server_that_is_away_costs_no_recording_unless_told_to() {
    let (auth, address) = Auth::start();
    let url = format!("http://{address}/auth");
    let settings = [("publish.auth_url", url.as_str()), ("publish.auth_key", KEY)];
    let mut server = Server::start(Backend::Plain, &settings);
    server.expect("publish.auth_url gave no answer, the publish is let in");
    auth.is(Mood::Hang);
    Pusher::connect(server.rtmp, "s", 4096).accepted().finish();
    auth.is(Mood::Fail);
    Pusher::connect(server.rtmp, "s", 4096).accepted().finish();
    auth.is(Mood::Forbid);
    refusal(&server);
}

/// The encoder answers for its own time alone, and what is forbidden meanwhile is forbidden.
#[test]
fn while_an_answer_is_waited_for_the_world_goes_on() {
    let (auth, address) = Auth::start();
    let url = format!("http://{address}/auth");
    let settings = [
        ("publish.auth_url", url.as_str()),
        ("publish.auth_key", KEY),
        ("rtmp.handshake_timeout", "2s"),
    ];
    let server = Server::start(Backend::Plain, &settings);
    auth.is(Mood::SlowAccept);
    Pusher::connect(server.rtmp, "s", 4096).accepted().finish();
    let rtmp = server.rtmp;
    let stream = json!({ "DomainName": "live.local", "AppName": "live", "StreamName": "s" });
    for (forbid, allow) in
        [("ForbidLiveStream", "ResumeLiveStream"), ("ForbidLiveDomain", "EnableLiveDomain")]
    {
        let asked = auth.asked().len();
        let pushing = std::thread::spawn(move || Pusher::connect(rtmp, "s", 4096).refusal());
        eventually("the question", || (auth.asked().len() > asked).then_some(()));
        let about = match forbid {
            "ForbidLiveDomain" => json!({ "DomainName": "live.local" }),
            _ => stream.clone(),
        };
        server.live(forbid, about.clone());
        let (code, _) = pushing.join().unwrap();
        assert_eq!(code, "NetStream.Publish.Denied", "{forbid}");
        let live = server.live("DescribeLiveStreamOnlineList", json!({}));
        assert_eq!(live["TotalNum"], 0, "{forbid}");
        server.live(allow, about);
    }
}
