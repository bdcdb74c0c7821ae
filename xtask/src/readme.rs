//! `cargo xtask readme`: README.md is the front page of the facade crate, and the guides of `docs` are pages that stand beside it,
//! where the compiler tests their examples. What only rustdoc understands is taken out on the way.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use anyhow::{Context as _, Result, bail, ensure};

use crate::markdown::{self, Line, Link, Target};
use crate::run;

const SOURCE: &str = "crates/arcp/src/lib.rs";
const README: &str = "README.md";
const TITLE: &str = "arcp";
/// Where the guides are written, and where they are read.
const GUIDES: &str = "crates/arcp/src/guides";
const DOCS: &str = "docs";

/// A page that is written from another one.
struct Page {
    path: String,
    source: String,
    text: String,
}

/// Whether to write or to compare.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Write nothing, and fail when a page is not what would be written
    #[arg(long)]
    check: bool,
}

/// Writes README.md and the guides, or checks them.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.check {
        return check();
    }
    for Page { path, text, .. } in pages()? {
        fs::write(run::root().join(&path), text).context(path)?;
    }
    Ok(())
}

/// Fails when a page is not what [`run()`] would write.
pub(crate) fn check() -> Result<()> {
    for Page { path, source, text } in pages()? {
        let found = match fs::read_to_string(run::root().join(&path)) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!("{path} is missing: write it with cargo xtask readme")
            }
            Err(error) => return Err(error).context(path),
        };
        if let Some(difference) = difference(&found, &text) {
            bail!("{path} is not what {source} says: write it with cargo xtask readme\n{difference}");
        }
    }
    Ok(())
}

fn pages() -> Result<Vec<Page>> {
    let root = run::root();
    let front = inner_docs(&fs::read_to_string(root.join(SOURCE)).context(SOURCE)?);
    ensure!(!front.trim().is_empty(), "{SOURCE} has no //! lines");
    let mut pages =
        vec![Page { path: README.to_owned(), source: SOURCE.to_owned(), text: render(&front, SOURCE) }];
    for entry in fs::read_dir(root.join(GUIDES)).context(GUIDES)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let source = format!("{GUIDES}/{name}");
        let text = fs::read_to_string(root.join(&source)).context(source.clone())?;
        pages.push(Page { path: format!("{DOCS}/{name}"), text: render(&text, &source), source });
    }
    Ok(pages)
}

