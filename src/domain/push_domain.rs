//! Push domains: which names are registered, with which push keys, and whether a publish may go on.
//!
//! Pure: a publish is decided from the snapshot in memory and a given time. First the domain is
//! found ([`resolve`]), then the signature is checked; spec live-api 12 and 13. How a push address
//! is made is [`super::push_url`].

mod resolve;
mod signature;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use self::signature::Verdict;
pub use self::{
    resolve::{domain_of_param, resolve},
    signature::SignatureError,
};
use super::{
    domain_limits::DomainLimits,
    forbidden_stream::{ForbidScope, is_forbidden},
    snapshot::Snapshot,
    stream::{AppName, DomainName, NameError, StreamName, StreamPath},
};

/// A registered push domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushDomain {
    /// Canonical name.
    pub name: DomainName,
    /// False after ForbidLiveDomain: every push is refused.
    pub enabled: bool,
    /// Keys of its own; `None` uses those of the default domain.
    pub keys: Option<PushKeys>,
    /// Whether AddLiveDomain said so; shown only.
    pub is_delay_live: bool,
    /// Whether AddLiveDomain said so; shown only.
    pub is_mini_program: bool,
    /// Unix milliseconds.
    pub created_ms: i64,
}

impl PushDomain {
    /// An enabled domain with these keys, registered at `created_ms` (unix milliseconds).
    pub fn new(name: DomainName, keys: Option<PushKeys>, created_ms: i64) -> Self {
        Self { name, enabled: true, keys, is_delay_live: false, is_mini_program: false, created_ms }
    }
}

/// What ModifyLivePushAuthKey sets (spec live-api 12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushKeys {
    /// Whether pushes must be signed at all.
    pub enabled: bool,
    /// Primary key.
    pub master: String,
    /// Backup key; empty if none.
    pub backup: String,
    /// Seconds of clock grace after txTime.
    pub delta_s: i64,
}

/// What a publisher asks for, as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishRequest<'a> {
    /// `app` of the connect command, with its query if it came with one.
    pub app: &'a str,
    /// `tcUrl` of the connect command; empty if it was not sent.
    pub tc_url: &'a str,
    /// Stream key: StreamName, and behind the first `?` the parameters.
    pub key: &'a str,
    /// Address of the publisher.
    pub peer: IpAddr,
    /// Address it connected to.
    pub local: IpAddr,
    /// Whether both are what a balancer says: such an address is never taken for this machine's.
    pub is_forwarded: bool,
}

/// The configuration that decides beside the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The domain of a publisher that names none we know.
    pub default_domain: DomainName,
    /// Whether loopback publishers may come without a signature.
    pub trust_loopback: bool,
    /// What a ban looks at.
    pub forbid_scope: ForbidScope,
}

/// A publish that may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorised {
    /// The stream.
    pub path: StreamPath,
    /// The stream key behind its first `?`, as received; empty if there is none.
    pub stream_param: String,
    /// True when a valid signature was given.
    pub signed: bool,
    /// What the domain's pushes may take.
    pub limits: DomainLimits,
}

