//! LiverecExplainRecord, an action of this server's own: why a push of a stream is recorded, was
//! recorded, or would be, and why not.
//!
//! What rules and tasks say is decided by [`crate::domain::explain`] over the rows as they are now;
//! what was recorded in fact comes from the rows of the pushes that were live at the moment.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    caller::Caller,
    error::{ApiError, Result},
    params::Params,
    state::State,
    stream::path,
    time::{parse_utc, utc},
};
use crate::{
    db::{recording::RecordedFiles, session::EndedSession},
    domain::{
        explain::{Explanation, Question, TaskEffect, explain},
        plan::{self, Wanted},
        push_domain::{KeySource, Policy},
        record_rule::RecordRule,
        record_task::RecordTask,
        record_template::RecordTemplate,
        recording::Origin,
        stream::StreamPath,
    },
};

/// Tasks of the stream that are looked at.
const MAX_TASKS: i64 = 100;
/// Pushes of the stream that are told of.
const MAX_SESSIONS: i64 = 10;
/// Longest StreamParam, in bytes.
const MAX_PARAM_BYTES: usize = 4096;
/// Furthest moment from now, in milliseconds: a hundred years.
const MAX_DISTANCE_MS: i64 = 100 * 366 * 24 * 3600 * 1000;
/// The store must answer within this time to count as usable.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// How a moment lies to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Past,
    Live,
    Idle,
    Future,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Phase::Past => "past",
            Phase::Live => "live",
            Phase::Idle => "idle",
            Phase::Future => "future",
        }
    }
}

/// Something that stands in the way.
struct Obstacle {
    kind: &'static str,
    reason: String,
    /// Whether nothing is recorded because of it; otherwise files come late.
    prevents: bool,
}

/// LiverecExplainRecord: `DomainName`, `AppName`, `StreamName`; `Time` (UTC; now if it is not given);
/// `StreamParam`, what stands behind the `?` of a stream key whose signature is to be looked at.
pub async fn explain_record(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let path = path(&mut params)?;
    let asked_ms = params.opt_str("Time")?.map(|text| parse_utc("Time", &text)).transpose()?;
    let stream_param = params.opt_str("StreamParam")?;
    params.finish()?;
    if stream_param.as_ref().is_some_and(|param| param.len() > MAX_PARAM_BYTES) {
        let message = format!("StreamParam is longer than {MAX_PARAM_BYTES} bytes.");
        return Err(ApiError::invalid_value(message));
    }
    let now_ms = state.now_ms();
    let at_ms = asked_ms.unwrap_or(now_ms);
    if at_ms.abs_diff(now_ms) > MAX_DISTANCE_MS.unsigned_abs() {
        return Err(ApiError::invalid_value("Time is more than a hundred years from now."));
    }

    let tasks = state.db.record_tasks_of(&path, at_ms.div_euclid(1000), MAX_TASKS).await?;
    let mut sessions = Vec::new();
    // A time in a request is a whole second.
    let from_ms = at_ms.min(now_ms);
    let second = (from_ms, from_ms.saturating_add(999));
    for session in state.db.sessions_between(&path, second, MAX_SESSIONS).await? {
        let recordings = state.db.recordings_of(session.session.id).await?;
        sessions.push((session, recordings));
    }
    let is_live = sessions.iter().any(|(session, _)| session.ended_ms == 0);
    let phase = match at_ms.div_euclid(1000).cmp(&now_ms.div_euclid(1000)) {
        std::cmp::Ordering::Less => Phase::Past,
        std::cmp::Ordering::Greater => Phase::Future,
        std::cmp::Ordering::Equal if is_live => Phase::Live,
        std::cmp::Ordering::Equal => Phase::Idle,
    };
    if phase == Phase::Future {
        sessions.retain(|(session, _)| session.ended_ms == 0);
    }
    let running_tasks: BTreeSet<String> = sessions
        .iter()
        .filter(|(session, _)| session.ended_ms == 0)
        .flat_map(|(_, recordings)| recordings)
        .filter(|recorded| recorded.ended_ms == 0)
        .filter_map(|recorded| recorded.recording.origin.task_id().map(str::to_owned))
        .collect();

    let policy = Policy {
        default_domain: state.settings.default_domain.clone(),
        trust_loopback: state.settings.trust_loopback,
        forbid_scope: state.settings.forbid_scope,
    };
    let snapshot = state.snapshot.load_full();
    let question = Question {
        path: &path,
        at_ms,
        stream_param: stream_param.as_deref(),
        running_tasks: &running_tasks,
        default_task_format: state.settings.default_task_format,
    };
    let told = explain(&snapshot, &tasks, &policy, &question);
    let mut obstacles = refusals(&told);
    if phase != Phase::Past {
        let limits = snapshot.domain_limits.get(&path.domain).copied().unwrap_or_default();
        obstacles.extend(limits.max_streams().and_then(|max| crowd(state, &path, max)));
        obstacles.extend(faults(state).await);
    }
    let is_taken = !obstacles.iter().any(|obstacle| obstacle.prevents);
    let template_of = |id: i64| snapshot.record_templates.get(&id);
    Ok(json!({
        "DomainName": path.domain,
        "AppName": path.app,
        "StreamName": path.stream,
        "Time": utc(at_ms),
        "Phase": phase.as_str(),
        "WillRecord": is_taken && !told.wanted.is_empty(),
        "Summary": summary(phase, &told, &obstacles, &sessions, &path),
        "RuleList": told.rules.iter().map(|seen| {
            let shadow = seen.shadowed_by.map(scope_of);
            json!({
                "DomainName": seen.rule.domain,
                "AppName": seen.rule.app,
                "StreamName": seen.rule.stream,
                "TemplateId": seen.rule.template_id,
                "Effect": if shadow.is_none() { "applies" } else { "shadowed" },
                "Reason": rule_reason(seen.rule, shadow, template_of(seen.rule.template_id), &sessions),
                "CreateTime": utc(seen.rule.created_ms),
                "UpdateTime": utc(seen.rule.updated_ms),
            })
        }).collect::<Vec<_>>(),
        "TaskList": told.tasks.iter().map(|(task, effect)| json!({
            "TaskId": task.id,
            "StartTime": utc(task.start_s.saturating_mul(1000)),
            "EndTime": utc(task.end_s.saturating_mul(1000)),
            "TemplateId": task.template_id,
            "Effect": effect.as_str(),
            "Reason": task_reason(task, *effect, template_of(task.template_id)),
        })).collect::<Vec<_>>(),
        "WantedList": told.wanted.iter().map(wanted).collect::<Vec<_>>(),
        "PushKeys": told.keys.as_str(),
        "ObstacleList": obstacles.iter().map(|obstacle| json!({
            "Kind": obstacle.kind,
            "Reason": obstacle.reason,
            "Prevents": obstacle.prevents,
        })).collect::<Vec<_>>(),
        "SessionList": sessions.iter().map(session_info).collect::<Vec<_>>(),
    }))
}

