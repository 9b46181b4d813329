//! One attempt: a POST to a receiver, and where it may never go.
//!
//! The denied networks are checked on every hop, and for names where a connection is really made, on
//! the resolved address that is then connected to, so that no name and no change of a name leads
//! around them. Redirects are followed only by 307 and 308, which keep method and body, and only to
//! where they came from: the same scheme, host and port, or from http to https on the same host.
//! Proxy variables of the environment are ignored.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use reqwest::{
    Client, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, LOCATION},
    redirect,
};
use tokio::time::timeout;
use url::{Host, Url};

use crate::domain::denied_networks::Denied;

/// Bytes of an answer that are read before the connection is closed; they go into the log only.
const MAX_ANSWER_BYTES: usize = 4096;
/// Longest answer to a question, which is read to its end.
const MAX_REPLY_BYTES: usize = 64 << 10;
/// How long an answer's status waits for the rest of it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// Redirects followed by one attempt.
const MAX_REDIRECTS: usize = 3;

/// Why an event was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The receiver's address is in a denied network.
    #[error("{0} is in callback.deny_networks")]
    Denied(IpAddr),
    /// Anything but HTTP 200.
    #[error("HTTP {status}")]
    Status {
        /// The status.
        status: u16,
        /// The beginning of the answer's body.
        answer: String,
    },
    /// A redirect that is not followed.
    #[error("HTTP {status}: {why}")]
    Redirect {
        /// The status.
        status: u16,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No connection, TLS, malformed answer, unusable URL.
    #[error("{0}")]
    Transport(String),
}

impl Failure {
    /// ResultCode of the delivery log: the HTTP status, or 1 without an answer, 2 without one in
    /// time, 3 where none was asked for.
    pub fn code(&self) -> i64 {
        match self {
            Failure::Transport(_) => 1,
            Failure::Timeout(_) => 2,
            Failure::Denied(_) => 3,
            Failure::Status { status, .. } | Failure::Redirect { status, .. } => i64::from(*status),
        }
    }
}

/// What is posted.
pub struct Message {
    /// A JSON body.
    pub body: Vec<u8>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

/// The client for all receivers.
pub struct Receivers {
    client: Client,
    denied: Arc<Denied>,
    timeout: Duration,
}

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
        let denied = Arc::new(Denied::new(denied));
        let builder = || {
            Client::builder()
                .user_agent(concat!("liverec/", env!("CARGO_PKG_VERSION")))
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

    /// Posts a message; accepted is HTTP 200 and nothing else, whatever its body says. Answers the
    /// beginning of that body.
    pub async fn post(&self, url: &str, message: &Message) -> Result<String, Failure> {
        let url = Url::parse(url).map_err(|e| Failure::Transport(format!("unusable URL: {e}")))?;
        // Over names, connections, redirects and the request together.
        let sent = timeout(self.timeout, self.follow(url, message)).await;
        let answer = sent.map_err(|_| Failure::Timeout(self.timeout))??;
        let status = answer.status();
        let text = beginning_of(answer).await;
        match status {
            StatusCode::OK => Ok(text),
            status => Err(Failure::Status { status: status.as_u16(), answer: text }),
        }
    }

    /// Posts a message to whoever is asked something: the status and the whole answer, which is here
    /// in time and not long, or there is none.
    pub async fn ask(&self, url: &str, message: &Message) -> Result<(u16, String), Failure> {
        let url = Url::parse(url).map_err(|e| Failure::Transport(format!("unusable URL: {e}")))?;
        let asked = async {
            let mut answer = self.follow(url, message).await?;
            let mut bytes = Vec::new();
            while let Some(block) = answer.chunk().await.map_err(failure)? {
                bytes.extend_from_slice(&block);
                if bytes.len() > MAX_REPLY_BYTES {
                    let why = format!("the answer is longer than {MAX_REPLY_BYTES} bytes");
                    return Err(Failure::Transport(why));
                }
            }
            Ok((answer.status().as_u16(), String::from_utf8_lossy(&bytes).into_owned()))
        };
        timeout(self.timeout, asked).await.map_err(|_| Failure::Timeout(self.timeout))?
    }

    async fn follow(&self, mut url: Url, message: &Message) -> Result<Response, Failure> {
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send(url.clone(), message).await?;
            let status = answer.status();
            if status != StatusCode::TEMPORARY_REDIRECT && status != StatusCode::PERMANENT_REDIRECT
            {
                return Ok(answer);
            }
            let refused = |why| Failure::Redirect { status: status.as_u16(), why };
            let target = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let target = target.and_then(|text| url.join(text).ok());
            let target = target.ok_or_else(|| refused("it names no place"))?;
            if !is_same_place(&url, &target) {
                return Err(refused("it leads to another host"));
            }
            url = target;
        }
        Err(Failure::Transport(format!("redirected more than {MAX_REDIRECTS} times")))
    }

