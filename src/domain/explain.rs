//! Why a stream is recorded or is not: the rules that match a push, the tasks that are about it, and
//! what keeps it from being taken.
//!
//! Decides nothing itself. What would be recorded is asked of [`super::plan`], whether the push would
//! be taken of [`super::push_domain`], so that the answer cannot differ from what happens. Knows the
//! rows as they are now: what was recorded in the past is told by the rows of the recordings.

use std::collections::BTreeSet;

use super::{
    container::Container,
    forbidden_stream::ForbiddenStream,
    ids::SessionId,
    plan::{self, LiveStream, Wanted},
    push_domain::{self, KeySource, Policy, Refusal},
    record_rule::{self, RecordRule},
    record_task::RecordTask,
    snapshot::Snapshot,
    stream::StreamPath,
};

/// A push to be explained.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Its stream.
    pub path: &'a StreamPath,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// What stands behind the `?` of the stream key; `None` looks at no signature.
    pub stream_param: Option<&'a str>,
    /// Ids of tasks that record the stream already.
    pub running_tasks: &'a BTreeSet<String>,
    /// `record.default_task_format`.
    pub default_task_format: Container,
}

/// A rule that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenRule<'a> {
    /// The rule.
    pub rule: &'a RecordRule,
    /// The more specific rule that counts instead of it.
    pub shadowed_by: Option<&'a RecordRule>,
}

/// What a task does at the moment asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskEffect {
    /// It records.
    Applies,
    /// Its window opens later.
    NotYet,
    /// Its window is over.
    Over,
    /// StopRecordTask ended it.
    Stopped,
    /// DeleteRecordTask was called before it recorded anything of this push.
    Deleted,
    /// [`plan::MAX_TASKS_PER_STREAM`] other tasks come before it.
    OneTooMany,
}

impl TaskEffect {
    /// The word in the answer.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskEffect::Applies => "applies",
            TaskEffect::NotYet => "not_yet",
            TaskEffect::Over => "over",
            TaskEffect::Stopped => "stopped",
            TaskEffect::Deleted => "deleted",
            TaskEffect::OneTooMany => "one_too_many",
        }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// Rules that match, the one that counts first.
    pub rules: Vec<SeenRule<'a>>,
    /// Rules of the domain that do not match this stream.
    pub other_rules: usize,
    /// Tasks of the stream, as they were given.
    pub tasks: Vec<(&'a RecordTask, TaskEffect)>,
    /// What would be recorded of a push.
    pub wanted: Vec<Wanted>,
    /// Whose push keys are asked.
    pub keys: KeySource,
    /// Why the push would be refused, all reasons.
    pub refusals: Vec<Refusal>,
    /// The ban in force, if any.
    pub ban: Option<&'a ForbiddenStream>,
}

/// Explains what would become of a push. `tasks` are those of the stream, ended ones included.
pub fn explain<'a>(
    snapshot: &'a Snapshot,
    tasks: &'a [RecordTask],
    policy: &Policy,
    question: &Question<'_>,
) -> Explanation<'a> {
    let Question { path, at_ms, .. } = *question;
    let ranked = record_rule::matching(&snapshot.record_rules, path);
    let counting = ranked.first().copied();
    let rules: Vec<SeenRule<'a>> = ranked
        .iter()
        .map(|rule| SeenRule { rule, shadowed_by: counting.filter(|counting| counting != rule) })
        .collect();
    let of_domain = snapshot.record_rules.iter().filter(|rule| rule.domain == path.domain).count();
    let push = LiveStream {
        session: SessionId::new(at_ms),
        path: path.clone(),
        rule_template: plan::rule_template(snapshot, path),
        running_tasks: question.running_tasks.clone(),
    };
    let wanted =
        plan::plan(at_ms, &[push], tasks, &snapshot.record_templates, question.default_task_format);
    let recording: BTreeSet<&str> = wanted.iter().filter_map(|w| w.origin.task_id()).collect();
    let tasks = tasks.iter().map(|task| (task, effect(task, at_ms, &recording))).collect();
    let ban =
        snapshot.forbidden_streams.iter().find(|ban| ban.forbids(path, policy.forbid_scope, at_ms));
    Explanation {
        other_rules: of_domain.saturating_sub(rules.len()),
        rules,
        tasks,
        keys: push_domain::key_source(snapshot, &path.domain, policy),
        refusals: push_domain::refusals(snapshot, path, question.stream_param, policy, at_ms),
        wanted,
        ban,
    }
}

