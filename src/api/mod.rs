//! The vendor-compatible API of both products, and the other HTTP routes of the server.
//!
//! `POST|GET /` and every path that no other route takes go through [`gateway`]: bounds, signature,
//! parameters, then one line of [`ACTIONS`], then the envelope. A handler is
//! `async fn(&State, &Caller, Params) -> error::Result<Value>`; it reads its parameters, calls
//! [`params::Params::finish`], does its work and answers the fields of the response as an object.
//! To add an action: a function in `api/<noun>.rs`, its parameters and answer in `api/shape/<noun>.rs`,
//! and a line below.

pub mod audit;
pub mod callback_log;
pub mod callback_rule;
pub mod callback_template;
pub mod caller;
pub mod client_ip;
pub mod decode;
pub mod delivery_state;
pub mod doctor;
pub mod domain_limits;
pub mod envelope;
pub mod error;
pub mod explain;
pub mod forbidden_stream;
pub mod gateway;
pub mod health;
pub mod key_ring;
pub mod live_record;
pub mod media_file;
pub mod openapi;
pub mod out_of_scope;
pub mod page;
pub mod params;
pub mod playback;
pub mod push_auth_key;
pub mod push_domain;
pub mod rate_limit;
pub mod record_rule;
pub mod record_task;
pub mod record_template;
pub mod recording;
pub mod scope;
pub mod session;
pub mod shape;
pub mod sign;
pub mod state;
pub mod stream;
pub mod time;
pub mod verify;
pub mod wire;

use std::pin::Pin;

use axum::{Router, routing::get};
use serde_json::Value;

pub use self::state::{ApiSettings, State};
use self::{caller::Caller, error::Result, params::Params, playback::Playback, shape::Shape};

/// A handler, boxed.
type Handler = for<'a> fn(
    &'a State,
    &'a Caller,
    Params,
) -> Pin<Box<dyn Future<Output = Result<Value>> + Send + 'a>>;

/// What a version of the API belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Live, 2018-08-01.
    Live,
    /// Video on demand, 2018-07-17.
    Vod,
}

impl Product {
    /// The product whose API has this version.
    pub fn of_version(version: &str) -> Option<Self> {
        match version {
            "2018-08-01" => Some(Product::Live),
            "2018-07-17" => Some(Product::Vod),
            _ => None,
        }
    }
}

/// One action.
pub struct Action {
    /// Where it belongs.
    pub product: Product,
    /// Its name on the wire.
    pub name: &'static str,
    /// What it takes and answers.
    pub shape: &'static Shape,
    run: Handler,
}

macro_rules! actions {
    ($($product:ident $name:ident => $handler:path, $shape:path;)*) => {
        &[$(Action {
            product: Product::$product,
            name: stringify!($name),
            shape: &$shape,
            run: |state, caller, params| Box::pin($handler(state, caller, params)),
        }),*]
    };
}

