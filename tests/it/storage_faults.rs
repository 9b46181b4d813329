//! Every fault that an S3 server can have, and all of them at random: afterwards each file is stored
//! once, holds what was pushed packet for packet, was announced once, and nothing is left over,
//! neither an open upload nor a journal.
//!
//! The figures of each run are printed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    support::{
        faulty_s3::{NO_BUCKET, SKEWED, UNKNOWN_KEY, WRONG_REGION, WRONG_SECRET},
        ffmpeg::Codecs,
        publisher::Pusher,
        pushing::{Source, journal_files},
        receiver::{Receiver, SIGN_KEY},
        s3::{Fault, Op, Storm},
        server::{Backend, PATIENCE, Server, eventually},
    },
    verbatim::make_heavy_source,
};

/// Longer than the server under test waits for an answer.
const STALL: Duration = Duration::from_secs(4);

/// A server whose store fails, and what it has to be told of.
struct Trial {
    server: Server,
    receiver: Receiver,
    source: Source,
    formats: &'static [&'static str],
    streams: usize,
    packets: u64,
}

impl Trial {
    fn start(formats: &'static [&'static str], seconds: u32) -> Self {
        let settings = [
            ("storage.s3.part_size", "5MiB"),
            ("storage.s3.timeout", "2s"),
            ("hls.segment_duration", "2s"),
        ];
        let mut server = Server::start(Backend::Services, &settings);
        // Whatever it says of its store; the promise is about what becomes of the files.
        server.expect_of_the_store();
        let receiver = Receiver::start();
        server.record("live", "", formats, 7200);
        server.call_back(&receiver.url(), SIGN_KEY);
        let path = server.folder().join("source.flv");
        make_heavy_source(&path, seconds);
        let source = Source::of(Codecs::H264Aac, path);
        Self { server, receiver, source, formats, streams: 0, packets: 0 }
    }

    fn s3(&self) -> &crate::support::s3::S3Server {
        self.server.s3.as_ref().unwrap()
    }

    /// Pushes one more stream, to its end.
    fn push(&mut self) {
        self.streams += 1;
        let name = format!("show-{}", self.streams);
        let mut pusher = Pusher::connect(self.server.rtmp, &name, 65536).accepted();
        pusher.send(&self.source.tags);
        pusher.finish();
    }

    /// Waits until every file of every stream is announced.
    fn settle(&self, what: &str) {
        let wanted = self.streams * self.formats.len();
        eventually(&format!("{wanted} files after {what}"), || {
            (self.receiver.of_type(100).len() >= wanted).then_some(())
        });
    }

    /// Everything is as if there had been no fault.
    fn check(&mut self) {
        self.s3().heal();
        self.settle("all faults");
        let events = self.receiver.of_type(100);
        let mut files = BTreeMap::new();
        for event in &events {
            let id = event["file_id"].as_str().unwrap().to_owned();
            assert!(files.insert(id, event).is_none(), "announced twice: {event}");
        }
        assert_eq!(files.len(), self.streams * self.formats.len());
        for number in 1..=self.streams {
            let stream = format!("show-{number}");
            let found = self.server.vod("SearchMedia", json!({"StreamIds": [stream]}));
            assert_eq!(found["TotalCount"], self.formats.len(), "{found}");
        }
        for id in files.keys() {
            self.packets += verified_packets(&self.server, id);
        }
        self.wait_for_no_open_upload();
        eventually("no journal is left", || journal_files(&self.server).is_empty().then_some(()));
        assert_eq!(self.receiver.of_type(100).len(), files.len(), "announced again");
        assert!(!self.server.logs.text().contains("cannot be made"), "a file was given up");
    }

    /// Which uploads stay open says most if it fails.
    fn wait_for_no_open_upload(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let open = self.s3().open_uploads();
            if open.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "uploads stay open: {open:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn print(&self, name: &str) {
        let injected = self.s3().injected();
        println!(
            "{name}: {} faults injected: {injected:?}; {} streams, {} files, {} packets compared, 0 lost",
            injected.values().sum::<usize>(),
            self.streams,
            self.streams * self.formats.len(),
            self.packets
        );
    }
}

