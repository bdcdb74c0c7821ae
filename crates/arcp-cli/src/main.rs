//! `arcp`: host agents and drive them from a terminal. The command line is put together here; each command is a module.

mod agents;
mod cancel;
mod conformance;
mod connect;
mod credentials;
mod edge;
mod exit;
mod explain;
mod follow;
mod gateway;
mod jobs;
mod jwt;
mod lease;
mod left;
mod log;
mod manual;
mod plain;
mod replay;
mod secrets;
mod serve;
mod settings;
mod show;
mod signals;
mod store;
mod submit;
mod tail;
mod telemetry;
mod top;
mod trust;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::exit::Failure;

/// What agents say is made on one thread and forgotten on another, a million times a second.
#[cfg(all(unix, feature = "jemalloc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
use crate::log::{LogFormat, Voice};
use crate::settings::Settings;

/// Host AI agents and drive them, over the Agent Runtime Control Protocol (ARCP) v1.1.
#[derive(Parser)]
#[command(name = "arcp", version, arg_required_else_help = true, after_help = exit::CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Settings, in TOML [env: ARCP_CONFIG] [default: arcp.toml in the user's configuration directory].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    config: Option<PathBuf>,

    /// What is logged to stderr, such as debug or arcp=debug [env: ARCP_LOG, RUST_LOG].
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Everywhere")]
    log: Option<String>,

    /// How it is logged [env: ARCP_LOG_FORMAT] [default: pretty].
    #[arg(long, global = true, value_name = "FORMAT", value_enum, help_heading = "Everywhere")]
    log_format: Option<LogFormat>,
}

#[derive(Subcommand)]
enum Command {
    /// Host agents over WebSocket, or over this program's own pipes.
    ///
    /// The agents that it has are fixtures (--fixtures), for trying things out. Agents of your own are hosted by a program of your
    /// own, with the crate arcp.
    ///
    /// Each option can be set by a variable, such as ARCP_SERVE_LISTEN for --listen; one that is repeatable has one value a line.
    /// Each but --token and --dev-token can be set in the table [serve] of arcp.toml, such as listen = "127.0.0.1:7777"; paths are
    /// relative to that file.
    Serve(Box<serve::Serve>),
    /// Submit a job, follow it, and print its result.
    ///
    /// The job is part of the trace that TRACEPARENT and TRACESTATE name, if they do, as W3C Trace Context has them.
    Submit(submit::Submit),
    /// Watch a job that runs, or has run.
    Tail(tail::Tail),
    /// List jobs, newest first.
    Jobs(jobs::Jobs),
    /// Watch all jobs on the whole screen, live.
    Top(top::Top),
    /// Cancel a job that was submitted with --detach.
    Cancel(cancel::Cancel),
    /// List the agents of a runtime, and what its welcome says.
    Agents(agents::Agents),
    /// Print what a store has, as JSON lines.
    Replay(replay::Replay),
    /// Look at a lease without a runtime.
    Lease(lease::LeaseCommand),
    /// Test a runtime, or a client, against the protocol.
    Conformance(conformance::Conformance),
    /// List provisioned credentials that are not known to be revoked.
    Credentials(credentials::Credentials),
    /// Print what makes a shell complete this program's command lines.
    #[command(after_help = manual::COMPLETIONS)]
    Completions(manual::Completions),
    /// Write man pages, one for each command.
    #[command(after_help = manual::PAGES)]
    Man(manual::Man),
}

impl Command {
    fn json(&self) -> bool {
        match self {
            Self::Submit(submit) => submit.json,
            Self::Tail(tail) => tail.json,
            Self::Jobs(jobs) => jobs.json,
            Self::Agents(agents) => agents.json,
            Self::Credentials(credentials) => credentials.json,
            Self::Lease(lease) => lease.json(),
            _ => false,
        }
    }

    fn voice(&self) -> Voice {
        match self {
            Self::Serve(_) => Voice::Runtime,
            Self::Top(_) => Voice::Screen,
            _ => Voice::Command,
        }
    }

    /// Whether it is about what the environment and the file say.
    fn reads_settings(&self) -> bool {
        !matches!(self, Self::Completions(_) | Self::Man(_))
    }

