//! Callback rules: which callback template a stream's events use (spec live-api 10).

use serde::{Deserialize, Serialize};

use super::stream::{DomainName, StreamPath};

/// Binds a callback template to a domain and an application; an empty application is the whole domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackRule {
    /// Push domain.
    pub domain: DomainName,
    /// AppName or empty.
    pub app: String,
    /// Template bound.
    pub template_id: i64,
    /// Unix milliseconds.
    pub created_ms: i64,
    /// Unix milliseconds.
    pub updated_ms: i64,
}

/// The one rule for a stream: one that names its application before one for the whole domain.
pub fn select<'a>(rules: &'a [CallbackRule], path: &StreamPath) -> Option<&'a CallbackRule> {
    let of_domain = || rules.iter().filter(|r| r.domain == path.domain);
    of_domain()
        .find(|r| r.app == path.app.as_str())
        .or_else(|| of_domain().find(|r| r.app.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stream::{AppName, StreamName};

    #[test]
    fn exact_application_wins_over_whole_domain() {
        let rule = |domain: &str, app: &str, template_id| CallbackRule {
            domain: DomainName::parse(domain).unwrap(),
            app: app.to_owned(),
            template_id,
            created_ms: 0,
            updated_ms: 0,
        };
        let rules = [rule("a", "", 1), rule("a", "live", 2), rule("b", "live", 3)];
        let chosen = |domain: &str, app: &str| {
            let path = StreamPath {
                domain: DomainName::parse(domain).unwrap(),
                app: AppName::parse(app).unwrap(),
                stream: StreamName::parse("s").unwrap(),
            };
            select(&rules, &path).map(|r| r.template_id)
        };
        assert_eq!(chosen("a", "live"), Some(2));
        assert_eq!(chosen("a", "other"), Some(1));
        assert_eq!(chosen("b", "live"), Some(3));
        assert_eq!(chosen("b", "other"), None);
        assert_eq!(chosen("c", "live"), None);
    }
}
