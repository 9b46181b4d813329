//! The S3 store against a server that verifies signatures and fails on demand.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use liverec::{
    api::playback::{self, Playback},
    storage::{MIN_PART_BYTES, ObjectStore, Part, S3Settings, S3Store, StorageError, Upload},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    storage::{keeps_the_promises, key, pattern, read},
    support::{
        faulty_s3::UNKNOWN_KEY,
        s3::{ACCESS_KEY_ID, BUCKET, Fault, Op, S3Server, SECRET_ACCESS_KEY},
    },
};

const PART: u64 = MIN_PART_BYTES;

struct S3 {
    _dir: TempDir,
    server: S3Server,
    store: S3Store,
}

fn settings(server: &S3Server) -> S3Settings {
    S3Settings {
        endpoint: Some(server.endpoint()),
        region: "us-east-1".to_owned(),
        bucket: BUCKET.to_owned(),
        prefix: "/vod/".to_owned(),
        access_key_id: ACCESS_KEY_ID.to_owned(),
        secret_access_key: SECRET_ACCESS_KEY.to_owned(),
        path_style: true,
        timeout: Duration::from_secs(30),
    }
}

fn start() -> S3 {
    let dir = TempDir::new().unwrap();
    let server = S3Server::start(dir.path());
    let store = S3Store::new(settings(&server)).unwrap();
    S3 { _dir: dir, server, store }
}

#[tokio::test]
async fn s3_keeps_the_promises() {
    let s3 = start();
    keeps_the_promises(Arc::new(s3.store.clone())).await;
}

#[tokio::test]
async fn keys_have_the_prefix_and_objects_their_type() {
    let s3 = start();
    s3.store.put(&key("a/f0.flv"), pattern(1, 10)).await.unwrap();
    assert_eq!(std::fs::read(s3.server.object("vod/a/f0.flv")).unwrap(), pattern(1, 10));
    assert_eq!(s3.server.content_type("vod/a/f0.flv").as_deref(), Some("video/x-flv"));
    let upload = s3.store.start(&key("a/f0.mp4"), PART).await.unwrap();
    let part = s3.store.put_part(&upload, 1, pattern(1, 10)).await.unwrap();
    assert!(!part.etag.is_empty());
    s3.store.complete(&upload, &[part]).await.unwrap();
    assert_eq!(s3.server.content_type("vod/a/f0.mp4").as_deref(), Some("video/mp4"));
    // As a row without tags would have it after ListParts of such a server.
    let upload = s3.store.start(&key("a/1.ts"), PART).await.unwrap();
    s3.store.put_part(&upload, 1, pattern(1, 10)).await.unwrap();
    let parts = s3.store.list_parts(&upload).await.unwrap();
    s3.store.complete(&upload, &parts).await.unwrap();
    assert_eq!(s3.server.content_type("vod/a/1.ts").as_deref(), Some("video/mp2t"));
}

#[tokio::test]
async fn wrong_credentials_and_buckets_are_refused() {
    let s3 = start();
    let wrong: [fn(&mut S3Settings); 3] = [
        |s| s.access_key_id = "SOMEONE".to_owned(),
        |s| s.secret_access_key = "else".to_owned(),
        |s| s.bucket = "another-bucket".to_owned(),
    ];
    for (n, spoil) in wrong.into_iter().enumerate() {
        let mut settings = settings(&s3.server);
        spoil(&mut settings);
        let store = S3Store::new(settings).unwrap();
        let refused = store.check().await.unwrap_err();
        assert!(matches!(refused, StorageError::Refused { .. }), "{n}: {refused}");
        if n < 2 {
            // s3s-fs makes objects in any bucket.
            let refused = store.put(&key("a.mp4"), pattern(1, 10)).await.unwrap_err();
            assert!(matches!(refused, StorageError::Refused { .. }), "{n}: {refused}");
            let refused = store.start(&key("a.mp4"), PART).await.unwrap_err();
            assert!(matches!(refused, StorageError::Refused { .. }), "{n}: {refused}");
            let refused = store.head(&key("a.mp4")).await.unwrap_err();
            assert!(matches!(refused, StorageError::Refused { .. }), "{n}: {refused}");
            let shown = refused.to_string();
            assert!(!shown.contains(SECRET_ACCESS_KEY), "{shown}");
        }
    }
    assert!(!s3.server.object("vod/a.mp4").exists());
}

