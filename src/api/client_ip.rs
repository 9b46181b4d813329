//! The address of a client, as far as it can be believed.
//!
//! The peer of the connection, unless that is a proxy of `http.trusted_proxies`: then the last
//! address in `X-Forwarded-For` that is none. What stands before it was written by somebody nobody
//! vouches for.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Most addresses looked at.
const MAX_HOPS: usize = 32;

/// The address of the client behind `peer`.
pub fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip.to_canonical()));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let values: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|value| value.to_str().unwrap_or("?"))
        .flat_map(|value| value.split(','))
        .collect();
    for hop in values.iter().rev().take(MAX_HOPS) {
        // What cannot be read was not written by a proxy that is to be believed.
        let Some(ip) = parse(hop.trim()) else { break };
        client = ip.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// An address, possibly with a port, possibly in brackets.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<IpNet> =
            ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        for (peer, lines, wanted) in [
            ("192.0.2.9", vec!["203.0.113.1"], "192.0.2.9"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["203.0.113.1"], "203.0.113.1"),
            ("::ffff:10.0.0.1", vec!["203.0.113.1"], "203.0.113.1"),
            ("10.0.0.1", vec!["198.51.100.7, 203.0.113.1, 10.9.9.9"], "203.0.113.1"),
            ("10.0.0.1", vec!["198.51.100.7", "203.0.113.1"], "203.0.113.1"),
            ("10.0.0.1", vec!["203.0.113.1:443"], "203.0.113.1"),
            ("fd00::1", vec!["[2001:db8::5]:80"], "2001:db8::5"),
            ("fd00::1", vec!["[2001:db8::5]"], "2001:db8::5"),
            ("10.0.0.1", vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", vec!["203.0.113.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", vec!["203.0.113.1, x, 10.0.0.2"], "10.0.0.2"),
        ] {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let found = client_ip(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found.to_string(), wanted, "{peer} {lines:?}");
        }
    }
}
