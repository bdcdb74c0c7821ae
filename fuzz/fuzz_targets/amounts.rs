//! `arcp_fuzzing::amounts` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arcp_fuzzing::amounts(data));