#[tokio::test]
async fn a_server_that_is_down_is_transient_and_comes_back() {
    let mut s3 = start();
    let name = key("a/f0.mp4");
    let upload = s3.store.start(&name, PART).await.unwrap();
    let part = s3.store.put_part(&upload, 1, pattern(1, 10)).await.unwrap();
    s3.server.stop();
    let down = s3.store.check().await.unwrap_err();
    assert!(down.is_transient(), "{down}");
    let down = s3.store.get(&name, None).await.unwrap_err();
    assert!(down.is_transient(), "{down}");
    let down = s3.store.put_part(&upload, 1, pattern(1, 10)).await.unwrap_err();
    assert!(down.is_transient(), "{down}");
    s3.server.restart();
    s3.store.check().await.unwrap();
    s3.store.complete(&upload, &[part]).await.unwrap();
    assert_eq!(read(&s3.store, &name).await, pattern(1, 10));
}

#[tokio::test]
async fn single_failures_are_not_noticed() {
    let s3 = start();
    let name = key("a/f0.mp4");
    for (op, fault) in [
        (Op::Put, Fault::Status(503)),
        (Op::Put, Fault::Status(500)),
        (Op::Put, Fault::Drop),
        (Op::Create, Fault::Status(503)),
        (Op::UploadPart, Fault::Drop),
        (Op::UploadPart, Fault::LoseResponse),
        (Op::Complete, Fault::Status(503)),
        (Op::Head, Fault::Drop),
        (Op::Get, Fault::Status(503)),
        (Op::Delete, Fault::LoseResponse),
    ] {
        s3.server.inject(op, 1, 1, fault);
    }
    s3.store.put(&key("b.ts"), pattern(5, 100_000)).await.unwrap();
    let upload = s3.store.start(&name, PART).await.unwrap();
    let part = s3.store.put_part(&upload, 1, pattern(1, PART)).await.unwrap();
    s3.store.complete(&upload, &[part]).await.unwrap();
    assert_eq!(s3.store.head(&name).await.unwrap().unwrap().size, PART);
    assert_eq!(read(&s3.store, &key("b.ts")).await, pattern(5, 100_000));
    s3.store.delete(&name).await.unwrap();
    assert_eq!(s3.store.head(&name).await.unwrap(), None);
    assert_eq!(s3.server.count(Op::UploadPart), 3, "both faults struck");
}

#[tokio::test]
async fn a_lost_answer_to_complete_is_found_out() {
    let s3 = start();
    let name = key("a/f0.mp4");
    let upload = s3.store.start(&name, PART).await.unwrap();
    let parts = [
        s3.store.put_part(&upload, 1, pattern(1, PART)).await.unwrap(),
        s3.store.put_part(&upload, 2, pattern(2, 10)).await.unwrap(),
    ];
    s3.server.inject(Op::Complete, 1, 1, Fault::LoseResponse);
    s3.store.complete(&upload, &parts).await.unwrap();
    assert!(s3.server.count(Op::Complete) > 1 && s3.server.count(Op::Head) == 1);
    assert_eq!(s3.store.head(&name).await.unwrap().unwrap().size, PART + 10);

    // Another object under that name is not this one.
    let gone = Upload { key: name.clone(), ..upload };
    let other = [Part { size: 11, ..parts[0].clone() }];
    let error = s3.store.complete(&gone, &other).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
}

#[tokio::test]
async fn an_upload_whose_object_is_there_already_does_not_stay_open() {
    let s3 = start();
    let name = key("a/f0.mp4");
    for fault in [None, Some(UNKNOWN_KEY)] {
        let upload = s3.store.start(&name, PART).await.unwrap();
        let part = s3.store.put_part(&upload, 1, pattern(1, PART)).await.unwrap();
        if let Some(fault) = fault {
            s3.server.inject(Op::Complete, 1, 1, fault);
        }
        s3.store.complete(&upload, &[part]).await.unwrap();
        assert_eq!(s3.server.open_uploads(), BTreeMap::new());
        assert_eq!(read(&s3.store, &name).await, pattern(1, PART));
    }
}

