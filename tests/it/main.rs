//! The integration tests, one binary: they drive the built program and look at what comes out.

#![allow(clippy::unwrap_used)]

mod architecture;
mod config;
mod support;
mod tools;
