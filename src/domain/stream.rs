//! What a stream is called: push domain, application and stream name.
//!
//! The three names come from outside (RTMP, API, database) and are parsed here once. Nothing in
//! this file knows which domains exist; that is [`super::push_domain`].

use std::{fmt, net::Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Longest application or stream name accepted, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 255;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty where a name is needed.
    #[error("{what} is empty")]
    Empty {
        /// Which name.
        what: &'static str,
    },
    /// The text is longer than the limit.
    #[error("{what} is {len} bytes long, at most {max} are allowed")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// Bytes seen.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A push that asks for the name gets another one.
    #[error("{what} is one that no push can have: {why}")]
    Unpushable {
        /// Which name.
        what: &'static str,
        /// What happens to it in a push.
        why: &'static str,
    },
    /// The text has a character that such a name cannot have.
    #[error("{what} has a character that is not allowed: {found:?}")]
    Character {
        /// Which name.
        what: &'static str,
        /// The offending character.
        found: char,
    },
}

/// A push domain in canonical form: lower case, ASCII (IDNA), no port, no trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DomainName(String);

impl DomainName {
    /// Parses a host name as written by a client or an operator. A port and a trailing dot are
    /// taken off; IP addresses are accepted as text (the caller decides what they mean). What comes
    /// out is parsed as itself.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const WHAT: &str = "domain name";
        let text = text.trim();
        // The colons of an IPv6 address stand in brackets, or it has no port.
        let host = match text.rsplit_once(':') {
            Some((host, port))
                if (!host.contains(':') || host.ends_with(']'))
                    && port.bytes().all(|b| b.is_ascii_digit()) =>
            {
                host
            }
            _ => text,
        };
        if host.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong { what: WHAT, len: host.len(), max: MAX_NAME_BYTES });
        }
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if bare.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self(host.to_ascii_lowercase()));
        }
        let ascii = idna::domain_to_ascii(host)
            .map_err(|_| NameError::Character { what: WHAT, found: first_odd(host) })?;
        // Behind IDNA, which knows more dots than one, and drops what nobody sees.
        let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
        if ascii.is_empty() {
            return Err(NameError::Empty { what: WHAT });
        }
        let bad = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        if let Some(found) = ascii.chars().find(|c| bad(*c)) {
            return Err(NameError::Character { what: WHAT, found });
        }
        if ascii.split('.').any(str::is_empty) {
            return Err(NameError::Character { what: WHAT, found: '.' });
        }
        if ascii.len() > 253 {
            return Err(NameError::TooLong { what: WHAT, len: ascii.len(), max: 253 });
        }
        if let Some(long) = ascii.split('.').find(|label| label.len() > 63) {
            return Err(NameError::TooLong {
                what: "label of a domain name",
                len: long.len(),
                max: 63,
            });
        }
        Ok(Self(ascii.to_owned()))
    }

    /// Whether it is the name of this machine or of an address, in any of the ways to write one.
    pub fn is_address(&self) -> bool {
        let last = self.0.rsplit('.').next().unwrap_or_default();
        let is_number = |text: &str| {
            text.bytes().all(|b| b.is_ascii_digit())
                || text
                    .strip_prefix("0x")
                    .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        self.0 == "localhost" || self.0.contains(':') || is_number(last)
    }

    /// Whether it keeps to the letters, digits and inner hyphens of RFC 1123.
    pub fn is_host_name(&self) -> bool {
        let is_label =
            |label: &str| !(label.starts_with('-') || label.ends_with('-') || label.contains('_'));
        self.0.split('.').all(is_label)
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn first_odd(text: &str) -> char {
    text.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-' && *c != '.').unwrap_or('?')
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! free_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Accepts any non-empty text of at most [`MAX_NAME_BYTES`] without control characters.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                if text.is_empty() {
                    return Err(NameError::Empty { what: $what });
                }
                if text.len() > MAX_NAME_BYTES {
                    return Err(NameError::TooLong { what: $what, len: text.len(), max: MAX_NAME_BYTES });
                }
                if let Some(found) = text.chars().find(|c| c.is_control()) {
                    return Err(NameError::Character { what: $what, found });
                }
                Ok(Self(text.to_owned()))
            }

            /// The text as received.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

free_name!(
    /// The application (the vendor's AppName, the push path). May hold slashes.
    AppName,
    "AppName"
);
free_name!(
    /// The stream name: the stream key up to its first `?`.
    StreamName,
    "StreamName"
);

/// What becomes of a `?` in the address or the stream key of a push.
const CUT_AT_MARK: &str = "what stands behind a `?` is parameters";

impl AppName {
    /// Whether a push can have this name. Rows of the past may hold others.
    ///
    /// # Errors
    /// [`NameError::Unpushable`].
    pub fn check_pushable(&self) -> Result<(), NameError> {
        let odd = |why| Err(NameError::Unpushable { what: "AppName", why });
        match self.0.as_str() {
            text if text.contains('?') => odd(CUT_AT_MARK),
            text if text.ends_with('/') => odd("slashes at its end are taken off"),
            _ => Ok(()),
        }
    }
}

impl StreamName {
    /// As [`AppName::check_pushable`].
    ///
    /// # Errors
    /// [`NameError::Unpushable`].
    pub fn check_pushable(&self) -> Result<(), NameError> {
        match self.0.contains('?') {
            true => Err(NameError::Unpushable { what: "StreamName", why: CUT_AT_MARK }),
            false => Ok(()),
        }
    }
}

/// The full name of a stream; at most one session of it is live at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamPath {
    /// Push domain.
    pub domain: DomainName,
    /// Application.
    pub app: AppName,
    /// Stream name.
    pub stream: StreamName,
}

impl StreamPath {
    /// As [`AppName::check_pushable`], of application and stream.
    ///
    /// # Errors
    /// [`NameError::Unpushable`].
    pub fn check_pushable(&self) -> Result<(), NameError> {
        self.app.check_pushable()?;
        self.stream.check_pushable()
    }
}

impl fmt::Display for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.domain, self.app, self.stream)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<String> {
        DomainName::parse(text).ok().map(|name| name.as_str().to_owned())
    }

    #[test]
    fn a_domain_is_written_one_way() {
        for (text, name) in [
            (" Push.Example.COM:1935 ", "push.example.com"),
            ("live.local.", "live.local"),
            ("live.local。", "live.local"),
            ("b。c", "b.c"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[2001:DB8::1]:1935", "[2001:db8::1]"),
            ("::1", "::1"),
            ("a_b", "a_b"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(name), "{text}");
        }
        let long = "a".repeat(64);
        for text in [
            "",
            ".",
            "..",
            ".\u{ad}",
            "a..b",
            "a..",
            "b。。",
            "live.local:1935.",
            "live.local:80\u{ad}",
            "a:b",
            "a b",
            "a/b",
            "[a]",
            "[::1",
            long.as_str(),
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    #[test]
    fn addresses_and_odd_labels_are_known() {
        let name = |text: &str| DomainName::parse(text).unwrap();
        for text in ["localhost", "127.0.0.1", "[::1]", "::1", "0x7f.1", "2130706433", "999.1.1.1"]
        {
            assert!(name(text).is_address(), "{text}");
        }
        for text in ["a.b", "d", "1.example", "0x7g", "example.x1"] {
            assert!(!name(text).is_address() && name(text).is_host_name(), "{text}");
        }
        for text in ["-a", "a-.b", "_", "a_b.c"] {
            assert!(!name(text).is_host_name(), "{text}");
        }
    }

    #[test]
    fn names_that_a_push_loses_are_known() {
        let app = |text: &str| AppName::parse(text).unwrap().check_pushable().is_ok();
        let stream = |text: &str| StreamName::parse(text).unwrap().check_pushable().is_ok();
        for text in ["live", "a/b", "/live", " ", "a&b=c"] {
            assert!(app(text) && stream(text), "{text}");
        }
        for text in ["live/", "/", "a?b", "?"] {
            assert!(!app(text), "{text}");
        }
        assert!(stream("s/") && !stream("a?b") && !stream("a?"));
    }

    proptest! {
        #[test]
        fn what_comes_out_is_parsed_as_itself(text in "[ab.。:1\\[\\]_\u{ad} -]{0,8}|\\PC{0,20}") {
            if let Some(name) = parsed(&text) {
                prop_assert_eq!(parsed(&name), Some(name.clone()));
                prop_assert!(name.len() <= 253);
            }
        }
    }
}
