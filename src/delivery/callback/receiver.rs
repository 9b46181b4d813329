//! One attempt: a POST to a receiver, and where it may never go.
//!
//! The denied networks are checked where a connection is really made, on the resolved address, so
//! that no name and no change of a name leads around them.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use reqwest::{
    Client, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::CONTENT_TYPE,
    redirect,
};
use tokio::time::timeout;
use url::{Host, Url};

/// Bytes of an answer that are read before the connection is closed; nothing is done with them.
const MAX_ANSWER_BYTES: usize = 4096;
/// How long an accepted event waits for the rest of its answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// Why an event was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The receiver's address is in a denied network.
    #[error("{0} is in callback.deny_networks")]
    Denied(IpAddr),
    /// Anything but HTTP 200.
    #[error("HTTP {0}")]
    Status(u16),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No connection, TLS, malformed answer, unusable URL.
    #[error("{0}")]
    Transport(String),
}

/// The client for all receivers.
pub struct Receivers {
    client: Client,
    denied: Arc<Denied>,
    timeout: Duration,
}

struct Denied(Vec<IpNet>);

/// Carried through the client's errors from the resolver.
#[derive(Debug, thiserror::Error)]
#[error("{0} is denied")]
struct DeniedAddress(IpAddr);

impl Receivers {
    /// Makes the client. Without any CA certificate on the machine it still reaches `http`
    /// receivers, and `https` ones fail one by one.
    pub fn new(timeout: Duration, denied: Vec<IpNet>) -> Result<Self, reqwest::Error> {
        // Err means that there is one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let denied = Arc::new(Denied(denied));
        let builder = || {
            Client::builder()
                .user_agent(concat!("liverec/", env!("CARGO_PKG_VERSION")))
                .timeout(timeout)
                .redirect(redirect::Policy::none())
                .no_proxy()
                // A kept connection that the receiver closes at the wrong moment costs an event
                // a whole retry interval; there are few events.
                .pool_max_idle_per_host(0)
                .dns_resolver(Resolver(Arc::clone(&denied)))
        };
        let client = builder().build().or_else(|error| {
            tracing::warn!(%error, "callbacks to https receivers will fail: no CA certificates");
            builder().tls_certs_only([]).build()
        })?;
        Ok(Self { client, denied, timeout })
    }

    /// Posts a JSON body; accepted is HTTP 200 and nothing else.
    pub async fn post(&self, url: &str, body: Vec<u8>) -> Result<(), Failure> {
        let url = Url::parse(url).map_err(|e| Failure::Transport(format!("unusable URL: {e}")))?;
        // Literal addresses are never resolved.
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain(_)) | None => None,
        };
        if let Some(ip) = literal.filter(|ip| self.denied.contains(*ip)) {
            return Err(Failure::Denied(ip));
        }
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
        let mut answer = request.send().await.map_err(|error| self.failure(error))?;
        let status = answer.status();
        // Read a little, so that an ordinary receiver sees its answer taken.
        let rest = async {
            let mut bytes = 0;
            while let Ok(Some(block)) = answer.chunk().await {
                bytes += block.len();
                if bytes > MAX_ANSWER_BYTES {
                    break;
                }
            }
        };
        let _ = timeout(ANSWER_PATIENCE, rest).await;
        if status == StatusCode::OK { Ok(()) } else { Err(Failure::Status(status.as_u16())) }
    }

    fn failure(&self, error: reqwest::Error) -> Failure {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        let mut innermost = String::new();
        while let Some(inner) = cause {
            if let Some(DeniedAddress(ip)) = inner.downcast_ref() {
                return Failure::Denied(*ip);
            }
            innermost = inner.to_string();
            cause = inner.source();
        }
        if error.is_timeout() {
            return Failure::Timeout(self.timeout);
        }
        // The URL may hold a secret; the innermost cause says what really happened.
        Failure::Transport(format!("{}: {innermost}", error.without_url()))
    }
}

impl Denied {
    fn contains(&self, ip: IpAddr) -> bool {
        // ::ffff:169.254.169.254 is the same place as 169.254.169.254.
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }
}

struct Resolver(Arc<Denied>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let denied = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (denied, allowed): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|address| denied.contains(address.ip()));
            match denied.first() {
                Some(first) if allowed.is_empty() => Err(DeniedAddress(first.ip()).into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receivers(denied: &[&str]) -> Receivers {
        let denied = denied.iter().map(|n| n.parse().unwrap()).collect();
        Receivers::new(Duration::from_secs(20), denied).unwrap()
    }

    #[tokio::test]
    async fn denied_networks_are_reached_by_no_spelling() {
        let receivers = receivers(&["127.0.0.0/8", "::1/128", "169.254.0.0/16"]);
        for url in [
            "http://127.0.0.1:1/",
            "http://2130706433:1/",
            "http://0x7f.1:1/",
            "http://[::1]:1/",
            "http://[::ffff:169.254.169.254]/",
            "http://localhost:1/",
        ] {
            let failure = receivers.post(url, Vec::new()).await.unwrap_err();
            assert!(matches!(failure, Failure::Denied(_)), "{url}: {failure}");
        }
    }

    #[tokio::test]
    async fn what_failed_is_said_without_the_url() {
        let receivers = receivers(&[]);
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{closed}/?token=secret");
        let failure = receivers.post(&url, Vec::new()).await.unwrap_err();
        assert!(matches!(failure, Failure::Transport(_)), "{failure}");
        assert!(failure.to_string().contains("refused"), "{failure}");
        assert!(!failure.to_string().contains("secret"), "{failure}");
        assert!(receivers.post("no url", Vec::new()).await.is_err());
    }
}
