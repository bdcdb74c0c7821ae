//! `arcp_fuzzing::stdio_framing` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arcp_fuzzing::stdio_framing(data));
