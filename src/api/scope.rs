//! Names of domains, applications and streams in parameters, and what a stored rule answers.

use super::{
    error::{ApiError, Result},
    params::Params,
    state::State,
};
use crate::{
    db::{domain_name::Unregistered, rule::RuleCreation},
    domain::stream::{AppName, DomainName, NameError, StreamName},
};

/// The code for a name that no domain can have, of the actions that list it (spec live-api 15.3).
pub const DOMAIN_FORMAT: &str = "InvalidParameter.DomainFormatError";
/// The same of all other actions.
pub const INVALID: &str = "InvalidParameter";

/// A required `DomainName` in canonical form, refused with `code`. Addresses and `localhost` name no domain: a push to
/// them belongs to the default domain, so a rule for them would be dead.
pub fn domain(state: &State, params: &mut Params, code: &'static str) -> Result<DomainName> {
    let text = params.req_str("DomainName")?;
    let odd = |why: String| ApiError::new(code, format!("DomainName is not valid: {why}."));
    let domain = DomainName::parse(&text).map_err(|e| odd(e.to_string()))?;
    if state.snapshot.load().push_domains.contains_key(&domain) {
        return Ok(domain);
    }
    if domain.is_address() {
        return Err(odd(format!(
            "{domain} is an address, pushes to it belong to the default domain"
        )));
    }
    if !domain.is_host_name() {
        return Err(odd(format!(
            "{domain} has more than letters, digits and inner hyphens between its dots"
        )));
    }
    Ok(domain)
}

/// `AppName`, empty for every application.
pub fn app(params: &mut Params) -> Result<String> {
    let text = params.opt_str("AppName")?.unwrap_or_default();
    if !text.is_empty() {
        AppName::parse(&text).map_err(odd_name)?;
    }
    Ok(text)
}

/// As [`app`], of what is to be stored: a name that no push can have would be without effect.
pub fn pushable_app(params: &mut Params) -> Result<String> {
    let text = app(params)?;
    if let Ok(name) = AppName::parse(&text) {
        name.check_pushable().map_err(odd_name)?;
    }
    Ok(text)
}

/// As [`stream`], of what is to be stored.
pub fn pushable_stream(params: &mut Params) -> Result<String> {
    let text = stream(params)?;
    if let Ok(name) = StreamName::parse(&text) {
        name.check_pushable().map_err(odd_name)?;
    }
    Ok(text)
}

/// `StreamName`, empty for every stream.
pub fn stream(params: &mut Params) -> Result<String> {
    let text = params.opt_str("StreamName")?.unwrap_or_default();
    if !text.is_empty() {
        StreamName::parse(&text).map_err(odd_name)?;
    }
    Ok(text)
}

/// The refusal for an application or stream name that cannot be one.
pub fn odd_name(error: NameError) -> ApiError {
    ApiError::invalid(format!("The request has a name that is not valid: {error}."))
}

/// The answer to a rule that was to be created.
pub fn rule_created(
    state: &State,
    creation: RuleCreation,
    domain: &DomainName,
    template_id: i64,
) -> Result<()> {
    match creation {
        RuleCreation::Created => Ok(()),
        RuleCreation::Exists => Err(ApiError::new(
            "FailedOperation.RuleAlreadyExist",
            "There is a rule for exactly this scope already. Delete it first.",
        )),
        RuleCreation::NoTemplate => Err(ApiError::new(
            "InvalidParameter.ConfNotFound",
            format!("There is no template with the TemplateId {template_id}."),
        )),
        RuleCreation::NoDomain(why) => Err(unregistered(state, domain, why)),
        RuleCreation::Full => {
            Err(ApiError::new("InternalError.RuleOutLimit", "There are too many rules."))
        }
    }
}

/// The answer when what is to be stored names a domain that cannot be registered. No action but
/// AddLiveDomain has a code of its own for it (spec live-api 15.3).
pub fn unregistered(state: &State, domain: &DomainName, why: Unregistered) -> ApiError {
    match why {
        Unregistered::Playback => ApiError::invalid(format!(
            "{domain} is a playback domain, nothing can be pushed to it."
        )),
        Unregistered::Full => {
            let max = state.db.limits().domains;
            let message =
                format!("There are at least {max} domains already, and {domain} is none of them.");
            ApiError::new("LimitExceeded", message)
        }
    }
}

/// The answer when a template or rule does not exist.
pub fn not_found(what: &str) -> ApiError {
    ApiError::new("FailedOperation.NotFound", format!("There is no such {what}."))
}
