//! Lives of real clients with a real runtime that dies again and again: `arcp serve` is killed in the middle of everything and
//! started again on its store, and all that was told to anybody is held against what is told later.
//!
//! `ARCP_CRASH_ROUNDS=1000`, or `cargo xtask crash --rounds 1000`, kills it so many times; `ARCP_CRASH_SEED` says with which
//! seed to begin. A seed decides what clients do and when the runtime dies, and not how the two meet in time: a life that has
//! failed may have to be lived more than once to fail again.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod audit;
mod follow;
mod life;
mod load;
mod plan;
mod random;
mod secrets;
mod server;
mod tap;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::time::Instant;

/// Rounds that every run of the tests goes through.
const ROUNDS: usize = 20;
/// Rounds in which everything should come to pass.
const MANY: usize = 200;
/// Rounds of one life: a store grows old, and a life that fails can still be read.
const LIFE: usize = 20;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}: not a number")))
}

#[test]
fn nothing_that_was_told_is_lost_when_the_runtime_dies() {
    let rounds = number("ARCP_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds as usize);
    let first = number("ARCP_CRASH_SEED").unwrap_or(0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let begun = Instant::now();
    let mut met: BTreeMap<&str, u64> = BTreeMap::new();
    for (index, start) in (0..rounds).step_by(LIFE).enumerate() {
        let seed = first + index as u64;
        let directory = tempfile::Builder::new().prefix(&format!("arcp-crash-{seed}-")).tempdir().unwrap();
        let life = life::live(seed, LIFE.min(rounds - start), directory.path().to_owned());
        match runtime.block_on(life) {
            Ok(life) => life.into_iter().for_each(|(what, count)| *met.entry(what).or_default() += count),
            Err(problem) => {
                let kept = directory.keep();
                panic!(
                    "{problem}\nwhat is left is in {}\ncargo xtask crash --seed {seed} --rounds {LIFE} lives it again",
                    kept.display()
                );
            }
        }
        if rounds > LIFE {
            println!("seed {seed}: {} rounds in {:.1?}", rounds.min(start + LIFE), begun.elapsed());
        }
    }
    println!("{rounds} rounds in {:.1?}: {met:#?}", begun.elapsed());
    let cases = if rounds >= MANY { [OFTEN, SELDOM].concat() } else { OFTEN.to_vec() };
    let never: Vec<_> = cases.into_iter().filter(|case| !met.contains_key(case)).collect();
    assert!(rounds < ROUNDS || never.is_empty(), "never met, so nothing is proven of it: {never:?}");
}

/// What must have come to pass in as many rounds as every run has, or they prove nothing of it.
const OFTEN: &[&str] = &[
    "acknowledgements",
    "delegations told",
    "jobs compared",
    "jobs compared that ended with the runtime",
    "keys used again",
    "kills",
    "messages sent again",
    "resumes",
    "rotations told",
];

/// The same for many rounds.
const SELDOM: &[&str] = &[
    "cancellations compared that were acknowledged before the end",
    "cancelled jobs compared",
    "sessions that died in their handshake",
    "submits refused by a runtime that stops",
    "terminations",
];
