//! Patterns of leases: what they match, which of them cover others, and what two of them allow both.

use arcp_core::lease::{Pattern, Target, covers, intersection};

use crate::naive;

const CAPABILITIES: [&str; 5] = ["fs.read", "net.fetch", "tool.call", "agent.delegate", "model.use"];

/// Matching by the rules takes time without bound: it is tried on texts of so many bytes only, with so many wildcards.
const SHORT: usize = 40;
const WILDCARDS: usize = 4;

/// The capability, by the first byte, and the text after it.
fn read(data: &[u8]) -> Option<(&'static str, &str)> {
    let (choice, text) = data.split_first()?;
    // Digits choose as their values do: a corpus is to be read by people.
    Some((CAPABILITIES[usize::from(choice % 16) % CAPABILITIES.len()], std::str::from_utf8(text).ok()?))
}

/// A capability, a pattern, a line feed, a target.
pub fn lease_pattern(data: &[u8]) {
    let Some((capability, text)) = read(data) else { return };
    let (pattern, target) = text.split_once('\n').unwrap_or((text, text));
    let pattern = Pattern::parse(capability, pattern);
    let target = Target::parse(capability, target);
    if let Ok(target) = &target {
        assert_eq!(Target::parse(capability, target.canonical()).as_ref(), Ok(target));
    }
    if let Ok(pattern) = &pattern {
        assert_eq!(Pattern::parse(capability, pattern.canonical()).as_ref(), Ok(pattern));
        assert!(covers(pattern, pattern), "{pattern:?} covers itself");
    }
    if let (Ok(pattern), Ok(target)) = (pattern, target) {
        let matches = pattern.matches(&target);
        let (rule, text) = (pattern.canonical(), target.canonical());
        if rule.len() <= SHORT && text.len() <= SHORT && rule.matches('*').count() <= WILDCARDS {
            assert_eq!(matches, naive::matches(capability, rule, text), "{pattern:?} and {text:?}");
        }
    }
}

/// A capability, a parent, a child, a target, with line feeds between them.
pub fn lease_subset(data: &[u8]) {
    let Some((capability, text)) = read(data) else { return };
    let mut lines = text.split('\n');
    let [Some(parent), Some(child), Some(target)] = [lines.next(), lines.next(), lines.next()] else {
        return;
    };
    let (Ok(parent), Ok(child)) = (Pattern::parse(capability, parent), Pattern::parse(capability, child))
    else {
        return;
    };
    let covered = covers(&parent, &child);
    let Ok(target) = Target::parse(capability, target) else { return };
    if child.matches(&target) && covered {
        assert!(parent.matches(&target), "{parent:?} covers {child:?}, but does not match {target:?}");
    }
    if let Ok(left) = intersection(&parent, &child) {
        let (is_left, by_both) = (
            left.iter().any(|pattern| pattern.matches(&target)),
            parent.matches(&target) && child.matches(&target),
        );
        assert_eq!(is_left, by_both, "{parent:?} and {child:?} are {left:?}, of {target:?}");
    }
}
