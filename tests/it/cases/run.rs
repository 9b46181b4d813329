//! Pushes cases, waits for their products and has them compared (`check.py`).

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use liverec::media::tag::{Tag, TagKind};
use rml_amf0::Amf0Value;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{report, wire};
use crate::support::{
    needed,
    publisher::Pusher,
    python,
    raw::Raw,
    receiver::{Receiver, SIGN_KEY},
    run,
    server::{Backend, Server, eventually},
};

/// The columns of the report: key, heading.
const COLUMNS: [(&str, &str); 5] =
    [("flv", "FLV"), ("mp4", "MP4"), ("ts", "HLS ts"), ("fmp4", "HLS fmp4"), ("aac", "AAC")];

/// How messages are cut into chunks.
#[derive(Debug, Clone, Copy)]
pub enum Wire {
    /// Chunks of this size, by the publisher that the demonstration uses.
    Chunks(usize),
    /// Chunks of 128 bytes from the tests' own writer. An extended timestamp is repeated at every
    /// chunk of its message, as most encoders do, or stands at the first alone.
    Own {
        /// Whether it is repeated.
        repeats_extended: bool,
    },
}

/// One row of the report.
pub struct Case {
    name: String,
    tags: Vec<Tag>,
    wire: Wire,
    /// Files that one recording becomes, where that is not one.
    files: BTreeMap<&'static str, usize>,
    allowed: Vec<Allowed>,
    /// Containers that no ffmpeg reads, and why.
    unread: Vec<(&'static str, &'static str)>,
    /// Containers whose product must decode to its end without an error.
    decoded: &'static [&'static str],
}

struct Allowed {
    containers: &'static [&'static str],
    part: &'static str,
    reason: &'static str,
}

/// What ffmpeg says of any product.
const ALWAYS_ALLOWED: [Allowed; 1] = [Allowed {
    containers: &["aac"],
    part: "[aac] Estimating duration from bitrate, this may be inaccurate",
    reason: "ADTS has no times",
}];

impl Case {
    /// A case.
    pub fn new(name: impl Into<String>, tags: Vec<Tag>) -> Self {
        Self {
            name: name.into(),
            tags,
            wire: Wire::Chunks(4096),
            files: BTreeMap::new(),
            allowed: Vec::new(),
            unread: Vec::new(),
            decoded: &[],
        }
    }

    /// Cut into chunks in another way.
    pub fn over(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// A recording in this container becomes so many files.
    pub fn files(mut self, container: &'static str, count: usize) -> Self {
        self.files.insert(container, count);
        self
    }

    /// ffmpeg may print lines that hold `part`, because of `reason`.
    pub fn allow(
        mut self,
        containers: &'static [&'static str],
        part: &'static str,
        reason: &'static str,
    ) -> Self {
        self.allowed.push(Allowed { containers, part, reason });
        self
    }

    /// No ffmpeg can read this product, because of `reason`: the tests' own reader does alone.
    pub fn unread(mut self, container: &'static str, reason: &'static str) -> Self {
        self.unread.push((container, reason));
        self
    }

    /// Every product must also decode to its end without an error.
    pub fn decoded(mut self) -> Self {
        self.decoded = &["flv", "mp4", "ts", "fmp4", "aac"];
        self
    }

    /// The product in this container must.
    pub fn decoded_in(mut self, containers: &'static [&'static str]) -> Self {
        self.decoded = containers;
        self
    }

    /// Whether the first frame has time 0.
    pub fn starts_at_zero(&self) -> bool {
        self.tags.iter().find(|tag| tag.kind != TagKind::Script).is_some_and(|tag| tag.time_ms == 0)
    }

    fn files_in(&self, container: &str) -> usize {
        self.files.get(container).copied().unwrap_or(1)
    }

    /// The stream name.
    fn slug(&self) -> String {
        let mut slug = String::new();
        for letter in self.name.to_lowercase().chars() {
            match letter {
                'a'..='z' | '0'..='9' => slug.push(letter),
                _ if !slug.ends_with('-') => slug.push('-'),
                _ => {}
            }
        }
        slug.trim_matches('-').to_owned()
    }
}

/// What became of one case in one container.
enum Product {
    Files(Vec<String>),
    Refused(String),
}

/// A server, and which containers it is asked for.
struct Recorder {
    server: Server,
    receiver: Receiver,
    containers: &'static [&'static str],
    /// The name in the report of what this server calls `hls`.
    hls: &'static str,
}

