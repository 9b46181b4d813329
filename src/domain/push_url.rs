//! Push addresses: how an encoder is told where to push, and how a push is signed.
//!
//! Pure text. Which keys a domain has is [`super::push_domain`]; whether a signature is accepted
//! is decided where pushes arrive. Spec live-api 12.

use std::{fmt::Write, net::IpAddr};

use md5::{Digest, Md5};

use super::stream::DomainName;

/// `txTime`: the expiry as upper-case hexadecimal unix seconds.
pub fn tx_time(expires_s: i64) -> String {
    format!("{expires_s:X}")
}

/// `txSecret`: lower-case hexadecimal MD5 of key, stream name and the text of `txTime`.
pub fn tx_secret(key: &str, stream: &str, tx_time: &str) -> String {
    let mut hash = Md5::new();
    for part in [key, stream, tx_time] {
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// Where to push one stream, as an operator types it into an encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushUrl {
    /// OBS "Server": `rtmp://host[:port]/app`.
    pub server: String,
    /// OBS "Stream Key": stream name and parameters.
    pub stream_key: String,
}

impl PushUrl {
    /// `host` is a name or an address (IPv6 in brackets). `domain` names the push domain inside
    /// the stream key, for when the host does not.
    pub fn new(host: &str, port: u16, app: &str, stream: &str, domain: Option<&str>) -> Self {
        let server = match port {
            1935 => format!("rtmp://{host}/{app}"),
            port => format!("rtmp://{host}:{port}/{app}"),
        };
        let mut url = Self { server, stream_key: stream.to_owned() };
        if let Some(domain) = domain {
            url.add_parameter("domain", domain);
        }
        url
    }

    /// Adds a signature that is valid until `expires_s` (unix seconds).
    pub fn sign(&mut self, key: &str, stream: &str, expires_s: i64) {
        let time = tx_time(expires_s);
        self.add_parameter("txSecret", &tx_secret(key, stream, &time));
        self.add_parameter("txTime", &time);
    }

    fn add_parameter(&mut self, name: &str, value: &str) {
        let mark = if self.stream_key.contains('?') { '&' } else { '?' };
        // writing to a String cannot fail
        let _ = write!(self.stream_key, "{mark}{name}={value}");
    }

    /// Server and stream key in one, for encoders that take one address.
    pub fn full(&self) -> String {
        format!("{}/{}", self.server, self.stream_key)
    }

    /// A command that pushes 30 s of test picture and tone, ready to be pasted into a shell.
    pub fn ffmpeg_command(&self) -> String {
        format!(
            "ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 \
             -f lavfi -i sine=frequency=440:sample_rate=48000 -t 30 \
             -c:v libx264 -preset veryfast -pix_fmt yuv420p -g 60 -c:a aac -b:a 128k \
             -f flv {}",
            shell_quoted(&self.full())
        )
    }
}

/// The name that a stream key must carry so that a push to `host` belongs to `domain`; `None` if
/// the host says it already. A host that is an address, `localhost` or not registered means the
/// default domain.
pub fn explicit_domain<'a>(
    host: &str,
    domain: &'a DomainName,
    default_domain: &DomainName,
    is_registered: impl FnOnce(&DomainName) -> bool,
) -> Option<&'a str> {
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let name =
        DomainName::parse(host).ok().filter(|name| !is_address && name.as_str() != "localhost");
    let named = name.filter(is_registered);
    (named.as_ref().unwrap_or(default_domain) != domain).then_some(domain.as_str())
}

/// Double quotes where they are enough, else single quotes as POSIX shells read them.
fn shell_quoted(text: &str) -> String {
    if text.contains(['"', '$', '`', '\\', '!', '\'']) {
        format!("'{}'", text.replace('\'', r"'\''"))
    } else {
        format!("\"{text}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_specification_does() {
        assert_eq!(tx_time(1_795_430_636), "6B0418EC");
        let secret = |key, time| tx_secret(key, "livetest", time);
        assert_eq!(secret("PUSHKEYEXAMPLE", "6B0418EC"), "0a77540aef2de3351d87fab71cb7af1b");
        assert_eq!(secret("BACKUPKEYEXAMPLE", "6B0418EC"), "b635c3e6845f08ae2d00d1d7fbbfa66a");
        assert_eq!(secret("PUSHKEYEXAMPLE", "6b0418ec"), "3b8ac1fb802f7ad04b8ffa666b3c57e5");
    }

    #[test]
    fn builds_server_and_key() {
        let mut url = PushUrl::new("192.0.2.7", 1935, "live", "livetest", None);
        assert_eq!(url.full(), "rtmp://192.0.2.7/live/livetest");
        url.sign("PUSHKEYEXAMPLE", "livetest", 1_795_430_636);
        assert_eq!(url.server, "rtmp://192.0.2.7/live");
        assert_eq!(
            url.stream_key,
            "livetest?txSecret=0a77540aef2de3351d87fab71cb7af1b&txTime=6B0418EC"
        );
        let url = PushUrl::new("[::1]", 19350, "a/b", "s", Some("push.example.com"));
        assert_eq!(url.full(), "rtmp://[::1]:19350/a/b/s?domain=push.example.com");
    }

    #[test]
    fn a_domain_is_named_where_the_host_does_not() {
        fn explicit(host: &str, domain: &str) -> Option<String> {
            let name = |text: &str| DomainName::parse(text).unwrap();
            let is_registered = |n: &DomainName| n.as_str() == "push.example.com";
            explicit_domain(host, &name(domain), &name("live.local"), is_registered)
                .map(str::to_owned)
        }
        assert_eq!(explicit("192.0.2.7", "live.local"), None);
        assert_eq!(explicit("[::1]", "live.local"), None);
        assert_eq!(explicit("localhost", "live.local"), None);
        assert_eq!(explicit("recorder.lan", "live.local"), None);
        assert_eq!(explicit("push.example.com", "push.example.com"), None);
        assert_eq!(explicit("192.0.2.7", "push.example.com").unwrap(), "push.example.com");
        assert_eq!(explicit("push.example.com", "live.local").unwrap(), "live.local");
    }

    #[test]
    fn the_command_survives_a_shell() {
        let command = |stream| PushUrl::new("h", 1935, "live", stream, None).ffmpeg_command();
        assert!(command("a b&c").ends_with("-f flv \"rtmp://h/live/a b&c\""), "{}", command("a b"));
        assert!(command("$(x)'").ends_with(r"'rtmp://h/live/$(x)'\'''"), "{}", command("$(x)'"));
    }
}
