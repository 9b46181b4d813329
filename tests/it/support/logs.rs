//! The log of a running liverec, read line by line while it runs.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Longest wait for a line; generous, so that only a defect can reach it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every line so far, and a way to wait for the next.
#[derive(Clone, Default)]
pub struct Logs {
    shared: Arc<(Mutex<Inner>, Condvar)>,
}

#[derive(Default)]
struct Inner {
    lines: Vec<String>,
    has_ended: bool,
}

impl Logs {
    /// Collects lines from `source` (a child's stderr) until it ends.
    pub fn follow(source: impl Read + Send + 'static) -> Self {
        let logs = Self::default();
        let writer = logs.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).lines() {
                let Ok(line) = line else { break };
                writer.inner().lines.push(line);
                writer.shared.1.notify_all();
            }
            writer.inner().has_ended = true;
            writer.shared.1.notify_all();
        });
        logs
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every line so far.
    pub fn text(&self) -> String {
        self.inner().lines.join("\n")
    }

    /// How many lines so far hold `part`.
    pub fn count(&self, part: &str) -> usize {
        self.inner().lines.iter().filter(|line| line.contains(part)).count()
    }

    /// The first line that holds `part`, waited for.
    ///
    /// # Panics
    /// If the log ends or nothing comes for a minute, with the log.
    pub fn wait_for(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut inner = self.inner();
        loop {
            if let Some(line) = inner.lines.iter().find(|line| line.contains(part)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !inner.has_ended && !left.is_zero(),
                "no line holds {part:?} in:\n{}",
                inner.lines.join("\n")
            );
            inner =
                self.shared.1.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lines so far.
    pub fn len(&self) -> usize {
        self.inner().lines.len()
    }

    /// Waits until so many lines after the first `from` hold all of these parts; false if that does
    /// not come in time.
    pub fn comes(&self, parts: &[&str], from: usize, times: usize, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut inner = self.inner();
        let (mut looked_at, mut found) = (from, 0);
        loop {
            for line in &inner.lines[looked_at..] {
                found += usize::from(parts.iter().all(|part| line.contains(part)));
            }
            looked_at = inner.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if found >= times || inner.has_ended || left.is_zero() {
                return found >= times;
            }
            inner =
                self.shared.1.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the server accepts; its RTMP and HTTP addresses.
    pub fn listening(&self) -> (SocketAddr, SocketAddr) {
        let line = self.wait_for("listening");
        let address = |name: &str| {
            let (_, rest) = line.split_once(name).unwrap_or_else(|| panic!("no {name} in {line}"));
            let text: String =
                rest.chars().take_while(|c| !c.is_whitespace() && *c != '"').collect();
            text.parse().unwrap_or_else(|_| panic!("{name} is no address in {line}"))
        };
        (address("rtmp="), address("http="))
    }
}
