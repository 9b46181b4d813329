//! The index beside a journal file.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| liverec_fuzz::harness::journal_index::run(data));