/// Why a publish may not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The application or the stream name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A domain was named that is not registered, or the default domain is not.
    #[error("push domain {0:?} is not registered")]
    UnknownDomain(String),
    /// Two different domains were named.
    #[error("push domains {0:?} and {1:?} are both named")]
    ConflictingDomains(String, String),
    /// The domain was forbidden through the API.
    #[error("push domain {0} is disabled")]
    DisabledDomain(DomainName),
    /// Neither the domain nor the default domain has a key to check with.
    #[error("push domain {0} has no push key")]
    NoKey(DomainName),
    /// The stream was forbidden through the API.
    #[error("stream {0:?} may not be pushed at the moment")]
    Forbidden(String),
    /// The domain's hours of this month are used up.
    #[error("the {hours} h that push domain {domain} has in a month are used up")]
    HoursUsedUp {
        /// Which.
        domain: DomainName,
        /// Its hours.
        hours: i64,
    },
    /// There is no signature, or it is not valid.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Refusal {
    /// Stable label for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Name(_) => "invalid_name",
            Refusal::UnknownDomain(_) => "unknown_domain",
            Refusal::ConflictingDomains(..) => "conflicting_domains",
            Refusal::DisabledDomain(_) => "disabled_domain",
            Refusal::NoKey(_) => "no_key",
            Refusal::Forbidden(_) => "forbidden",
            Refusal::HoursUsedUp { .. } => "domain_hours",
            Refusal::Signature(SignatureError::Missing) => "unsigned",
            Refusal::Signature(SignatureError::MissingTime | SignatureError::MalformedTime(_)) => {
                "bad_time"
            }
            Refusal::Signature(SignatureError::Expired { .. }) => "expired",
            Refusal::Signature(SignatureError::Mismatch) => "bad_signature",
        }
    }

    /// True when what was named is wrong rather than who asks.
    pub fn is_bad_name(&self) -> bool {
        matches!(
            self,
            Refusal::Name(_) | Refusal::UnknownDomain(_) | Refusal::ConflictingDomains(..)
        )
    }
}

/// Decides whether a publish may go on. `now_s` is unix seconds.
pub fn authorise(
    snapshot: &Snapshot,
    request: &PublishRequest<'_>,
    policy: &Policy,
    now_s: i64,
) -> Result<Authorised, Refusal> {
    let (stream, stream_param) = request.key.split_once('?').unwrap_or((request.key, ""));
    let (app, _) = request.app.split_once('?').unwrap_or((request.app, ""));
    let domain = resolve(snapshot, request, policy)?;
    let path = StreamPath {
        domain: domain.name.clone(),
        app: AppName::parse(app.trim_end_matches('/'))?,
        stream: StreamName::parse(stream)?,
    };
    if !domain.enabled {
        return Err(Refusal::DisabledDomain(domain.name.clone()));
    }
    let keys = keys_of(snapshot, domain, policy);
    let signed = match signature::verify(keys, path.stream.as_str(), stream_param, now_s) {
        Verdict::Valid => true,
        Verdict::Invalid(_) if keys.is_some_and(|keys| !keys.enabled) => false,
        Verdict::Absent if keys.is_some_and(|keys| !keys.enabled) => false,
        Verdict::Absent if is_trusted(domain, request, policy) => false,
        Verdict::Absent => return Err(SignatureError::Missing.into()),
        Verdict::Invalid(error) => return Err(error.into()),
        Verdict::NoKey => return Err(Refusal::NoKey(domain.name.clone())),
    };
    // Last, so that only who may push learns of it.
    let now_ms = now_s.saturating_mul(1000);
    if is_forbidden(&snapshot.forbidden_streams, &path, policy.forbid_scope, now_ms) {
        return Err(Refusal::Forbidden(path.stream.as_str().to_owned()));
    }
    let pushed_ms = snapshot.pushed_ms.get(&path.domain).copied().unwrap_or(0);
    let limits = limits_of(snapshot, &path.domain, pushed_ms)?;
    Ok(Authorised { path, stream_param: stream_param.to_owned(), signed, limits })
}

/// Whose push keys a domain's publishes are checked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySource {
    /// The domain's own.
    Own,
    /// Those of the default domain.
    Default,
    /// It has keys, or inherits them, that are switched off: publishes need no signature.
    Off,
    /// There are none: no publish is taken but a trusted one.
    None,
}

impl KeySource {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            KeySource::Own => "own",
            KeySource::Default => "default",
            KeySource::Off => "off",
            KeySource::None => "none",
        }
    }
}