impl Recorder {
    fn start(formats: &[&str], containers: &'static [&'static str], segment_type: &str) -> Self {
        let mut settings = vec![("hls.segment_duration", "1s")];
        let hls = match segment_type {
            "ts" => "ts",
            _ => {
                settings.push(("hls.segment_type", segment_type));
                "fmp4"
            }
        };
        let mut server = Server::start(Backend::Plain, &settings);
        // Each refusal is a cell of the report.
        server.expect("a media file cannot be made; its journal is kept");
        let receiver = Receiver::start();
        server.record("live", "", formats, 7200);
        server.call_back(&receiver.url(), SIGN_KEY);
        Self { server, receiver, containers, hls }
    }

    fn push(&self, case: &Case) {
        match case.wire {
            Wire::Chunks(chunk_size) => {
                let slug = case.slug();
                let mut pusher = Pusher::connect(self.server.rtmp, &slug, chunk_size).accepted();
                pusher.send(&case.tags);
                pusher.finish();
            }
            Wire::Own { repeats_extended } => {
                let mut raw = Raw::connect(&self.server);
                raw.connect_command(Some("live"));
                let stream = raw.create_stream(2.0);
                raw.command(stream, "publish", 3.0, Amf0Value::Null, &[&case.slug(), "live"]);
                raw.send();
                raw.wait_for("NetStream.Publish.Start");
                let bytes = wire::chunks(&case.tags, stream, repeats_extended);
                raw.socket.write_all(&bytes).unwrap();
                raw.command(stream, "closeStream", 4.0, Amf0Value::Null, &[]);
                raw.send();
                raw.wait_for("NetStream.Unpublish.Success");
            }
        }
    }

    /// Waits for every product of a case, or the reason why there is none.
    fn products(&self, case: &Case) -> Vec<(&'static str, Product)> {
        let of = |container: &'static str| {
            let format = if container == self.hls { "hls" } else { container };
            let product = eventually(&format!("{container} of {}", case.name), || {
                self.product(&case.slug(), format, case.files_in(container))
            });
            (container, product)
        };
        self.containers.iter().copied().map(of).collect()
    }

    fn product(&self, stream: &str, format: &str, count: usize) -> Option<Product> {
        let mut files: Vec<Value> = self.receiver.of_type(100);
        files.retain(|file| file["stream_id"] == stream && file["file_format"] == format);
        let log = self.server.logs.text();
        let path = format!("stream.path=live.local/live/{stream} ");
        let container = format!("container={format}}}");
        let refusal = log.lines().find_map(|line| {
            let is_it = line.contains(&path) && line.contains(&container);
            line.split_once("its journal is kept reason=").filter(|_| is_it)
        });
        match refusal {
            Some((_, reason)) => {
                let reason = reason.trim().trim_start_matches('"');
                let reason = reason.strip_suffix('"').unwrap_or(reason).replace("\\\"", "\"");
                let reason =
                    reason.split_once(" cannot be made: ").map_or(reason.as_str(), |(_, why)| why);
                assert!(files.is_empty(), "{stream}: a {format} file beside a refused one");
                Some(Product::Refused(reason.to_owned()))
            }
            None if files.len() >= count => {
                assert_eq!(files.len(), count, "{stream}: {format} files");
                files.sort_by_key(|file| file["file_id"].as_str().unwrap().to_owned());
                let url = |file: &Value| file["video_url"].as_str().unwrap().to_owned();
                Some(Product::Files(files.iter().map(url).collect()))
            }
            None => None,
        }
    }

    /// Nothing came that no case asked for.
    fn assert_no_more(&self, cases: usize, files: usize) {
        self.receiver.wait_for(0, cases);
        assert_eq!(self.receiver.of_type(100).len(), files, "files in all");
    }
}

#[derive(Deserialize)]
struct Verdicts {
    cases: Vec<Verdict>,
}

#[derive(Deserialize)]
struct Verdict {
    cells: BTreeMap<String, String>,
    warnings: BTreeMap<String, Vec<String>>,
    errors: Vec<String>,
}

