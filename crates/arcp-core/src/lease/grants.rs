//! The patterns of one lease, read once: what they allow, and which other lease they cover (§9.3, §9.4).

use std::collections::BTreeMap;
use std::fmt;

use arcp_proto::{Lease, namespace};

use super::denied::Denied;
use super::meet::Meeting;
use super::pattern::{BadPattern, Pattern};
use super::subset::covers_within;
use super::target::{Kind, Target};

/// How many patterns a lease may have, over all its capabilities but `cost.budget`.
pub const MAX_PATTERNS: usize = 1_024;

/// How long these patterns may be together, in bytes. It bounds what the check of one operation costs.
pub const MAX_LEASE_BYTES: usize = 65_536;

/// How many pairs of steps are looked at to prove that a lease covers another.
const MAX_EFFORT: usize = 1 << 25;

/// A lease with patterns that cannot be enforced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGrants {
    /// More than [`MAX_PATTERNS`].
    #[error("more than {MAX_PATTERNS} patterns")]
    TooMany,
    /// More than [`MAX_LEASE_BYTES`].
    #[error("more than {MAX_LEASE_BYTES} bytes of patterns")]
    TooLong,
    /// A capability that is not known.
    #[error("[{0:?}]: not a capability that is known; vendors' begin with {prefix}", prefix = namespace::VENDOR_PREFIX)]
    Capability(String),
    /// One of the patterns is none.
    #[error("[{capability:?}][{index}]: {reason}")]
    Pattern {
        /// The capability that the pattern stands under.
        capability: String,
        /// Its place among the patterns of the capability, from 0.
        index: usize,
        /// What is wrong with it.
        reason: BadPattern,
    },
}

/// A pattern of a lease that another lease is not proven to cover. The text names its place alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[{capability:?}][{index}]: not covered")]
pub struct NotCovered {
    /// The capability that the pattern stands under.
    pub capability: String,
    /// Its place among the patterns of the capability, from 0.
    pub index: usize,
    /// The pattern.
    pub pattern: Pattern,
}

/// What a lease grants by patterns: all of its capabilities but `cost.budget`, which has amounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(BTreeMap<String, Vec<Pattern>>);

impl Grants {
    /// Reads the patterns of `lease`.
    ///
    /// # Errors
    /// Names the pattern that is none by its place, or says which bound is exceeded.
    pub fn parse(lease: &Lease) -> Result<Self, BadGrants> {
        let patterned = || lease.iter().filter(|(capability, _)| *capability != namespace::COST_BUDGET);
        let texts = || patterned().flat_map(|(_, patterns)| patterns);
        if texts().count() > MAX_PATTERNS {
            return Err(BadGrants::TooMany);
        }
        if texts().map(String::len).sum::<usize>() > MAX_LEASE_BYTES {
            return Err(BadGrants::TooLong);
        }
        let mut grants = BTreeMap::new();
        for (capability, texts) in patterned() {
            if Kind::of(capability).is_none() {
                return Err(BadGrants::Capability(capability.to_owned()));
            }
            let mut patterns = Vec::with_capacity(texts.len());
            for (index, text) in texts.iter().enumerate() {
                let pattern = Pattern::parse(capability, text).map_err(|reason| BadGrants::Pattern {
                    capability: capability.to_owned(),
                    index,
                    reason,
                })?;
                patterns.push(pattern);
            }
            grants.insert(capability.to_owned(), patterns);
        }
        Ok(Self(grants))
    }

    /// Whether the lease names `capability`, be it without a pattern.
    pub fn names(&self, capability: &str) -> bool {
        self.0.contains_key(capability)
    }

    /// The patterns under `capability`, in the order of the lease.
    pub fn patterns(&self, capability: &str) -> &[Pattern] {
        self.0.get(capability).map_or(&[], Vec::as_slice)
    }

    /// The first pattern that allows an operation on `target` that needs `capability`; `None` if it is denied.
    pub fn allows(&self, capability: &str, target: &Target) -> Option<&Pattern> {
        self.patterns(capability).iter().find(|pattern| pattern.matches(target))
    }

