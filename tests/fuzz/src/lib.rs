//! The rooms that read what others wrote, by themselves, and what each fuzz target does with its
//! input: `tests/fuzz/run.sh`.
//!
//! The rooms are taken in by their paths, so that a build with instrumentation is a minute's work
//! and not the whole server's. A target's function panics where the room broke a promise; a panic
//! of the room itself needs no word here.

#![allow(dead_code, clippy::unwrap_used)]

#[path = "../../../src/journal/mod.rs"]
pub mod journal;
#[path = "../../../src/media/mod.rs"]
pub mod media;
#[path = "../../../src/rtmp/mod.rs"]
pub mod rtmp;

pub mod domain;
pub mod harness;
