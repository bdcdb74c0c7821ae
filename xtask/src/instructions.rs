//! `cargo xtask instructions`: what the hot paths of the machines cost, in instructions. A clock tells of its machine; a count is the
//! same in every run of the same program, so that a small loss shows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::MetadataCommand;

use crate::run::{self, Cargo};
use crate::steps::need;

/// What was counted last.
const TABLE: &str = "benches/instructions.txt";

/// Paths, and how often each is gone: once as often and once twice, so that what comes before does not count.
const PATHS: &[(&str, u64)] = &[("emit", 20_000), ("fan-out", 100_000), ("read", 20_000), ("job", 3_000)];

/// By how much, in percent, a count may be above what the table says.
const TOLERANCE: f64 = 2.0;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write what is counted down as what is to be
    #[arg(long)]
    bless: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let root = run::root();
    need(
        run::output(&root, "valgrind", &["--version"]).is_ok(),
        "valgrind, which counts, is not installed: it is the Debian package `valgrind`",
    )?;
    let metadata =
        MetadataCommand::new().current_dir(&root).no_deps().exec().context("cargo metadata failed")?;
    Cargo::new("build --release --locked --package arcp-bench").run()?;
    let program = metadata.target_directory.into_std_path_buf().join("release/arcp-bench");
    let mut counted = BTreeMap::new();
    for (path, times) in PATHS {
        let (once, twice) = (count(&program, path, *times)?, count(&program, path, 2 * times)?);
        counted.insert(*path, (twice - once) / times);
    }
    let table = root.join(TABLE);
    if options.bless {
        let lines = counted.iter().fold(String::new(), |mut out, (path, count)| {
            let _ = writeln!(out, "{path} {count}");
            out
        });
        fs::write(&table, lines).with_context(|| format!("{TABLE} cannot be written"))?;
    }
    compare(&counted, &fs::read_to_string(&table).with_context(|| format!("{TABLE} cannot be read"))?)
}

/// Prints what was counted beside what was before. The error names what costs more.
fn compare(counted: &BTreeMap<&str, u64>, table: &str) -> Result<()> {
    let before: BTreeMap<&str, u64> = table
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(path, count)| Some((path, count.parse().ok()?)))
        .collect();
    let mut worse = Vec::new();
    println!("{:<10} {:>12} {:>12} {:>9}", "path", "before", "now", "change");
    for (path, now) in counted {
        let Some(before) = before.get(path).copied().filter(|before| *before > 0) else {
            bail!("{TABLE} does not have {path}: `cargo xtask instructions --bless` writes it");
        };
        let change = (*now as f64 / before as f64 - 1.0) * 100.0;
        println!("{path:<10} {before:>12} {now:>12} {change:>+8.1}%");
        if change > TOLERANCE {
            worse.push(*path);
        }
    }
    ensure!(
        worse.is_empty(),
        "{} cost more instructions than {TABLE} says; if they are to, `cargo xtask instructions --bless` writes that down",
        worse.join(", ")
    );
    Ok(())
}

/// The instructions of a whole run.
fn count(program: &Path, path: &str, times: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
    valgrind.arg(program).args(["path", path, &times.to_string()]);
    let output = valgrind.output().context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "arcp-bench path {path}: {}\n{said}", output.status);
    refs(&said).with_context(|| format!("valgrind does not say what it has counted:\n{said}"))
}

/// The number behind `I refs:`, which has commas.
fn refs(said: &str) -> Option<u64> {
    let (_, number) = said.lines().find_map(|line| line.split_once("refs:"))?;
    number.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_valgrind_says_is_read() {
        let said = "==7== Cachegrind, a high-precision tracing profiler\n==7== I refs:        1,234,567\n";
        assert_eq!(refs(said), Some(1_234_567));
        assert_eq!(refs("==7== nothing"), None);
    }

    #[test]
    fn what_costs_more_is_named_and_what_costs_less_is_fine() {
        let counted = BTreeMap::from([("emit", 1_000), ("read", 1_030)]);
        assert!(compare(&counted, "emit 1200\nread 1015\n").is_ok());
        let error = compare(&counted, "emit 1000\nread 1000\n").unwrap_err().to_string();
        assert!(error.starts_with("read cost more"), "{error}");
        assert!(compare(&counted, "emit 1000\n").unwrap_err().to_string().contains("does not have read"));
    }
}
