//! The vendor's clients against this server: every action, every refusal that can be brought about, and
//! every answer against the vendor's own description of it.

mod clients;
mod scenario;

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use liverec::api::{ACTIONS, Product};
use serde_json::json;

use self::{
    clients::{Client, Node, Tccli, Wire, services},
    scenario::{Script, Streams},
};
use crate::{
    edges::{certify, listening},
    sdk::driver::{SIGNINGS, Sdk},
    support::{
        ffmpeg::Codecs,
        needed,
        publisher::{LivePush, Pusher},
        pushing::Source,
        python,
        receiver::{Receiver, SIGN_KEY},
        server::{BACKENDS, Backend, SECRET_ID, SECRET_KEY, Server, fetch},
    },
};

/// A server with a stored file, a delivered event and a stream that is live.
struct Stage {
    server: Server,
    _push: LivePush,
}

const STREAMS: Streams<'static> = Streams { live: "livenow", stored: "stored" };

impl Stage {
    fn set(mut server: Server) -> Self {
        // Clients ask faster than the vendor's customers do.
        server.set("api.rate_limits", "*=0");
        server.launch();
        let receiver = Receiver::start();
        server.call_back(&receiver.url(), SIGN_KEY);
        let source = Source::make(&server, Codecs::H264Aac, 3);
        source.push(&server.push_url(STREAMS.stored));
        receiver.wait_for(100, 1);
        receiver.wait_for(0, 1);
        let pusher = Pusher::connect(server.rtmp, STREAMS.live, 4096).accepted();
        let push = LivePush::start(pusher, source.tags);
        receiver.wait_for(1, 2);
        Self { server, _push: push }
    }

    fn on(backend: Backend) -> Self {
        Self::set(Server::prepare(backend, &[]))
    }
}

/// Every action that there is was answered.
fn assert_complete(script: &Script<'_>, client: &dyn Client) {
    let answered: BTreeSet<(&str, &str)> =
        script.answers.iter().map(|(product, action, _)| (*product, *action)).collect();
    for action in ACTIONS {
        let product = if action.product == Product::Live { "live" } else { "vod" };
        if client.knows(product, action.name) {
            assert!(
                answered.contains(&(product, action.name)),
                "{} was not asked for",
                action.name
            );
        }
    }
    assert!(script.codes.len() >= 20, "{:?}", script.codes);
}

#[test]
fn the_python_sdk_asks_for_everything() {
    let stage = Stage::on(Backend::Plain);
    for signing in SIGNINGS {
        let sdk = Sdk::start(&stage.server, signing);
        assert_complete(&Script::run(&sdk, signing.name, &STREAMS), &sdk);
    }
}

#[test]
fn the_node_sdk_asks_for_everything() {
    let stage = Stage::on(Backend::Plain);
    for (name, sign_method) in
        [("node-tc3", "TC3-HMAC-SHA256"), ("node-sha1", "HmacSHA1"), ("node-sha256", "HmacSHA256")]
    {
        let node = Node::start(&stage.server, sign_method);
        assert_complete(&Script::run(&node, name, &STREAMS), &node);
    }
}

#[test]
fn the_command_line_asks_for_everything() {
    let mut server = Server::prepare(Backend::Plain, &[]);
    let folder = server.folder().to_owned();
    let (cert, key) = certify(&folder, "n");
    server.set("http.tls.listen", "127.0.0.1:0");
    server.set("http.tls.cert", cert.to_str().unwrap());
    server.set("http.tls.key", key.to_str().unwrap());
    let stage = Stage::set(server);
    let endpoint = listening(&stage.server, "https").to_string();
    let home = folder.join("home");
    std::fs::create_dir(&home).unwrap();
    let tccli = Tccli::new(endpoint, &cert, home);
    assert_complete(&Script::run(&tccli, "tccli", &STREAMS), &tccli);
}

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance";

/// Requests made up from `/openapi.json`, right and wrong ones: nothing fails, hangs or answers what is
/// not described there.
#[test]
fn whatever_the_description_allows_gets_an_answer_it_describes() {
    let stage = Stage::on(Backend::Plain);
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/contract");
    let python = PathBuf::from(needed("LIVEREC_TEST_PYTHON"));
    let output = Command::new(python.with_file_name("schemathesis"))
        .args(["run", &format!("{}/openapi.json", stage.server.base_url())])
        .args(["--checks", CHECKS])
        .args(["--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "20261128"])
        .args(["--request-timeout", "60", "--continue-on-failure"])
        .env("PYTHONPATH", scripts)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "signing")
        .env("LIVEREC_TEST_SECRET_ID", SECRET_ID)
        .env("LIVEREC_TEST_SECRET_KEY", SECRET_KEY)
        // It keeps what it found in the folder where it runs.
        .current_dir(stage.server.folder())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("No issues found"), "{said}");
    assert!(said.contains(&format!("Tested: {}", ACTIONS.len())), "{said}");
    // They were signed, and some of them were carried out.
    let counted = |code: &str| {
        let metrics = fetch(&format!("{}/metrics", stage.server.base_url()));
        String::from_utf8(metrics).unwrap().matches(&format!("code=\"{code}\"")).count()
    };
    assert!(counted("OK") > 10 && counted("MissingParameter") > 10, "{said}");
}

#[test]
fn every_answer_is_what_the_vendor_describes() {
    for backend in BACKENDS {
        let stage = Stage::on(backend);
        let wire = Wire(&stage.server);
        let script = Script::run(&wire, "wire", &STREAMS);
        assert_complete(&script, &wire);
        let mut check = python::script("contract/described.py")
            .arg(services())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = check.stdin.take().unwrap();
        for (product, action, answer) in &script.answers {
            let line = json!({ "product": product, "action": action, "answer": answer });
            writeln!(input, "{line}").unwrap();
        }
        drop(input);
        let output = check.wait_with_output().unwrap();
        let problems = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && problems.is_empty(), "{problems}");
    }
}
