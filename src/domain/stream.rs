//! What a stream is called: push domain, application and stream name.
//!
//! The three names come from outside (RTMP, API, database) and are parsed here once. Nothing in
//! this file knows which domains exist; that is [`super::push_domain`].

use std::fmt;

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
    /// taken off; IP addresses are accepted as text (the caller decides what they mean).
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const WHAT: &str = "domain name";
        let text = text.trim();
        let host = match text.rsplit_once(':') {
            Some((host, port))
                if !host.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) =>
            {
                host
            }
            _ => text,
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() {
            return Err(NameError::Empty { what: WHAT });
        }
        if host.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong { what: WHAT, len: host.len(), max: MAX_NAME_BYTES });
        }
        let ascii = idna::domain_to_ascii(host)
            .map_err(|_| NameError::Character { what: WHAT, found: first_odd(host) })?;
        let bad = |c: char| {
            !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']'))
        };
        if let Some(found) = ascii.chars().find(|c| bad(*c)) {
            return Err(NameError::Character { what: WHAT, found });
        }
        if ascii.is_empty() {
            return Err(NameError::Empty { what: WHAT });
        }
        if ascii.len() > 253 {
            return Err(NameError::TooLong { what: WHAT, len: ascii.len(), max: 253 });
        }
        Ok(Self(ascii))
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

impl fmt::Display for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.domain, self.app, self.stream)
    }
}