/// The text of the `//!` lines of a crate's root.
fn inner_docs(source: &str) -> String {
    let lines = source.lines().filter_map(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
}

/// A whole page from the text of its source.
///
/// A page without a first-level heading at its top gets a title, and its headings go one level down.
fn render(page: &str, source: &str) -> String {
    let titled = page.trim_start().starts_with("# ");
    let mut out = format!("<!-- Written by cargo xtask readme from {source}: change it there. -->\n\n");
    if !titled {
        out.push_str(&format!("# {TITLE}\n\n"));
    }
    let definitions = definitions(page);
    let mut prose = String::new();
    for (line, kind) in markdown::lines(page) {
        if kind == Line::Prose {
            if !titled && is_heading(line) {
                prose.push('#');
            }
            prose.push_str(line);
            prose.push('\n');
            continue;
        }
        out.push_str(&plain_links(&prose, &definitions));
        prose.clear();
        if let Some(line) = code_line(line, kind) {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out.push_str(&plain_links(&prose, &definitions));
    format!("{}\n", out.trim_end())
}

fn is_heading(line: &str) -> bool {
    let text = line.trim_start_matches('#');
    line.starts_with('#') && (text.is_empty() || text.starts_with(' '))
}

/// A line of a fenced block as a reader should see it: none when it is hidden.
fn code_line(line: &str, kind: Line<'_>) -> Option<String> {
    match kind {
        Line::Open(info) if markdown::is_rust(info) => {
            let marks = line.trim_end().strip_suffix(info).unwrap_or(line).trim_end();
            Some(format!("{marks}rust"))
        }
        Line::Code(info) if markdown::is_rust(info) => {
            let code = line.trim_start();
            if code == "#" || code.starts_with("# ") {
                return None;
            }
            // `##` is how rustdoc spells a line that starts with one `#`.
            Some(if code.starts_with("##") { line.replacen("##", "#", 1) } else { line.to_owned() })
        }
        _ => Some(line.to_owned()),
    }
}

/// The link definitions of a page, by label.
fn definitions(page: &str) -> BTreeMap<&str, &str> {
    let mut out = BTreeMap::new();
    for (line, kind) in markdown::lines(page) {
        if kind == Line::Prose {
            out.extend(markdown::links(line).into_iter().filter_map(|link| match link.target {
                Target::Definition(target) => Some((link.text, target)),
                _ => None,
            }));
        }
    }
    out
}

/// Prose in which the links that only rustdoc can follow are their texts.
fn plain_links(prose: &str, definitions: &BTreeMap<&str, &str>) -> String {
    let mut out = String::new();
    let mut at = 0;
    for link in markdown::links(prose) {
        out.push_str(&prose[at..link.start]);
        at = link.end;
        if keeps(&link, definitions) {
            out.push_str(&prose[link.start..link.end]);
        } else if matches!(link.target, Target::Definition(_)) {
            // The line goes as a whole.
            at += usize::from(prose[at..].starts_with('\n'));
        } else {
            out.push_str(link.text);
        }
    }
    out.push_str(&prose[at..]);
    out
}

/// Whether a link means something outside rustdoc.
fn keeps(link: &Link<'_>, definitions: &BTreeMap<&str, &str>) -> bool {
    if link.image {
        return true;
    }
    match link.target {
        Target::Inline(target) | Target::Definition(target) => !is_item(target),
        Target::Reference(label) => definitions.get(label).is_some_and(|target| !is_item(target)),
        Target::Shortcut => match definitions.get(link.text) {
            Some(target) => !is_item(target),
            None => !is_item(link.text) || matches!(link.text, "x" | "X"),
        },
    }
}

/// Whether a link's target names a Rust item, such as ``crate::Client#method.submit`` or `macro@json`.
fn is_item(target: &str) -> bool {
    let path = target.trim_matches('`').split('#').next().unwrap_or("");
    let path = path.split_once('@').map_or(path, |(_, path)| path);
    let path = path.trim_end_matches(['(', ')', '!']);
    path.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && path.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '<' | '>' | ','))
        && !path.replace("::", "").contains(':')
}

/// The lines between the first and the last that differ, as a diff would show them.
fn difference(found: &str, expected: &str) -> Option<String> {
    if found == expected {
        return None;
    }
    let old: Vec<_> = found.split('\n').collect();
    let new: Vec<_> = expected.split('\n').collect();
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut out = format!("@@ line {} @@", same + 1);
    for (sign, lines) in [('-', &old[same..old.len() - tail]), ('+', &new[same..new.len() - tail])] {
        for line in lines {
            out.push_str(&format!("\n{sign}{line}"));
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page rendered, without the comment and with its own title.
    fn body(page: &str) -> String {
        let page = render(&format!("# T\n{page}"), SOURCE);
        page.split_once("# T\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    #[test]
    fn only_inner_docs_are_taken() {
        let source = "//! One.\n//!\n//!   - two\n#![warn(x)]\n//! Three.\n\n/// no\npub fn f() {} //! no\n";
        assert_eq!(inner_docs(source), "One.\n\n  - two\nThree.\n");
    }

    #[test]
    fn the_page_says_where_it_comes_from_and_gets_a_title() {
        let page = render("Text.\n\n# Section\n\n```\n# hidden\n## [shown]\n```\n", SOURCE);
        let comment = "<!-- Written by cargo xtask readme from crates/arcp/src/lib.rs: change it there. -->";
        assert_eq!(page, format!("{comment}\n\n# arcp\n\nText.\n\n## Section\n\n```rust\n# [shown]\n```\n"));
    }

    #[test]
    fn a_page_with_a_title_keeps_its_headings() {
        assert!(render("# Mine\n\n## Section\n", SOURCE).ends_with("-->\n\n# Mine\n\n## Section\n"));
    }

    #[test]
    fn hidden_lines_are_dropped_from_rust_only() {
        let page = "```rust,no_run\n# use a;\n#\n#[b]\nc();\n    # d\n```\n```toml\n# kept\n```\n";
        assert_eq!(body(page), "```rust\n#[b]\nc();\n```\n```toml\n# kept\n```\n");
    }

    #[test]
    fn every_fence_that_rustdoc_compiles_becomes_plain_rust() {
        for info in ["", "rust", "no_run", "rust,should_panic", "compile_fail,E0277"] {
            assert_eq!(body(&format!("```{info}\na\n```\n")), "```rust\na\n```\n", "{info}");
        }
        assert_eq!(body("````text\na\n````\n"), "````text\na\n````\n");
        assert_eq!(body("  ```no_run\n  a\n  ```\n"), "  ```rust\n  a\n  ```\n");
    }

    #[test]
    fn links_to_items_become_their_text() {
        assert_eq!(body("[`Client`] and [Job]\n"), "`Client` and Job\n");
        assert_eq!(body("[the\nclient](crate::Client#method.submit)\n"), "the\nclient\n");
        assert_eq!(body("[a job][`Job`] or [`run`](fn@run) or [`json!`]\n"), "a job or `run` or `json!`\n");
        assert_eq!(body("[a][b]\n\n[b]: crate::B\n[`C`]: crate::c::C\nd\n"), "a\n\nd\n");
    }

    #[test]
    fn links_to_pages_stay() {
        for page in [
            "[a](https://example.com/a_b)\n",
            "[a](docs/guide.md) and [b](#section)\n",
            "[a][b] and [b]\n\n[b]: https://example.com\n",
            "![picture](picture.svg)\n",
            "- [ ] open\n- [x] done\n",
            "`[Client]` and [1]\n",
        ] {
            assert_eq!(body(page), page);
        }
    }

    #[test]
    fn code_is_no_prose() {
        assert_eq!(body("```\nlet a = [b];\n```\n"), "```rust\nlet a = [b];\n```\n");
    }

    #[test]
    fn a_difference_shows_both_sides() {
        assert_eq!(difference("a\nb\nc\n", "a\nb\nc\n"), None);
        assert_eq!(difference("a\nb\nc\n", "a\nd\ne\nc\n").as_deref(), Some("@@ line 2 @@\n-b\n+d\n+e"));
        assert_eq!(difference("a\n", "a").as_deref(), Some("@@ line 2 @@\n-"));
    }
}
