//! Actions on record rules (spec live-api 6).

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::Result,
    params::Params,
    scope::{self, not_found, rule_created},
    state::State,
};
use crate::domain::record_rule::RecordRule;

/// CreateLiveRecordRule. The domain is registered as a push domain if it is not yet.
pub async fn create(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let now_ms = state.now_ms();
    let rule = RecordRule {
        domain: scope::domain(state, &mut params, scope::DOMAIN_FORMAT)?,
        app: scope::pushable_app(&mut params)?,
        stream: scope::pushable_stream(&mut params)?,
        template_id: params.req_i64("TemplateId")?,
        created_ms: now_ms,
        updated_ms: now_ms,
    };
    params.finish()?;
    let created = state.change(state.db.create_record_rule(&rule)).await?;
    rule_created(state, created, &rule.domain, rule.template_id)?;
    Ok(json!({}))
}

/// DeleteLiveRecordRule: the rule of exactly this scope.
pub async fn delete(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let domain = scope::domain(state, &mut params, scope::DOMAIN_FORMAT)?;
    let app = scope::app(&mut params)?;
    let stream = scope::stream(&mut params)?;
    params.finish()?;
    match state.change(state.db.remove_record_rule(&domain, &app, &stream)).await? {
        true => Ok(json!({})),
        false => Err(not_found("record rule")),
    }
}

/// DescribeLiveRecordRules.
pub async fn describe_all(state: &State, _caller: &Caller, params: Params) -> Result<Value> {
    params.finish()?;
    let rules = state.db.record_rules().await?;
    let rules: Vec<Value> = rules
        .iter()
        .map(|rule| {
            json!({
                "CreateTime": state.settings.local_time(rule.created_ms),
                "UpdateTime": state.settings.local_time(rule.updated_ms),
                "TemplateId": rule.template_id,
                "DomainName": rule.domain,
                "AppName": rule.app,
                "StreamName": rule.stream,
            })
        })
        .collect();
    Ok(json!({ "Rules": rules }))
}
