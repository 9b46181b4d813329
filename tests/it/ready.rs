//! How long it takes from the last byte of a stream to its file in the store and event 100 in the
//! outbox, and how much memory, whatever the length of the file and the number of files.
//!
//! Each measurement is a process of its own (this program again, [`measure_in_a_process_of_its_own`]),
//! so that its peak of memory is its own; the S3 server stays in this one. What is asserted holds on
//! any machine: a ratio within one run, and bounds of memory. The figures are printed by
//!
//! ```text
//! cargo test --release --locked --test it -- --ignored --nocapture time_to_ready
//! ```

mod node;
mod synth;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use bytes::Bytes;
use liverec::{
    domain::container::Container,
    storage::{MIN_PART_BYTES, ObjectStore, StorageKey},
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::support::s3::S3Server;
use node::{Node, WORKERS};

/// Set for the process that measures.
const JOB: &str = "LIVEREC_TEST_READY_JOB";
const SECOND_MS: i64 = 1000;
const LENGTHS: [(&str, i64); 4] = [("10 s", 10), ("10 min", 600), ("1 h", 3600), ("10 h", 36_000)];
const MIB: u64 = 1 << 20;

/// What a process measures.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    /// Without it, products go into a directory.
    endpoint: Option<String>,
    container: String,
    length_s: i64,
    runs: usize,
    /// Frames put into one: 1 is as an encoder sends them.
    merge: u64,
    part_size: u64,
    /// Files that grow at the same time.
    files: usize,
}

/// What it found.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    /// Of each run, milliseconds.
    ready_ms: Vec<f64>,
    /// What the process grew by, at most, bytes.
    grown_bytes: u64,
}

impl Job {
    fn new(endpoint: Option<String>, length_s: i64, runs: usize) -> Self {
        let container = "mp4".to_owned();
        Self { endpoint, container, length_s, runs, merge: 1, part_size: 8 * MIB, files: 1 }
    }

    /// Runs in a process of its own.
    fn measure(&self) -> Found {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ready::measure_in_a_process_of_its_own", "--ignored", "--nocapture"])
            .env(JOB, serde_json::to_string(self).unwrap())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        let found = text.lines().find_map(|line| line.split_once("FOUND ")).unwrap().1;
        serde_json::from_str(found).unwrap()
    }
}

/// Not a test: what [`Job::measure`] starts.
#[test]
#[ignore = "started by other tests"]
fn measure_in_a_process_of_its_own() {
    let Ok(job) = std::env::var(JOB) else { return };
    let job: Job = serde_json::from_str(&job).unwrap();
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    }
    let before = memory("VmRSS");
    let ready_ms = Runtime::new().unwrap().block_on(run(&job));
    let grown_bytes = memory("VmHWM").saturating_sub(before);
    println!("\nFOUND {}", serde_json::to_string(&Found { ready_ms, grown_bytes }).unwrap());
}

async fn run(job: &Job) -> Vec<f64> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let container = Container::parse(&job.container).unwrap();
    let mut node = Node::start(folder.path(), job.endpoint.as_deref(), job.part_size).await;
    let mut ready_ms = Vec::new();
    for _ in 0..job.runs {
        let length_ms = job.length_s * SECOND_MS;
        let mut publishes = Vec::new();
        for number in 0..job.files {
            let name = format!("stream{number}");
            publishes.push(node.publish(container, &name, length_ms, job.merge).await);
        }
        // In turn, so that all of them grow.
        for minute in 1.. {
            let to_ms = (minute * 60 * SECOND_MS).min(length_ms - SECOND_MS);
            for publish in &mut publishes {
                publish.write(to_ms).await;
            }
            if to_ms == length_ms - SECOND_MS {
                break;
            }
        }
        for publish in &mut publishes {
            publish.flush().await;
        }
        node.wait_caught_up(&publishes).await;
        for mut publish in publishes {
            publish.write(length_ms).await;
            let (begun, file, events) = (Instant::now(), publish.file, node.events().await);
            let session = publish.close().await;
            node.wait_stored(file).await;
            ready_ms.push(begun.elapsed().as_secs_f64() * 1e3);
            assert_eq!(node.events().await, events + 1, "event 100 is in the outbox");
            node.release(session).await;
        }
    }
    node.stop().await;
    ready_ms
}

/// A line of `/proc/self/status`, bytes.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: u64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap();
    kib << 10
}

/// The value that `percent` of the sorted values do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

fn s3_server(folder: &Path) -> S3Server {
    let server = S3Server::start(&folder.join("s3"));
    server.compose_by_list();
    server
}

/// The same bytes in a fiftieth of the samples: what the head takes grows with them, and a debug
/// build on a busy machine takes seconds for what takes a release build 30 ms. So this finds what
/// takes time for every byte of a file; what takes time for every sample is in [`time_to_ready`].
const CI_MERGE: u64 = 50;

