//! `arcp`: host agents and drive them from a terminal.

mod cancel;
mod conformance;
mod connect;
mod credentials;
mod exit;
mod follow;
mod gateway;
mod jobs;
mod jwt;
mod lease;
mod left;
mod replay;
mod serve;
mod show;
mod signals;
mod store;
mod submit;
mod tail;
mod telemetry;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::exit::Failure;

/// Host AI agents and drive them, over the Agent Runtime Control Protocol (ARCP) v1.1.
#[derive(Parser)]
#[command(name = "arcp", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Host agents over WebSocket.
    Serve(Box<serve::Serve>),
    /// Submit a job, follow it, and print its result.
    Submit(submit::Submit),
    /// Watch a job that runs, or has run.
    Tail(tail::Tail),
    /// List jobs, newest first.
    Jobs(jobs::Jobs),
    /// Cancel a job that was submitted with --detach.
    Cancel(cancel::Cancel),
    /// Print what a store has, as JSON lines.
    Replay(replay::Replay),
    /// Look at a lease without a runtime.
    Lease(lease::LeaseCommand),
    /// Test a runtime, or a client, against the protocol.
    Conformance(conformance::Conformance),
    /// List provisioned credentials that are not known to be revoked.
    Credentials(credentials::Credentials),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = match &arguments.command {
        Command::Submit(submit) => submit.json,
        Command::Tail(tail) => tail.json,
        Command::Jobs(jobs) => jobs.json,
        Command::Credentials(credentials) => credentials.json,
        Command::Lease(lease) => lease.json(),
        Command::Serve(_) | Command::Cancel(_) | Command::Replay(_) | Command::Conformance(_) => false,
    };
    if let Err(failure) = log_to_stderr(matches!(arguments.command, Command::Serve(_))) {
        return failure.report(json);
    }
    let run = async {
        match arguments.command {
            Command::Serve(serve) => serve::run(*serve).await,
            Command::Submit(submit) => submit::run(submit).await,
            Command::Tail(tail) => tail::run(tail).await,
            Command::Jobs(jobs) => jobs::run(jobs).await,
            Command::Cancel(cancel) => cancel::run(cancel).await,
            Command::Credentials(credentials) => credentials::run(&credentials),
            Command::Replay(replay) => replay::run(&replay),
            Command::Lease(command) => lease::run(command),
            Command::Conformance(conformance) => conformance::run(conformance).await,
        }
    };
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(run);
            runtime.shutdown_background(); // whoever still waits for a line on stdin waits for nothing
            outcome
        }
        Err(error) => {
            Err(Failure::new(exit::JOB, anyhow::Error::new(error).context("threads cannot be started")))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

/// Logs go to stderr only: stdout is for results. `RUST_LOG` says how much.
fn log_to_stderr(serving: bool) -> Result<(), Failure> {
    let default = if serving { "info" } else { "error" };
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let filter = EnvFilter::try_new(if wanted.is_empty() { default } else { &wanted });
    let filter = filter.map_err(|error| Failure::usage(format!("RUST_LOG: {error}")))?;
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).init();
    Ok(())
}
