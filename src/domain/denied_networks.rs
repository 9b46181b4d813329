//! Addresses that are never connected to, however they are spelled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use url::{Host, Url};

/// `callback.deny_networks`.
pub struct Denied(Vec<IpNet>);

impl Denied {
    /// For these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether a connection to this address would reach a denied network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        places(ip).iter().any(|ip| self.0.iter().any(|network| network.contains(ip)))
    }

    /// The address that a URL names, if it is a denied one. `None` for a URL with a name, which only
    /// whoever connects can tell, and for what is no URL.
    pub fn address_of(&self, url: &str) -> Option<IpAddr> {
        let url = Url::parse(url).ok()?;
        let ip = match url.host()? {
            Host::Ipv4(ip) => IpAddr::V4(ip),
            Host::Ipv6(ip) => IpAddr::V6(ip),
            Host::Domain(_) => return None,
        };
        self.contains(ip).then_some(ip)
    }
}

/// The same network as its addresses are compared: one of IPv4 addresses inside IPv6
/// (`::ffff:10.0.0.0/104`) is the one of those addresses (`10.0.0.0/8`).
pub fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let IpNet::V6(v6) = network else { return network };
    let inner = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED_BITS));
    let inner = inner.and_then(|(v4, len)| Ipv4Net::new(v4, len).ok());
    inner.map_or(network, IpNet::V4)
}

/// The addresses whose machine a connection to `ip` may reach.
fn places(ip: IpAddr) -> Vec<IpAddr> {
    let mut places = vec![ip, ip.to_canonical()];
    match ip.to_canonical() {
        // "This host", which a socket takes for loopback.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => places.push(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            places.extend([Ipv6Addr::LOCALHOST.into(), IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        }
        IpAddr::V6(v6) => places.extend(embedded(v6).map(IpAddr::V4)),
        IpAddr::V4(_) => {}
    }
    places
}

/// The IPv4 address that a gateway makes of an IPv6 address: NAT64 (RFC 6052), 6to4 (RFC 3056), and
/// the old IPv4-compatible form.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0x64, 0xff9b, 0, 0, 0, 0) => Some(v4(g, h)),
        (0x2002, high, low, ..) => Some(v4(high, low)),
        (0, 0, 0, 0, 0, 0) if g != 0 => Some(v4(g, h)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_an_address_or_a_name() {
        let denied = Denied::new(vec!["127.0.0.0/8".parse().unwrap()]);
        for url in ["http://127.0.0.1:9/a", "https://u:p@0x7f.1", "http://[::ffff:127.0.0.1]/"] {
            assert!(denied.address_of(url).is_some(), "{url}");
        }
        for url in ["http://10.0.0.1", "http://localhost/", "http://[::1]/", "127.0.0.1", ""] {
            assert_eq!(denied.address_of(url), None, "{url}");
        }
    }

    #[test]
    fn every_spelling_of_a_denied_address_is_denied() {
        let networks = ["127.0.0.0/8", "169.254.0.0/16", "fe80::/10"];
        let denied = Denied::new(networks.map(|n| n.parse().unwrap()).to_vec());
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "::",
            "::ffff:127.0.0.1",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
        ] {
            assert!(denied.contains(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.0.1", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2001:db8::1"] {
            assert!(!denied.contains(address.parse().unwrap()), "{address}");
        }
    }
}
