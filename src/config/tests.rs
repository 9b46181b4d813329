//! Tests of precedence, typing and refusals, walking the table of keys where they can.

use std::{ffi::OsString, fs};

use super::{sources::variable_of, *};

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("liverec.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn from_file(text: &str) -> Result<Config, ConfigError> {
    let (_dir, path) = file(text);
    Config::load(&Sources { file: Some(path), ..Sources::default() })
}

fn environment(pairs: &[(&str, &str)]) -> Sources {
    let pair = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
    Sources { environment: pairs.iter().map(pair).collect(), ..Sources::default() }
}

fn flags(pairs: &[(&str, &str)]) -> Sources {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Sources { flags: pairs.iter().map(pair).collect(), ..Sources::default() }
}

fn keys() -> Vec<&'static str> {
    let mut reader = sources::Reader::default();
    table::read(&mut reader).unwrap();
    reader.asked().collect()
}

/// A value that is not the default for every key, and what must be set beside it.
type Pair = (&'static str, &'static str);
const SAMPLES: &[(&str, &str, &[Pair])] = &[
    ("api.app_id", "1300000000", &[]),
    ("api.clock_skew", "10m", &[]),
    ("api.master_key", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", &[]),
    ("api.rate_limits", "SearchMedia=50, *=0", &[]),
    ("api.secret_id", "AKIDEXAMPLE", &[("api.secret_key", "x")]),
    ("api.secret_key", "00123", &[("api.secret_id", "x")]),
    ("api.unknown_parameters", "ignore", &[]),
    ("api.utc_offset", "-03:30", &[]),
    ("callback.deny_networks", "10.0.0.0/8, fd00::/8", &[]),
    ("callback.max_retries", "3", &[]),
    ("callback.retry_interval", "500ms", &[]),
    ("callback.timeout", "5", &[]),
    ("data_dir", "/var/lib/liverec", &[]),
    ("database.url", "postgres://u:p@localhost/liverec", &[]),
    ("disk.refuse_free", "1GiB", &[]),
    ("disk.warn_free", "10GiB", &[]),
    ("hls.live_playlist", "true", &[]),
    ("hls.segment_duration", "4s", &[]),
    ("hls.segment_type", "fmp4", &[]),
    ("http.listen", "[::1]:0", &[]),
    ("http.public_url", "https://vod.example.com", &[]),
    ("journal.retention", "7d", &[]),
    ("journal.stall_timeout", "5s", &[]),
    ("journal.sync_interval", "100ms", &[]),
    ("journal.unclaimed_max", "8MiB", &[]),
    ("log.format", "json", &[]),
    ("log.level", "warn,liverec::ingest=trace", &[]),
    ("publish.forbid_scope", "path", &[]),
    ("record.default_task_format", "mp4", &[]),
    ("record.max_preroll", "0", &[]),
    ("record.resume_window", "30s", &[]),
    ("rtmp.default_domain", "Push.Example.com", &[]),
    ("rtmp.handshake_timeout", "2s", &[]),
    ("rtmp.idle_timeout", "1m", &[]),
    ("rtmp.listen", "127.0.0.1:1936", &[]),
    ("rtmp.max_connections", "10", &[]),
    ("rtmp.max_message_size", "1MiB", &[]),
    ("rtmp.trust_loopback", "0", &[]),
    ("shutdown.grace", "5s", &[]),
    ("storage.kind", "s3", S3_NEEDS),
    ("storage.local.dir", "/srv/vod", &[]),
    ("storage.s3.access_key_id", "another", S3_NEEDS),
    ("storage.s3.bucket", "another", S3_NEEDS),
    ("storage.s3.endpoint", "https://another.example.com", S3_NEEDS),
    ("storage.s3.part_size", "16MiB", S3_NEEDS),
    ("storage.s3.path_style", "false", S3_NEEDS),
    ("storage.s3.prefix", "live/", S3_NEEDS),
    ("storage.s3.region", "eu-central-1", S3_NEEDS),
    ("storage.s3.secret_access_key", "0099", S3_NEEDS),
    ("storage.s3.timeout", "5s", S3_NEEDS),
    ("limits.bans", "7", &[]),
    ("limits.domains", "7", &[]),
    ("limits.legacy_tasks", "7", &[]),
    ("limits.legacy_tasks_per_day", "7", &[]),
    ("limits.rules", "7", &[]),
    ("limits.tasks", "7", &[]),
    ("limits.templates", "7", &[]),
    ("publish.auth_fail", "closed", AUTH_NEEDS),
    ("publish.auth_key", "00", AUTH_NEEDS),
    ("publish.auth_url", "https://host/auth?token=1", &[]),
    ("http.tls.cert", "/etc/cert.pem", HTTPS_NEEDS),
    ("http.tls.key", "/etc/key.pem", HTTPS_NEEDS),
    ("http.tls.listen", "0.0.0.0:8443", HTTPS_NEEDS),
    ("http.trusted_proxies", "10.0.0.0/8,fd00::/8", &[]),
    ("rtmp.proxy_protocol", "true", &[]),
    ("rtmp.tls.cert", "/etc/cert.pem", RTMPS_NEEDS),
    ("rtmp.tls.key", "/etc/key.pem", RTMPS_NEEDS),
    ("rtmp.tls.listen", "0.0.0.0:1936", RTMPS_NEEDS),
];
const HTTPS_NEEDS: &[Pair] = &[
    ("http.tls.listen", "0.0.0.0:443"),
    ("http.tls.cert", "/etc/other.pem"),
    ("http.tls.key", "/etc/other.key"),
];
const RTMPS_NEEDS: &[Pair] = &[
    ("rtmp.tls.listen", "0.0.0.0:443"),
    ("rtmp.tls.cert", "/etc/other.pem"),
    ("rtmp.tls.key", "/etc/other.key"),
];
const AUTH_NEEDS: &[Pair] = &[("publish.auth_url", "https://host/auth")];
const S3_NEEDS: &[Pair] = &[
    ("storage.kind", "s3"),
    ("storage.s3.endpoint", "http://127.0.0.1:9000"),
    ("storage.s3.bucket", "vod"),
    ("storage.s3.access_key_id", "id"),
    ("storage.s3.secret_access_key", "secret"),
];

/// Keys of the contract whose only accepted value is their default, with one that is not.
const REFUSED: &[Pair] = &[("rtmp.takeover", "never")];

fn variables<'a>(pairs: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Sources {
    let pair = |(key, value): &(&str, &str)| (variable_of(key).into(), OsString::from(value));
    Sources { environment: pairs.into_iter().map(pair).collect(), ..Sources::default() }
}

