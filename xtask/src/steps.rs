//! A list of steps, one after the other: their times, what is said about the one that failed, and what becomes of one that this
//! machine has no means to run. Which steps there are is decided by `test` and `ci`.

use std::env;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::run::Cargo;

/// The error of a step that cannot run here: a tool, a toolchain or the network is not there. The text says which, and how to have it.
#[derive(Debug)]
pub(crate) struct Lacking(pub(crate) String);

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Lacking {}

/// Fails with [`Lacking`] unless `there`.
pub(crate) fn need(there: bool, otherwise: &str) -> Result<()> {
    if there { Ok(()) } else { Err(Lacking(otherwise.to_owned()).into()) }
}

/// Whether the variable `CI` is set: there nothing may be lacking.
pub(crate) fn on_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// One step: a name, what to type to run it alone, and what it does.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) repeat: String,
    action: Box<dyn Fn() -> Result<()>>,
}

impl Step {
    pub(crate) fn own(name: &'static str, repeat: &str, action: impl Fn() -> Result<()> + 'static) -> Self {
        Self { name, repeat: repeat.to_owned(), action: Box::new(action) }
    }

    pub(crate) fn cargo(name: &'static str, command: Cargo) -> Self {
        Self { name, repeat: command.to_string(), action: Box::new(move || command.run()) }
    }
}

/// How to go through the steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Past a step that failed.
    pub(crate) keep_going: bool,
    /// A step that cannot run here has failed.
    pub(crate) strict: bool,
}

/// Runs each step, says how long it took, and sums up. The error names those that failed.
pub(crate) fn follow(steps: &[Step], manner: Manner) -> Result<()> {
    let start = Instant::now();
    let (mut failed, mut skipped, mut ran) = (Vec::new(), Vec::new(), 0);
    for step in steps {
        println!("\n==> {}: {}", step.name, step.repeat);
        let begun = Instant::now();
        let outcome = (step.action)();
        let took = seconds(begun.elapsed());
        ran += 1;
        match outcome {
            Ok(()) => println!("    {} passed in {took}", step.name),
            Err(error) if error.is::<Lacking>() && !manner.strict => {
                println!("    {} SKIPPED: {error:#}", step.name);
                skipped.push((step, error));
            }
            Err(error) => {
                eprintln!("{error:#}");
                println!("    {} FAILED in {took}", step.name);
                failed.push(step);
                if !manner.keep_going {
                    break;
                }
            }
        }
    }
    println!();
    for (step, why) in &skipped {
        println!("step {} did not run here: {why:#}", step.name);
    }
    for step in &failed {
        println!("step {} failed; repeat it with: {}", step.name, step.repeat);
    }
    let took = seconds(start.elapsed());
    let Some(first) = failed.first() else {
        match skipped.len() {
            0 => println!("all {ran} steps passed in {took}"),
            less => println!("{} of {ran} steps passed in {took}, and {less} could not run here", ran - less),
        }
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

    use anyhow::Context as _;

    use super::*;

    /// Three steps of which the second ends in `error`; gives what ran and the error.
    fn three(manner: Manner, error: fn() -> anyhow::Error) -> (Vec<u8>, Option<String>) {
        let ran = Rc::new(RefCell::new(Vec::new()));
        let step = |number: u8| {
            let ran = Rc::clone(&ran);
            Step::own("step", "cargo xtask step", move || {
                ran.borrow_mut().push(number);
                if number == 2 { Err(error()) } else { Ok(()) }
            })
        };
        let outcome = follow(&[step(1), step(2), step(3)], manner);
        (ran.take(), outcome.err().map(|error| error.to_string()))
    }

    fn broken() -> anyhow::Error {
        anyhow::anyhow!("broken")
    }

    fn lacking() -> anyhow::Error {
        need(false, "no valgrind here").context("cannot count").unwrap_err()
    }

    const STOP: Manner = Manner { keep_going: false, strict: false };

    #[test]
    fn the_first_failure_stops_the_run() {
        let (ran, error) = three(STOP, broken);
        assert_eq!(ran, [1, 2]);
        let error = error.unwrap();
        assert!(error.starts_with("stopped at step"), "{error}");
        assert!(error.ends_with("1 of 3 steps did not run"), "{error}");
    }

    #[test]
    fn keep_going_runs_the_rest_and_still_fails() {
        let (ran, error) = three(Manner { keep_going: true, ..STOP }, broken);
        assert_eq!(ran, [1, 2, 3]);
        let error = error.unwrap();
        assert!(error.starts_with("1 of 3 steps failed"), "{error}");
    }

    #[test]
    fn what_a_machine_lacks_is_a_failure_only_where_nothing_may_be_lacking() {
        assert_eq!(three(STOP, lacking), (vec![1, 2, 3], None));
        let (ran, error) = three(Manner { strict: true, ..STOP }, lacking);
        assert_eq!(ran, [1, 2]);
        assert!(error.unwrap().starts_with("stopped at step"));
    }
}
