//! The audit log: which key asked for which change, when, and what came of it.
//!
//! What is kept never holds a secret: see [`masked`].

use serde_json::{Map, Value};
use url::Url;

use super::ids::DecimalId;

/// For how long an entry is kept, in milliseconds: 180 days.
pub const KEPT_MS: i64 = 180 * 24 * 3600 * 1000;
/// Most entries; the oldest go first.
pub const MAX_ENTRIES: i64 = 100_000;
/// Longest text kept of parameters and of an answer, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;
/// What stands for a secret.
const MASK: &str = "***";

/// A change that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Ordered by time.
    pub id: DecimalId,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// The key that signed the request; [`AuditEntry::COMMAND_LINE`] for a command on the machine.
    pub secret_id: String,
    /// What the key may do.
    pub role: String,
    /// The action, or the command.
    pub action: String,
    /// Address of the client without port; empty for a command.
    pub peer: String,
    /// RequestId of the answer; empty for a command.
    pub request_id: String,
    /// Parameters as JSON text, masked.
    pub parameters: String,
}

/// An entry and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// What was asked for.
    pub entry: AuditEntry,
    /// `OK`, an error code, or empty: the process ended before it was known.
    pub outcome: String,
    /// The answer as JSON text, masked; ids of what was made.
    pub answer: String,
}

impl AuditEntry {
    /// Who uses the command line of the server's machine.
    pub const COMMAND_LINE: &str = "(command line)";
}

/// A request or an answer as JSON text without its secrets: keys, passwords, and of URLs whatever
/// stands before the host and behind the path. At most [`MAX_TEXT_BYTES`], then an ellipsis.
pub fn masked(fields: &Map<String, Value>) -> String {
    let text = Value::Object(hide(fields)).to_string();
    if text.len() <= MAX_TEXT_BYTES {
        return text;
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_TEXT_BYTES)])
}

fn hide(fields: &Map<String, Value>) -> Map<String, Value> {
    let entry = |(name, value): (&String, &Value)| {
        let value = match is_secret(name) {
            true if !is_empty(value) => Value::from(MASK),
            _ => hide_value(value),
        };
        (name.clone(), value)
    };
    fields.iter().map(entry).collect()
}

fn hide_value(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(hide(fields)),
        Value::Array(values) => Value::Array(values.iter().map(hide_value).collect()),
        Value::String(text) => Value::from(bare_url(text)),
        other => other.clone(),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let says_so = ["secret", "password", "token"].iter().any(|word| name.contains(word));
    name.ends_with("key") || name.ends_with("keys") || (says_so && !name.ends_with("id"))
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value == ""
}

/// A URL without user and query, read as whoever calls it reads it; of any other text what stands
/// before a question mark.
fn bare_url(text: &str) -> String {
    let Some(url) = Url::parse(text).ok().filter(Url::has_host) else {
        return match text.split_once(['?', '#']) {
            Some((before, behind)) if !behind.is_empty() => format!("{before}?{MASK}"),
            _ => text.to_owned(),
        };
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    let has_more = url.query().is_some() || url.fragment().is_some();
    if !(has_user || has_more) {
        return text.to_owned();
    }
    let user = if has_user { format!("{MASK}@") } else { String::new() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let more = if has_more { format!("?{MASK}") } else { String::new() };
    let (scheme, host, path) = (url.scheme(), url.host_str().unwrap_or_default(), url.path());
    format!("{scheme}://{user}{host}{port}{path}{more}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mask(value: Value) -> Value {
        let Value::Object(fields) = value else { panic!("not an object") };
        serde_json::from_str(&masked(&fields)).unwrap()
    }

    #[test]
    fn secrets_are_hidden_and_the_rest_is_kept() {
        let given = json!({
            "DomainName": "push.example.com", "Enable": 1, "MasterAuthKey": "abc", "BackupAuthKey": "",
            "CallbackKey": "def", "StreamBeginNotifyUrl": "https://u:p@host:8/path?token=1#x",
            "PushExceptionNotifyUrl": "http://host", "Nested": [{ "SecretKey": "ghi", "N": "http" }],
        });
        let hidden = mask(given);
        assert_eq!(
            hidden,
            json!({
                "DomainName": "push.example.com", "Enable": 1, "MasterAuthKey": "***", "BackupAuthKey": "",
                "CallbackKey": "***", "StreamBeginNotifyUrl": "https://***@host:8/path?***",
                "PushExceptionNotifyUrl": "http://host", "Nested": [{ "SecretKey": "***", "N": "http" }],
            })
        );
    }

    #[test]
    fn no_spelling_shows_a_secret() {
        for text in [
            "http:user:SECRET@host/?q=SECRET",
            "http:\\\\user:SECRET@host\\?t=SECRET",
            "http:/user:SECRET@host/",
            "http:host/?t=SECRET&u=https://x",
            "ht\ttp://user:SECRET@host/",
            "stream?txSecret=SECRET",
            "/path#SECRET",
        ] {
            let hidden = bare_url(text);
            assert!(!hidden.contains("SECRET"), "{text}: {hidden}");
        }
        let given = json!({ "CallbackKeys": "a", "Secret": "b", "Token": "c", "SecretId": "d" });
        let hidden = json!({
            "CallbackKeys": "***", "Secret": "***", "Token": "***", "SecretId": "d",
        });
        assert_eq!(mask(given), hidden);
        for text in ["What?", "a/b@c", "", "http://host/a%20b", "HTTP://Host"] {
            assert_eq!(bare_url(text), text);
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let fields = json!({ "Description": "ü".repeat(MAX_TEXT_BYTES) });
        let text = masked(fields.as_object().unwrap());
        assert!(text.len() <= MAX_TEXT_BYTES + '…'.len_utf8() && text.ends_with('…'));
    }
}