#[test]
fn every_key_has_a_sample() {
    let mut sampled: Vec<&str> = SAMPLES.iter().map(|(key, ..)| *key).collect();
    sampled.extend(REFUSED.iter().map(|(key, _)| *key));
    sampled.sort_unstable();
    assert_eq!(sampled, keys());
}

#[test]
fn every_key_works_from_the_environment_and_as_a_flag() {
    for (key, value, beside) in SAMPLES {
        let others: Vec<_> = beside.iter().filter(|(other, _)| other != key).copied().collect();
        let base = match *key {
            "storage.kind" => Config::builtin().unwrap(),
            _ => Config::load(&variables(beside.iter()))
                .unwrap_or_else(|_| Config::builtin().unwrap()),
        };
        let mut all = others.clone();
        all.push((key, value));
        let by_variable = Config::load(&variables(all.iter())).unwrap();
        assert_ne!(by_variable, base, "{key} must have an effect");
        assert_eq!(Config::load(&flags(&all)).unwrap(), by_variable, "{key} as a flag");
    }
}

#[test]
fn a_key_without_effect_is_refused_by_name() {
    for (key, value) in REFUSED {
        let error = Config::load(&variables([&(*key, *value)])).unwrap_err().to_string();
        assert!(error.starts_with(key), "{error}");
        assert!(error.contains(&variable_of(key)), "{error}");
    }
}

#[test]
fn a_tls_socket_needs_all_three_keys() {
    for (given, named) in [
        (&["http.tls.listen"][..], "http.tls.cert"),
        (&["http.tls.listen", "http.tls.cert"], "http.tls.key"),
        (&["http.tls.cert", "http.tls.key"], "http.tls.cert"),
        (&["http.tls.key"], "http.tls.key"),
    ] {
        let pairs: Vec<Pair> =
            HTTPS_NEEDS.iter().filter(|(key, _)| given.contains(key)).copied().collect();
        let error = Config::load(&variables(pairs.iter())).unwrap_err().to_string();
        assert!(error.starts_with(named), "{given:?}: {error}");
    }
}

#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    let (_dir, path) = file(
        "[http]\nlisten = '127.0.0.1:1'\n[rtmp]\nlisten = '127.0.0.1:1'\nmax_connections = 7\n",
    );
    let mut sources = environment(&[
        ("LIVEREC__HTTP__LISTEN", "127.0.0.1:2"),
        ("LIVEREC__RTMP__LISTEN", "127.0.0.1:2"),
    ]);
    sources.file = Some(path);
    sources.flags = vec![("http.listen".into(), "127.0.0.1:3".into())];
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.http.listen.port(), 3);
    assert_eq!(config.rtmp.listen.port(), 2);
    assert_eq!(config.rtmp.max_connections, 7);
    assert_eq!(config.api.app_id, 1_250_000_000);
}

