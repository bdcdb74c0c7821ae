//! `cargo xtask soak`: thousands of honest clients and all kinds of hostile ones against `arcp serve`, optimised, judged by what is
//! lost, how fast the honest are served, and whether memory is flat.

use anyhow::Result;

use crate::run::Cargo;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long the hostile run is; the quiet one before it takes half as long, and no more than a minute. An allocator takes two
    /// minutes to find its level
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    secs: u64,
    /// Sessions of honest clients, open all the time; the hostile are as many as befits them
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(20..=15_000))]
    sessions: u64,
    /// Jobs that the honest submit in a second; one for fifty sessions, and at least ten, if nothing is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Where the runtime keeps what it tells
    #[arg(long, default_value = "sqlite", value_parser = ["sqlite", "memory"])]
    store: String,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut cargo = Cargo::new(
        "test --release --locked --package arcp-cli --test soak -- --nocapture --exact \
         honest_clients_lose_nothing_whatever_others_do",
    )
    .env("ARCP_SOAK_SECS", options.secs.to_string())
    .env("ARCP_SOAK_SESSIONS", options.sessions.to_string())
    .env("ARCP_SOAK_STORE", options.store.clone());
    if let Some(rate) = options.rate {
        cargo = cargo.env("ARCP_SOAK_RATE", rate.to_string());
    }
    cargo.run()
}
