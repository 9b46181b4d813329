//! The steps of the kill matrix, and how each is known.

use crate::support::{s3::Op, server::Backend};

/// Where a step shows.
#[derive(Debug, Clone, Copy)]
pub enum Sign {
    /// A line of the log that holds all of these.
    Line(&'static [&'static str]),
    /// The so-manieth such line.
    Nth(&'static [&'static str], usize),
    /// A request to the store; only where that is an S3 server, with a product of several parts.
    Request(Op),
    /// Nothing: a moment up to so many milliseconds after the push began.
    Random(u64),
    /// The same, after the process was started and before it listens.
    Starting(u64),
}

use Sign::{Line, Nth, Random, Request, Starting};

/// What is pushed for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// A few seconds of little, often cut short.
    Light,
    /// Enough for an upload in parts, ended in good order.
    Heavy,
    /// The same, going on until the kill: parts are stored of a file that grows.
    Live,
}

use Load::{Heavy, Light, Live};

/// Every step at which the server is killed, in the order in which a recording takes them.
pub const STEPS: &[(&str, Sign, Load)] = &[
    ("at a random moment of the push", Random(900), Light),
    ("session begun", Line(&["INSERT INTO session "]), Light),
    ("recording begun", Line(&["INSERT INTO recording "]), Light),
    ("file begun", Line(&["INSERT INTO media_file "]), Light),
    ("event queued", Line(&["INSERT INTO callback "]), Light),
    ("file ended", Line(&["UPDATE media_file SET state = 'ended'", "rows_affected=1"]), Light),
    ("recording suspended", Line(&["UPDATE recording SET suspended_ms = $2"]), Light),
    ("session ended", Line(&["UPDATE session SET ended_ms", "rows_affected=1"]), Light),
    ("window over", Line(&["UPDATE recording SET ended_ms = suspended_ms"]), Light),
    ("file claimed", Line(&["UPDATE media_file SET lease_owner = $3", "rows_returned=1"]), Light),
    ("at a random moment of delivery", Random(2500), Light),
    (FIRST_OVER_SERVICES, Line(&["UPDATE media_file SET projector = $2"]), Live),
    ("upload begun", Request(Op::Create), Live),
    ("upload noted", Line(&["upload of a media file begun"]), Live),
    ("part sent while live", Request(Op::UploadPart), Live),
    ("part stored while live", Line(&["INSERT INTO media_part"]), Live),
    ("part of an ended file stored", Nth(&["INSERT INTO media_part"], 6), Heavy),
    ("last parts stored", Nth(&["INSERT INTO media_part"], LAST_PARTS), Heavy),
    ("head parts stored", Nth(&["INSERT INTO media_part"], LAST_PARTS + 2), Heavy),
    ("upload completed at the store", Request(Op::Complete), Heavy),
    ("completion answered", Line(&["UPDATE media_file SET progress"]), Heavy),
    ("object looked at", Request(Op::Head), Heavy),
    ("file verified", Nth(&["UPDATE media_file SET progress"], 2), Heavy),
    // Looked for every five seconds.
    (READ_BACK, Nth(&["stored file read back"], 1), Light),
    ("file put", Request(Op::Put), Light),
    ("file committed", Line(&["UPDATE media_file SET state = 'stored'"]), Light),
    ("file announced", Line(&["media file stored"]), Light),
    (
        "event claimed",
        Line(&["UPDATE callback_queue SET lease_owner = $3", "rows_returned=1"]),
        Light,
    ),
    ("event delivered", Line(&["UPDATE callback SET state = $2", "rows_affected=1"]), Light),
    ("journal forgotten", Line(&["UPDATE session SET has_journal = 0", "rows_affected=1"]), Light),
    ("journal released", Line(&["journal released"]), Light),
    ("while starting", Starting(40), Light),
    (FOUND, Line(&["finishing a session that was interrupted"]), Light),
];

/// The step with which the short run over services begins.
pub const FIRST_OVER_SERVICES: &str = "upload meant";

/// The step that comes only if the tags of the store's objects prove nothing.
pub const READ_BACK: &str = "file read back";

/// The step that comes right after a start.
pub const FOUND: &str = "interrupted session found";

/// About where the parts that end two such uploads are.
const LAST_PARTS: usize = 13;

/// Steps that there are only on a plain server, where a push may be resumed.
const ONLY_PLAIN: &[&str] = &["recording suspended", "window over"];

/// Steps that there are only over S3, as are all requests: into a directory there are fewer parts,
/// and its word is proof enough.
const ONLY_SERVICES: &[&str] = &["last parts stored", "head parts stored", READ_BACK];

/// Whether a server of this kind takes the step.
pub fn is_step_of(backend: Backend, name: &str) -> bool {
    let sign = STEPS.iter().find(|step| step.0 == name).map(|step| step.1);
    match backend {
        Backend::Plain => !ONLY_SERVICES.contains(&name) && !matches!(sign, Some(Request(_))),
        Backend::Services => !ONLY_PLAIN.contains(&name),
    }
}
