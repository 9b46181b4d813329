//! Lets ingest ask whom delivery can reach: `publish.auth_url`.

use std::{pin::Pin, sync::Arc};

use anyhow::{Context, Result};

use super::now_ms;
use crate::{
    config::Config,
    delivery::publish_auth::PublishAuth,
    domain::{publish_auth::Verdict, session::Session},
    ingest::Gatekeeper,
};

/// Who is asked before a publish begins, if anybody.
///
/// # Errors
/// The client cannot be made.
pub fn gatekeeper(config: &Config, app_id: u64) -> Result<Option<Arc<dyn Gatekeeper>>> {
    let Some(url) = &config.publish.auth_url else { return Ok(None) };
    let key = config.publish.auth_key.as_ref().map_or("", |key| key.expose()).to_owned();
    let denied = config.callback.deny_networks.clone();
    let auth = PublishAuth::new(url.expose().to_owned(), key, denied, app_id)
        .context("set up the client for publish.auth_url")?;
    Ok(Some(Arc::new(auth)))
}

impl Gatekeeper for PublishAuth {
    fn ask<'a>(
        &'a self,
        session: &'a Session,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        Box::pin(PublishAuth::ask(self, session, now_ms().div_euclid(1000)))
    }
}
