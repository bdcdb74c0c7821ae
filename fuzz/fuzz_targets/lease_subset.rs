//! `arcp_fuzzing::lease_subset` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arcp_fuzzing::lease_subset(data));
