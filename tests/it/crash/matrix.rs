//! The kill matrix: `kill -9` at every named step of a recording's way from the push to the event
//! that announces it, and at random moments, again and again over the same data.
//!
//! The server is the program as it is. A step is known by the statement or message that it logs, or
//! by the request that it makes to the store; the test waits for that and kills at once. Further
//! steps are further lines of [`STEPS`]; `signs` shows that each can still be known. In the end
//! everything that was in a journal when its server was killed is in the products, and nothing else
//! is left anywhere.
//!
//! Twelve kills for each kind of server; `LIVEREC_TEST_LONG=1 bash tests/run.sh kill_matrix` makes it
//! a hundred and more each, and `LIVEREC_TEST_SEED` takes another path than the usual one.

pub mod look;
mod signs;
mod steps;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use liverec::media::tag::{Tag, TagKind};
use serde_json::{Value, json};

use self::steps::{
    FIRST_OVER_SERVICES, FOUND,
    Load::{Heavy, Light, Live},
    READ_BACK, STEPS,
    Sign::{self, Line, Nth, Random, Request, Starting},
    is_step_of,
};
use crate::{
    support::{
        ffmpeg::Codecs,
        is_long_run,
        packets::Packets,
        publisher::{Pusher, is_header},
        pushing::{
            Source, as_in_product, assert_same_tags, frames, journal_files, product_tags,
            whole_tags,
        },
        receiver::{Receiver, SIGN_KEY},
        server::{Backend, Server},
    },
    verbatim::{format_of, make_heavy_source},
};

/// Seconds of the heavy source, of about 6 MiB each: two uploads of at least seven parts over S3, and
/// of more than four parts into a directory.
const HEAVY_SECONDS: u32 = 6;

/// Kills of a short run, and of a long one.
const KILLS: (usize, usize) = (12, 102);

/// Longest wait for a step; one that does not come is a kill at a late moment.
const STEP_PATIENCE: Duration = Duration::from_secs(5);

const FORMATS: [&str; 3] = ["Flv", "Hls", "Mp4"];

#[test]
fn kill_matrix_of_a_plain_server() {
    run(Backend::Plain, 0);
}

#[test]
fn kill_matrix_over_services() {
    run(Backend::Services, STEPS.iter().position(|step| step.0 == FIRST_OVER_SERVICES).unwrap());
}

/// One push of the matrix.
struct Push {
    stream: String,
    is_heavy: bool,
    /// What the encoder gave to its socket.
    sent: Vec<Tag>,
    /// Frames that were in the journal when the server died; all, if it was released before.
    journaled: usize,
}

/// Numbers from a seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

fn run(backend: Backend, first: usize) {
    let is_long = is_long_run();
    let kills = if is_long { KILLS.1 } else { KILLS.0 };
    let seed = number("LIVEREC_TEST_SEED", 20_261_122);
    println!("kill matrix of {backend:?}: {kills} kills, LIVEREC_TEST_SEED={seed}");
    let mut dice = Dice(seed | 1);

    let (mut server, receiver, [light, heavy]) = start(backend);
    server.kill();

    let mut pushes = Vec::new();
    let mut tally = BTreeMap::<&str, (usize, usize)>::new();
    for nth in 0..kills {
        // Every step in turn, then all over with other moments.
        let (name, sign, load) = STEPS[(first + nth) % STEPS.len()];
        // Some lines come once; a long run has further rounds for those that come again.
        let is_first = is_long && nth < STEPS.len();
        let nth_time = if is_first { 1 } else { 1 + dice.below(3) as usize };
        let has_come = match sign {
            Starting(limit) => {
                server.kill_while_starting(Duration::from_millis(dice.below(limit)));
                true
            }
            _ => {
                server.launch();
                let source = if load == Light { &light } else { &heavy };
                let whole = load == Heavy || (load == Light && dice.below(4) > 0);
                let count = match whole || load == Live {
                    true => source.tags.len(),
                    false => 50 + dice.below(source.tags.len() as u64 - 100) as usize,
                };
                let random = Duration::from_millis(dice.below(match sign {
                    Random(limit) => limit,
                    _ => 1,
                }));
                if let Some(s3) = &server.s3 {
                    s3.set_tags_opaque(name == READ_BACK);
                }
                // One that is under way already, whatever the step does to the other.
                let other = Pushing::begin(&server, format!("b{nth}"), &light.tags, false, false);
                sleep(Duration::from_millis(300));
                // What an earlier push left behind is found before.
                let from = if name == FOUND { 0 } else { server.logs.len() };
                let tags = &source.tags[..count];
                let (stream, is_heavy) = (format!("k{nth}"), load != Light);
                let push = Pushing::begin(&server, stream, tags, whole, is_heavy);
                let has_come = wait_for(&server, sign, (from, nth_time), random);
                server.kill();
                pushes.extend([other.end(), push.end()]);
                has_come
            }
        };
        let (kills, at_step) = tally.entry(name).or_default();
        *kills += 1;
        *at_step += usize::from(has_come);
    }

    server.launch();
    let sources = [&light, &heavy];
    let Found { files, packets } = assert_nothing_is_lost(&server, &receiver, &pushes, sources);
    println!("kill matrix of {backend:?}: kills by step (and those at which the step had come):");
    for (name, (kills, at_step)) in &tally {
        println!("  {name}: {kills} ({at_step})");
    }
    println!(
        "kill matrix of {backend:?}: {kills} kills, {} pushes, {files} files, {packets} packets compared, 0 lost, nothing left over",
        pushes.len()
    );
    if is_long {
        let never = tally.iter().filter(|(name, (_, at))| is_step_of(backend, name) && *at == 0);
        let never: Vec<_> = never.map(|(name, _)| name).collect();
        assert!(never.is_empty(), "no kill at these steps of {backend:?}: {never:?}");
    }
}

