//! `arcp_fuzzing::net_target` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arcp_fuzzing::net_target(data));
