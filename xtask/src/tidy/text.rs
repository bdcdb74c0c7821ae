//! Rules on every text file, and on Markdown.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::{File, Tree};
use crate::markdown::{self, Line, Target};

/// No tabs, and nothing invisible at the end of a line.
pub(super) fn white_space(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in tree.files().iter().filter(|file| matches!(file.extension(), "rs" | "md" | "toml")) {
        for (index, line) in file.text.split('\n').enumerate() {
            if line.trim_end() != line {
                out.push(Finding::at(file, index + 1, "white space at the end of the line"));
            }
            if line.trim_end().contains('\t') {
                out.push(Finding::at(file, index + 1, "a tab"));
            }
        }
    }
    out
}

/// The project knows no machine but the reader's. The parts are apart so that this file passes.
pub(super) fn machine_path(tree: &Tree) -> Vec<Finding> {
    let fixed = [concat!("/wo", "rk/"), concat!("../sha", "red")];
    let temporary = concat!("/tm", "p/");
    each_line(tree, |line| {
        let here = line.match_indices(temporary).any(|(at, _)| {
            let rest = &line[at + temporary.len()..];
            let name = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
            name.len() < rest.len() && name.starts_with('/')
        });
        let path = fixed.into_iter().find(|path| line.contains(path)).or(here.then_some(temporary));
        path.map(|path| format!("{path}: a path of one machine"))
    })
}

/// A number of somebody's tracker says nothing to a reader without it.
pub(super) fn issue_number(tree: &Tree) -> Vec<Finding> {
    each_line(tree, |line| {
        let line = line.to_ascii_lowercase();
        let numbered = line.match_indices("issue").any(|(at, word)| {
            let rest = &line[at + word.len()..];
            let number = rest.strip_prefix(" #").or_else(|| rest.strip_prefix([' ', '#'])).unwrap_or("");
            !line[..at].ends_with(char::is_alphanumeric) && number.starts_with(|c: char| c.is_ascii_digit())
        });
        numbered.then(|| "say what it is about instead of its number".to_owned())
    })
}

/// What `check` says about the lines of the files that people write.
fn each_line(tree: &Tree, check: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in tree.files().iter().filter(|file| !matches!(file.extension(), "lock" | "svg")) {
        for (index, line) in file.text.lines().enumerate() {
            out.extend(check(line).map(|message| Finding::at(file, index + 1, message)));
        }
    }
    out
}

/// A link of one page to another file, or to a heading, leads there.
pub(super) fn dead_link(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    // A guide's links are those of the page that is written from it.
    for file in tree.with_extension("md").filter(|file| !file.path.starts_with(GUIDES)) {
        let prose = prose(&file.text);
        for link in markdown::links(&prose) {
            let (Target::Inline(target) | Target::Definition(target)) = link.target else { continue };
            // A page that is part of a crate's documentation may name items, which rustdoc checks.
            if target.contains("://") || target.starts_with("mailto:") || target.contains("::") {
                continue;
            }
            if let Some(why) = dead(tree, file, target) {
                let line = prose[..link.start].matches('\n').count() + 1;
                out.push(Finding::at(file, line, format!("{target}: {why}")));
            }
        }
    }
    out
}

fn dead(tree: &Tree, from: &File, target: &str) -> Option<&'static str> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let to = if path.is_empty() { Some(from.path.clone()) } else { resolve(&from.path, path) };
    let Some(to) = to.filter(|to| tree.has(to)) else { return Some("there is no such file") };
    let page = tree.file(&to).filter(|page| page.extension() == "md")?;
    (!anchor.is_empty() && !anchors(&page.text).contains(&anchor.to_owned()))
        .then_some("there is no such heading")
}

/// A relative path as seen from a file, or none when it leaves the tree.
fn resolve(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The text with blank lines in the place of fenced code.
fn prose(text: &str) -> String {
    let lines = markdown::lines(text).into_iter();
    lines
        .map(|(line, kind)| if kind == Line::Prose { format!("{line}\n") } else { "\n".to_owned() })
        .collect()
}

/// What the headings of a page are called in a URL, as forges make it.
fn anchors(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let anchors = headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let count = seen.entry(anchor.clone()).and_modify(|count| *count += 1).or_insert(0);
        if *count == 0 { anchor } else { format!("{anchor}-{count}") }
    });
    anchors.collect()
}

/// Where the guides are that pages of `docs` are written from.
const GUIDES: &str = "crates/arcp/src/guides/";

fn is_guide(file: &File) -> bool {
    file.path.starts_with("docs/") || file.path.starts_with(GUIDES)
}

/// The page that a page is written from, if it says so.
fn written_from(text: &str) -> Option<&str> {
    let (_, rest) = text.lines().next()?.split_once("<!-- Written by cargo xtask readme from ")?;
    Some(rest.split_once(": change it there. -->")?.0)
}

/// Rust in a guide is compiled: some crate has the guide as documentation, or what it is written from, and no block opts out.
pub(super) fn untested_example(tree: &Tree) -> Vec<Finding> {
    let included: Vec<_> =
        tree.rust().flat_map(|(file, source)| includes(file, &source.without_comments)).collect();
    let mut out = Vec::new();
    for file in tree.with_extension("md").filter(|file| is_guide(file)) {
        let source = written_from(&file.text).unwrap_or(&file.path).to_owned();
        for (index, (_, kind)) in markdown::lines(&file.text).into_iter().enumerate() {
            let Line::Open(info) = kind else { continue };
            if markdown::is_ignored(info) && !info.is_empty() {
                out.push(Finding::at(file, index + 1, "an ignored example is not compiled"));
            } else if info.starts_with("rust") && !included.contains(&source) {
                let message =
                    "no crate includes this page as documentation, so nothing compiles its examples";
                out.push(Finding::at(file, index + 1, message));
            }
        }
    }
    out
}

