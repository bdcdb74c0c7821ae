//! The project's own commands, run as `cargo xtask <command>`. This file only dispatches: each command is
//! a module of its own.
#![allow(clippy::print_stdout, reason = "a command-line tool answers on stdout")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod autobahn;
mod bench;
mod conformance;
mod crash;
mod fuzz;
mod instructions;
mod layers;
mod markdown;
mod picture;
mod readme;
mod run;
mod sim;
mod soak;
mod test;
mod tidy;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The project's own commands", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every check of the project, in the order in which a failure is cheapest to find
    Test(test::Options),
    /// The rules that neither the compiler nor clippy knows
    Tidy,
    /// Which crate may depend on which
    Layers,
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
    /// Write docs/top.svg, a picture of `arcp top`, from jobs that really ran
    Picture(picture::Options),
    /// Write README.md from the front page of crates/arcp/src/lib.rs
    Readme(readme::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Tidy => tidy::run(),
        Command::Layers => layers::run(),
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
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
