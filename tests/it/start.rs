//! Starting and stopping the program: what scripts, service managers and newcomers rely on.

mod backlog;
mod backup;
mod drain;
mod service;

use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    api::{VOD, signed},
    ffmpeg::{Codecs, make_source, probe},
    logs::Logs,
    publisher::{LivePush, Pusher, read_tags},
    run,
    server::{Backend, PATIENCE, Server, eventually},
};

/// The program in an environment of the test's own.
fn program(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liverec"));
    command
        .env("LIVEREC__DATA_DIR", data_dir)
        .env("LIVEREC__RTMP__LISTEN", "127.0.0.1:0")
        .env("LIVEREC__HTTP__LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null());
    command
}

/// A running server, all of whose output is kept.
struct Running {
    child: Child,
    stdout: Logs,
    stderr: Logs,
    rtmp: SocketAddr,
    http: SocketAddr,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Logs::follow(child.stdout.take().unwrap());
        let stderr = Logs::follow(child.stderr.take().unwrap());
        let (rtmp, http) = stderr.listening();
        Self { child, stdout, stderr, rtmp, http }
    }

    /// Sends a signal and waits for the end.
    fn stop(&mut self, signal: &str) -> ExitStatus {
        run(Command::new("kill").args([signal, &self.child.id().to_string()]));
        eventually("the end of the process", || self.child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- stdout\n{}\n--- stderr\n{}", self.stdout.text(), self.stderr.text());
        }
    }
}

/// Runs to the end, which must come: exit code, stdout, stderr.
pub fn to_the_end(mut command: Command) -> (i32, String, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let read = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        })
    };
    let stdout = read(Box::new(child.stdout.take().unwrap()));
    let stderr = read(Box::new(child.stderr.take().unwrap()));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{command:?} did not end\n{}", stderr.join().unwrap());
        }
        thread::sleep(Duration::from_millis(20));
    };
    (status.code().unwrap(), stdout.join().unwrap(), stderr.join().unwrap())
}

#[test]
fn one_line_says_where_it_listens_at_any_level() {
    for (level, format) in [("info", "text"), ("error", "text"), ("error", "json")] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = program(folder.path());
        command.env("LIVEREC__LOG__LEVEL", level).env("LIVEREC__LOG__FORMAT", format);
        let mut server = Running::start(command);
        for address in [server.rtmp, server.http] {
            assert!(address.ip().is_loopback() && address.port() != 0);
            TcpStream::connect(address).unwrap();
        }
        assert_eq!(server.stop("-TERM").code(), Some(0));
        let text = server.stderr.text();
        assert_eq!(server.stderr.count("listening"), 1, "{text}");
        assert_eq!(server.stdout.count("listening"), 0);
        assert!(!text.contains('\x1b'), "colours in a file: {text:?}");
        let wanted = format!("listening rtmp={} http={}", server.rtmp, server.http);
        assert!(text.contains(&wanted), "{text}");
        assert!(level == "info" || text.lines().count() == 1, "{text}");
    }
}

#[test]
fn a_first_start_that_finds_its_port_taken_leaves_the_greeting_to_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = program(folder.path());
    command.env("LIVEREC__HTTP__LISTEN", taken.local_addr().unwrap().to_string());
    let (code, stdout, stderr) = to_the_end(command);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("(http.listen)"), "{stderr}");
    let mut server = Running::start(program(folder.path()));
    for part in ["secret_key", "Push from OBS", "ffmpeg"] {
        server.stdout.wait_for(part);
    }
    assert_eq!(server.stop("-TERM").code(), Some(0));
}

