//! Actions on domains (spec live-api 13). Push domains decide who may publish; playback domains are
//! kept and shown only.

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    page::Page,
    params::Params,
    scope::{self, DOMAIN_FORMAT, INVALID},
    state::State,
};
use crate::{
    db::domain_name::Addition,
    domain::{play_domain::PlayDomain, push_domain::PushDomain, stream::DomainName},
};

/// The vendor's `PageSize` of DescribeLiveDomains.
const PAGE_SIZES: std::ops::RangeInclusive<u64> = 10..=100;
/// The vendor's `PageNum` of DescribeLiveDomains.
const MAX_PAGE: u64 = 100_000;

/// `DomainType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Push,
    Play,
}

/// One domain of either kind, as DomainInfo shows it.
struct Shown {
    name: DomainName,
    kind: Kind,
    enabled: bool,
    play_type: i64,
    is_delay_live: bool,
    is_mini_program: bool,
    created_ms: i64,
}

/// AddLiveDomain. A push domain uses the default domain's push keys until it gets its own.
pub async fn add(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let name = scope::domain(state, &mut params, DOMAIN_FORMAT)?;
    let kind = kind(params.req_u64("DomainType")?)?;
    let play_type = play_type(&mut params)?.unwrap_or(1);
    let is_delay_live = params.opt_flag("IsDelayLive")?.unwrap_or(false);
    let is_mini_program = params.opt_flag("IsMiniProgramLive")?.unwrap_or(false);
    if let Some(how) = params.opt_str("VerifyOwnerType")?
        && !["dnsCheck", "fileCheck", "dbCheck"].contains(&how.as_str())
    {
        let message = "VerifyOwnerType must be dnsCheck, fileCheck or dbCheck.";
        return Err(ApiError::invalid_value(message));
    }
    params.finish()?;
    let created_ms = state.now_ms();
    let added = match kind {
        Kind::Push => {
            let domain = PushDomain {
                is_delay_live,
                is_mini_program,
                ..PushDomain::new(name.clone(), None, created_ms)
            };
            state.change(state.db.add_push_domain(&domain)).await?
        }
        Kind::Play => {
            let domain = PlayDomain {
                name: name.clone(),
                enabled: true,
                play_type,
                is_delay_live,
                is_mini_program,
                created_ms,
            };
            state.db.add_play_domain(&domain).await?
        }
    };
    match added {
        Addition::Added => Ok(json!({})),
        Addition::Exists => {
            let message = format!("The domain {name} is there already.");
            Err(ApiError::new("FailedOperation.DomainAdded", message))
        }
        Addition::Full => {
            let message =
                format!("There are at least {} domains already.", state.db.limits().domains);
            Err(ApiError::new("FailedOperation.HostOutLimit", message))
        }
    }
}

/// DeleteLiveDomain. A push domain with a live stream is refused: its recordings would be cut; and so
/// is the default domain, without which pushes are refused that nobody thought of.
pub async fn delete(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let name = named(&mut params, DOMAIN_FORMAT)?;
    let kind = kind(params.req_u64("DomainType")?)?;
    params.finish()?;
    let is_gone = match kind {
        Kind::Push => {
            if state.live.list().iter().any(|live| live.session.path.domain == name) {
                let message = format!("A stream of {name} is live. Drop it first.");
                return Err(ApiError::new("FailedOperation.DeleteDomainInLockedTime", message));
            }
            let is_default = name == state.settings.default_domain;
            if is_default && state.snapshot.load().push_domains.contains_key(&name) {
                let message = format!(
                    "{name} is rtmp.default_domain: pushes by address belong to it, and domains \
                     without keys of their own have its keys. Configure another one first."
                );
                return Err(ApiError::new("FailedOperation", message));
            }
            state.change(state.db.remove_push_domain(&name)).await?
        }
        Kind::Play => state.db.remove_play_domain(&name).await?,
    };
    if is_gone { Ok(json!({})) } else { Err(unknown("ResourceNotFound.DomainNotExist", &name)) }
}

/// EnableLiveDomain.
pub async fn enable(state: &State, _caller: &Caller, params: Params) -> Result<Value> {
    set_enabled(state, params, true, DOMAIN_FORMAT).await
}

/// ForbidLiveDomain: no new push is accepted; streams that are live go on.
pub async fn forbid(state: &State, _caller: &Caller, params: Params) -> Result<Value> {
    set_enabled(state, params, false, INVALID).await
}

async fn set_enabled(
    state: &State,
    mut params: Params,
    enabled: bool,
    code: &'static str,
) -> Result<Value> {
    let name = named(&mut params, code)?;
    params.finish()?;
    let is_known = state.change(state.db.enable_push_domain(&name, enabled)).await?
        || state.db.enable_play_domain(&name, enabled).await?;
    if is_known { Ok(json!({})) } else { Err(unknown("ResourceNotFound", &name)) }
}

