//! Tests of what needs no server; `tests/it/storage_s3.rs` has the rest.

use futures_util::TryStreamExt;

use super::{upload::has_parts, *};

fn settings() -> S3Settings {
    S3Settings {
        endpoint: Some("http://127.0.0.1:9000".to_owned()),
        region: "us-east-1".to_owned(),
        bucket: "vod".to_owned(),
        prefix: String::new(),
        access_key_id: "AKID".to_owned(),
        secret_access_key: "wJalrXUtnFEMI".to_owned(),
        path_style: true,
        timeout: Duration::from_secs(30),
    }
}

#[test]
fn the_secret_is_not_shown() {
    let shown = format!("{:?}", settings());
    assert!(shown.contains("AKID") && !shown.contains("wJalr"), "{shown}");
}

#[test]
fn wrong_settings_are_refused_by_name() {
    type Spoil = fn(&mut S3Settings);
    let cases: [(&str, Spoil); 8] = [
        ("endpoint", |s| s.endpoint = Some("127.0.0.1:9000".to_owned())),
        ("endpoint", |s| s.endpoint = Some("ftp://host".to_owned())),
        ("region", |s| s.region.clear()),
        ("bucket", |s| s.bucket.clear()),
        ("access_key_id", |s| s.access_key_id.clear()),
        ("secret_access_key", |s| s.secret_access_key.clear()),
        ("prefix", |s| s.prefix = "a/../b".to_owned()),
        ("prefix", |s| s.prefix = "p".repeat(257)),
    ];
    for (setting, spoil) in cases {
        let mut wrong = settings();
        spoil(&mut wrong);
        match wrong.check() {
            Err(StorageError::Refused { message, .. }) => {
                assert!(message.contains(setting), "{message}")
            }
            other => panic!("{setting}: {other:?}"),
        }
    }
    for (prefix, want) in [("", ""), ("/", ""), ("a", "a/"), ("/a/b/", "a/b/")] {
        assert_eq!(S3Settings { prefix: prefix.to_owned(), ..settings() }.check().unwrap(), want);
    }
}

#[test]
fn bodies_are_signed_only_over_plain_http() {
    let is_plain = |endpoint: Option<&str>| {
        S3Settings { endpoint: endpoint.map(str::to_owned), ..settings() }.is_plain_http()
    };
    assert!(is_plain(Some("http://host")) && is_plain(Some("HTTP://host")));
    assert!(!is_plain(Some("https://host")) && !is_plain(None));
}

#[test]
fn a_large_part_gets_more_time() {
    assert_eq!(sending(0), Duration::ZERO);
    assert_eq!(sending(8 << 20), Duration::from_secs(64));
    assert_eq!(sending(64 << 20), Duration::from_secs(512));
}

#[test]
fn content_ranges_and_tags_are_read() {
    assert_eq!(parse_content_range("bytes 0-0/1"), Some((0..1, 1)));
    assert_eq!(parse_content_range("bytes 5-9/100"), Some((5..10, 100)));
    for text in [
        "bytes */5",
        "bytes 5-4/9",
        "bytes 0-9/9",
        "0-1/2",
        "bytes 0-1/*",
        "bytes 0-18446744073709551615/1",
    ] {
        assert_eq!(parse_content_range(text), None, "{text}");
    }
    assert_eq!(object_info(1, Some("\"abc-2\"".to_owned())).etag, "abc-2");
    assert_eq!(object_info(1, Some("W/\"abc\"".to_owned())).etag, "abc");
    assert!(
        has_parts("abc-2", 2) && has_parts("abc", 2) && has_parts("", 2) && has_parts("a-b", 2)
    );
    assert!(!has_parts("abc-3", 2));
}

#[tokio::test]
async fn a_body_of_another_length_is_an_error() {
    let read =
        |length| blocks(ByteStream::from_static(b"12345"), length, "read").try_collect::<Vec<_>>();
    assert_eq!(read(5).await.unwrap().concat(), b"12345");
    assert!(read(6).await.unwrap_err().is_transient());
    assert!(read(4).await.unwrap_err().is_transient());
}

/// The head of the one request that `store` sends for a small object; the answer is 200.
async fn request_of_put(is_signed: bool) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    let mut store = S3Store::new(S3Settings { endpoint, ..settings() }).unwrap();
    store.signs_bodies = is_signed;
    let server = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\nbody") {
            assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(request).unwrap().to_lowercase()
    };
    let key = StorageKey::parse("房 1/100%.m3u8").unwrap();
    let (request, stored) = tokio::join!(server, store.put(&key, Bytes::from_static(b"body")));
    stored.unwrap();
    request
}

#[tokio::test]
async fn requests_are_plain_puts_signed_as_the_transport_needs() {
    let signed = request_of_put(true).await;
    assert!(signed.starts_with("put /vod/%e6%88%bf%201/100%25.m3u8"), "{signed}");
    assert!(signed.contains("content-type: application/vnd.apple.mpegurl\r\n"), "{signed}");
    assert!(signed.contains("content-length: 4\r\n"), "{signed}");
    assert!(signed.contains("authorization: aws4-hmac-sha256 credential=akid/"), "{signed}");
    let digest = "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"; // of "body"
    assert!(signed.contains(&format!("x-amz-content-sha256: {digest}\r\n")), "{signed}");
    for unwanted in ["aws-chunked", "x-amz-checksum", "x-amz-sdk-checksum", "trailer", "wjalr"] {
        assert!(!signed.contains(unwanted), "{unwanted}: {signed}");
    }
    let unsigned = request_of_put(false).await;
    assert!(unsigned.contains("x-amz-content-sha256: unsigned-payload\r\n"), "{unsigned}");
}
