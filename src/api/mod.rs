//! The vendor-compatible API of both products, and the other HTTP routes of the server.
//!
//! `POST|GET /` and every path that no other route takes go through [`gateway`]: bounds, signature,
//! parameters, then one line of [`ACTIONS`], then the envelope. A handler is
//! `async fn(&State, &Caller, Params) -> error::Result<Value>`; it reads its parameters, calls
//! [`params::Params::finish`], does its work and answers the fields of the response as an object.
//! To add an action: a function in `api/<noun>.rs` and a line below.

pub mod audit;
pub mod callback_log;
pub mod callback_rule;
pub mod callback_template;
pub mod caller;
pub mod client_ip;
pub mod decode;
pub mod delivery_state;
pub mod doctor;
pub mod envelope;
pub mod error;
pub mod explain;
pub mod forbidden_stream;
pub mod gateway;
pub mod health;
pub mod key_ring;
pub mod live_record;
pub mod media_file;
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
use self::{caller::Caller, error::Result, params::Params, playback::Playback};

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
    run: Handler,
}

macro_rules! actions {
    ($($product:ident $name:ident => $handler:path,)*) => {
        &[$(Action {
            product: Product::$product,
            name: stringify!($name),
            run: |state, caller, params| Box::pin($handler(state, caller, params)),
        }),*]
    };
}

/// Every action there is.
pub const ACTIONS: &[Action] = actions! {
    Live CreateLiveRecordTemplate => record_template::create,
    Live ModifyLiveRecordTemplate => record_template::modify,
    Live DeleteLiveRecordTemplate => record_template::delete,
    Live DescribeLiveRecordTemplate => record_template::describe,
    Live DescribeLiveRecordTemplates => record_template::describe_all,
    Live CreateLiveRecordRule => record_rule::create,
    Live DeleteLiveRecordRule => record_rule::delete,
    Live DescribeLiveRecordRules => record_rule::describe_all,
    Live CreateRecordTask => record_task::create,
    Live StopRecordTask => record_task::stop,
    Live DeleteRecordTask => record_task::delete,
    Live DescribeRecordTask => record_task::describe,
    Live CreateLiveRecord => live_record::create,
    Live StopLiveRecord => live_record::stop,
    Live DeleteLiveRecord => live_record::delete,
    Live CreateLiveCallbackTemplate => callback_template::create,
    Live ModifyLiveCallbackTemplate => callback_template::modify,
    Live DeleteLiveCallbackTemplate => callback_template::delete,
    Live DescribeLiveCallbackTemplate => callback_template::describe,
    Live DescribeLiveCallbackTemplates => callback_template::describe_all,
    Live CreateLiveCallbackRule => callback_rule::create,
    Live DeleteLiveCallbackRule => callback_rule::delete,
    Live DescribeLiveCallbackRules => callback_rule::describe_all,
    Live AddLiveDomain => push_domain::add,
    Live DeleteLiveDomain => push_domain::delete,
    Live EnableLiveDomain => push_domain::enable,
    Live ForbidLiveDomain => push_domain::forbid,
    Live DescribeLiveDomain => push_domain::describe,
    Live DescribeLiveDomains => push_domain::describe_all,
    Live ModifyLivePushAuthKey => push_auth_key::modify,
    Live DescribeLivePushAuthKey => push_auth_key::describe,
    Live DescribeLiveStreamOnlineList => stream::online,
    Live DescribeLiveStreamState => stream::describe_state,
    Live DropLiveStream => stream::drop_stream,
    Live ForbidLiveStream => forbidden_stream::forbid,
    Live ResumeLiveStream => forbidden_stream::resume,
    Live DescribeLiveForbidStreamList => forbidden_stream::describe_all,
    Live DescribeLiveStreamPublishedList => session::published,
    Live DescribeLiveStreamEventList => session::events,
    Live DescribeConcurrentRecordStreamNum => recording::concurrent,
    Live LiverecExplainRecord => explain::explain_record,
    Live LiverecDescribeRecordings => delivery_state::describe,
    Live DescribeCallbackRecordsList => callback_log::describe,
    Live LiverecDescribeCallbacks => callback_log::describe_events,
    Live LiverecReplayCallback => callback_log::replay,
    Live LiverecDescribeAudit => audit::describe,
    Live LiverecDoctor => doctor::doctor,
    Vod SearchMedia => media_file::search_media,
    Vod DescribeMediaInfos => media_file::describe_media_infos,
    Vod LiverecVerifyFile => verify::verify_file,
};

/// All routes of the server.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .merge(playback::router(Playback::new(state.store.clone())))
        .fallback(gateway::serve)
        .with_state(state)
}

#[cfg(test)]
mod tests;
