//! `cargo xtask test`: every check that a change has to pass, one after the other. What a check does lives elsewhere; here are which
//! they are and their order.

use anyhow::Result;

use crate::run::Cargo;
use crate::steps::{Manner, Step, follow, on_ci};
use crate::{layers, readme, tidy};

/// How much to run.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Leave out clippy and the documentation
    #[arg(long)]
    quick: bool,
    /// Run the steps that follow a failed one, too
    #[arg(long)]
    keep_going: bool,
}

/// Runs the steps. The error names those that failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let manner = Manner { keep_going: options.keep_going, strict: on_ci() };
    follow(&steps(options.quick, on_ci(), nextest()), manner)
}

/// All of them, for this machine.
pub(crate) fn all_steps() -> Vec<Step> {
    steps(false, on_ci(), nextest())
}

/// Whether the tests can run under cargo-nextest.
fn nextest() -> bool {
    let there = Cargo::new("nextest --version").succeeds();
    if !there {
        println!("cargo-nextest is not installed: the tests run under cargo test");
    }
    there
}

/// The plan: cheapest first.
fn steps(quick: bool, ci: bool, nextest: bool) -> Vec<Step> {
    // Incremental state is of no use to a build that happens once, and makes it larger and slower.
    let cargo = |line| {
        let command = Cargo::new(line);
        if ci { command.env("CARGO_INCREMENTAL", "0") } else { command }
    };
    let mut steps = vec![
        Step::cargo("fmt", cargo("fmt --all --check")),
        Step::own("tidy", "cargo xtask tidy", tidy::run),
        Step::own("layers", "cargo xtask layers", layers::run),
        Step::own("readme", "cargo xtask readme --check", readme::check),
    ];
    if !quick {
        let clippy = cargo("clippy --workspace --all-targets --locked -- -D warnings");
        let doc = cargo("doc --workspace --no-deps --locked").env("RUSTDOCFLAGS", "-D warnings");
        steps.push(Step::cargo("clippy", clippy));
        steps.push(Step::cargo("doc", doc));
    }
    // Not `--all-targets`: that would run the benches.
    let tests = if nextest {
        "nextest run --workspace --locked"
    } else {
        "test --workspace --lib --bins --tests --examples --locked"
    };
    steps.push(Step::cargo("tests", cargo(tests)));
    steps.push(Step::cargo("doctests", cargo("test --doc --workspace --locked")));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|step| step.name).collect()
    }

    #[test]
    fn quick_leaves_out_clippy_and_doc() {
        let all = ["fmt", "tidy", "layers", "readme", "clippy", "doc", "tests", "doctests"];
        assert_eq!(names(&steps(false, false, true)), all);
        let quick = ["fmt", "tidy", "layers", "readme", "tests", "doctests"];
        assert_eq!(names(&steps(true, false, true)), quick);
    }

    #[test]
    fn on_ci_every_cargo_step_is_built_without_incremental_state() {
        for step in steps(false, true, false) {
            let own = step.repeat.starts_with("cargo xtask");
            assert!(own || step.repeat.starts_with("CARGO_INCREMENTAL=0 "), "{}", step.repeat);
        }
    }

    #[test]
    fn without_nextest_the_tests_still_run() {
        let steps = steps(true, false, false);
        assert!(steps.iter().any(|step| step.repeat.starts_with("cargo test --workspace --lib")));
    }
}
