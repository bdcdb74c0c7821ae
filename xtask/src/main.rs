//! The project's own commands, run as `cargo xtask <command>`. This file only dispatches: each command is
//! a module of its own.
#![allow(clippy::print_stdout, reason = "a command-line tool answers on stdout")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod api;
mod autobahn;
mod bench;
mod ci;
mod conformance;
mod crash;
mod deny;
mod features;
mod fuzz;
mod instructions;
mod layers;
mod markdown;
mod picture;
mod readme;
mod run;
mod sim;
mod soak;
mod steps;
mod test;
mod tidy;
mod tools;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The project's own commands", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every check that a change has to pass, in the order in which a failure is cheapest to find
    Test(test::Options),
    /// Everything that passes or fails: `test`, and all that takes longer or needs more
    Ci(ci::Options),
    /// The rules that neither the compiler nor clippy knows
    Tidy,
    /// Which crate may depend on which
    Layers,
    /// Each feature of each crate compiles without the others
    Features(features::Options),
    /// The public items of each crate, beside what `docs/api` says
    Api(api::Options),
    /// Licences, sources and duplicates of the dependencies, beside what `deny.toml` allows
    Deny,
    /// Random lives of clients and a runtime on a simulated clock, as many as you like
    Sim(sim::Options),
    /// A real runtime that is killed in the middle of everything, as often as you like
    Crash(crash::Options),
    /// The conformance cases, against this project's own runtime and client, or with arguments against any
    Conformance(conformance::Options),
    /// A real runtime with thousands of honest clients, and everything beside them that a peer without manners may do
    Soak(soak::Options),
    /// How fast it is, beside the least that the same work can cost on this machine
    Bench(bench::Options),
    /// What the hot paths cost in instructions, beside what they did
    Instructions(instructions::Options),
    /// The fuzz targets, each over its corpus, as long as you like
    Fuzz(fuzz::Options),
    /// The Autobahn test suite against both ends of a WebSocket link
    Autobahn(autobahn::Options),
    /// Write docs/top.svg and docs/quickstart.svg, pictures of `arcp top` and of the quickstart, from what really ran
    Picture(picture::Options),
    /// Write README.md from the front page of crates/arcp/src/lib.rs
    Readme(readme::Options),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what `cargo xtask` with these words does.
fn perform<'a>(words: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
    dispatch(Cli::try_parse_from(["xtask"].into_iter().chain(words))?.command)
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Test(options) => test::run(&options),
        Command::Ci(options) => ci::run(&options),
        Command::Tidy => tidy::run(),
        Command::Layers => layers::run(),
        Command::Features(options) => features::run(&options),
        Command::Api(options) => api::run(&options),
        Command::Deny => deny::run(),
        Command::Sim(options) => sim::run(&options),
        Command::Crash(options) => crash::run(&options),
        Command::Conformance(options) => conformance::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Instructions(options) => instructions::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Autobahn(options) => autobahn::run(&options),
        Command::Picture(options) => picture::run(&options),
        Command::Readme(options) => readme::run(&options),
    }
}
