//! Under which address others reach this machine.
//!
//! Used where an address has to be told to somebody (push addresses, `http.public_url`) and only a
//! wildcard is bound. It asks the routing table and sends nothing.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The address to give to clients of a socket bound to `bound`: itself unless it is a wildcard,
/// then this machine's address on the default route, else loopback.
pub fn reachable_ip(bound: IpAddr) -> IpAddr {
    if !bound.is_unspecified() {
        return bound;
    }
    // documentation addresses: always routed like the rest of the internet, never answered
    let by_route = |from: &str, to: &str| -> Option<IpAddr> {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified()).then_some(ip)
    };
    let v4 = || by_route("0.0.0.0:0", "192.0.2.1:9");
    let v6 = || by_route("[::]:0", "[2001:db8::1]:9");
    let found = if bound.is_ipv4() { v4() } else { v4().or_else(v6) };
    found.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Host part of a URL: IPv6 addresses in brackets.
pub fn url_host(ip: IpAddr) -> String {
    if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_is_told_as_it_is() {
        for text in ["127.0.0.1", "192.0.2.4", "::1"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(reachable_ip(ip), ip);
        }
        assert_eq!(url_host("::1".parse().unwrap()), "[::1]");
        assert_eq!(url_host("192.0.2.4".parse().unwrap()), "192.0.2.4");
    }

    #[test]
    fn a_wildcard_is_never_told() {
        for text in ["0.0.0.0", "::"] {
            assert!(!reachable_ip(text.parse().unwrap()).is_unspecified());
        }
    }
}
