//! The integration tests, one binary: they drive the built program and look at what comes out.

#![allow(clippy::unwrap_used)]

mod again;
mod architecture;
mod callbacks;
mod cases;
mod config;
mod contract;
mod cos_path;
mod crash;
mod cuts_property;
mod database_away;
mod disk;
mod doctor;
mod edges;
mod enhanced;
mod follow;
mod follow_ends;
mod follow_hls;
mod hostile;
mod keys;
mod late_tasks;
mod players;
mod publish;
mod publish_auth;
mod ready;
mod recording;
mod resume;
mod scale;
mod sdk;
mod start;
mod storage;
mod storage_faults;
mod storage_s3;
mod streams;
mod support;
mod tasks;
mod tools;
mod upgrade;
mod verbatim;
mod verify;