/// Less than this is not told apart: a file of 10 s is stored by one request, one of 10 h has three
/// parts of head and end still before it, each a request and a row.
const CI_LEAST_MS: f64 = 1000.0;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, 50)
}

#[test]
fn ten_hours_take_no_longer_by_their_bytes_and_no_more_memory_than_ten_seconds() {
    for is_s3 in [true, false] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let s3 = is_s3.then(|| s3_server(folder.path()));
        let measure = |length_s, runs| {
            let job = Job::new(s3.as_ref().map(S3Server::endpoint), length_s, runs);
            Job { merge: CI_MERGE, ..job }.measure()
        };
        // A debug build takes half a minute for ten hours.
        let (short, long) = (measure(10, 3), measure(36_000, 1));
        println!("s3 {is_s3}: 10 s {short:?}, 10 h {long:?}");
        let (ten_s, ten_h) = (median(short.ready_ms), median(long.ready_ms));
        assert!(ten_h <= 3.0 * ten_s.max(CI_LEAST_MS), "10 s: {ten_s} ms, 10 h: {ten_h} ms");
        // Two parts per worker on their way, the tables of the head and the head itself.
        let bound = 2 * WORKERS as u64 * 8 * MIB + PLANS + SLACK;
        assert!(
            long.grown_bytes <= short.grown_bytes + bound,
            "{short:?} {long:?}",
            short = short.grown_bytes,
            long = long.grown_bytes
        );
    }
}

/// What delivery may remember of all files between two steps.
const PLANS: u64 = 64 * MIB;
/// What allocators keep, connections, the database.
const SLACK: u64 = 64 * MIB;

#[test]
fn fifty_growing_files_take_no_more_memory_than_delivery_may() {
    let part_size = MIB;
    // Eight parts each, 400 MiB together.
    let job = Job { files: 50, merge: 25, part_size, ..Job::new(None, 700, 1) };
    let found = job.measure();
    println!("{found:?}");
    assert_eq!(found.ready_ms.len(), 50);
    let bound = WORKERS as u64 * part_size + PLANS + SLACK;
    assert!(found.grown_bytes <= bound, "{} of {bound} bytes", found.grown_bytes);
}

/// Prints the table of README.
#[test]
#[ignore = "a benchmark: takes minutes, and only a release build says something"]
fn time_to_ready() {
    let number =
        |name: &str, usual: usize| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let runs = number("LIVEREC_TEST_READY_RUNS", 20);
    let part_size = number("LIVEREC_TEST_READY_PART_MIB", 8) as u64 * MIB;
    println!("\n| Store | File | Length | Runs | p50 ms | p99 ms | Memory MiB |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for (store, container) in
        [("S3", "mp4"), ("directory", "mp4"), ("S3", "flv"), ("directory", "flv")]
    {
        for (name, length_s) in LENGTHS {
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let s3 = (store == "S3").then(|| s3_server(folder.path()));
            let runs = if length_s < 3600 { runs } else { runs.div_ceil(2) };
            let job = Job::new(s3.as_ref().map(S3Server::endpoint), length_s, runs);
            let mut found = Job { container: container.to_owned(), part_size, ..job }.measure();
            found.ready_ms.sort_by(f64::total_cmp);
            println!(
                "| {store} | {container} | {name} | {runs} | {:.0} | {:.0} | {:.0} |",
                percentile(&found.ready_ms, 50),
                percentile(&found.ready_ms, 99),
                found.grown_bytes as f64 / MIB as f64
            );
        }
    }
    for store in ["S3", "directory"] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let s3 = (store == "S3").then(|| s3_server(folder.path()));
        let endpoint = s3.as_ref().map(S3Server::endpoint);
        let store_itself = node::store(folder.path(), endpoint.as_deref());
        let runtime = Runtime::new().unwrap();
        let mut least_ms: Vec<f64> =
            (0..runs).map(|_| runtime.block_on(store_least(&*store_itself))).collect();
        least_ms.sort_by(f64::total_cmp);
        println!(
            "| {store} | none: a part of 5 MiB, completed | | {runs} | {:.0} | {:.0} | |",
            percentile(&least_ms, 50),
            percentile(&least_ms, 99)
        );
    }
}

/// The least that a file in parts asks of a store at its end, whoever made it: the part with the
/// head, of the smallest size that S3 allows, and completing. Milliseconds.
async fn store_least(store: &dyn ObjectStore) -> f64 {
    let key = StorageKey::parse("least.bin").unwrap();
    let upload = store.start(&key, MIN_PART_BYTES).await.unwrap();
    let last = store.put_part(&upload, 2, Bytes::from_static(b"rest")).await.unwrap();
    let head = Bytes::from(vec![0x5a; MIN_PART_BYTES as usize]);
    let begun = Instant::now();
    let first = store.put_part(&upload, 1, head).await.unwrap();
    store.complete(&upload, &[first, last]).await.unwrap();
    begun.elapsed().as_secs_f64() * 1e3
}