/// A server whose log shows every step, who is told of its files, and the light and the heavy source.
fn start(backend: Backend) -> (Server, Receiver, [Source; 2]) {
    let window = if backend == Backend::Plain { "1s" } else { "0" };
    let mut server = Server::start(
        backend,
        &[
            ("hls.segment_duration", "1s"),
            ("record.resume_window", window),
            ("storage.s3.part_size", "5MiB"),
            ("callback.timeout", "5s"),
            ("log.level", "info,sqlx=debug"),
        ],
    );
    // How busy the machine is says nothing of the server.
    server.expect("time to acquire exceeded slow threshold");
    server.expect("slow statement");
    if backend == Backend::Services {
        // The S3 server of the tests breaks a completion off half-way when its client dies.
        server.expect("the upload of a media file is given up");
        server.expect("a media file could not be stored");
    }
    let receiver = Receiver::start();
    server.record("live", "", &FORMATS, 7200);
    server.call_back(&receiver.url(), SIGN_KEY);
    let light = Source::make(&server, Codecs::H264Aac, 6);
    let path = server.folder().join("heavy.flv");
    make_heavy_source(&path, HEAVY_SECONDS);
    let heavy = Source::of(Codecs::H264Aac, path);
    (server, receiver, [light, heavy])
}

/// A push beside the test.
struct Pushing {
    stream: String,
    is_heavy: bool,
    /// Of its journal.
    folder: PathBuf,
    thread: JoinHandle<Vec<Tag>>,
}

impl Pushing {
    /// Begins a push that is ended in good order if it is to be `finished`, else stays.
    fn begin(
        server: &Server,
        stream: String,
        tags: &[Tag],
        is_finished: bool,
        is_heavy: bool,
    ) -> Self {
        let pusher = Pusher::connect(server.rtmp, &stream, 65536).accepted();
        let newest = journal_files(server).pop().expect("an accepted push has a journal");
        let folder = newest.parent().unwrap().to_owned();
        let thread = send_beside(pusher, tags.to_vec(), is_finished);
        Self { stream, is_heavy, folder, thread }
    }

    /// To be called when the server is gone: what was sent, and what its journal holds.
    fn end(self) -> Push {
        let sent = self.thread.join().unwrap();
        let journaled = match fs::read_dir(&self.folder) {
            Ok(entries) => {
                let files = entries.map(|entry| entry.unwrap().path()).filter(|p| is_data(p));
                files.map(|file| frames(&whole_tags(&fs::read(file).unwrap())).len()).sum()
            }
            // It was released: then it was complete.
            Err(_) => frames(&sent).len(),
        };
        Push { stream: self.stream, is_heavy: self.is_heavy, sent, journaled }
    }
}

fn is_data(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension == "flv")
}

