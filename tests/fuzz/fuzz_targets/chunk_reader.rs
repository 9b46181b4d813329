//! Messages out of chunks.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liverec_fuzz::harness::chunk_reader::run(data));
