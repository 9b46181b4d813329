//! TC3-HMAC-SHA256: the signature stands in the Authorization header (spec live-api 3.2).

use axum::http::HeaderMap;
use chrono::DateTime;
use sha2::{Digest, Sha256};

use super::{
    super::{
        error::{ApiError, Result},
        wire::{Verb, Wire, header},
    },
    failure, hmac_sha256, hosts, is_same, malformed, paths,
};

const ALGORITHM: &str = "TC3-HMAC-SHA256";
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// What a request claims, not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Key id.
    pub secret_id: String,
    /// X-TC-Timestamp, unix seconds.
    pub timestamp_s: i64,
    date: String,
    service: String,
    signed_headers: String,
    signature: String,
}

impl Claim {
    /// Reads the Authorization header and the time stamp.
    pub fn parse(headers: &HeaderMap) -> Result<Self> {
        let text = header(headers, "authorization").ok_or_else(|| malformed("it is no text"))?;
        let rest = text
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| malformed("it must begin with TC3-HMAC-SHA256"))?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) =
                part.trim().split_once('=').ok_or_else(|| malformed("a part has no ="))?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(malformed("it has a part that is not known")),
            };
            if slot.replace(value.trim()).is_some() {
                return Err(malformed("a part is given twice"));
            }
        }
        let (Some(credential), Some(signed_headers), Some(signature)) =
            (credential, signed_headers, signature)
        else {
            return Err(malformed("Credential, SignedHeaders and Signature are needed"));
        };
        let scope = credential
            .strip_suffix("/tc3_request")
            .and_then(|rest| rest.split_once('/'))
            .and_then(|(id, rest)| Some((id, rest.split_once('/')?)));
        let Some((secret_id, (date, service))) = scope else {
            return Err(malformed("the Credential must be SecretId/date/service/tc3_request"));
        };
        if !["content-type", "host"]
            .iter()
            .all(|name| signed_headers.split(';').any(|h| h == *name))
        {
            return Err(malformed("content-type and host must be signed"));
        }
        let timestamp = header(headers, "x-tc-timestamp").filter(|t| !t.is_empty());
        let timestamp = timestamp.ok_or_else(|| ApiError::missing("X-TC-Timestamp"))?;
        Ok(Self {
            secret_id: secret_id.to_owned(),
            timestamp_s: timestamp
                .parse()
                .map_err(|_| ApiError::wrong_type("X-TC-Timestamp", "an integer"))?,
            date: date.to_owned(),
            service: service.to_owned(),
            signed_headers: signed_headers.to_owned(),
            signature: signature.to_owned(),
        })
    }

    /// Checks the signature against a secret key.
    pub fn verify(&self, wire: &Wire<'_>, secret_key: &str) -> Result<()> {
        let day =
            DateTime::from_timestamp(self.timestamp_s, 0).map(|t| t.format("%Y-%m-%d").to_string());
        if day.as_deref() != Some(self.date.as_str()) {
            return Err(ApiError::new(
                "AuthFailure.SignatureFailure",
                "The date in the Credential is not the UTC date of X-TC-Timestamp.",
            ));
        }
        let key = hmac_sha256(format!("TC3{secret_key}").as_bytes(), self.date.as_bytes());
        let key = hmac_sha256(&key, self.service.as_bytes());
        let key = hmac_sha256(&key, b"tc3_request");
        let payload = match (header(wire.headers, "x-tc-content-sha256"), wire.verb) {
            (Some(UNSIGNED_PAYLOAD), _) => UNSIGNED_PAYLOAD.as_bytes(),
            (_, Verb::Get) => b"",
            (_, Verb::Post) => wire.body,
        };
        let payload = hex::encode(Sha256::digest(payload));
        for host in hosts(wire) {
            for path in paths(wire) {
                for is_lower in [false, true] {
                    let request = self.canonical_request(wire, host, path, is_lower, &payload);
                    let text = format!(
                        "{ALGORITHM}\n{}\n{}/{}/tc3_request\n{}",
                        self.timestamp_s,
                        self.date,
                        self.service,
                        hex::encode(Sha256::digest(&request))
                    );
                    if is_same(&self.signature, &hex::encode(hmac_sha256(&key, text.as_bytes()))) {
                        return Ok(());
                    }
                }
            }
        }
        Err(failure())
    }

    /// The text that is hashed and signed. `is_lower`: values of other headers in lower case, as
    /// the documentation shows them.
    fn canonical_request(
        &self,
        wire: &Wire<'_>,
        host: &str,
        path: &str,
        is_lower: bool,
        payload: &str,
    ) -> Vec<u8> {
        let query = match wire.verb {
            Verb::Get => wire.query,
            Verb::Post => "",
        };
        let mut text = format!("{}\n{path}\n{query}\n", wire.verb.as_str()).into_bytes();
        for name in self.signed_headers.split(';') {
            let value = match name {
                "host" => host.as_bytes(),
                _ => wire.headers.get(name).map_or(&b""[..], |v| v.as_bytes().trim_ascii()),
            };
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            match name {
                "host" | "content-type" => text.extend_from_slice(value),
                _ if is_lower => text.extend_from_slice(&value.to_ascii_lowercase()),
                _ => text.extend_from_slice(value),
            }
            text.push(b'\n');
        }
        text.extend_from_slice(format!("\n{}\n{payload}", self.signed_headers).as_bytes());
        text
    }
}
