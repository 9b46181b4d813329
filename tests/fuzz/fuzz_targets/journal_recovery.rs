//! A journal folder after a crash.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liverec_fuzz::harness::journal_recovery::run(data));
