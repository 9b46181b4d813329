//! The beginning of a coded frame, for codecs whose frames describe themselves.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liverec_fuzz::harness::frame_head::run(data));
