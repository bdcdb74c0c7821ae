//! `cargo xtask test`: every check of the project, one after the other. What a check does lives elsewhere;
//! here are their order, their times, and what is said about the one that failed.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::run::Cargo;
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

/// One step: a name, what to type to run it alone, and what it does.
struct Step {
    name: &'static str,
    repeat: String,
    action: Box<dyn Fn() -> Result<()>>,
}

impl Step {
    fn own(name: &'static str, repeat: &str, action: impl Fn() -> Result<()> + 'static) -> Self {
        Self { name, repeat: repeat.to_owned(), action: Box::new(action) }
    }

    fn cargo(name: &'static str, command: Cargo) -> Self {
        Self { name, repeat: command.to_string(), action: Box::new(move || command.run()) }
    }
}

/// Runs the steps. The error names those that failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let ci = env::var("CI").is_ok_and(|value| value == "true");
    let nextest = Cargo::new("nextest --version").succeeds();
    if !nextest {
        println!("cargo-nextest is not installed: the tests run under cargo test");
    }
    follow(&steps(options.quick, ci, nextest), options.keep_going)
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

/// Runs each step, says how long it took, and sums up.
fn follow(steps: &[Step], keep_going: bool) -> Result<()> {
    let start = Instant::now();
    let mut failed = Vec::new();
    let mut ran = 0;
    for step in steps {
        println!("\n==> {}: {}", step.name, step.repeat);
        let begun = Instant::now();
        let outcome = (step.action)();
        let took = seconds(begun.elapsed());
        ran += 1;
        match outcome {
            Ok(()) => println!("    {} passed in {took}", step.name),
            Err(error) => {
                eprintln!("{error:#}");
                println!("    {} FAILED in {took}", step.name);
                failed.push(step);
                if !keep_going {
                    break;
                }
            }
        }
    }
    println!();
    for step in &failed {
        println!("step {} failed; repeat it with: {}", step.name, step.repeat);
    }
    let took = seconds(start.elapsed());
    let Some(first) = failed.first() else {
        println!("all {ran} steps passed in {took}");
        return Ok(());
    };
    match steps.len() - ran {
        0 => bail!("{} of {ran} steps failed in {took}", failed.len()),
        left => bail!("stopped at {} after {took}: {left} of {} steps did not run", first.name, steps.len()),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

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

    /// Three steps of which the second fails; gives what ran and the error.
    fn second_of_three_fails(keep_going: bool) -> (Vec<u8>, String) {
        let ran = Rc::new(RefCell::new(Vec::new()));
        let step = |number: u8| {
            let ran = Rc::clone(&ran);
            Step::own("step", "cargo xtask step", move || {
                ran.borrow_mut().push(number);
                if number == 2 { bail!("broken") } else { Ok(()) }
            })
        };
        let error = follow(&[step(1), step(2), step(3)], keep_going).unwrap_err();
        (ran.take(), error.to_string())
    }

    #[test]
    fn the_first_failure_stops_the_run() {
        let (ran, error) = second_of_three_fails(false);
        assert_eq!(ran, [1, 2]);
        assert!(error.starts_with("stopped at step"), "{error}");
        assert!(error.ends_with("1 of 3 steps did not run"), "{error}");
    }

    #[test]
    fn keep_going_runs_the_rest_and_still_fails() {
        let (ran, error) = second_of_three_fails(true);
        assert_eq!(ran, [1, 2, 3]);
        assert!(error.starts_with("1 of 3 steps failed"), "{error}");
    }
}
