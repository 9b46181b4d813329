//! What [`super::explain_record`] says in words.

use super::{super::time::utc, Obstacle, Phase};
use crate::{
    db::{recording::RecordedFiles, session::EndedSession},
    domain::{
        explain::{Explanation, TaskEffect},
        plan,
        publish_auth::Fallback,
        push_domain::KeySource,
        record_rule::RecordRule,
        record_task::RecordTask,
        record_template::RecordTemplate,
        stream::StreamPath,
    },
    ingest::Waiting,
};

/// `Kind` of the obstacle that is the customer's own server.
pub(super) const PUBLISH_AUTH: &str = "publish_auth";

/// `Kind` of the obstacle that the push belongs to another domain.
pub(super) const OTHER_DOMAIN: &str = "other_domain";

/// Who is asked before a publish begins, and what its silence means.
pub(super) fn publish_auth_reason(fallback: Fallback) -> String {
    let (word, without) = match fallback {
        Fallback::Open => ("open", "without an answer the publish begins"),
        Fallback::Closed => ("closed", "without an answer the publish is refused"),
    };
    format!(
        "the server of publish.auth_url is asked before the publish begins and may refuse it; \
         publish.auth_fail is {word}: {without}"
    )
}

/// A rule's scope as people write it.
pub(super) fn scope_of(rule: &RecordRule) -> String {
    let part = |text: &str| if text.is_empty() { "*".to_owned() } else { text.to_owned() };
    format!("{}/{}/{}", rule.domain, part(&rule.app), part(&rule.stream))
}

pub(super) fn formats(template: &RecordTemplate) -> Vec<&'static str> {
    template.containers().map(|container| container.as_str()).collect()
}

pub(super) fn rule_reason(
    rule: &RecordRule,
    shadow: Option<String>,
    template: Option<&RecordTemplate>,
    sessions: &[(EndedSession, Vec<RecordedFiles>)],
) -> String {
    if let Some(by) = shadow {
        return format!("the rule {by} is more specific");
    }
    let formats = template.map(formats).unwrap_or_default();
    let mut reason = match (template, formats.is_empty()) {
        (None, _) => "its template does not exist: nothing is recorded".to_owned(),
        (Some(_), true) => "its template enables no format: nothing is recorded".to_owned(),
        (Some(_), false) => {
            format!("the most specific rule that matches; records {}", formats.join(", "))
        }
    };
    let began = sessions.iter().map(|(session, _)| session.session.started_ms).min();
    if began.is_some_and(|began| rule.updated_ms > began) {
        reason.push_str("; made after the push began, so it counts from the next push on");
    }
    reason
}

/// What a task waits for, and how long.
pub(super) fn waiting_reason(waiting: &Waiting) -> String {
    let why = match waiting.keyframe_ms {
        Some(ms) => {
            format!("the last one came at {} and is older than record.max_preroll", utc(ms))
        }
        None => "there is no key frame to begin with".to_owned(),
    };
    format!(
        "it waits for a key frame of the push that is live: {why}; without one it begins at {}",
        utc(waiting.until_ms)
    )
}

/// `is_running` says whether the task records the push that is live, `waiting` that it is going to.
pub(super) fn task_reason(
    task: &RecordTask,
    effect: TaskEffect,
    template: Option<&RecordTemplate>,
    is_running: bool,
    waiting: Option<&Waiting>,
) -> String {
    let reason = effect_reason(task, effect, template);
    if let Some(waiting) = waiting {
        return format!("{reason}; {}", waiting_reason(waiting));
    }
    match (is_running, effect) {
        (false, _) | (true, TaskEffect::Applies) => reason,
        (true, _) => format!("{reason}; what it records of the push that is live goes on"),
    }
}