    /// Takes from the environment and the file which runtime it is about, and as whom. The token of a file is for the runtime
    /// that it names, and not for a program that is started.
    fn settle(&mut self, settings: &Settings) -> Result<(), Failure> {
        match self {
            Self::Submit(submit) if submit.stdio => submit.runtime.endpoint.settle_without_file(),
            Self::Submit(submit) => submit.runtime.endpoint.settle(settings),
            Self::Tail(tail) => tail.runtime.endpoint.settle(settings),
            Self::Jobs(jobs) => jobs.runtime.endpoint.settle(settings),
            Self::Top(top) => top.runtime.endpoint.settle(settings),
            Self::Cancel(cancel) => cancel.runtime.endpoint.settle(settings),
            Self::Agents(agents) => agents.runtime.endpoint.settle(settings),
            Self::Conformance(conformance) if conformance.stdio => conformance.endpoint.settle_without_file(),
            Self::Conformance(conformance) if conformance.connects() => conformance.endpoint.settle(settings),
            _ => Ok(()),
        }
    }
}

fn main() -> ExitCode {
    let arguments = std::env::args_os().collect();
    let (Arguments { mut command, log, log_format, .. }, settings) = match read(arguments) {
        Ok(read) => read,
        Err(failure) => return failure.report(false),
    };
    let (json, voice) = (command.json(), command.voice());
    let begun = log::begin(voice, log_format, log.as_deref(), &settings);
    if begun.is_ok() && command.reads_settings() {
        let unknown = settings::environment::unknown(&mut Arguments::command(), &settings);
        unknown.iter().for_each(|warning| voice.warn(warning));
    }
    if let Err(failure) = begun.and_then(|()| command.settle(&settings)) {
        return failure.report(json);
    }
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    if let Command::Serve(serve) = &command {
        threads.worker_threads(serve.threads());
    }
    let run = async {
        match command {
            Command::Serve(serve) => serve::run(*serve).await,
            Command::Submit(submit) => submit::run(submit).await,
            Command::Tail(tail) => tail::run(tail).await,
            Command::Jobs(jobs) => jobs::run(jobs).await,
            Command::Top(top) => top::run(top).await,
            Command::Cancel(cancel) => cancel::run(cancel).await,
            Command::Agents(agents) => agents::run(agents).await,
            Command::Credentials(credentials) => credentials::run(&credentials),
            Command::Replay(replay) => replay::run(&replay),
            Command::Lease(command) => lease::run(command),
            Command::Conformance(conformance) => conformance::run(conformance).await,
            Command::Completions(completions) => manual::completions(&completions, Arguments::command()),
            Command::Man(man) => manual::man(&man, Arguments::command()),
        }
    };
    let outcome = match threads.enable_all().build() {
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

/// Reads the command line, with what the environment and the file add to it. What is wrong usage ends the program here.
fn read(mut line: Vec<OsString>) -> Result<(Arguments, Settings), Failure> {
    let mut command = Arguments::command();
    // What can be read of it, to know which file there is, and what was typed.
    let typed = match command.clone().ignore_errors(true).try_get_matches_from(&line) {
        Ok(typed) => typed,
        Err(help) => help.exit(),
    };
    let settings = match typed.subcommand_name() {
        None | Some("completions" | "man") => Settings::default(),
        Some(_) => Settings::load(typed.get_one::<PathBuf>("config").map(PathBuf::as_path))?,
    };
    let mut added = settings::serve::Added::default();
    if let Some(("serve", typed)) = typed.subcommand() {
        added = settings::serve::add(&mut command, typed, &settings)?;
        line.append(&mut added.arguments);
    }
    let read = Arguments::command().try_get_matches_from(line);
    match read.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => Ok((arguments, settings)),
        Err(error) => {
            if let Some(failure) = added.explain(&error) {
                return Err(failure);
            }
            if error.use_stderr() && !added.places().is_empty() {
                let _ = error.print();
                let _ = writeln!(std::io::stderr(), "arcp: these are read as well: {}", added.places());
                return Err(Failure::silent(exit::USAGE));
            }
            error.exit()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_man_page() {
        let directory = tempfile::tempdir().unwrap();
        manual::man(&manual::Man { directory: directory.path().to_owned() }, Arguments::command()).unwrap();
        let page = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(page("arcp.1").contains("Exit codes"));
        let command = Arguments::command();
        let shown: Vec<_> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
        assert!(shown.len() >= 12);
        for command in shown {
            let page = page(&format!("arcp-{}.1", command.get_name()));
            assert!(page.contains(".SH OPTIONS"), "{}", command.get_name());
        }
    }

    #[test]
    fn every_shell_has_completions_for_every_command() {
        for shell in <clap_complete::Shell as clap::ValueEnum>::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "arcp", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in Arguments::command().get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