/// Every action there is.
pub const ACTIONS: &[Action] = actions! {
    Live CreateLiveRecordTemplate => record_template::create, shape::record_template::CREATE;
    Live ModifyLiveRecordTemplate => record_template::modify, shape::record_template::MODIFY;
    Live DeleteLiveRecordTemplate => record_template::delete, shape::record_template::DELETE;
    Live DescribeLiveRecordTemplate => record_template::describe, shape::record_template::DESCRIBE;
    Live DescribeLiveRecordTemplates => record_template::describe_all, shape::record_template::DESCRIBE_ALL;
    Live CreateLiveRecordRule => record_rule::create, shape::record_rule::CREATE;
    Live DeleteLiveRecordRule => record_rule::delete, shape::record_rule::DELETE;
    Live DescribeLiveRecordRules => record_rule::describe_all, shape::record_rule::DESCRIBE_ALL;
    Live CreateRecordTask => record_task::create, shape::record_task::CREATE;
    Live StopRecordTask => record_task::stop, shape::record_task::STOP;
    Live DeleteRecordTask => record_task::delete, shape::record_task::DELETE;
    Live DescribeRecordTask => record_task::describe, shape::record_task::DESCRIBE;
    Live CreateLiveRecord => live_record::create, shape::live_record::CREATE;
    Live StopLiveRecord => live_record::stop, shape::live_record::STOP;
    Live DeleteLiveRecord => live_record::delete, shape::live_record::DELETE;
    Live CreateLiveCallbackTemplate => callback_template::create, shape::callback_template::CREATE;
    Live ModifyLiveCallbackTemplate => callback_template::modify, shape::callback_template::MODIFY;
    Live DeleteLiveCallbackTemplate => callback_template::delete, shape::callback_template::DELETE;
    Live DescribeLiveCallbackTemplate => callback_template::describe, shape::callback_template::DESCRIBE;
    Live DescribeLiveCallbackTemplates => callback_template::describe_all, shape::callback_template::DESCRIBE_ALL;
    Live CreateLiveCallbackRule => callback_rule::create, shape::callback_rule::CREATE;
    Live DeleteLiveCallbackRule => callback_rule::delete, shape::callback_rule::DELETE;
    Live DescribeLiveCallbackRules => callback_rule::describe_all, shape::callback_rule::DESCRIBE_ALL;
    Live AddLiveDomain => push_domain::add, shape::push_domain::ADD;
    Live DeleteLiveDomain => push_domain::delete, shape::push_domain::DELETE;
    Live EnableLiveDomain => push_domain::enable, shape::push_domain::ENABLE;
    Live ForbidLiveDomain => push_domain::forbid, shape::push_domain::FORBID;
    Live DescribeLiveDomain => push_domain::describe, shape::push_domain::DESCRIBE;
    Live DescribeLiveDomains => push_domain::describe_all, shape::push_domain::DESCRIBE_ALL;
    Live ModifyLivePushAuthKey => push_auth_key::modify, shape::push_auth_key::MODIFY;
    Live DescribeLivePushAuthKey => push_auth_key::describe, shape::push_auth_key::DESCRIBE;
    Live DescribeLiveStreamOnlineList => stream::online, shape::stream::ONLINE;
    Live DescribeLiveStreamState => stream::describe_state, shape::stream::DESCRIBE_STATE;
    Live DropLiveStream => stream::drop_stream, shape::stream::DROP_STREAM;
    Live ForbidLiveStream => forbidden_stream::forbid, shape::forbidden_stream::FORBID;
    Live ResumeLiveStream => forbidden_stream::resume, shape::forbidden_stream::RESUME;
    Live DescribeLiveForbidStreamList => forbidden_stream::describe_all, shape::forbidden_stream::DESCRIBE_ALL;
    Live DescribeLiveStreamPublishedList => session::published, shape::session::PUBLISHED;
    Live DescribeLiveStreamEventList => session::events, shape::session::EVENTS;
    Live DescribeConcurrentRecordStreamNum => recording::concurrent, shape::recording::CONCURRENT;
    Live LiverecModifyDomainLimits => domain_limits::modify, shape::domain_limits::MODIFY;
    Live LiverecDescribeDomainLimits => domain_limits::describe, shape::domain_limits::DESCRIBE;
    Live LiverecExplainRecord => explain::explain_record, shape::explain::EXPLAIN_RECORD;
    Live LiverecDescribeRecordings => delivery_state::describe, shape::delivery_state::DESCRIBE;
    Live DescribeCallbackRecordsList => callback_log::describe, shape::callback_log::DESCRIBE;
    Live LiverecDescribeCallbacks => callback_log::describe_events, shape::callback_log::DESCRIBE_EVENTS;
    Live LiverecReplayCallback => callback_log::replay, shape::callback_log::REPLAY;
    Live LiverecDescribeAudit => audit::describe, shape::audit::DESCRIBE;
    Live LiverecDoctor => doctor::doctor, shape::doctor::DOCTOR;
    Vod SearchMedia => media_file::search_media, shape::media_file::SEARCH_MEDIA;
    Vod DescribeMediaInfos => media_file::describe_media_infos, shape::media_file::DESCRIBE_MEDIA_INFOS;
    Vod LiverecVerifyFile => verify::verify_file, shape::verify::VERIFY_FILE;
};

/// All routes of the server.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::serve))
        .merge(playback::router(Playback::new(state.store.clone())))
        .fallback(gateway::serve)
        .with_state(state)
}

#[cfg(test)]
mod tests;
