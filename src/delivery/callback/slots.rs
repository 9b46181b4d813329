//! How many attempts may run at a time, in all and to one receiver.
//!
//! Every URL has one slot of its own that nobody can take from it, so that no dead or slow receiver
//! holds up another (there are as many URLs as templates have room for). A URL whose last attempt
//! was answered may have more, from a pool that is shared; slow ones get at most half of that.

use std::{collections::HashMap, time::Duration};

use tokio::task::{Id, JoinError};
use url::Url;

/// Attempts at a time to one URL.
const MAX_OF_URL: usize = 4;
/// Attempts at a time beyond the first to each URL.
const MAX_MORE: usize = 32;
/// Of them to slow URLs.
const MAX_MORE_SLOW: usize = 16;
/// An attempt that took longer makes its URL a slow one.
const SLOW: Duration = Duration::from_secs(2);
/// URLs remembered; forgetting one only costs it a fresh start.
const MAX_URLS: usize = 2000;

/// Who is being sent to.
#[derive(Default)]
pub struct Slots {
    running: HashMap<Id, String>,
    urls: HashMap<String, Load>,
}

#[derive(Default)]
struct Load {
    running: usize,
    /// `None` until an attempt has ended.
    is_slow: Option<bool>,
}

impl Load {
    fn more(&self) -> usize {
        self.running.saturating_sub(1)
    }
}

impl Slots {
    /// Attempts that may begin to this URL now.
    pub fn free(&self, url: &str) -> usize {
        let Some(load) = self.urls.get(url) else { return 1 };
        let own = 1_usize.saturating_sub(load.running);
        let Some(is_slow) = load.is_slow else { return own };
        let more: usize = self.urls.values().map(Load::more).sum();
        let mut shared = MAX_MORE.saturating_sub(more);
        if is_slow {
            let slow = self.urls.values().filter(|load| load.is_slow == Some(true));
            let more: usize = slow.map(Load::more).sum();
            shared = shared.min(MAX_MORE_SLOW.saturating_sub(more));
        }
        MAX_OF_URL.saturating_sub(load.running).min(own + shared)
    }

    /// Notes that a task sends to a URL.
    pub fn begin(&mut self, task: Id, url: String) {
        if self.urls.len() >= MAX_URLS {
            self.urls.retain(|_, load| load.running > 0);
        }
        self.urls.entry(url.clone()).or_default().running += 1;
        self.running.insert(task, url);
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
        let Some(url) = self.running.remove(&task) else {
            return;
        };
        if let Some(load) = self.urls.get_mut(&url) {
            load.running = load.running.saturating_sub(1);
            if let Some(took) = took {
                load.is_slow = Some(took > SLOW);
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
    async fn every_url_has_a_slot_and_answered_ones_have_more() {
        let mut slots = Slots::default();
        let mut ids = ids(400).into_iter();
        let mut id = || ids.next().unwrap();
        let mut fill = |slots: &mut Slots, url: &str, took: Duration| {
            assert_eq!(slots.free(url), 1, "a new one");
            let first = id();
            slots.begin(first, url.to_owned());
            assert_eq!(slots.free(url), 0);
            slots.end(&Ok((first, took)));
            let mut begun = 0;
            while slots.free(url) > 0 {
                slots.begin(id(), url.to_owned());
                begun += 1;
            }
            begun
        };
        let slow = SLOW + Duration::from_millis(1);
        let dead: Vec<usize> =
            (0..10).map(|n| fill(&mut slots, &format!("http://h/{n}"), slow)).collect();
        assert_eq!(dead, [4, 4, 4, 4, 4, 2, 1, 1, 1, 1], "sixteen shared, one for each");
        let live: Vec<usize> =
            (0..8).map(|n| fill(&mut slots, &format!("http://l/{n}"), FAST)).collect();
        assert_eq!(live, [4, 4, 4, 4, 4, 2, 1, 1]);
        assert_eq!(slots.free("http://h/new"), 1, "always");
    }

    #[test]
    fn hosts_are_told_apart_by_port_and_show_nothing_else() {
        assert_eq!(host_of("https://u:pw@Example.com/secret?token=1"), "example.com:443");
        assert_eq!(host_of("http://[::1]:81/"), "[::1]:81");
        assert_eq!(host_of("no url"), "an unreadable URL");
    }
}