#[tokio::test]
async fn an_upload_that_may_not_be_aborted_now_is_not_taken_for_gone() {
    let s3 = start();
    let upload = s3.store.start(&key("a/f0.mp4"), PART).await.unwrap();
    s3.server.inject(Op::Abort, 1, 1, UNKNOWN_KEY);
    let error = s3.store.abort(&upload).await.unwrap_err();
    assert!(error.to_string().contains("InvalidAccessKeyId"), "{error}");
    s3.store.abort(&upload).await.unwrap();
    assert_eq!(s3.server.open_uploads(), BTreeMap::new());
    s3.store.abort(&upload).await.unwrap();
}

#[tokio::test]
async fn an_upload_is_begun_once() {
    let s3 = start();
    let name = key("a/f0.mp4");
    // Not begun, so it is begun again; begun or not, so it is not.
    s3.server.inject(Op::Create, 1, 2, Fault::Status(503));
    let upload = s3.store.start(&name, PART).await.unwrap();
    s3.store.abort(&upload).await.unwrap();
    let late = Duration::from_secs(1);
    let impatient = S3Settings { timeout: late / 2, ..settings(&s3.server) };
    let impatient = S3Store::new(impatient).unwrap();
    for (store, fault) in [
        (&s3.store, Fault::LoseResponse),
        (&impatient, Fault::Delay(late)),
        (&s3.store, Fault::Drop),
        (&s3.store, Fault::Status(500)),
    ] {
        let before = s3.server.count(Op::Create);
        s3.server.inject(Op::Create, 1, 1, fault);
        let error = store.start(&name, PART).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert_eq!(s3.server.count(Op::Create), before + 1, "{fault:?}");
    }
    let found = loop {
        let found = s3.store.uploads_of(&name).await.unwrap();
        if found.len() == 2 {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(s3.store.uploads_of(&key("a/f0")).await.unwrap(), [], "only of that key");
    for upload in found {
        s3.store.discard(&upload).await.unwrap();
    }
    assert_eq!(s3.server.open_uploads(), BTreeMap::new());
}

#[tokio::test]
async fn throttling_that_lasts_is_transient() {
    let s3 = start();
    s3.server.inject(Op::Any, 1, usize::MAX, Fault::Status(503));
    let error = s3.store.check().await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("503"), "{error}");
    let error = s3.store.get(&key("a"), None).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("SlowDown"), "{error}");
    s3.server.heal();
    s3.server.inject(Op::Any, 1, 1, Fault::Delay(Duration::from_millis(50)));
    s3.store.check().await.unwrap();
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_not_an_end() {
    let s3 = start();
    s3.store.put(&key("a.mp4"), pattern(1, 300_000)).await.unwrap();
    s3.server.inject(Op::Get, 1, 1, Fault::CutBody(100_000));
    let body = s3.store.get(&key("a.mp4"), None).await.unwrap();
    assert_eq!(body.info.size, 300_000);
    let mut given = 0;
    let counted = body.stream.try_for_each(|block| {
        given += block.len();
        std::future::ready(Ok(()))
    });
    let error = counted.await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(given, 100_000);
}

#[tokio::test]
async fn playback_proxies_ranges() {
    let s3 = start();
    s3.store.put(&key("a b/f0.mp4"), pattern(1, 300_000)).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = playback::router::<()>(Playback::new(Arc::new(s3.store.clone())));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let send = async |range: &str| {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /vod/a%20b/f0.mp4 HTTP/1.1\r\nhost: x\r\nconnection: close\r\nrange: bytes={range}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).await.unwrap();
        let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        (String::from_utf8_lossy(&all[..end]).into_owned(), all[end + 4..].to_vec())
    };
    let object = pattern(1, 300_000);
    let (head, body) = send("1000-200999").await;
    assert!(
        head.starts_with("HTTP/1.1 206")
            && head.contains("content-range: bytes 1000-200999/300000"),
        "{head}"
    );
    assert!(head.contains("content-type: video/mp4"), "{head}");
    assert!(body == object[1000..201_000]);
    assert_eq!(
        (s3.server.count(Op::Get), s3.server.count(Op::Head)),
        (1, 0),
        "one request for one range"
    );
    let (head, body) = send("-1000").await;
    assert!(head.starts_with("HTTP/1.1 206") && body == object[299_000..], "{head}");
    let (head, _) = send("300000-").await;
    assert!(
        head.starts_with("HTTP/1.1 416") && head.contains("content-range: bytes */300000"),
        "{head}"
    );
}
