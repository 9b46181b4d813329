//! liverec: a self-hosted live recording server.
//!
//! Encoders push RTMP; what they push is appended, untouched, to a per-stream **journal**; every
//! product (FLV, MP4, HLS, AAC) is a deterministic **projection** of the journal; the **database**
//! is the only hand-over between recording, delivery and callbacks.
//!
//! The rooms, ground floor first; a room uses only those above it in this list (checked by
//! `tests/it/architecture.rs`):
//!
//! | room | what it is |
//! |---|---|
//! | [`media`] | bytes in, bytes out: tags, codecs, containers |
//! | [`rtmp`] | RTMP without sockets |
//! | [`domain`] | the product's nouns and its one brain, [`domain::plan`] |
//! | [`db`] | the only SQL |
//! | [`storage`] | where products live: directory or S3 |
//! | [`journal`] | append, roll, sync, index, recover |
//! | [`ingest`] | sockets, connections, the registry of live sessions |
//! | [`record`] | the supervisor, cut points, rows of recordings |
//! | [`delivery`] | claim, project, store, commit; callbacks; the janitor |
//! | [`verify`] | reads products back and compares them with what was sent |
//! | [`doctor`] | checks what the server stands on, says what to do, finds what nobody owns |
//! | [`api`] | the vendor-compatible API, playback, health |
//! | [`config`], [`reach`], [`cli`], [`app`] | keys and defaults; own addresses; commands; wiring and shutdown |
//!
//! A packet's life:
//!
//! 1. `ingest::listener` accepts, `ingest::connection` reads;
//! 2. `rtmp::chunk` finds the message, `rtmp::session` the command or tag;
//! 3. at the publish command `domain::push_domain` decides whether it may;
//! 4. `ingest::live` enters the session, taking over an older one;
//! 5. `record` asks `domain::plan` what is wanted and attaches recordings;
//! 6. `journal::writer` appends the tag, `media::demux` says what it means, the index remembers;
//! 7. `record::follow` reads the index behind it, `record::cut` ends files, `db` gets rows;
//! 8. `delivery` claims an ended file and `delivery::project` walks its samples;
//! 9. `media::{flv, mp4, ts, adts}` give the bytes of the product;
//! 10. `storage` takes them, in one put or in parts;
//! 11. row and event 100 are committed together, `delivery::callback` sends the event;
//! 12. `delivery::janitor` releases the journal.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod db;
pub mod delivery;
pub mod doctor;
pub mod domain;
pub mod ingest;
pub mod journal;
pub mod media;
pub mod reach;
pub mod record;
pub mod rtmp;
pub mod storage;
pub mod verify;