#[test]
fn what_is_unknown_is_refused_by_name() {
    let cases = [
        ("[http]\nlistne = ''", "unknown key http.listne (in "),
        ("colour = 1", "unknown key colour (in "),
        ("[web]", "unknown key web (in "),
        ("http = 1", "unknown key http (in "),
        ("[http.listen]\na = 1", "unknown key http.listen.a (in "),
    ];
    for (text, start) in cases {
        let error = from_file(text).unwrap_err().to_string();
        assert!(error.starts_with(start), "{error}");
    }
    for name in
        ["LIVEREC__HTTP__LISTNE", "LIVEREC__", "LIVEREC__http__listen", "LIVEREC__HTTP.LISTEN"]
    {
        let error = Config::load(&environment(&[(name, "x")])).unwrap_err().to_string();
        assert!(error.starts_with(&format!("unknown environment variable {name}:")), "{error}");
    }
    let error = Config::load(&flags(&[("http.listne", "x")])).unwrap_err().to_string();
    assert_eq!(error, "unknown key http.listne (--set)");
    let other = environment(&[("LIVEREC_TEST", "x"), ("LIVEREC", "x"), ("XLIVEREC__A", "x")]);
    assert_eq!(Config::load(&other).unwrap(), Config::builtin().unwrap());
    assert!(from_file("[http]").is_ok(), "an empty section that exists is fine");
}

#[test]
fn values_are_typed_by_their_key() {
    let config = Config::load(&environment(&[
        ("LIVEREC__API__SECRET_ID", "1234"),
        ("LIVEREC__API__SECRET_KEY", "007"),
        ("LIVEREC__CALLBACK__DENY_NETWORKS", ""),
    ]))
    .unwrap();
    assert_eq!(config.api.credentials.unwrap().secret_key.expose(), "007");
    assert!(config.callback.deny_networks.is_empty());
    let config =
        from_file("[rtmp]\ntrust_loopback = 0\nidle_timeout = 5\n[callback]\ntimeout = '1500ms'")
            .unwrap();
    assert!(!config.rtmp.trust_loopback);
    assert_eq!(config.rtmp.idle_timeout, Duration::from_secs(5));
    assert_eq!(config.callback.timeout, Duration::from_millis(1500));
}

#[test]
fn a_bad_value_is_named_with_its_key_and_place() {
    let cases = [
        ("[http]\nlisten = 'localhost'", "http.listen (in "),
        ("[api]\nsecret_id = 5\nsecret_key = 'x'", "api.secret_id (in "),
        ("[api]\nsecret_id = 'x'", "api.secret_key: is missing"),
        ("[api]\nsecret_key = 'x'", "api.secret_id: is missing"),
        ("[api]\nutc_offset = '+15:00'", "api.utc_offset (in "),
        ("[api]\nutc_offset = 'Z'", "api.utc_offset (in "),
        ("[rtmp]\nidle_timeout = 0.5", "rtmp.idle_timeout (in "),
        ("[rtmp]\nidle_timeout = -1", "rtmp.idle_timeout (in "),
        ("[rtmp]\nidle_timeout = '5 weeks'", "rtmp.idle_timeout (in "),
        ("[rtmp]\nidle_timeout = '99999999999999999999s'", "rtmp.idle_timeout (in "),
        ("[rtmp]\nmax_message_size = '16MiB'", "rtmp.max_message_size (in "),
        ("[rtmp]\ndefault_domain = '127.0.0.1'", "rtmp.default_domain (in "),
        ("[rtmp]\ntrust_loopback = 'yes'", "rtmp.trust_loopback (in "),
        ("[rtmp]\nmax_connections = 0", "rtmp.max_connections (in "),
        ("[http]\npublic_url = 'ftp://host'", "http.public_url (in "),
        ("[http]\npublic_url = 'http://host/?a=b'", "http.public_url (in "),
        ("[http]\ntrusted_proxies = [1]", "http.trusted_proxies (in "),
        ("[database]\nurl = 'mysql://host'", "database.url (in "),
        ("[database]\nurl = 'sqlite::memory:'", "database.url (in "),
        ("[storage]\nkind = 'ftp'", "storage.kind (in "),
        ("[storage]\nkind = 's3'", "storage.s3.endpoint: is needed"),
        ("[storage.s3]\nbucket = 'vod'", "storage.s3.bucket: has no effect"),
        ("[storage.s3]\npart_size = '1MiB'", "storage.s3.part_size (in "),
        ("[storage.s3]\nprefix = '../x'", "storage.s3.prefix (in "),
        ("[callback]\ndeny_networks = ['10.0.0.0/33']", "callback.deny_networks (in "),
        ("[api]\nrate_limits = ['A=1', 'B=1', 'A=2']", "api.rate_limits: names A twice"),
        ("[api]\nrate_limits = '*=1, * = 1'", "api.rate_limits: names * twice"),
        ("[publish]\nauth_url = 'http://169.254.169.254/a'", "publish.auth_url: its address is in"),
        (
            "[publish]\nauth_url = 'http://[::ffff:a9fe:a9fe]'",
            "publish.auth_url: its address is in",
        ),
        (
            "[publish]\nauth_url = 'http://[64:ff9b::a9fe:a9fe]'",
            "publish.auth_url: its address is in",
        ),
        ("[rtmp]\ndefault_domain = '..'", "rtmp.default_domain (in "),
        ("[publish]\nauth_fail = 'closed'", "publish.auth_fail: has no effect"),
        ("[publish]\nauth_key = 'k'", "publish.auth_key: has no effect"),
        ("[log]\nlevel = 'a=b=c'", "log.level (in "),
        ("[log]\nlevel = ''", "log.level (in "),
        ("data_dir = ''", "data_dir (in "),
    ];
    for (text, start) in cases {
        let error = from_file(text).unwrap_err().to_string();
        assert!(error.starts_with(start), "{text}: {error}");
    }
}