/// Compares a stored file with what was sent; how many packets it has.
fn verified_packets(server: &Server, file_id: &str) -> u64 {
    let output = server.cli().args(["verify", file_id, "--json"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{:?}: no report: {told}", output.status));
    assert_eq!(report["verified"], true, "{report:#}");
    let tracks = report["tracks"].as_array().unwrap().iter();
    let packets = tracks.map(|track| track["packets"].as_u64().unwrap()).sum();
    assert!(packets > 100, "{report:#}");
    packets
}

/// Every kind of fault at each request where it can hurt, one stream each.
#[test]
fn each_fault_by_itself() {
    let plans: &[&[(Op, usize, usize, Fault)]] = &[
        &[(Op::Any, 1, 16, Fault::Status(500))],
        &[(Op::UploadPart, 1, 12, Fault::Status(503)), (Op::Create, 1, 6, Fault::Status(503))],
        &[
            (Op::UploadPart, 2, 2, Fault::CutRequest(1 << 20)),
            (Op::Put, 1, 1, Fault::CutRequest(100)),
        ],
        &[(Op::Any, 2, 3, Fault::Drop)],
        &[(Op::Complete, 1, 6, Fault::ErrorBody)],
        &[(Op::Complete, 1, 2, Fault::LoseResponse), (Op::UploadPart, 1, 1, Fault::LoseResponse)],
        &[(Op::Create, 1, 2, Fault::LoseResponse)],
        // Begun when the client has long given up, and begun another one.
        &[(Op::Create, 1, 1, Fault::Delay(STALL))],
        &[(Op::UploadPart, 3, 1, Fault::Expire), (Op::Complete, 2, 1, Fault::Expire)],
        &[(Op::UploadPart, 1, 1, Fault::Delay(STALL)), (Op::Complete, 1, 1, Fault::Delay(STALL))],
        &[(Op::Any, 1, 3, SKEWED)],
        &[(Op::Any, 1, 4, UNKNOWN_KEY)],
        &[(Op::UploadPart, 2, 2, WRONG_SECRET), (Op::Complete, 1, 1, WRONG_SECRET)],
        &[(Op::Any, 1, 4, NO_BUCKET)],
        &[(Op::Any, 1, 2, WRONG_REGION)],
    ];
    let mut trial = Trial::start(&["Mp4", "Hls"], 4);
    for plan in plans {
        let before = struck(&trial);
        for &(op, nth, times, fault) in *plan {
            trial.s3().inject(op, nth, times, fault);
        }
        trial.push();
        trial.settle(&format!("{plan:?}"));
        trial.s3().heal();
        let struck = struck(&trial) - before;
        assert!(struck >= plan.len(), "{struck} faults of {plan:?}");
    }
    trial.check();
    trial.print("each fault by itself");
}

fn struck(trial: &Trial) -> usize {
    trial.s3().injected().values().sum()
}

/// All of them, at random, while several streams are recorded one after the other.
#[test]
fn faults_at_random() {
    const FAULTS: [Fault; 12] = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Drop,
        Fault::CutRequest(700_000),
        Fault::LoseResponse,
        Fault::ErrorBody,
        Fault::Expire,
        Fault::Delay(STALL),
        SKEWED,
        UNKNOWN_KEY,
        WRONG_SECRET,
        NO_BUCKET,
    ];
    let seed = std::env::var("LIVEREC_TEST_SEED").map_or(20_261_122, |text| text.parse().unwrap());
    println!("faults at random: LIVEREC_TEST_SEED={seed}");
    let mut trial = Trial::start(&["Flv", "Mp4", "Hls", "Aac"], 4);
    trial.s3().storm(Storm::new(seed, 200, 60, &FAULTS));
    for _ in 0..4 {
        trial.push();
    }
    // How long it would rage is a matter of luck; whatever is not stored by then is so afterwards.
    let files = trial.streams * trial.formats.len();
    eventually("most of a storm", || {
        (struck(&trial) >= 40 || trial.receiver.of_type(100).len() == files).then_some(())
    });
    assert!(struck(&trial) >= 20, "{:?}", trial.s3().injected());
    trial.check();
    trial.print("faults at random");
}
