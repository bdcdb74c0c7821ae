//! `cargo xtask ci`: what `cargo xtask test` does, and every other command that passes or fails, in the order in which a failure is
//! cheapest to find. What each does is in its own module; `bench` and `picture` only tell, and have no place here.

use anyhow::Result;

use crate::steps::{Manner, Step, follow, on_ci};
use crate::{perform, test};

const LONG: &str = "Everything that passes or fails, in the order in which a failure is cheapest to find

Some steps need what a machine may not have: a nightly toolchain, cargo-fuzz, valgrind, the Autobahn test suite, and network the \
first time. Such a step says so and is skipped; where the variable CI is set, it fails.";

/// How much to run.
#[derive(clap::Args, Debug)]
#[command(long_about = LONG)]
pub(crate) struct Options {
    /// Run the steps that follow a failed one, too
    #[arg(long)]
    keep_going: bool,
}

/// Commands of ours, each with the step that it follows.
const OWN: &[(&str, &str, &str)] = &[
    ("readme", "deny", "deny"),
    ("clippy", "features", "features"),
    ("doc", "api", "api"),
    ("doctests", "conformance", "conformance --check"),
    ("conformance", "sim", "sim"),
    ("sim", "crash", "crash"),
    ("crash", "instructions", "instructions"),
    ("instructions", "fuzz", "fuzz --secs 60"),
    ("fuzz", "autobahn", "autobahn"),
    ("autobahn", "soak", "soak"),
];

/// Runs the steps. The error names those that failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    follow(&steps(test::all_steps()), Manner { keep_going: options.keep_going, strict: on_ci() })
}

fn steps(tests: Vec<Step>) -> Vec<Step> {
    let mut steps = Vec::new();
    for test in tests {
        let mut last = test.name;
        steps.push(test);
        while let Some((_, name, line)) = OWN.iter().find(|(after, ..)| *after == last) {
            steps.push(Step::own(name, &format!("cargo xtask {line}"), || perform(line.split(' '))));
            last = name;
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn the_plan_has_every_step_once() {
        let plan: Vec<_> = steps(test::all_steps()).iter().map(|step| step.name).collect();
        let due = "fmt tidy layers readme deny clippy features doc api tests doctests conformance sim crash instructions fuzz \
                   autobahn soak";
        assert_eq!(plan.join(" "), due);
    }

    #[test]
    fn every_line_is_a_command() {
        for (_, _, line) in OWN {
            assert!(
                crate::Cli::try_parse_from(["xtask"].into_iter().chain(line.split(' '))).is_ok(),
                "{line}"
            );
        }
    }
}
