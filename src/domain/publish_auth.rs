//! What a customer's server is asked before a publish begins (`publish.auth_url`), and what its answer
//! means. How it is asked is `delivery::publish_auth`.

use serde_json::{Map, Value};

use super::{callback, session::Session};

/// `errcode` and `errmsg` of event 0 for a publish that was not let in (spec live-api 11.1:
/// third-party authentication).
pub const REFUSED: (i64, &str) = (19, "The push was refused by the authentication server");

/// What becomes of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may begin.
    Accepted,
    /// It may not; what the server said about it.
    Refused(String),
    /// The server gave no answer that can be understood, and why.
    Unanswered(String),
}

/// What to do with a publish when there is no answer (`publish.auth_fail`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fallback {
    /// It may begin: a server that is away must not cost a recording.
    #[default]
    Open,
    /// It may not.
    Closed,
}

/// The question: what event 1 says of a push, with a name of its own instead of an event's number.
/// Without `t` and `sign`.
pub fn question(session: &Session, app_id: u64) -> Map<String, Value> {
    let mut body = callback::push_started(session, app_id, 0, 0).body;
    for of_event in ["event_type", "errcode", "errmsg", "width", "height"] {
        body.remove(of_event);
    }
    body.insert("interface".to_owned(), "publish_auth".into());
    body
}

/// What an answer means. HTTP 200 lets in, unless its JSON body has a `code` other than 0; 401 and 403
/// do not; anything else is no answer, and so is a body that begins as a JSON object and is none: it
/// may have been a refusal.
pub fn verdict(status: u16, body: &str) -> Verdict {
    let body = body.trim_start_matches('\u{feff}').trim();
    match status {
        200 if body.starts_with('{') => match serde_json::from_str::<Value>(body) {
            Ok(answer) => match answer.get("code") {
                None | Some(Value::Null) => Verdict::Accepted,
                Some(code) if *code == 0 || code == "0" => Verdict::Accepted,
                Some(code) => Verdict::Refused(format!("code {code}")),
            },
            Err(error) => Verdict::Unanswered(format!("its JSON cannot be read: {error}")),
        },
        200 => Verdict::Accepted,
        401 | 403 => Verdict::Refused(format!("HTTP {status}")),
        other => Verdict::Unanswered(format!("HTTP {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_yes_no_or_none() {
        for (status, body, wanted) in [
            (200, "", Verdict::Accepted),
            (200, "ok", Verdict::Accepted),
            (200, r#"{"code":0}"#, Verdict::Accepted),
            (200, r#"{"code":"0","message":"x"}"#, Verdict::Accepted),
            (200, r#"{"result":true}"#, Verdict::Accepted),
            (200, r#"{"code":7}"#, Verdict::Refused("code 7".to_owned())),
            (200, "\u{feff} {\"code\":7}\n", Verdict::Refused("code 7".to_owned())),
            (200, "[]", Verdict::Accepted),
            (200, r#"{"code":"no"}"#, Verdict::Refused("code \"no\"".to_owned())),
            (401, "", Verdict::Refused("HTTP 401".to_owned())),
            (403, r#"{"code":0}"#, Verdict::Refused("HTTP 403".to_owned())),
            (404, "", Verdict::Unanswered("HTTP 404".to_owned())),
            (500, "", Verdict::Unanswered("HTTP 500".to_owned())),
        ] {
            assert_eq!(verdict(status, body), wanted, "{status} {body}");
        }
        for body in [r#"{"code":7,}"#, r#"{"code":7"#, "{"] {
            assert!(matches!(verdict(200, body), Verdict::Unanswered(_)), "{body}");
        }
    }
}