/// Whose push keys the publishes of a domain are checked with.
pub fn key_source(snapshot: &Snapshot, domain: &DomainName, policy: &Policy) -> KeySource {
    let Some(domain) = snapshot.push_domains.get(domain) else { return KeySource::None };
    match keys_of(snapshot, domain, policy) {
        None => KeySource::None,
        Some(keys) if !keys.enabled => KeySource::Off,
        Some(_) if domain.keys.is_some() => KeySource::Own,
        Some(_) => KeySource::Default,
    }
}

/// Whether a publisher on this very machine may push to a domain without a signature.
pub fn trusts_loopback(snapshot: &Snapshot, domain: &DomainName, policy: &Policy) -> bool {
    let domain = snapshot.push_domains.get(domain);
    policy.trust_loopback && domain.is_some_and(|domain| leaves_room(domain, policy))
}

/// Everything that stands against a publish of `path` from elsewhere at `at_ms` (unix milliseconds),
/// where [`authorise`] stops at the first. `stream_param` is what stands behind the `?` of the stream
/// key; without it no signature is looked at. `pushed_ms` is how much was pushed to the domain in the
/// month of that moment before it, in milliseconds.
pub fn refusals(
    snapshot: &Snapshot,
    path: &StreamPath,
    stream_param: Option<&str>,
    policy: &Policy,
    at_ms: i64,
    pushed_ms: i64,
) -> Vec<Refusal> {
    let mut found: Vec<Refusal> =
        path.check_pushable().err().map(Refusal::Name).into_iter().collect();
    let Some(domain) = snapshot.push_domains.get(&path.domain) else {
        found.push(Refusal::UnknownDomain(path.domain.as_str().to_owned()));
        return found;
    };
    if !domain.enabled {
        found.push(Refusal::DisabledDomain(domain.name.clone()));
    }
    match keys_of(snapshot, domain, policy) {
        None => found.push(Refusal::NoKey(domain.name.clone())),
        Some(keys) if keys.enabled && stream_param.is_some() => {
            let (param, now_s) = (stream_param.unwrap_or(""), at_ms.div_euclid(1000));
            match signature::verify(Some(keys), path.stream.as_str(), param, now_s) {
                Verdict::Invalid(error) => found.push(error.into()),
                Verdict::Absent => found.push(SignatureError::Missing.into()),
                Verdict::Valid | Verdict::NoKey => {}
            }
        }
        Some(_) => {}
    }
    if is_forbidden(&snapshot.forbidden_streams, path, policy.forbid_scope, at_ms) {
        found.push(Refusal::Forbidden(path.stream.as_str().to_owned()));
    }
    found.extend(limits_of(snapshot, &path.domain, pushed_ms).err());
    found
}

/// The limits of a domain, unless its hours are used up.
fn limits_of(
    snapshot: &Snapshot,
    domain: &DomainName,
    pushed_ms: i64,
) -> Result<DomainLimits, Refusal> {
    let limits = snapshot.domain_limits.get(domain).copied().unwrap_or_default();
    match limits.has_used_up(pushed_ms) {
        true => Err(Refusal::HoursUsedUp { domain: domain.clone(), hours: limits.hours }),
        false => Ok(limits),
    }
}

fn keys_of<'s>(
    snapshot: &'s Snapshot,
    domain: &'s PushDomain,
    policy: &Policy,
) -> Option<&'s PushKeys> {
    let default = snapshot.push_domains.get(&policy.default_domain);
    domain.keys.as_ref().or_else(|| default.and_then(|default| default.keys.as_ref()))
}

/// Whether a publisher without a signature is on this very machine and the domain leaves room for it.
fn is_trusted(domain: &PushDomain, request: &PublishRequest<'_>, policy: &Policy) -> bool {
    let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    policy.trust_loopback
        && !request.is_forwarded
        && is_loopback(request.peer)
        && is_loopback(request.local)
        && leaves_room(domain, policy)
}

/// Keys of its own say that the domain wants signatures of everybody; the default domain has some
/// from the start.
fn leaves_room(domain: &PushDomain, policy: &Policy) -> bool {
    domain.keys.is_none() || domain.name == policy.default_domain
}
