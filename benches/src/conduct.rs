//! Conducting a run: in every round each workload once with each side, so that what the machine does meanwhile meets all of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::peer::Python;
use crate::plot::{self, Curve};
use crate::process::{self, Server};
use crate::report::{self, Results};
use crate::sample::{Sample, Spread};
use crate::sink;
use crate::workload::{self, Baseline, Case, GROWTH, Growth, Store};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often everything is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// A few small workloads
    #[arg(long)]
    quick: bool,
    /// These workloads only, such as W1,W6
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A directory with the programs of another revision, to be compared with
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// Write what was measured into this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Whose programs do the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Side {
    /// This revision.
    Here,
    /// The least that it takes.
    Floor,
    /// The other revision.
    There,
    /// The published Python SDK, driven by this revision's client.
    Python,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut cases = if options.quick { workload::quick() } else { workload::full() };
    if !options.only.is_empty() {
        cases.retain(|case| options.only.iter().any(|id| id.eq_ignore_ascii_case(case.id)));
    }
    let own = std::env::current_exe().context("this program has no path")?;
    let own = own.parent().context("this program is in no directory")?;
    let python = match Python::find(own) {
        Ok(python) => Some(python),
        Err(error) => {
            eprintln!("without the published Python SDK: {error:#}");
            None
        }
    };
    let mut results = Results::default();
    for round in 1..=options.rounds {
        for (index, case) in cases.iter().enumerate() {
            eprintln!("round {round} of {}: {}, {}", options.rounds, case.id, case.title);
            results.add(index, Side::Here, measure(case, own)?);
            if let Baseline::Floor(_) = case.baseline {
                results.add(index, Side::Floor, measure_floor(case, own)?);
            }
            if let (Some(python), Some(count)) = (&python, case.peer) {
                let server = python.serve()?;
                let sample = process::load(&mut load(case, count, own, &server))?;
                results.add(index, Side::Python, sample);
            }
            if let Some(there) = &options.against {
                results.add(index, Side::There, measure(case, there)?);
            }
        }
    }
    let report = report::markdown(&cases, &results, options.rounds);
    println!("{report}");
    if let Some(path) = &options.write {
        let curves = grow(own, options.rounds)?;
        let page = report::page(&report, &curves);
        std::fs::create_dir_all(path.parent().unwrap_or(path)).context("cannot make a directory")?;
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
        let drawing = path.with_extension("svg");
        std::fs::write(&drawing, plot::svg(&curves)).context("cannot write a drawing")?;
    }
    Ok(())
}

/// How cost grows, with the medians of so many rounds.
fn grow(programs: &Path, rounds: u32) -> Result<Vec<Curve>> {
    let mut curves = Vec::new();
    for Growth { name, sizes, case, cost } in GROWTH {
        let mut costs = [const { Vec::new() }; 3];
        for round in 1..=rounds {
            eprintln!("round {round} of {rounds}: {name}");
            for (size, costs) in sizes.into_iter().zip(&mut costs) {
                costs.extend(cost(size, &measure(&case(size), programs)?));
            }
        }
        let costs = costs.map(|costs| Spread::of(costs).map_or(f64::NAN, |spread| spread.median));
        curves.push(Curve { name, sizes, costs });
    }
    Ok(curves)
}

/// One measurement of the programs in a directory.
fn measure(case: &Case, programs: &Path) -> Result<Sample> {
    let directory = tempfile::tempdir().context("cannot make a directory")?;
    let store = match case.store {
        Store::Memory => PathBuf::from("memory"),
        Store::Sqlite => directory.path().join("arcp.db"),
    };
    let mut serve = Command::new(programs.join("arcp"));
    serve.env("ARCP_CONFIG", "");
    serve.args(["serve", "--fixtures", "--listen", "127.0.0.1:0", "--token", "s3cret=bench", "--store"]);
    serve.arg(store).args(["--max-sessions-per-principal", "20000"]);
    serve.args(["--max-connections-per-address", "20000"]).args(case.serve);
    if case.telemetry {
        serve.args(["--otlp", &sink::start()?, "--otlp-sample", "0.01"]);
    }
    let server = Server::start(serve, false)?;
    process::load(&mut load(case, case.count, programs, &server))
}

/// The same of the least server.
fn measure_floor(case: &Case, programs: &Path) -> Result<Sample> {
    let Baseline::Floor(kind) = case.baseline else { return Ok(Sample::default()) };
    let mut serve = Command::new(programs.join("arcp-bench"));
    serve.args(["floor", &word(kind)]);
    let server = Server::start(serve, false)?;
    process::load(load(case, case.count, programs, &server).arg("--raw"))
}

fn load(case: &Case, count: u64, programs: &Path, server: &Server) -> Command {
    let mut load = Command::new(programs.join("arcp-bench"));
    load.args(["load", &word(case.work), "--url", &server.url, "--count", &count.to_string()]);
    load.args(["--subscribers", &case.subscribers.to_string(), "--pid", &server.pid().to_string()]);
    load
}

/// The word for a choice on the command line.
fn word(value: impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
