//! Finds the push domain of a publish: an explicit name first, then the host of `tcUrl`.
//!
//! `vhost` and `domain` parameters are explicit wherever they stand (stream key, query of `tcUrl`,
//! query of the application): they must agree and must be registered. The host says little, since
//! encoders put an address there as often as a name, so only the host falls back.

use std::{borrow::Cow, net::IpAddr};

use percent_encoding::percent_decode_str;

use super::{Policy, PublishRequest, PushDomain, Refusal};
use crate::domain::{snapshot::Snapshot, stream::DomainName};

/// The registered domain that a publish belongs to, enabled or not.
pub fn resolve<'s>(
    snapshot: &'s Snapshot,
    request: &PublishRequest<'_>,
    policy: &Policy,
) -> Result<&'s PushDomain, Refusal> {
    let unknown = |name: &str| Refusal::UnknownDomain(name.to_owned());
    if let Some(name) = named([request.key, request.tc_url, request.app].map(query))? {
        return snapshot.push_domains.get(&name).ok_or_else(|| unknown(name.as_str()));
    }
    let by_host = host(request.tc_url)
        .and_then(|host| DomainName::parse(host).ok())
        .filter(|name| name.as_str() != "localhost" && name.as_str().parse::<IpAddr>().is_err())
        .and_then(|name| snapshot.push_domains.get(&name));
    let default = &policy.default_domain;
    by_host.or_else(|| snapshot.push_domains.get(default)).ok_or_else(|| unknown(default.as_str()))
}

/// The domain that the parameters behind the `?` of a stream key name, registered or not.
///
/// # Errors
/// [`Refusal::UnknownDomain`] for a name that no domain can have, [`Refusal::ConflictingDomains`].
pub fn domain_of_param(stream_param: &str) -> Result<Option<DomainName>, Refusal> {
    named([stream_param])
}

/// The one domain that some queries name.
fn named<'t>(queries: impl IntoIterator<Item = &'t str>) -> Result<Option<DomainName>, Refusal> {
    let mut explicit: Option<DomainName> = None;
    for text in queries.into_iter().flat_map(explicit_names) {
        let name = DomainName::parse(&text)
            .map_err(|_| Refusal::UnknownDomain(text.clone().into_owned()))?;
        match &explicit {
            Some(first) if *first != name => {
                return Err(Refusal::ConflictingDomains(first.to_string(), name.to_string()));
            }
            _ => explicit = Some(name),
        }
    }
    Ok(explicit)
}

/// What stands behind the first `?`.
fn query(text: &str) -> &str {
    text.split_once('?').map_or("", |(_, query)| query)
}

/// Values of the `vhost` and `domain` parameters of a query; empty ones name nothing.
fn explicit_names(query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    parameters(query)
        .filter(|(name, value)| matches!(*name, "vhost" | "domain") && !value.is_empty())
        .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy())
}

/// Name and raw value of every parameter of a query.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Host and port of an address such as `rtmp://user@host:port/app?query`; IPv6 addresses are left out.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (!host.starts_with('[')).then_some(host)
}
