//! What of the configuration only those rooms can judge that `config` does not know.

use crate::{
    api::rate_limit::unknown_action,
    config::{Config, ConfigError},
};

/// Checks a configuration that was read, touching nothing.
///
/// # Errors
/// [`ConfigError::Together`] names the key.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    match unknown_action(&config.api.rate_limits) {
        None => Ok(()),
        Some(name) => Err(ConfigError::Together {
            key: "api.rate_limits",
            message: format!("names {name}, which is no action of this server"),
        }),
    }
}