/// Addresses are compared as IPv4 wherever they are that.
#[test]
fn networks_of_mapped_addresses_are_those_of_the_addresses() {
    let config = from_file(
        "[callback]\ndeny_networks = ['::ffff:127.0.0.1/128', '::ffff:0:0/96', '::ffff:10.1.2.3/104', '::/0']\n\
         [http]\ntrusted_proxies = ['::ffff:10.0.0.0/104']",
    )
    .unwrap();
    let written = |networks: &[ipnet::IpNet]| {
        networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let denied = written(&config.callback.deny_networks);
    assert_eq!(denied, "127.0.0.1/32 0.0.0.0/0 10.1.2.3/8 ::/0");
    assert_eq!(written(&config.http.trusted_proxies), "10.0.0.0/8");
}

#[test]
fn no_message_and_no_debug_text_holds_a_secret() {
    let error = from_file("[api]\nsecret_key = hunter2\n").unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    let config = Config::load(&flags(&[
        ("api.secret_id", "id"),
        ("api.secret_key", "hunter2"),
        ("database.url", "postgres://u:hunter2@h/d"),
    ]))
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn paths_follow_the_data_folder() {
    let config = Config::load(&flags(&[("data_dir", "/srv/a b%2f?")])).unwrap();
    assert_eq!(config.storage, Storage::Local { dir: "/srv/a b%2f?/vod".into() });
    assert_eq!(config.database.sqlite_file().unwrap(), Path::new("/srv/a b%2f?/liverec.db"));
    assert!(!config.database.as_str().contains('?'), "{}", config.database.as_str());
    let url = "postgres://h/d";
    assert_eq!(
        Config::load(&flags(&[("database.url", url)])).unwrap().database.sqlite_file(),
        None
    );
}

#[test]
fn a_missing_file_is_named() {
    let sources = Sources { file: Some("/no/such/file.toml".into()), ..Sources::default() };
    let error = Config::load(&sources).unwrap_err().to_string();
    assert!(error.starts_with("configuration file /no/such/file.toml: "), "{error}");
}

#[test]
fn the_example_file_holds_every_key_with_its_default() {
    const EXAMPLE: &str = include_str!("../../config/liverec.toml");
    assert_eq!(from_file(EXAMPLE).unwrap(), Config::builtin().unwrap());

    fn flatten(prefix: &str, table: &toml::Table, into: &mut Vec<String>) {
        for (name, value) in table {
            match value {
                toml::Value::Table(inner) => flatten(&format!("{prefix}{name}."), inner, into),
                _ => into.push(format!("{prefix}{name}")),
            }
        }
    }
    let mut written = Vec::new();
    flatten("", &EXAMPLE.parse().unwrap(), &mut written);
    written.sort_unstable();
    assert_eq!(written, keys());

    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for (number, pair) in lines.windows(2).enumerate() {
        let is_key = pair[1].contains(" = ") && !pair[1].starts_with('#');
        let is_explained = pair[0].starts_with('#') || pair[0].contains(" = ");
        assert!(!is_key || is_explained, "line {}: {} has no comment", number + 2, pair[1]);
    }
}
