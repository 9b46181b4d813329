//! Record rules: which template a stream gets when its push starts (spec live-api 6).

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::stream::{DomainName, StreamPath};

/// Binds a template to a scope. The triple is the identity; empty texts widen the scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordRule {
    /// Push domain.
    pub domain: DomainName,
    /// AppName, or empty for every application.
    pub app: String,
    /// StreamName, or empty for every stream.
    pub stream: String,
    /// Template bound.
    pub template_id: i64,
    /// Unix milliseconds.
    pub created_ms: i64,
    /// Unix milliseconds.
    pub updated_ms: i64,
}

impl RecordRule {
    /// How specific the rule is for a stream; `None` when it does not match. All elements are
    /// compared exactly: there are no wildcards.
    fn rank(&self, path: &StreamPath) -> Option<u8> {
        let is_app = self.app == path.app.as_str();
        let is_stream = self.stream == path.stream.as_str();
        if self.domain != path.domain
            || !(is_app || self.app.is_empty())
            || !(is_stream || self.stream.is_empty())
        {
            return None;
        }
        // A named stream outweighs a named application.
        Some(u8::from(is_stream) * 2 + u8::from(is_app))
    }
}

/// The one rule for a stream: domain + app + stream before domain + stream before domain + app
/// before the whole domain.
pub fn select<'a>(rules: &'a [RecordRule], path: &StreamPath) -> Option<&'a RecordRule> {
    rules
        .iter()
        .filter_map(|rule| Some((rule.rank(path)?, rule)))
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, rule)| rule)
}

/// Every rule that matches a stream; the first counts, the others are shadowed by it.
pub fn matching<'a>(rules: &'a [RecordRule], path: &StreamPath) -> Vec<&'a RecordRule> {
    let mut ranked: Vec<(u8, &RecordRule)> =
        rules.iter().filter_map(|rule| Some((rule.rank(path)?, rule))).collect();
    ranked.sort_by_key(|(rank, _)| Reverse(*rank));
    ranked.into_iter().map(|(_, rule)| rule).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::stream::{AppName, StreamName};

    /// The table of the specification, tried row by row.
    fn oracle<'a>(rules: &'a [RecordRule], path: &StreamPath) -> Option<&'a RecordRule> {
        let (app, stream) = (path.app.as_str(), path.stream.as_str());
        [(app, stream), ("", stream), (app, ""), ("", "")].into_iter().find_map(|(app, stream)| {
            rules.iter().find(|r| r.domain == path.domain && r.app == app && r.stream == stream)
        })
    }

    prop_compose! {
        fn rule()(domain in "[ab]", app in "[xy]?", stream in "[st]?", template_id in 1i64..9) -> RecordRule {
            let domain = DomainName::parse(&domain).unwrap();
            RecordRule { domain, app, stream, template_id, created_ms: 0, updated_ms: 0 }
        }
    }

    proptest! {
        #[test]
        fn the_most_specific_rule_wins(mut rules in prop::collection::vec(rule(), 0..30), domain in "[abc]", app in "[xyz]", stream in "[stu]") {
            rules.sort_by_key(|r| (r.domain.clone(), r.app.clone(), r.stream.clone()));
            rules.dedup_by_key(|r| (r.domain.clone(), r.app.clone(), r.stream.clone()));
            let path = StreamPath {
                domain: DomainName::parse(&domain).unwrap(),
                app: AppName::parse(&app).unwrap(),
                stream: StreamName::parse(&stream).unwrap(),
            };
            prop_assert_eq!(select(&rules, &path), oracle(&rules, &path));
            prop_assert_eq!(matching(&rules, &path).first().copied(), oracle(&rules, &path));
        }
    }
}