fn effect(task: &RecordTask, at_ms: i64, recording: &BTreeSet<&str>) -> TaskEffect {
    if recording.contains(task.id.as_str()) {
        TaskEffect::Applies
    } else if at_ms >= task.end_s.saturating_mul(1000) {
        TaskEffect::Over
    } else if task.stopped_ms != 0 {
        TaskEffect::Stopped
    } else if task.deleted_ms != 0 {
        TaskEffect::Deleted
    } else if at_ms < task.start_s.saturating_mul(1000) {
        TaskEffect::NotYet
    } else {
        TaskEffect::OneTooMany
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        forbidden_stream::ForbidScope,
        push_domain::{PushDomain, PushKeys, SignatureError},
        recording::Origin,
        stream::{AppName, DomainName, StreamName},
    };

    fn domain() -> DomainName {
        DomainName::parse("push.example.com").unwrap()
    }

    fn path() -> StreamPath {
        StreamPath {
            domain: domain(),
            app: AppName::parse("live").unwrap(),
            stream: StreamName::parse("s").unwrap(),
        }
    }

    fn policy() -> Policy {
        Policy {
            default_domain: DomainName::parse("live.local").unwrap(),
            trust_loopback: true,
            forbid_scope: ForbidScope::Path,
        }
    }

    fn rule(app: &str, stream: &str, template_id: i64) -> RecordRule {
        RecordRule {
            domain: domain(),
            app: app.to_owned(),
            stream: stream.to_owned(),
            template_id,
            created_ms: 0,
            updated_ms: 0,
        }
    }

    fn task(id: &str, start_s: i64, end_s: i64) -> RecordTask {
        RecordTask {
            id: id.to_owned(),
            path: path(),
            start_s,
            end_s,
            template_id: 0,
            stream_type: 0,
            profile: None,
            stopped_ms: 0,
            deleted_ms: 0,
            created_ms: 0,
        }
    }

    fn snapshot() -> Snapshot {
        let keys =
            PushKeys { enabled: true, master: "k".to_owned(), backup: String::new(), delta_s: 0 };
        let mut snapshot = Snapshot::default();
        let registered = PushDomain::new(domain(), Some(keys), 0);
        snapshot.push_domains.insert(domain(), registered);
        snapshot
            .record_templates
            .extend([(1, plan::default_profile(Container::Mp4)), (2, Default::default())]);
        snapshot.record_rules = vec![rule("", "", 1), rule("live", "", 2), rule("other", "", 1)];
        snapshot
    }

    fn ask<'a>(
        snapshot: &'a Snapshot,
        tasks: &'a [RecordTask],
        param: Option<&str>,
    ) -> Explanation<'a> {
        let question = Question {
            path: &path(),
            at_ms: 15_000,
            stream_param: param,
            running_tasks: &BTreeSet::new(),
            default_task_format: Container::Hls,
        };
        explain(snapshot, tasks, &policy(), &question)
    }

    #[test]
    fn the_rule_that_counts_shadows_the_others() {
        let snapshot = snapshot();
        let told = ask(&snapshot, &[], None);
        let seen: Vec<_> = told
            .rules
            .iter()
            .map(|seen| (seen.rule.template_id, seen.shadowed_by.is_some()))
            .collect();
        assert_eq!(seen, [(2, false), (1, true)]);
        assert_eq!(told.other_rules, 1);
        assert!(told.wanted.is_empty(), "its template records nothing");
        assert!(told.refusals.is_empty(), "no signature was asked about");
        assert_eq!(told.keys, KeySource::Own);
    }

    #[test]
    fn each_task_says_why_it_records_or_not() {
        let tasks = [
            task("a", 10, 20),
            task("b", 10, 20),
            task("c", 10, 20),
            task("d", 10, 20),
            task("late", 16, 20),
            task("over", 1, 15),
            RecordTask { stopped_ms: 1, ..task("stopped", 10, 20) },
            RecordTask { deleted_ms: 1, ..task("deleted", 10, 20) },
        ];
        let snapshot = snapshot();
        let told = ask(&snapshot, &tasks, None);
        let words: Vec<_> = told.tasks.iter().map(|(_, effect)| effect.as_str()).collect();
        assert_eq!(
            words,
            [
                "applies",
                "applies",
                "applies",
                "one_too_many",
                "not_yet",
                "over",
                "stopped",
                "deleted"
            ]
        );
        assert!(told.wanted.iter().all(|wanted| matches!(wanted.origin, Origin::Task { .. })));
    }

    #[test]
    fn every_reason_for_a_refusal_is_named() {
        let mut snapshot = snapshot();
        snapshot.forbidden_streams.push(ForbiddenStream {
            path: path(),
            reason: "why".to_owned(),
            resume_ms: 16_000,
            created_ms: 0,
        });
        snapshot.push_domains.get_mut(&domain()).unwrap().enabled = false;
        let told = ask(&snapshot, &[], Some(""));
        assert_eq!(
            told.refusals,
            [
                Refusal::DisabledDomain(domain()),
                Refusal::Signature(SignatureError::Missing),
                Refusal::Forbidden("s".to_owned())
            ]
        );
        assert_eq!(told.ban.map(|ban| ban.reason.as_str()), Some("why"));
        snapshot.push_domains.clear();
        let told = ask(&snapshot, &[], None);
        assert_eq!(told.refusals[0], Refusal::UnknownDomain("push.example.com".to_owned()));
        assert_eq!(told.keys, KeySource::None);
    }
}
