//! Hostile HTTP: noise, sizes, depths and paths.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;

use super::{
    Honest, MAX_GROWTH_KIB, resident_kib,
    sender::{attack, noise},
};
use crate::support::{
    api::{LIVE, signed},
    server::{SECRET_ID, SECRET_KEY, eventually},
};

#[test]
fn http_takes_no_nonsense() {
    let honest = Honest::start(&[]);
    let server = &honest.server;
    let before = resident_kib(server);
    let mut random = StdRng::seed_from_u64(7);
    for number in 0..500 {
        let mut bytes = noise(&mut random, 3000);
        if number % 2 == 0 {
            bytes.splice(
                0..0,
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"
                    .iter()
                    .copied(),
            );
        }
        attack(server.http, &bytes, true);
    }

    // Bodies that are larger than any request may be, said so or not.
    let large = vec![b'a'; 12 << 20];
    for head in [
        "Content-Type: application/json\r\nAuthorization: TC3-HMAC-SHA256 Credential=a/b/c/tc3_request, SignedHeaders=host, Signature=00\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n",
    ] {
        let mut request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n",
            large.len()
        )
        .into_bytes();
        request.extend_from_slice(&large);
        let answer = exchange(server.http, &request);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("\"Error\""),
            "{answer:.200}"
        );
    }
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-Header: b\r\n".repeat(100_000));
    let answer = exchange(server.http, many.as_bytes());
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer:.200}");

    // Signed, so that they reach whoever reads parameters.
    let call = |query: &str, body: &str| {
        let pair = [SECRET_ID, SECRET_KEY];
        let text = signed(server.http, pair, LIVE, "DescribeLiveRecordTemplates", query, body);
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["Response"]["Error"]["Code"]
            .as_str()
            .unwrap_or_else(|| panic!("taken: {text:.300}"))
            .to_owned()
    };
    for open in ["[", "{\"A\":", "{\"A\":["] {
        assert_eq!(call("", &format!("{{\"A\":{}", open.repeat(100_000))), "InvalidRequest");
        let close = if open == "[" { "]" } else { "}" };
        if open != "{\"A\":[" {
            let inner = if open == "[" { "" } else { "1" };
            let deep = format!("{{\"A\":{}{inner}{}}}", open.repeat(5000), close.repeat(5000));
            assert_eq!(call("", &deep), "InvalidRequest");
        }
    }
    let wide = format!("{{\"A\":[{}1]}}", "1,".repeat(1_000_000));
    assert!(call("", &wide).starts_with("Invalid") || call("", &wide) == "UnknownParameter");
    for query in [
        "A.999999999=1".to_owned(),
        "A.0=1&A.2=1".to_owned(),
        "A.18446744073709551616=1".to_owned(),
        format!("A{}=1", ".0".repeat(10_000)),
        format!("A{}=1", ".B".repeat(500)),
        "A=1&A.0=2".to_owned(),
    ] {
        assert_eq!(call(&query, ""), "InvalidParameter", "{query:.60}");
    }
    for body in
        ["", "[]", "null", "\"x\"", "{\"TemplateId\":1e999}", "{", "\u{0}", "{\"A\":1,\"A\":2}"]
    {
        let text = signed(
            server.http,
            [SECRET_ID, SECRET_KEY],
            LIVE,
            "DescribeLiveRecordTemplate",
            "",
            body,
        );
        assert!(text.contains("\"Error\""), "{body}: {text}");
    }

    let after = resident_kib(server);
    assert!(after < before + MAX_GROWTH_KIB, "resident memory grew from {before} to {after} KiB");
    honest.finish();
}

/// Clients that open connections and say little hold back nobody but themselves.
#[test]
fn one_client_cannot_take_every_place() {
    let honest = Honest::start(&[]);
    let server = &honest.server;
    let mut held = Vec::new();
    for number in 0..700 {
        let mut socket = TcpStream::connect(server.http).unwrap();
        // Half of a request, or none.
        if number % 2 == 0 {
            let _ = socket.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{");
        }
        held.push(socket);
    }
    eventually("the rest is closed at once", || {
        let refused =
            server.metric_from("127.0.0.2", "liverec_refusals_total{reason=\"http_peer\"}");
        (refused >= 700.0 - 512.0).then_some(())
    });
    drop(held);
    eventually("their places are free again", || {
        let mut socket = TcpStream::connect(server.http).unwrap();
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        answer.ends_with("ok\n").then_some(())
    });
    honest.finish();
}

#[test]
fn no_path_leads_out_of_the_store() {
    let honest = Honest::start(&[]);
    let server = &honest.server;
    fs::write(server.data_dir().join("vod/../outside.txt"), "OUTSIDE").unwrap();
    fs::create_dir_all(server.data_dir().join("vod/.tmp")).unwrap();
    fs::write(server.data_dir().join("vod/.tmp/unfinished"), "OUTSIDE").unwrap();
    let long = "a/".repeat(20_000);
    for path in [
        "../outside.txt",
        "%2e%2e/outside.txt",
        "..%2foutside.txt",
        "%2e%2e%2foutside.txt",
        ".%2e/outside.txt",
        "a/../../outside.txt",
        "a/%2e%2e/%2e%2e/outside.txt",
        "..%5coutside.txt",
        "..\\outside.txt",
        "%252e%252e/outside.txt",
        "..%00/outside.txt",
        "%00",
        "live.local%00",
        "/etc/passwd",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "....//outside.txt",
        "..;/outside.txt",
        ".tmp/unfinished",
        "%2etmp/unfinished",
        "",
        ".",
        "..",
        "%",
        "%f",
        "%zz",
        "%ff%fe",
        "live.local",
        "live.local/",
        &long,
    ] {
        for method in ["GET", "HEAD"] {
            let request =
                format!("{method} /vod/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = exchange(server.http, request.as_bytes());
            let status: u32 = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
            assert!([400, 404, 414, 431].contains(&status), "{method} {path:.60}: {answer:.200}");
            assert!(!answer.contains("OUTSIDE") && !answer.contains("root:"), "{path}");
        }
    }
    honest.finish();
}

/// Sends bytes and reads the answer to its end, for at most a few seconds.
fn exchange(server: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut reader = socket.try_clone().unwrap();
    let answer = thread::spawn(move || {
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = reader.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    });
    // The server may answer and close before it has read everything.
    let _ = socket.write_all(bytes);
    answer.join().unwrap()
}
