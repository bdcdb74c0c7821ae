//! `cargo xtask tidy`: the rules that neither the compiler nor clippy knows. Each is a function from the
//! tree to its findings, in the module of the files that it reads; here they are listed and run.

use std::fmt;

use anyhow::{Result, bail};

use crate::run;

mod claims;
mod manifest;
mod rust;
mod source;
mod text;
mod tree;

use tree::{File, Tree};

/// A rule: its name, and what it finds.
type Rule = (&'static str, fn(&Tree) -> Vec<Finding>);

const RULES: &[Rule] = &[
    ("opening-doc", rust::opening_doc),
    ("mod-rs", rust::mod_rs),
    ("file-length", rust::file_length),
    ("unfinished", rust::unfinished),
    ("sleep", rust::sleep),
    ("ignored-test", rust::ignored_test),
    ("empty-assert", rust::empty_assert),
    ("fixed-port", rust::fixed_port),
    ("get-prefix", rust::get_prefix),
    ("type-name", rust::type_name),
    ("white-space", text::white_space),
    ("machine-path", text::machine_path),
    ("issue-number", text::issue_number),
    ("dead-link", text::dead_link),
    ("untested-example", text::untested_example),
    ("claimed-test", claims::claimed_test),
    ("manifest", manifest::package),
    ("dependency", manifest::dependency),
    ("unsafe", manifest::forbids_unsafe),
];

/// Where a rule is broken, and how.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn at(file: &File, line: usize, message: impl Into<String>) -> Self {
        Self { path: file.path.clone(), line, message: message.into() }
    }
}

/// A finding of the rule that has this name, as it is printed.
struct Broken(&'static str, Finding);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(rule, Finding { path, line, message }) = self;
        write!(f, "{path}:{line}: {rule}: {message}")
    }
}

/// Checks the tree and prints what breaks a rule.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::read(&run::root())?;
    let broken = check(&tree);
    for finding in &broken {
        println!("{finding}");
    }
    if broken.is_empty() {
        println!("{} rules hold in {} files", RULES.len(), tree.files().len());
        return Ok(());
    }
    bail!("tidy: {} findings", broken.len())
}

fn check(tree: &Tree) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (name, rule) in RULES {
        broken.extend(rule(tree).into_iter().map(|finding| Broken(name, finding)));
    }
    broken.sort_by(|Broken(_, a), Broken(_, b)| (&a.path, a.line).cmp(&(&b.path, b.line)));
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let tree = Tree::read(&run::root()).unwrap();
        let broken: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
    }

    #[test]
    fn a_finding_prints_where_it_is_and_which_rule_it_breaks() {
        let tree = Tree::of(&[("crates/a/src/lib.rs", "//! A.\n\ntodo!();\n")]);
        let broken: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(broken, ["crates/a/src/lib.rs:3: unfinished: todo! in shipped code"]);
    }

    #[test]
    fn rules_have_names_of_their_own() {
        for (index, (name, _)) in RULES.iter().enumerate() {
            assert!(RULES[..index].iter().all(|(other, _)| other != name), "{name}");
        }
    }
}
