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
    follow::{heavy, live_parts, wait_for_live_parts},
    support::{
        faulty_s3::{NO_BUCKET, SKEWED, UNKNOWN_KEY, WRONG_REGION, WRONG_SECRET},
        is_long_run,
        packets::Packets,
        publisher::Pusher,
        pushing::{Source, journal_files},
        receiver::{Receiver, SIGN_KEY},
        s3::{Fault, Op, Storm},
        server::{Backend, PATIENCE, Server, eventually},
    },
    verbatim::format_of,
};

/// Longer than the server under test waits for an answer.
const STALL: Duration = Duration::from_secs(4);

/// Which request, which of them from now on, how many times, and what happens to it.
type Planned = (Op, usize, usize, Fault);

/// A server whose store fails, and what it has to be told of.
struct Trial {
    server: Server,
    receiver: Receiver,
    source: Source,
    /// What it holds.
    pushed: Packets,
    formats: &'static [&'static str],
    streams: usize,
    packets: u64,
}

impl Trial {
    fn start(formats: &'static [&'static str], seconds: u32) -> Self {
        Self::start_with(formats, seconds, &[("storage.s3.timeout", "2s")])
    }

    /// The same with these settings and the usual time-out for what is not set.
    fn start_with(
        formats: &'static [&'static str],
        seconds: u32,
        settings: &[(&str, &str)],
    ) -> Self {
        let usual = [("storage.s3.part_size", "5MiB"), ("hls.segment_duration", "2s")];
        let settings = [&usual, settings].concat();
        let mut server = Server::start(Backend::Services, &settings);
        // Whatever it says of its store; the promise is about what becomes of the files.
        server.expect_of_the_store();
        let receiver = Receiver::start();
        server.record("live", "", formats, 7200);
        server.call_back(&receiver.url(), SIGN_KEY);
        let source = heavy(&server, seconds);
        let pushed = Packets::of(source.name());
        Self { server, receiver, source, pushed, formats, streams: 0, packets: 0 }
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

    /// Pushes one more stream, of which every planned fault strikes.
    fn meet(&mut self, plan: &[Planned]) {
        for &(op, nth, times, fault) in plan {
            self.s3().inject(op, nth, times, fault);
        }
        self.push();
        self.settle(&format!("{plan:?}"));
        assert_eq!(self.s3().unmet(), [""; 0], "each strikes: {plan:?}");
        self.s3().heal();
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
        for (id, event) in &files {
            let compared = self.compared_packets(event);
            // In FLV it looks at headers, too.
            assert!(verified_packets(&self.server, id) >= compared, "{event}");
            self.packets += compared;
        }
        self.wait_for_no_open_upload();
        eventually("no journal is left", || journal_files(&self.server).is_empty().then_some(()));
        assert_eq!(self.receiver.of_type(100).len(), files.len(), "announced again");
        assert!(!self.server.logs.text().contains("cannot be made"), "a file was given up");
    }

    /// A stored file holds what was pushed; how many packets that is.
    fn compared_packets(&self, event: &Value) -> u64 {
        let url = event["video_url"].as_str().unwrap();
        let found = Packets::of(url);
        match format_of(event) {
            "aac" => found.assert_payloads(&self.pushed.sound(), url),
            _ => {
                found.assert_payloads_and_times(&self.pushed, url);
            }
        }
        (found.video.len() + found.audio.len()) as u64
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

/// Has the program compare a stored file with what it kept of the push; how many packets it has.
fn verified_packets(server: &Server, file_id: &str) -> u64 {
    let output = server.cli().args(["verify", file_id, "--json"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{:?}: no report: {told}", output.status));
    assert_eq!(report["verified"], true, "{report:#}");
    // The journal goes some time after the file is stored.
    assert!(["journal", "digests"].map(Value::from).contains(&report["against"]), "{report:#}");
    assert_eq!(report["has_hashes"], true, "{report:#}");
    let tracks = report["tracks"].as_array().unwrap().iter();
    let packets = tracks.map(|track| track["packets"].as_u64().unwrap()).sum();
    assert!(packets > 100, "{report:#}");
    packets
}

/// Every kind of fault at each request where it can hurt, one stream each.
#[test]
fn each_fault_by_itself() {
    let plans: &[&[Planned]] = &[
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
        trial.meet(plan);
    }
    trial.check();
    trial.print("each fault by itself");
}

/// Every kind of fault at parts of files that grow, in one stream that stays open until all of them
/// have struck and parts went up again after each.
#[test]
fn each_fault_while_a_file_grows() {
    const FAULTS: [Fault; 9] = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Drop,
        Fault::CutRequest(1 << 20),
        Fault::LoseResponse,
        Fault::Delay(STALL),
        WRONG_SECRET,
        NO_BUCKET,
        // Last, as all that is there goes up again.
        Fault::Expire,
    ];
    // The stream waits for its store.
    let settings = [("storage.s3.timeout", "2s"), ("rtmp.idle_timeout", "5m")];
    let mut trial = Trial::start_with(&["Flv", "Mp4"], 16, &settings);
    trial.streams += 1;
    let mut pusher = Pusher::connect(trial.server.rtmp, "show-1", 65536).accepted();
    let tags = trial.source.tags.clone();
    let mut bursts = tags.chunks(tags.len().div_ceil(FAULTS.len() + 4));
    // Uploads begin when there are four parts.
    bursts.by_ref().take(4).for_each(|burst| pusher.send(burst));
    wait_for_live_parts(&trial.server, 1);
    for fault in FAULTS {
        let before = live_parts(&trial.server);
        trial.s3().inject(Op::UploadPart, 1, 1, fault);
        // More than a part of each file.
        pusher.send(bursts.next().unwrap());
        eventually(&format!("{fault:?} at a part of a file that grows"), || {
            trial.s3().unmet().is_empty().then_some(())
        });
        wait_for_live_parts(&trial.server, before + 1);
        assert_eq!(trial.s3().count(Op::Complete), 0, "both files grow");
    }
    assert!(bursts.next().is_none());
    pusher.finish();
    trial.check();
    trial.print("each fault while a file grows");
}

/// A store that hangs at whatever is asked of it: in the long run for a minute, with the time-out
/// that a newcomer has.
#[test]
fn a_store_that_hangs() {
    let (settings, hang): (&[_], _) = match is_long_run() {
        true => (&[], Duration::from_secs(60)),
        false => (&[("storage.s3.timeout", "2s")], STALL),
    };
    let mut trial = Trial::start_with(&["Mp4", "Hls"], 4, settings);
    for op in [Op::Create, Op::UploadPart, Op::Complete, Op::Put] {
        trial.meet(&[(op, 1, 1, Fault::Delay(hang))]);
    }
    trial.check();
    trial.print("a store that hangs");
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
