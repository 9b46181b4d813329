//! Actions on streams that are live (spec live-api 14). Bans are [`super::forbidden_stream`], past
//! pushes [`super::session`].

use serde_json::{Value, json};

use super::{
    caller::Caller,
    error::{ApiError, Result},
    page::Page,
    params::Params,
    push_domain::named,
    scope::{INVALID, odd_name},
    state::State,
    time::utc,
};
use crate::domain::{
    forbidden_stream::is_forbidden,
    session::EndReason,
    stream::{AppName, DomainName, StreamName, StreamPath},
};

/// DescribeLiveStreamOnlineList.
pub async fn online(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let domain = match params.opt_str("DomainName")? {
        Some(text) => Some(DomainName::parse(&text).map_err(odd_name)?),
        None => None,
    };
    let app = params.opt_str("AppName")?;
    let stream = params.opt_str("StreamName")?;
    let page = Page::read(&mut params, 10..=300_000)?;
    params.finish()?;
    let mut live = state.live.list();
    live.retain(|live| {
        let path = &live.session.path;
        domain.as_ref().is_none_or(|domain| path.domain == *domain)
            && app.as_ref().is_none_or(|app| path.app.as_str() == app)
            && stream.as_ref().is_none_or(|stream| path.stream.as_str() == stream)
    });
    live.sort_by(|a, b| {
        let key = |path: &StreamPath| (path.domain.clone(), path.app.clone(), path.stream.clone());
        key(&a.session.path).cmp(&key(&b.session.path))
    });
    let rows = page.of(&live).iter().map(|live| {
        let session = &live.session;
        json!({
            "StreamName": session.path.stream,
            "PublishTimeList": [{ "PublishTime": utc(session.started_ms) }],
            "AppName": session.path.app,
            "DomainName": session.path.domain,
            "PushToDelay": 0,
        })
    });
    let rows = rows.collect();
    Ok(page.answer("OnlineInfo", live.len() as u64, rows))
}

/// DescribeLiveStreamState.
pub async fn describe_state(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let path = path(&mut params)?;
    params.finish()?;
    let (bans, scope) = (&state.snapshot.load().forbidden_streams, state.settings.forbid_scope);
    let word = if is_forbidden(bans, &path, scope, state.now_ms()) {
        "forbid"
    } else if state.live.get(&path).is_some() {
        "active"
    } else {
        "inactive"
    };
    Ok(json!({ "StreamState": word }))
}

/// DropLiveStream: ends the push; the encoder may push again. No error without a push.
pub async fn drop_stream(state: &State, _caller: &Caller, mut params: Params) -> Result<Value> {
    let path = path(&mut params)?;
    params.finish()?;
    if let Some(live) = state.live.get(&path) {
        live.end(EndReason::Dropped);
    }
    Ok(json!({}))
}

/// The stream that an action is about: all three names are required.
pub(super) fn path(params: &mut Params) -> Result<StreamPath> {
    Ok(StreamPath {
        domain: named(params, INVALID)?,
        app: AppName::parse(&params.req_str("AppName")?).map_err(odd_name)?,
        stream: StreamName::parse(&params.req_str("StreamName")?).map_err(odd_name)?,
    })
}

/// A name that filters: exactly, if given.
pub(super) fn filter(params: &mut Params, name: &str) -> Result<String> {
    let text = params.opt_str(name)?.unwrap_or_default();
    if text.len() > crate::domain::stream::MAX_NAME_BYTES {
        return Err(ApiError::invalid_value(format!("{name} is too long.")));
    }
    Ok(text)
}
