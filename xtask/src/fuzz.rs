//! `cargo xtask fuzz`: every fuzz target for a while, over its committed corpus, and what came of it. What the targets do is in
//! `crates/arcp-fuzzing`; nothing is installed here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::run;
use crate::steps::need;

/// A single input may take so many seconds.
const INPUT_SECS: u64 = 10;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many seconds in all, shared equally by the targets; each has one at least
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    secs: u64,
    /// Put the fewest inputs that cover what was covered into the committed corpora, beside those with names
    #[arg(long)]
    keep: bool,
    /// Which targets; all of them, if none is named
    targets: Vec<String>,
}

/// Builds the targets and runs one after the other, on one core. The error names what was found.
pub(crate) fn run(options: &Options) -> Result<()> {
    let fuzz = run::root().join("fuzz");
    let all = targets(&fuzz)?;
    for name in &options.targets {
        ensure!(all.contains(name), "no target is called {name}: there are {}", all.join(", "));
    }
    let chosen = if options.targets.is_empty() { &all } else { &options.targets };
    let installed = |arguments: &[&str]| run::output(&fuzz, "rustup", arguments).is_ok();
    need(
        installed(&["run", "nightly", "cargo", "--version"]),
        "the sanitizer needs a nightly toolchain: rustup toolchain install nightly",
    )?;
    need(
        installed(&["run", "nightly", "cargo", "fuzz", "--version"]),
        "cargo-fuzz is not installed: cargo install cargo-fuzz --locked",
    )?;
    let logs = fuzz.join("target");
    fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
    let status = cargo_fuzz(&fuzz, "build").status().context("cannot start rustup")?;
    ensure!(status.success(), "cargo +nightly fuzz build: {status}");
    let secs = (options.secs / chosen.len() as u64).max(1);
    let mut found = 0;
    for target in chosen {
        let report = fuzz_one(&fuzz, target, secs)?;
        println!("{target:16} {report}");
        found += report.findings.len();
        if options.keep && report.findings.is_empty() {
            let kept = keep(&fuzz, target)?;
            println!("{:16} {kept} inputs are kept in fuzz/corpus/{target}", "");
        }
    }
    ensure!(
        found == 0,
        "{found} found; a finding's input goes into fuzz/corpus, under a name, once it is mended"
    );
    Ok(())
}

/// The targets by name: there is one file each.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(fuzz.join("fuzz_targets")).context("fuzz/fuzz_targets")? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// `cargo fuzz COMMAND` under the nightly toolchain. The one that runs us has named itself in the environment.
fn cargo_fuzz(fuzz: &Path, command: &str) -> Command {
    let mut cargo = Command::new("rustup");
    cargo.args(["run", "nightly", "cargo", "fuzz", command]).current_dir(fuzz);
    for name in ["CARGO", "CARGO_MANIFEST_DIR", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        cargo.env_remove(name);
    }
    cargo
}

/// What became of one target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    executions: u64,
    /// Edges of the program that were run through.
    coverage: u64,
    inputs: u64,
    /// What failed and on which input.
    findings: Vec<String>,
}

fn fuzz_one(fuzz: &Path, target: &str, secs: u64) -> Result<Report> {
    let log = fuzz.join(format!("target/{target}.log"));
    let grown = grown(fuzz, target)?;
    let status = cargo_fuzz(fuzz, "run")
        .arg(target)
        .args([&grown, &corpus(fuzz, target)?])
        .arg("--")
        .args([format!("-max_total_time={secs}"), format!("-timeout={INPUT_SECS}")])
        .args(["-print_final_stats=1", "-len_control=10"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).with_context(|| log.display().to_string())?)
        .status()
        .context("cannot start rustup")?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let report = Report::read(&text);
    if !status.success() && report.findings.is_empty() {
        bail!("{target}: {status}; what it said is in {}", log.display());
    }
    Ok(report)
}

