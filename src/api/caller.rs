//! Who is calling: the key that signed the request and what it may touch.
//!
//! Made once per request by [`super::sign`]; every handler receives it.

use super::error::{ApiError, Result};

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything: the main key of the configuration.
    Admin,
}

/// The caller of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key id that signed the request.
    pub secret_id: String,
    /// What the key may do.
    pub role: Role,
    /// The one VOD sub-application the key is confined to; `None` reaches all of them.
    pub sub_app_id: Option<u64>,
}

impl Caller {
    /// The caller behind the main key.
    pub fn admin(secret_id: impl Into<String>) -> Self {
        Self { secret_id: secret_id.into(), role: Role::Admin, sub_app_id: None }
    }

    /// The VOD application a request is about: the requested one, else the key's own, else `main`
    /// (`api.app_id`). A key confined to one application cannot name another.
    pub fn effective_sub_app(&self, requested: Option<u64>, main: u64) -> Result<u64> {
        let requested = requested.filter(|id| *id != 0);
        match (self.sub_app_id, requested) {
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
    fn a_confined_key_stays_in_its_application() {
        let admin = Caller::admin("id");
        assert_eq!(admin.effective_sub_app(None, 7).unwrap(), 7);
        assert_eq!(admin.effective_sub_app(Some(0), 7).unwrap(), 7);
        assert_eq!(admin.effective_sub_app(Some(9), 7).unwrap(), 9);
        let confined = Caller { sub_app_id: Some(5), ..admin };
        assert_eq!(confined.effective_sub_app(None, 7).unwrap(), 5);
        assert_eq!(confined.effective_sub_app(Some(5), 7).unwrap(), 5);
        assert_eq!(
            confined.effective_sub_app(Some(7), 7).unwrap_err().code(),
            "UnauthorizedOperation"
        );
    }
}
