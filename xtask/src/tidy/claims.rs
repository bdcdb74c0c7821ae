//! Pages that name tests for what they claim: each name must be a test that there is.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;
use crate::markdown::{self, Line};

/// The last column of a table, if its cells name tests.
const COLUMN: &str = "test";

/// A row of a table whose last column is headed `test` names at least one test there, and only such as exist.
pub(super) fn claimed_test(tree: &Tree) -> Vec<Finding> {
    let tests = tests(tree);
    let mut out = Vec::new();
    for file in tree.with_extension("md") {
        let mut claims = false;
        for (index, (line, kind)) in markdown::lines(&file.text).into_iter().enumerate() {
            let cells = (kind == Line::Prose).then(|| cells(line)).flatten();
            let Some(last) = cells.as_ref().and_then(|cells| cells.last()) else {
                claims = false;
                continue;
            };
            if *last == COLUMN {
                claims = true;
            } else if claims && (last.is_empty() || last.contains(|letter| !matches!(letter, '-' | ':'))) {
                let names: Vec<_> = last.split('`').skip(1).step_by(2).collect();
                if names.is_empty() {
                    out.push(Finding::at(file, index + 1, "the row names no test"));
                }
                let unknown = names.into_iter().filter(|name| !tests.contains(name));
                out.extend(
                    unknown.map(|name| Finding::at(file, index + 1, format!("there is no test {name}"))),
                );
            }
        }
    }
    out
}

/// The cells of a row of a table, between its first and its last bar.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// The name of every test: of the function that follows an attribute that makes it one.
fn tests(tree: &Tree) -> BTreeSet<&str> {
    let mut out = BTreeSet::new();
    for (_, source) in tree.rust() {
        let mut attributed = false;
        for line in source.code.lines().map(str::trim) {
            let attribute =
                line.strip_prefix("#[").map(|line| line.split([']', '(', ' ']).next().unwrap_or(""));
            if attribute.is_some_and(|name| name == "test" || name.ends_with("::test")) {
                attributed = true;
            } else if let Some(name) = attributed.then(|| function(line)).flatten() {
                attributed = false;
                out.insert(name);
            }
        }
    }
    out
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let words = before.split_whitespace();
    let begins = words.into_iter().all(|word| matches!(word, "pub" | "pub(crate)" | "async"));
    begins.then(|| rest.split(['(', '<']).next()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUST: &str = "//! A.\n#[test]\nfn one_holds() {}\n#[tokio::test(start_paused = true)]\n#[cfg(unix)]\nasync fn \
                        another_holds() {}\nfn none_holds() {}\n// #[test]\n// fn gone_holds() {}\n";

    fn found(page: &str) -> Vec<(usize, String)> {
        let tree = Tree::of(&[("docs/page.md", page), ("crates/a/tests/a.rs", RUST)]);
        claimed_test(&tree).into_iter().map(|finding| (finding.line, finding.message)).collect()
    }

    #[test]
    fn rows_name_tests_that_exist() {
        let page =
            "| claim | test |\n| --- | --- |\n| a | `one_holds` |\n| b | `one_holds`, `another_holds` |\n";
        assert_eq!(found(page), []);
    }

    #[test]
    fn a_row_with_a_name_that_is_no_test_or_without_one_is_found() {
        let page = "| claim | test |\n| --- | :-- |\n| a | `none_holds` |\n| b | `gone_holds` |\n| c | |\n| d | by hand |\n";
        let no = |name: &str| format!("there is no test {name}");
        let none = || "the row names no test".to_owned();
        assert_eq!(found(page), [(3, no("none_holds")), (4, no("gone_holds")), (5, none()), (6, none())]);
    }

    #[test]
    fn other_tables_claim_nothing() {
        let page =
            "| test | time |\n| --- | --- |\n| `a` | `b` |\n\n| claim | test |\n| --- | --- |\n\n| x | y |\n";
        assert_eq!(found(page), []);
        assert_eq!(found("```\n| claim | test |\n| a | b |\n```\n"), []);
    }
}
