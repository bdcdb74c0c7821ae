//! `arcp_fuzzing::payloads` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arcp_fuzzing::payloads(data));
