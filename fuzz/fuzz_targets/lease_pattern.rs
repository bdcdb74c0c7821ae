//! `arcp_fuzzing::lease_pattern` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arcp_fuzzing::lease_pattern(data));
