//! Record templates: which containers a stream is recorded in, and how (spec live-api 5).

use serde::{Deserialize, Serialize};

use super::container::Container;

/// Settings of one container format (the vendor's RecordParam, spec live-api 5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordParam {
    /// Seconds of media per file; ignored for HLS.
    pub record_interval: i64,
    /// Seconds the file is kept in VOD storage; 0 keeps it for ever.
    pub storage_time: i64,
    /// Whether this format is recorded.
    pub enable: bool,
    /// VOD sub-application; 0 is the main one.
    pub vod_sub_app_id: u64,
    /// Name pattern; empty is the default pattern.
    pub vod_file_name: String,
    /// Task flow run after the upload.
    pub procedure: String,
    /// `normal` or `cold`.
    pub storage_mode: String,
    /// VOD category.
    pub class_id: Option<i64>,
    /// Bucket of the vendor's object storage.
    pub cos_bucket_name: String,
    /// Its region.
    pub cos_bucket_region: String,
    /// Object path pattern.
    pub cos_bucket_path: String,
}

impl Default for RecordParam {
    fn default() -> Self {
        Self {
            record_interval: 1800,
            storage_time: 0,
            enable: false,
            vod_sub_app_id: 0,
            vod_file_name: String::new(),
            procedure: String::new(),
            storage_mode: "normal".to_owned(),
            class_id: None,
            cos_bucket_name: String::new(),
            cos_bucket_region: String::new(),
            cos_bucket_path: String::new(),
        }
    }
}

/// A record template. `id` 0 is the default profile of a task without a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct RecordTemplate {
    /// Template id; 1 and up for stored ones.
    pub id: i64,
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// FLV settings.
    pub flv: RecordParam,
    /// HLS settings.
    pub hls: RecordParam,
    /// MP4 settings.
    pub mp4: RecordParam,
    /// AAC settings.
    pub aac: RecordParam,
    /// MP3 settings: kept and answered; cannot be enabled (the product does not encode).
    pub mp3: RecordParam,
    /// 0 normal, 1 slow live.
    pub is_delay_live: i64,
    /// HLS resume window in seconds, 0 to 1800.
    pub flow_continue_duration: u64,
    /// 1 = store to object storage instead of VOD.
    pub cos_store: i64,
    /// Record the original instead of the watermarked stream.
    pub remove_watermark: bool,
    /// Upload while recording (FLV).
    pub flv_upload_in_recording: bool,
}

impl RecordTemplate {
    /// The settings of one container.
    pub fn param(&self, container: Container) -> &RecordParam {
        match container {
            Container::Flv => &self.flv,
            Container::Hls => &self.hls,
            Container::Mp4 => &self.mp4,
            Container::Aac => &self.aac,
        }
    }

    /// Pattern of the folder that files in a container are stored in; empty for the one of their
    /// stream.
    pub fn cos_bucket_path(&self, container: Container) -> &str {
        match self.cos_store {
            0 => "",
            _ => &self.param(container).cos_bucket_path,
        }
    }

    /// The containers this template records; none means "do not record".
    pub fn containers(&self) -> impl Iterator<Item = Container> + '_ {
        Container::ALL.into_iter().filter(|c| self.param(*c).enable)
    }
}

/// Longest template name, in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// Longest description, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 1024;
/// Longest of the other texts, in bytes.
const MAX_TEXT_BYTES: usize = 255;
/// Longest object path pattern, in bytes.
const MAX_PATH_BYTES: usize = 1024;
/// Longest VodFileName, in characters.
const MAX_FILE_NAME_CHARS: usize = 255;
/// Longest storage time: 1500 days, in seconds.
const MAX_STORAGE_TIME_S: i64 = 1500 * 24 * 3600;
/// Longest HLS resume window, in seconds.
const MAX_FLOW_CONTINUE_S: u64 = 1800;

/// Why a template is refused. The texts name the parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The name is not one.
    #[error("TemplateName {0}")]
    Name(String),
    /// A VodFileName cannot be one.
    #[error("{field}.VodFileName {why}")]
    FileName {
        /// Which format.
        field: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A value outside what is allowed.
    #[error("{0}")]
    Value(String),
}

/// Checks a template name: Chinese characters, letters, digits, `_` and `-`. Answers what is wrong.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is empty".to_owned());
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("is {} bytes long, at most {MAX_NAME_BYTES} are allowed", name.len()));
    }
    let is_chinese = |c: char| matches!(c, '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}');
    match name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-') || is_chinese(*c)))
    {
        Some(odd) => Err(format!(
            "holds {odd:?}: only Chinese characters, letters, digits, _ and - are allowed"
        )),
        None => Ok(()),
    }
}

