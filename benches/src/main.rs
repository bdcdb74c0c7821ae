//! `arcp-bench`: the programs of `cargo xtask bench`. `run` conducts: it starts servers and loads, each a process of its own, in turns,
//! and compares what the loads have measured. `floor` is a server that does the least that the same work can cost, `load` a
//! client that does the work and prints what it has measured. This file only dispatches.
#![allow(clippy::print_stdout, reason = "a command-line tool answers on stdout")]

mod conduct;
mod floor;
mod frame;
mod load;
mod machine;
mod paths;
mod peer;
mod plot;
mod process;
mod report;
mod sample;
mod sink;
mod socket;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "arcp-bench", about = "How fast, beside how fast it could be", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure workloads, and say how they compare
    Run(conduct::Options),
    /// Be the least server that a workload needs
    Floor(floor::Options),
    /// Do the work of a workload and print what was measured
    Load(load::Options),
    /// Go a hot path of the machines again and again, for who counts its instructions
    Path(paths::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(options) => conduct::run(&options),
        Command::Floor(options) => floor::run(options),
        Command::Load(options) => load::run(options),
        Command::Path(options) => paths::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
