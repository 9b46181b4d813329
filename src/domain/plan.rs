//! The rule engine: which recordings should be running right now.
//!
//! One pure function, evaluated on every publish, unpublish, task edge and change, and at start:
//! normal work and recovery are the same path. It does not start or stop anything; the supervisor
//! in `record` compares its answer with what is running.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    container::Container,
    ids::SessionId,
    record_rule,
    record_task::RecordTask,
    record_template::{RecordParam, RecordTemplate},
    recording::Origin,
    snapshot::Snapshot,
    stream::StreamPath,
};

/// At most this many overlapping tasks record one stream (spec live-api 7).
pub const MAX_TASKS_PER_STREAM: usize = 3;

/// A session that is live, as the engine sees it.
#[derive(Debug, Clone)]
pub struct LiveStream {
    /// The session.
    pub session: SessionId,
    /// Its stream.
    pub path: StreamPath,
    /// The template its rule gave it when the push started; fixed for that push.
    pub rule_template: Option<RecordTemplate>,
    /// Ids of tasks already recording this session.
    pub running_tasks: BTreeSet<String>,
    /// Ids of tasks whose template enabled no format when they were due: they record nothing of this
    /// session, whatever becomes of the template.
    pub idle_tasks: BTreeSet<String>,
}

/// A recording that should be running, in every container its template enables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Of this session.
    pub session: SessionId,
    /// Because of this.
    pub origin: Origin,
    /// With this template; for a recording that is already running the template it started with counts.
    /// One that enables no format is of a task that is to be idle.
    pub template: RecordTemplate,
}

impl Wanted {
    /// Whether anything is recorded.
    pub fn has_format(&self) -> bool {
        self.template.containers().next().is_some()
    }
}

/// The template that the rules give a push of `path` starting now. `None` when no rule matches;
/// a template without an enabled format is an answer too: "do not record".
pub fn rule_template(snapshot: &Snapshot, path: &StreamPath) -> Option<RecordTemplate> {
    let rule = record_rule::select(&snapshot.record_rules, path)?;
    snapshot.record_templates.get(&rule.template_id).cloned()
}

/// The profile of a task whose template is absent, 0 or unknown (spec live-api 7, 17).
pub fn default_profile(format: Container) -> RecordTemplate {
    let enabled = RecordParam { enable: true, ..RecordParam::default() };
    let mut template = RecordTemplate::default();
    match format {
        Container::Flv => template.flv = enabled,
        Container::Hls => template.hls = enabled,
        Container::Mp4 => template.mp4 = enabled,
        Container::Aac => template.aac = enabled,
    }
    template
}

/// What a task records as things are now: its own profile, the template it names, or the default
/// profile in place of one that does not exist.
pub fn task_template(
    task: &RecordTask,
    templates: &BTreeMap<i64, RecordTemplate>,
    default_format: Container,
) -> RecordTemplate {
    let named = || templates.get(&task.template_id).cloned();
    task.profile.clone().or_else(named).unwrap_or_else(|| default_profile(default_format))
}

/// The recordings that should be running at `now_ms` (unix milliseconds).
pub fn plan(
    now_ms: i64,
    live: &[LiveStream],
    tasks: &[RecordTask],
    templates: &BTreeMap<i64, RecordTemplate>,
    default_format: Container,
) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for stream in live {
        if let Some(template) = &stream.rule_template
            && template.containers().next().is_some()
        {
            wanted.push(Wanted {
                session: stream.session,
                origin: Origin::Rule,
                template: template.clone(),
            });
        }
        let mut due: Vec<(bool, &RecordTask, RecordTemplate)> = Vec::new();
        for task in tasks.iter().filter(|t| t.path == stream.path && t.is_open_at(now_ms)) {
            let is_running = stream.running_tasks.contains(&task.id);
            let template = task_template(task, templates, default_format);
            let has_format = template.containers().next().is_some();
            if is_running {
                // A recording that runs keeps to the template it began with.
                due.push((true, task, template));
            } else if task.deleted_ms != 0 {
                // Only what it records already goes on.
            } else if has_format && !stream.idle_tasks.contains(&task.id) {
                due.push((false, task, template));
            } else {
                // Takes no place from others.
                wanted.push(Wanted {
                    session: stream.session,
                    origin: Origin::Task { task_id: task.id.clone() },
                    template: RecordTemplate::default(),
                });
            }
        }
        // Those already recording keep their place; then the earliest.
        due.sort_by_key(|(is_running, t, _)| (!is_running, t.start_s, t.created_ms, &t.id));
        for (_, task, template) in due.into_iter().take(MAX_TASKS_PER_STREAM) {
            wanted.push(Wanted {
                session: stream.session,
                origin: Origin::Task { task_id: task.id.clone() },
                template,
            });
        }
    }
    wanted
}

