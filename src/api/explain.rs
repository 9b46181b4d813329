//! LiverecExplainRecord, an action of this server's own: why a push of a stream is recorded, was
//! recorded, or would be, and why not.
//!
//! What rules and tasks say is decided by [`crate::domain::explain`] over the rows as they are now;
//! what was recorded in fact comes from the rows of the pushes that were live at the moment.

mod words;

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
        domain_limits::month_of,
        explain::{Explanation, Question, TaskEffect, explain},
        plan::Wanted,
        push_domain::{Policy, Refusal, SignatureError},
        recording::Origin,
        snapshot::Snapshot,
        stream::StreamPath,
    },
    ingest::Waiting,
};
use words::{
    OTHER_DOMAIN, PUBLISH_AUTH, formats, publish_auth_reason, rule_reason, scope_of, summary,
    task_reason, waiting_reason,
};

/// Tasks of the stream that are told of.
const MAX_TASKS: usize = 100;
/// Tasks of the stream that are looked at; more than `limits.tasks` usually allows of all streams.
const MAX_TASKS_READ: i64 = 5_000;
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
    /// Whether nothing is recorded because of it; otherwise files come late, or it need not be so.
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

    let tasks = state.db.record_tasks_of(&path, at_ms.div_euclid(1000), MAX_TASKS_READ).await?;
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
    let live = state.live.get(&path);
    let waiting = live.as_ref().map(|live| (live.session.id, live.waiting.list()));
    let waiting_of = |task: &str| {
        let tasks = waiting.iter().flat_map(|(_, tasks)| tasks);
        tasks.clone().find(|(id, _)| id == task).map(|(_, waiting)| waiting)
    };
    let mut running_tasks: BTreeSet<String> = sessions
        .iter()
        .filter(|(session, _)| session.ended_ms == 0)
        .flat_map(|(_, recordings)| recordings)
        .filter(|recorded| recorded.ended_ms == 0)
        .filter_map(|recorded| recorded.recording.origin.task_id().map(str::to_owned))
        .collect();
    // Whatever becomes of it meanwhile, it records what it waits for.
    running_tasks.extend(waiting.iter().flat_map(|(_, tasks)| tasks).map(|(task, _)| task.clone()));

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
        pushed_ms: pushed_ms(state, &snapshot, &path, at_ms, now_ms).await?,
        default_task_format: state.settings.default_task_format,
    };
    let mut told = explain(&snapshot, &tasks, &policy, &question);
    // Those that record are told in any case.
    told.tasks.sort_by_key(|(_, effect)| *effect != TaskEffect::Applies);
    told.tasks.truncate(MAX_TASKS);
    let mut obstacles = refusals(&told, &path, &policy);
    if phase != Phase::Past {
        let limits = snapshot.domain_limits.get(&path.domain).copied().unwrap_or_default();
        let mut of_now: Vec<Obstacle> =
            limits.max_streams().and_then(|max| crowd(state, &path, max)).into_iter().collect();
        of_now.extend(faults(state).await);
        if phase == Phase::Future {
            // What is so now need not be so then.
            of_now.iter_mut().for_each(|obstacle| obstacle.prevents = false);
        }
        obstacles.extend(of_now);
    }
    obstacles.extend(state.settings.publish_auth.map(|fallback| Obstacle {
        kind: PUBLISH_AUTH,
        reason: publish_auth_reason(fallback),
        prevents: false,
    }));
    let waiting_tasks = waiting.as_ref().map_or(0, |(_, tasks)| tasks.len());
    let is_taken = !obstacles.iter().any(|obstacle| obstacle.prevents);
    let template_of = |id: i64| snapshot.record_templates.get(&id);
    Ok(json!({
        "DomainName": path.domain,
        "AppName": path.app,
        "StreamName": path.stream,
        "Time": utc(at_ms),
        "Phase": phase.as_str(),
        "WillRecord": is_taken && !told.wanted.is_empty(),
        "Summary": summary(phase, &told, &obstacles, &sessions, waiting_tasks, &path),
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
            "Reason": task_reason(
                task,
                *effect,
                template_of(task.template_id),
                running_tasks.contains(&task.id),
                waiting_of(&task.id),
            ),
        })).collect::<Vec<_>>(),
        "WantedList": told.wanted.iter().map(wanted).collect::<Vec<_>>(),
        "PushKeys": told.keys.as_str(),
        "ObstacleList": obstacles.iter().map(|obstacle| json!({
            "Kind": obstacle.kind,
            "Reason": obstacle.reason,
            "Prevents": obstacle.prevents,
        })).collect::<Vec<_>>(),
        "SessionList": sessions.iter().map(|(session, recordings)| {
            let waiting = waiting.as_ref().filter(|(id, _)| *id == session.session.id);
            session_info(session, recordings, waiting.map_or(&[], |(_, tasks)| tasks))
        }).collect::<Vec<_>>(),
    }))
}

/// What was pushed to the domain in the month of a moment, up to that moment.
async fn pushed_ms(
    state: &State,
    snapshot: &Snapshot,
    path: &StreamPath,
    at_ms: i64,
    now_ms: i64,
) -> Result<i64> {
    if snapshot.domain_limits.get(&path.domain).is_none_or(|limits| limits.hours == 0) {
        return Ok(0);
    }
    if at_ms >= now_ms && month_of(at_ms) == month_of(now_ms) {
        // What a publish is held to.
        return Ok(snapshot.pushed_ms.get(&path.domain).copied().unwrap_or(0));
    }
    Ok(state.db.pushed_ms(&path.domain, month_of(at_ms), at_ms.min(now_ms)).await?)
}

fn refusals(told: &Explanation<'_>, path: &StreamPath, policy: &Policy) -> Vec<Obstacle> {
    let mut obstacles: Vec<Obstacle> = told
        .refusals
        .iter()
        .map(|refusal| Obstacle {
            kind: refusal.reason(),
            reason: match refusal {
                // The host of an address says little: it falls back.
                Refusal::UnknownDomain(name)
                    if name == path.domain.as_str() && path.domain != policy.default_domain =>
                {
                    format!(
                        "{refusal}; a push that only connects to that name belongs to {}",
                        policy.default_domain
                    )
                }
                Refusal::Signature(SignatureError::Missing) if told.trusts_loopback => {
                    format!("{refusal}; a push over loopback needs none (rtmp.trust_loopback)")
                }
                _ => refusal.to_string(),
            },
            prevents: true,
        })
        .collect();
    obstacles.extend(told.elsewhere.as_ref().map(|domain| Obstacle {
        kind: OTHER_DOMAIN,
        reason: format!("StreamParam names the push domain {domain}: the push belongs to that one"),
        prevents: true,
    }));
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

fn session_info(
    session: &EndedSession,
    recordings: &[RecordedFiles],
    waiting: &[(String, Waiting)],
) -> Value {
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
        "WaitingList": waiting.iter().map(|(task, waiting)| json!({
            "TaskId": task,
            "SinceTime": utc(waiting.since_ms),
            "UntilTime": utc(waiting.until_ms),
            "Reason": waiting_reason(waiting),
        })).collect::<Vec<_>>(),
    })
}
