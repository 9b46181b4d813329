//! The promise "verbatim", case by case: everything an encoder can send, recorded in every
//! container, compared packet by packet by readers of the tests' own (`check.py`), and written down
//! for users in `tests/CASES.md`.
//!
//! One test a family. Each pushes its cases over real RTMP to two servers, one with MPEG-TS and one
//! with fragmented MP4 as HLS segments. What the cases are is in the families' files; how they are
//! pushed and compared in `run`.

mod clocks;
mod enhanced;
mod pictures;
mod report;
mod run;
mod sound;
mod source;
mod steps;
mod structure;
mod tags;
mod wire;
