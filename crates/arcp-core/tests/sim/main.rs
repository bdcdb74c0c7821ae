//! The simulation: client and runtime machines over links that delay, are cut, and die without a word, in random lives that
//! are the same whenever their seed is.
//!
//! `ARCP_SIM_SEED=17` lives one life; `ARCP_SIM_SEEDS=100000`, or `cargo xtask sim --seeds 100000`, so many.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "the played host is shared with the other tests, which use more of it")]

#[path = "../core/host.rs"]
mod host;
#[path = "../core/peer.rs"]
mod peer;
mod world;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use crate::world::World;

/// Lives that every run of the tests goes through.
const SEEDS: u64 = 2_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}: not a number")))
}

#[test]
fn random_lives() {
    let seeds = match number("ARCP_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ARCP_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let many = seeds.clone().count() as u64 >= SEEDS;
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in seeds {
        let life = AssertUnwindSafe(|| World::live(seed));
        let Ok(history) = std::panic::catch_unwind(life) else {
            panic!("seed {seed} failed; ARCP_SIM_SEED={seed} lives it again");
        };
        for case in CASES {
            *met.entry(case).or_default() += usize::from(history.contains(case));
        }
    }
    println!("{met:#?}");
    assert!(!many || CASES.iter().all(|case| met[case] >= 20), "a case is hardly ever met: {met:#?}");
}

/// What must have come to pass in many lives, or they prove nothing of it.
const CASES: [&str; 11] = [
    "a job delegates",
    "ends",
    "lapses by the clock",
    "lapses RESUME_WINDOW_EXPIRED",
    "misses",
    "waits",
    "is told of its lag",
    "the runtime dies",
    "a job is run again",
    "the store is full",
    "is refused",
];

#[test]
fn a_life_is_the_same_whenever_its_seed_is() {
    for seed in 0..20 {
        assert_eq!(World::live(seed), World::live(seed), "seed {seed}");
    }
}
