//! `cargo xtask crash`: a runtime that is killed in the middle of everything, many times, optimised but with its assertions on.

use anyhow::Result;

use crate::run::Cargo;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many times the runtime dies; each takes a fraction of a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// With which seed to begin; each life of 20 rounds has the next
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    Cargo::new("test --profile sim --locked --package arcp-cli --test crash -- --nocapture")
        .env("ARCP_CRASH_SEED", options.seed.to_string())
        .env("ARCP_CRASH_ROUNDS", options.rounds.to_string())
        .run()
}
