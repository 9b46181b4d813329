//! The command line: what can be asked for, and the commands that need no server of their own.
//!
//! Starting, logging and exit codes are `main.rs`; what `serve` and `demo` do is `app`.

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Parser, Subcommand};

use crate::{
    config::{Config, Sources, parse_duration},
    db::{self, Db},
    domain::{
        api_key::Role,
        container::Container,
        ids::{DecimalId, FileId, SessionId},
        push_domain::PushKeys,
        push_url::{PushUrl, explicit_domain},
        snapshot::Snapshot,
        stream::{AppName, DomainName, StreamName},
    },
    reach::{reachable_ip, url_host},
};

/// Self-hosted live recording server: RTMP in, verbatim FLV, MP4, HLS and AAC files out.
#[derive(Debug, Parser)]
#[command(name = "liverec", version)]
pub struct Arguments {
    /// TOML file; config/liverec.toml shows every key
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key, over file and environment; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run the server (the default)
    Serve,
    /// Record a small built-in sample in a temporary folder and show what was made
    Demo {
        /// Show the server's log too
        #[arg(long)]
        verbose: bool,
    },
    /// Print where to push a stream to, with a valid signature
    PushUrl(PushUrlArguments),
    /// Make, list and revoke key pairs of API clients
    Keys {
        /// What to do
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Check that a stored file is what was sent: exit code 0 if it is, 1 if not
    Verify(VerifyArguments),
    /// Check configuration, database, data directory, clock and store, and say what to do: exit code 0
    /// if nothing failed, 1 if something did
    Doctor(DoctorArguments),
    /// Make a file again from its journal, while that is kept (journal.retention)
    Remake(RemakeArguments),
    /// End a session whose journal is gone for good: `liverec doctor` names those
    GiveUp(GiveUpArguments),
    /// Copy database, configuration, credentials, master key and node id, while the server runs
    Backup {
        /// Folder to make; must not be there yet, or be empty
        dir: PathBuf,
    },
}

/// Arguments of `doctor`.
#[derive(Debug, Clone, Copy, Args)]
pub struct DoctorArguments {
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Remove what nobody owns (objects, uploads and journals older than a day that no row knows) and
    /// confirm the clock where it is in doubt
    #[arg(long)]
    pub fix: bool,
}

/// Arguments of `remake`.
#[derive(Debug, Clone, Args)]
pub struct RemakeArguments {
    /// File id, or a session by the id of its journal or its session_id
    #[arg(value_name = "FILE_ID|SESSION")]
    pub of: String,
    /// What to make: flv, hls, mp4 or aac. A failed file of that format is made good; anything else
    /// becomes a new file
    #[arg(long, value_parser = container)]
    pub format: Container,
}

/// Arguments of `give-up`.
#[derive(Debug, Clone, Args)]
pub struct GiveUpArguments {
    /// The session, by the id of its journal
    #[arg(value_name = "SESSION", value_parser = session_id)]
    pub session: SessionId,
    /// The node that recorded it, if that is another one which will never run again: what is left of
    /// its files becomes this node's
    #[arg(long, value_name = "NODE_ID")]
    pub node: Option<String>,
}

/// What `keys` does.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// Make a key pair and print it, once
    Create {
        /// What it may do
        #[arg(long, default_value = "admin", value_parser = ["admin", "read-only", "sub-app"])]
        role: String,
        /// The VOD sub-application that a key of the role sub-app is confined to
        #[arg(long, value_name = "NUMBER")]
        sub_app: Option<u64>,
        /// What it is for, in your words
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List the key pairs, without their secrets
    List,
    /// Revoke a key pair for good
    Revoke {
        /// Its secret_id
        secret_id: String,
    },
}

/// Arguments of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArguments {
    /// Which file, as SearchMedia and event 100 name it
    #[arg(value_name = "FILE_ID", value_parser = file_id)]
    pub file: FileId,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `push-url`.
#[derive(Debug, Clone, Args)]
pub struct PushUrlArguments {
    /// Registered push domain
    domain: String,
    /// Application (AppName)
    app: String,
    /// Stream name
    stream: String,
    /// How long the address may be used to begin a push
    #[arg(long, default_value = "24h", value_parser = parse_duration)]
    expires: Duration,
    /// Host, and port if it is not that of rtmp.listen, under which encoders reach this server
    #[arg(long, value_name = "HOST[:PORT]")]
    host: Option<String>,
}

/// Arguments that contradict each other: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(&'static str);

impl KeysCommand {
    /// The role that `create` asks for.
    ///
    /// # Errors
    /// Role and sub-application do not fit together.
    pub fn role(role: &str, sub_app: Option<u64>) -> Result<Role, UsageError> {
        match (role, sub_app) {
            ("sub-app", None) => Err(UsageError("--role sub-app needs --sub-app NUMBER")),
            ("sub-app", Some(id)) => Ok(Role::SubApp(id)),
            (_, Some(_)) => Err(UsageError("--sub-app belongs to --role sub-app")),
            ("read-only", None) => Ok(Role::ReadOnly),
            _ => Ok(Role::Admin),
        }
    }
}

fn file_id(text: &str) -> Result<FileId, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    DecimalId::parse(text).ok_or_else(|| match is_number {
        true => "is larger than any file id".to_owned(),
        false => "must be a decimal number".to_owned(),
    })
}

