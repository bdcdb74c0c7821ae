//! `arcp_fuzzing::envelope` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arcp_fuzzing::envelope(data));
