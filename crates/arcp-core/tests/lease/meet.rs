//! What two patterns allow both: never more than either, and never less.

use std::cell::Cell;

use arcp_core::lease::{Pattern, Target, intersection};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::naive;
use crate::properties::{CAPABILITIES, Choices, config, narrowed, pattern_text, target_text, texts};

/// What is left of both, as texts, or `None` if it cannot be written.
fn both(capability: &str, a: &str, b: &str) -> Option<Vec<String>> {
    let [a, b] = [a, b].map(|text| Pattern::parse(capability, text).expect(text));
    let one_way = intersection(&a, &b).ok();
    let texts = |patterns: Vec<Pattern>| -> Vec<String> {
        let mut texts: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    };
    let (one_way, other_way) = (one_way.map(texts), intersection(&b, &a).ok().map(texts));
    assert_eq!(one_way, other_way, "{a} and {b}, and the other way round");
    one_way
}

#[test]
fn what_is_left_is_written_as_patterns() {
    for (capability, a, b, left) in [
        ("fs.read", "/data/**", "/data/public/**", &["/data/public/**"][..]),
        ("fs.read", "/**", "/data/*", &["/data/*"]),
        ("fs.read", "/data/*/x", "/data/a/*", &["/data/a/x"]),
        ("fs.read", "/**/x", "/data/**", &["/data/**/x"]),
        ("fs.read", "/**/x/**", "/data/**", &["/data/**/x/**"]),
        ("fs.read", "/a/**", "/b/**", &[]),
        ("fs.read", "/a/*", "/a", &[]),
        ("fs.read", "/**/a", "/*", &["/a"]),
        ("fs.read", "/a/*.txt", "/a/report*", &["/a/report*.txt"]),
        // It may be both a beginning and an end.
        ("fs.read", "/ab*", "/*bc", &["/ab*bc", "/abc"]),
        ("fs.read", "/**/a/**", "/**/b/**", &["/**/a/**/b/**", "/**/b/**/a/**"]),
        // A path has no such segments.
        ("fs.read", "/a/.*", "/a/*.", &["/a/.*."]),
        ("tool.call", "search.*", "*.web", &["search.*.web", "search.web"]),
        ("tool.call", "**", "a//*", &["a//*"]),
        ("tool.call", "a/*", "*/", &[]),
        ("model.use", "*/large", "acme/*", &["acme/large"]),
        ("agent.delegate", "trans*", "*late@1.*", &["trans*late@1.*"]),
        ("agent.delegate", "a@*", "a", &["a@*"]),
        ("agent.delegate", "a@1", "a@2", &[]),
        (
            "net.fetch",
            "https://*.example/v1/**",
            "https://api.*.example/**",
            &["https://api.*.example/v1/**"],
        ),
        ("net.fetch", "https://*/x", "https://a:*/*", &["https://a/x"]),
        ("net.fetch", "https://*:*/x", "https://a:81/*", &["https://a:81/x"]),
        ("net.fetch", "https://a/*?q=*", "https://a/x/**", &["https://a/x?q=*"]),
        ("net.fetch", "https://a/*/y?q=*", "https://*.b/**", &[]),
        ("net.fetch", "https://a/*/y?q=*", "https://*/x/**", &["https://a/x/y?q=*"]),
        ("net.fetch", "https://a/*?q=*", "https://a/x?*=1", &["https://a/x?q=*=1", "https://a/x?q=1"]),
        ("net.fetch", "https://a/*?q", "https://a/x", &[]),
        ("net.fetch", "http://a/**", "https://a/**", &[]),
        // A segment with `**` in it: where one covers the other, or none can be the other.
        ("fs.read", "/a**", "/ab/**", &["/ab/**"]),
        ("fs.read", "/a**", "/b/*", &[]),
    ] {
        let left: Vec<String> = left.iter().map(ToString::to_string).collect();
        assert_eq!(both(capability, a, b), Some(left), "{capability}: {a} and {b}");
    }
    for (capability, a, b) in [
        ("fs.read", "/a**z", "/*/b/**"),
        ("net.fetch", "https://a/*?**x", "https://a/b?y*"),
        ("tool.call", &format!("{}*", "*a".repeat(20)), &format!("{}*", "*b".repeat(20))),
        ("tool.call", &format!("{}*", "a".repeat(300)), &format!("*{}", "a".repeat(300))),
    ] {
        assert_eq!(both(capability, a, b), None, "{capability}: {a} and {b}");
    }
}

#[test]
fn patterns_of_different_kinds_have_nothing_in_common() {
    let [tool, model] = ["tool.call", "model.use"].map(|name| Pattern::parse(name, "a").unwrap());
    assert_eq!(intersection(&tool, &model), Ok(vec![]));
}

