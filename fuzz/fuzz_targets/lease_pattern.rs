//! Patterns and targets of leases: nothing panics, and what is canonical is taken as it is.
//!
//! The first byte chooses the capability; the rest is a pattern and a target, divided by a line feed.

#![no_main]

use arcp_core::lease::{Pattern, Target, covers};
use libfuzzer_sys::fuzz_target;

const CAPABILITIES: [&str; 5] = ["fs.read", "net.fetch", "tool.call", "agent.delegate", "model.use"];

fuzz_target!(|data: (u8, &str)| {
    let (choice, text) = data;
    let capability = CAPABILITIES[usize::from(choice) % CAPABILITIES.len()];
    let (pattern, target) = text.split_once('\n').unwrap_or((text, text));
    let pattern = Pattern::parse(capability, pattern);
    let target = Target::parse(capability, target);
    if let Ok(target) = &target {
        assert_eq!(Target::parse(capability, target.canonical()).as_ref(), Ok(target));
    }
    if let Ok(pattern) = &pattern {
        assert_eq!(Pattern::parse(capability, pattern.canonical()).as_ref(), Ok(pattern));
        assert!(covers(pattern, pattern));
    }
    if let (Ok(pattern), Ok(target)) = (pattern, target) {
        pattern.matches(&target);
    }
});
