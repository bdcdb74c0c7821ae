//! `cargo xtask features`: each feature of each crate compiles without the others, and without a warning. Clippy looks, and denies
//! what it warns of in the crate itself; tests and examples are left to the checks of the whole.

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::run::{self, Cargo};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which crates; all of them, if none is named
    crates: Vec<String>,
}

/// Checks every selection of every crate. The error names those that do not compile.
pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata =
        MetadataCommand::new().current_dir(run::root()).no_deps().exec().context("cargo metadata failed")?;
    let packages = crates(&metadata);
    for name in &options.crates {
        ensure!(packages.iter().any(|package| *package.name == *name), "no crate is called {name}");
    }
    let mut failed = Vec::new();
    let mut count = 0;
    for package in packages {
        if !options.crates.is_empty() && !options.crates.contains(&package.name.to_string()) {
            continue;
        }
        for selection in selections(package.features.keys().map(String::as_str)) {
            let command = command(&package.name, &selection);
            println!("{} {}", package.name, selection.join(" "));
            count += 1;
            if command.run().is_err() {
                failed.push(command.to_string());
            }
        }
    }
    ensure!(failed.is_empty(), "{} of {count} do not compile:\n{}", failed.len(), failed.join("\n"));
    println!("{count} selections of features compile");
    Ok(())
}

/// The packages in the directory `crates`, which are for users; the others are ours.
pub(crate) fn crates(metadata: &Metadata) -> Vec<&Package> {
    let directory = metadata.workspace_root.join("crates");
    let mut crates: Vec<_> = metadata.workspace_packages();
    crates.retain(|package| package.manifest_path.starts_with(&directory));
    crates.sort_by(|one, other| one.name.cmp(&other.name));
    crates
}

/// What to ask for: nothing, each feature alone, what comes by default, everything.
fn selections<'a>(features: impl IntoIterator<Item = &'a str>) -> Vec<Vec<String>> {
    let features: Vec<_> = features.into_iter().collect();
    let word = |word: &str| vec![word.to_owned()];
    if features.is_empty() {
        return vec![Vec::new()];
    }
    let mut selections = vec![word("--no-default-features")];
    for feature in features.iter().filter(|feature| **feature != "default") {
        selections.push(["--no-default-features", "--features", feature].map(str::to_owned).to_vec());
    }
    if features.contains(&"default") {
        selections.push(Vec::new());
    }
    selections.push(word("--all-features"));
    selections
}

/// Dev-dependencies take no part: cargo unites their features only when it builds tests.
fn command(package: &str, selection: &[String]) -> Cargo {
    let clippy = Cargo::new("clippy --quiet --locked --no-deps --package").arg(package.to_owned());
    let clippy = selection.iter().cloned().fold(clippy, Cargo::arg);
    clippy.arg("--").arg("-D").arg("warnings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_selected_alone() {
        let joined: Vec<_> =
            selections(["default", "stdio", "ws"]).iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            joined,
            [
                "--no-default-features",
                "--no-default-features --features stdio",
                "--no-default-features --features ws",
                "",
                "--all-features"
            ]
        );
    }

    #[test]
    fn a_crate_without_features_is_compiled_once() {
        assert_eq!(selections([]), [Vec::<String>::new()]);
    }

    #[test]
    fn warnings_fail() {
        let command = command("arcp-client", &["--no-default-features".to_owned()]).to_string();
        let line = "cargo clippy --quiet --locked --no-deps --package arcp-client --no-default-features -- -D warnings";
        assert_eq!(command, line);
    }
}