fn session_id(text: &str) -> Result<SessionId, String> {
    SessionId::parse(text).ok_or_else(|| "must be the id of a session".to_owned())
}

fn container(text: &str) -> Result<Container, String> {
    Container::parse(text).ok_or_else(|| "must be flv, hls, mp4 or aac".to_owned())
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Arguments {
    /// Reads the process's arguments; help, version and usage errors end the process.
    pub fn read() -> Self {
        Self::parse()
    }

    /// The command, `serve` if none was given.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or(Command::Serve)
    }

    /// Where the configuration comes from. `demo` takes none: it must work the same everywhere.
    pub fn sources(&self) -> Sources {
        match self.command {
            Some(Command::Demo { .. }) => Sources::default(),
            _ => Sources {
                file: self.config.clone(),
                environment: env::vars_os().collect(),
                flags: self.set.clone(),
            },
        }
    }
}

impl PushUrlArguments {
    /// Prints the address. Works beside a running server: it only reads the database.
    pub async fn run(&self, config: &Config) -> anyhow::Result<()> {
        if let Some(file) = config.database.sqlite_file() {
            let shown = file.display();
            ensure!(file.exists(), "there is no database {shown} yet: start the server once");
        }
        let now = Utc::now();
        let database = Db::connect(config.database.as_str()).await?;
        let snapshot = db::snapshot::load(&database, now.timestamp_millis()).await;
        database.close().await;
        let text = self.text(config, &snapshot?, now)?;
        io::stdout().write_all(text.as_bytes()).context("write to stdout")
    }

    fn text(
        &self,
        config: &Config,
        snapshot: &Snapshot,
        now: DateTime<Utc>,
    ) -> anyhow::Result<String> {
        let domain = DomainName::parse(&self.domain).context("DOMAIN")?;
        let app = AppName::parse(&self.app).context("APP")?;
        let stream = StreamName::parse(&self.stream).context("STREAM")?;
        for (what, text) in [("APP", app.as_str()), ("STREAM", stream.as_str())] {
            ensure!(!text.contains('?'), "{what} ends at its first '?': leave that out");
        }
        let default_domain = &config.rtmp.default_domain;
        let keys = push_keys(snapshot, &domain, default_domain)?;
        let (host, port) = self.host_and_port(config)?;
        let is_registered = |name: &DomainName| snapshot.push_domains.contains_key(name);
        let named = explicit_domain(&host, &domain, default_domain, is_registered);

        let mut url = PushUrl::new(&host, port, app.as_str(), stream.as_str(), named);
        let until = now + self.expires;
        let validity = if keys.enabled {
            url.sign(&keys.master, stream.as_str(), until.timestamp());
            let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("A push may begin until {until}; it is not cut then.")
        } else {
            format!("Push authentication of {domain} is off: the address has no expiry.")
        };
        Ok(format!(
            "OBS server:     {}\nOBS stream key: {}\n{validity}\n\n{}\n",
            url.server,
            url.stream_key,
            url.ffmpeg_command()
        ))
    }

    fn host_and_port(&self, config: &Config) -> anyhow::Result<(String, u16)> {
        let port = config.rtmp.listen.port();
        let (host, port) = match &self.host {
            Some(given) => {
                let after_address = given.rfind(']').map_or(0, |at| at + 1);
                let (_, tail) = given.split_at(after_address);
                match tail.rsplit_once(':') {
                    Some((_, digits)) => {
                        let port = digits.parse().context("--host: the port is not a number")?;
                        (given[..given.len() - digits.len() - 1].to_owned(), port)
                    }
                    None => (given.clone(), port),
                }
            }
            None => match &config.http.public_url {
                Some(url) => (url.host().to_owned(), port),
                None => (url_host(reachable_ip(config.rtmp.listen.ip())), port),
            },
        };
        ensure!(!host.is_empty(), "--host: the host is empty");
        ensure!(port != 0, "rtmp.listen has port 0: say --host HOST:PORT with the port in use");
        Ok((host, port))
    }
}