#[test]
fn bad_configuration_ends_with_2_naming_the_key_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("liverec.toml");
    type Case = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static [&'static str],
        &'static str,
    );
    let cases: [Case; 9] = [
        ("", &[("LIVEREC__RTMP__LISTNE", "127.0.0.1:0")], &[], "LIVEREC__RTMP__LISTNE"),
        ("", &[("LIVEREC__RTMP__LISTEN", "nowhere")], &[], "rtmp.listen"),
        ("", &[("LIVEREC__API__SECRET_ID", "only")], &[], "api.secret_key"),
        ("", &[("LIVEREC__RTMP__IDLE_TIMEOUT", "20 bananas")], &[], "rtmp.idle_timeout"),
        ("", &[("LIVEREC__STORAGE__KIND", "s3")], &[], "storage.s3"),
        ("[rtmp]\nlistne = \"x\"\n", &[], &[], "rtmp.listne"),
        ("[journal]\nsync_interval = true\n", &[], &[], "journal.sync_interval"),
        ("[log\n", &[], &[], "liverec.toml"),
        ("", &[], &["--set", "log.format=yaml"], "log.format"),
    ];
    for (text, environment, arguments, named) in cases {
        fs::write(&file, text).unwrap();
        let data = folder.path().join("data");
        // Held by us: whoever binds it before looking at the configuration fails differently.
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = program(&data);
        command.env("LIVEREC__HTTP__LISTEN", held.local_addr().unwrap().to_string());
        command
            .args(["--config", file.to_str().unwrap()])
            .args(arguments)
            .envs(environment.iter().copied());
        let (code, stdout, stderr) = to_the_end(command);
        assert_eq!(code, 2, "{named}: {stderr}");
        assert!(stderr.contains(named), "{named} is not in {stderr}");
        assert!(!stderr.contains("listening") && stdout.is_empty(), "{stdout}{stderr}");
        assert!(!data.exists(), "{named}: the data directory was made");
    }
    let (code, _, stderr) = {
        let mut command = program(folder.path());
        command.arg("--no-such-flag");
        to_the_end(command)
    };
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn a_second_server_on_the_same_data_ends_with_1_naming_the_holder() {
    let server = Server::start(Backend::Plain, &[]);
    let (code, _, stderr) = to_the_end(program(&server.data_dir()));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&format!("process {}", server.pid())), "{stderr}");
    assert!(stderr.contains("data_dir"), "{stderr}");
    // Nor does it harm the first.
    Pusher::connect(server.rtmp, "still", 4096).accepted().finish();
}

#[test]
fn a_port_in_use_ends_with_1_naming_it() {
    let folder = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let mut command = program(folder.path());
    command.env("LIVEREC__RTMP__LISTEN", &address);
    let (code, _, stderr) = to_the_end(command);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&address) && !stderr.contains("listening"), "{stderr}");
}

#[test]
fn the_first_push_is_recorded_without_set_up_and_found_with_the_printed_key() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = || {
        let mut command = program(&data);
        // The printed address must be good enough for an encoder elsewhere.
        command.env("LIVEREC__RTMP__TRUST_LOOPBACK", "false").env("LIVEREC__LOG__LEVEL", "debug");
        Running::start(command)
    };
    let mut server = start();
    let word_after = |server: &Running, name: &str| {
        let line = server.stdout.wait_for(name);
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let (id, secret) = (word_after(&server, "secret_id"), word_after(&server, "secret_key"));
    let (address, key) = (word_after(&server, "Server"), word_after(&server, "Stream Key"));
    let ffmpeg_line = server.stdout.wait_for("ffmpeg -");
    assert_eq!(address, format!("rtmp://{}/live", server.rtmp));
    assert!(ffmpeg_line.contains(&format!("{address}/{key}")), "{ffmpeg_line}");

    let credentials = data.join("credentials.toml");
    assert_eq!(fs::metadata(&credentials).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = fs::read_to_string(&credentials).unwrap();
    assert!(kept.contains(&id) && kept.contains(&secret), "{kept}");

    let source = folder.path().join("source.flv");
    make_source(Codecs::H264Aac, 3, &source);
    let mut pusher = Pusher::connect(server.rtmp, &key, 4096).accepted();
    pusher.send(&read_tags(&source));
    pusher.finish();

    let pair = [id.as_str(), secret.as_str()];
    let found = eventually("the file", || {
        let text = signed(server.http, pair, VOD, "SearchMedia", "", r#"{"StreamIds":["test"]}"#);
        let answer: Value = serde_json::from_str(&text).unwrap();
        let answer = answer["Response"].clone();
        assert!(answer.get("Error").is_none(), "{answer}");
        (answer["TotalCount"] == 1).then_some(answer)
    });
    let url = found["MediaInfoSet"][0]["BasicInfo"]["MediaUrl"].as_str().unwrap();
    assert!(
        url.starts_with(&format!("http://{}/vod/", server.http)) && url.ends_with(".mp4"),
        "{url}"
    );
    let files = files_under(&data.join("vod"), "mp4");
    assert_eq!(files.len(), 1, "{files:?}");
    for place in [url, files[0].to_str().unwrap()] {
        let shown = probe(place, "stream=codec_name,nb_frames:format=duration");
        assert_eq!(shown["streams"][0]["codec_name"], "h264", "{shown}");
        assert_eq!(shown["streams"][0]["nb_frames"], "75", "{shown}");
        let seconds: f64 = shown["format"]["duration"].as_str().unwrap().parse().unwrap();
        assert!((2.9..3.2).contains(&seconds), "{shown}");
    }

    assert_eq!(server.stop("-INT").code(), Some(0));
    assert_eq!(server.stdout.text().matches(&secret).count(), 1, "once");
    assert!(!server.stderr.text().contains(&secret), "never in the log");
    let signature = key.split("txSecret=").nth(1).unwrap().split('&').next().unwrap();
    assert!(!server.stderr.text().contains(signature), "nor is a signature");

    // The second start says nothing of it, and what an operator has deleted stays deleted.
    let mut again = start();
    let rule = signed(
        again.http,
        pair,
        "2018-08-01",
        "DeleteLiveRecordRule",
        "",
        r#"{"DomainName":"live.local"}"#,
    );
    assert!(!rule.contains("Error"), "{rule}");
    assert_eq!(again.stop("-TERM").code(), Some(0));
    assert_eq!(again.stdout.text(), "");
    let mut third = start();
    let rules = signed(third.http, pair, "2018-08-01", "DescribeLiveRecordRules", "", "{}");
    assert!(rules.contains("\"Rules\":[]"), "{rules}");
    assert_eq!(third.stop("-TERM").code(), Some(0));
    assert!(!again.stderr.text().contains(&secret));
    assert!(again.stderr.text().contains("peer=\"127.0.0.1\""), "who called is in the log");
}

fn files_under(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            files.push(path);
        }
    }
    files
}

