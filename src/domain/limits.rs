//! How many rows of each kind there may be (`limits`). The defaults are the vendor's numbers where it
//! has published one. What is held in memory is bounded by what the configuration may ask for.

/// Limits of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Record templates, and callback templates, each (spec live-api 5.3, 10).
    pub templates: i64,
    /// Record rules, and callback rules, each (spec live-api 6).
    pub rules: i64,
    /// Push and playback domains together (spec live-api 13), those that rules and tasks register too.
    pub domains: i64,
    /// Tasks of the new API that are neither over nor stopped nor deleted; those of the legacy API have
    /// a limit of their own.
    pub tasks: i64,
    /// The same of the legacy API (spec live-api 8).
    pub legacy_tasks: i64,
    /// Tasks of the legacy API made within a day.
    pub legacy_tasks_per_day: i64,
    /// Streams that may not be pushed for a while.
    pub bans: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            templates: 50,
            rules: 50,
            domains: 100,
            tasks: 10_000,
            legacy_tasks: 400,
            legacy_tasks_per_day: 4000,
            bans: 10_000,
        }
    }
}