fn effect_reason(
    task: &RecordTask,
    effect: TaskEffect,
    template: Option<&RecordTemplate>,
) -> String {
    let reason = match effect {
        TaskEffect::Applies => match (&task.profile, template) {
            (None, None) if task.template_id == 0 => {
                "its window is open; it names no template, so it records the default format"
            }
            (None, None) => {
                "its window is open; its template does not exist, so it records the default format"
            }
            _ => "its window is open",
        },
        TaskEffect::NotYet => "its window has not begun",
        TaskEffect::Over => "its window is over",
        TaskEffect::Stopped => "it was stopped",
        TaskEffect::Deleted => "it was deleted",
        TaskEffect::NoFormat => "its template enables no format: nothing is recorded",
        TaskEffect::OneTooMany => {
            return format!(
                "at most {} tasks record one stream, others come before it",
                plan::MAX_TASKS_PER_STREAM
            );
        }
    };
    reason.to_owned()
}

/// One or two sentences for somebody who reads nothing else.
pub(super) fn summary(
    phase: Phase,
    told: &Explanation<'_>,
    obstacles: &[Obstacle],
    sessions: &[(EndedSession, Vec<RecordedFiles>)],
    waiting: usize,
    path: &StreamPath,
) -> String {
    let waits = match waiting {
        0 => String::new(),
        1 => ", 1 task waits for a key frame of it".to_owned(),
        n => format!(", {n} tasks wait for a key frame of it"),
    };
    let recorded: usize = sessions.iter().map(|(_, recordings)| recordings.len()).sum();
    let fact = match (phase, sessions.is_empty(), recorded) {
        (Phase::Past, true, _) => "Nothing was pushed then. ".to_owned(),
        (Phase::Past, false, 1) => "A push was live then; there is 1 recording of it. ".to_owned(),
        (Phase::Past, false, n) => {
            format!("A push was live then; there are {n} recordings of it. ")
        }
        (Phase::Live, _, 1) => format!("A push is live; there is 1 recording of it{waits}. "),
        (Phase::Live, _, n) => format!("A push is live; there are {n} recordings of it{waits}. "),
        (Phase::Idle, ..) => "Nothing is pushed. ".to_owned(),
        (Phase::Future, ..) => String::new(),
    };
    let push = match phase {
        Phase::Past => "By the rules of today a push then",
        Phase::Live | Phase::Idle => "A push that begins now",
        Phase::Future => "A push then",
    };
    if let Some(obstacle) = obstacles.iter().find(|obstacle| obstacle.prevents) {
        let would = match obstacle.kind {
            OTHER_DOMAIN => "would not be of this stream",
            _ => "would be refused",
        };
        return format!("{fact}{push} {would}: {}.", obstacle.reason);
    }
    if told.wanted.is_empty() {
        let why = match (told.rules.is_empty(), told.other_rules) {
            (false, _) => "the rule that counts has a template that records nothing".to_owned(),
            (true, 0) => format!("no rule names the domain {}", path.domain),
            (true, n) => format!("none of the {n} rules of {} matches", path.domain),
        };
        return format!("{fact}{push} would not be recorded: {why}, and no task records it.");
    }
    let by: Vec<String> = told
        .wanted
        .iter()
        .map(|wanted| {
            let by = wanted.origin.task_id().map_or("a rule".to_owned(), |id| format!("task {id}"));
            format!("{} by {by}", formats(&wanted.template).join(", "))
        })
        .collect();
    let signed = match told.keys {
        KeySource::Own | KeySource::Default if told.trusts_loopback => {
            Some("it is signed or comes over loopback")
        }
        KeySource::Own | KeySource::Default => Some("it is signed"),
        KeySource::Off | KeySource::None => None,
    };
    let asks = obstacles.iter().any(|obstacle| obstacle.kind == PUBLISH_AUTH);
    let asked = asks.then_some("the server of publish.auth_url lets it in");
    let conditions: Vec<&str> = signed.into_iter().chain(asked).collect();
    let condition = match conditions.is_empty() {
        true => String::new(),
        false => format!(" if {}", conditions.join(" and ")),
    };
    format!("{fact}{push} would be recorded{condition}: {}.", by.join("; "))
}
