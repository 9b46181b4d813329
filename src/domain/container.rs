//! The containers a recording can be written in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One product format. `mp3` of the vendor's templates is not a container of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// Flash Video: the journal's tags as they are.
    Flv,
    /// HTTP Live Streaming: one VOD playlist and its segments per push.
    Hls,
    /// ISO base media file, `moov` in front.
    Mp4,
    /// ADTS, audio only.
    Aac,
}

impl Container {
    /// Every container, in the order of the vendor's `record_detail.file_format` numbers.
    pub const ALL: [Container; 4] =
        [Container::Flv, Container::Hls, Container::Mp4, Container::Aac];

    /// The text in `file_format` of event 100, in the database and in `BasicInfo.Type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Container::Flv => "flv",
            Container::Hls => "hls",
            Container::Mp4 => "mp4",
            Container::Aac => "aac",
        }
    }

    /// Parses [`Container::as_str`] back, ignoring case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str().eq_ignore_ascii_case(text))
    }

    /// The number in `record_detail.file_format` of event 332 (spec live-api 11.3).
    pub fn event_number(self) -> i64 {
        match self {
            Container::Flv => 1,
            Container::Hls => 2,
            Container::Mp4 => 3,
            Container::Aac => 4,
        }
    }

    /// File name extension of the product's main object.
    pub fn extension(self) -> &'static str {
        match self {
            Container::Flv => "flv",
            Container::Hls => "m3u8",
            Container::Mp4 => "mp4",
            Container::Aac => "aac",
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
