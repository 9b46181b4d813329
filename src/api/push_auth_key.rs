//! Actions on the keys that sign pushes (spec live-api 12).

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    params::Params,
    push_domain::named,
    scope::INVALID,
    state::State,
};
use crate::{
    db::Db,
    domain::{
        push_domain::{PushDomain, PushKeys},
        stream::DomainName,
    },
};

/// Longest key, in bytes.
const MAX_KEY_BYTES: usize = 256;
/// Longest grace after txTime, in seconds: a year.
const MAX_DELTA_S: u64 = 366 * 24 * 3600;

/// ModifyLivePushAuthKey. What is absent stays as it is in force; from then on the domain has keys
/// of its own.
pub async fn modify(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let name = named(&mut params, INVALID)?;
    let enabled = params.opt_flag("Enable")?;
    let master = key(&mut params, "MasterAuthKey")?;
    let backup = key(&mut params, "BackupAuthKey")?;
    let delta = params.opt_u64("AuthDelta")?;
    params.finish()?;
    if delta.is_some_and(|delta| delta > MAX_DELTA_S) {
        let message = format!("AuthDelta must be at most {MAX_DELTA_S} seconds.");
        return Err(ApiError::invalid_value(message));
    }
    state
        .change(async {
            let mut tx = state.db.begin().await?;
            let domain = Db::push_domain(&mut tx, &name).await?.ok_or_else(|| unknown(&name))?;
            let mut keys = match domain.keys {
                Some(keys) => keys,
                None => Db::push_domain(&mut tx, &state.settings.default_domain)
                    .await?
                    .and_then(|default| default.keys)
                    .unwrap_or_else(none),
            };
            keys.enabled = enabled.unwrap_or(keys.enabled);
            keys.master = master.unwrap_or(keys.master);
            keys.backup = backup.unwrap_or(keys.backup);
            keys.delta_s = delta.map_or(keys.delta_s, |delta| delta.cast_signed());
            if keys.enabled && keys.master.is_empty() {
                return Err(ApiError::missing("MasterAuthKey"));
            }
            Db::set_push_keys(&mut tx, &name, &keys).await?;
            state.db.commit(tx, "set push keys").await?;
            Ok(())
        })
        .await?;
    Ok(json!({}))
}

/// DescribeLivePushAuthKey: the keys in force, those of the default domain where it has none.
pub async fn describe(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let name = named(&mut params, INVALID)?;
    params.finish()?;
    let domains = state.db.push_domains().await?;
    let find = |name: &DomainName| domains.iter().find(|domain| domain.name == *name);
    let own: &PushDomain = find(&name).ok_or_else(|| unknown(&name))?;
    let default = find(&state.settings.default_domain).and_then(|domain| domain.keys.as_ref());
    let keys = own.keys.as_ref().or(default).cloned().unwrap_or_else(none);
    Ok(json!({
        "PushAuthKeyInfo": {
            "DomainName": name,
            "Enable": u8::from(keys.enabled),
            "MasterAuthKey": keys.master,
            "BackupAuthKey": keys.backup,
            "AuthDelta": keys.delta_s,
        }
    }))
}

fn none() -> PushKeys {
    PushKeys { enabled: true, master: String::new(), backup: String::new(), delta_s: 0 }
}

fn key(params: &mut Params, name: &str) -> Result<Option<String>> {
    let Some(key) = params.opt_str(name)? else { return Ok(None) };
    match key.len() <= MAX_KEY_BYTES && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Some(key)),
        false => Err(ApiError::invalid_value(format!(
            "{name} must be at most {MAX_KEY_BYTES} visible ASCII characters."
        ))),
    }
}

fn unknown(name: &DomainName) -> ApiError {
    let message = format!("The push domain {name} is not registered.");
    ApiError::new("ResourceNotFound.PushDomainNoRecord", message)
}
