//! vpcC of VP9; that of VP8 is the same record.

#![no_main]

use liverec_fuzz::{harness::config, media::sample::Codec};

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::run(Codec::Vp9, data));
