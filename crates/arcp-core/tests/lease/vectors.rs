//! The vectors in `tests/vectors` at the root of the repository: text that any implementation can read.
//!
//! Each file has `valid` and `invalid`, arrays of what is taken and what is refused, the latter with a `reason`.

use arcp_core::lease::{Pattern, Target, covers};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors<V, I> {
    #[allow(dead_code, reason = "for people")]
    about: String,
    valid: Vec<V>,
    invalid: Vec<I>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidTarget {
    text: String,
    canonical: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InvalidTarget {
    text: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidPattern {
    capability: String,
    text: String,
    canonical: String,
    matches: Vec<String>,
    refuses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InvalidPattern {
    capability: String,
    text: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Covered {
    capability: String,
    parent: String,
    child: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotCovered {
    capability: String,
    parent: String,
    child: String,
    reason: String,
}

fn load<V: DeserializeOwned, I: DeserializeOwned>(name: &str) -> Vectors<V, I> {
    let path = format!("{}/../../tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    let mut seen = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("    {")) {
        assert!(seen.insert(line.trim_end_matches(',')), "{name} has a vector twice: {line}");
    }
    let vectors: Vectors<V, I> = serde_json::from_str(&text).expect(name);
    assert!(vectors.valid.len() >= 25 && vectors.invalid.len() >= 25, "{name} has lost its vectors");
    vectors
}

fn target(capability: &str, text: &str) -> Target {
    Target::parse(capability, text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn pattern(capability: &str, text: &str) -> Pattern {
    Pattern::parse(capability, text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn targets(name: &str, capability: &str) {
    let Vectors { valid, invalid, .. } = load::<ValidTarget, InvalidTarget>(name);
    for ValidTarget { text, canonical } in valid {
        assert_eq!(target(capability, &text).canonical(), canonical, "{text:?}");
        assert_eq!(target(capability, &canonical).canonical(), canonical, "{text:?}");
    }
    for InvalidTarget { text, reason } in invalid {
        assert!(Target::parse(capability, &text).is_err(), "{text:?} was taken: {reason}");
    }
}

/// Of paths as texts; where symbolic links lead is not a matter of text.
#[test]
fn paths() {
    targets("paths", "fs.read");
    targets("paths", "fs.write");
}

#[test]
fn urls() {
    targets("urls", "net.fetch");
}

#[test]
fn patterns() {
    let Vectors { valid, invalid, .. } = load::<ValidPattern, InvalidPattern>("patterns");
    for ValidPattern { capability, text, canonical, matches, refuses } in valid {
        let pattern = pattern(&capability, &text);
        assert_eq!(pattern.canonical(), canonical, "{text:?}");
        assert_eq!(Pattern::parse(&capability, &canonical).unwrap().canonical(), canonical);
        for (texts, expected) in [(matches, true), (refuses, false)] {
            for text in texts {
                let target = target(&capability, &text);
                assert_eq!(pattern.matches(&target), expected, "{pattern} and {text:?}");
            }
        }
    }
    for InvalidPattern { capability, text, reason } in invalid {
        assert!(Pattern::parse(&capability, &text).is_err(), "{text:?} was taken: {reason}");
    }
}

#[test]
fn subset() {
    let Vectors { valid, invalid, .. } = load::<Covered, NotCovered>("subset");
    for Covered { capability, parent, child } in valid {
        let (parent, child) = (pattern(&capability, &parent), pattern(&capability, &child));
        assert!(covers(&parent, &child), "{parent} does not cover {child}");
    }
    for NotCovered { capability, parent, child, reason } in invalid {
        let (parent, child) = (pattern(&capability, &parent), pattern(&capability, &child));
        assert!(!covers(&parent, &child), "{parent} covers {child}: {reason}");
    }
}
