//! How many attempts may run at a time, in all and to one host.
//!
//! A slow or dead receiver fills its own few slots and no others: hosts not heard from yet get one,
//! and those whose last attempt took long share half of all.

use std::{collections::HashMap, time::Duration};

use tokio::task::{Id, JoinError};
use url::Url;

/// Attempts at a time.
const MAX_ALL: usize = 16;
/// Of them to one host.
const MAX_HOST: usize = 4;
/// Of them to slow hosts together.
const MAX_SLOW: usize = 8;
/// An attempt that took longer makes its host a slow one.
const SLOW: Duration = Duration::from_secs(2);
/// Hosts remembered; forgetting one only costs it a fresh start.
const MAX_HOSTS: usize = 1000;

/// Who is being sent to.
#[derive(Default)]
pub struct Slots {
    running: HashMap<Id, String>,
    hosts: HashMap<String, Host>,
}

#[derive(Default)]
struct Host {
    running: usize,
    /// `None` until an attempt has ended.
    is_slow: Option<bool>,
}

impl Slots {
    /// Attempts that may begin to this host now.
    pub fn free(&self, host: &str) -> usize {
        let all = MAX_ALL.saturating_sub(self.running.len());
        let (running, is_slow) = match self.hosts.get(host) {
            Some(host) => (host.running, host.is_slow),
            None => (0, None),
        };
        let own = match is_slow {
            None => 1_usize.saturating_sub(running),
            Some(false) => MAX_HOST.saturating_sub(running),
            Some(true) => {
                let slow: usize = self.slow().map(|host| host.running).sum();
                MAX_HOST.saturating_sub(running).min(MAX_SLOW.saturating_sub(slow))
            }
        };
        own.min(all)
    }

    fn slow(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values().filter(|host| host.is_slow == Some(true))
    }

    /// Notes that a task sends to a host.
    pub fn begin(&mut self, task: Id, host: String) {
        if self.hosts.len() >= MAX_HOSTS {
            self.hosts.retain(|_, host| host.running > 0);
        }
        self.hosts.entry(host.clone()).or_default().running += 1;
        self.running.insert(task, host);
    }

    /// Notes that a task has ended and how long its attempt took.
    pub fn end(&mut self, ended: &Result<(Id, Duration), JoinError>) {
        let (task, took) = match ended {
            Ok((task, took)) => (*task, Some(*took)),
            Err(error) => {
                tracing::error!(%error, "an attempt to send a callback broke off");
                (error.id(), None)
            }
        };
        let Some(host) = self.running.remove(&task) else {
            return;
        };
        if let Some(host) = self.hosts.get_mut(&host) {
            host.running = host.running.saturating_sub(1);
            if let Some(took) = took {
                host.is_slow = Some(took > SLOW);
            }
        }
    }
}

/// `host:port` of a URL; what cannot be read as one is its own host. Free of secrets that a path or
/// query may hold.
pub fn host_of(url: &str) -> String {
    let parts = Url::parse(url)
        .ok()
        .and_then(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)));
    match parts {
        Some((host, port)) => format!("{host}:{port}"),
        None => "an unreadable URL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    const FAST: Duration = Duration::ZERO;

    /// Ids of tasks that exist.
    fn ids(n: usize) -> Vec<Id> {
        let mut set = JoinSet::new();
        (0..n).map(|_| set.spawn(async {}).id()).collect()
    }

    #[tokio::test]
    async fn a_host_grows_from_one_slot_and_slow_hosts_leave_room_for_others() {
        let mut slots = Slots::default();
        let mut ids = ids(64).into_iter();
        let mut id = || ids.next().unwrap();
        let mut fill = |slots: &mut Slots, host: &str, took: Duration| {
            assert_eq!(slots.free(host), 1, "a new host");
            let first = id();
            slots.begin(first, host.to_owned());
            assert_eq!(slots.free(host), 0);
            slots.end(&Ok((first, took)));
            let mut begun = 0;
            while slots.free(host) > 0 {
                slots.begin(id(), host.to_owned());
                begun += 1;
            }
            begun
        };
        let slow = SLOW + Duration::from_millis(1);
        assert_eq!(fill(&mut slots, "dead1", slow), 4);
        assert_eq!(fill(&mut slots, "dead2", slow), 4);
        assert_eq!(fill(&mut slots, "dead3", slow), 0, "slow hosts share eight");
        assert_eq!(fill(&mut slots, "live1", FAST), 4);
        assert_eq!(fill(&mut slots, "live2", FAST), 4);
        assert_eq!(slots.free("live3"), 0, "sixteen in all");
    }

    #[test]
    fn hosts_are_told_apart_by_port_and_show_nothing_else() {
        assert_eq!(host_of("https://u:pw@Example.com/secret?token=1"), "example.com:443");
        assert_eq!(host_of("http://[::1]:81/"), "[::1]:81");
        assert_eq!(host_of("no url"), "an unreadable URL");
    }
}
