//! AMF0 values.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liverec_fuzz::harness::amf0::run(data));
