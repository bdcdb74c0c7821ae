//! What must hold for all patterns and targets, over generated ones. Texts are made of few letters and of what is special
//! to the rules; children are made of parents and targets of children, so that they often match.

use std::cell::Cell;

use arcp_core::lease::{Pattern, Target, covers};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::naive;

pub(crate) const CAPABILITIES: [&str; 5] =
    ["fs.read", "net.fetch", "tool.call", "agent.delegate", "model.use"];

/// Decisions that are made while a text is made of another.
pub(crate) struct Choices<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl<'a> Choices<'a> {
    pub(crate) fn new(choices: &'a [u8]) -> Self {
        Self(choices.iter().cycle())
    }

    fn among<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[usize::from(*self.0.next().unwrap()) % texts.len()]
    }
}

pub(crate) fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Parts of a pattern: those of an agent and of a host have no slash.
fn parts() -> impl Strategy<Value = String> {
    let segment = select(vec![
        "a", "b", "ab", "*", "*", "**", "**", "***", "a*", "*b", "*a*", "a*b", "a**", "**b", "a**b", "", ".",
        "a.b",
    ]);
    vec(segment, 0..5).prop_map(|segments| segments.join("/"))
}

pub(crate) fn pattern_text(capability: &'static str) -> BoxedStrategy<String> {
    match capability {
        "fs.read" => parts().prop_map(|parts| format!("/{parts}")).boxed(),
        "net.fetch" => {
            let host =
                select(vec!["a", "b.a", "*", "*.a", "b*.a", "*b.*.a", "a:*", "a:80", "*:444", "[::1]"]);
            let query = select(vec!["", "", "", "?", "?a", "?*", "?a*/b", "?**", "?a/**"]);
            (select(vec!["http", "https"]), host, parts(), query)
                .prop_map(|(scheme, host, path, query)| format!("{scheme}://{host}/{path}{query}"))
                .boxed()
        }
        "agent.delegate" => {
            let word = || {
                vec(select(vec!["a", "b", "*", "**"]), 1..4)
                    .prop_map(|parts| parts.concat().trim_start_matches('.').to_owned())
            };
            (word(), proptest::option::of(word()))
                .prop_map(|(name, version)| {
                    version.map_or(name.clone(), |version| format!("{name}@{version}"))
                })
                .boxed()
        }
        _ => parts().boxed(),
    }
}

/// The characters of a pattern, `**` as one.
fn pieces(pattern: &str) -> impl Iterator<Item = &str> {
    let mut rest = pattern;
    std::iter::from_fn(move || {
        let c = rest.chars().next()?;
        let (piece, after) = rest.split_at(if rest.starts_with("**") { 2 } else { c.len_utf8() });
        rest = after;
        Some(piece)
    })
}

/// A pattern made of another: mostly narrower, sometimes only alike.
pub(crate) fn narrowed(capability: &str, pattern: &str, choices: &mut Choices<'_>) -> String {
    let whole: &[&str] = if capability == "agent.delegate" {
        &["*", "a", "b*"]
    } else {
        &["**", "*", "a", "**/a", "a/**", "*/**/b", "a**", "*/*"]
    };
    let out = pieces(pattern).map(|text| match text {
        "**" => choices.among(whole),
        "*" => choices.among(&["*", "*", "a", "a*", "*b", "*a*", "ab"]),
        "a" => choices.among(&["a", "a", "a", "a", "a", "a", "b", "*", ""]),
        "/" => choices.among(&["/", "/", "/", "/", "/", "/", "/", "/", "/**/"]),
        text => text,
    });
    out.collect()
}

/// A target made of a pattern: mostly one that it matches.
pub(crate) fn target_text(pattern: &str, choices: &mut Choices<'_>) -> String {
    let out = pieces(pattern).map(|text| match text {
        "**" => choices.among(&["a", "", "b/a", "a/b/a", "a?b", "/"]),
        "*" => choices.among(&["a", "b", "ab", "", "80"]),
        "a" => choices.among(&["a", "a", "a", "a", "a", "a", "a", "a", "b"]),
        text => text,
    });
    out.collect()
}

#[derive(Clone, Debug)]
struct Case {
    capability: &'static str,
    parent: String,
    narrowing: Vec<u8>,
    targets: Vec<Vec<u8>>,
}

fn case() -> impl Strategy<Value = Case> {
    select(&CAPABILITIES[..]).prop_flat_map(|capability| {
        (pattern_text(capability), vec(any::<u8>(), 1..8), vec(vec(any::<u8>(), 1..6), 8))
            .prop_map(move |(parent, narrowing, targets)| Case { capability, parent, narrowing, targets })
    })
}

