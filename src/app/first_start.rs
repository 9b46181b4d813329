//! What a new operator is told: the key pair, once, and where to push.

use std::net::SocketAddr;

use crate::{
    domain::{push_domain::PushKeys, push_url::PushUrl, snapshot::Snapshot, stream::DomainName},
    reach,
};

/// Seconds for which the printed stream key is valid.
const KEY_LIFE_S: i64 = 24 * 3600;

/// The text for standard output; `None` when there is nothing new to say.
pub fn greeting(
    is_first: bool,
    new_credentials: Option<(&str, &str)>,
    snapshot: &Snapshot,
    default_domain: &DomainName,
    rtmp: SocketAddr,
    public_url: &str,
    now_ms: i64,
) -> Option<String> {
    let mut text = String::new();
    if let Some((id, key)) = new_credentials {
        text.push_str(&format!(
            "API key pair (kept in credentials.toml, shown once):\n  secret_id  {id}\n  secret_key {key}\n  endpoint   {public_url}\n"
        ));
    }
    if is_first {
        let keys: Option<&PushKeys> =
            snapshot.push_domains.get(default_domain).and_then(|d| d.keys.as_ref());
        if let Some(keys) = keys {
            let expires_s = now_ms.div_euclid(1000).saturating_add(KEY_LIFE_S);
            let host = reach::url_host(reach::reachable_ip(rtmp.ip()));
            // The host is an address, which means the default domain: the key need not name it.
            let mut url = PushUrl::new(&host, rtmp.port(), "live", "test", None);
            url.sign(&keys.master, "test", expires_s);
            text.push_str(&format!(
                "Push from OBS (valid for 24 h):\n  Server     {}\n  Stream Key {}\nor with ffmpeg:\n  {}\n",
                url.server,
                url.stream_key,
                url.ffmpeg_command()
            ));
        }
    }
    (!text.is_empty()).then(|| text.trim_end().to_owned())
}