/// Sends in bursts, for about half a second, until everything is sent or the server is gone. Gives
/// what was sent.
fn send_beside(mut pusher: Pusher, tags: Vec<Tag>, is_finished: bool) -> JoinHandle<Vec<Tag>> {
    thread::spawn(move || {
        let mut sent = 0;
        for burst in tags.chunks(tags.len().div_ceil(20)) {
            if pusher.is_closed() {
                break;
            }
            // Waits a little for what the server has to say.
            pusher.send(burst);
            sent += burst.len();
        }
        if is_finished {
            pusher.finish_or_find_closed();
        } else {
            pusher.stay_until_closed();
        }
        tags[..sent].to_vec()
    })
}

/// Waits for a step to come the `nth` time since a line of the log, or for so long. Whether it came.
fn wait_for(server: &Server, sign: Sign, (from, nth): (usize, usize), random: Duration) -> bool {
    let begun = Instant::now();
    let is_there: Box<dyn Fn() -> bool> = match sign {
        Random(_) | Starting(_) => {
            sleep(random);
            return true;
        }
        Line(parts) => return server.logs.comes(parts, from, nth, STEP_PATIENCE),
        Nth(parts, nth) => return server.logs.comes(parts, from, nth, 2 * STEP_PATIENCE),
        Request(op) => match &server.s3 {
            Some(s3) => {
                let before = s3.count(op);
                Box::new(move || s3.count(op) > before)
            }
            None => Box::new(|| false),
        },
    };
    while !is_there() {
        if begun.elapsed() > STEP_PATIENCE || server.s3.is_none() {
            return false;
        }
        sleep(Duration::from_millis(1));
    }
    true
}

/// How much was found to be as it should.
struct Found {
    files: usize,
    packets: usize,
}

/// Everything that was journaled is stored, once; nothing else is left. `sources` are the light and
/// the heavy one.
fn assert_nothing_is_lost(
    server: &Server,
    receiver: &Receiver,
    pushes: &[Push],
    sources: [&Source; 2],
) -> Found {
    look::wait_until_done(server);
    let mut events: BTreeMap<String, Value> = BTreeMap::new();
    for mut event in receiver.of_type(100) {
        for changing in ["t", "sign"] {
            event.as_object_mut().unwrap().remove(changing);
        }
        let id = event["file_id"].as_str().unwrap().to_owned();
        let known = events.entry(id).or_insert_with(|| event.clone());
        assert_eq!(*known, event, "an event that comes twice is the same one");
    }
    look::assert_rows(server, &events);
    look::assert_nothing_is_left(server, &events);

    let pushed = sources.map(|source| Packets::of(source.name()));
    let (mut files, mut packets) = (0, 0);
    for push in pushes {
        let ours: Vec<&Value> =
            events.values().filter(|event| event["stream_id"] == push.stream.as_str()).collect();
        if push.journaled == 0 && ours.is_empty() {
            continue;
        }
        let mut formats: Vec<&str> = ours.iter().map(|file| format_of(file)).collect();
        formats.sort_unstable();
        assert_eq!(formats, ["flv", "hls", "mp4"], "{}: one file of each", push.stream);
        let flv = ours.iter().find(|file| format_of(file) == "flv").unwrap();
        let url = super::here(server, flv);
        let found = product_tags(&url);
        let kept = frames(&found).len();
        assert!(kept >= push.journaled, "{url}: {kept} of {} journaled frames", push.journaled);
        assert_same_tags(&found, &as_in_product(upto(&push.sent, kept, found.len())), &url);
        let count = |kind| found.iter().filter(|t| t.kind == kind && !is_header(t)).count();
        let expected =
            pushed[usize::from(push.is_heavy)].first(count(TagKind::Video), count(TagKind::Audio));
        packets += kept;
        for file in ours.iter().filter(|file| format_of(file) != "flv") {
            let url = super::here(server, file);
            Packets::of(&url).assert_payloads_and_times(&expected, &url);
            packets += kept;
        }
        files += ours.len();
        let found = server.vod("SearchMedia", json!({"StreamIds": [push.stream]}));
        assert_eq!(found["TotalCount"], 3, "{}: {found}", push.stream);
    }
    Found { files, packets }
}

/// The tags that a product with so many frames, and so many tags behind its head, holds.
fn upto(sent: &[Tag], frames: usize, tags: usize) -> &[Tag] {
    let begin = super::upto_frame(sent, frames).len();
    let end = (begin..=sent.len()).find(|end| as_in_product(&sent[..*end]).len() == tags);
    &sent[..end.unwrap_or(begin)]
}
