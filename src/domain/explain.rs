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
    stream::{DomainName, StreamPath},
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
    /// What was pushed to the domain in the month of that moment before it, in milliseconds.
    pub pushed_ms: i64,
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
    /// DeleteRecordTask was called; what it records of a push that is live goes on.
    Deleted,
    /// Its template enables no format.
    NoFormat,
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
            TaskEffect::NoFormat => "no_format",
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
    /// Whether a push from this very machine needs no signature.
    pub trusts_loopback: bool,
    /// Why the push would be refused, all reasons.
    pub refusals: Vec<Refusal>,
    /// The registered domain that the push would belong to instead, since its parameters name it.
    pub elsewhere: Option<DomainName>,
    /// The ban in force, if any.
    pub ban: Option<&'a ForbiddenStream>,
}

/// Explains what would become of a push that begins then; one that is live is no part of it. `tasks` are those of the stream, ended ones included.
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
        running_tasks: BTreeSet::new(),
        idle_tasks: BTreeSet::new(),
    };
    let (templates, default_format) = (&snapshot.record_templates, question.default_task_format);
    let mut wanted = plan::plan(at_ms, &[push], tasks, templates, default_format);
    wanted.retain(Wanted::has_format);
    let recording: BTreeSet<&str> = wanted.iter().filter_map(|w| w.origin.task_id()).collect();
    let tasks = tasks.iter().map(|task| {
        let template = plan::task_template(task, templates, default_format);
        let has_format = template.containers().next().is_some();
        (task, effect(task, at_ms, &recording, has_format))
    });
    let tasks = tasks.collect();
    let (elsewhere, misnamed) = destination(snapshot, question);
    // Who belongs elsewhere is signed for there.
    let stream_param = question.stream_param.filter(|_| elsewhere.is_none() && misnamed.is_none());
    let mut refusals: Vec<Refusal> = misnamed.into_iter().collect();
    refusals.extend(push_domain::refusals(
        snapshot,
        path,
        stream_param,
        policy,
        at_ms,
        question.pushed_ms,
    ));
    let ban =
        snapshot.forbidden_streams.iter().find(|ban| ban.forbids(path, policy.forbid_scope, at_ms));
    Explanation {
        other_rules: of_domain.saturating_sub(rules.len()),
        rules,
        tasks,
        keys: push_domain::key_source(snapshot, &path.domain, policy),
        trusts_loopback: push_domain::trusts_loopback(snapshot, &path.domain, policy),
        refusals,
        elsewhere,
        wanted,
        ban,
    }
}

/// The other domain that the parameters of the push name, or why what they name is none.
fn destination(
    snapshot: &Snapshot,
    question: &Question<'_>,
) -> (Option<DomainName>, Option<Refusal>) {
    match push_domain::domain_of_param(question.stream_param.unwrap_or("")) {
        Ok(Some(name)) if name == question.path.domain => (None, None),
        Ok(Some(name)) if snapshot.push_domains.contains_key(&name) => (Some(name), None),
        Ok(Some(name)) => (None, Some(Refusal::UnknownDomain(name.to_string()))),
        Ok(None) => (None, None),
        Err(refusal) => (None, Some(refusal)),
    }
}

fn effect(
    task: &RecordTask,
    at_ms: i64,
    recording: &BTreeSet<&str>,
    has_format: bool,
) -> TaskEffect {
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
    } else if !has_format {
        TaskEffect::NoFormat
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
        stream::{AppName, StreamName},
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
            pushed_ms: 0,
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
            RecordTask { template_id: 2, ..task("0", 10, 20) },
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
                "deleted",
                "no_format"
            ]
        );
        assert!(told.wanted.iter().all(|wanted| matches!(wanted.origin, Origin::Task { .. })));
    }

    #[test]
    fn a_push_may_belong_elsewhere() {
        let mut snapshot = snapshot();
        let other = DomainName::parse("other.example.com").unwrap();
        snapshot.push_domains.insert(other.clone(), PushDomain::new(other.clone(), None, 0));
        let told = ask(&snapshot, &[], Some("vhost=other.example.com"));
        assert_eq!((told.elsewhere, told.refusals), (Some(other), vec![]));
        let told = ask(&snapshot, &[], Some("vhost=third.example.com"));
        assert_eq!(told.elsewhere, None);
        assert_eq!(told.refusals, [Refusal::UnknownDomain("third.example.com".to_owned())]);
        let told = ask(&snapshot, &[], Some("vhost=push.example.com"));
        assert_eq!(told.elsewhere, None);
        assert_eq!(told.refusals, [Refusal::Signature(SignatureError::Missing)]);
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
