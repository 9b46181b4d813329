//! HmacSHA1 and HmacSHA256: the signature is one of the parameters (spec live-api 3.1).

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::Hmac;
use sha1::Sha1;

use super::{
    super::{
        error::{ApiError, Result, shown},
        wire::Wire,
    },
    failure, hmac, hmac_sha256, hosts, is_same, paths,
};

/// The parameters of the protocol itself; the rest belongs to the action (spec live-api 1.3).
pub const COMMON: [&str; 11] = [
    "Action",
    "Version",
    "Timestamp",
    "Nonce",
    "SecretId",
    "SignatureMethod",
    "Signature",
    "Region",
    "Token",
    "Language",
    "RequestClient",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
}

/// What a request claims, not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Key id.
    pub secret_id: String,
    /// Timestamp, unix seconds.
    pub timestamp_s: i64,
    hash: Hash,
    signature: String,
}

impl Claim {
    /// Reads the common parameters out of the decoded pairs.
    pub fn parse(pairs: &[(String, String)]) -> Result<Self> {
        let signature = required(pairs, "Signature")?;
        let secret_id = required(pairs, "SecretId")?;
        let timestamp_s = required(pairs, "Timestamp")?
            .parse()
            .map_err(|_| ApiError::wrong_type("Timestamp", "an integer"))?;
        let nonce = required(pairs, "Nonce")?;
        nonce.parse::<u64>().map_err(|_| ApiError::wrong_type("Nonce", "an unsigned integer"))?;
        let hash = match find(pairs, "SignatureMethod") {
            None | Some("" | "HmacSHA1") => Hash::Sha1,
            Some("HmacSHA256") => Hash::Sha256,
            Some(other) => {
                return Err(ApiError::invalid_value(format!(
                    "The SignatureMethod `{}` is not one of HmacSHA1 and HmacSHA256.",
                    shown(other)
                )));
            }
        };
        Ok(Self {
            secret_id: secret_id.to_owned(),
            timestamp_s,
            hash,
            signature: signature.to_owned(),
        })
    }

    /// Checks the signature against a secret key. A name given twice is refused elsewhere, so that
    /// what was signed is what is carried out.
    pub fn verify(
        &self,
        wire: &Wire<'_>,
        pairs: &[(String, String)],
        secret_key: &str,
    ) -> Result<()> {
        // One client writes a dot for each underscore in names, for signing only.
        let has_underscore = pairs.iter().any(|(name, _)| name.contains('_'));
        for parameters in [Some(joined(pairs, false)), has_underscore.then(|| joined(pairs, true))]
            .iter()
            .flatten()
        {
            for host in hosts(wire) {
                for path in paths(wire) {
                    let text = format!("{}{host}{path}?{parameters}", wire.verb.as_str());
                    let digest = match self.hash {
                        Hash::Sha1 => hmac::<Hmac<Sha1>>(secret_key.as_bytes(), text.as_bytes()),
                        Hash::Sha256 => {
                            hmac_sha256(secret_key.as_bytes(), text.as_bytes()).to_vec()
                        }
                    };
                    if is_same(&self.signature, &STANDARD.encode(digest)) {
                        return Ok(());
                    }
                }
            }
        }
        Err(failure())
    }
}

/// All parameters but the signature, sorted by name in byte order.
fn joined(pairs: &[(String, String)], is_dotted: bool) -> String {
    let name = |name: &str| {
        if is_dotted { name.replace('_', ".") } else { name.to_owned() }
    };
    let mut sorted: Vec<(String, &str)> = pairs
        .iter()
        .filter(|(n, _)| n != "Signature")
        .map(|(n, v)| (name(n), v.as_str()))
        .collect();
    sorted.sort_unstable();
    let parts: Vec<String> = sorted.into_iter().map(|(n, v)| format!("{n}={v}")).collect();
    parts.join("&")
}

/// The value of a common parameter.
pub fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

fn required<'a>(pairs: &'a [(String, String)], name: &str) -> Result<&'a str> {
    find(pairs, name).filter(|v| !v.is_empty()).ok_or_else(|| ApiError::missing(name))
}
