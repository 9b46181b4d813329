//! Events 321 (push exception) and 341 (recording exception): what is wrong with a stream while it
//! runs (spec live-api 11.4 and 11.5).
//!
//! Pure bodies. What is wrong is found by `record::watch` and by whoever writes journals or
//! products; this says only how it is told. Whether a template wants event 341 at all depends on
//! its level ([`ExceptionLevel::is_wanted`]).

use serde_json::{Value, json};

use super::{Event, EventType, event, object};
use crate::domain::{
    container::Container, ids::DecimalId, recording::Recording, session::Session,
    stream::StreamPath,
};

/// `interface` of the newer events.
const INTERFACE: &str = "general_callback";
/// `report_interval` and `timeout` of event 321, in milliseconds, as the vendor has them.
const REPORT_INTERVAL_MS: i64 = 5_000;

/// `exception_level` of event 341.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExceptionLevel {
    /// Worth knowing; the files are as good as what was sent.
    Info,
    /// What was sent is irregular; players may show it.
    Warning,
    /// Something may be missing from the files.
    Error,
}

impl ExceptionLevel {
    /// The text on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ExceptionLevel::Info => "info",
            ExceptionLevel::Warning => "warning",
            ExceptionLevel::Error => "error",
        }
    }

    /// Whether a template with these RecordExceptionLevels wants this level. None named is the
    /// vendor's default, `error` alone; `alarm` is what some of its documents call a warning.
    pub fn is_wanted(self, levels: &[String]) -> bool {
        match self {
            ExceptionLevel::Error if levels.is_empty() => true,
            ExceptionLevel::Warning if levels.iter().any(|level| level == "alarm") => true,
            _ => levels.iter().any(|level| level == self.as_str()),
        }
    }
}

/// What can be wrong with a recording (`exception.type` of event 341).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordException {
    /// The clock of the sound jumped forward.
    AudioJump,
    /// The clock of the pictures jumped forward.
    VideoJump,
    /// The clock of the pictures went back.
    VideoBack,
    /// The clock of the sound went back.
    AudioBack,
    /// The sound stopped while pictures came.
    NoAudio,
    /// The pictures stopped while sound came.
    NoVideo,
    /// The pictures changed their size.
    ResolutionChange,
    /// What was recorded could not be written: the journal's disk, or no file can be made of it.
    WriteError,
    /// A track changed its codec; an MP4 begins a new file there.
    CodecChange,
    /// More than 10 s between two key frames.
    LongGop,
}

impl RecordException {
    /// `exception.type`.
    pub fn number(self) -> i64 {
        match self {
            RecordException::AudioJump => -8,
            RecordException::VideoJump => -9,
            RecordException::VideoBack => -11,
            RecordException::AudioBack => -24,
            RecordException::NoAudio => -17,
            RecordException::NoVideo => -18,
            RecordException::ResolutionChange => -100,
            RecordException::WriteError => -104,
            RecordException::CodecChange => -120,
            RecordException::LongGop => -132,
        }
    }

    /// `exception_level`.
    pub fn level(self) -> ExceptionLevel {
        match self {
            RecordException::WriteError => ExceptionLevel::Error,
            RecordException::ResolutionChange | RecordException::LongGop => ExceptionLevel::Info,
            RecordException::AudioJump
            | RecordException::VideoJump
            | RecordException::VideoBack
            | RecordException::AudioBack
            | RecordException::NoAudio
            | RecordException::NoVideo
            | RecordException::CodecChange => ExceptionLevel::Warning,
        }
    }
}

/// Event 341: something is wrong with a recording. For whoever finds it: the watch over the samples,
/// a journal that cannot be written (`disk`), a product that cannot be made.
///
/// `occurs` is how often it happened since it was last told, `desc` one sentence for people,
/// without secrets and paths; `now_ms` unix milliseconds. The event is addressed like any other:
/// `NewCallback::new(template, event)` answers `None` where the template does not want its level.
/// The caller bounds how often it tells the same thing.
pub fn stream_exception(
    recording: &Recording,
    path: &StreamPath,
    app_id: u64,
    what: RecordException,
    occurs: u64,
    desc: &str,
    now_ms: i64,
) -> Event {
    stream_exception_of(
        recording.session_id,
        recording.container,
        path,
        app_id,
        (what, occurs, desc),
        now_ms,
    )
}

