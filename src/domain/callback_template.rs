//! Callback templates: where each event goes and with which key it is signed (spec live-api 10).

use serde::{Deserialize, Serialize};
use url::Url;

use super::record_template::{MAX_DESCRIPTION_BYTES, TemplateError, check_len, check_name};

/// A callback template; empty URLs receive nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct CallbackTemplate {
    pub id: i64,
    pub name: String,
    pub description: String,
    /// Event 1.
    pub stream_begin_url: String,
    /// Event 0.
    pub stream_end_url: String,
    /// Event 100.
    pub record_url: String,
    /// Event 332.
    pub record_status_url: String,
    /// Event 200.
    pub snapshot_url: String,
    /// Event 317.
    pub porn_censorship_url: String,
    /// Event 321.
    pub push_exception_url: String,
    /// Event 318.
    pub audio_audit_url: String,
    /// Event 341.
    pub record_exception_url: String,
    /// Levels of event 341.
    pub record_exception_levels: Vec<String>,
    /// Retired by the vendor; kept and answered.
    pub stream_mix_url: String,
    /// Shared by all URLs; empty means unsigned.
    pub key: String,
}

/// Longest URL, in bytes.
const MAX_URL_BYTES: usize = 2048;
/// Longest callback key, in bytes.
const MAX_KEY_BYTES: usize = 255;
/// The vocabulary of RecordExceptionLevels; `alarm` is what some documents call a warning.
const LEVELS: [&str; 4] = ["error", "warning", "alarm", "info"];

/// Why a callback template is refused. The texts name the parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackTemplateError {
    /// Name or another value.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A URL that nothing can be sent to.
    #[error("{field} {why}")]
    Url {
        /// Which URL.
        field: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// There is no URL at all.
    #[error("at least one notify URL is needed")]
    NoUrl,
}

impl CallbackTemplate {
    /// The URLs by the vendor's parameter names.
    pub fn urls(&self) -> [(&'static str, &str); 10] {
        [
            ("StreamBeginNotifyUrl", &self.stream_begin_url),
            ("StreamEndNotifyUrl", &self.stream_end_url),
            ("RecordNotifyUrl", &self.record_url),
            ("RecordStatusNotifyUrl", &self.record_status_url),
            ("SnapshotNotifyUrl", &self.snapshot_url),
            ("PornCensorshipNotifyUrl", &self.porn_censorship_url),
            ("PushExceptionNotifyUrl", &self.push_exception_url),
            ("AudioAuditNotifyUrl", &self.audio_audit_url),
            ("RecordExceptionNotifyUrl", &self.record_exception_url),
            ("StreamMixNotifyUrl", &self.stream_mix_url),
        ]
    }

    /// Checks the whole template. Loopback and private receivers are allowed: this server stands in
    /// its owner's network.
    pub fn check(&self) -> Result<(), CallbackTemplateError> {
        check_name(&self.name).map_err(TemplateError::Name)?;
        check_len("Description", &self.description, MAX_DESCRIPTION_BYTES)?;
        check_len("CallbackKey", &self.key, MAX_KEY_BYTES)?;
        if self.key.chars().any(char::is_control) {
            return Err(
                TemplateError::Value("CallbackKey holds a control character".to_owned()).into()
            );
        }
        if let Some(odd) =
            self.record_exception_levels.iter().find(|l| !LEVELS.contains(&l.as_str()))
        {
            let message = format!(
                "RecordExceptionLevels holds {odd:.40?}: error, warning and info are known"
            );
            return Err(TemplateError::Value(message).into());
        }
        for (field, text) in self.urls() {
            if !text.is_empty() {
                check_url(text).map_err(|why| CallbackTemplateError::Url { field, why })?;
            }
        }
        if self.urls().iter().all(|(_, url)| url.is_empty()) {
            return Err(CallbackTemplateError::NoUrl);
        }
        Ok(())
    }
}

fn check_url(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_URL_BYTES {
        return Err("is longer than 2048 bytes");
    }
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with http:// or https://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> Result<(), CallbackTemplateError> {
        CallbackTemplate {
            name: "cb".to_owned(),
            record_url: url.to_owned(),
            ..CallbackTemplate::default()
        }
        .check()
    }

    #[test]
    fn urls_need_a_scheme_and_a_host() {
        for good in [
            "http://127.0.0.1:9000/cb?x=1&y=2",
            "https://用户.example.com",
            "http://[::1]/",
            "HTTP://a",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "ftp://a/",
            "a.com/x",
            "http://",
            "file:///etc/passwd",
            "javascript:1",
            "http:// a",
            "/x",
        ] {
            assert!(
                matches!(
                    check(bad),
                    Err(CallbackTemplateError::Url { field: "RecordNotifyUrl", .. })
                ),
                "{bad}"
            );
        }
        assert!(check(&format!("http://a/{}", "x".repeat(2048))).is_err());
        assert_eq!(check(""), Err(CallbackTemplateError::NoUrl));
    }

    #[test]
    fn levels_and_key() {
        let good = CallbackTemplate {
            name: "cb".to_owned(),
            stream_end_url: "http://a".to_owned(),
            record_exception_levels: vec!["error".to_owned(), "info".to_owned()],
            key: "k".repeat(255),
            ..CallbackTemplate::default()
        };
        assert_eq!(good.check(), Ok(()));
        let bad =
            CallbackTemplate { record_exception_levels: vec!["fatal".to_owned()], ..good.clone() };
        assert!(bad.check().unwrap_err().to_string().starts_with("RecordExceptionLevels holds"));
        assert!(CallbackTemplate { key: "k".repeat(256), ..good.clone() }.check().is_err());
        assert!(CallbackTemplate { key: "a\nb".to_owned(), ..good }.check().is_err());
    }
}