    async fn send(&self, url: Url, message: &Message) -> Result<Response, Failure> {
        // Literal addresses are never resolved.
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain(_)) | None => None,
        };
        if let Some(ip) = literal.filter(|ip| self.denied.contains(*ip)) {
            return Err(Failure::Denied(ip));
        }
        let mut request = self.client.post(url).header(CONTENT_TYPE, "application/json");
        for (name, value) in &message.headers {
            request = request.header(*name, value.as_str());
        }
        request.body(message.body.clone()).send().await.map_err(failure)
    }
}

/// Reads a little, for the log and so that an ordinary receiver sees its answer taken.
async fn beginning_of(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    let rest = async {
        while let Ok(Some(block)) = answer.chunk().await {
            let room = MAX_ANSWER_BYTES.saturating_sub(bytes.len());
            bytes.extend(block.iter().take(room));
            if block.len() >= room {
                break;
            }
        }
    };
    let _ = timeout(ANSWER_PATIENCE, rest).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a redirect may be followed.
fn is_same_place(from: &Url, to: &Url) -> bool {
    if from.host() != to.host() {
        return false;
    }
    match (from.scheme(), to.scheme()) {
        ("http", "http") | ("https", "https") => {
            from.port_or_known_default() == to.port_or_known_default()
        }
        ("http", "https") => to.port().is_none(),
        _ => false,
    }
}

fn failure(error: reqwest::Error) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let mut innermost = String::new();
    while let Some(inner) = cause {
        if let Some(DeniedAddress(ip)) = inner.downcast_ref() {
            return Failure::Denied(*ip);
        }
        innermost = inner.to_string();
        cause = inner.source();
    }
    // The URL may hold a secret; the innermost cause says what really happened.
    Failure::Transport(format!("{}: {innermost}", error.without_url()))
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

    fn empty() -> Message {
        Message { body: Vec::new(), headers: Vec::new() }
    }

    #[tokio::test]
    async fn denied_networks_are_reached_by_no_spelling() {
        let receivers = receivers(&["127.0.0.0/8", "::1/128", "169.254.0.0/16"]);
        for url in [
            "http://127.0.0.1:1/",
            "http://2130706433:1/",
            "http://0x7f.1:1/",
            "http://0:1/",
            "http://[::1]:1/",
            "http://[::ffff:169.254.169.254]/",
            "http://localhost:1/",
        ] {
            let failure = receivers.post(url, &empty()).await.unwrap_err();
            assert!(matches!(failure, Failure::Denied(_)), "{url}: {failure}");
        }
    }

    #[tokio::test]
    async fn what_failed_is_said_without_the_url() {
        let receivers = receivers(&[]);
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{closed}/?token=secret");
        let failure = receivers.post(&url, &empty()).await.unwrap_err();
        assert!(matches!(failure, Failure::Transport(_)), "{failure}");
        assert!(failure.to_string().contains("refused"), "{failure}");
        assert!(!failure.to_string().contains("secret"), "{failure}");
        assert!(receivers.post("no url", &empty()).await.is_err());
    }

    #[test]
    fn redirects_stay_where_they_are() {
        let same = |from: &str, to: &str| {
            let from = Url::parse(from).unwrap();
            is_same_place(&from, &from.join(to).unwrap())
        };
        for (from, to) in [
            ("http://a/x", "/y"),
            ("http://a:80/x", "http://A/y"),
            ("http://a:8080/", "http://a:8080/y"),
            ("http://a:8080/", "https://a/"),
        ] {
            assert!(same(from, to), "{from} {to}");
        }
        for (from, to) in [
            ("http://a/", "http://b/"),
            ("http://a/", "//169.254.169.254/"),
            ("http://a/", "http://a:81/"),
            ("http://a/", "https://a:8443/"),
            ("https://a/", "http://a/"),
            ("http://a/", "ftp://a/"),
        ] {
            assert!(!same(from, to), "{from} {to}");
        }
    }
}
