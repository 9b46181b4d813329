//! Asks a customer's server whether a publish may begin (`publish.auth_url`): one signed POST, as
//! events are sent, with a short patience. What is asked and what the answer means is
//! [`crate::domain::publish_auth`].

use std::time::Duration;

use ipnet::IpNet;

use super::callback::{
    CallbackError,
    receiver::{Message, Receivers},
};
use crate::domain::{
    callback::{body_signature, signed},
    publish_auth::{Verdict, question, verdict},
    session::Session,
};

/// A publisher waits no longer for the answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who is asked.
pub struct PublishAuth {
    receivers: Receivers,
    url: String,
    /// Signs the question; empty for none.
    key: String,
    app_id: u64,
}

impl PublishAuth {
    /// Prepares the client; `denied` are networks that are never connected to.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(
        url: String,
        key: String,
        denied: Vec<IpNet>,
        app_id: u64,
    ) -> Result<Self, CallbackError> {
        Ok(Self { receivers: Receivers::new(PATIENCE, denied)?, url, key, app_id })
    }

    /// Asks about a publish at `now_s` (unix seconds).
    pub async fn ask(&self, session: &Session, now_s: i64) -> Verdict {
        let body = signed(question(session, self.app_id), &self.key, now_s);
        // A JSON object always serialises.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let signature = body_signature(&self.key, &body);
        let headers = signature.map(|signature| ("X-Liverec-Signature", signature));
        let message = Message { body, headers: headers.into_iter().collect() };
        match self.receivers.ask(&self.url, &message).await {
            Ok((status, answer)) => verdict(status, &answer),
            Err(failure) => Verdict::Unanswered(failure.to_string()),
        }
    }
}
