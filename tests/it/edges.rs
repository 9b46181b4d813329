//! The edges of a network: TLS on both sockets with certificates that change, and what a balancer says
//! about where a client comes from.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use serde_json::json;

use crate::support::{
    ffmpeg::Codecs,
    publisher::{Pusher, parse_tags},
    pushing::{Source, as_in_product, assert_same_tags},
    receiver::{Receiver, SIGN_KEY},
    run,
    server::{Backend, PATIENCE, Server, eventually, fetch},
};

/// A certificate of its own for `127.0.0.1`, called `name`, and its key, in a folder.
pub fn certify(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert));
    (cert, key)
}

/// The name in the certificate that a socket answers with.
fn served_name(address: SocketAddr) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string()]).stdin(Stdio::null());
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let subject = text.lines().find(|line| line.starts_with("subject=")).unwrap_or_default();
    subject.rsplit('=').next().unwrap_or_default().trim().to_owned()
}

/// Another address on the line that says where the server listens.
pub fn listening(server: &Server, name: &str) -> SocketAddr {
    let line = server.logs.wait_for("listening");
    let (_, rest) = line.split_once(&format!("{name}=")).unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

fn curl(cert: &Path, url: &str) -> Vec<u8> {
    run(Command::new("curl").args(["-sSf", "--noproxy", "*", "--cacert"]).arg(cert).arg(url))
}

#[test]
fn pushes_over_tls_are_verbatim_while_certificates_change() {
    let mut server = Server::prepare(Backend::Plain, &[]);
    let folder = server.folder().to_owned();
    let (cert, key) = certify(&folder, "first");
    for section in ["rtmp.tls", "http.tls"] {
        server.set(&format!("{section}.listen"), "127.0.0.1:0");
        server.set(&format!("{section}.cert"), cert.to_str().unwrap());
        server.set(&format!("{section}.key"), key.to_str().unwrap());
    }
    server.expect("cannot be used; the last one stays in force");
    server.launch();
    let (rtmps, https) = (listening(&server, "rtmps"), listening(&server, "https"));
    let receiver = Receiver::start();
    server.record("live", "s", &["Flv"], 3600);
    server.call_back(&receiver.url(), SIGN_KEY);
    assert_eq!(curl(&cert, &format!("https://{https}/healthz")), b"ok\n");

    let source = Source::make(&server, Codecs::H264Aac, 25);
    let url = format!("rtmps://{rtmps}/live/s");
    let mut slow = source.pushing(&url, &["-re"]).stderr(Stdio::null()).spawn().unwrap();
    receiver.wait_for(1, 1);
    // New connections get the new certificate; the push under way does not notice.
    assert_eq!((served_name(rtmps), served_name(https)), ("first".to_owned(), "first".to_owned()));
    certify(&folder, "second");
    for address in [rtmps, https] {
        eventually("the new certificate is served", || {
            (served_name(address) == "second").then_some(())
        });
    }
    // One that cannot be used changes nothing.
    let good = fs::read(&cert).unwrap();
    fs::write(&cert, "no certificate").unwrap();
    server.logs.wait_for("the changed certificate of rtmp.tls cannot be used");
    assert_eq!(served_name(rtmps), "second");
    fs::write(&cert, good).unwrap();
    assert!(slow.wait().unwrap().success());
    let file = &receiver.wait_for(100, 1)[0];
    let stored = file["video_url"].as_str().unwrap();
    assert!(stored.starts_with(&format!("https://{https}/vod/")), "{stored}");
    let mut tags = parse_tags(&curl(&cert, stored));
    tags.remove(0);
    assert_same_tags(&tags, &as_in_product(&source.tags), "over TLS");

    // As fast as it goes: more than a look at the socket takes at once.
    source.push(&url);
    let file = &receiver.wait_for(100, 2)[1];
    let mut tags = parse_tags(&curl(&cert, file["video_url"].as_str().unwrap()));
    tags.remove(0);
    assert_same_tags(&tags, &as_in_product(&source.tags), "over TLS at once");
}

#[test]
fn whoever_does_not_speak_tls_is_let_go() {
    let mut server = Server::prepare(Backend::Plain, &[("rtmp.handshake_timeout", "2s")]);
    let folder = server.folder().to_owned();
    let (cert, key) = certify(&folder, "n");
    server.set("rtmp.tls.listen", "127.0.0.1:0");
    server.set("rtmp.tls.cert", cert.to_str().unwrap());
    server.set("rtmp.tls.key", key.to_str().unwrap());
    server.launch();
    let rtmps = listening(&server, "rtmps");
    let mut plain = TcpStream::connect(rtmps).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(&[3; 1537]).unwrap();
    let mut said = Vec::new();
    // An alert, or a reset: what we sent was not all read.
    let _ = plain.read_to_end(&mut said);
    assert!(said.first().is_none_or(|kind| *kind == 21), "{said:?}");
    eventually("it is counted", || {
        (server.metric("liverec_refusals_total{reason=\"tls\"}") == 1.0).then_some(())
    });
    // The beginning of a handshake and then nothing.
    let mut silent = TcpStream::connect(rtmps).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    silent.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]).unwrap();
    let _ = silent.read_to_end(&mut said);
    eventually("it is counted", || {
        (server.metric("liverec_refusals_total{reason=\"handshake_timeout\"}") == 1.0).then_some(())
    });
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_before_anything_is_bound() {
    let mut server = Server::prepare(Backend::Plain, &[]);
    let folder = server.folder().to_owned();
    let (cert, _) = certify(&folder, "n");
    for (section, key) in [("rtmp.tls", cert.clone()), ("http.tls", folder.join("none"))] {
        server.set("rtmp.tls.listen", "");
        server.set("rtmp.tls.cert", "");
        server.set("rtmp.tls.key", "");
        server.set(&format!("{section}.listen"), "127.0.0.1:0");
        server.set(&format!("{section}.cert"), cert.to_str().unwrap());
        server.set(&format!("{section}.key"), key.to_str().unwrap());
        let output = server.cli().output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&format!("{section}: key")), "{text}");
        assert!(!text.contains("listening"), "{text}");
    }
}