/// The keys that a push of `domain` is signed with.
fn push_keys<'a>(
    snapshot: &'a Snapshot,
    domain: &DomainName,
    default_domain: &DomainName,
) -> anyhow::Result<&'a PushKeys> {
    let Some(row) = snapshot.push_domains.get(domain) else {
        let names: Vec<&str> = snapshot.push_domains.keys().map(DomainName::as_str).collect();
        bail!("{domain} is no registered push domain; registered are: {}", names.join(", "));
    };
    ensure!(row.enabled, "{domain} is disabled (ForbidLiveDomain): every push is refused");
    let default = || snapshot.push_domains.get(default_domain)?.keys.as_ref();
    row.keys.as_ref().or_else(default).with_context(|| {
        format!(
            "{domain} has no push key of its own, and the default domain {default_domain} has none"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::push_domain::PushDomain;

    fn snapshot(enabled: bool) -> Snapshot {
        let domain = |name: &str, enabled, key: Option<&str>| {
            let name = DomainName::parse(name).unwrap();
            let keys = key.map(|key| PushKeys {
                enabled: key != "off",
                master: key.to_owned(),
                backup: String::new(),
                delta_s: 0,
            });
            (name.clone(), PushDomain { enabled, ..PushDomain::new(name, keys, 0) })
        };
        let rows = [
            domain("live.local", true, Some("PUSHKEYEXAMPLE")),
            domain("push.example.com", enabled, None),
            domain("open.example.com", true, Some("off")),
        ];
        Snapshot { push_domains: rows.into(), ..Snapshot::default() }
    }

    fn text(line: &str, snapshot: &Snapshot) -> anyhow::Result<String> {
        let words = ["liverec", "push-url"].into_iter().chain(line.split(' '));
        let arguments = Arguments::try_parse_from(words).unwrap();
        let Command::PushUrl(push_url) = arguments.command() else { panic!("not push-url") };
        let config = Config::load(&Sources { flags: arguments.set, ..Sources::default() }).unwrap();
        push_url.text(&config, snapshot, DateTime::from_timestamp(1_795_344_236, 0).unwrap())
    }

    #[test]
    fn prints_server_key_and_command() {
        let line = "live.local live livetest --set rtmp.listen=192.0.2.7:1935";
        insta::assert_snapshot!(text(line, &snapshot(true)).unwrap(), @r#"
        OBS server:     rtmp://192.0.2.7/live
        OBS stream key: livetest?txSecret=0a77540aef2de3351d87fab71cb7af1b&txTime=6B0418EC
        A push may begin until 2026-11-23T10:43:56Z; it is not cut then.

        ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440:sample_rate=48000 -t 30 -c:v libx264 -preset veryfast -pix_fmt yuv420p -g 60 -c:a aac -b:a 128k -f flv "rtmp://192.0.2.7/live/livetest?txSecret=0a77540aef2de3351d87fab71cb7af1b&txTime=6B0418EC"
        "#);
    }

    #[test]
    fn a_domain_without_keys_uses_those_of_the_default_domain() {
        let line = "push.example.com live livetest --host 192.0.2.7:19350";
        let found = text(line, &snapshot(true)).unwrap();
        let key = "livetest?domain=push.example.com&txSecret=0a77540aef2de3351d87fab71cb7af1b";
        assert!(found.contains("rtmp://192.0.2.7:19350/live\n"), "{found}");
        assert!(found.contains(key), "{found}");
        let line = "push.example.com live livetest --host push.example.com --expires 1h";
        let found = text(line, &snapshot(true)).unwrap();
        assert!(found.contains("key: livetest?txSecret="), "{found}");
        assert!(found.contains("2026-11-22T11:43:56Z"), "{found}");
        let line = "open.example.com live livetest --host [2001:db8::1]:1936";
        let found = text(line, &snapshot(true)).unwrap();
        assert!(found.contains("rtmp://[2001:db8::1]:1936/live\n"), "{found}");
        assert!(!found.contains("txSecret"), "{found}");
    }

    #[test]
    fn says_why_there_is_no_address() {
        let cases = [
            ("other.example.com live s", "other.example.com is no registered push domain"),
            ("push.example.com live s", "push.example.com is disabled"),
            ("live.local live s?a=b", "STREAM ends at its first '?'"),
            ("live.local live s --set rtmp.listen=127.0.0.1:0", "rtmp.listen has port 0"),
            ("live.local live s --host h:x", "--host: the port"),
        ];
        for (line, start) in cases {
            let error = text(line, &snapshot(false)).unwrap_err();
            assert!(format!("{error:#}").starts_with(start), "{error:#}");
        }
    }
}