    /// Of the patterns under `capability`, the first of those that go along with `target` furthest from its beginning, to
    /// explain a denial with.
    pub fn closest(&self, capability: &str, target: &Target) -> Option<&Pattern> {
        self.patterns(capability).iter().rev().max_by_key(|pattern| pattern.reach(target))
    }

    /// Proves that each pattern of `child` is covered by one pattern here, of the same capability (§9.4).
    ///
    /// # Errors
    /// The first pattern for which there is no proof. Very long lists of patterns with many wildcards may be beyond proof;
    /// a pattern that stands here as well never is.
    pub fn covers(&self, child: &Self) -> Result<(), NotCovered> {
        self.covers_within(child, MAX_EFFORT)
    }

    /// The same without one capability.
    pub(super) fn without(&self, capability: &str) -> Self {
        let mut grants = self.0.clone();
        grants.remove(capability);
        Self(grants)
    }

    /// What is left of the patterns here below a ceiling, of each capability of which that is not what there was.
    ///
    /// # Errors
    /// Names the first pattern of which nothing is left, or nothing that can be written down.
    pub(super) fn narrowed(&self, ceiling: &Self) -> Result<Vec<(&str, Vec<String>)>, Denied> {
        let mut meeting = Meeting::new();
        let mut narrowed = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        for (capability, asked) in &self.0 {
            let most = ceiling.patterns(capability);
            let is_free = |pattern: &Pattern, meeting: &mut Meeting| {
                most.contains(pattern) || most.iter().any(|most| meeting.covers(most, pattern))
            };
            let free: Vec<bool> = asked.iter().map(|pattern| is_free(pattern, &mut meeting)).collect();
            // First what is given as it is asked for, so that nothing of it is given twice.
            let as_is = asked.iter().zip(&free).filter(|(_, free)| **free);
            let mut given: Vec<Pattern> = as_is.map(|(pattern, _)| pattern.clone()).collect();
            for (index, pattern) in asked.iter().enumerate().filter(|(index, _)| !free[*index]) {
                let refused =
                    |why: &dyn fmt::Display| Denied::Ceiling(format!("[{capability:?}][{index}]: {why}"));
                let mut nothing = true;
                for most in most {
                    let both = meeting.of(most, pattern).map_err(|error| refused(&error))?;
                    nothing &= both.is_empty();
                    for both in both {
                        meeting.add(&mut given, both);
                    }
                }
                if nothing {
                    return Err(refused(&"nothing of it is allowed"));
                }
                let size = given.iter().map(|pattern| pattern.canonical().len()).sum::<usize>();
                if count + given.len() > MAX_PATTERNS || bytes + size > MAX_LEASE_BYTES {
                    return Err(refused(
                        &"what is allowed of it and of those before it is too many patterns",
                    ));
                }
            }
            count += given.len();
            bytes += given.iter().map(|pattern| pattern.canonical().len()).sum::<usize>();
            if free.contains(&false) {
                narrowed.push((&**capability, given.iter().map(ToString::to_string).collect()));
            }
        }
        Ok(narrowed)
    }

