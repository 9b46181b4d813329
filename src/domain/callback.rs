//! Events as their receivers see them: bodies, signature, and which of a template's URLs they go to
//! (spec live-api 11).
//!
//! Pure: the outbox is `db::callback`, the sender `delivery::callback`. Keys come out in
//! alphabetical order, as in every real body; ids are decimal texts because they exceed 2^53.

mod exception;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::{
    callback_rule,
    callback_template::CallbackTemplate,
    ids::DecimalId,
    media_file::MediaFile,
    recording::Recording,
    session::{EndReason, Session},
    snapshot::Snapshot,
    stream::{AppName, DomainName, StreamName, StreamPath},
    verification::Verification,
};

pub use exception::{
    Abnormal, ExceptionLevel, PushException, RecordException, push_exception, stream_exception,
    stream_exception_of,
};

/// Seconds for which a signature is valid: `t` is the time of sending plus this.
pub const SIGNATURE_LIFE_S: i64 = 600;

/// `set_id` of push events: a cluster in mainland China, since receivers tell 1 to 6 from 7 and up.
const SET_ID: i64 = 2;
/// `idc_id` of push events: there are no data centres here.
const IDC_ID: i64 = 0;

/// The events this server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A push was interrupted.
    PushEnded,
    /// A push began.
    PushStarted,
    /// A recording file is in VOD storage.
    RecordFile,
    /// A recording began, paused, resumed, failed or ended.
    RecordStatus,
    /// A push is irregular.
    PushException,
    /// Something is wrong with a recording; templates choose the levels they want.
    RecordException(ExceptionLevel),
}

impl EventType {
    /// `event_type` in the body.
    pub fn number(self) -> i64 {
        match self {
            EventType::PushEnded => 0,
            EventType::PushStarted => 1,
            EventType::RecordFile => 100,
            EventType::RecordStatus => 332,
            EventType::PushException => 321,
            EventType::RecordException(_) => 341,
        }
    }

    /// The event of a number in the database, which has no level.
    pub fn of_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(EventType::PushEnded),
            1 => Some(EventType::PushStarted),
            100 => Some(EventType::RecordFile),
            332 => Some(EventType::RecordStatus),
            321 => Some(EventType::PushException),
            341 => Some(EventType::RecordException(ExceptionLevel::Error)),
            _ => None,
        }
    }

    /// The template's URL for this event; empty if it has none.
    pub fn address(self, template: &CallbackTemplate) -> &str {
        match self {
            EventType::PushEnded => &template.stream_end_url,
            EventType::PushStarted => &template.stream_begin_url,
            EventType::RecordFile => &template.record_url,
            EventType::RecordStatus => &template.record_status_url,
            EventType::PushException => &template.push_exception_url,
            EventType::RecordException(_) => &template.record_exception_url,
        }
    }

    /// Whether the template wants this event if it has a URL for it.
    fn is_wanted(self, template: &CallbackTemplate) -> bool {
        match self {
            EventType::RecordException(level) => level.is_wanted(&template.record_exception_levels),
            _ => true,
        }
    }
}

/// `record_event` of event 332.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordEvent {
    /// The recording runs.
    StartSucceeded,
    /// The recording could not begin.
    StartFailed,
    /// The stream is interrupted, its resume window is open.
    Paused,
    /// The stream came back within the window.
    Resumed,
    /// What was recorded cannot be made into a file.
    Error,
    /// The recording is over.
    Ended,
}

impl RecordEvent {
    /// The text on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            RecordEvent::StartSucceeded => "record_start_succeeded",
            RecordEvent::StartFailed => "record_start_failed",
            RecordEvent::Paused => "record_paused",
            RecordEvent::Resumed => "record_resumed",
            RecordEvent::Error => "record_error",
            RecordEvent::Ended => "record_ended",
        }
    }
}

/// An event without `t` and `sign`, which are made when it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Which.
    pub event_type: EventType,
    /// The stream it is about.
    pub path: StreamPath,
    /// The JSON object.
    pub body: Map<String, Value>,
}

/// An event for the outbox: receiver and body are fixed from here on.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCallback {
    /// Which event.
    pub event_type: EventType,
    /// The stream it is about; events of one stream to one URL keep their order.
    pub stream_path: StreamPath,
    /// Receiver.
    pub url: String,
    /// Key of the signature; empty for none. A secret.
    pub sign_key: String,
    /// The JSON object without `t` and `sign`.
    pub body: Map<String, Value>,
}

