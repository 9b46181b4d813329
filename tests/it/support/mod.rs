//! What the integration tests share: outside programs, throw-away databases, logs.
//!
//! `tests/run.sh` installs and starts what is needed and says where it is by `LIVEREC_TEST_...`.

pub mod api;
pub mod composing_s3;
pub mod faulty_s3;
pub mod ffmpeg;
pub mod logs;
pub mod packets;
pub mod postgres;
pub mod publisher;
pub mod pushing;
pub mod python;
pub mod raw;
pub mod receiver;
pub mod s3;
pub mod server;

use std::{
    env,
    process::{Command, Output},
};

/// The value of a variable that `tests/run.sh` sets.
///
/// # Panics
/// If it is not set: a test that cannot run must not pass.
pub fn needed(variable: &str) -> String {
    env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run the tests with bash tests/run.sh"))
}

/// Whether `LIVEREC_TEST_LONG` asks for the long run of tests that have a short one.
pub fn is_long_run() -> bool {
    env::var("LIVEREC_TEST_LONG").is_ok_and(|text| text != "0")
}

/// Runs a program to its end and returns what it wrote to stdout.
///
/// # Panics
/// If it cannot be started or fails, with what it wrote to stderr.
pub fn run(command: &mut Command) -> Vec<u8> {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{stderr}");
    stdout
}
