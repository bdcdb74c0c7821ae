//! What a lease covers: whatever a covered pattern matches, the pattern that covers it matches.
//!
//! The first byte chooses the capability; the rest is a parent, a child and a target, divided by line feeds.

#![no_main]

use arcp_core::lease::{Pattern, Target, covers};
use libfuzzer_sys::fuzz_target;

const CAPABILITIES: [&str; 5] = ["fs.read", "net.fetch", "tool.call", "agent.delegate", "model.use"];

fuzz_target!(|data: (u8, &str)| {
    let (choice, text) = data;
    let capability = CAPABILITIES[usize::from(choice) % CAPABILITIES.len()];
    let mut lines = text.split('\n');
    let [Some(parent), Some(child), Some(target)] = [lines.next(), lines.next(), lines.next()] else {
        return;
    };
    let (Ok(parent), Ok(child)) = (Pattern::parse(capability, parent), Pattern::parse(capability, child))
    else {
        return;
    };
    let Ok(target) = Target::parse(capability, target) else { return };
    if child.matches(&target) && covers(&parent, &child) {
        assert!(parent.matches(&target), "{parent:?} covers {child:?}, but does not match {target:?}");
    }
});
