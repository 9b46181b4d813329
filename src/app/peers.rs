//! Counts HTTP connections by the address they come from, so that one client cannot take the places of
//! all others.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;

/// Connections of one address at a time. Proxies that are trusted have no such bound.
pub const MAX_PER_PEER: usize = 512;

/// Who is connected how often.
#[derive(Clone, Default)]
pub struct Peers {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    unbounded: Arc<[IpNet]>,
}

/// A connection that counts until it is dropped.
pub struct Counted {
    peers: Peers,
    ip: IpAddr,
}

impl Peers {
    /// Nobody yet; addresses of these networks may connect as often as there are places.
    pub fn new(unbounded: &[IpNet]) -> Self {
        Self { counts: Arc::default(), unbounded: unbounded.into() }
    }

    /// Counts a connection; `None` if its address has too many.
    pub fn enter(&self, ip: IpAddr) -> Option<Counted> {
        let is_unbounded = self.unbounded.iter().any(|net| net.contains(&ip.to_canonical()));
        let ip = counted_as(ip);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_default();
        if *count >= MAX_PER_PEER && !is_unbounded {
            return None;
        }
        *count += 1;
        Some(Counted { peers: self.clone(), ip })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.peers.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

/// One client has a whole network of IPv6 addresses.
fn counted_as(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let peers = Peers::new(&["10.0.0.0/8".parse().unwrap()]);
        let mut held: Vec<_> = (0..MAX_PER_PEER).map(|_| peers.enter(ip("192.0.2.1"))).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(peers.enter(ip("192.0.2.1")).is_none());
        assert!(peers.enter(ip("::ffff:192.0.2.1")).is_none());
        assert!(peers.enter(ip("192.0.2.2")).is_some());
        held.pop();
        assert!(peers.enter(ip("192.0.2.1")).is_some());

        let _proxy: Vec<_> = (0..MAX_PER_PEER).map(|_| peers.enter(ip("10.0.0.1"))).collect();
        assert!(peers.enter(ip("10.0.0.1")).is_some());
        let _v6: Vec<_> =
            (0..MAX_PER_PEER).map(|n| peers.enter(ip(&format!("2001:db8::{n:x}")))).collect();
        assert!(peers.enter(ip("2001:db8::ffff:1")).is_none(), "one network");
        assert!(peers.enter(ip("2001:db8:0:1::1")).is_some());
        drop((held, _proxy, _v6));
        assert!(peers.counts.lock().unwrap().is_empty());
    }
}
