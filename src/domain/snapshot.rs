//! The configuration rows held in memory, so that a publish never waits for the database.
//!
//! Read from the database at start and after every change; a publish is decided from the newest
//! snapshot that could be read.

use std::collections::BTreeMap;

use super::{
    callback_rule::CallbackRule, callback_template::CallbackTemplate, domain_limits::DomainLimits,
    forbidden_stream::ForbiddenStream, push_domain::PushDomain, record_rule::RecordRule,
    record_task::RecordTask, record_template::RecordTemplate, stream::DomainName,
};

/// All rows that decide what happens to a publish.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Registered push domains by name.
    pub push_domains: BTreeMap<DomainName, PushDomain>,
    /// Record templates by id.
    pub record_templates: BTreeMap<i64, RecordTemplate>,
    /// Record rules.
    pub record_rules: Vec<RecordRule>,
    /// Record tasks that are not over yet (deleted ones included while they may be running).
    pub record_tasks: Vec<RecordTask>,
    /// Callback templates by id.
    pub callback_templates: BTreeMap<i64, CallbackTemplate>,
    /// Callback rules.
    pub callback_rules: Vec<CallbackRule>,
    /// Limits of the domains that have some.
    pub domain_limits: BTreeMap<DomainName, DomainLimits>,
    /// Milliseconds pushed this month to the domains whose hours are limited, as of the reading.
    pub pushed_ms: BTreeMap<DomainName, i64>,
    /// Streams that may not be pushed, as of the reading.
    pub forbidden_streams: Vec<ForbiddenStream>,
}
