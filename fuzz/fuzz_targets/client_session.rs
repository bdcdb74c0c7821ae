//! `arcp_fuzzing::client_session` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arcp_fuzzing::client_session(data));
