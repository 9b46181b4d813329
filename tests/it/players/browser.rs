//! Headless Chromium that plays products on `tests/players/page.html`.
//!
//! The page asks this process for its list and posts a report of each play; nothing has to reach
//! into the browser.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::header::CONTENT_TYPE,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::needed;

/// Debian's Chromium without a screen. The script of this name in `/usr/bin` stays in front of the
/// browser, which would outlive it when it is killed.
const CHROMIUM: &str = "/usr/lib/chromium/chromium-headless-shell";

/// Longest wait for the next report: more than the page's own patience, so that only a browser
/// that hangs or is gone can reach it.
const PATIENCE: Duration = Duration::from_secs(100);

/// Four times as fast as real time: a browser may drop frames then, but must have decoded them.
const RATE: f64 = 4.0;

/// What hls.js may complain of: a slow processor, and a beginning where one of the tracks has
/// nothing to play yet, which it jumps over.
const HARMLESS: [&str; 3] = ["bufferStalledError", "bufferNudgeOnStall", "bufferSeekOverHole"];

/// What the page says of one play.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    pub url: String,
    pub outcome: String,
    pub ended: bool,
    pub error: Option<Value>,
    /// Complaints of hls.js.
    pub troubles: Vec<Trouble>,
    /// Seconds; none if the player does not know.
    pub duration: Option<f64>,
    /// Seconds.
    pub current_time: f64,
    pub width: u32,
    pub height: u32,
    /// Decoded pictures, those that were not shown among them.
    pub frames: usize,
    pub audio_bytes: u64,
}

/// An error event of hls.js.
#[derive(Debug, Clone, Deserialize)]
pub struct Trouble {
    pub details: String,
    pub fatal: bool,
}

impl Report {
    /// Played to the end, with sound, and without an error on the way.
    pub fn assert_played(&self) {
        assert_eq!(self.outcome, "ended", "{self:#?}");
        assert!(self.ended && self.error.is_none(), "{self:#?}");
        let is_harmless = |trouble: &Trouble| HARMLESS.contains(&trouble.details.as_str());
        assert!(self.troubles.iter().all(|t| !t.fatal && is_harmless(t)), "{self:#?}");
        let duration = self.duration.unwrap_or_else(|| panic!("no duration: {self:#?}"));
        assert!((self.current_time - duration).abs() < 0.01, "not at its end: {self:#?}");
        assert!(self.audio_bytes > 0, "no sound: {self:#?}");
    }
}

#[derive(Clone, Default)]
struct Page {
    plays: Arc<Vec<Value>>,
    reports: Arc<Mutex<Vec<Report>>>,
}

/// Plays these URLs, one after another in one browser; the reports are in the same order. Those
/// of pictures get a `<video>`, the others an `<audio>`.
pub fn play<'a>(products: impl Iterator<Item = (&'a str, bool)>) -> Vec<Report> {
    let plays: Vec<Value> = products
        .map(|(url, has_pictures)| {
            let kind = if has_pictures { "video" } else { "audio" };
            json!({"url": url, "kind": kind, "is_hls": url.ends_with(".m3u8"), "rate": RATE})
        })
        .collect();
    let page = Page { plays: Arc::new(plays), ..Page::default() };
    let mut browser = Browser::open(serve(page.clone()));
    let mut seen = 0;
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        let reports = page.reports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if reports.len() == page.plays.len() {
            return reports;
        }
        if reports.len() > seen {
            seen = reports.len();
            deadline = Instant::now() + PATIENCE;
        }
        let next = &page.plays[seen];
        assert!(browser.runs(), "the browser ended before {next}\n{}", browser.log());
        assert!(Instant::now() < deadline, "no report of {next}\n{}", browser.log());
        sleep(Duration::from_millis(50));
    }
}

/// Serves the page and collects reports for as long as the process lives.
fn serve(page: Page) -> SocketAddr {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players");
    let file = |path: &Path, kind: &'static str| {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        get(async move || ([(CONTENT_TYPE, kind)], text))
    };
    let router = Router::new()
        .route("/", file(&folder.join("page.html"), "text/html"))
        .route("/play.js", file(&folder.join("play.js"), "text/javascript"))
        .route("/hls.js", file(needed("LIVEREC_TEST_HLS_JS").as_ref(), "text/javascript"))
        .route("/plays", get(async |State(page): State<Page>| json!(page.plays).to_string()))
        .route("/reports", post(receive))
        .with_state(page);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    address
}

async fn receive(State(page): State<Page>, body: String) {
    let report = serde_json::from_str(&body).unwrap();
    page.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
}

/// A browser process with a profile of its own.
struct Browser {
    child: Child,
    folder: tempfile::TempDir,
}

impl Browser {
    fn open(page: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(CHROMIUM)
            // Chromium has no sandbox for root, and needs a large /dev/shm that containers lack.
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"])
            .args(["--autoplay-policy=no-user-gesture-required", "--mute-audio"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg(format!("http://{page}/"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{CHROMIUM}: {error}: run bash tests/run.sh"));
        Self { child, folder }
    }

    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