/// `covers` is sound: whatever a child accepts, its parent accepts. And what accepts what is as the rules read.
#[test]
fn what_a_child_accepts_its_parent_accepts() {
    let [proven, held, looked_at] = [(); 3].map(|()| Cell::new(0_u32));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    TestRunner::new(config(16_000))
        .run(&case(), |Case { capability, parent, narrowing, targets }| {
            let child = narrowed(capability, &parent, &mut Choices::new(&narrowing));
            let (Ok(parent), Ok(child)) =
                (Pattern::parse(capability, &parent), Pattern::parse(capability, &child))
            else {
                return Ok(());
            };
            let covered = covers(&parent, &child);
            for choices in targets {
                let text = target_text(child.canonical(), &mut Choices::new(&choices));
                count(&looked_at);
                let Ok(target) = Target::parse(capability, &text) else { continue };
                for pattern in [&parent, &child] {
                    let expected = naive::matches(capability, pattern.canonical(), target.canonical());
                    prop_assert_eq!(pattern.matches(&target), expected, "{} and {:?}", pattern, target);
                }
                if covered {
                    count(&proven);
                    if child.matches(&target) {
                        count(&held);
                        prop_assert!(parent.matches(&target), "{} covers {}: {:?}", parent, child, target);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
    let [proven, held, looked_at] = [proven, held, looked_at].map(Cell::into_inner);
    println!("{looked_at} cases, {proven} of them of a proven pair, {held} of these with a match");
    assert!(looked_at > 100_000 && proven > 20_000 && held > 10_000, "the cases are about nothing");
}

proptest! {
    #![proptest_config(config(4_000))]

    /// Of any text that is taken, the canonical form is taken as it is.
    #[test]
    fn a_canonical_text_is_its_own_canonical_text(
        capability in select(&CAPABILITIES[..]),
        url in "(?i:https?)://(a|A|é|b\\.a|\\[::1\\]|1\\.2\\.3\\.4|xn--9ca|[a-zA-Zé.0-9:@%]{1,5})(:(80|443|1))?(/[aA.é ;%20254eEfF/]{0,6}){0,4}(\\?[a%/?'é]{0,4})?(#a?)?",
        path in "/?([aA./%25eE2fF*]{0,8})",
        wild in "[aé*./%2e?@]{0,10}",
    ) {
        for text in [url.clone(), path, url.replace('a', "*"), wild.clone(), format!("/{wild}"), format!("https://*.a/{wild}")] {
            if let Ok(target) = Target::parse(capability, &text) {
                let again = Target::parse(capability, target.canonical());
                prop_assert_eq!(again.as_ref(), Ok(&target), "{:?}", text);
            }
            if let Ok(pattern) = Pattern::parse(capability, &text) {
                let again = Pattern::parse(capability, pattern.canonical());
                prop_assert_eq!(again.as_ref(), Ok(&pattern), "{:?}", text);
                prop_assert!(covers(&pattern, &pattern));
            }
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(capability in select(&CAPABILITIES[..]), text in any::<String>()) {
        for text in [text.clone(), format!("/{text}"), format!("https://{text}"), format!("https://a/{text}")] {
            let target = Target::parse(capability, &text);
            let pattern = Pattern::parse(capability, &text);
            if let (Ok(target), Ok(pattern)) = (target, pattern) && !text.contains('*') && !text.contains('?') {
                prop_assert!(pattern.matches(&target), "{:?}", text);
            }
        }
    }

    /// What covers a pattern covers what that one covers.
    #[test]
    fn proofs_can_be_joined(
        (capability, parent) in select(&CAPABILITIES[..]).prop_flat_map(|capability| (Just(capability), pattern_text(capability))),
        first in vec(any::<u8>(), 1..8),
        second in vec(any::<u8>(), 1..8),
    ) {
        let child = narrowed(capability, &parent, &mut Choices::new(&first));
        let grandchild = narrowed(capability, &child, &mut Choices::new(&second));
        let read = [&parent, &child, &grandchild].map(|text| Pattern::parse(capability, text));
        if let [Ok(parent), Ok(child), Ok(grandchild)] = read && covers(&parent, &child) && covers(&child, &grandchild) {
            prop_assert!(covers(&parent, &grandchild), "{} {} {}", parent, child, grandchild);
        }
    }
}

/// Every text of `letters` with at most `length` of them.
pub(crate) fn texts(letters: &[char], length: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut from = 0;
    for _ in 0..length {
        let to = all.len();
        for index in from..to {
            for letter in letters {
                all.push(format!("{}{letter}", all[index]));
            }
        }
        from = to;
    }
    all
}

/// Over all short patterns and targets, a proof is never wrong, and most of what is true is proven.
#[test]
fn proofs_are_compared_with_all_short_targets() {
    for (capability, prefix, share) in [("tool.call", "", 99), ("fs.read", "/", 99)] {
        let targets: Vec<Target> = texts(&['a', 'b', '/'], 5)
            .into_iter()
            .filter_map(|text| Target::parse(capability, &format!("{prefix}{text}")).ok())
            .collect();
        let mut patterns: Vec<(Pattern, Vec<bool>)> = Vec::new();
        for text in texts(&['a', '*', '/'], 5) {
            let Ok(pattern) = Pattern::parse(capability, &format!("{prefix}{text}")) else { continue };
            if !patterns.iter().any(|(other, _)| *other == pattern) {
                let accepts = targets.iter().map(|target| pattern.matches(target)).collect();
                patterns.push((pattern, accepts));
            }
        }
        let (mut included, mut proven) = (0, 0);
        for (parent, by_parent) in &patterns {
            for (child, by_child) in &patterns {
                let is_included = by_child.iter().zip(by_parent).all(|(child, parent)| !child || *parent);
                let is_proven = covers(parent, child);
                assert!(is_included || !is_proven, "{parent} covers {child}");
                included += u32::from(is_included);
                proven += u32::from(is_proven);
            }
        }
        println!(
            "{capability}: {} patterns, {included} pairs included, {proven} of them proven",
            patterns.len()
        );
        assert!(proven * 100 >= included * share, "{capability}: {proven} of {included} proven");
    }
}