fn refusals(told: &Explanation<'_>) -> Vec<Obstacle> {
    let mut obstacles: Vec<Obstacle> = told
        .refusals
        .iter()
        .map(|refusal| Obstacle {
            kind: refusal.reason(),
            reason: refusal.to_string(),
            prevents: true,
        })
        .collect();
    if let Some(ban) = told.ban
        && let Some(forbidden) = obstacles.iter_mut().find(|obstacle| obstacle.kind == "forbidden")
    {
        forbidden.reason = format!("{}, until {}", forbidden.reason, utc(ban.resume_ms));
        if !ban.reason.is_empty() {
            forbidden.reason = format!("{}: {}", forbidden.reason, ban.reason);
        }
    }
    obstacles
}

/// Whether as many other streams of the domain are live as it may have.
fn crowd(state: &State, path: &StreamPath, max: usize) -> Option<Obstacle> {
    let others = state.live.others_of_domain(path);
    (others >= max).then(|| Obstacle {
        kind: "domain_streams",
        reason: format!("the domain has {others} other streams live and may have {max}"),
        prevents: true,
    })
}

/// What is wrong with disk and store at this moment.
async fn faults(state: &State) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    if state.journal.as_ref().is_some_and(crate::journal::Journal::is_refusing) {
        obstacles.push(Obstacle {
            kind: "disk",
            reason: "there is less free space than disk.refuse_free; new pushes are refused"
                .to_owned(),
            prevents: true,
        });
    }
    let store = match timeout(STORE_PATIENCE, state.store.check()).await {
        Ok(Ok(())) => return obstacles,
        Ok(Err(error)) => {
            tracing::info!(%error, "the store cannot be used at the moment");
            "the store cannot be used"
        }
        Err(_) => "the store does not answer",
    };
    let reason = format!("{store}; what is recorded waits on disk until it can be stored");
    obstacles.push(Obstacle { kind: "storage", reason, prevents: false });
    obstacles
}

/// A rule's scope as people write it.
fn scope_of(rule: &RecordRule) -> String {
    let part = |text: &str| if text.is_empty() { "*".to_owned() } else { text.to_owned() };
    format!("{}/{}/{}", rule.domain, part(&rule.app), part(&rule.stream))
}

