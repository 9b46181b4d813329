//! The configuration: TOML file, environment and flags, parsed once into types.
//!
//! Precedence is defaults < file < environment < flags. [`table`] is the one place that knows the
//! keys, their defaults and their bounds; [`sources`] finds where a value was given; [`value`]
//! types it by its key. A key that is not known is refused by name, and so is one that would have
//! no effect: nothing that an operator writes is silently ignored.
//!
//! [`Config`] is plain data. No other room imports it: `app` fills each room's own settings.

mod sources;
mod table;
mod value;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::FixedOffset;
use ipnet::IpNet;

use crate::{
    domain::{
        container::Container, forbidden_stream::ForbidScope, limits::Limits,
        publish_auth::Fallback, rate_limit::RateLimit, stream::DomainName,
    },
    media::hls::SegmentType,
};

pub use sources::{ConfigError, Sources};
pub use value::{BaseUrl, DatabaseUrl, Secret, parse_duration};

/// Prefix of the environment variables that are read.
pub const VARIABLE_PREFIX: &str = "LIVEREC__";

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Journals, node id, credentials, and by default database and products.
    pub data_dir: PathBuf,
    /// The RTMP side.
    pub rtmp: Rtmp,
    /// The HTTP side.
    pub http: Http,
    /// The vendor-compatible API.
    pub api: Api,
    /// Where rows live.
    pub database: DatabaseUrl,
    /// The journal.
    pub journal: Journal,
    /// Room on the disk of the journals.
    pub disk: Disk,
    /// What is recorded.
    pub record: Record,
    /// HLS products.
    pub hls: Hls,
    /// Who may publish.
    pub publish: Publish,
    /// Where products live.
    pub storage: Storage,
    /// Callbacks to customers.
    pub callback: Callback,
    /// Section `limits`: rows of each kind.
    pub limits: Limits,
    /// Longest time between SIGTERM and exit.
    pub shutdown_grace: Duration,
    /// Logs.
    pub log: Log,
}

/// Section `rtmp`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rtmp {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The push domain of pushes that name no registered one.
    pub default_domain: DomainName,
    /// Whether an unsigned push over loopback may be accepted.
    pub trust_loopback: bool,
    /// A connection that sends nothing for this long is closed.
    pub idle_timeout: Duration,
    /// A connection must have published within this time.
    pub handshake_timeout: Duration,
    /// Connections at the same time.
    pub max_connections: usize,
    /// Largest RTMP message accepted, in bytes.
    pub max_message_bytes: usize,
    /// What a newer publisher of the same name does to the older one.
    pub takeover: Takeover,
    /// Whether every connection begins with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// RTMPS beside it.
    pub tls: Option<Tls>,
}

/// Sections `rtmp.tls` and `http.tls`: a socket that speaks TLS.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate chain in PEM, the server's own first.
    pub cert: PathBuf,
    /// Private key in PEM.
    pub key: PathBuf,
}

/// `rtmp.takeover`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// A newer publisher that may publish replaces the older one at once.
    Always,
}

/// Section `publish`.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish {
    /// What ForbidLiveStream looks at.
    pub forbid_scope: ForbidScope,
    /// Whom to ask before a publish begins; the URL may hold a secret.
    pub auth_url: Option<Secret>,
    /// Key of the signature of that question; `None` leaves it unsigned.
    pub auth_key: Option<Secret>,
    /// What becomes of a publish when there is no answer.
    pub auth_fail: Fallback,
}

/// Section `http`.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How clients reach this server; `None` is worked out from the bound address.
    pub public_url: Option<BaseUrl>,
    /// Proxies whose word about the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// HTTPS beside it.
    pub tls: Option<Tls>,
}

/// Section `api`.
#[derive(Debug, Clone, PartialEq)]
pub struct Api {
    /// The key pair; `None` is generated on first start.
    pub credentials: Option<Credentials>,
    /// Opens the keys that the database holds; `None` is kept in the data directory.
    pub master_key: Option<Secret>,
    /// The account number that events and ids carry.
    pub app_id: i64,
    /// How far a request's timestamp may be from our clock.
    pub clock_skew: Duration,
    /// Requests a second of a key that differ from the vendor's.
    pub rate_limits: Vec<RateLimit>,
    /// What a parameter that the action does not know leads to.
    pub unknown_parameters: UnknownParameters,
    /// Zone of the vendor's local times.
    pub utc_offset: FixedOffset,
}