    fn covers_within(&self, child: &Self, mut effort: usize) -> Result<(), NotCovered> {
        for (capability, patterns) in &child.0 {
            let own = self.patterns(capability);
            for (index, pattern) in patterns.iter().enumerate() {
                let covered =
                    own.contains(pattern) || own.iter().any(|own| covers_within(own, pattern, &mut effort));
                if !covered {
                    let (capability, pattern) = (capability.clone(), pattern.clone());
                    return Err(NotCovered { capability, index, pattern });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(patterns: &[(&str, &str)]) -> Grants {
        Grants::parse(&lease(patterns)).unwrap()
    }

    fn lease(patterns: &[(&str, &str)]) -> Lease {
        patterns
            .iter()
            .fold(Lease::empty(), |lease, (capability, pattern)| lease.grant(*capability, *pattern))
    }

    #[test]
    fn a_bad_pattern_is_named_by_its_place() {
        let bad = |patterns: &[(&str, &str)]| Grants::parse(&lease(patterns)).unwrap_err().to_string();
        assert_eq!(
            bad(&[("fs.read", "/a"), ("fs.read", "/b/**"), ("fs.read", "../secret")]),
            "[\"fs.read\"][2]: not an absolute path"
        );
        assert!(bad(&[("fs.delete", "/a")]).starts_with("[\"fs.delete\"]: not a capability that is known"));
        for name in ["", "fs", "x-vendor.", "cost.budgets"] {
            let lease = serde_json::from_value(serde_json::json!({ name: [] })).unwrap();
            assert!(matches!(Grants::parse(&lease), Err(BadGrants::Capability(_))), "{name}");
        }
    }

    #[test]
    fn the_number_and_the_length_of_patterns_are_bounded() {
        let many = |count: usize, text: &str| {
            let lease = (0..count).fold(Lease::empty(), |lease, _| lease.grant("tool.call", text));
            Grants::parse(&lease.grant("cost.budget", "USD:1")).map(drop)
        };
        assert_eq!(many(MAX_PATTERNS, "a"), Ok(()));
        assert_eq!(many(MAX_PATTERNS + 1, "a"), Err(BadGrants::TooMany));
        assert_eq!(many(16, &"a".repeat(4_096)), Ok(()));
        assert_eq!(many(17, &"a".repeat(4_000)), Err(BadGrants::TooLong));
    }

    #[test]
    fn an_operation_is_allowed_by_a_pattern_of_its_own_capability() {
        let grants = grants(&[("fs.read", "/a/*"), ("fs.read", "/a/**"), ("fs.write", "/b")]);
        let allows = |capability: &str, path| {
            let target = Target::parse(capability, path).unwrap();
            grants.allows(capability, &target).map(Pattern::canonical)
        };
        assert_eq!(allows("fs.read", "/a/b"), Some("/a/*"));
        assert_eq!(allows("fs.read", "/a/b/c"), Some("/a/**"));
        assert_eq!(allows("fs.read", "/b"), None);
        assert_eq!(allows("fs.write", "/a/b"), None);
        assert_eq!(allows("fs.write", "/b"), Some("/b"));
    }

    #[test]
    fn a_denial_is_explained_by_what_comes_closest() {
        let grants = grants(&[
            ("net.fetch", "https://a.example/v1/**"),
            ("net.fetch", "https://b.example/v1/**"),
            ("net.fetch", "https://b.example/v2/*"),
        ]);
        let closest = |url| {
            let target = Target::parse("net.fetch", url).unwrap();
            grants.closest("net.fetch", &target).map(Pattern::canonical)
        };
        assert_eq!(closest("https://b.example/v2/x/y"), Some("https://b.example/v2/*"));
        assert_eq!(closest("https://b.example/other"), Some("https://b.example/v1/**"));
        assert_eq!(closest("http://c.example/"), Some("https://a.example/v1/**"));
        assert_eq!(grants.closest("fs.read", &Target::parse("fs.read", "/").unwrap()), None);
    }

    #[test]
    fn a_lease_covers_another_pattern_by_pattern() {
        let parent = grants(&[("fs.read", "/a/**"), ("fs.read", "/b/*"), ("tool.call", "search.*")]);
        let covers = |child: &[(&str, &str)]| parent.covers(&grants(child)).map_err(|not| not.to_string());
        assert_eq!(covers(&[]), Ok(()));
        assert_eq!(
            covers(&[("fs.read", "/a/x/*"), ("fs.read", "/b/c"), ("tool.call", "search.web.*")]),
            Ok(())
        );
        assert_eq!(
            covers(&[("fs.read", "/a"), ("fs.read", "/b")]).unwrap_err(),
            "[\"fs.read\"][1]: not covered"
        );
        assert_eq!(covers(&[("fs.write", "/a")]).unwrap_err(), "[\"fs.write\"][0]: not covered");
    }

    #[test]
    fn a_pattern_that_the_parent_has_needs_no_proof() {
        let parent = grants(&[("tool.call", "*a*"), ("tool.call", "*ab")]);
        assert!(parent.covers_within(&parent, 0).is_ok());
        let child = grants(&[("tool.call", "*aab")]);
        assert!(parent.covers(&child).is_ok() && parent.covers_within(&child, 0).is_err());
    }
}