/// The next moment after `now_ms` at which [`plan`] may answer differently by itself.
pub fn next_edge_ms(now_ms: i64, tasks: &[RecordTask]) -> Option<i64> {
    tasks
        .iter()
        .filter(|t| t.stopped_ms == 0)
        .flat_map(|t| [t.start_s.saturating_mul(1000), t.end_s.saturating_mul(1000)])
        .filter(|edge| *edge > now_ms)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stream::{AppName, DomainName, StreamName};

    fn path(stream: &str) -> StreamPath {
        StreamPath {
            domain: DomainName::parse("push.example.com").unwrap(),
            app: AppName::parse("live").unwrap(),
            stream: StreamName::parse(stream).unwrap(),
        }
    }

    fn task(id: &str, start_s: i64, end_s: i64) -> RecordTask {
        RecordTask {
            id: id.to_owned(),
            path: path("a"),
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

    fn live(rule: Option<RecordTemplate>, running: &[&str]) -> LiveStream {
        LiveStream {
            session: SessionId::new(0),
            path: path("a"),
            rule_template: rule,
            running_tasks: running.iter().map(|s| (*s).to_owned()).collect(),
            idle_tasks: BTreeSet::new(),
        }
    }

    fn ids(wanted: &[Wanted]) -> Vec<&str> {
        wanted.iter().filter_map(|w| w.origin.task_id()).collect()
    }

    fn run(now_ms: i64, live: LiveStream, tasks: &[RecordTask]) -> Vec<Wanted> {
        plan(now_ms, &[live], tasks, &BTreeMap::new(), Container::Hls)
    }

    #[test]
    fn rule_and_task_record_independently() {
        let wanted =
            run(15_000, live(Some(default_profile(Container::Mp4)), &[]), &[task("t", 10, 20)]);
        assert_eq!(wanted.len(), 2);
        assert_eq!(wanted[0].origin, Origin::Rule);
        assert!(wanted[1].template.hls.enable, "a task without template uses the default profile");
    }

    #[test]
    fn template_with_every_format_off_records_nothing() {
        assert!(run(0, live(Some(RecordTemplate::default()), &[]), &[]).is_empty());
    }

    #[test]
    fn window_is_half_open() {
        for (now_ms, inside) in [(9_999, false), (10_000, true), (19_999, true), (20_000, false)] {
            assert_eq!(
                run(now_ms, live(None, &[]), &[task("t", 10, 20)]).len(),
                usize::from(inside)
            );
        }
    }

    #[test]
    fn deleted_task_finishes_what_runs_and_starts_nothing() {
        let mut deleted = task("t", 10, 20);
        deleted.deleted_ms = 1;
        assert!(run(15_000, live(None, &[]), std::slice::from_ref(&deleted)).is_empty());
        assert_eq!(run(15_000, live(None, &["t"]), &[deleted]).len(), 1);
    }

    #[test]
    fn stopped_task_ends_at_once() {
        let mut stopped = task("t", 10, 20);
        stopped.stopped_ms = 14_000;
        assert!(run(15_000, live(None, &["t"]), &[stopped]).is_empty());
    }

    #[test]
    fn at_most_three_tasks_and_running_ones_first() {
        let tasks = [task("a", 1, 99), task("b", 2, 99), task("c", 3, 99), task("d", 4, 99)];
        assert_eq!(ids(&run(15_000, live(None, &[]), &tasks)), ["a", "b", "c"]);
        assert_eq!(ids(&run(15_000, live(None, &["d"]), &tasks)), ["d", "a", "b"]);
    }

    #[test]
    fn a_task_without_a_format_takes_no_place_and_what_runs_goes_on() {
        let tasks = [task("a", 1, 99), task("b", 2, 99), task("c", 3, 99), task("d", 4, 99)];
        let tasks = tasks.map(|task| match task.id.as_str() {
            "d" => task,
            _ => RecordTask { template_id: 1, ..task },
        });
        let templates = BTreeMap::from([(1, RecordTemplate::default())]);
        let run = |running: &[&str]| {
            let mut wanted =
                plan(15_000, &[live(None, running)], &tasks, &templates, Container::Hls);
            wanted.retain(|w| w.has_format() || running.contains(&w.origin.task_id().unwrap()));
            ids(&wanted).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(run(&[]), ["d"]);
        // Its template was changed while it records.
        assert_eq!(run(&["b"]), ["b", "d"]);
    }

    /// A change of a template is for the pushes that begin after it.
    #[test]
    fn a_task_without_a_format_stays_idle_for_the_push() {
        let tasks = [RecordTask { template_id: 1, ..task("t", 10, 20) }];
        let run = |idle: &[&str], template: RecordTemplate| {
            let idle_tasks = idle.iter().map(|id| (*id).to_owned()).collect();
            let stream = LiveStream { idle_tasks, ..live(None, &[]) };
            let templates = BTreeMap::from([(1, template)]);
            let wanted = plan(15_000, &[stream], &tasks, &templates, Container::Hls);
            wanted.iter().map(Wanted::has_format).collect::<Vec<_>>()
        };
        let (none, mp4) = (RecordTemplate::default(), default_profile(Container::Mp4));
        assert_eq!(run(&[], none), [false]);
        assert_eq!(run(&["t"], mp4.clone()), [false]);
        assert_eq!(run(&[], mp4), [true]);
    }

    #[test]
    fn next_edge_is_the_nearest_in_the_future() {
        let tasks = [task("a", 10, 30), task("b", 20, 40)];
        assert_eq!(next_edge_ms(10_000, &tasks), Some(20_000));
        assert_eq!(next_edge_ms(40_000, &tasks), None);
    }
}
