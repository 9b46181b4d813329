//! A key pair of an API client: who it is and what it may do. The secret itself is not here.

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Only what changes nothing.
    ReadOnly,
    /// The media of one VOD sub-application, and nothing of the Live product.
    SubApp(u64),
}

impl Role {
    /// The text in the database, without the number of the sub-application.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::ReadOnly => "read-only",
            Role::SubApp(_) => "sub-app",
        }
    }

    /// Parses [`Role::as_str`] back; `sub_app_id` is the number of a sub-application.
    pub fn parse(text: &str, sub_app_id: u64) -> Option<Self> {
        match text {
            "admin" => Some(Role::Admin),
            "read-only" => Some(Role::ReadOnly),
            "sub-app" => Some(Role::SubApp(sub_app_id)),
            _ => None,
        }
    }

    /// The number in the database; 0 where the role has none.
    pub fn sub_app_id(self) -> Option<u64> {
        match self {
            Role::Admin | Role::ReadOnly => None,
            Role::SubApp(id) => Some(id),
        }
    }
}

/// A key pair without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Travels in every request.
    pub secret_id: String,
    /// What it may do.
    pub role: Role,
    /// In the operator's words, possibly empty.
    pub note: String,
    /// Unix milliseconds.
    pub created_ms: i64,
    /// Unix milliseconds; 0 while it is in force.
    pub revoked_ms: i64,
}