/// Where the inputs of earlier runs are; no part of the project.
fn grown(fuzz: &Path, target: &str) -> Result<PathBuf> {
    let path = fuzz.join("grown").join(target);
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn corpus(fuzz: &Path, target: &str) -> Result<PathBuf> {
    let path = fuzz.join("corpus").join(target);
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// Makes the corpus of a target what it takes to cover everything that is covered, and those inputs that have a name.
fn keep(fuzz: &Path, target: &str) -> Result<usize> {
    let (corpus, grown) = (corpus(fuzz, target)?, grown(fuzz, target)?);
    let merged = fuzz.join("target/merged").join(target);
    if merged.exists() {
        fs::remove_dir_all(&merged)?;
    }
    fs::create_dir_all(&merged)?;
    let status = cargo_fuzz(fuzz, "run")
        .arg(target)
        .args([&merged, &corpus, &grown])
        .args(["--", "-set_cover_merge=1", "-use_counters=0"])
        .stderr(File::create(fuzz.join("target/merge.log"))?)
        .status()
        .context("cannot start rustup")?;
    ensure!(
        status.success(),
        "{target} cannot be merged: {status}; what it said is in fuzz/target/merge.log"
    );
    for entry in fs::read_dir(&corpus)? {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(is_digest) {
            fs::remove_file(path)?;
        }
    }
    let mut kept = 0;
    for entry in fs::read_dir(&merged)? {
        let path = entry?.path();
        fs::copy(&path, corpus.join(path.file_name().unwrap_or_default()))?;
        kept += 1;
    }
    Ok(kept)
}

/// Whether a name is what libFuzzer calls an input: the SHA-1 of what it holds.
fn is_digest(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Report {
    /// Reads what libFuzzer has said.
    fn read(log: &str) -> Self {
        let mut report = Self::default();
        let mut cause = "";
        let mut lines = log.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
                report.executions = count.trim().parse().unwrap_or(0);
            } else if line.starts_with('#') {
                report.coverage = after(line, "cov: ").unwrap_or(report.coverage);
                report.inputs = after(line, "corp: ").unwrap_or(report.inputs);
            } else if line.contains("panicked at") {
                cause = lines.peek().copied().unwrap_or(line);
            } else if cause.is_empty() && line.contains("ERROR: ") {
                cause = line;
            } else if let Some((_, path)) = line.split_once("Test unit written to ") {
                report.findings.push(format!("{}: {path}", if cause.is_empty() { "unknown" } else { cause }));
            }
        }
        report
    }
}

/// The number that follows a word.
fn after(line: &str, word: &str) -> Option<u64> {
    let (_, rest) = line.split_once(word)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { executions, coverage, inputs, findings } = self;
        write!(f, "{executions:>9} executions, {coverage:>6} edges covered, {inputs:>5} inputs, ")?;
        if findings.is_empty() {
            return f.write_str("nothing found");
        }
        write!(f, "FOUND")?;
        findings.iter().try_for_each(|finding| write!(f, "\n    {finding}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_finding_is_summed_up() {
        let log = "#2\tINITED cov: 7 ft: 8 corp: 1/1b exec/s: 0 rss: 40Mb\n\
                   #99\tDONE   cov: 120 ft: 300 corp: 45/2Kb lim: 9 exec/s: 9 rss: 50Mb\n\
                   stat::number_of_executed_units: 99\n";
        let report = Report::read(log);
        assert_eq!(report, Report { executions: 99, coverage: 120, inputs: 45, findings: Vec::new() });
        assert!(report.to_string().ends_with("nothing found"), "{report}");
    }

    #[test]
    fn a_finding_has_its_cause_and_its_input() {
        let log = "#5\tNEW    cov: 3 ft: 3 corp: 2/2b\n\
                   thread '<unnamed>' (1) panicked at src/a.rs:1:1:\nit goes backwards\n\
                   ==1== ERROR: libFuzzer: deadly signal\n\
                   artifact_prefix='x'; Test unit written to artifacts/a/crash-1\n";
        let report = Report::read(log);
        assert_eq!(report.findings, ["it goes backwards: artifacts/a/crash-1"]);
        let slow = "==1== ERROR: libFuzzer: timeout after 10 seconds\n; Test unit written to artifacts/a/timeout-1\n";
        let findings = Report::read(slow).findings;
        assert_eq!(findings, ["==1== ERROR: libFuzzer: timeout after 10 seconds: artifacts/a/timeout-1"]);
    }

    #[test]
    fn every_target_has_a_program() {
        let names = targets(&run::root().join("fuzz")).unwrap();
        assert!(names.contains(&"envelope".to_owned()) && names.is_sorted());
        let manifest = fs::read_to_string(run::root().join("fuzz/Cargo.toml")).unwrap();
        for name in names {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
        }
    }

    #[test]
    fn inputs_with_names_are_told_from_those_without() {
        assert!(is_digest("da39a3ee5e6b4b0d3255bfef95601890afd80709") && !is_digest("draft-01-hello"));
    }
}