fn formats(template: &RecordTemplate) -> Vec<&'static str> {
    template.containers().map(|container| container.as_str()).collect()
}

fn rule_reason(
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

fn task_reason(task: &RecordTask, effect: TaskEffect, template: Option<&RecordTemplate>) -> String {
    let reason = match effect {
        TaskEffect::Applies => match (&task.profile, template) {
            (None, None) => {
                "its window is open; its template does not exist, so it records the default format"
            }
            _ => "its window is open",
        },
        TaskEffect::NotYet => "its window has not begun",
        TaskEffect::Over => "its window is over",
        TaskEffect::Stopped => "it was stopped",
        TaskEffect::Deleted => "it was deleted",
        TaskEffect::OneTooMany => {
            return format!(
                "at most {} tasks record one stream, others come before it",
                plan::MAX_TASKS_PER_STREAM
            );
        }
    };
    reason.to_owned()
}

fn wanted(wanted: &Wanted) -> Value {
    json!({
        "Origin": origin(&wanted.origin),
        "TaskId": wanted.origin.task_id().unwrap_or(""),
        "TemplateId": wanted.template.id,
        "FormatList": formats(&wanted.template),
    })
}

fn origin(origin: &Origin) -> &'static str {
    match origin {
        Origin::Rule => "rule",
        Origin::Task { .. } => "task",
    }
}

fn session_info((session, recordings): &(EndedSession, Vec<RecordedFiles>)) -> Value {
    let time = |ms: i64| if ms > 0 { utc(ms) } else { String::new() };
    let recordings = recordings.iter().map(|recorded| {
        let recording = &recorded.recording;
        json!({
            "RecordingId": recording.id,
            "Origin": origin(&recording.origin),
            "TaskId": recording.origin.task_id().unwrap_or(""),
            "TemplateId": recording.template.id,
            "Format": recording.container.as_str(),
            "StartTime": utc(recording.started_ms),
            "EndTime": time(recorded.ended_ms),
            "Files": recorded.files,
            "StoredFiles": recorded.stored,
            "LastError": recorded.error,
        })
    });
    json!({
        "SessionId": session.session.id,
        "Sequence": session.session.sequence.to_string(),
        "StartTime": utc(session.session.started_ms),
        "EndTime": time(session.ended_ms),
        "EndReason": session.reason,
        "Signed": session.session.signed,
        "RecordingList": recordings.collect::<Vec<_>>(),
    })
}

/// One or two sentences for somebody who reads nothing else.
fn summary(
    phase: Phase,
    told: &Explanation<'_>,
    obstacles: &[Obstacle],
    sessions: &[(EndedSession, Vec<RecordedFiles>)],
    path: &StreamPath,
) -> String {
    let recorded: usize = sessions.iter().map(|(_, recordings)| recordings.len()).sum();
    let fact = match (phase, sessions.is_empty(), recorded) {
        (Phase::Past, true, _) => "Nothing was pushed then. ".to_owned(),
        (Phase::Past, false, 1) => "A push was live then; there is 1 recording of it. ".to_owned(),
        (Phase::Past, false, n) => {
            format!("A push was live then; there are {n} recordings of it. ")
        }
        (Phase::Live, _, 1) => "A push is live; there is 1 recording of it. ".to_owned(),
        (Phase::Live, _, n) => format!("A push is live; there are {n} recordings of it. "),
        (Phase::Idle, ..) => "Nothing is pushed. ".to_owned(),
        (Phase::Future, ..) => String::new(),
    };
    let push = match phase {
        Phase::Past => "By the rules of today a push then",
        Phase::Live | Phase::Idle => "A push that begins now",
        Phase::Future => "A push then",
    };
    if let Some(obstacle) = obstacles.iter().find(|obstacle| obstacle.prevents) {
        return format!("{fact}{push} would be refused: {}.", obstacle.reason);
    }
    if told.wanted.is_empty() {
        let why = match (told.rules.is_empty(), told.other_rules) {
            (false, _) => "the rule that counts has a template that records nothing".to_owned(),
            (true, 0) => format!("no rule names the domain {}", path.domain),
            (true, n) => format!("none of the {n} rules of {} matches", path.domain),
        };
        return format!("{fact}{push} would not be recorded: {why}, and no task is open.");
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
        KeySource::Own | KeySource::Default => " if it is signed",
        KeySource::Off | KeySource::None => "",
    };
    format!("{fact}{push} would be recorded{signed}: {}.", by.join("; "))
}