/// `api.secret_id` and `api.secret_key`.
#[derive(Debug, Clone, PartialEq)]
pub struct Credentials {
    /// Travels in every request.
    pub secret_id: String,
    /// Signs requests.
    pub secret_key: Secret,
}

/// `api.unknown_parameters`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownParameters {
    /// The vendor's `UnknownParameter`.
    Reject,
    /// Leave them aside.
    Ignore,
}

/// Section `journal`.
#[derive(Debug, Clone, PartialEq)]
pub struct Journal {
    /// A power loss costs at most this much more than a crash.
    pub sync_interval: Duration,
    /// How long a journal is kept after its last product was stored.
    pub retention: Duration,
    /// Bytes kept of a stream that nothing records.
    pub unclaimed_max_bytes: u64,
    /// A publisher whose journal the disk does not take for so long is disconnected.
    pub stall_timeout: Duration,
}

/// Section `disk`.
#[derive(Debug, Clone, PartialEq)]
pub struct Disk {
    /// Warn below so many free bytes; `None` follows the size of the disk.
    pub warn_free_bytes: Option<u64>,
    /// Refuse new publishes below so many free bytes; `None` follows the size of the disk.
    pub refuse_free_bytes: Option<u64>,
}

/// Section `record`.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Container of a record task whose template says nothing.
    pub default_task_format: Container,
    /// How old the last keyframe may be for a recording to start at it.
    pub max_preroll: Duration,
    /// How long an FLV, MP4 or AAC recording waits for its stream to come back; whole seconds.
    pub resume_window: Duration,
}

/// Section `hls`.
#[derive(Debug, Clone, PartialEq)]
pub struct Hls {
    /// A segment ends at the first keyframe at or after this much media.
    pub segment_duration: Duration,
    /// What the media segments are.
    pub segment_type: SegmentType,
    /// Whether a recording has a playlist while it still grows.
    pub live_playlist: bool,
}

/// Section `storage`.
#[derive(Debug, Clone, PartialEq)]
pub enum Storage {
    /// A directory.
    Local {
        /// Its path.
        dir: PathBuf,
    },
    /// An S3-compatible server.
    S3(Box<S3>),
}

/// Section `storage.s3`.
#[derive(Debug, Clone, PartialEq)]
pub struct S3 {
    /// `http://` or `https://`, host and port.
    pub endpoint: BaseUrl,
    /// Region named in signatures.
    pub region: String,
    /// Bucket, which must exist.
    pub bucket: String,
    /// Put before every key, as it is.
    pub prefix: String,
    /// Access key id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// Bucket in the path instead of the host name.
    pub path_style: bool,
    /// Bytes of a part of a multipart upload.
    pub part_bytes: u64,
    /// How long a request may go without an answer; one with a body may take longer by its size.
    pub timeout: Duration,
}

/// Section `callback`.
#[derive(Debug, Clone, PartialEq)]
pub struct Callback {
    /// Longest time for one delivery, connect to last byte.
    pub timeout: Duration,
    /// Pause before the next try.
    pub retry_interval: Duration,
    /// Tries after the first.
    pub max_retries: u32,
    /// Receivers inside these networks are never called.
    pub deny_networks: Vec<IpNet>,
}

/// Section `log`.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// A level or a whole filter of `tracing`, such as `info,liverec::ingest=debug`.
    pub level: String,
    /// Shape of a line.
    pub format: LogFormat,
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Merges the sources and checks everything that can be checked without touching anything.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut reader = sources.read()?;
        let config = table::read(&mut reader)?;
        reader.finish()?;
        Ok(config)
    }

    /// What the program uses when nothing is configured.
    pub fn builtin() -> Result<Self, ConfigError> {
        Self::load(&Sources::default())
    }
}

impl Storage {
    fn default_dir(data_dir: &Path) -> PathBuf {
        data_dir.join("vod")
    }
}
