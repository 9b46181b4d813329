//! Settings of the S3 store and the client made of them: time-outs, retries, TLS, checksums.
//!
//! Nothing is read from the environment: no proxy variables, no AWS profile, no instance metadata.

use std::{fmt, time::Duration};

use aws_sdk_s3::{
    Client, Config,
    config::{
        self, BehaviorVersion, Credentials, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, SharedHttpClient, StalledStreamProtectionConfig,
        interceptors::InterceptorContext,
        retry::{ClassifyRetry, RetryAction, RetryConfig},
        timeout::TimeoutConfig,
    },
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use crate::storage::{Result, StorageError, StorageKey};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);

/// Slowest sending rate that is waited for, in bytes per second: 8 MiB get 94 s, 64 MiB 9 minutes.
const SLOWEST: u64 = 128 << 10;

/// First pause between the SDK's own attempts; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(300);

/// Longest prefix in bytes, so that with it no product's key exceeds 1024.
const MAX_PREFIX_BYTES: usize = 256;

/// `storage.s3`. Values come from the configuration; [`Debug`] hides the secret.
#[derive(Clone)]
pub struct S3Settings {
    /// `http://` or `https://` and host; `None` is AWS in `region`.
    pub endpoint: Option<String>,
    /// Region that requests are signed for.
    pub region: String,
    /// Bucket; must exist.
    pub bucket: String,
    /// Put in front of every key, with a slash between; may be empty.
    pub prefix: String,
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub path_style: bool,
    /// How long an attempt without a large body may take.
    pub timeout: Duration,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("access_key_id", &self.access_key_id)
            .field("path_style", &self.path_style)
            .finish_non_exhaustive()
    }
}

impl S3Settings {
    /// Refuses what no server could accept; answers the prefix, empty or with a slash at its end.
    pub(super) fn check(&self) -> Result<String> {
        let wrong = |setting: &str, why: &str| {
            let message = format!("storage.s3.{setting} {why}");
            Err(StorageError::Refused { action: "set up the S3 store", message })
        };
        if let Some(endpoint) = &self.endpoint {
            match url::Url::parse(endpoint) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {}
                _ => return wrong("endpoint", "is not an http:// or https:// URL"),
            }
        }
        let required = [
            ("region", &self.region),
            ("bucket", &self.bucket),
            ("access_key_id", &self.access_key_id),
            ("secret_access_key", &self.secret_access_key),
        ];
        for (setting, value) in required {
            if value.is_empty() {
                return wrong(setting, "is empty");
            }
        }
        let prefix = self.prefix.trim_matches('/');
        if prefix.is_empty() {
            return Ok(String::new());
        }
        if prefix.len() > MAX_PREFIX_BYTES {
            return wrong("prefix", "is longer than 256 bytes");
        }
        match StorageKey::parse(prefix) {
            Ok(prefix) => Ok(format!("{prefix}/")),
            Err(error) => wrong("prefix", &format!("is {error}")),
        }
    }

    /// Whether the endpoint is plain HTTP. AWS itself is not.
    pub(super) fn is_plain_http(&self) -> bool {
        self.endpoint
            .as_ref()
            .is_some_and(|url| url.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("http:")))
    }

    /// The client. Makes no connection.
    pub(super) fn client(&self) -> Client {
        let key =
            Credentials::new(&self.access_key_id, &self.secret_access_key, None, None, "liverec");
        let mut builder = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .credentials_provider(key)
            .force_path_style(self.path_style)
            .http_client(self.http_client())
            // OCI, ONTAP and older servers reject the checksum trailers that are the SDK's default.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // It ends transfers of servers that are merely slow; every attempt has its own limit.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .operation_attempt_timeout(self.timeout)
                    .build(),
            );
        if let Some(endpoint) = &self.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        Client::from_conf(builder.build())
    }

    /// Without TLS where none is needed: then a host without certificates is no obstacle either.
    fn http_client(&self) -> SharedHttpClient {
        if self.is_plain_http() {
            Builder::new().build_http()
        } else {
            Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
        }
    }
}

/// How often one operation is tried and how long each attempt may take.
pub(super) fn overrides(attempts: u32, attempt: Duration) -> config::Builder {
    Config::builder()
        .retry_config(
            RetryConfig::standard().with_max_attempts(attempts).with_initial_backoff(FIRST_PAUSE),
        )
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(attempt).build())
}

/// Tries again only what the store said that it has not done.
#[derive(Debug)]
pub(super) struct OnlyIfRefused;

impl ClassifyRetry for OnlyIfRefused {
    fn classify_retry(&self, attempt: &InterceptorContext) -> RetryAction {
        match attempt.response().map(|answer| answer.status().as_u16()) {
            Some(429 | 503) => RetryAction::NoActionIndicated,
            _ => RetryAction::RetryForbidden,
        }
    }

    fn name(&self) -> &'static str {
        "only if refused"
    }
}

/// How much longer an attempt that sends this many bytes may take.
pub(super) fn sending(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64 / SLOWEST)
}