impl NewCallback {
    /// Addresses an event by a template; `None` when the template has no URL for it or does not
    /// want it.
    pub fn new(template: &CallbackTemplate, event: Event) -> Option<Self> {
        let url = event.event_type.address(template);
        if url.is_empty() || !event.event_type.is_wanted(template) {
            return None;
        }
        Some(Self {
            event_type: event.event_type,
            stream_path: event.path,
            url: url.to_owned(),
            sign_key: template.key.clone(),
            body: event.body,
        })
    }
}

/// The callback template of a stream. `None` when no rule matches or the rule's template is gone.
pub fn template_for<'a>(snapshot: &'a Snapshot, path: &StreamPath) -> Option<&'a CallbackTemplate> {
    let rule = callback_rule::select(&snapshot.callback_rules, path)?;
    snapshot.callback_templates.get(&rule.template_id)
}

/// The stream that an event's body is about; the vendor has three names for a domain and two for an
/// application.
pub fn path_of(body: &Map<String, Value>) -> Option<StreamPath> {
    let text = |names: [&str; 2]| names.iter().find_map(|name| body.get(*name)?.as_str());
    Some(StreamPath {
        domain: DomainName::parse(text(["domain", "app"])?).ok()?,
        app: AppName::parse(text(["appname", "path"])?).ok()?,
        stream: StreamName::parse(text(["stream_id", "channel_id"])?).ok()?,
    })
}

/// `sign`: lower-case hex MD5 of the key followed by `t` in decimal.
pub fn sign(key: &str, t: i64) -> String {
    hex::encode(Md5::new().chain_update(key).chain_update(t.to_string()).finalize())
}