/// DescribeLiveDomain.
pub async fn describe(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let name = named(&mut params, INVALID)?;
    params.finish()?;
    match all(state).await?.iter().find(|domain| domain.name == name) {
        Some(domain) => Ok(json!({ "DomainInfo": domain.info(state) })),
        None => Err(unknown("ResourceNotFound.DomainNotExist", &name)),
    }
}

/// DescribeLiveDomains.
pub async fn describe_all(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let status = params.opt_flag("DomainStatus")?;
    let wanted = params.opt_u64("DomainType")?.map(kind).transpose()?;
    let page = Page::read(&mut params, PAGE_SIZES)?;
    let is_delay_live = params.opt_flag("IsDelayLive")?;
    let prefix = params.opt_str("DomainPrefix")?.unwrap_or_default().to_ascii_lowercase();
    let play_type = play_type(&mut params)?;
    params.finish()?;
    if page.number > MAX_PAGE {
        return Err(ApiError::invalid_value("PageNum must be between 1 and 100000."));
    }
    let domains = all(state).await?;
    let is_wanted = |domain: &&Shown| {
        status.is_none_or(|status| domain.enabled == status)
            && wanted.is_none_or(|kind| domain.kind == kind)
            && is_delay_live.is_none_or(|is| domain.is_delay_live == is)
            && domain.name.as_str().starts_with(&prefix)
            && play_type.is_none_or(|asked| domain.kind == Kind::Push || domain.play_type == asked)
    };
    let found: Vec<&Shown> = domains.iter().filter(is_wanted).collect();
    let list: Vec<Value> = page.of(&found).iter().map(|domain| domain.info(state)).collect();
    let of_type = |play_type: i64| {
        let counts = |domain: &&Shown| {
            domain.kind == Kind::Play && domain.enabled && domain.play_type == play_type
        };
        domains.iter().filter(counts).count()
    };
    let max = usize::try_from(state.db.limits().domains).unwrap_or(usize::MAX);
    Ok(json!({
        "AllCount": found.len(),
        "DomainList": list,
        "CreateLimitCount": max.saturating_sub(domains.len()),
        "PlayTypeCount": [of_type(1), of_type(2), of_type(3)],
    }))
}

/// Every domain, by name.
async fn all(state: &State) -> Result<Vec<Shown>> {
    let push = state.db.push_domains().await?.into_iter().map(|domain| Shown {
        name: domain.name,
        kind: Kind::Push,
        enabled: domain.enabled,
        play_type: 1,
        is_delay_live: domain.is_delay_live,
        is_mini_program: domain.is_mini_program,
        created_ms: domain.created_ms,
    });
    let play = state.db.play_domains().await?.into_iter().map(|domain| Shown {
        name: domain.name,
        kind: Kind::Play,
        enabled: domain.enabled,
        play_type: domain.play_type,
        is_delay_live: domain.is_delay_live,
        is_mini_program: domain.is_mini_program,
        created_ms: domain.created_ms,
    });
    let mut domains: Vec<Shown> = push.chain(play).collect();
    domains.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(domains)
}

impl Shown {
    fn info(&self, state: &State) -> Value {
        json!({
            "Name": self.name,
            "Type": u8::from(self.kind == Kind::Play),
            "Status": u8::from(self.enabled),
            "CreateTime": state.settings.local_time(self.created_ms),
            // There is no CNAME to wait for: whatever resolves to this server is in place.
            "BCName": 1,
            "TargetDomain": self.name,
            "PlayType": self.play_type,
            "IsDelayLive": u8::from(self.is_delay_live),
            "CurrentCName": self.name,
            "RentTag": 0,
            "RentExpireTime": "0000-00-00 00:00:00",
            "IsMiniProgramLive": u8::from(self.is_mini_program),
        })
    }
}

fn kind(number: u64) -> Result<Kind> {
    match number {
        0 => Ok(Kind::Push),
        1 => Ok(Kind::Play),
        _ => Err(ApiError::invalid_value("DomainType must be 0 or 1.")),
    }
}

fn play_type(params: &mut Params) -> Result<Option<i64>> {
    match params.opt_i64("PlayType")? {
        Some(known @ 1..=3) => Ok(Some(known)),
        Some(_) => Err(ApiError::invalid_value("PlayType must be 1, 2 or 3.")),
        None => Ok(None),
    }
}

/// A domain that is asked about: any name that can be one; others are refused with `code`.
pub(super) fn named(params: &mut Params, code: &'static str) -> Result<DomainName> {
    let text = params.req_str("DomainName")?;
    DomainName::parse(&text).map_err(|error| {
        let message = format!("DomainName is not valid: {error}.");
        ApiError::new(code, message)
    })
}

pub(super) fn unknown(code: &'static str, name: &DomainName) -> ApiError {
    ApiError::new(code, format!("There is no domain {name}."))
}
