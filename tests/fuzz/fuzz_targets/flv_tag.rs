//! The payload of an FLV tag.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liverec_fuzz::harness::flv_tag::run(data));