/// The value of the header `X-Liverec-Signature`: `sha256=` and the lower-case hex HMAC-SHA256 of
/// the body's bytes; `None` without a key.
pub fn body_signature(key: &str, body: &[u8]) -> Option<String> {
    if key.is_empty() {
        return None;
    }
    // A key of any length is taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(body);
    Some(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

/// The body as it is sent at `now_s` (unix seconds); without a key it stays unsigned.
pub fn signed(mut body: Map<String, Value>, key: &str, now_s: i64) -> Map<String, Value> {
    if !key.is_empty() {
        let t = now_s.saturating_add(SIGNATURE_LIFE_S);
        body.insert("t".to_owned(), t.into());
        body.insert("sign".to_owned(), sign(key, t).into());
    }
    body
}

/// Event 1: a push began. Width and height in pixels, 0 while unknown.
pub fn push_started(session: &Session, app_id: u64, width: u32, height: u32) -> Event {
    let mut body = push(session, app_id, width, height);
    body.insert("errcode".to_owned(), 0.into());
    body.insert("errmsg".to_owned(), "ok".into());
    body.insert("event_time".to_owned(), session.started_ms.div_euclid(1000).into());
    event(EventType::PushStarted, &session.path, body)
}

/// Event 0: a push was interrupted at `ended_ms` (unix milliseconds).
pub fn push_ended(
    session: &Session,
    app_id: u64,
    width: u32,
    height: u32,
    reason: EndReason,
    ended_ms: i64,
) -> Event {
    let (code, message) = reason.event_code();
    let duration_ms = ended_ms.saturating_sub(session.started_ms).max(0);
    let mut body = push(session, app_id, width, height);
    body.insert("errcode".to_owned(), code.into());
    body.insert("errmsg".to_owned(), message.into());
    body.insert("event_time".to_owned(), ended_ms.div_euclid(1000).into());
    body.insert("push_duration".to_owned(), duration_ms.to_string().into());
    event(EventType::PushEnded, &session.path, body)
}

/// Event 0 for a push that was not let in at `at_ms` (unix milliseconds): there was no event 1.
pub fn push_refused(session: &Session, app_id: u64, code: (i64, &str), at_ms: i64) -> Event {
    let (code, message) = code;
    let mut body = push(session, app_id, 0, 0);
    body.insert("errcode".to_owned(), code.into());
    body.insert("errmsg".to_owned(), message.into());
    body.insert("event_time".to_owned(), at_ms.div_euclid(1000).into());
    body.insert("push_duration".to_owned(), "0".into());
    event(EventType::PushEnded, &session.path, body)
}

/// Event 100: a media file is in VOD storage and plays at `video_url`. `callback_ext` has the
/// verification summary under a key of our own beside the vendor's.
pub fn file_stored(
    file: &MediaFile,
    verification: &Verification,
    app_id: u64,
    video_url: &str,
) -> Event {
    let facts = &file.facts;
    let file_id = file.id.to_string();
    let template = match file.template_id {
        0 => String::new(),
        id => id.to_string(),
    };
    let ext = json!({
        "liverec": verification.for_event(),
        "resolution": format!("{}x{}", facts.width, facts.height),
        "session_id": file.session_id.to_string(),
        "video_codec": facts.video_codec,
    });
    let mut body = stream(&file.path, app_id);
    body.extend(object(json!({
        "callback_ext": ext.to_string(),
        "duration": facts.duration_ms.max(0).saturating_add(500) / 1000,
        "end_time": facts.end_ms.div_euclid(1000),
        "end_time_usec": facts.end_ms.rem_euclid(1000) * 1000,
        "file_format": file.container.as_str(),
        "file_id": file_id,
        "file_size": facts.size_bytes,
        "media_start_time": facts.first_pts_ms,
        "record_bps": 0,
        "record_file_id": file_id,
        "record_temp_id": template,
        "start_time": facts.start_ms.div_euclid(1000),
        "start_time_usec": facts.start_ms.rem_euclid(1000) * 1000,
        // Derived from the id, so that the same file always has the same one.
        "video_id": format!("{app_id}_{}", hex::encode(Md5::digest(&file_id))),
        "video_url": video_url,
    })));
    let task_id = match file.origin.task_id() {
        Some(task_id) => task_id.to_owned(),
        None => {
            // The vendor leaves the push query out of events of API tasks.
            body.insert("stream_param".to_owned(), file.stream_param.as_str().into());
            file.session_id.to_string()
        }
    };
    body.insert("task_id".to_owned(), task_id.into());
    event(EventType::RecordFile, &file.path, body)
}

/// Event 332: something happened to a recording at `now_ms` (unix milliseconds). `seq` numbers the
/// message.
pub fn record_status(
    recording: &Recording,
    path: &StreamPath,
    app_id: u64,
    what: RecordEvent,
    seq: DecimalId,
    now_ms: i64,
) -> Event {
    let detail = json!({
        "codec_temp_id": 0,
        "file_format": recording.container.event_number(),
        "record_bps": 0,
        "record_content": 1, // the original stream
        "source_type": 1,    // live
        "start_model": recording.origin.start_model(),
    });
    let mut body = object(json!({
        "appid": app_id,
        "appname": path.app.as_str(),
        "domain": path.domain.as_str(), // here the push domain is not called `app`
        "event_time": now_ms.div_euclid(1000),
        "record_detail": detail.to_string(),
        "record_event": what.as_str(),
        "seq": seq.to_string(),
        "session_id": recording.session_id.to_string(),
        "stream_id": path.stream.as_str(),
    }));
    if let Some(task_id) = recording.origin.task_id() {
        body.insert("task_id".to_owned(), task_id.into());
    }
    event(EventType::RecordStatus, path, body)
}

/// What events 0, 1 and 100 call a stream: `app` is the push domain.
fn stream(path: &StreamPath, app_id: u64) -> Map<String, Value> {
    object(json!({
        "app": path.domain.as_str(),
        "appid": app_id,
        "appname": path.app.as_str(),
        "channel_id": path.stream.as_str(),
        "stream_id": path.stream.as_str(),
    }))
}

/// What events 0 and 1 have in common.
fn push(session: &Session, app_id: u64, width: u32, height: u32) -> Map<String, Value> {
    let mut body = stream(&session.path, app_id);
    body.extend(object(json!({
        "height": height,
        "idc_id": IDC_ID,
        "node": session.node_ip,
        "sequence": session.sequence.to_string(),
        "set_id": SET_ID,
        "stream_param": session.stream_param,
        "user_ip": session.user_ip,
        "width": width,
    })));
    body
}

fn event(event_type: EventType, path: &StreamPath, mut body: Map<String, Value>) -> Event {
    body.insert("event_type".to_owned(), event_type.number().into());
    Event { event_type, path: path.clone(), body }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
