//! Who is calling: the key that signed the request and what it may touch.
//!
//! Made once per request by [`super::sign`]; every handler receives it.

use super::{
    Product,
    error::{ApiError, Result},
};
use crate::domain::api_key::Role;

/// What the names of actions that change nothing begin with.
const READING: [&str; 5] =
    ["Describe", "Search", "LiverecDescribe", "LiverecExplain", "LiverecVerify"];

/// Whether an action changes nothing.
pub fn is_reading(action: &str) -> bool {
    READING.iter().any(|verb| action.starts_with(verb))
}

/// The caller of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key id that signed the request.
    pub secret_id: String,
    /// What the key may do.
    pub role: Role,
}

impl Caller {
    /// The caller behind the main key.
    pub fn admin(secret_id: impl Into<String>) -> Self {
        Self { secret_id: secret_id.into(), role: Role::Admin }
    }

    /// Refuses an action that the key may not ask for: a read-only key changes nothing, and one of a
    /// sub-application has nothing to do with the Live product.
    pub fn may(&self, product: Product, action: &str) -> Result<()> {
        let is_allowed = match self.role {
            Role::Admin => true,
            Role::ReadOnly => is_reading(action),
            Role::SubApp(_) => product == Product::Vod,
        };
        if is_allowed {
            return Ok(());
        }
        let message = format!("This key ({}) may not ask for {action}.", self.role.as_str());
        Err(ApiError::new("UnauthorizedOperation", message))
    }

    /// The VOD application a request is about: the requested one, else the key's own, else `main`
    /// (`api.app_id`). A key confined to one application cannot name another.
    pub fn effective_sub_app(&self, requested: Option<u64>, main: u64) -> Result<u64> {
        let requested = requested.filter(|id| *id != 0);
        match (self.role.sub_app_id(), requested) {
            (None, requested) => Ok(requested.unwrap_or(main)),
            (Some(own), None) => Ok(own),
            (Some(own), Some(asked)) if own == asked => Ok(own),
            (Some(_), Some(asked)) => Err(ApiError::new(
                "UnauthorizedOperation",
                format!("This key has no access to the sub-application {asked}."),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_bound_what_may_be_asked_for() {
        let with = |role| Caller { role, ..Caller::admin("id") };
        for (role, product, action, is_allowed) in [
            (Role::Admin, Product::Live, "CreateLiveRecordRule", true),
            (Role::ReadOnly, Product::Live, "CreateLiveRecordRule", false),
            (Role::ReadOnly, Product::Live, "DescribeLiveRecordRules", true),
            (Role::ReadOnly, Product::Vod, "SearchMedia", true),
            (Role::ReadOnly, Product::Vod, "LiverecReplayCallback", false),
            (Role::SubApp(5), Product::Vod, "SearchMedia", true),
            (Role::SubApp(5), Product::Live, "DescribeLiveRecordRules", false),
        ] {
            assert_eq!(with(role).may(product, action).is_ok(), is_allowed, "{role:?} {action}");
        }
    }

    #[test]
    fn a_confined_key_stays_in_its_application() {
        let admin = Caller::admin("id");
        assert_eq!(admin.effective_sub_app(None, 7).unwrap(), 7);
        assert_eq!(admin.effective_sub_app(Some(0), 7).unwrap(), 7);
        assert_eq!(admin.effective_sub_app(Some(9), 7).unwrap(), 9);
        let confined = Caller { role: Role::SubApp(5), ..admin };
        assert_eq!(confined.effective_sub_app(None, 7).unwrap(), 5);
        assert_eq!(confined.effective_sub_app(Some(5), 7).unwrap(), 5);
        assert_eq!(
            confined.effective_sub_app(Some(7), 7).unwrap_err().code(),
            "UnauthorizedOperation"
        );
    }
}
