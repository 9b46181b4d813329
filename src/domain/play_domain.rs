//! Playback domains: kept and shown for the vendor's clients, of no effect.
//!
//! Products are played from this server's own address; only push domains ([`super::push_domain`])
//! decide anything.

use super::stream::DomainName;

/// A playback domain as AddLiveDomain described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayDomain {
    /// Canonical name.
    pub name: DomainName,
    /// False after ForbidLiveDomain.
    pub enabled: bool,
    /// 1 mainland, 2 global, 3 overseas.
    pub play_type: i64,
    /// Whether AddLiveDomain said so.
    pub is_delay_live: bool,
    /// Whether AddLiveDomain said so.
    pub is_mini_program: bool,
    /// Unix milliseconds.
    pub created_ms: i64,
}
