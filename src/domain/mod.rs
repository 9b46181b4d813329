//! The product's nouns and its one brain ([`plan`]). Pure: no clock, no disk, no sockets, no SQL.
//!
//! Every noun has a file of the same name in `db` and, where clients see it, in `api`.

pub mod api_key;
pub mod audit;
pub mod callback;
pub mod callback_rule;
pub mod callback_template;
pub mod container;
pub mod cos_path;
pub mod denied_networks;
pub mod domain_limits;
pub mod explain;
pub mod file_name;
pub mod forbidden_stream;
pub mod ids;
pub mod journal_note;
pub mod limits;
pub mod media_file;
mod placeholder;
pub mod plan;
pub mod play_domain;
pub mod publish_auth;
pub mod push_domain;
pub mod push_url;
pub mod rate_limit;
pub mod record_count;
pub mod record_rule;
pub mod record_task;
pub mod record_template;
pub mod recording;
pub mod session;
pub mod snapshot;
pub mod stall;
pub mod stream;
pub mod verification;