/// A balancer: connections to it go to `to` with `header` before them.
fn balancer(to: SocketAddr, header: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(to).unwrap());
            server.write_all(header).unwrap();
            let (mut answers, mut back) =
                (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || {
                let _ = io::copy(&mut client, &mut server);
                let _ = server.shutdown(Shutdown::Write);
            });
            thread::spawn(move || {
                let _ = io::copy(&mut answers, &mut back);
                let _ = back.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

#[test]
fn behind_a_balancer_addresses_are_those_of_the_clients() {
    let settings = [("rtmp.proxy_protocol", "true"), ("rtmp.handshake_timeout", "2s")];
    let server = Server::start(Backend::Plain, &settings);
    let receiver = Receiver::start();
    server.record("live", "s", &["Flv"], 3600);
    server.call_back(&receiver.url(), SIGN_KEY);
    let source = Source::make(&server, Codecs::H264Aac, 2);
    let key = server.signed_key("live.local", "live", "s");
    let text = balancer(server.rtmp, b"PROXY TCP4 203.0.113.7 198.51.100.1 5555 1935\r\n");
    source.push(&format!("rtmp://{text}/live/{key}"));
    let began = &receiver.wait_for(1, 1)[0];
    assert_eq!(
        (&began["user_ip"], &began["node"]),
        (&json!("203.0.113.7"), &json!("198.51.100.1"))
    );
    let file = &receiver.wait_for(100, 1)[0];
    let mut tags = parse_tags(&fetch(file["video_url"].as_str().unwrap()));
    tags.remove(0);
    assert_same_tags(&tags, &as_in_product(&source.tags), "through a balancer");
    server.logs.wait_for("203.0.113.7:5555");

    // Nobody is this machine because a balancer says so, or says nothing.
    let claimed = balancer(server.rtmp, b"PROXY TCP4 127.0.0.1 127.0.0.1 5555 1935\r\n");
    let (code, _) = Pusher::connect(claimed, "s", 4096).refusal();
    assert_eq!(code, "NetStream.Publish.Denied");
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for unnamed in [local.as_slice(), b"PROXY UNKNOWN\r\n"] {
        let (code, _) = Pusher::connect(balancer(server.rtmp, unnamed), "s", 4096).refusal();
        assert_eq!(code, "NetStream.Publish.Denied");
    }

    // Without a header nobody is served, and one that does not come is not waited for.
    let mut bare = TcpStream::connect(server.rtmp).unwrap();
    bare.set_read_timeout(Some(PATIENCE)).unwrap();
    bare.write_all(&[3; 1537]).unwrap();
    assert!(!matches!(bare.read(&mut [0; 1]), Ok(1)), "it was answered");
    eventually("it is counted", || {
        (server.metric("liverec_refusals_total{reason=\"proxy_protocol\"}") == 1.0).then_some(())
    });
    let mut silent = TcpStream::connect(server.rtmp).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(!matches!(silent.read(&mut [0; 1]), Ok(1)), "it was answered");
}
