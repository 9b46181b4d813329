//! The program's front door: configuration errors, exit codes, help.

use std::process::{Command, Output, Stdio};

use crate::support::{logs::Logs, run};

fn liverec(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liverec"));
    command.env_clear().args(arguments).envs(variables.iter().copied());
    command.output().expect("the built program starts")
}

fn refusal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = liverec(arguments, variables);
    let message = String::from_utf8(output.stderr).expect("a readable message");
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(output.stdout.is_empty());
    message
}

#[test]
fn a_bad_configuration_ends_with_2_and_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("liverec.toml");
    std::fs::write(&file, "[rtmp]\nlisten = '127.0.0.1'\n").unwrap();
    let file = file.to_str().unwrap();

    let message = refusal(&["--config", file], &[]);
    assert!(message.contains("rtmp.listen (in "), "{message}");
    let message = refusal(&["serve", "--config", "/no/such/file.toml"], &[]);
    assert!(message.contains("/no/such/file.toml"), "{message}");
    let message = refusal(&[], &[("LIVEREC__RTMP__LISTNE", "x")]);
    assert!(message.contains("LIVEREC__RTMP__LISTNE"), "{message}");
    let message = refusal(&["--set", "rtmp.tls.listen=0.0.0.0:1936"], &[]);
    assert!(message.contains("rtmp.tls.cert: is needed"), "{message}");
    let message = refusal(&["--set", "api.rate_limits=SearchMedia=1,SearchMedias=1"], &[]);
    assert!(message.contains("api.rate_limits: names SearchMedias"), "{message}");
    let message = refusal(&["push-url", "live.local", "live", "s", "--expires", "soon"], &[]);
    assert!(message.contains("--expires"), "{message}");
    refusal(&["dance"], &[]);
}

#[test]
fn nothing_is_made_before_the_configuration_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    refusal(
        &[],
        &[("LIVEREC__DATA_DIR", data.to_str().unwrap()), ("LIVEREC__LOG__LEVEL", "a=b=c")],
    );
    assert!(!data.exists());
}

#[test]
fn help_and_version_end_with_0() {
    let help = liverec(&["--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for word in ["serve", "demo", "push-url", "--config", "--set"] {
        assert!(text.contains(word), "{text}");
    }
    let version = liverec(&["--version"], &[]);
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("liverec {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn push_url_says_that_nothing_was_started_yet() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let variables = [("LIVEREC__DATA_DIR", data.to_str().unwrap())];
    let output = liverec(&["push-url", "live.local", "live", "test"], &variables);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("start the server once"), "{message}");
    assert!(!data.exists(), "the command makes no database");
}

#[test]
fn one_line_says_where_it_listens_at_every_level_and_sigterm_ends_it_with_0() {
    for (level, format) in [("off", "text"), ("info", "text"), ("trace", "json")] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new(env!("CARGO_BIN_EXE_liverec"))
            .env_clear()
            .env("LIVEREC__DATA_DIR", folder.path())
            .env("LIVEREC__RTMP__LISTEN", "127.0.0.1:0")
            .args(["--set", "http.listen=127.0.0.1:0"])
            .args(["--set", &format!("log.level={level}")])
            .args(["--set", &format!("log.format={format}")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let logs = Logs::follow(server.stderr.take().unwrap());
        let (rtmp, http) = logs.listening();
        assert!(rtmp.ip().is_loopback() && rtmp.port() != 0);
        assert!(http.ip().is_loopback() && http.port() != 0);
        run(Command::new("kill").args(["-TERM", &server.id().to_string()]));
        let status = server.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}", logs.text());
        assert_eq!(logs.count("listening"), 1, "{}", logs.text());
        assert!(!logs.text().contains('\u{1b}'), "no colours in a file");
    }
}