/// Pushes the cases of a family, compares what came out, and settles its section of the report.
pub fn check(section: &str, cases: &[Case]) {
    let recorders = [
        Recorder::start(&["Flv", "Mp4", "Hls", "Aac"], &["flv", "mp4", "ts", "aac"], "ts"),
        Recorder::start(&["Hls"], &["fmp4"], "fmp4"),
    ];
    let folder = recorders[0].server.folder().to_owned();
    for case in cases {
        recorders.iter().for_each(|recorder| recorder.push(case));
    }
    let mut jobs = Vec::new();
    let mut files = [0, 0];
    for case in cases {
        let mut products = BTreeMap::new();
        for (recorder, files) in recorders.iter().zip(&mut files) {
            for (container, product) in recorder.products(case) {
                let value = match product {
                    Product::Files(urls) => {
                        *files += urls.len();
                        json!({"urls": urls})
                    }
                    Product::Refused(reason) => json!({"refused": reason}),
                };
                products.insert(container, value);
            }
        }
        jobs.push(json!({
            "name": case.name, "tags": write_tags(&folder, case), "products": products,
            "decoded": case.decoded,
            "unread": case.unread.iter().map(|(container, _)| container).collect::<Vec<_>>(),
        }));
    }
    for (recorder, files) in recorders.iter().zip(files) {
        recorder.assert_no_more(cases.len(), files);
    }
    let job = folder.join("job.json");
    fs::write(&job, json!({"cases": jobs, "ffmpeg7": needed("LIVEREC_TEST_FFMPEG7")}).to_string())
        .unwrap();
    let verdicts: Verdicts =
        serde_json::from_slice(&run(python::script("cases/check.py").arg(&job))).unwrap();
    settle(section, cases, &verdicts.cases);
}

fn write_tags(folder: &Path, case: &Case) -> PathBuf {
    let path = folder.join(case.slug()).with_extension("tags");
    let mut bytes = Vec::new();
    for tag in &case.tags {
        bytes.push(tag.kind as u8);
        bytes.extend_from_slice(&tag.time_ms.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(tag.payload.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&tag.payload);
    }
    fs::write(&path, bytes).unwrap();
    path
}

fn settle(section: &str, cases: &[Case], verdicts: &[Verdict]) {
    assert_eq!(cases.len(), verdicts.len());
    let mut errors: Vec<String> =
        verdicts.iter().flat_map(|verdict| verdict.errors.clone()).collect();
    let headings = COLUMNS.map(|(_, heading)| heading).join(" | ");
    let mut table = format!("| case | {headings} |\n|---{}|\n", "|---".repeat(COLUMNS.len()));
    for (case, verdict) in cases.iter().zip(verdicts) {
        let cell = |key| verdict.cells.get(key).map_or("WRONG", String::as_str);
        let cells = COLUMNS.map(|(key, _)| cell(key)).join(" | ");
        table += &format!("| {} | {cells} |\n", case.name);
        errors.extend(unexplained(case, verdict));
    }
    table += &notes(cases);
    assert!(errors.is_empty(), "{table}\n{}", errors.join("\n"));
    report::settle(section, &table);
}

fn is_allowed(allowed: &Allowed, container: &str, line: &str) -> bool {
    allowed.containers.contains(&container) && line.contains(allowed.part)
}

/// Warnings that are not on the list, and lines of the list that nothing needs.
fn unexplained(case: &Case, verdict: &Verdict) -> Vec<String> {
    let mut errors = Vec::new();
    for (container, lines) in &verdict.warnings {
        for line in lines {
            let mut known = case.allowed.iter().chain(&ALWAYS_ALLOWED);
            if !known.any(|allowed| is_allowed(allowed, container, line)) {
                errors.push(format!("{}: {container}: ffmpeg says: {line}", case.name));
            }
        }
    }
    for allowed in &case.allowed {
        for container in allowed.containers {
            let lines = verdict.warnings.get(*container).map_or(&[][..], Vec::as_slice);
            if !lines.iter().any(|line| is_allowed(allowed, container, line)) {
                errors.push(format!("{}: {container}: no line holds {}", case.name, allowed.part));
            }
        }
    }
    errors
}

/// What ffmpeg says, and of which products.
fn notes(cases: &[Case]) -> String {
    let name = |key: &str| COLUMNS.iter().find(|(known, _)| *known == key).unwrap().1;
    let mut notes: Vec<(String, Vec<&str>)> = Vec::new();
    let mut add = |note: String, case| match notes.iter_mut().find(|(known, _)| *known == note) {
        Some((_, cases)) => cases.push(case),
        None => notes.push((note, vec![case])),
    };
    for case in cases {
        for (container, reason) in &case.unread {
            add(format!("{} is not read by ffmpeg: {reason}", name(container)), case.name.as_str());
        }
        for Allowed { containers, part, reason } in &case.allowed {
            let containers: Vec<&str> = containers.iter().map(|key| name(key)).collect();
            add(format!("{}: `{part}`: {reason}", containers.join(", ")), case.name.as_str());
        }
    }
    let lines: Vec<String> =
        notes.iter().map(|(note, cases)| format!("* {note} ({})\n", cases.join("; "))).collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!("\nWhat ffmpeg says:\n\n{}", lines.concat()),
    }
}