/// [`stream_exception`] for who has not the recording at hand but its `session_id` and container.
pub fn stream_exception_of(
    session_id: DecimalId,
    container: Container,
    path: &StreamPath,
    app_id: u64,
    (what, occurs, desc): (RecordException, u64, &str),
    now_ms: i64,
) -> Event {
    let body = object(json!({
        "appid": app_id,
        "domain": path.domain.as_str(),
        "exception": { "desc": desc, "occurs": occurs, "type": what.number() },
        "exception_level": what.level().as_str(),
        "file_format": match container {
            Container::Hls => "ts",
            Container::Flv | Container::Mp4 | Container::Aac => container.as_str(),
        },
        "interface": INTERFACE,
        "path": path.app.as_str(),
        "session_id": session_id.to_string(),
        "stream_id": path.stream.as_str(),
        "timestamp": now_ms.div_euclid(1000),
    }));
    event(EventType::RecordException(what.level()), path, body)
}

/// What can be wrong with a push (`abnormal_event[].type` of event 321).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum PushException {
    VideoBack,
    AudioBack,
    VideoJump,
    AudioJump,
    NoVideo,
    NoAudio,
    VideoCodecChange,
    AudioCodecChange,
    NoVideoHeader,
    NoAudioHeader,
    UncommonCodec,
    BadVideoHeader,
    LongGop,
}

impl PushException {
    /// `type`, `event_key`, and the two descriptions.
    fn texts(self) -> (i64, &'static str, &'static str, &'static str) {
        match self {
            PushException::VideoBack => {
                (1, "video_timestamp_back", "视频时间戳回退", "Video timestamp went back")
            }
            PushException::AudioBack => {
                (2, "audio_timestamp_back", "音频时间戳回退", "Audio timestamp went back")
            }
            PushException::VideoJump => {
                (3, "video_timestamp_jump", "视频时间戳跳变", "Video timestamp jumped")
            }
            PushException::AudioJump => {
                (4, "audio_timestamp_jump", "音频时间戳跳变", "Audio timestamp jumped")
            }
            PushException::NoVideo => (6, "no_video", "无视频数据", "No video data"),
            PushException::NoAudio => (7, "no_audio", "无音频数据", "No audio data"),
            PushException::VideoCodecChange => {
                (8, "video_codec_change", "视频编码变化", "Video codec changed")
            }
            PushException::AudioCodecChange => {
                (9, "audio_codec_change", "音频编码变化", "Audio codec changed")
            }
            PushException::NoVideoHeader => {
                (10, "no_video_header", "缺少视频头", "No video sequence header")
            }
            PushException::NoAudioHeader => {
                (11, "no_audio_header", "缺少音频头", "No audio sequence header")
            }
            PushException::UncommonCodec => {
                (13, "uncommon_codec", "不常见的编码", "Uncommon codec")
            }
            PushException::BadVideoHeader => {
                (14, "bad_video_header", "视频头异常", "Bad video sequence header")
            }
            PushException::LongGop => (16, "long_gop", "关键帧间隔过长", "GOP longer than 10 s"),
        }
    }

    /// `type`.
    pub fn number(self) -> i64 {
        self.texts().0
    }
}

/// One kind of trouble in an event 321.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abnormal {
    /// What.
    pub what: PushException,
    /// How often since the last report.
    pub count: u64,
    /// The first of them: what exactly, and unix milliseconds.
    pub detail: Vec<(String, i64)>,
}

/// Event 321: a push is irregular. `now_ms` in unix milliseconds.
pub fn push_exception(session: &Session, app_id: u64, abnormal: &[Abnormal], now_ms: i64) -> Event {
    let entries: Vec<Value> = abnormal
        .iter()
        .map(|entry| {
            let (number, key, cn, en) = entry.what.texts();
            let detail: Vec<Value> = entry
                .detail
                .iter()
                .map(|(desc, at_ms)| json!({ "desc": desc, "occur_time": at_ms }))
                .collect();
            json!({
                "count": entry.count,
                "customer_visible": "true",
                "detail": detail,
                "event_key": key,
                "type": number,
                "type_desc_cn": cn,
                "type_desc_en": en,
            })
        })
        .collect();
    let path = &session.path;
    let body = object(json!({
        "abnormal_event": entries,
        "appid": app_id,
        "data_time": now_ms,
        "domain": path.domain.as_str(),
        "interface": INTERFACE,
        "path": path.app.as_str(),
        "report_interval": REPORT_INTERVAL_MS,
        "sequence": session.sequence.to_string(),
        "stream_id": path.stream.as_str(),
        "stream_param": session.stream_param,
        "timeout": REPORT_INTERVAL_MS,
        "user_ip": session.user_ip,
    }));
    event(EventType::PushException, path, body)
}
