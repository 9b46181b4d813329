//! The table of keys: name, default and bounds of each, and what must fit together.
//!
//! Adding a key is one line here, its field in [`super::Config`], its lines in
//! `config/liverec.toml` and its row in the README.

use std::{collections::BTreeSet, path::Path, time::Duration};

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use super::{
    Api, BaseUrl, Callback, Config, ConfigError, Credentials, DatabaseUrl, Disk, Hls, Http,
    Journal, Log, LogFormat, Publish, Record, Rtmp, S3, Storage, Takeover, Tls, UnknownParameters,
    sources::Reader,
    value::{
        Raw, address, choice, database_url, duration, flag, hook_url, integer, list, master_key,
        optional, parsed, path, secret, size, text, utc_offset,
    },
};
use crate::{
    domain::{
        container::Container,
        denied_networks::{Denied, canonical},
        forbidden_stream::ForbidScope,
        limits::Limits,
        publish_auth::Fallback,
        rate_limit::RateLimit,
        stream::DomainName,
    },
    media::hls::SegmentType,
};

/// Link-local addresses and where clouds serve instance credentials: a callback URL must not
/// reach those. Loopback and private addresses are allowed, receivers live there.
const DENY_NETWORKS: &str = "169.254.0.0/16,fe80::/10,100.100.100.200/32,168.63.129.16/32,\
                             192.0.0.192/32,fd00:ec2::254/128,fd20:ce::254/128";

/// What an item of a network list must be.
const NETWORK: &str = "a network such as 10.0.0.0/8";

/// Largest integer that every client of the API reads exactly.
const MAX_CLIENT_INTEGER: i64 = (1 << 53) - 1;

/// Reads every key there is.
pub(super) fn read(r: &mut Reader) -> Result<Config, ConfigError> {
    let data_dir = r.get("data_dir", "./data", path)?;
    let config = Config {
        rtmp: rtmp(r)?,
        http: http(r)?,
        api: api(r)?,
        database: database(r, &data_dir)?,
        journal: journal(r)?,
        disk: disk(r)?,
        record: record(r)?,
        hls: Hls {
            segment_duration: r.get("hls.segment_duration", "10s", duration("1s", "60s"))?,
            segment_type: r.get(
                "hls.segment_type",
                "ts",
                choice(&SegmentType::ALL.map(|kind| (kind.as_str(), kind))),
            )?,
            live_playlist: r.get("hls.live_playlist", "false", flag)?,
        },
        publish: publish(r)?,
        storage: storage(r, &data_dir)?,
        callback: Callback {
            timeout: r.get("callback.timeout", "20s", duration("100ms", "5m"))?,
            retry_interval: r.get("callback.retry_interval", "60s", duration("100ms", "24h"))?,
            max_retries: r.get("callback.max_retries", "12", integer(0, 10_000))?,
            deny_networks: r.get("callback.deny_networks", DENY_NETWORKS, networks)?,
        },
        limits: limits(r)?,
        shutdown_grace: r.get("shutdown.grace", "30s", duration("1s", "1h"))?,
        log: Log {
            level: r.get("log.level", "info", filter)?,
            format: r.get(
                "log.format",
                "text",
                choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
            )?,
        },
        data_dir,
    };
    if let Some(url) = &config.publish.auth_url
        && Denied::new(config.callback.deny_networks.clone()).address_of(url.expose()).is_some()
    {
        let message = "its address is in callback.deny_networks, so that nobody would be asked";
        return Err(together("publish.auth_url", message.to_owned()));
    }
    Ok(config)
}

fn publish(r: &mut Reader) -> Result<Publish, ConfigError> {
    let publish = Publish {
        forbid_scope: r.get(
            "publish.forbid_scope",
            "name",
            choice(&[("name", ForbidScope::Name), ("path", ForbidScope::Path)]),
        )?,
        auth_url: r.get("publish.auth_url", "", optional(hook_url))?,
        auth_key: r.get("publish.auth_key", "", optional(secret))?,
        auth_fail: r.get(
            "publish.auth_fail",
            "open",
            choice(&[("open", Fallback::Open), ("closed", Fallback::Closed)]),
        )?,
    };
    // Whoever wrote one of them believes that somebody is asked.
    let unused = |key| Err(together(key, "has no effect without publish.auth_url".to_owned()));
    match &publish {
        Publish { auth_url: Some(_), .. } => Ok(publish),
        Publish { auth_key: Some(_), .. } => unused("publish.auth_key"),
        Publish { auth_fail: Fallback::Closed, .. } => unused("publish.auth_fail"),
        _ => Ok(publish),
    }
}