/// Checks that a text is at most `max` bytes long; the error names it.
pub(super) fn check_len(what: &str, text: &str, max: usize) -> Result<(), TemplateError> {
    match text.len() {
        len if len > max => Err(TemplateError::Value(format!(
            "{what} is {len} bytes long, at most {max} are allowed"
        ))),
        _ => Ok(()),
    }
}

/// A format block: its name on the wire, its settings, the allowed RecordInterval if there is one.
type Block<'a> = (&'static str, &'a RecordParam, Option<(i64, i64)>);

impl RecordTemplate {
    /// The format blocks by the vendor's parameter names, MP3 included, with the allowed
    /// RecordInterval in seconds where there is one.
    fn blocks(&self) -> [Block<'_>; 5] {
        [
            ("FlvParam", &self.flv, Some((60, 43200))),
            ("HlsParam", &self.hls, None),
            ("Mp4Param", &self.mp4, Some((60, 43200))),
            ("AacParam", &self.aac, Some((60, 7200))),
            ("Mp3Param", &self.mp3, None),
        ]
    }

    /// Checks the whole template. Ranges hold for enabled formats only, since clients store odd
    /// values in formats they do not use; sizes of texts always.
    pub fn check(&self) -> Result<(), TemplateError> {
        check_name(&self.name).map_err(TemplateError::Name)?;
        check_len("Description", &self.description, MAX_DESCRIPTION_BYTES)?;
        for (field, param, interval) in self.blocks() {
            param.check(field, interval)?;
        }
        if self.mp3.enable {
            let what =
                "Mp3Param.Enable must be 0: MP3 needs encoding, which this server does not do";
            return Err(TemplateError::Value(what.to_owned()));
        }
        if self.flv.enable
            && self.flv_upload_in_recording
            && self.flv.vod_file_name.contains("{End")
        {
            let why = "cannot hold end times while FlvSpecialParam.UploadInRecording is on";
            return Err(TemplateError::FileName { field: "FlvParam", why });
        }
        for (what, value) in [("IsDelayLive", self.is_delay_live), ("CosStore", self.cos_store)] {
            if !(0..=1).contains(&value) {
                return Err(TemplateError::Value(format!("{what} must be 0 or 1")));
            }
        }
        if self.flow_continue_duration > MAX_FLOW_CONTINUE_S {
            let what = "HlsSpecialParam.FlowContinueDuration";
            return Err(TemplateError::Value(format!(
                "{what} must be from 0 to {MAX_FLOW_CONTINUE_S}"
            )));
        }
        Ok(())
    }
}

impl RecordParam {
    fn check(
        &self,
        field: &'static str,
        interval: Option<(i64, i64)>,
    ) -> Result<(), TemplateError> {
        let texts = [
            ("Procedure", &self.procedure, MAX_TEXT_BYTES),
            ("CosBucketName", &self.cos_bucket_name, MAX_TEXT_BYTES),
            ("CosBucketRegion", &self.cos_bucket_region, MAX_TEXT_BYTES),
            ("CosBucketPath", &self.cos_bucket_path, MAX_PATH_BYTES),
        ];
        for (name, text, max) in texts {
            check_len(&format!("{field}.{name}"), text, max)?;
        }
        if self.vod_file_name.chars().nth(MAX_FILE_NAME_CHARS).is_some() {
            return Err(TemplateError::FileName { field, why: "is longer than 255 characters" });
        }
        if self.vod_file_name.chars().any(char::is_control) {
            return Err(TemplateError::FileName { field, why: "holds a control character" });
        }
        let value = |what: &str, wanted: String| {
            Err(TemplateError::Value(format!("{field}.{what} must be {wanted}")))
        };
        if !matches!(self.storage_mode.as_str(), "normal" | "cold") {
            return value("StorageMode", "normal or cold".to_owned());
        }
        if i64::try_from(self.vod_sub_app_id).is_err() {
            return value("VodSubAppId", format!("at most {}", i64::MAX));
        }
        if !self.enable {
            return Ok(());
        }
        if let Some((min, max)) =
            interval.filter(|(min, max)| !(*min..=*max).contains(&self.record_interval))
        {
            return value("RecordInterval", format!("from {min} to {max}"));
        }
        if !(0..=MAX_STORAGE_TIME_S).contains(&self.storage_time) {
            return value("StorageTime", format!("from 0 to {MAX_STORAGE_TIME_S}"));
        }
        if !(self.cos_bucket_path.is_empty() || self.cos_bucket_path.starts_with('/')) {
            return value("CosBucketPath", "a path that begins with /".to_owned());
        }
        if self.cos_bucket_path.chars().any(char::is_control) {
            return value("CosBucketPath", "without control characters".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