/// No pattern is so deep that looking into it is dangerous, and none so wild that it takes time without bound.
#[test]
fn wild_patterns_take_bounded_time_and_room() {
    let long = |unit: &str| unit.repeat(1_024 / unit.len());
    for (a, b) in [
        (long("/**/a"), long("/a/**")),
        (long("/*"), long("/a")),
        ("/*a".repeat(256), "/**/*b".repeat(128)),
        (format!("/{}", "*a".repeat(127)), format!("/{}", "a*".repeat(127))),
        (format!("/**{}", "/*".repeat(254)), format!("{}/**", "/*".repeat(254))),
    ] {
        let [a, b] = [a, b].map(|text| Pattern::parse("fs.read", &text).unwrap());
        let _ = intersection(&a, &b);
    }
}

#[test]
fn what_is_left_allows_what_both_allow() {
    let [expressed, kept, narrower, looked_at] = [(); 4].map(|()| Cell::new(0_u32));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let case = select(&CAPABILITIES[..]).prop_flat_map(|capability| {
        let text = || pattern_text(capability);
        let bytes = || vec(any::<u8>(), 1..8);
        // Two of a kind, two that come from one, or one that comes from the other.
        let pair = (text(), text(), bytes(), bytes(), 0..3).prop_map(move |(a, b, first, second, how)| {
            let of = |text: &str, choices: &[u8]| narrowed(capability, text, &mut Choices::new(choices));
            match how {
                0 => (a, b),
                1 => (of(&a, &first), of(&a, &second)),
                _ => (of(&a, &first), a),
            }
        });
        (Just(capability), pair, vec(vec(any::<u8>(), 1..6), 12))
    });
    TestRunner::new(config(16_000))
        .run(&case, |(capability, (a, b), targets)| {
            let (Ok(a), Ok(b)) = (Pattern::parse(capability, &a), Pattern::parse(capability, &b)) else {
                return Ok(());
            };
            let Ok(left) = intersection(&a, &b) else { return Ok(()) };
            count(&expressed);
            if !left.is_empty() && left != [a.clone()] && left != [b.clone()] {
                count(&narrower);
            }
            let of_left = left.iter().map(Pattern::canonical);
            let sources: Vec<&str> = [a.canonical(), b.canonical()].into_iter().chain(of_left).collect();
            for (index, choices) in targets.iter().enumerate() {
                let text = target_text(sources[index % sources.len()], &mut Choices::new(choices));
                let Ok(target) = Target::parse(capability, &text) else { continue };
                count(&looked_at);
                let is_left = left.iter().any(|pattern| pattern.matches(&target));
                let by_both = [&a, &b]
                    .iter()
                    .all(|pattern| naive::matches(capability, pattern.canonical(), target.canonical()));
                prop_assert_eq!(is_left, by_both, "{} and {}: {:?}, {:?}", a, b, left, target);
                if is_left {
                    count(&kept);
                }
            }
            Ok(())
        })
        .unwrap();
    let [expressed, kept, narrower, looked_at] = [expressed, kept, narrower, looked_at].map(Cell::into_inner);
    println!("{expressed} pairs, {narrower} of them with less than either; {looked_at} targets, {kept} left");
    assert!(expressed > 8_000 && narrower > 500, "the pairs are about nothing");
    assert!(looked_at > 30_000 && kept > 5_000, "the targets are about nothing");
}

/// Over all short patterns and targets: what is expressed is exact, and most is expressed.
#[test]
fn short_patterns_are_compared_with_all_short_targets() {
    for (capability, prefix, share) in [("tool.call", "", 80), ("fs.read", "/", 80)] {
        let targets: Vec<Target> = texts(&['a', 'b', '/'], 5)
            .into_iter()
            .filter_map(|text| Target::parse(capability, &format!("{prefix}{text}")).ok())
            .collect();
        let mut patterns: Vec<(Pattern, Vec<bool>)> = Vec::new();
        for text in texts(&['a', '*', '/'], 4).into_iter().chain(["a*b".into(), "b/**".into(), "*b*".into()])
        {
            let Ok(pattern) = Pattern::parse(capability, &format!("{prefix}{text}")) else { continue };
            if !patterns.iter().any(|(other, _)| *other == pattern) {
                let accepts = targets.iter().map(|target| pattern.matches(target)).collect();
                patterns.push((pattern, accepts));
            }
        }
        let (mut all, mut expressed) = (0, 0);
        for (a, by_a) in &patterns {
            for (b, by_b) in &patterns {
                all += 1;
                let Ok(left) = intersection(a, b) else { continue };
                expressed += 1;
                for (target, by_both) in targets.iter().zip(by_a.iter().zip(by_b).map(|(a, b)| *a && *b)) {
                    let is_left = left.iter().any(|pattern| pattern.matches(target));
                    assert_eq!(is_left, by_both, "{a} and {b}: {left:?}, {target:?}");
                }
            }
        }
        println!("{capability}: {all} pairs, {expressed} expressed");
        assert!(expressed * 100 >= all * share, "{capability}: {expressed} of {all} expressed");
    }
}
