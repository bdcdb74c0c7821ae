//! `cargo xtask sim`: the simulation of the protocol over many seeds, optimised but with its assertions on.

use anyhow::Result;

use crate::run::Cargo;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many random lives; each takes a few milliseconds
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// One life only, such as one that has failed
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let sim =
        Cargo::new("test --profile sim --locked --package arcp-core --test sim -- --nocapture random_lives");
    match options.seed {
        Some(seed) => sim.env("ARCP_SIM_SEED", seed.to_string()),
        None => sim.env("ARCP_SIM_SEEDS", options.seeds.to_string()),
    }
    .run()
}
