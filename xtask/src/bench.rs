//! `cargo xtask bench`: builds what is measured, this revision and another one, and has `arcp-bench` measure it. What is measured, and
//! how, is decided there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::MetadataCommand;

use crate::run::{self, Cargo};

/// The page that a full run writes.
const PAGE: &str = "docs/performance.md";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often everything is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// A few small workloads, in less than a minute; nothing is written
    #[arg(long)]
    quick: bool,
    /// These workloads only, such as W1,W6; nothing is written
    #[arg(long, value_name = "W1,…")]
    only: Option<String>,
    /// Another revision to compare with, which is built in a worktree of its own
    #[arg(long, value_name = "REV")]
    against: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let root = run::root();
    let target =
        MetadataCommand::new().current_dir(&root).no_deps().exec().context("cargo metadata failed")?;
    let target = target.target_directory.into_std_path_buf();
    build(&root, &target)?;
    let mut measure = Command::new(target.join("release/arcp-bench"));
    measure.arg("run").arg("--rounds").arg(options.rounds.to_string()).current_dir(&root);
    if options.quick {
        measure.arg("--quick");
    }
    if let Some(only) = &options.only {
        measure.arg("--only").arg(only);
    }
    if let Some(revision) = &options.against {
        let there = target.join("against");
        build_revision(&root, revision, &there)?;
        measure.arg("--against").arg(there.join("release"));
    }
    if !options.quick && options.only.is_none() && options.against.is_none() {
        measure.arg("--write").arg(root.join(PAGE));
    }
    let status = measure.status().context("cannot start arcp-bench")?;
    ensure!(status.success(), "arcp-bench: {status}");
    Ok(())
}

/// Builds the programs of a checkout.
fn build(checkout: &Path, target: &Path) -> Result<()> {
    Cargo::new("build --release --locked --package arcp-cli --package arcp-bench")
        .arg("--manifest-path")
        .arg(text(checkout.join("Cargo.toml"))?)
        .arg("--target-dir")
        .arg(text(target.to_path_buf())?)
        .run()
}

/// Builds the programs of a revision, as they were then.
fn build_revision(root: &Path, revision: &str, target: &Path) -> Result<()> {
    let worktree = text(target.join("worktree"))?;
    let commit = run::output(root, "git", &["rev-parse", "--verify", &format!("{revision}^{{commit}}")])?;
    let _ = run::output(root, "git", &["worktree", "remove", "--force", &worktree]); // a run before may have been killed
    run::output(root, "git", &["worktree", "add", "--quiet", "--detach", &worktree, commit.trim()])?;
    let built = build(Path::new(&worktree), target);
    run::output(root, "git", &["worktree", "remove", "--force", &worktree])?;
    built.with_context(|| format!("the programs of {revision} cannot be built"))
}

fn text(path: PathBuf) -> Result<String> {
    path.into_os_string().into_string().ok().context("a path is not UTF-8")
}