/// A socket that speaks TLS: all three keys of it or none.
fn tls(r: &mut Reader, keys: [&'static str; 3]) -> Result<Option<Tls>, ConfigError> {
    let [listen_key, cert_key, key_key] = keys;
    let listen = r.get(listen_key, "", optional(address))?;
    let cert = r.get(cert_key, "", optional(path))?;
    let key = r.get(key_key, "", optional(path))?;
    let missing = |key| Err(together(key, format!("is needed when {listen_key} is set")));
    let unused = |key| Err(together(key, format!("has no effect without {listen_key}")));
    match (listen, cert, key) {
        (None, None, None) => Ok(None),
        (None, Some(_), _) => unused(cert_key),
        (None, None, Some(_)) => unused(key_key),
        (Some(_), None, _) => missing(cert_key),
        (Some(_), Some(_), None) => missing(key_key),
        (Some(listen), Some(cert), Some(key)) => Ok(Some(Tls { listen, cert, key })),
    }
}

fn rtmp(r: &mut Reader) -> Result<Rtmp, ConfigError> {
    Ok(Rtmp {
        listen: r.get("rtmp.listen", "0.0.0.0:1935", address)?,
        default_domain: r.get("rtmp.default_domain", "live.local", domain)?,
        trust_loopback: r.get("rtmp.trust_loopback", "true", flag)?,
        idle_timeout: r.get("rtmp.idle_timeout", "30s", duration("1s", "24h"))?,
        handshake_timeout: r.get("rtmp.handshake_timeout", "10s", duration("100ms", "5m"))?,
        max_connections: r.get("rtmp.max_connections", "2000", integer(1, 1_000_000))?,
        max_message_bytes: r.get("rtmp.max_message_size", "16777215", size("64KiB", "16777215"))?,
        takeover: r.get("rtmp.takeover", "always", choice(&[("always", Takeover::Always)]))?,
        proxy_protocol: r.get("rtmp.proxy_protocol", "false", flag)?,
        tls: tls(r, ["rtmp.tls.listen", "rtmp.tls.cert", "rtmp.tls.key"])?,
    })
}

fn http(r: &mut Reader) -> Result<Http, ConfigError> {
    Ok(Http {
        listen: r.get("http.listen", "0.0.0.0:8080", address)?,
        public_url: r.get("http.public_url", "", optional(base_url))?,
        trusted_proxies: r.get("http.trusted_proxies", "", networks)?,
        tls: tls(r, ["http.tls.listen", "http.tls.cert", "http.tls.key"])?,
    })
}

fn api(r: &mut Reader) -> Result<Api, ConfigError> {
    let id = r.get("api.secret_id", "", optional(secret_id))?;
    let key = r.get("api.secret_key", "", optional(secret))?;
    let credentials = match (id, key) {
        (Some(secret_id), Some(secret_key)) => Some(Credentials { secret_id, secret_key }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(together("api.secret_key", "is missing beside api.secret_id".to_owned()));
        }
        (None, Some(_)) => {
            return Err(together("api.secret_id", "is missing beside api.secret_key".to_owned()));
        }
    };
    let rate_limits: Vec<RateLimit> =
        r.get("api.rate_limits", "", list("an action and a number such as SearchMedia=50"))?;
    let mut named = BTreeSet::new();
    if let Some(again) = rate_limits.iter().find(|limit| !named.insert(&limit.action)) {
        return Err(together("api.rate_limits", format!("names {} twice", again.action)));
    }
    Ok(Api {
        credentials,
        master_key: r.get("api.master_key", "", optional(master_key))?,
        app_id: r.get("api.app_id", "1250000000", integer(1, MAX_CLIENT_INTEGER))?,
        clock_skew: r.get("api.clock_skew", "300s", duration("1s", "24h"))?,
        rate_limits,
        unknown_parameters: r.get(
            "api.unknown_parameters",
            "reject",
            choice(&[("reject", UnknownParameters::Reject), ("ignore", UnknownParameters::Ignore)]),
        )?,
        utc_offset: r.get("api.utc_offset", "+08:00", utc_offset)?,
    })
}

fn database(r: &mut Reader, data_dir: &Path) -> Result<DatabaseUrl, ConfigError> {
    match r.get("database.url", "", optional(database_url))? {
        Some(url) => Ok(url),
        None => DatabaseUrl::of_file(&data_dir.join("liverec.db"))
            .map_err(|message| together("data_dir", message)),
    }
}

fn journal(r: &mut Reader) -> Result<Journal, ConfigError> {
    Ok(Journal {
        sync_interval: r.get("journal.sync_interval", "1s", duration("10ms", "1h"))?,
        retention: r.get("journal.retention", "0", duration("0", "3650d"))?,
        unclaimed_max_bytes: r.get("journal.unclaimed_max", "64MiB", size("1MiB", "1TiB"))?,
        stall_timeout: r.get("journal.stall_timeout", "30s", duration("1s", "1h"))?,
    })
}

fn disk(r: &mut Reader) -> Result<Disk, ConfigError> {
    let warn_free_bytes = r.get("disk.warn_free", "", optional(size("0B", "1024TiB")))?;
    let refuse_free_bytes = r.get("disk.refuse_free", "", optional(size("0B", "1024TiB")))?;
    if let (Some(warn), Some(refuse)) = (warn_free_bytes, refuse_free_bytes)
        && warn < refuse
    {
        return Err(together("disk.warn_free", "must not be below disk.refuse_free".to_owned()));
    }
    Ok(Disk { warn_free_bytes, refuse_free_bytes })
}

fn record(r: &mut Reader) -> Result<Record, ConfigError> {
    Ok(Record {
        default_task_format: r.get(
            "record.default_task_format",
            "hls",
            choice(&Container::ALL.map(|container| (container.as_str(), container))),
        )?,
        max_preroll: r.get("record.max_preroll", "15s", duration("0", "1h"))?,
        resume_window: r.get("record.resume_window", "0", whole_seconds("0", "24h"))?,
    })
}

fn limits(r: &mut Reader) -> Result<Limits, ConfigError> {
    // Most of these rows are held in memory.
    let most = || integer(1, 100_000);
    Ok(Limits {
        templates: r.get("limits.templates", "50", most())?,
        rules: r.get("limits.rules", "50", most())?,
        domains: r.get("limits.domains", "100", most())?,
        tasks: r.get("limits.tasks", "10000", most())?,
        legacy_tasks: r.get("limits.legacy_tasks", "400", most())?,
        legacy_tasks_per_day: r.get(
            "limits.legacy_tasks_per_day",
            "4000",
            integer(1, 10_000_000),
        )?,
        bans: r.get("limits.bans", "10000", most())?,
    })
}

fn storage(r: &mut Reader, data_dir: &Path) -> Result<Storage, ConfigError> {
    let is_s3 = r.get("storage.kind", "local", choice(&[("local", false), ("s3", true)]))?;
    let dir = r.get("storage.local.dir", "", optional(path))?;
    let endpoint = r.get("storage.s3.endpoint", "", optional(base_url))?;
    let region = r.get("storage.s3.region", "us-east-1", word)?;
    let bucket = r.get("storage.s3.bucket", "", optional(word))?;
    let prefix = r.get("storage.s3.prefix", "", key_prefix)?;
    let access_key_id = r.get("storage.s3.access_key_id", "", optional(word))?;
    let secret_access_key = r.get("storage.s3.secret_access_key", "", optional(secret))?;
    let path_style = r.get("storage.s3.path_style", "true", flag)?;
    let part_bytes = r.get("storage.s3.part_size", "8MiB", size("5MiB", "5GiB"))?;
    let timeout = r.get("storage.s3.timeout", "30s", duration("1s", "10m"))?;

    if !is_s3 {
        // an operator who forgot storage.kind must not find the products on the local disk
        let unused = [
            ("storage.s3.endpoint", endpoint.is_some()),
            ("storage.s3.bucket", bucket.is_some()),
            ("storage.s3.prefix", !prefix.is_empty()),
            ("storage.s3.access_key_id", access_key_id.is_some()),
            ("storage.s3.secret_access_key", secret_access_key.is_some()),
        ];
        if let Some((key, _)) = unused.into_iter().find(|(_, is_set)| *is_set) {
            let message = "has no effect while storage.kind is local; set storage.kind to s3";
            return Err(together(key, message.to_owned()));
        }
        return Ok(Storage::Local { dir: dir.unwrap_or_else(|| Storage::default_dir(data_dir)) });
    }
    if dir.is_some() {
        let message = "has no effect while storage.kind is s3; leave it empty";
        return Err(together("storage.local.dir", message.to_owned()));
    }
    let missing = |key| together(key, "is needed when storage.kind is s3".to_owned());
    Ok(Storage::S3(Box::new(S3 {
        endpoint: endpoint.ok_or_else(|| missing("storage.s3.endpoint"))?,
        region,
        bucket: bucket.ok_or_else(|| missing("storage.s3.bucket"))?,
        prefix,
        access_key_id: access_key_id.ok_or_else(|| missing("storage.s3.access_key_id"))?,
        secret_access_key: secret_access_key
            .ok_or_else(|| missing("storage.s3.secret_access_key"))?,
        path_style,
        part_bytes,
        timeout,
    })))
}

/// A duration without a fraction of a second.
fn whole_seconds(
    min: &'static str,
    max: &'static str,
) -> impl Fn(&Raw) -> Result<Duration, String> {
    let parse = duration(min, max);
    move |raw| match parse(raw)? {
        given if given.subsec_nanos() == 0 => Ok(given),
        _ => Err("must be whole seconds".to_owned()),
    }
}

/// Networks as addresses are compared with them: IPv4 wherever they are that.
fn networks(raw: &Raw) -> Result<Vec<IpNet>, String> {
    let given: Vec<IpNet> = list(NETWORK)(raw)?;
    Ok(given.into_iter().map(canonical).collect())
}

fn together(key: &'static str, message: String) -> ConfigError {
    ConfigError::Together { key, message }
}

fn base_url(raw: &Raw) -> Result<BaseUrl, String> {
    parsed("an http:// or https:// URL without query, user and fragment")(raw)
}

fn domain(raw: &Raw) -> Result<DomainName, String> {
    let given = text(raw)?;
    if given.parse::<std::net::IpAddr>().is_ok() {
        return Err("must be a name, not an IP address".to_owned());
    }
    DomainName::parse(&given).map_err(|error| error.to_string())
}

/// Text for a header or a signature scope: visible ASCII without separators.
fn word(raw: &Raw) -> Result<String, String> {
    let given = text(raw)?;
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ',' | '=' | '"');
    if given.is_empty() || given.len() > 128 || !given.chars().all(is_plain) {
        return Err("must be 1 to 128 visible ASCII characters without / , = and \"".to_owned());
    }
    Ok(given)
}

fn secret_id(raw: &Raw) -> Result<String, String> {
    word(raw)
}

fn key_prefix(raw: &Raw) -> Result<String, String> {
    let given = text(raw)?;
    let is_odd = given.starts_with('/')
        || given.len() > 256
        || given.chars().any(char::is_control)
        || given.split('/').any(|part| part == "." || part == "..");
    if is_odd {
        return Err(
            "must be at most 256 bytes that begin without / and hold no . or .. folder".to_owned()
        );
    }
    Ok(given)
}

fn filter(raw: &Raw) -> Result<String, String> {
    let given = text(raw)?;
    match EnvFilter::builder().parse(&given) {
        Ok(_) if !given.trim().is_empty() => Ok(given),
        Ok(_) => Err("must not be empty".to_owned()),
        Err(error) => Err(format!("must be a level or a filter such as info: {error}")),
    }
}