/// The files that a Rust file includes as documentation.
fn includes(file: &File, code: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (at, call) in code.match_indices("include_str!(") {
        let before = code[..at].trim_end().strip_suffix('=').map(str::trim_end);
        let path =
            code[at + call.len()..].trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
        if let (Some(true), Some(path)) = (before.map(|before| before.ends_with("doc")), path) {
            out.extend(resolve(&file.path, path));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
        rule(&Tree::of(files)).iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
    }

    #[test]
    fn white_space_must_be_visible() {
        for text in ["a\nb \n", "a\nb\r\n", "a\n\tb\n", "a\nb\u{a0}\n"] {
            assert_eq!(found(white_space, &[("a.md", text)]), ["a.md:2"], "{text:?}");
            assert_eq!(found(white_space, &[("a.txt", text)]), [""; 0], "{text:?}");
        }
        assert_eq!(found(white_space, &[("a.rs", "a\n    b\n\n"), ("b.toml", "")]), [""; 0]);
    }

    #[test]
    fn paths_of_a_machine_must_not_appear() {
        for parts in [["see /wo", "rk/a"], ["in ../sha", "red/a.md"], ["/tm", "p/a-b/c"]] {
            assert_eq!(found(machine_path, &[("a.sh", &parts.concat())]), ["a.sh:1"], "{parts:?}");
        }
        for text in ["/workspace/a", "/tmp/a", "/tmp/{name}/a", "../a"] {
            assert_eq!(found(machine_path, &[("a.sh", text)]), [""; 0], "{text}");
        }
    }

    #[test]
    fn numbers_of_a_tracker_must_not_appear() {
        for text in [["\nfixes iss", "ue #12"], ["\nIss", "ue 7"], ["\n(iss", "ue#7)"]] {
            assert_eq!(found(issue_number, &[("a.rs", &text.concat())]), ["a.rs:2"], "{text:?}");
        }
        for text in ["an issue with 12", "reissue 12", "issues 12", "issue # 1"] {
            assert_eq!(found(issue_number, &[("a.rs", text)]), [""; 0], "{text}");
        }
    }

    #[test]
    fn links_must_lead_somewhere() {
        let page =
            "# A b: `c`\n\n[a](docs/b.md), [b](docs/), [c](#a-b-c), [d](docs/b.md#e)\n\n[f]: LICENSE\n";
        let other =
            "[a](../a.md#a-b-c)\n\n## E\n\n```md\n[dead](nowhere.md)\n```\n[g](https://example.com/x)\n";
        let files = [("a.md", page), ("docs/b.md", other), ("LICENSE", "")];
        assert_eq!(found(dead_link, &files), [""; 0]);
        for dead in ["[a](b.md)", "[a](#b)", "[a](../c)", "[a](c.md#d)", "[a]: b.md", "![a](a.svg)"] {
            let files = [("a.md", &*format!("# A\n\n{dead}\n")), ("c.md", "# C\n")];
            assert_eq!(found(dead_link, &files), ["a.md:3"], "{dead}");
        }
    }

    #[test]
    fn headings_of_one_name_are_counted() {
        assert_eq!(anchors("# A\n## A\n```\n# b\n```\n### C_d, e\n"), ["a", "a-1", "c_d-e"]);
    }

    #[test]
    fn examples_in_guides_must_be_compiled() {
        let guide = ("docs/a.md", "Text.\n\n```rust\nlet a = 1;\n```\n");
        let missed = ["docs/a.md:3"];
        assert_eq!(found(untested_example, &[guide]), missed);
        let text = ("crates/a/src/lib.rs", "const A: &str = include_str!(\"../../../docs/a.md\");\n");
        assert_eq!(found(untested_example, &[guide, text]), missed);
        let comment = ("crates/a/src/lib.rs", "// #![doc = include_str!(\"../../../docs/a.md\")]\n");
        assert_eq!(found(untested_example, &[guide, comment]), missed);
        let doc = ("crates/a/src/lib.rs", "#![doc = include_str!(\"../../../docs/a.md\")]\n");
        assert_eq!(found(untested_example, &[guide, doc]), [""; 0]);
        let written = (
            "docs/a.md",
            "<!-- Written by cargo xtask readme from docs/b.md: change it there. -->\n```rust\n```\n",
        );
        assert_eq!(
            found(untested_example, &[written, doc]),
            ["docs/a.md:2"],
            "what it is written from is not compiled"
        );
        let source = ("crates/a/src/lib.rs", "#![doc = include_str!(\"../../../docs/b.md\")]\n");
        assert_eq!(found(untested_example, &[written, source]), [""; 0]);
        let ignored = ("docs/a.md", "```rust,ignore\n```\n");
        assert_eq!(found(untested_example, &[ignored, doc]), ["docs/a.md:1"]);
        assert_eq!(found(untested_example, &[("docs/b.md", "```json\n{}\n```\n")]), [""; 0]);
    }
}
