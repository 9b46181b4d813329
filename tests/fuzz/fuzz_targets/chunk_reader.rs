//! Chunks of RTMP into messages.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liverec_fuzz::harness::chunk_reader::run(data));