#[test]
fn stopping_stores_what_is_being_recorded() {
    for backend in [Backend::Plain, Backend::Services] {
        let mut server = Server::start(backend, &[("shutdown.grace", "20s")]);
        let source = server.folder().join("source.flv");
        make_source(Codecs::H264Aac, 2, &source);
        let tags = read_tags(&source);
        let push = LivePush::start(Pusher::connect(server.rtmp, "cut", 4096).accepted(), tags);
        thread::sleep(Duration::from_millis(2500));
        let begun = Instant::now();
        server.stop();
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!(push.stop().len() > 100);
        server.launch();
        let found = server.vod("SearchMedia", serde_json::json!({"StreamIds": ["cut"]}));
        assert_eq!(found["TotalCount"], 1, "stored before the process ended: {found}");
        let url = found["MediaInfoSet"][0]["BasicInfo"]["MediaUrl"].as_str().unwrap();
        // The port is another one after the restart.
        let (_, path) = url.split_once("/vod/").unwrap();
        let shown = probe(
            &format!("{}/vod/{path}", server.base_url()),
            "stream=codec_name:format=duration",
        );
        let seconds: f64 = shown["format"]["duration"].as_str().unwrap().parse().unwrap();
        assert!(seconds > 2.0, "{shown}");
    }
}

#[test]
fn the_demo_succeeds_whatever_the_environment_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(Path::new("/nonexistent/data"));
    command
        .arg("demo")
        .env("TMPDIR", folder.path())
        .env("LIVEREC__RTMP__LISTEN", "nonsense")
        .env("LIVEREC__NO__SUCH__KEY", "1")
        .current_dir(folder.path());
    let (code, stdout, stderr) = to_the_end(command);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let last = stdout.lines().last().unwrap();
    assert!(last.starts_with("demo succeeded") && last.contains("4 products"), "{stdout}");
    let place = last.rsplit(' ').next().unwrap();
    assert!(Path::new(place).starts_with(folder.path()), "{last}");
    for extension in ["flv", "mp4", "m3u8", "ts", "aac"] {
        assert!(
            !files_under(Path::new(place), extension).is_empty(),
            "no {extension} under {place}"
        );
    }
    assert!(!stderr.contains("ERROR") && !stderr.contains("WARN"), "{stderr}");
}
