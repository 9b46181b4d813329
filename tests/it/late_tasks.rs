//! Tasks made during a push whose key frames have stopped, or never came: they record nevertheless.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use chrono::Utc;
use liverec::media::tag::{Tag, TagKind};
use serde_json::{Value, json};

use crate::{
    support::{
        ffmpeg::{Codecs, make_source},
        publisher::{LivePush, Pusher, is_header, is_keyframe, read_tags},
        pushing::frames,
        receiver::Receiver,
        server::{BACKENDS, Backend, Server},
    },
    tasks::{events, product, set_up_with, template, wait},
    verbatim::FORMATS,
    verify::verify,
};

/// The next key frame of [`Keys::Return`].
const RETURNS_MS: i64 = 6_500;

/// Which key frames a push has.
#[derive(Clone, Copy, PartialEq)]
enum Keys {
    None,
    First,
    /// The first, which the journal has released when the task is made.
    Released,
    /// The first, and those from [`RETURNS_MS`] on.
    Return,
}

/// What becomes of the task while it waits.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    None,
    Stopped,
    Deleted,
    /// Its window closes.
    Closes,
    /// The push ends.
    Left,
}

/// The name of a stream, its key frames, what becomes of its task, and bytes added to each picture.
type Spec = (&'static str, Keys, Fate, usize);

const CASES: [Spec; 7] = [
    ("stopped", Keys::First, Fate::Stopped, 0),
    ("closes", Keys::First, Fate::Closes, 0),
    ("left", Keys::First, Fate::Left, 0),
    ("deleted", Keys::First, Fate::Deleted, 0),
    ("first", Keys::First, Fate::None, 0),
    ("none", Keys::None, Fate::None, 0),
    ("return", Keys::Return, Fate::None, 0),
];

fn with_keys(tags: &[Tag], keys: Keys) -> Vec<Tag> {
    let first = tags.iter().position(is_keyframe).unwrap();
    let is_kept = |(at, tag): &(usize, &Tag)| match keys {
        _ if !is_keyframe(tag) => true,
        Keys::None => false,
        Keys::First | Keys::Released => *at == first,
        Keys::Return => *at == first || tag.time_ms >= RETURNS_MS,
    };
    tags.iter().enumerate().filter(is_kept).map(|(_, tag)| tag.clone()).collect()
}

/// A picture with so many bytes of filler data (H.264 NAL unit 12) behind it.
fn padded(tag: Tag, bytes: usize) -> Tag {
    if bytes == 0 || tag.kind != TagKind::Video || is_header(&tag) {
        return tag;
    }
    let length = u32::try_from(bytes + 1).unwrap().to_be_bytes();
    let payload = [&tag.payload, &length[..], &[12], &vec![0xff; bytes]].concat();
    Tag { payload: payload.into(), ..tag }
}

/// A push with what its task is to record.
struct Case {
    stream: &'static str,
    keys: Keys,
    fate: Fate,
    push: Option<LivePush>,
    begun: Instant,
    /// Unix seconds.
    began_s: i64,
    task: String,
    created_ms: i64,
    sent: Vec<Tag>,
}

impl Case {
    fn push_ms(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    fn end_push(&mut self) {
        self.sent = frames(&self.push.take().unwrap().stop());
    }

    fn ask(&self, server: &Server) -> Value {
        let stream =
            json!({"DomainName": "live.local", "AppName": "live", "StreamName": self.stream});
        server.live("LiverecExplainRecord", stream)
    }

    /// What the FLV file holds is what was sent, from where it is to begin on, with none left out.
    fn check(&self, flv: &Value) {
        let found = product(flv);
        let found: Vec<&Tag> = found.iter().skip_while(|tag| is_header(tag)).collect();
        let first = *found.first().unwrap();
        match self.keys {
            Keys::First => {
                assert_eq!(Some(first), self.sent.iter().find(|tag| is_keyframe(tag)));
                let start_s = flv["start_time"].as_i64().unwrap();
                assert!((start_s - self.began_s).abs() <= 2, "{} {flv}", self.began_s);
            }
            Keys::Return => {
                assert!(is_keyframe(first) && first.time_ms >= RETURNS_MS, "{first:?}");
            }
            // As far as the journal had been written.
            Keys::None | Keys::Released => assert!(
                (self.created_ms - 1500..self.created_ms + 1000).contains(&first.time_ms),
                "{} {first:?}",
                self.created_ms
            ),
        }
        let from = self.sent.iter().position(|tag| tag == first).unwrap();
        let expected: Vec<&Tag> = self.sent.iter().skip(from).collect();
        assert!(found.len() <= expected.len(), "{}", self.stream);
        assert_eq!(found, expected[..found.len()], "{}", self.stream);
        let last_ms = found.last().unwrap().time_ms;
        match self.fate {
            // It asked for what came while it waited.
            Fate::Stopped | Fate::Closes => {
                assert!(last_ms > self.created_ms + 500, "{} {last_ms}", self.stream);
                assert!(last_ms < self.created_ms + 6000, "{} {last_ms}", self.stream);
            }
            _ => assert_eq!(found.len(), expected.len(), "{}: to the end", self.stream),
        }
    }
}

fn start(server: &Server, specs: &[Spec]) -> Vec<Case> {
    let path = server.folder().join("source.flv");
    make_source(Codecs::H264Aac, 40, &path);
    let tags = read_tags(&path);
    let template = template(server, &["Flv", "Hls", "Mp4", "Aac"]);
    let mut cases: Vec<Case> = specs
        .iter()
        .map(|&(stream, keys, fate, padding)| {
            let tags = with_keys(&tags, keys).into_iter().map(|tag| padded(tag, padding)).collect();
            let pusher = Pusher::connect(server.rtmp, stream, 4096).accepted();
            let begun = Instant::now();
            let push = Some(LivePush::start(pusher, tags));
            let (task, sent) = (String::new(), Vec::new());
            let began_s = Utc::now().timestamp();
            Case { stream, keys, fate, push, begun, began_s, task, created_ms: 0, sent }
        })
        .collect();
    sleep(Duration::from_millis(3000));
    for case in &mut cases {
        let lasts_s = if case.fate == Fate::Closes { 4 } else { 3600 };
        let task = json!({
            "DomainName": "live.local", "AppName": "live", "StreamName": case.stream,
            "EndTime": Utc::now().timestamp() + lasts_s, "TemplateId": template,
        });
        case.created_ms = case.push_ms();
        case.task = server.live("CreateRecordTask", task)["TaskId"].as_str().unwrap().to_owned();
    }
    cases
}

#[test]
fn a_task_on_a_push_without_key_frames_records_all_the_same() {
    for (backend, segment_type) in BACKENDS.into_iter().zip(["ts", "fmp4"]) {
        let settings = [
            ("record.max_preroll", "1s"),
            ("hls.segment_duration", "2s"),
            ("hls.segment_type", segment_type),
            ("journal.retention", "1h"),
        ];
        let (server, receiver) = set_up_with(backend, &settings);
        let mut cases = start(&server, &CASES);
        sleep(Duration::from_millis(700));
        for case in &cases {
            assert!(events(&receiver, 332, case.stream).is_empty(), "{} waits", case.stream);
            let told = case.ask(&server);
            let waiting = &told["SessionList"][0]["WaitingList"];
            assert_eq!(waiting[0]["TaskId"], case.task.as_str(), "{told:#}");
            for reason in [&waiting[0]["Reason"], &told["TaskList"][0]["Reason"]] {
                let reason = reason.as_str().unwrap();
                let why = if case.keys == Keys::None { "no key frame" } else { "is older than" };
                assert!(reason.contains("waits for a key frame") && reason.contains(why), "{told}");
            }
            let summary = told["Summary"].as_str().unwrap();
            assert!(summary.contains("1 task waits for a key frame of it"), "{summary}");
        }
        sleep(Duration::from_millis(500));
        for case in &mut cases {
            match case.fate {
                Fate::Stopped => {
                    server.live("StopRecordTask", json!({"TaskId": case.task}));
                }
                Fate::Deleted => {
                    server.live("DeleteRecordTask", json!({"TaskId": case.task}));
                }
                Fate::Left => case.end_push(),
                Fate::None | Fate::Closes => {}
            }
        }
        for case in &cases {
            wait(&receiver, 332, case.stream, FORMATS.len());
        }
        assert_eq!(server.logs.count("waits for a key frame"), cases.len(), "once each");
        let told = cases.iter().find(|case| case.stream == "first").unwrap().ask(&server);
        assert_eq!(told["SessionList"][0]["WaitingList"], json!([]), "{told:#}");
        sleep(Duration::from_millis(1500));
        finish(&server, &receiver, cases);
    }
}

/// Ends the pushes and looks at every product.
fn finish(server: &Server, receiver: &Receiver, cases: Vec<Case>) {
    for mut case in cases {
        if case.push.is_some() {
            case.end_push();
        }
        let files = wait(receiver, 100, case.stream, FORMATS.len());
        assert!(files.iter().all(|file| file["task_id"] == case.task.as_str()));
        case.check(files.iter().find(|file| file["file_format"] == "flv").unwrap());
        for file in &files {
            let (code, report) = verify(server, file);
            assert_eq!(code, 0, "{} {report:#}", case.stream);
            let tracks = report["tracks"].as_array().unwrap();
            let has = |kind: &str| tracks.iter().any(|track| track["track"] == kind);
            let has_pictures = file["file_format"] != "aac";
            assert!(has("audio") && has("video") == has_pictures, "{report:#}");
        }
    }
}

/// What the journal keeps for tasks to come is held while one waits, and no more than that is.
#[test]
fn a_task_that_waits_holds_the_journal() {
    let settings = [
        ("record.max_preroll", "1s"),
        ("journal.unclaimed_max", "1MiB"),
        ("journal.retention", "1h"),
    ];
    let (server, receiver) = set_up_with(Backend::Plain, &settings);
    // The one has 600 KiB behind its key frame when the task is made and 2.6 MiB when it begins, the
    // other 4 MiB and 17 MiB.
    let specs = [
        ("held", Keys::First, Fate::None, 8 << 10),
        ("released", Keys::Released, Fate::None, 56 << 10),
    ];
    let cases = start(&server, &specs);
    for case in &cases {
        wait(&receiver, 332, case.stream, FORMATS.len());
    }
    sleep(Duration::from_millis(500));
    finish(&server, &receiver, cases);
}
