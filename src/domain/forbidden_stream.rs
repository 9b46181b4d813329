//! Streams that may not be pushed for a while (ForbidLiveStream, spec live-api 14).

use serde::{Deserialize, Serialize};

use super::stream::StreamPath;

/// Longest ban, in milliseconds: 90 days.
pub const MAX_BAN_MS: i64 = 90 * 24 * 3600 * 1000;
/// Length of a ban whose end is not said, in milliseconds: 7 days.
pub const DEFAULT_BAN_MS: i64 = 7 * 24 * 3600 * 1000;
/// Longest reason, in bytes.
pub const MAX_REASON_BYTES: usize = 2048;

/// What a ban looks at (`publish.forbid_scope`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForbidScope {
    /// The stream name alone, in every domain and application, as the vendor does by default.
    #[default]
    Name,
    /// Domain, application and stream name.
    Path,
}

/// A ban.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForbiddenStream {
    /// The stream as it was named.
    pub path: StreamPath,
    /// Why, in the operator's words; possibly empty.
    pub reason: String,
    /// Unix milliseconds from which it may be pushed again.
    pub resume_ms: i64,
    /// Unix milliseconds.
    pub created_ms: i64,
}

impl ForbiddenStream {
    /// Whether `path` may not be pushed at `now_ms` (unix milliseconds) because of this ban.
    pub fn forbids(&self, path: &StreamPath, scope: ForbidScope, now_ms: i64) -> bool {
        now_ms < self.resume_ms
            && match scope {
                ForbidScope::Name => self.path.stream == path.stream,
                ForbidScope::Path => self.path == *path,
            }
    }
}

/// Whether one of these bans forbids `path` at `now_ms` (unix milliseconds).
pub fn is_forbidden(
    bans: &[ForbiddenStream],
    path: &StreamPath,
    scope: ForbidScope,
    now_ms: i64,
) -> bool {
    bans.iter().any(|ban| ban.forbids(path, scope, now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::stream::{AppName, DomainName, StreamName};

    fn path(domain: &str, stream: &str) -> StreamPath {
        StreamPath {
            domain: DomainName::parse(domain).unwrap(),
            app: AppName::parse("live").unwrap(),
            stream: StreamName::parse(stream).unwrap(),
        }
    }

    #[test]
    fn a_ban_looks_at_what_it_is_told_to_and_ends() {
        let (here, there) = (path("a.example.com", "s"), path("b.example.com", "s"));
        let ban = ForbiddenStream {
            path: here.clone(),
            reason: String::new(),
            resume_ms: 100,
            created_ms: 0,
        };
        let bans = [ban];
        for (asked, scope, now_ms, forbidden) in [
            (&here, ForbidScope::Path, 99, true),
            (&here, ForbidScope::Name, 99, true),
            (&here, ForbidScope::Name, 100, false),
            (&there, ForbidScope::Name, 99, true),
            (&there, ForbidScope::Path, 99, false),
            (&path("a.example.com", "t"), ForbidScope::Name, 99, false),
        ] {
            assert_eq!(is_forbidden(&bans, asked, scope, now_ms), forbidden, "{asked} {scope:?}");
        }
    }
}
