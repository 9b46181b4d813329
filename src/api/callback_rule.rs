//! Actions on callback rules (spec live-api 10).

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::Result,
    params::Params,
    scope::{self, not_found, rule_created},
    state::State,
};
use crate::domain::callback_rule::CallbackRule;

/// CreateLiveCallbackRule. AppName may be absent, since some clients cannot send an empty one. The
/// domain is registered as a push domain if it is not yet.
pub async fn create(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let now_ms = state.now_ms();
    let rule = CallbackRule {
        domain: scope::domain(state, &mut params, scope::INVALID)?,
        app: scope::pushable_app(&mut params)?,
        template_id: params.req_i64("TemplateId")?,
        created_ms: now_ms,
        updated_ms: now_ms,
    };
    params.finish()?;
    let created = state.change(state.db.create_callback_rule(&rule)).await?;
    rule_created(state, created, &rule.domain, rule.template_id)?;
    Ok(json!({}))
}

/// DeleteLiveCallbackRule: the rule of exactly this scope.
pub async fn delete(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let domain = scope::domain(state, &mut params, scope::INVALID)?;
    let app = scope::app(&mut params)?;
    params.finish()?;
    match state.change(state.db.remove_callback_rule(&domain, &app)).await? {
        true => Ok(json!({})),
        false => Err(not_found("callback rule")),
    }
}

/// DescribeLiveCallbackRules.
pub async fn describe_all(state: &State, _caller: &Caller, params: Params) -> Result<Value> {
    params.finish()?;
    let rules = state.db.callback_rules().await?;
    let rules: Vec<Value> = rules
        .iter()
        .map(|rule| {
            json!({
                "CreateTime": state.settings.local_time(rule.created_ms),
                "UpdateTime": state.settings.local_time(rule.updated_ms),
                "TemplateId": rule.template_id,
                "DomainName": rule.domain,
                "AppName": rule.app,
            })
        })
        .collect();
    Ok(json!({ "Rules": rules }))
}
