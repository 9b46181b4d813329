//! av1C.

#![no_main]

use liverec_fuzz::{harness::config, media::sample::Codec};

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::run(Codec::Av1, data));
